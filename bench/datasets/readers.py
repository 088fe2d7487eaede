"""Readers: a file of actions in a published form -> `Interactions`.

Every reader returns rows in file order and raises `InputError` naming file and line for whatever does not fit the
form: nothing is skipped or repaired. Accepted everywhere: a UTF-8 byte-order mark and Windows line ends. The last line
must have its line end, since without it nobody can tell a whole file from one that was cut short.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import InputError
from causalrec.interactions import Interactions

MAX_LINE = 1 << 20
Labels = npt.NDArray[np.object_]
Line = Callable[[int], int]

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


@dataclass(frozen=True)
class _Table:
    """Columns of text by position, and the file's line of each row."""

    path: Path
    columns: dict[int, Labels]
    line: Line

    def codes(self, column: int, what: str, form: Form) -> tuple[npt.NDArray[np.int64], Labels]:
        """Codes (rows,) and distinct values of a column, each of which must have the form."""
        codes, values = pd.factorize(self.columns[column])
        pattern, expected = form
        for code, value in enumerate(values):
            if pattern.fullmatch(value) is None:
                row = int((codes == code).argmax())
                raise _bad(self.path, self.line(row), f"{what} is {_show(value)}", f"expected {expected}")
        return codes.astype(np.int64), np.asarray(values, dtype=object)

    def numbers(self, column: int, what: str) -> npt.NDArray[np.float64]:
        """A column of finite numbers: (rows,) float64."""
        codes, values = self.codes(column, what, NUMBER)
        numbers = values.astype(np.float64)
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)[codes]).argmax())
            shown = _show(self.columns[column][row])
            raise _bad(self.path, self.line(row), f"{what} is {shown}", f"expected {NUMBER[1]}")
        return numbers[codes]

    def interactions(
        self, user: int, item: int, ids: tuple[Form, Form], times: npt.NDArray[np.float64] | None
    ) -> Interactions:
        users, user_labels = self.codes(user, "the user", ids[0])
        items, item_labels = self.codes(item, "the item", ids[1])
        return Interactions(users, items, times, tuple(user_labels), tuple(item_labels))


def read_movielens_100k(path: Path) -> Interactions:
    """`u.data` of MovieLens-100K: user, item, rating, unix time, tabs between, no header."""
    table = _read_plain(path, "\t", 4, (0, 1, 2, 3))
    table.codes(2, "the rating", RATING)
    return table.interactions(0, 1, (NUMERIC_ID, NUMERIC_ID), table.numbers(3, "the time"))


def read_movielens_1m(path: Path) -> Interactions:
    """`ratings.dat` of MovieLens-1M: `user::item::rating::time`, no header."""
    table = _read_plain(path, "::", 4, (0, 1, 2, 3), encoding="latin-1")
    table.codes(2, "the rating", RATING)
    return table.interactions(0, 1, (NUMERIC_ID, NUMERIC_ID), table.numbers(3, "the time"))


def read_user_item(path: Path) -> Interactions:
    """SASRec's form: `user item`, one space between, no header; file order is time order."""
    return _read_plain(path, " ", 2, (0, 1)).interactions(0, 1, (NUMERIC_ID, NUMERIC_ID), None)


def read_foursquare(path: Path) -> Interactions:
    """TSMC2014 check-ins as published (Yang et al. 2015), tabs between, no header, ISO-8859-1.

    User, venue, category id, category name, latitude, longitude, offset from UTC in minutes, UTC time. The time
    becomes seconds since 1970; the offset is not applied, since order in time does not depend on it.
    """
    table = _read_plain(path, "\t", 8, (0, 1, 7), encoding="latin-1")
    codes, values = table.codes(7, "the time", UTC_TIME)
    stamps = pd.to_datetime(pd.Series(values), format="%a %b %d %H:%M:%S %z %Y", utc=True, errors="coerce")
    if stamps.isna().any():
        row = int((codes == int(stamps.isna().to_numpy().argmax())).argmax())
        shown = _show(table.columns[7][row])
        raise _bad(path, table.line(row), f"the time is {shown}", "expected a date and time that exist")
    seconds = stamps.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    return table.interactions(0, 1, (NUMERIC_ID, ANY_ID), seconds.astype(np.float64)[codes])


def read_kgrec(path: Path) -> Interactions:
    """`implicit_lf_dataset.csv` of KGRec-music: user, item, 1, tabs between, no header, no times: file order."""
    table = _read_plain(path, "\t", 3, (0, 1, 2))
    table.codes(2, "the third column", ONE)
    return table.interactions(0, 1, (NUMERIC_ID, NUMERIC_ID), None)


def read_lists(path: Path) -> Interactions:
    """One user a line, `user item item ...`, one space between; the line's order is time order."""
    data = _load(path, "utf-8")
    lengths = _separators(data, b" ")
    if (lengths == 0).any():
        raise _bad(path, int((lengths == 0).argmax()) + 1, "there is one column", "expected `user item item ...`")
    tokens = np.array(data[:-1].replace(b"\n", b" ").decode().split(" "), dtype=object)
    ends = np.cumsum(lengths + 1)
    is_user = np.zeros(len(tokens), dtype=np.bool_)
    is_user[ends - lengths - 1] = True
    owners = _Table(path, {0: tokens[is_user]}, lambda row: row + 1)
    users, user_labels = owners.codes(0, "the user", NUMERIC_ID)
    if len(user_labels) < len(users):
        again = int(pd.Series(users).duplicated().argmax())
        raise _bad(path, again + 1, f"user {_show(tokens[is_user][again])} has a second line", "expected one a user")
    owner = np.repeat(np.arange(len(lengths)), lengths)
    actions = _Table(path, {0: tokens[~is_user]}, lambda row: int(owner[row]) + 1)
    items, item_labels = actions.codes(0, "an item", NUMERIC_ID)
    return Interactions(users[owner], items, None, tuple(user_labels), tuple(item_labels))


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
    data = _load(path, "utf-8")
    names = [name for name in (user, item, time) if name is not None]
    if len(set(names)) != len(names):
        raise InputError(f"{path}: user, item and time must name three different columns, got {', '.join(names)}")
    table, at = (_quoted if b'"' in data else _headed)(path, data, sep, names)
    times = None if time is None else table.numbers(at[2], "the time")
    return table.interactions(at[0], at[1], (ANY_ID, ANY_ID), times)


def read_recbole(
    path: Path, *, user: str = "user_id", item: str = "item_id", time: str | None = "timestamp"
) -> Interactions:
    """Read RecBole's atomic `.inter`, tabs between, a header such as `user_id:token  item_id:token  timestamp:float`.

    Pass `time=None` where the file has no times: file order is then time order.
    """
    data = _load(path, "utf-8")
    names = [f"{user}:token", f"{item}:token", *([] if time is None else [f"{time}:float"])]
    table, at = _headed(path, data, "\t", names)
    times = None if time is None else table.numbers(at[2], "the time")
    return table.interactions(at[0], at[1], (ANY_ID, ANY_ID), times)


def _read_plain(path: Path, sep: str, width: int, use: tuple[int, ...], encoding: str = "utf-8") -> _Table:
    data = _load(path, encoding)
    if len(sep) > 1:
        if b"\t" in data:
            raise _bad(path, _line_at(data, data.index(b"\t")), "there is a tab", f"expected {sep!r} between columns")
        data, sep = data.replace(sep.encode(), b"\t"), "\t"
    return _parse(path, data, sep, width, use, encoding=encoding)


def _load(path: Path, encoding: str) -> bytes:
    """The file's bytes, known to be text in the encoding, with bare line feeds as line ends."""
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path")
        if not path.is_file():
            raise InputError(f"{path}: this is not a file; name the data file itself")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not data:
        raise InputError(f"{path}: the file is empty; get it again")
    for byte, what in ((b"\0", "a NUL byte"), (b"\r", "a carriage return inside the line")):
        if byte in data:
            raise _bad(path, _line_at(data, data.index(byte)), f"there is {what}", "expected plain text")
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        bad = f"byte 0x{data[error.start]:02x} is not {encoding}"
        raise _bad(path, _line_at(data, error.start), bad, f"save the file as {encoding}") from error
    if not data.endswith(b"\n"):
        hint = "the file may be cut short: get it again, or if it is whole add a line end"
        raise _bad(path, data.count(b"\n") + 1, "the last line has no line end", hint)
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    widths = np.diff(ends, prepend=-1)
    if widths.max() > MAX_LINE:
        line = int((widths > MAX_LINE).argmax()) + 1
        raise _bad(path, line, f"the line has {widths[line - 1]} bytes", f"expected at most {MAX_LINE}")
    return data


def _parse(
    path: Path, data: bytes, sep: str, width: int, use: tuple[int, ...], *, skip: int = 0, encoding: str = "utf-8"
) -> _Table:
    """The chosen columns of lines that each have `width` columns; quotes are ordinary characters."""
    counts = _separators(data, sep.encode()) + 1
    wrong = counts != width
    if wrong.any():
        line = int(wrong.argmax()) + 1
        between = {"\t": "a tab", " ": "one space"}.get(sep, repr(sep))
        raise _bad(path, line, f"there are {counts[line - 1]} columns", f"expected {width} with {between} between")
    if len(counts) <= skip:
        raise InputError(f"{path}: there is a header and no rows; get the file again")
    frame = pd.read_csv(
        io.BytesIO(data),
        sep=sep,
        header=None,
        skiprows=skip,
        usecols=sorted(set(use)),
        dtype=object,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        lineterminator="\n",
        skip_blank_lines=False,
        encoding=encoding,
        low_memory=False,
    )
    columns = {int(name): np.asarray(frame[name], dtype=object) for name in frame.columns}
    return _Table(path, columns, lambda row: row + skip + 1)


def _headed(path: Path, data: bytes, sep: str, names: list[str]) -> tuple[_Table, list[int]]:
    """The named columns of a file without quoted fields, and where they stand."""
    header = data[: data.index(b"\n")].decode().split(sep)
    use = [_find(path, header, name) for name in names]
    return _parse(path, data, sep, len(header), tuple(use), skip=1), use


def _quoted(path: Path, data: bytes, sep: str, names: list[str]) -> tuple[_Table, list[int]]:
    """The named columns of a file whose quoted fields may hold separators and line ends, and where they stand."""
    reader = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=sep, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    start = 1
    try:
        for row in reader:
            rows.append(row)
            lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise _bad(path, start, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            raise _bad(path, line, f"there are {len(row)} columns", f"expected {len(rows[0])}, as in the header")
    if len(rows) == 1:
        raise InputError(f"{path}: there is a header and no rows; get the file again")
    use = [_find(path, rows[0], name) for name in names]
    columns = {column: np.array([row[column] for row in rows[1:]], dtype=object) for column in use}
    return _Table(path, columns, lambda row: lines[row + 1]), use


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
