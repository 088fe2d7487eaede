"""A user's own file of actions: what separates its columns and which of them are meant is found out, and told.

What could be meant in two ways is refused, with the option that says which; nothing is skipped or repaired.
"""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.datasets.blocks import Block, Columns, count_separators, read_blocks, read_plain, with_tabs
from bench.datasets.columns import ANY_ID, NUMBER, Clock, Column, Form, Ids, bad
from bench.errors import InputError
from bench.text import short
from causalrec.interactions import Interactions, Times

FORMATS = ("table", "pairs", "lists")
DELIMITERS = {"tab": "\t", "double-colon": "::", "semicolon": ";", "comma": ",", "blank": " "}
QUOTING = ("comma", "semicolon")  # where a field may be quoted, as RFC 4180 has it
NO_TIME = "none"  # in the place of a column's name: file order is time order
LOOKED_AT = 100  # lines by which the delimiter of a file without header is found out
# Names of columns, in lower case and without `_`, `-`, `.` and blanks.
USUAL = {
    "user": "user userid uid visitor visitorid customer customerid reviewerid member memberid",
    "item": "item itemid iid movie movieid film filmid product productid asin isbn sku article articleid track trackid "
    "song songid book bookid business businessid venue venueid poi poiid game gameid video videoid news newsid",
    "time": "time timestamp ts datetime date unixtime unixtimestamp timestampms unixreviewtime reviewtime eventtime "
    "createdat utctime localtime",
}


@dataclass(frozen=True)
class FileForm:
    """How a user's own file is to be read.

    Args:
        user: Column of users. Default: found by its name.
        item: Column of items. Default: found by its name.
        time: Column of times, or `NO_TIME`. Default: found by its name, if there is one.
        format: One of `FORMATS`: a table with a header, one `user item` per line, or one `user item item ...` per line,
            both without header. Default "table".
        delimiter: A name of `DELIMITERS`. Default: found out.

    Raises:
        InputError: A format or delimiter that there is none of, or columns where the format has no names.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    format: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        for option, value, known in (("format", self.format, FORMATS), ("delimiter", self.delimiter, DELIMITERS)):
            if value is not None and value not in known:
                raise InputError(f"--{option} is {short(value)}; choose one of {', '.join(known)}")
        if self.format not in (None, "table") and (self.user or self.item or self.time not in (None, NO_TIME)):
            raise InputError(f"--format {self.format} has no names of columns; leave out --user, --item and --time")


@dataclass(frozen=True, eq=False)
class OwnFile:
    """What was read of a user's own file.

    Args:
        interactions: Its actions.
        form: Its format and columns, by which another file is read in the same way.
        told: How it was read, in words.
        order: What stands for time, in words.
    """

    interactions: Interactions
    form: FileForm
    told: str
    order: str


def read_own(path: Path, form: FileForm, strict: bool = False) -> OwnFile:
    """Read a user's own file: text in UTF-8, plain, gzip or a zip of one file.

    Fields between commas or semicolons may be quoted; between tabs, blanks and `::` a quote is a plain character.
    Ids are kept as they are, blanks included; blanks around the names of columns and around times are left out.

    Args:
        path: The file.
        form: How it is to be read.
        strict: Whether the last line must have its line end, and empty last lines are refused. Default false.

    Raises:
        InputError: The file cannot be read, a line does not fit, or something could be meant in two ways.
    """
    notes: list[str] = []
    blocks = read_blocks(path, notes=None if strict else notes)
    try:
        first = next(blocks)
    except StopIteration:
        raise InputError(f"{path}: there are only empty lines; get the file again") from None
    read = {"table": _read_table, "pairs": _read_pairs, "lists": _read_lists}[form.format or "table"]
    found = read(path, form, first[0].decode(), itertools.chain([first], blocks))
    return replace(found, told="; ".join([found.told, *notes]))


def interactions(users: Ids, items: Ids, clock: tuple[Times, int, str] | None) -> Interactions:
    """Return the actions of gathered columns.

    Args:
        users: Their users.
        items: Their items.
        clock: What `Clock.times` returns; None where file order is time order.
    """
    times, per_second, _ = clock or (None, 1, "")
    labels = (tuple(users.known), tuple(items.known))
    return Interactions(users.rows(np.int64), items.rows(np.int64), times, *labels, per_second)


def gather_lists(path: Path, blocks: Iterator[Block], sep: str, form: Form) -> Interactions:
    """Return the actions of lines `user item item ...`.

    Args:
        path: The file.
        blocks: Its lines.
        sep: One character between ids.
        form: Of ids.

    Raises:
        InputError: A line does not fit, or a user has two lines.
    """
    users, items = Ids("the user", form), Ids("an item", form)
    lengths: list[npt.NDArray[np.int64]] = []
    for data, before in blocks:
        actions = count_separators(data, sep)
        if (actions == 0).any():
            line = before + int((actions == 0).argmax()) + 1
            raise bad(path, line, "there is one column", "expected `user item item ...`")
        tokens = np.array(data[:-1].replace(b"\n", sep.encode()).decode().split(sep), dtype=object)
        is_user = np.zeros(len(tokens), dtype=np.bool_)
        is_user[np.cumsum(actions + 1) - actions - 1] = True
        users.add(tokens[is_user], path, range(before + 1, before + 1 + len(actions)))
        again = users.parts[-1] != before + np.arange(len(actions))
        if again.any():
            row = int(again.argmax())
            shown = short(tokens[is_user][row])
            raise bad(path, before + row + 1, f"user {shown} has a second line", "expected one line per user")
        lines = before + 1 + np.repeat(np.arange(len(actions)), actions)
        items.add(tokens[~is_user], path, lines.tolist())
        lengths.append(actions)
    owners = np.repeat(users.rows(np.int64), np.concatenate(lengths))
    return Interactions(owners, items.rows(np.int64), None, tuple(users.known), tuple(items.known))


# The forms


def _read_table(path: Path, form: FileForm, text: str, blocks: Iterator[Block]) -> OwnFile:
    line = text.partition("\n")[0]
    if not line:
        raise bad(path, 1, "the line is empty", "delete it, or name the columns in it")
    delimiter, how = form.delimiter, "as told"
    if delimiter is None:
        present, how = _present(path, line), "found"
        fit = [name for name in present if not isinstance(_places(_header(path, text, name)[0], form), str)]
        if len(fit) > 1:
            raise _ambiguous(path, fit)
        delimiter = (fit or present)[0]
    header, lines = _header(path, text, delimiter)
    places = _places(header, form)
    if isinstance(places, str):
        between = f"separated by {delimiter}, {how}"
        raise bad(path, 1, places, f"the columns are {short(', '.join(header))} ({between})")
    users, items, times = Ids("the user", ANY_ID), Ids("the item", ANY_ID), Clock("the time", NUMBER)
    columns: list[tuple[int, Column]] = list(zip(places, (users, items, times), strict=False))
    first, _ = next(blocks)
    rest = first.split(b"\n", lines)[-1]
    rows = itertools.chain([(rest, lines)] if rest else [], blocks)
    _gather(path, rows, delimiter, len(header), [*columns[2:], *columns[:2]])
    if not users.parts:
        raise InputError(f"{path}: there is a header and no rows; get the file again")
    clock = times.times() if len(places) > 2 else None
    names = [_plain_name(header[place]) for place in places]
    shown = [f"{role} from {short(name)}" for role, name in zip(("users", "items", "times"), names, strict=False)]
    told = f"table separated by {delimiter} ({how}), {', '.join(shown)}"
    if blanks := [name for name in header if name != name.strip()]:
        told += f"; blanks around names of columns left out ({', '.join(map(short, blanks))}), those of ids kept"
    order = "file order, as told" if form.time == NO_TIME else "file order (no column is named as times are)"
    if clock is not None:
        order = f"{short(names[2])}: {clock[2]}; ties keep file order"
    found = FileForm(names[0], names[1], names[2] if clock else form.time, "table", form.delimiter)
    return OwnFile(interactions(users, items, clock), found, told, order)


def _read_pairs(path: Path, form: FileForm, text: str, blocks: Iterator[Block]) -> OwnFile:
    delimiter, how = _without_header(path, form, text, lambda fields: len(fields) == 2 and all(fields))
    names = [_usual_name(field) for field in _split(text.partition("\n")[0], delimiter)]
    if len(names) == 2 and names[0] in USUAL["user"].split() and names[1] in USUAL["item"].split():
        raise bad(path, 1, "this is a header", "leave out --format pairs, which reads files without one")
    users, items = Ids("the user", ANY_ID), Ids("the item", ANY_ID)
    _gather(path, blocks, delimiter, 2, [(0, users), (1, items)])
    found = FileForm(format="pairs", delimiter=form.delimiter)
    told = f"pairs `user item` separated by {delimiter} ({how}), no header"
    return OwnFile(interactions(users, items, None), found, told, "file order (pairs have no times)")


def _read_lists(path: Path, form: FileForm, text: str, blocks: Iterator[Block]) -> OwnFile:
    delimiter, how = _without_header(path, form, text, lambda fields: len(fields) > 1)
    if delimiter in QUOTING:
        blocks = _without_quotes(path, blocks)
    blocks, sep = _single(path, blocks, delimiter)
    found = FileForm(format="lists", delimiter=form.delimiter)
    told = f"lists `user item item ...` separated by {delimiter} ({how}), no header"
    return OwnFile(gather_lists(path, blocks, sep, ANY_ID), found, told, "order in the line (lists have no times)")


# What is in the file


def _gather(path: Path, blocks: Iterator[Block], delimiter: str, width: int, columns: Columns) -> None:
    blocks, sep = _single(path, blocks, delimiter)
    read_plain(path, blocks, sep, width, columns, quotes=delimiter in QUOTING)


def _single(path: Path, blocks: Iterator[Block], delimiter: str) -> tuple[Iterator[Block], str]:
    """The blocks with one character between columns, and this character."""
    sep = DELIMITERS[delimiter]
    return (blocks, sep) if len(sep) == 1 else (with_tabs(path, _without_third_colon(path, blocks), sep), "\t")


def _without_third_colon(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    for data, before in blocks:
        if b":::" in data:
            line = before + data.count(b"\n", 0, data.index(b":::")) + 1
            raise bad(path, line, "there is ':::', of which any two may separate", "use another delimiter")
        yield data, before


def _without_quotes(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    for data, before in blocks:
        if b'"' in data:
            line = before + data.count(b"\n", 0, data.index(b'"')) + 1
            raise bad(path, line, "there is a quote, and lists have no quoted fields", "write pairs or a table")
        yield data, before


def _present(path: Path, line: str) -> list[str]:
    """Names of the delimiters that are in a line."""
    present = [name for name, sep in DELIMITERS.items() if sep in line]
    if not present:
        raise bad(path, 1, f"there is one column, {short(line)}", f"expected two or more with {_any()} between")
    return present


def _any() -> str:
    *names, last = DELIMITERS
    return f"{', '.join(names)} or {last}"


def _ambiguous(path: Path, names: Sequence[str]) -> InputError:
    either = " or ".join(names)
    return bad(path, 1, f"columns may be separated by {either}", f"say which: --delimiter {either}")


def _split(line: str, delimiter: str) -> list[str]:
    """The fields of one line; none where quotes are broken."""
    sep = DELIMITERS[delimiter]
    if delimiter not in QUOTING:
        return line.split(sep)
    try:
        return next(csv.reader([line], delimiter=sep, strict=True), [])
    except csv.Error:
        return []


def _without_header(path: Path, form: FileForm, text: str, fits: Callable[[list[str]], bool]) -> tuple[str, str]:
    """The delimiter of a file whose every line fits, and how it was found."""
    if form.delimiter is not None:
        return form.delimiter, "as told"
    lines = [line.removesuffix("\n") for line in itertools.islice(io.StringIO(text, newline="\n"), LOOKED_AT)]
    present = _present(path, lines[0])
    fit = [name for name in present if all(fits(_split(line, name)) for line in lines if line)]
    fit = fit or [name for name in present if fits(_split(lines[0], name))]
    if len(fit) > 1:
        raise _ambiguous(path, fit)
    return (fit or present)[0], "found"


def _header(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    """The names of the columns, and how many lines they take."""
    if delimiter not in QUOTING:
        return text.partition("\n")[0].split(DELIMITERS[delimiter]), 1
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=DELIMITERS[delimiter], strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        raise bad(path, 1, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error


def _plain_name(name: str) -> str:
    """A column's name without blanks around it and without the type that RecBole's `.inter` gives it."""
    return re.sub(r":(token|float|token_seq|float_seq)$", "", name.strip())


def _usual_name(name: str) -> str:
    return re.sub(r"[\s_.-]", "", _plain_name(name).lower())


def _places(header: list[str], form: FileForm) -> list[int] | str:
    """Places of the columns of users, items and, where there is one, times; or in words what is wrong."""
    asked = {"user": form.user, "item": form.item, "time": form.time}
    places: dict[str, int] = {}
    for role, name in asked.items():
        if name is None or (role == "time" and name == NO_TIME):
            continue
        readings = (header, [column.strip() for column in header], [*map(_plain_name, header)])
        counts = [reading.count(name) for reading in readings]
        if 1 not in counts:
            return f"column {short(name)} is {'twice' if any(counts) else 'not'} in the header"
        places[role] = readings[counts.index(1)].index(name)
    if len(set(places.values())) < len(places):
        got = short(", ".join(name for name in asked.values() if name))
        return f"user, item and time must name three different columns, got {got}"
    named = set(places.values())
    for role, name in asked.items():
        if name is not None:
            continue
        usual = USUAL[role].split()
        found = [k for k, column in enumerate(header) if k not in named and _usual_name(column) in usual]
        option = f"--{role}" + ("" if role == "time" else f" (recommend: --{role}-column)")
        if len(found) > 1:
            these = " and ".join(short(header[k]) for k in found)
            return f"columns {these} may each be the {role}s; say which with {option}"
        if not found and role != "time":
            return f"no column is named as {role}s are; name it with {option}, or without a header say --format pairs"
        places |= {role: found[0]} if found else {}
    return [places[role] for role in asked if role in places]
