"""The page that every figure is drawn on. Matplotlib's constrained layout makes room for labels, legends and scales.

Lengths are inches unless points are said.
"""

from bisect import bisect_right

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextToPath

from bench.show.figures import Figure

NOTHING = "nothing was run"
LINE = 1.25 / 72  # inches of a line of text, by its size in points
GAP = 0.08  # around panels, and between them and the title and note
PAPER = 3.3  # the width of a column in print


class Page:
    """A figure's panels and labels, to be drawn on and then finished.

    Args:
        drawing: the page.
        x_label: below all panels.
        y_label: left of all panels.
        axes: one per panel, or one without a title where there is no panel.
        width: about how wide panels and their labels are together, for what has to fit above or below.
    """

    def __init__(self, figure: Figure, panel: tuple[float, float], across: int, paper: bool = False) -> None:
        """Lay the page out.

        Args:
            figure: its panels, labels and titles.
            panel: width and height of a panel.
            across: the most panels in a row.
            paper: whether the page is as wide as a column in print and panels as wide as that leaves room for.
                Default False.
        """
        titles = [each.title for each in figure.panels] or [""]
        self.figure, self.panel, self.paper = figure, panel, paper
        self.rows = -(-len(titles) // across)
        self.columns = columns = -(-len(titles) // self.rows)
        # Larger than needed: the layout fails where labels leave a panel no room.
        self.layout = ConstrainedLayoutEngine(w_pad=GAP, h_pad=GAP / 2, wspace=0, hspace=0)
        size = (PAPER if paper else columns * (panel[0] + 1) + 6, self.rows * (panel[1] + 2) + 3)
        self.width = PAPER - 2 * GAP if paper else columns * (panel[0] + GAP) + 0.5
        self.drawing = Drawing(figsize=size)
        grid = self.drawing.add_gridspec(self.rows, columns)
        self.axes = [self.drawing.add_subplot(grid[k // columns, k % columns]) for k in range(len(titles))]
        for k, title in enumerate(titles):
            self.axes[k].set_title(wrap(title, panel[0], 8), fontsize=8, loc="left")
            self.axes[k].tick_params(labelleft=k % columns == 0)
        self.x_label = self.drawing.supxlabel(wrap(figure.x_label, columns * panel[0], 8), fontsize=8)
        self.y_label = self.drawing.supylabel(wrap(figure.y_label, self.rows * panel[1], 8), fontsize=8)

    def finish(self) -> Drawing:
        """Size the page so that panels have their size.

        Returns:
            The page, without the figure's title and note; `add_caption` writes them beyond its edge.
        """
        drawing = self.drawing
        for _ in range(3):  # the space that labels take hardly depends on the size of the page
            self.layout.execute(drawing)
            panel, size = self.axes[0].get_window_extent(), drawing.get_size_inches()
            width = PAPER if self.paper else size[0] + self.columns * (self.panel[0] - panel.width / drawing.dpi)
            height = size[1] + self.rows * (self.panel[1] - panel.height / drawing.dpi)
            legends = [legend.get_window_extent().width / drawing.dpi for legend in drawing.legends]
            width = max([width, *(0 if self.paper else legend + 4 * GAP for legend in legends)])
            if abs(width - size[0]) + abs(height - size[1]) < 0.01:
                break
            drawing.set_size_inches(width, height)
        for legend in drawing.legends:  # so that it stays where it is when the saved page grows
            legend.set_bbox_to_anchor((0, 0, 1, 1), drawing.transFigure)
        places = [axes.get_position() for axes in self.axes]
        self.x_label.set_x((places[0].x0 + places[self.columns - 1].x1) / 2)
        self.y_label.set_y((places[0].y1 + places[-1].y0) / 2)
        return drawing

    def finish_empty(self) -> Drawing:
        """`finish` a figure of which nothing was run; its panels say so."""
        for axes in self.axes:
            axes.set_axis_off()
            say_nothing(axes)
        return self.finish()


def add_caption(drawing: Drawing, figure: Figure) -> None:
    """Write a figure's title above its page and its note below; the page is then to be saved as `get_tightbbox` says.

    Args:
        drawing: what `Page.finish` returned.
        figure: whose title and note.
    """
    width, height = drawing.get_size_inches()
    title, note = wrap(figure.title, width, 10, "bold"), wrap(figure.note, width, 6.5)
    edge, gap = GAP / width, GAP / height
    drawing.text(edge, 1 + gap, title, fontsize=10, va="bottom", weight="bold", linespacing=1.2)
    drawing.text(edge, -gap, note, fontsize=6.5, va="top", color="0.3", linespacing=1.2)


def say_nothing(axes: Axes) -> None:
    """Write in a panel that it has nothing to show.

    Args:
        axes: of the panel.
    """
    axes.text(0.5, 0.5, NOTHING, transform=axes.transAxes, ha="center", va="center", color="0.3")


def plain_text(text: str) -> str:
    """One line of printable characters; XML cannot hold the others.

    Args:
        text: any text.
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """The text in lines as narrow as asked for; Matplotlib itself wraps at the page's edge only and cuts no word.

    Args:
        text: any text; white space is one space.
        inches: the most that a line may take, as measured in the font; longer words are cut.
        size: of the font, in points.
        weight: of the font, "normal" or "bold".
    """
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
    """Inches that a text of one line takes.

    Args:
        text: one line.
        size: of the font, in points.
        weight: of the font, "normal" or "bold".
    """
    font = FontProperties(size=size, weight=weight)
    width = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return float(width) / 72


def show_number(value: float, _: object = None) -> str:
    """A number with a proper minus sign and no more digits than it needs.

    Args:
        value: the number. (Matplotlib's formatters pass a position as well, which is not used.)
    """
    mantissa, _e, exponent = f"{value:g}".partition("e")
    return (f"{mantissa}e{int(exponent)}" if exponent else mantissa).replace("-", "−")
