"""A file of rows, checked and parsed block by block; the first block with a fault ends the reading.

Accepted everywhere: gzip or a zip of one file, a UTF-8 byte-order mark and Windows line ends.
"""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.datasets.columns import Column, bad
from bench.datasets.opened import opened
from bench.errors import InputError

MAX_LINE = 1 << 20  # bytes
BLOCK = 1 << 24  # bytes read and parsed at a time, so that the memory taken is that of the file's numbers
QUOTED_ROWS = 1 << 16  # rows parsed at a time where fields are quoted
Block: TypeAlias = tuple[bytes, int]
"""Whole lines of a file, and how many lines come before them."""
Columns: TypeAlias = Sequence[tuple[int, Column]]
"""What is made of which column, by its place; in the order in which columns are checked."""


def read_blocks(path: Path, encoding: str = "utf-8", notes: list[str] | None = None) -> Iterator[Block]:
    """Yield the file in blocks of whole lines: text in that encoding, bare line feeds, no line over `MAX_LINE`.

    Args:
        path: The file.
        encoding: Of its text.
        notes: Where it is told that the last line has no line end; empty last lines are left out. Default: None, which
            refuses the one and passes on the others.

    Raises:
        InputError: The file cannot be read, or a line is no such text.
    """
    read = _read_blocks(path, encoding, notes)
    return read if notes is None else _without_empty_end(path, read)


def _read_blocks(path: Path, encoding: str, notes: list[str] | None) -> Iterator[Block]:
    with opened(path) as file:
        before, data = 0, file.read(BLOCK)
        while data:
            if not data.endswith(b"\n"):
                data += file.readline(MAX_LINE + 2)
            data = _checked(path, data, before, encoding, notes)
            yield data, before
            before, data = before + data.count(b"\n"), file.read(BLOCK)


def _without_empty_end(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, of which none ends in empty lines; those that others follow stand before these."""
    held = 0
    for data, before in blocks:
        whole = b"\n" * held + data
        kept = whole.rstrip(b"\n")
        first, held = before - held, len(whole) - len(kept) - bool(kept)
        if held > BLOCK:
            raise bad(path, before + data.count(b"\n") - held + 1, "the line is empty", "delete it and those after it")
        if kept:
            yield kept + b"\n", first


def _checked(path: Path, data: bytes, before: int, encoding: str, notes: list[str] | None) -> bytes:
    """Lines as `read_blocks` gives them; raises InputError for the first line that is no such text."""
    data = data.replace(b"\r\n", b"\n")
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    widths = np.diff(ends, prepend=-1, append=len(data))  # the last one is of what comes after the last line end
    if (long := np.flatnonzero(widths > MAX_LINE)).size:
        size = f"over {MAX_LINE}" if long[0] == len(ends) else widths[long[0]]
        raise bad(path, before + int(long[0]) + 1, f"the line has {size} bytes", f"expected at most {MAX_LINE}")
    for byte, what in ((b"\0", "a NUL byte"), (b"\r", "a carriage return inside the line")):
        if byte in data:
            line = before + _line_at(data, data.index(byte))
            raise bad(path, line, f"there is {what}", "expected plain text in UTF-8")
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} is not {encoding}"
        raise bad(path, before + _line_at(data, error.start), found, f"save the file as {encoding}") from error
    if widths[-1] > 1:
        if notes is None:
            hint = "the file may be cut short: get it again, or if it is whole add a line end"
            raise bad(path, before + len(ends) + 1, "the last line has no line end", hint)
        notes.append("the last line has no line end: if the file was cut short, that line is not whole")
        data += b"\n"
    return data


def with_tabs(path: Path, blocks: Iterator[Block], sep: str) -> Iterator[Block]:
    """Yield blocks with a tab in the place of a longer separator.

    Args:
        path: The file.
        blocks: Its lines.
        sep: The separator.

    Raises:
        InputError: There is a tab already.
    """
    for data, before in blocks:
        if b"\t" in data:
            line = before + _line_at(data, data.index(b"\t"))
            raise bad(path, line, "there is a tab", f"expected {sep!r} between columns")
        yield data.replace(sep.encode(), b"\t"), before


def read_plain(
    path: Path, blocks: Iterator[Block], sep: str, width: int, columns: Columns, encoding: str = "utf-8",
    quotes: bool = False,
) -> None:  # fmt: skip
    """Gather columns from lines that must have `width` of them.

    Args:
        path: The file.
        blocks: Its lines.
        sep: One character between columns.
        width: How many columns each line has.
        columns: What is made of which.
        encoding: Of the text.
        quotes: Whether fields may be quoted: from the first block with a quote on, lines are read by the slower `csv`.

    Raises:
        InputError: A line does not fit.
    """
    for data, before in blocks:
        if quotes and b'"' in data:
            _read_quoted(path, itertools.chain([(data, before)], blocks), before, sep, width, columns)
            return
        counts = count_separators(data, sep) + 1
        if (counts != width).any():
            row = int((counts != width).argmax())
            empty = not data.split(b"\n", row + 1)[row]
            raise wrong_width(path, before + row + 1, int(counts[row]), width, sep, empty)
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
                    raise wrong_width(path, line, len(row), width, sep, not row)
                rows[line], line = row, before + reader.line_num + 1
        except csv.Error as error:
            raise bad(path, line, f"quoted fields are broken ({error})", "quote as RFC 4180 has it") from error
        if not rows:
            return
        for place, column in columns:
            column.add(np.array([row[place] for row in rows.values()], dtype=object), path, list(rows))


def count_separators(data: bytes, sep: str) -> npt.NDArray[np.int64]:
    """Return how many separators each line has: (lines,) int64.

    Args:
        data: Whole lines.
        sep: One ASCII character.
    """
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    found = np.flatnonzero(characters == ord(sep))
    return np.diff(np.searchsorted(found, ends), prepend=0)


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def wrong_width(path: Path, line: int, found: int, width: int, sep: str, empty: bool) -> InputError:
    """Return the error of a line that has not so many columns.

    Args:
        path: The file.
        line: Its number.
        found: How many columns it has.
        width: How many it should have.
        sep: What is between them.
        empty: Whether there is nothing in it.
    """
    between = {"\t": "a tab", " ": "one space"}.get(sep, repr(sep))
    why = ", since the line is empty" if empty else ""
    return bad(path, line, f"there are {found} columns{why}", f"expected {width} with {between} between")
