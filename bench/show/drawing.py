"""The drawing of figures, as SVG and PNG or, for a paper, as PDF, byte for byte the same for equal data.

An SVG's letters are text, and its title and note are in its metadata only: whatever page shows it writes them beside
it. A PNG stands by itself and has both in the picture. Looks are `bench.show.looks`'s and cividis.
Matplotlib's pyplot, settings files and mathematics in text are not used. Lengths are inches unless points are said. The
page is laid out by `bench.show.layout`; `bench.show.network_drawing` draws networks.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2DBase, Bbox, ScaledTranslation

from bench.cells.files import write_file
from bench.judge.intervals import Interval
from bench.show.figures import Curves, Figure, Forest, Grid, Map, Network, Panel, Series
from bench.show.layout import (
    LINE,
    Page,
    add_caption,
    plain_text,
    say_nothing,
    show_number,
    text_width,
    wrap,
)
from bench.show.looks import DASHES, MARKERS, PLACES, RULES, looks_of
from bench.show.network_drawing import draw_network
from bench.show.tables import MISSING

DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*>\s*")
STYLE: dict[Any, Any] = {
    "text.parse_math": False, "axes.formatter.use_mathtext": False, "svg.fonttype": "none", "pdf.fonttype": 42,
    "font.sans-serif": ["DejaVu Sans", "Verdana"], "font.size": 8,
    "text.hinting": "none",  # widths as measured, at every resolution
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "hatch.linewidth": 0.4,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "legend.frameon": False, "legend.fontsize": 7.5, "legend.handlelength": 2.8, "legend.borderaxespad": 0,
    "legend.borderpad": 0, "legend.labelspacing": 0.55,
}  # fmt: skip
DPI = 160


def render(figure: Figure) -> dict[str, bytes]:
    """A figure by format, `svg` and `png`: no date, no version and no address.

    Args:
        figure: what to draw.
    """
    with style(figure.name):
        drawing, svg, png = draw(figure), io.BytesIO(), io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        told = {"Title": plain_text(figure.title), "Description": plain_text(figure.note) or None}
        drawing.savefig(svg, format="svg", metadata=told | nothing, bbox_inches=_whole(drawing))
        add_caption(drawing, figure)
        drawing.savefig(png, format="png", metadata={"Software": None}, dpi=DPI, bbox_inches=_whole(drawing))
    return {"svg": DOCTYPE.sub(b"", svg.getvalue(), count=1), "png": png.getvalue()}


def render_paper(figure: Figure) -> bytes:
    """A figure as PDF for a column in print, 3.3 inches wide: no title or note, no type below 7 points.

    Args:
        figure: what to draw.
    """
    with style(figure.name):
        drawing, pdf = draw(figure, paper=True), io.BytesIO()
        drawing.savefig(pdf, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return pdf.getvalue()


def _whole(drawing: Drawing) -> Bbox:
    return drawing.get_tightbbox().padded(0.12)


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Our settings and no others, within the block.

    Args:
        salt: of the names within an SVG, so that pictures in one page share none.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box, whole in the CSV
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE | {"svg.hashsalt": salt})
        yield


def draw(figure: Figure, paper: bool = False) -> Drawing:
    """A figure as Matplotlib's, without title and note, to be made and saved within `style`.

    Args:
        figure: what to draw.
        paper: for a column in print. Default False.
    """
    if isinstance(figure, Forest):
        return _draw_forest(figure, paper)
    if isinstance(figure, Network):
        return draw_network(figure, paper)
    return _draw_curves(figure, paper) if isinstance(figure, Curves) else _draw_grid(figure, paper)


# Curves

PANEL, PAPER_PANEL, PAPER_HALF = (2.7, 2.0), (2.5, 1.7), (1.2, 1.3)
ACROSS, BANDS = 2, 3
HANDLE = 0.5  # of a line in a legend, and the space beside it


def _draw_curves(figure: Curves, paper: bool) -> Drawing:
    labels = list(dict.fromkeys(series.label for panel in figure.panels for series in panel.series))
    guides = [guide.label for panel in figure.panels for guide in panel.guides]
    drawn = [label for panel in figure.panels for _, label in (*panel.rules, *panel.levels)]
    lines = list(dict.fromkeys([*guides, *drawn]))
    looks = looks_of(labels)
    dashes = {label: RULES[index % len(RULES)] for index, label in enumerate(lines)}
    across = 1 if figure.free_y and paper else ACROSS
    size = PANEL if not paper else PAPER_HALF if min(across, len(figure.panels)) > 1 else PAPER_PANEL
    page = Page(figure, size, across, paper)
    if not any(math.isfinite(y) for panel in figure.panels for s in panel.series for y in s.y):
        return page.finish_empty()
    xs = sorted({x for panel in figure.panels for s in (*panel.series, *panel.guides) for x in s.x})
    rules = [x for panel in figure.panels for x, _ in panel.rules]
    x_limits = _spread((min([*xs, *rules]), max([*xs, *rules])), figure.log_x)
    for axes, panel in zip(page.axes, figure.panels, strict=True):
        y_limits = _y_limits(figure, (panel,) if figure.free_y else figure.panels)
        axes.set(xscale="log" if figure.log_x else "linear", yscale="log" if figure.log_y else "linear")
        axes.set(xlim=x_limits, ylim=y_limits)
        if figure.free_y:
            axes.tick_params(labelleft=True)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(show_number)
        if len(xs) <= 12:
            axes.set_xticks(_apart(xs, x_limits, figure.log_x, size[0]))
        for index, series in enumerate(panel.series):
            count = len(panel.series)
            aside = min(1.7, 12 / count) * (index - (count - 1) / 2) if count > BANDS else None
            _draw_series(axes, series, looks[series.label], y_limits, aside, page.drawing.dpi_scale_trans)
        for guide in panel.guides:
            axes.plot(guide.x, guide.y, color="0.35", linewidth=0.9, linestyle=dashes[guide.label], zorder=1)
        for x, label in panel.rules:
            axes.axvline(x, color="0.35", linewidth=0.9, linestyle=dashes[label])
        for y, label in panel.levels:
            axes.axhline(y, color="0.35", linewidth=0.9, linestyle=dashes[label])
        if not panel.series:
            say_nothing(axes)
    handles = [Line2D([], [], markersize=4.5, linewidth=1.3, **looks[label]) for label in labels]
    handles += [Line2D([], [], color="0.35", linewidth=0.9, linestyle=dashes[label]) for label in lines]
    _add_legend(page, handles, [*labels, *lines])
    return page.finish()


def _y_limits(figure: Curves, panels: tuple[Panel, ...]) -> tuple[float, float]:
    """Limits of y that hold all of these panels."""
    values = [v for panel in panels for s in (*panel.series, *panel.guides) for v in (*s.y, *s.low, *s.high)]
    values += [y for panel in panels for y, _ in panel.levels]
    shown = [value for value in values if math.isfinite(value) and (value > 0 or not figure.log_y)]
    return _spread(figure.y_range or (min(shown, default=1.0), max(shown, default=1.0)), figure.log_y)


def _add_legend(page: Page, handles: list[Line2D], labels: list[str]) -> None:
    """A legend above the panels, in as many columns as fit."""
    shown = [wrap(label, page.width - HANDLE, 7.5) for label in labels]
    lines = [text_width(line, 7.5) for label in shown for line in label.split("\n")]
    columns = max(1, int((page.width + 0.2) / (max(lines, default=1.0) + HANDLE + 0.1)))
    page.drawing.legend(handles, shown, loc="outside upper left", ncols=columns, columnspacing=1.2)


def _draw_series(
    axes: Axes, series: Series, look: dict[str, Any], y_limits: tuple[float, float], aside: float | None,
    inches: Affine2DBase,
) -> None:
    """A curve over its bars, with its band if few curves share the panel.

    Otherwise `aside` is given, and all of it stands so many points to the right. A bound that is infinite, or not
    positive on a logarithmic axis, ends at the edge.
    """
    shift = ScaledTranslation((aside or 0.0) / 72, 0, inches)
    place = axes.transData + shift
    axes.plot(series.x, series.y, markersize=4.2, linewidth=1.2, zorder=3, transform=place, **look)
    if not series.low:
        return
    low, high = ([min(max(v, y_limits[0]), y_limits[1]) for v in bounds] for bounds in (series.low, series.high))
    axes.vlines(series.x, low, high, color=look["color"], linewidth=0.8, zorder=2, transform=place)
    if aside is None:
        axes.fill_between(series.x, low, high, color=look["color"], alpha=0.15, linewidth=0, zorder=1)


def _spread(limits: tuple[float, float], log: bool) -> tuple[float, float]:
    """Limits with a margin of 5 %, and apart even if both are equal."""
    to, back = (math.log10, lambda v: 10.0**v) if log else (float, float)
    low, high = to(limits[0]), to(limits[1])
    margin = 0.05 * (high - low) or 0.5
    return back(low - margin), back(high + margin)


def _apart(values: list[float], limits: tuple[float, float], log: bool, width: float) -> list[float]:
    """The values whose labels do not touch, from the left."""
    to: Callable[[float], float] = math.log10 if log else float
    scale = width / (to(limits[1]) - to(limits[0]))
    kept: list[float] = []
    edge = -math.inf
    for value in values:
        middle, half = to(value) * scale, text_width(show_number(value), 7) / 2
        if middle - half > edge + 0.06:
            kept.append(value)
            edge = middle + half
    return kept


# Forests

ROW, FOREST, ROW_LABEL = 0.2, 2.0, 2.4  # inches: of a row, of a panel's width, of a row's name at most


def _draw_forest(figure: Forest, paper: bool) -> Drawing:
    count = max(1, len(figure.rows))
    names = [wrap(row, 1.4 if paper else ROW_LABEL, 7) for row in figure.rows]
    most = max((name.count("\n") + 1 for name in names), default=1)
    size = (1.6 if paper else FOREST, max(0.6, count * max(ROW, most * 7 * LINE + 0.05)))
    page = Page(figure, size, 1 if paper else ACROSS, paper)
    known = [[i for i in panel.intervals if i is not None] for panel in figure.panels]
    if not any(known):
        return page.finish_empty()
    looks = looks_of(figure.rows) if any(row in PLACES for row in figure.rows) else {}
    for axes, panel, intervals in zip(page.axes, figure.panels, known, strict=True):
        axes.set(ylim=(count - 0.5, -0.5))
        axes.set_yticks(range(count), names, linespacing=1.1)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(show_number)
        axes.locator_params(axis="x", nbins=5)
        values = [v for i in intervals for v in (i.low, i.estimate, i.high) if math.isfinite(v)]
        values += [] if panel.level is None else [panel.level]
        if not intervals:
            axes.set_xticks([])
            say_nothing(axes)
            continue
        limits = panel.limits or _spread((min(values), max(values)), False)
        axes.set(xlim=limits)
        if panel.level is not None:
            axes.axvline(panel.level, color="0.35", linewidth=0.9, linestyle=RULES[0])
        for y, (row, i) in enumerate(zip(figure.rows, panel.intervals, strict=True)):
            if i is not None:
                _draw_interval(axes, y, i, limits, looks.get(row, {"color": "black", "marker": "s"}))
    return page.finish()


def _draw_interval(axes: Axes, y: int, i: Interval, limits: tuple[float, float], look: dict[str, Any]) -> None:
    """A row of a forest; what is beyond the limits ends at the edge, an estimate there as an arrow's head."""
    low, middle, high = (min(max(v, limits[0]), limits[1]) for v in (i.low, i.estimate, i.high))
    marker = look["marker"] if middle == i.estimate else "<" if middle > i.estimate else ">"
    axes.hlines(y, low, high, color=look["color"], linewidth=1.4, zorder=2)
    axes.plot(middle, y, marker=marker, color=look["color"], markersize=4.2, zorder=3, clip_on=False)


# Maps

CELL, GRID_WIDTH = (0.6, 0.46), 6.6


def _draw_grid(figure: Grid, paper: bool) -> Drawing:
    columns, rows = max(1, len(figure.x_ticks)), max(1, len(figure.y_ticks))
    wide = max(CELL[0], *(text_width(plain_text(tick), 7) + 0.1 for tick in ("", *figure.x_ticks)))
    size = (max(columns * wide, 1.2), max(rows * CELL[1], 1.2))
    page = Page(figure, size, 1 if paper else max(1, int(GRID_WIDTH / (size[0] + 0.28))), paper)
    if all(math.isnan(v) for panel in figure.panels for row in panel.values for v in row):
        return page.finish_empty()
    norm, colours = Normalize(0, 1), colormaps["cividis"]
    labels = list(dict.fromkeys(mark.label for panel in figure.panels for mark in panel.marks))
    looks = {label: _mark_look(index) for index, label in enumerate(labels)}
    for axes, panel in zip(page.axes, figure.panels, strict=True):
        axes.patch.set(facecolor="0.94", hatch="////", edgecolor="0.75")
        axes.pcolormesh(panel.values, cmap=colours, norm=norm, edgecolors="white", linewidth=0.8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks([at + 0.5 for at in range(columns)], [plain_text(tick) for tick in figure.x_ticks])
        axes.set_yticks([at + 0.5 for at in range(rows)], [plain_text(tick) for tick in figure.y_ticks])
        for mark in panel.marks:
            axes.plot([x + 0.5 for x in mark.x], [y + 0.5 for y in mark.y], zorder=2, **looks[mark.label])
        axes.set(xlim=(0, columns), ylim=(0, rows))
        for i, j in product(range(rows), range(columns)):
            _write_cell(axes, panel, i, j, colours, paper)
    if labels:
        handles = [Line2D([], [], **looks[label]) for label in labels]
        _add_legend(page, handles, labels)
    shown = ScalarMappable(norm, colours)
    scale = page.drawing.colorbar(shown, ax=page.axes, format=show_number, fraction=0.05, aspect=20)
    scale.outline.set_visible(False)
    if scale.solids is not None:  # a picture within the SVG otherwise
        scale.solids.set(rasterized=False, edgecolor="face")
    scale.set_label(wrap(figure.value_label, min(size[1], 2.4), 7.5), fontsize=7.5)
    return page.finish()


def _mark_look(index: int) -> dict[str, Any]:
    """White within black, so that it shows on every colour."""
    return {
        "color": "white",
        "linewidth": 1.3,
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3,
        "markeredgecolor": "black",
        "markeredgewidth": 0.6,
        "path_effects": [withStroke(linewidth=2.6, foreground="black")],
    }


def _write_cell(axes: Axes, panel: Map, i: int, j: int, colours: Colormap, paper: bool) -> None:
    """Share and bounds, which a paper leaves out as too small, on the cell's colour where lines may pass."""
    value = panel.values[i][j]
    red, green, blue, _ = colours(0.0 if math.isnan(value) else value)
    dark = not math.isnan(value) and 0.299 * red + 0.587 * green + 0.114 * blue < 0.46
    ground = "0.94" if math.isnan(value) else (red, green, blue)
    how: dict[str, Any] = {
        "color": "white" if dark else "black",
        "ha": "center",
        "va": "center",
        "bbox": {"facecolor": ground, "edgecolor": "none", "pad": 0.5} if panel.marks else None,
    }
    bounds = bool(panel.low) and not math.isnan(value) and not paper
    axes.text(j + 0.5, i + (0.73 if bounds else 0.5), _share(value), fontsize=7, **how)
    if bounds:
        axes.text(j + 0.5, i + 0.23, f"{_share(panel.low[i][j])}–{_share(panel.high[i][j])}", fontsize=5.5, **how)


def _share(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.2f}"


def write_figure(figure: Figure, folder: Path, paper: bool = False) -> list[Path]:
    """Write NAME.svg and NAME.png or, for a paper, NAME.pdf.

    Args:
        figure: what is drawn.
        folder: where; it is made if missing.
        paper: write the PDF instead, see `render_paper`. Default False.

    Returns:
        The files.

    Raises:
        StoreError: they cannot be written; what was there stays.
    """
    paths = []
    for kind, content in ({"pdf": render_paper(figure)} if paper else render(figure)).items():
        paths.append(folder / f"{figure.name}.{kind}")
        write_file(paths[-1], content)
    return paths


def write_paper_figures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write figures as PDF files for a column in print, see `render_paper`.

    Args:
        figures: such as those of a run.
        folder: where; it is made if missing.

    Returns:
        The files.

    Raises:
        StoreError: they cannot be written; what was there stays.
    """
    return [path for figure in figures for path in write_figure(figure, folder, paper=True)]
