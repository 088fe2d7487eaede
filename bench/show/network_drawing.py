"""The drawing of networks: nodes in a column, arrows between them, those down on its right and those up on its left.

Lengths are inches; within a panel x points right and y down.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from bench.show.figures import Link, Links, Network
from bench.show.layout import LINE, Page, text_width, wrap

Points: TypeAlias = NDArray[np.float64]
Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

NO_LINK = "no link"
LIGHT, DARK, FAINT, LONELY = "#9ECAE9", "#08306B", "0.5", "0.6"
DASH: tuple[Any, ...] = (0, (3, 1.6))
WIDTHS = (0.7, 2.0)  # points, of the lightest and the heaviest arrow
LABEL, PAPER_LABEL, LABEL_SIZE, MOST_LINES = 1.9, 1.1, 7.0, 2
WEIGHT_SIZE = 7.0
LEAST_ROW, LEAST_HEIGHT = 0.22, 1.6
# How far arcs stand out: the longest at most, the shortest, and the longest by each node more.
REACH, NEAREST, STEP = 1.6, 0.38, 0.36
MARGIN, LEAST_REACH = 0.3, 0.9
RADIUS = 0.04
FAINT_SIZE = 7.5  # points, of the legend
ACROSS = 2
# Where along an arc its weight may stand, best first; and the points that stand for it where others look for room.
PLACES = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8)
POINTS = tuple(step / 60 for step in range(61))


@dataclass(frozen=True)
class Frame:
    """Where things stand in every panel, in inches.

    Args:
        column: x of the nodes.
        rows: y of each node.
        reach: how far the longest arc reaches from the nodes.
        width: of a panel.
        height: of a panel.
    """

    column: float
    rows: tuple[float, ...]
    reach: float
    width: float
    height: float

    def arc(self, link: Link) -> Points:
        """The four points (4, 2) of the Bézier curve from cause to effect.

        Args:
            link: the arrow.
        """
        span = abs(link.effect - link.cause)
        side = 1 if link.effect > link.cause else -1
        reach = NEAREST + (self.reach - NEAREST) * (span - 1) / max(1, len(self.rows) - 2)
        start, end = (self.rows[node] for node in (link.cause, link.effect))
        start, end = start + side * RADIUS, end - side * RADIUS
        edge, bend = self.column + side * 1.3 * RADIUS, self.column + side * reach * 4 / 3
        return np.array([(edge, start), (bend, start), (bend, end), (edge, end)])


def draw_network(figure: Network, paper: bool = False) -> Drawing:
    """A network as Matplotlib's figure, to be made and saved within `bench.show.drawing.style`.

    Args:
        figure: the network.
        paper: for a column in print. Default False.
    """
    labels = [_shorten(node, PAPER_LABEL if paper else LABEL) for node in figure.nodes]
    links = [link for panel in figure.panels for link in panel.links]
    frame = _frame(labels, upward=any(link.effect < link.cause for link in links))
    page = Page(figure, (frame.width, frame.height), 1 if paper else ACROSS, paper)
    if not figure.panels or not labels:
        return page.finish_empty()
    linked = {node for link in links for node in (link.cause, link.effect)}
    for axes, panel in zip(page.axes, figure.panels, strict=True):
        _draw_panel(axes, panel, frame)
        axes.set_yticks(frame.rows, labels, fontsize=LABEL_SIZE, linespacing=1.1)
        for node, text in enumerate(axes.get_yticklabels()):
            text.set_color("black" if node in linked else LONELY)
    if any(link.faint for link in links):
        dashed = Line2D([], [], color=FAINT, linewidth=1.2, linestyle=DASH)
        label = wrap(figure.faint_label, frame.width, FAINT_SIZE)
        page.drawing.legend([dashed], [label], loc="outside upper left")
    return page.finish()


def _frame(labels: list[str], upward: bool) -> Frame:
    """Room for the labels' lines, for the arcs, and on the left of the nodes for `upward` ones."""
    count, lines = max(1, len(labels)), max((label.count("\n") + 1 for label in labels), default=1)
    row = max(LEAST_ROW, lines * LABEL_SIZE * LINE + 0.05, LEAST_HEIGHT / count)
    reach = min(REACH, NEAREST + STEP * max(0, count - 2))
    left = reach + MARGIN if upward else 0.12
    rows = tuple(row * (place + 0.5) for place in range(len(labels)))
    return Frame(left, rows, reach, left + max(reach, LEAST_REACH) + MARGIN, row * count)


def _shorten(node: str, inches: float) -> str:
    """A label in lines; what is left out is marked, and whole in the figure's CSV."""
    lines = wrap(node, inches, LABEL_SIZE).split("\n")
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][:-1]}…"]
    return "\n".join(lines)


def _draw_panel(axes: Axes, panel: Links, frame: Frame) -> None:
    axes.set(xlim=(0, frame.width), ylim=(frame.height, 0))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.hlines(frame.rows, 0, frame.width, color="0.93", linewidth=0.6, zorder=0)
    linked = {node for link in panel.links for node in (link.cause, link.effect)}
    for node, y in enumerate(frame.rows):
        look: dict[str, Any] = {"color": "black"} if node in linked else {"color": "white", "markeredgecolor": LONELY}
        axes.plot(frame.column, y, marker="o", markersize=RADIUS * 2 * 72, zorder=3, **look)
    if not panel.links:
        axes.text(frame.column + 0.5, frame.height / 2, NO_LINK, ha="left", va="center", color="0.3",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})  # fmt: skip
        return
    links = sorted(panel.links, key=lambda link: -link.weight)
    curves = [frame.arc(link) for link in links]
    points = [_along(curve, POINTS) for curve in curves]
    taken: list[Box] = []
    for place, (link, curve) in enumerate(zip(links, curves, strict=True)):
        _draw_arrow(axes, curve, link.weight / links[0].weight, link.faint)
        others = np.concatenate([np.empty((0, 2)), *points[:place], *points[place + 1 :]])
        taken.append(_place(curve, _shown(link.weight), taken, others))
        _write_weight(axes, taken[-1], _shown(link.weight), link.faint)


def _draw_arrow(axes: Axes, curve: Points, share: float, faint: bool) -> None:
    light, dark = np.array(to_rgb(LIGHT)), np.array(to_rgb(DARK))
    axes.add_patch(
        FancyArrowPatch(
            path=Path(curve, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]),
            arrowstyle="-|>",
            mutation_scale=7,
            linewidth=WIDTHS[0] + share * (WIDTHS[1] - WIDTHS[0]),
            linestyle=DASH if faint else "-",
            color=FAINT if faint else tuple(light + share * (dark - light)),
            joinstyle="miter",
            shrinkA=0,
            shrinkB=0,
            zorder=1 + share,
        )
    )


def _place(curve: Points, text: str, taken: list[Box], others: Points) -> Box:
    """Where a weight stands on its arc: off the weights before it, then off the other arcs, then near the middle."""
    half, high = text_width(text, WEIGHT_SIZE) / 2 + 0.02, WEIGHT_SIZE * LINE / 2
    boxes = [(x - half, y - high, x + half, y + high) for x, y in _along(curve, PLACES)]
    return min(boxes, key=lambda box: (sum(_shared(box, other) for other in taken), _inside(box, others)))


def _write_weight(axes: Axes, box: Box, text: str, faint: bool) -> None:
    axes.text((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, text, fontsize=WEIGHT_SIZE, ha="center",
              va="center_baseline", color="0.35" if faint else "black", zorder=4,
              bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip


def _along(curve: Points, steps: tuple[float, ...]) -> Points:
    """Points (steps, 2) of a Bézier curve, from its start at 0 to its end at 1."""
    t = np.array(steps)[:, None]
    points: Points = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]) @ curve
    return points


def _inside(box: Box, points: Points) -> int:
    x, y = points.T
    return int(((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])).sum())


def _shown(weight: float) -> str:
    """Two digits that count, or all before the point."""
    return f"{weight:.0f}" if weight >= 9.95 else f"{weight:#.2g}"


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes have in common."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)
