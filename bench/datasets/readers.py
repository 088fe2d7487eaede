"""Readers: a file of actions in a published form -> `Interactions`.

Every reader returns rows in file order and raises `InputError` naming file and line for whatever does not fit the
form: nothing is skipped or repaired. Files are read block by block; the first block with a fault ends it. Accepted
everywhere: a UTF-8 byte-order mark and Windows line ends. The last line must have its line end, since without it nobody
can tell a whole file from one that was cut short.
"""

import csv
import io
import itertools
import re
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import InputError
from causalrec.interactions import Interactions

MAX_LINE = 1 << 20
BLOCK = 1 << 24  # bytes read and parsed at a time: a file of any size is read in memory of its numbers, not its text
QUOTED_ROWS = 1 << 17
Labels = npt.NDArray[np.object_]
Fail = Callable[[int, str, str], InputError]
"""Makes the error of a row of a block: what was found there, what to do."""

NUMERIC_ID = (re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII), "a whole number without sign or leading zeros")
ANY_ID = (re.compile(r"(?s).+"), "an id that is not empty")
NUMBER = (re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII), "a finite number")
RATING = (re.compile(r"[1-5]", re.ASCII), "a rating from 1 to 5")
ONE = (re.compile(r"1(\.0)?", re.ASCII), "1")
UTC_TIME = (
    re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \+0000 \d{4}", re.ASCII),
    "a UTC time such as 'Tue Apr 03 18:00:09 +0000 2012'",
)
Form = tuple[re.Pattern[str], str]


@dataclass
class _Ids:
    """A column of ids, gathered block by block: codes in the order in which the ids come."""

    what: str
    form: Form
    known: dict[str, int] = field(default_factory=dict)
    parts: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, column: Labels, fail: Fail) -> None:
        codes, values = _distinct(column)
        _check(self.what, self.form, codes, values, fail, skip=self.known)
        here = [self.known.setdefault(value, len(self.known)) for value in values]
        self.parts.append(np.array(here, dtype=np.int32)[codes])

    def codes(self) -> npt.NDArray[np.int64]:
        """The codes of all rows, (rows,); what was gathered is given up."""
        parts, self.parts = self.parts, []
        return np.concatenate(parts, dtype=np.int64)


@dataclass
class _Numbers:
    """A column of finite numbers, gathered block by block."""

    what: str
    parts: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, column: Labels, fail: Fail) -> None:
        codes, values = _distinct(column)
        _check(self.what, NUMBER, codes, values, fail)
        numbers = values.astype(np.float64)[codes]
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)).argmax())
            raise fail(row, f"{self.what} is {_show(column[row])}", f"expected {NUMBER[1]}")
        self.parts.append(numbers)

    def numbers(self) -> npt.NDArray[np.float64]:
        """The numbers of all rows, (rows,); what was gathered is given up."""
        parts, self.parts = self.parts, []
        return np.concatenate(parts)


class _UtcTimes(_Numbers):
    """A column of UTC times, as seconds since 1970."""

    def add(self, column: Labels, fail: Fail) -> None:
        codes, values = _distinct(column)
        _check(self.what, UTC_TIME, codes, values, fail)
        stamps = pd.to_datetime(pd.Series(values), format="%a %b %d %H:%M:%S %z %Y", utc=True, errors="coerce")
        if stamps.isna().any():
            row = int((codes == int(stamps.isna().to_numpy().argmax())).argmax())
            raise fail(row, f"{self.what} is {_show(column[row])}", "expected a date and time that exist")
        seconds = stamps.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
        self.parts.append(seconds.astype(np.float64)[codes])


@dataclass
class _Checked:
    """A column of which nothing is kept."""

    what: str
    form: Form

    def add(self, column: Labels, fail: Fail) -> None:
        _check(self.what, self.form, *_distinct(column), fail)


Columns = Sequence[tuple[int, _Ids | _Numbers | _Checked]]
"""What is made of which column, by its place; in the order in which columns are checked."""


def _users() -> _Ids:
    return _Ids("the user", NUMERIC_ID)


def _items() -> _Ids:
    return _Ids("the item", NUMERIC_ID)


def _interactions(users: _Ids, items: _Ids, times: _Numbers | None) -> Interactions:
    told = None if times is None else times.numbers()
    return Interactions(users.codes(), items.codes(), told, tuple(users.known), tuple(items.known))


def read_movielens_100k(path: Path) -> Interactions:
    """`u.data` of MovieLens-100K: user, item, rating, unix time, tabs between, no header."""
    users, items, times = _users(), _items(), _Numbers("the time")
    _read_plain(path, "\t", 4, ((2, _Checked("the rating", RATING)), (3, times), (0, users), (1, items)))
    return _interactions(users, items, times)


def read_movielens_1m(path: Path) -> Interactions:
    """`ratings.dat` of MovieLens-1M: `user::item::rating::time`, no header."""
    users, items, times = _users(), _items(), _Numbers("the time")
    columns = ((2, _Checked("the rating", RATING)), (3, times), (0, users), (1, items))
    _read_plain(path, "::", 4, columns, encoding="latin-1")
    return _interactions(users, items, times)


def read_user_item(path: Path) -> Interactions:
    """SASRec's form: `user item`, one space between, no header; file order is time order."""
    users, items = _users(), _items()
    _read_plain(path, " ", 2, ((0, users), (1, items)))
    return _interactions(users, items, None)


def read_foursquare(path: Path) -> Interactions:
    """TSMC2014 check-ins as published (Yang et al. 2015), tabs between, no header, ISO-8859-1.

    User, venue, category id, category name, latitude, longitude, offset from UTC in minutes, UTC time. The time
    becomes seconds since 1970; the offset is not applied, since order in time does not depend on it.
    """
    users, items, times = _users(), _Ids("the item", ANY_ID), _UtcTimes("the time")
    _read_plain(path, "\t", 8, ((7, times), (0, users), (1, items)), encoding="latin-1")
    return _interactions(users, items, times)


def read_kgrec(path: Path) -> Interactions:
    """`implicit_lf_dataset.csv` of KGRec-music: user, item, 1, tabs between, no header, no times: file order."""
    users, items = _users(), _items()
    _read_plain(path, "\t", 3, ((2, _Checked("the third column", ONE)), (0, users), (1, items)))
    return _interactions(users, items, None)


def read_lists(path: Path) -> Interactions:
    """One user a line, `user item item ...`, one space between; the line's order is time order."""
    users, items = _users(), _Ids("an item", NUMERIC_ID)
    lengths: list[npt.NDArray[np.int64]] = []
    for data, before in _blocks(path, "utf-8"):
        actions = _separators(data, b" ")
        if (actions == 0).any():
            line = before + int((actions == 0).argmax()) + 1
            raise _bad(path, line, "there is one column", "expected `user item item ...`")
        tokens = np.array(data[:-1].replace(b"\n", b" ").decode().split(" "), dtype=object)
        is_user = np.zeros(len(tokens), dtype=np.bool_)
        is_user[np.cumsum(actions + 1) - actions - 1] = True
        users.add(tokens[is_user], _failing(path, range(before + 1, before + 1 + len(actions))))
        again = users.parts[-1] != before + np.arange(len(actions))
        if again.any():
            row = int(again.argmax())
            shown = _show(tokens[is_user][row])
            raise _bad(path, before + row + 1, f"user {shown} has a second line", "expected one a user")
        owner = np.repeat(np.arange(len(actions)), actions)
        items.add(tokens[~is_user], _failing(path, (before + 1 + owner).tolist()))
        lengths.append(actions)
    owners = np.repeat(users.codes(), np.concatenate(lengths))
    return Interactions(owners, items.codes(), None, tuple(users.known), tuple(items.known))


def read_table(path: Path, *, user: str, item: str, time: str | None = None, sep: str | None = None) -> Interactions:
    """Read a CSV or TSV whose first line names its columns; quoted fields are read as RFC 4180 has them.

    user, item, time: column names. Ids are any text. Times are numbers (seconds, say); without `time`, file order is
    time order. sep: one character; by default a comma for .csv, a tab for .tsv and .txt.
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
    quoted = any(b'"' in data for data, _ in _blocks(path, "utf-8"))
    return _read_named(path, sep, names, _quoted if quoted else _headed)


def read_recbole(
    path: Path, *, user: str = "user_id", item: str = "item_id", time: str | None = "timestamp"
) -> Interactions:
    """Read RecBole's atomic `.inter`, tabs between, a header such as `user_id:token  item_id:token  timestamp:float`.

    Pass `time=None` where the file has no times: file order is then time order.
    """
    names = [f"{user}:token", f"{item}:token", *([] if time is None else [f"{time}:float"])]
    return _read_named(path, "\t", names, _headed)


def _read_named(
    path: Path, sep: str, names: list[str], read: Callable[[Path, str, list[str], list[_Ids | _Numbers]], None]
) -> Interactions:
    """The columns named user, item and, where there is a third, time."""
    users, items = _Ids("the user", ANY_ID), _Ids("the item", ANY_ID)
    times = _Numbers("the time") if len(names) > 2 else None
    read(path, sep, names, [users, items, *([] if times is None else [times])])
    return _interactions(users, items, times)


def _read_plain(path: Path, sep: str, width: int, columns: Columns, encoding: str = "utf-8") -> None:
    for data, before in _blocks(path, encoding):
        if len(sep) > 1:
            if b"\t" in data:
                line = before + _line_at(data, data.index(b"\t"))
                raise _bad(path, line, "there is a tab", f"expected {sep!r} between columns")
            _parse(path, data.replace(sep.encode(), b"\t"), before, "\t", width, columns, encoding)
        else:
            _parse(path, data, before, sep, width, columns, encoding)


def _blocks(path: Path, encoding: str) -> Iterator[tuple[bytes, int]]:
    """The file in blocks of whole lines, each with the number of lines before it.

    Known to be text in the encoding, with bare line feeds as line ends, and no line longer than `MAX_LINE`.
    """
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path")
        if not path.is_file():
            raise InputError(f"{path}: this is not a file; name the data file itself")
        with path.open("rb") as file:
            before, rest = 0, b""
            following = file.read(BLOCK).removeprefix(b"\xef\xbb\xbf")
            if not following:
                raise InputError(f"{path}: the file is empty; get it again")
            while following:
                data, following = rest + following, file.read(BLOCK)
                end = data.rfind(b"\n") + 1 if following else len(data)
                block, rest = _text(path, data[:end], before, encoding), data[end:]
                if block:
                    yield block, before
                before += block.count(b"\n")
                if len(rest) > MAX_LINE:
                    found = f"the line has over {MAX_LINE} bytes"
                    raise _bad(path, before + 1, found, f"expected at most {MAX_LINE}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _text(path: Path, data: bytes, before: int, encoding: str) -> bytes:
    """Lines as `_blocks` gives them, or the InputError for what they are instead."""
    data = data.replace(b"\r\n", b"\n")
    for byte, what in ((b"\0", "a NUL byte"), (b"\r", "a carriage return inside the line")):
        if byte in data:
            line = before + _line_at(data, data.index(byte))
            raise _bad(path, line, f"there is {what}", "expected plain text")
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        bad = f"byte 0x{data[error.start]:02x} is not {encoding}"
        raise _bad(path, before + _line_at(data, error.start), bad, f"save the file as {encoding}") from error
    if data and not data.endswith(b"\n"):
        hint = "the file may be cut short: get it again, or if it is whole add a line end"
        raise _bad(path, before + data.count(b"\n") + 1, "the last line has no line end", hint)
    widths = np.diff(np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")), prepend=-1)
    if widths.max(initial=0) > MAX_LINE:
        row = int((widths > MAX_LINE).argmax())
        raise _bad(path, before + row + 1, f"the line has {widths[row]} bytes", f"expected at most {MAX_LINE}")
    return data


def _parse(
    path: Path, data: bytes, before: int, sep: str, width: int, columns: Columns, encoding: str = "utf-8"
) -> None:
    """Add a block's columns; each line must have `width` of them, and quotes are ordinary characters."""
    counts = _separators(data, sep.encode()) + 1
    wrong = counts != width
    if wrong.any():
        row = int(wrong.argmax())
        between = {"\t": "a tab", " ": "one space"}.get(sep, repr(sep))
        found = f"there are {counts[row]} columns"
        raise _bad(path, before + row + 1, found, f"expected {width} with {between} between")
    frame = pd.read_csv(
        io.BytesIO(data),
        sep=sep,
        header=None,
        usecols=sorted({place for place, _ in columns}),
        dtype=object,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        lineterminator="\n",
        skip_blank_lines=False,
        encoding=encoding,
        low_memory=False,
    )
    fail = _failing(path, range(before + 1, before + 1 + len(counts)))
    for place, column in columns:
        column.add(np.asarray(frame[place], dtype=object), fail)


def _headed(path: Path, sep: str, names: list[str], gathered: list[_Ids | _Numbers]) -> None:
    """Gather the named columns of a file without quoted fields."""
    width, rows = 0, 0
    columns: Columns = []
    for data, before in _blocks(path, "utf-8"):
        at = 0
        if not before:
            at = data.index(b"\n") + 1
            header = data[: at - 1].decode().split(sep)
            width, columns = len(header), _placed(path, header, names, gathered)
        if at < len(data):
            _parse(path, data[at:], before or 1, sep, width, columns)
            rows += 1
    if not rows:
        raise InputError(f"{path}: there is a header and no rows; get the file again")


def _quoted(path: Path, sep: str, names: list[str], gathered: list[_Ids | _Numbers]) -> None:
    """Gather the named columns of a file whose quoted fields may hold separators and line ends."""
    texts = (io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="\n") for data, _ in _blocks(path, "utf-8"))
    reader = csv.reader((line for text in texts for line in text), delimiter=sep, strict=True)
    header: list[str] | None = None
    columns: Columns = []
    start, more = 1, True
    while more:
        rows: list[list[str]] = []
        lines: list[int] = []
        try:
            for row in itertools.islice(reader, QUOTED_ROWS):
                rows.append(row)
                lines.append(start)
                start = reader.line_num + 1
        except csv.Error as error:
            raise _bad(path, start, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error
        more = len(rows) == QUOTED_ROWS
        width = len(rows[0] if header is None else header) if rows else 0
        for line, row in zip(lines, rows, strict=True):
            if len(row) != width:
                raise _bad(path, line, f"there are {len(row)} columns", f"expected {width}, as in the header")
        if header is None:
            if len(rows) == 1:
                raise InputError(f"{path}: there is a header and no rows; get the file again")
            header, rows, lines = rows[0], rows[1:], lines[1:]
            columns = _placed(path, header, names, gathered)
        if rows:
            for place, column in columns:
                column.add(np.array([row[place] for row in rows], dtype=object), _failing(path, lines))


def _placed(path: Path, header: list[str], names: list[str], gathered: list[_Ids | _Numbers]) -> Columns:
    """Where each of the named columns stands; the last one, a time where there is one, is checked first."""
    places = [_find(path, header, name) for name in names]
    return sorted(zip(places, gathered, strict=True), key=lambda told: isinstance(told[1], _Ids))


def _distinct(column: Labels) -> tuple[npt.NDArray[np.int64], Labels]:
    """Codes (rows,) and the distinct values of a column, in the order in which they come."""
    codes, values = pd.factorize(column)
    return codes.astype(np.int64, copy=False), np.asarray(values, dtype=object)


def _check(
    what: str, form: Form, codes: npt.NDArray[np.int64], values: Labels, fail: Fail, skip: Container[str] = ()
) -> None:
    """Raise InputError for the first of the values that has not the form; those to skip have it."""
    pattern, expected = form
    for code, value in enumerate(values):
        if value not in skip and pattern.fullmatch(value) is None:
            raise fail(int((codes == code).argmax()), f"{what} is {_show(value)}", f"expected {expected}")


def _failing(path: Path, lines: Sequence[int]) -> Fail:
    """What makes the error of a row in a block whose rows stand in these lines."""
    return lambda row, found, advice: _bad(path, lines[row], found, advice)


def _separators(data: bytes, sep: bytes) -> npt.NDArray[np.int64]:
    """How many separators each line has: (lines,)."""
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    found = np.flatnonzero(characters == ord(sep))
    return np.diff(np.searchsorted(found, ends), prepend=0)


def _find(path: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        found = "twice" if name in header else "not"
        columns = _show(", ".join(header))
        raise _bad(path, 1, f"column {name!r} is {found} in the header", f"the columns are {columns}")
    return header.index(name)


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _show(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:77] + "...")


def _bad(path: Path, line: int, found: str, advice: str) -> InputError:
    return InputError(f"{path}, line {line}: {found}; {advice}")
