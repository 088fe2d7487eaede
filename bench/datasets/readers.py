"""Readers: a file of actions in a published form -> `Interactions`.

Every reader returns rows in file order and raises InputError naming file and line for whatever does not fit the form:
nothing is skipped or repaired. Files are checked and parsed block by block; the first block with a fault ends the
reading. Accepted everywhere: a UTF-8 byte-order mark and Windows line ends. The last line must have its line end, since
without it nobody can tell a whole file from one that was cut short.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import InputError
from bench.text import short
from causalrec.interactions import Interactions

MAX_LINE = 1 << 20  # bytes
BLOCK = 1 << 24  # bytes read and parsed at a time, so that the memory taken is that of the file's numbers
QUOTED_ROWS = 1 << 16  # rows parsed at a time where fields are quoted
Labels: TypeAlias = npt.NDArray[np.object_]
Form: TypeAlias = tuple[re.Pattern[str], str]
"""What a text must match, and the same in words."""
Block: TypeAlias = tuple[bytes, int]
"""Whole lines of a file, and how many lines come before them."""

NUMERIC_ID = (re.compile(r"0|[1-9][0-9]{0,17}"), "a whole number without sign or leading zeros")
ANY_ID = (re.compile(r"(?s).+"), "an id that is not empty")
NUMBER = (re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"), "a finite number")
RATING = (re.compile(r"[1-5]"), "a rating from 1 to 5")
ONE = (re.compile(r"1(\.0)?"), "1")
UTC_TIME = (
    re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \+0000 [0-9]{4}"),
    "a UTC time such as 'Tue Apr 03 18:00:09 +0000 2012', a date and time that exist",
)


@dataclass
class _Column:
    """A column whose texts must have a form; it is gathered block by block as what `numbers` makes of the texts."""

    what: str
    form: Form
    known: dict[str, int] = field(default_factory=dict)
    parts: list[npt.NDArray[Any]] = field(default_factory=list)

    def add(self, column: Labels, path: Path, lines: Sequence[int]) -> None:
        """Check and gather the column of one block, whose rows begin in these lines of the file."""
        (pattern, expected), (codes, values) = self.form, pd.factorize(column)
        wrong = [k for k, value in enumerate(values) if value not in self.known and not pattern.fullmatch(value)]
        if not wrong:
            numbers = self.numbers(values)
            wrong = np.flatnonzero(~np.isfinite(numbers)).tolist()
        if wrong:
            line = lines[int((codes == wrong[0]).argmax())]
            raise _bad(path, line, f"{self.what} is {short(values[wrong[0]])}", f"expected {expected}")
        self.parts.append(numbers[codes])

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        """What stands for each of the values, (values,); here nothing is to be kept of them."""
        return np.zeros(len(values), dtype=np.int8)

    def rows(self, dtype: type) -> npt.NDArray[Any]:
        """The column of all blocks, (rows,); what was gathered is given up."""
        parts, self.parts = self.parts, []
        return np.concatenate(parts, dtype=dtype)


class _Ids(_Column):
    """A column of ids, as codes in the order in which the ids first occur."""

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        return np.array([self.known.setdefault(value, len(self.known)) for value in values], dtype=np.int32)


class _Times(_Column):
    """A column of numbers."""

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        return values.astype(np.float64)


class _UtcTimes(_Column):
    """A column of UTC times, as seconds since 1970; NaN where there is no such date."""

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        stamps = pd.to_datetime(pd.Series(values), format="%a %b %d %H:%M:%S %z %Y", utc=True, errors="coerce")
        return ((stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)


Columns: TypeAlias = Sequence[tuple[int, _Column]]
"""What is made of which column, by its place; in the order in which columns are checked."""


def read_movielens_100k(path: Path) -> Interactions:
    """Read `u.data` of MovieLens-100K: user, item, rating, unix time, tabs between, no header.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, "\t", 4, _Column("the rating", RATING), _Times("the time", NUMBER))


def read_movielens_1m(path: Path) -> Interactions:
    """Read `ratings.dat` of MovieLens-1M: `user::item::rating::time`, no header.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    checked = _Column("the rating", RATING)
    return _read_published(path, "::", 4, checked, _Times("the time", NUMBER), encoding="latin-1")


def read_user_item(path: Path) -> Interactions:
    """Read SASRec's form: `user item`, one space between, no header; file order is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, " ", 2)


def read_foursquare(path: Path) -> Interactions:
    """Read TSMC2014 check-ins as published (Yang et al. 2015), tabs between, no header, ISO-8859-1.

    User, venue, category id, category name, latitude, longitude, offset from UTC in minutes, UTC time. The time
    becomes seconds since 1970; the offset is not applied, since order in time does not depend on it.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    times = _UtcTimes("the time", UTC_TIME)
    return _read_published(path, "\t", 8, times=times, item=ANY_ID, encoding="latin-1")


def read_kgrec(path: Path) -> Interactions:
    """Read `implicit_lf_dataset.csv` of KGRec-music: user, item, 1, tabs between, no header; file order is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read or a line does not fit.
    """
    return _read_published(path, "\t", 3, _Column("the third column", ONE))


def read_lists(path: Path) -> Interactions:
    """Read one line per user, `user item item ...`, one space between; the order in the line is time order.

    Args:
        path: The file.

    Raises:
        InputError: The file cannot be read, a line does not fit, or a user has two lines.
    """
    users, items = _Ids("the user", NUMERIC_ID), _Ids("an item", NUMERIC_ID)
    lengths: list[npt.NDArray[np.int64]] = []
    for data, before in _blocks(path, "utf-8"):
        actions = _separators(data, " ")
        if (actions == 0).any():
            line = before + int((actions == 0).argmax()) + 1
            raise _bad(path, line, "there is one column", "expected `user item item ...`")
        tokens = np.array(data[:-1].replace(b"\n", b" ").decode().split(" "), dtype=object)
        is_user = np.zeros(len(tokens), dtype=np.bool_)
        is_user[np.cumsum(actions + 1) - actions - 1] = True
        users.add(tokens[is_user], path, range(before + 1, before + 1 + len(actions)))
        again = users.parts[-1] != before + np.arange(len(actions))
        if again.any():
            row = int(again.argmax())
            shown = short(tokens[is_user][row])
            raise _bad(path, before + row + 1, f"user {shown} has a second line", "expected one line per user")
        lines = before + 1 + np.repeat(np.arange(len(actions)), actions)
        items.add(tokens[~is_user], path, lines.tolist())
        lengths.append(actions)
    owners = np.repeat(users.rows(np.int64), np.concatenate(lengths))
    return Interactions(owners, items.rows(np.int64), None, tuple(users.known), tuple(items.known))


def read_table(
    path: Path, *, user: str, item: str, time: str | None = None, sep: str | None = None
) -> Interactions:
    """Read a table with a header line, by the names of its columns; quoted fields are read as RFC 4180 has them.

    Args:
        path: The file, UTF-8.
        user: Name of the column of users; ids are any text that is not empty.
        item: Name of the column of items; ids are any text that is not empty.
        time: Name of the column of times, which are numbers (seconds, say). Default: file order is time order.
        sep: One character between columns. Default: a comma for .csv, a tab for .tsv and .txt.

    Raises:
        InputError: The file cannot be read, a column is not there or a line does not fit.
    """
    if sep is None:
        sep = {".csv": ",", ".tsv": "\t", ".txt": "\t"}.get(path.suffix.lower())
        if sep is None:
            raise InputError(f"{path}: the separator cannot be told from {path.suffix!r}; name the file .csv or .tsv")
    if len(sep) != 1 or not sep.isascii() or sep in '"\r\n\0':
        raise InputError(f"the separator must be one plain character such as ',' or a tab, got {sep!r}")
    names = [name for name in (user, item, time) if name is not None]
    if len(set(names)) != len(names):
        raise InputError(f"{path}: user, item and time must name three different columns, got {', '.join(names)}")
    return _read_named(path, sep, names, quotes=True)


def read_recbole(
    path: Path, *, user: str = "user_id", item: str = "item_id", time: str | None = "timestamp"
) -> Interactions:
    """Read RecBole's atomic `.inter`, tabs between, a header such as `user_id:token  item_id:token  timestamp:float`.

    Args:
        path: The file, UTF-8.
        user: Name of the column of users, without its `:token`.
        item: Name of the column of items, without its `:token`.
        time: Name of the column of times, without its `:float`; None where there is none: file order is time order.

    Raises:
        InputError: The file cannot be read, a column is not there or a line does not fit.
    """
    names = [f"{user}:token", f"{item}:token", *([] if time is None else [f"{time}:float"])]
    return _read_named(path, "\t", names, quotes=False)


def _read_published(
    path: Path, sep: str, width: int, third: _Column | None = None, times: _Column | None = None,
    item: Form = NUMERIC_ID, encoding: str = "utf-8",
) -> Interactions:  # fmt: skip
    """User, item, perhaps a third column that is checked, and perhaps times, in the last of `width` columns."""
    users, items = _Ids("the user", NUMERIC_ID), _Ids("the item", item)
    columns = [(place, column) for place, column in ((2, third), (width - 1, times)) if column is not None]
    blocks = _blocks(path, encoding)
    if len(sep) > 1:
        blocks, sep = _with_tabs(path, blocks, sep), "\t"
    _read_plain(path, blocks, sep, width, [*columns, (0, users), (1, items)], encoding)
    return _interactions(users, items, times)


def _with_tabs(path: Path, blocks: Iterator[Block], sep: str) -> Iterator[Block]:
    """Blocks with a tab in the place of a longer separator."""
    for data, before in blocks:
        if b"\t" in data:
            line = before + _line_at(data, data.index(b"\t"))
            raise _bad(path, line, "there is a tab", f"expected {sep!r} between columns")
        yield data.replace(sep.encode(), b"\t"), before


def _interactions(users: _Ids, items: _Ids, times: _Column | None) -> Interactions:
    stamps = None if times is None else times.rows(np.float64)
    return Interactions(
        users.rows(np.int64), items.rows(np.int64), stamps, tuple(users.known), tuple(items.known)
    )


def _blocks(path: Path, encoding: str) -> Iterator[Block]:
    """The file in blocks of whole lines: text in that encoding, bare line feeds, no line longer than `MAX_LINE`."""
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path")
        if not path.is_file():
            raise InputError(f"{path}: this is not a file; name the data file itself")
        with path.open("rb") as file:
            before, data = 0, file.read(BLOCK).removeprefix(b"\xef\xbb\xbf")
            if not data:
                raise InputError(f"{path}: the file is empty; get it again")
            while data:
                if not data.endswith(b"\n"):
                    data += file.readline(MAX_LINE + 2)
                data = _checked(path, data, before, encoding)
                yield data, before
                before, data = before + data.count(b"\n"), file.read(BLOCK)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _checked(path: Path, data: bytes, before: int, encoding: str) -> bytes:
    """Lines as `_blocks` gives them; raises InputError for the first line that is no such text."""
    data = data.replace(b"\r\n", b"\n")
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    widths = np.diff(ends, prepend=-1, append=len(data))  # the last one is of what comes after the last line end
    if (long := np.flatnonzero(widths > MAX_LINE)).size:
        size = f"over {MAX_LINE}" if long[0] == len(ends) else widths[long[0]]
        raise _bad(path, before + int(long[0]) + 1, f"the line has {size} bytes", f"expected at most {MAX_LINE}")
    for byte, what in ((b"\0", "a NUL byte"), (b"\r", "a carriage return inside the line")):
        if byte in data:
            line = before + _line_at(data, data.index(byte))
            raise _bad(path, line, f"there is {what}", "expected plain text")
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        bad = f"byte 0x{data[error.start]:02x} is not {encoding}"
        raise _bad(path, before + _line_at(data, error.start), bad, f"save the file as {encoding}") from error
    if widths[-1] > 1:
        hint = "the file may be cut short: get it again, or if it is whole add a line end"
        raise _bad(path, before + len(ends) + 1, "the last line has no line end", hint)
    return data


def _read_plain(
    path: Path, blocks: Iterator[Block], sep: str, width: int, columns: Columns, encoding: str = "utf-8",
    quotes: bool = False,
) -> None:  # fmt: skip
    """Gather columns from lines that must have `width` of them.

    With `quotes` fields may be quoted: from the first block with a quote on, lines are read by the slower `csv`.
    """
    for data, before in blocks:
        if quotes and b'"' in data:
            _read_quoted(path, itertools.chain([(data, before)], blocks), before, sep, width, columns)
            return
        counts = _separators(data, sep) + 1
        if (counts != width).any():
            row = int((counts != width).argmax())
            raise _wrong_width(path, before + row + 1, int(counts[row]), width, sep)
        frame = pd.read_csv(
            io.BytesIO(data), sep=sep, header=None, usecols=sorted({place for place, _ in columns}), dtype=object,
            na_filter=False, quoting=csv.QUOTE_NONE, lineterminator="\n", skip_blank_lines=False, encoding=encoding,
            low_memory=False,
        )  # fmt: skip
        for place, column in columns:
            column.add(np.asarray(frame[place], dtype=object), path, range(before + 1, before + 1 + len(counts)))


def _read_quoted(
    path: Path, blocks: Iterator[Block], before: int, sep: str, width: int, columns: Columns
) -> None:
    """Gather columns of rows, after `before` lines, whose quoted fields may hold separators and line ends."""
    lines = (line.decode() for data, _ in blocks for line in io.BytesIO(data))
    reader = csv.reader(lines, delimiter=sep, strict=True)
    while True:
        rows, line = dict[int, list[str]](), before + reader.line_num + 1  # by the line in which a row begins
        try:
            for row in itertools.islice(reader, QUOTED_ROWS):
                if len(row) != width:
                    raise _wrong_width(path, line, len(row), width, sep)
                rows[line], line = row, before + reader.line_num + 1
        except csv.Error as error:
            raise _bad(path, line, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error
        if not rows:
            return
        for place, column in columns:
            column.add(np.array([row[place] for row in rows.values()], dtype=object), path, list(rows))


def _read_named(path: Path, sep: str, names: list[str], quotes: bool) -> Interactions:
    """The columns that the header names user, item and, where there is a third, time."""
    blocks = _blocks(path, "utf-8")
    first, _ = next(blocks)
    lines = (line.decode() for line in io.BytesIO(first))
    reader = csv.reader(
        lines, delimiter=sep, strict=True, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    )
    try:
        header = next(reader)
    except csv.Error as error:
        raise _bad(path, 1, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error
    users, items, times = _Ids("the user", ANY_ID), _Ids("the item", ANY_ID), _Times("the time", NUMBER)
    columns = [(_find(path, header, name), column) for name, column in zip(names, (users, items, times), strict=False)]
    rest = first.split(b"\n", reader.line_num)[-1]
    rows = itertools.chain([(rest, reader.line_num)] if rest else [], blocks)
    _read_plain(path, rows, sep, len(header), columns[2:] + columns[:2], quotes=quotes)
    if not users.parts:
        raise InputError(f"{path}: there is a header and no rows; get the file again")
    return _interactions(users, items, times if len(names) > 2 else None)


def _separators(data: bytes, sep: str) -> npt.NDArray[np.int64]:
    """How many separators each line has: (lines,)."""
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    found = np.flatnonzero(characters == ord(sep))
    return np.diff(np.searchsorted(found, ends), prepend=0)


def _find(path: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        found = "twice" if name in header else "not"
        columns = short(", ".join(header))
        raise _bad(path, 1, f"column {name!r} is {found} in the header", f"the columns are {columns}")
    return header.index(name)


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1



def _wrong_width(path: Path, line: int, found: int, width: int, sep: str) -> InputError:
    between = {"\t": "a tab", " ": "one space"}.get(sep, repr(sep))
    return _bad(path, line, f"there are {found} columns", f"expected {width} with {between} between")


def _bad(path: Path, line: int, found: str, advice: str) -> InputError:
    return InputError(f"{path}, line {line}: {found}; {advice}")
