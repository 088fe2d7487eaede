"""Figures as plain data, and their tables.

`Curves` are small multiples of y against x with intervals; `Grid` is a map of shares as heat maps; `Forest` is one row
per interval; `Network` is directed graphs on the same nodes. `bench.show.drawing` draws them; it and Matplotlib are
imported by the first figure written.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import InputError
from bench.judge.intervals import Interval, Value
from bench.show.tables import Table

Numbers: TypeAlias = tuple[float, ...]
NAN = float("nan")


@dataclass(frozen=True)
class Series:
    """A curve.

    Args:
        label: for the legend.
        x: (points,), finite.
        y: (points,); NaN is a gap.
        low: lower bounds of y, (points,) or empty.
        high: upper bounds of y, (points,) or empty.

    Raises:
        InputError: different lengths, or an x that is not finite.
    """

    label: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()

    def __post_init__(self) -> None:
        for name in ("x", "y", "low", "high"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        sizes = [len(self.x), len(self.y), len(self.low), len(self.high)]
        if (sizes[2:] != [0, 0] and len(set(sizes)) > 1) or sizes[0] != sizes[1]:
            raise InputError(f"series {self.label!r}: x, y, low and high have {sizes} entries; give as many of each")
        if not all(map(math.isfinite, self.x)):
            raise InputError(f"series {self.label!r}: x is {self.x}; give finite numbers")


@dataclass(frozen=True)
class Panel:
    """Curves under one title.

    Args:
        title: for readers.
        series: the curves.
        rules: vertical lines, each (x, label).
        levels: horizontal lines, each (y, label).
        guides: curves to hold the others against, such as of a known slope; thin, grey and without points.
    """

    title: str
    series: tuple[Series, ...]
    rules: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    guides: tuple[Series, ...] = ()


@dataclass(frozen=True)
class Curves:
    """Panels that share their axes, but for `free_y`, and one legend; a label has one look throughout.

    Args:
        name: of its files, without an ending.
        title: for readers.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        panels: the curves.
        log_x: whether the x axis is logarithmic.
        log_y: whether the y axis is logarithmic.
        y_range: limits of y; None for those of what is shown.
        note: for readers, below the figure; "" for none.
        free_y: whether every panel has a y axis of its own, where one for all would hide what happens in some.

    Raises:
        InputError: a name no file can safely have, a rule or level that is not finite, or a number that is not positive
            on a logarithmic axis.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    panels: tuple[Panel, ...]
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None
    note: str = ""
    free_y: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        for log, axis, lines in ((self.log_x, "x", "rules"), (self.log_y, "y", "levels")):
            drawn = [at for panel in self.panels for at, _ in getattr(panel, lines)]
            if not all(map(math.isfinite, drawn)):
                raise InputError(f"figure {self.name!r}: {lines} at {drawn}; give finite numbers")
            every = [series for panel in self.panels for series in (*panel.series, *panel.guides)]
            drawn += [value for series in every for value in getattr(series, axis)]
            drawn += self.y_range or () if axis == "y" else ()
            if log and any(value <= 0 for value in drawn):
                raise InputError(f"figure {self.name!r}: {axis} has a value <= 0, which no logarithmic axis shows")


@dataclass(frozen=True)
class Mark:
    """A line over a map.

    Args:
        label: for the legend.
        x: (points,) in cells, 0 is the middle of the first column; NaN is a gap.
        y: (points,) in cells, 0 is the middle of the first row; NaN is a gap.
    """

    label: str
    x: Numbers
    y: Numbers


@dataclass(frozen=True)
class Map:
    """Shares in [0, 1], one row per y tick (the first at the bottom), one column per x tick.

    Args:
        title: for readers.
        values: (rows, columns); NaN was not run.
        low: lower bounds, (rows, columns) or empty.
        high: upper bounds, (rows, columns) or empty.
        marks: lines over the map.
    """

    title: str
    values: tuple[Numbers, ...]
    low: tuple[Numbers, ...] = ()
    high: tuple[Numbers, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Maps that share their axes.

    Args:
        name: of its files, without an ending.
        title: for readers.
        x_label: what the columns are, with its unit.
        y_label: what the rows are, with its unit.
        x_ticks: one per column.
        y_ticks: one per row.
        panels: the maps.
        value_label: what the shares are of.
        note: for readers, below the figure; "" for none.

    Raises:
        InputError: a name no file can safely have, a map of another shape than the ticks', or a share outside [0, 1].
    """

    name: str
    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[str, ...]
    y_ticks: tuple[str, ...]
    panels: tuple[Map, ...]
    value_label: str = "share"
    note: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        shape = [len(self.x_ticks)] * len(self.y_ticks)
        for panel in self.panels:
            for cells in (panel.values, panel.low, panel.high):
                if [len(row) for row in cells] != shape and (cells or cells is panel.values):
                    raise InputError(f"figure {self.name!r}, map {panel.title!r}: rows of {[len(r) for r in cells]} "
                                     f"values for ticks of {shape}")  # fmt: skip
                if any(value < 0 or value > 1 for row in cells for value in row):
                    raise InputError(f"figure {self.name!r}, map {panel.title!r}: a share lies outside [0, 1]")


@dataclass(frozen=True)
class Column:
    """A panel of a forest.

    Args:
        title: for readers.
        intervals: one per row of the forest; None where there is none.
        level: where a vertical line stands, such as that of no difference; None for no line.
        limits: of the axis; what lies beyond ends at the edge. None for those of what is shown.
    """

    title: str
    intervals: tuple[Interval | None, ...]
    level: float | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Forest:
    """Intervals by row, the first on top, in panels with an axis of their own.

    Args:
        name: of its files, without an ending.
        title: for readers.
        x_label: what the intervals are of, with its unit.
        rows: their names.
        panels: the intervals.
        note: for readers, below the figure; "" for none.
        y_label: what the rows are; "" where that is plain.

    Raises:
        InputError: a name no file can safely have, a panel with another number of intervals than rows, or an estimate
            that is not finite.
    """

    name: str
    title: str
    x_label: str
    rows: tuple[str, ...]
    panels: tuple[Column, ...]
    note: str = ""
    y_label: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        for panel in self.panels:
            if len(panel.intervals) != len(self.rows):
                raise InputError(f"figure {self.name!r}, panel {panel.title!r}: {len(panel.intervals)} intervals for "
                                 f"{len(self.rows)} rows")  # fmt: skip
            if not all(i is None or math.isfinite(i.estimate) for i in panel.intervals):
                raise InputError(f"figure {self.name!r}, panel {panel.title!r}: an estimate is not finite; give None")


@dataclass(frozen=True)
class Link:
    """An arrow between two nodes.

    Args:
        cause: place of its start among the nodes.
        effect: place of its head among the nodes.
        weight: finite and above 0.
        faint: whether it is dashed.
    """

    cause: int
    effect: int
    weight: float
    faint: bool = False


@dataclass(frozen=True)
class Links:
    """One directed graph on the nodes of a network.

    Args:
        title: for readers.
        links: its arrows.
    """

    title: str
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Network:
    """Directed graphs on the same nodes, side by side; the nodes stand one below the other, the first on top.

    An arrow is as wide and as dark as its weight, relative to the largest of its panel.

    Args:
        name: of its files, without an ending.
        title: for readers.
        x_label: what an arrow means.
        y_label: what the nodes are.
        nodes: their names.
        panels: the graphs.
        faint_label: what the dashed arrows are.
        note: for readers, below the figure; "" for none.

    Raises:
        InputError: a name no file can safely have, a link to itself, twice, or between nodes that are not there, a
            weight that is not finite and above 0, or faint links that nothing explains.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    nodes: tuple[str, ...]
    panels: tuple[Links, ...]
    faint_label: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        for panel in self.panels:
            where = f"figure {self.name!r}, network {panel.title!r}"
            ends = [(link.cause, link.effect) for link in panel.links]
            for cause, effect in ends:
                if not (0 <= cause < len(self.nodes) and 0 <= effect < len(self.nodes)) or cause == effect:
                    raise InputError(f"{where}: a link from {cause} to {effect}; give two of the nodes 0 to "
                                     f"{len(self.nodes) - 1}")  # fmt: skip
            if len(set(ends)) < len(ends):
                raise InputError(f"{where}: a link is given twice; give each once")
            for link in panel.links:
                if not 0 < link.weight < math.inf:
                    raise InputError(f"{where}: weight {link.weight}; give finite ones above 0, no link where none is")
        if not self.faint_label and any(link.faint for panel in self.panels for link in panel.links):
            raise InputError(f"figure {self.name!r}: some links are faint; say in faint_label what that means")


Figure: TypeAlias = Curves | Grid | Forest | Network


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"figure name {name!r} becomes a file's; use letters, digits, _ and -")


def make_series(label: str, points: Iterable[tuple[float, Interval | None]]) -> Series:
    """A curve through estimates with their intervals.

    Args:
        label: for the legend.
        points: (x, interval) each; None is a gap.
    """
    rows = [(x, i.estimate, i.low, i.high) if i else (x, NAN, NAN, NAN) for x, i in points]
    return Series(label, *zip(*rows, strict=True)) if rows else Series(label, (), ())


def make_links(title: str, weights: ArrayLike, faint: ArrayLike = False) -> Links:
    """The links of a matrix of effects.

    Args:
        title: for readers.
        weights: W (nodes, nodes), `W[i, j]` the effect of j on i; there is a link wherever it is not 0.
        faint: which links are faint, bool of a shape that broadcasts to W's.

    Raises:
        InputError: W is not square.
    """
    W = np.asarray(weights, dtype=np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1]:
        raise InputError(f"network {title!r}: W has shape {W.shape}; give as many rows as columns")
    dashed = np.broadcast_to(faint, W.shape)
    return Links(title, tuple(Link(int(j), int(i), float(W[i, j]), bool(dashed[i, j])) for i, j in np.argwhere(W)))


def position(value: float, ticks: Sequence[float]) -> float:
    """Where a value lies among ticks, in cells and by its logarithm; NaN beyond their range.

    Args:
        value: any number.
        ticks: positive and rising.
    """
    if value <= 0:
        return NAN
    return float(np.interp(math.log(value), np.log(ticks), range(len(ticks)), left=NAN, right=NAN))


# As tables


def figure_table(figure: Figure) -> Table:
    """All that a figure draws, one row per point or cell, to the last digit.

    Args:
        figure: the figure.
    """
    if isinstance(figure, Forest):
        return _forest_table(figure)
    if isinstance(figure, Network):
        return _network_table(figure)
    return _curves_table(figure) if isinstance(figure, Curves) else _grid_table(figure)


def _forest_table(figure: Forest) -> Table:
    rows: list[tuple[Value, ...]] = []
    for panel in figure.panels:
        for label, i in zip(figure.rows, panel.intervals, strict=True):
            rows.append((panel.title, label, *((i.estimate, i.low, i.high) if i else (None, None, None))))
    return Table(figure.name, figure.title, ("panel", "row", figure.x_label, "low", "high"), tuple(rows), figure.note)


def _network_table(figure: Network) -> Table:
    rows: list[tuple[Value, ...]] = [("", node, None, None, None) for node in figure.nodes]
    for panel in figure.panels:
        for link in panel.links:
            ends = (figure.nodes[link.cause], figure.nodes[link.effect])
            rows.append((panel.title, *ends, link.weight, "dashed" if link.faint else "solid"))
    dashed = f"Dashed: {figure.faint_label}." if figure.faint_label else ""
    note = f"{figure.note} {dashed}".strip()
    return Table(figure.name, figure.title, ("panel", "cause", "effect", "weight", "line"), tuple(rows), note)


def _curves_table(figure: Curves) -> Table:
    rows: list[tuple[Value, ...]] = []
    for panel in figure.panels:
        for s in (*panel.series, *panel.guides):
            bounds = zip(s.low, s.high, strict=True) if s.low else [(NAN, NAN)] * len(s.x)
            points = zip(s.x, s.y, bounds, strict=True)
            rows += [(panel.title, s.label, x, *map(_known, (y, low, high))) for x, y, (low, high) in points]
        rows += [(panel.title, label, x, None, None, None) for x, label in panel.rules]
        rows += [(panel.title, label, None, y, None, None) for y, label in panel.levels]
    columns = ("panel", "series", figure.x_label, figure.y_label, "low", "high")
    return Table(figure.name, figure.title, columns, tuple(rows), figure.note)


def _grid_table(figure: Grid) -> Table:
    rows: list[tuple[Value, ...]] = []
    for panel in figure.panels:
        for i, y in enumerate(figure.y_ticks):
            for j, x in enumerate(figure.x_ticks):
                cells = (part[i][j] if part else NAN for part in (panel.values, panel.low, panel.high))
                rows.append((panel.title, "", y, x, *map(_known, cells)))
        for mark in panel.marks:
            points = zip(mark.y, mark.x, strict=True)
            rows += [(panel.title, mark.label, *map(_known, point), None, None, None) for point in points]
    columns = ("panel", "line", figure.y_label, figure.x_label, figure.value_label, "low", "high")
    said = "A row that names a line gives a position in cells, the first tick's being 0."
    note = f"{figure.note} {said}".strip() if any(panel.marks for panel in figure.panels) else figure.note
    return Table(figure.name, figure.title, columns, tuple(rows), note)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
