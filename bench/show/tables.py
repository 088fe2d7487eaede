"""Tables as plain data, and their renderings: text, Markdown, CSV, JSON and Rich.

An interval reads `0.123 [0.101, 0.145]`, what is missing reads `–`; a number keeps three decimals, or three
significant digits where it is small or large.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import InputError
from bench.judge.intervals import Interval, Value

if TYPE_CHECKING:
    import rich.table

T = TypeVar("T")
MISSING = "–"
GUTTER = 2  # between columns in a terminal
STYLES = {  # of a cell that says no more than a verdict
    "as claimed": "green", "smaller than claimed": "cyan", "undecided": "yellow", "not above the bar": "red",
    "no effect": "red", "opposite": "bold red", "not testable here": "dim", "not run": "dim",
}  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    """A table of a run.

    Args:
        name: of its files, without an ending.
        title: for readers.
        columns: their heads.
        rows: of one value per column.
        note: for readers, below the table; "" for none.

    Raises:
        InputError: the length of a row is not that of `columns`.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise InputError(
                    f"table {self.name!r}, row {index}: {len(row)} values for {len(self.columns)} columns"
                )

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For every column, whether it holds a number and no text; such columns align right."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        return tuple(
            any(value is not None for value in column) and not any(isinstance(value, str) for value in column)
            for column in columns
        )


def format_value(value: Value) -> str:
    """One value as people read it.

    Args:
        value: of a table.
    """
    if value is None:
        return MISSING
    if isinstance(value, Interval):
        digits = _decimals(value)
        shown = [_format_float(x) if digits is None or not math.isfinite(x) else f"{x:.{digits}f}"
                 for x in (value.estimate, value.low, value.high)]  # fmt: skip
        return f"{shown[0]} [{shown[1]}, {shown[2]}]"
    if isinstance(value, float):
        return _format_float(value)
    return str(value)


def one_line(value: Value) -> str:
    """`format_value` with every run of white space as one space.

    Args:
        value: of a table.
    """
    return " ".join(format_value(value).split())


def _decimals(found: Interval) -> int | None:
    """The decimals at which the distance to the nearer bound has two digits; None where there is no such distance."""
    away = [abs(found.estimate - bound) for bound in (found.low, found.high) if math.isfinite(bound)]
    width = min((distance for distance in away if distance > 0), default=math.nan)
    if not 1e-5 < width < 1e15:
        return None
    return max(0, 1 - math.floor(math.log10(width)))


def _format_float(value: float) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:.3f}"
    return f"{value:.3g}"


def to_text(table: Table) -> str:
    """Aligned plain text, as wide as it needs to be: nothing is cut.

    Args:
        table: the table.
    """
    cells, numeric = _cells(table), table.numeric
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join([table.title, "", *lines, *(["", table.note] if table.note else [])]) + "\n"


def to_markdown(table: Table) -> str:
    """A GitHub table under a bold title; line ends and `|` within a value are escaped, tags and links everywhere.

    Args:
        table: the table.
    """
    rows = [[_inert(text.replace("\\", "\\\\").replace("|", "\\|")) for text in row] for row in _cells(table)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join(" ---: " if right else " --- " for right in table.numeric) + "|")
    note = ["", _inert(table.note)] if table.note else []
    return "\n".join([f"**{_inert(table.title)}**", "", *lines, *note]) + "\n"


def _inert(text: str) -> str:
    """Text for Markdown that can hold neither HTML nor a link nor an image."""
    return text.replace("<", "\\<").replace("](", "]\\(")


def to_csv(table: Table) -> str:
    """CSV (RFC 4180) with numbers to the last digit; an interval takes three columns: estimate, low, high.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers are left alone.

    Args:
        table: the table.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    columns, rows = flat(table)
    writer.writerow([harmless(name) for name in columns])
    writer.writerows([harmless(value) for value in row] for row in rows)
    return buffer.getvalue()


def flat(table: Table) -> tuple[list[str], list[list[Value]]]:
    """Columns and rows in which an interval takes three columns: estimate, low, high.

    Args:
        table: the table.
    """
    spread = [any(isinstance(row[index], Interval) for row in table.rows) for index in range(len(table.columns))]
    heads = [
        [name, f"{name} low", f"{name} high"] if wide else [name]
        for name, wide in zip(table.columns, spread, strict=True)
    ]
    rows = [
        [part for value, wide in zip(row, spread, strict=True) for part in (_spread(value) if wide else [value])]
        for row in table.rows
    ]
    return [name for names in heads for name in names], rows


def to_dict(table: Table) -> dict[str, Any]:
    """JSON data; an interval becomes {'estimate', 'low', 'high', 'n', 'level'}, what is not finite None.

    An interval whose degrees of freedom `n` does not tell has them as 'freedom'.

    Args:
        table: the table.
    """
    return {
        "name": table.name,
        "title": table.title,
        "columns": list(table.columns),
        "rows": [[json_value(value) for value in row] for row in table.rows],
        "note": table.note,
    }


def to_rich(table: Table, width: int | None = None) -> "rich.table.Table":
    """A Rich table for a terminal; markup in values is shown as it stands.

    If not even the longest words of all columns fit side by side, the last columns are left out, and the caption says
    which: no word and no number is cut.

    Args:
        table: what is shown.
        width: of the terminal, in characters; None for as wide as the table needs.
    """
    import rich.box
    import rich.table
    import rich.text

    cells = _cells(table)
    columns = list(zip(*cells, strict=True))
    words = [max(len(word) for text in column for word in (text.split() or [""])) for column in columns]
    kept = len(words)
    while width is not None and kept > 1 and sum(words[:kept]) + GUTTER * (kept - 1) > width:
        kept -= 1
    widths = [max(map(len, column)) for column in columns[:kept]]
    if width is not None:
        widths = _share_out(width - GUTTER * (kept - 1), words, widths)
    left = f"Too wide for {width} columns; left out: {', '.join(table.columns[kept:])}." if kept < len(words) else ""
    caption = " ".join(filter(None, (table.note, left)))
    shown = rich.table.Table(
        title=rich.text.Text(table.title),
        caption=rich.text.Text(caption) if caption else None,
        box=rich.box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for text, wide, right in zip(cells[0], widths, table.numeric, strict=False):
        shown.add_column(rich.text.Text(text), justify="right" if right else "left", width=wide)
    for row in cells[1:]:
        shown.add_row(*(rich.text.Text(text, STYLES.get(text, "")) for text in row[:kept]))
    return shown


def _share_out(room: int, least: list[int], wanted: list[int]) -> list[int]:
    """Widths of columns from `least` up to what they want, as much of it to each as there is room for."""
    widths = least[: len(wanted)]
    while sum(widths) < min(room, sum(wanted)):
        short = [(have / want, at) for at, (have, want) in enumerate(zip(widths, wanted, strict=True)) if have < want]
        widths[min(short)[1]] += 1
    return widths


def _cells(table: Table) -> list[list[str]]:
    """Head and rows as one-line strings."""
    rows: list[Sequence[Value]] = [table.columns, *table.rows]
    return [[one_line(value) for value in row] for row in rows]


def _spread(value: Value) -> list[Value]:
    return [value.estimate, value.low, value.high] if isinstance(value, Interval) else [value, None, None]


def harmless(value: T) -> T | str:
    """A value, as text with a leading apostrophe if a spreadsheet would run it as a formula.

    Args:
        value: of a table.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def json_value(value: Value) -> object:
    """One value as JSON data, see `to_dict`.

    Args:
        value: of a table.
    """
    if isinstance(value, Interval):
        return value.document()
    return None if isinstance(value, float) and not math.isfinite(value) else value
