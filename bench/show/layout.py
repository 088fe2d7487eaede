"""The page that every figure is drawn on: title, panels in rows, labels, legend and note, with text as measured.

Lengths are inches unless points are said.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bench.show.figures import Figure

NOTHING = "nothing was run"
EDGE = 0.12
LINE = 1.25 / 72  # inches of a line of text, by its size in points


@dataclass(frozen=True)
class Page:
    """A drawing with its panels' axes; `beside` and `below` are the corners (x, y) left for a legend, in inches."""

    drawing: Drawing
    axes: list[Axes]
    beside: tuple[float, float]
    below: tuple[float, float]


def lay_out(
    figure: Figure, panel: tuple[float, float], across: int, ticks: float, beside: float, below: float, least: float = 0
) -> Page:
    """Panels of `panel` inches, `across` in a row; `ticks`: width of the y ticks; `least`: height of all panels."""
    count = max(1, len(figure.panels))
    rows = -(-count // across)
    columns = across = -(-count // rows)
    titles = [wrap(each.title, panel[0], 8) for each in figure.panels] or [""]
    head = 8 * LINE * max(title.count("\n") + 1 for title in titles) + 0.06
    step = head + panel[1] + 0.34
    high = max(rows * step, least)
    y_label = wrap(figure.y_label, rows * step - 0.3, 8)
    left = EDGE + 8 * LINE * (y_label.count("\n") + 1) + 0.06 + ticks
    inner = columns * (panel[0] + 0.28) - 0.28
    width = left + inner + (0.2 + beside if beside else 0) + 0.2
    x_label = wrap(figure.x_label, inner, 8)
    title, note = wrap(figure.title, width - 2 * EDGE, 10, "bold"), wrap(figure.note, width - 2 * EDGE, 6.5)
    top = EDGE + 10 * LINE * (title.count("\n") + 1) + 0.08
    under = 8 * LINE * (x_label.count("\n") + 1)
    foot = 6.5 * LINE * (note.count("\n") + 1) + 0.06 if note else 0.0
    height = top + high + under + below + foot + EDGE

    drawing = Drawing(figsize=(width, height))
    write = partial(put_text, drawing)
    write(EDGE, height - EDGE, title, size=10, va="top", weight="bold")
    write(left + inner / 2, height - top - rows * step + 0.06, x_label, size=8, ha="center", va="top")
    write(EDGE, height - top - rows * step / 2, y_label, size=8, va="center", rotation=90)
    write(EDGE, EDGE + foot - 0.06, note, size=6.5, va="top", color="0.3")
    axes: list[Axes] = []
    for index in range(len(figure.panels)):
        x, y = left + index % across * (panel[0] + 0.28), height - top - index // across * step - head - panel[1]
        axes.append(drawing.add_axes((x / width, y / height, panel[0] / width, panel[1] / height)))
        axes[-1].tick_params(labelleft=index % across == 0)
        write(x, y + panel[1] + 0.05, titles[index], size=8, va="bottom")
    return Page(drawing, axes, (left + inner + 0.2, height - top - head), (left, EDGE + foot + below))


def put_text(drawing: Drawing, x: float, y: float, text: str, *, size: float, **how: Any) -> None:
    """`text` at (x, y) inches from the lower left corner; `size` in points, `how` as Matplotlib's text takes it."""
    width, height = drawing.get_size_inches()
    drawing.text(x / width, y / height, text, fontsize=size, linespacing=1.2, **how)


def say_nothing(page: Page) -> Page:
    """The page with word that it has nothing to show."""
    width, height = page.drawing.get_size_inches()
    put_text(page.drawing, width / 2, height / 2, NOTHING, size=10, ha="center", va="center", color="0.3")
    return page


def plain_text(text: str) -> str:
    """One line of printable characters; XML cannot hold the others."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` in lines no wider than `inches` at `size` points, as measured in the font; long words are cut."""
    lines = [""]
    for word in plain_text(text).split():
        rest = word
        if lines[-1] and text_width(f"{lines[-1]} {rest}", size, weight) <= inches:
            lines[-1] += f" {rest}"
            continue
        while text_width(rest, size, weight) > inches and len(rest) > 1:
            kept = max(1, bisect_right(range(1, len(rest)), inches, key=lambda at: text_width(rest[:at], size, weight)))
            lines.append(rest[:kept])
            rest = rest[kept:]
        lines.append(rest)
    return "\n".join(lines[1:] if not lines[0] else lines)


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Inches that `text` of one line takes at `size` points."""
    font = FontProperties(size=size, weight=weight)
    width = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return float(width) / 72


def show_number(value: float, _: object = None) -> str:
    """The number with a minus sign proper and no more digits than it needs; also as Matplotlib's formatter."""
    mantissa, _e, exponent = f"{value:g}".partition("e")
    return (f"{mantissa}e{int(exponent)}" if exponent else mantissa).replace("-", "−")


def add_legend(drawing: Drawing, handles: Sequence[Artist], labels: list[str], corner: tuple[float, float]) -> None:
    """A legend, if there is anything to explain, with its upper left corner there, in inches."""
    width, height = drawing.get_size_inches()
    if handles:
        place = (corner[0] / width, corner[1] / height)
        drawing.legend(handles, labels, loc="upper left", bbox_to_anchor=place)
