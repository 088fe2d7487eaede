"""Columns of a file: what their texts must be, and what is made of them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.errors import InputError
from bench.text import short
from causalrec.interactions import Times

Labels: TypeAlias = npt.NDArray[np.object_]
Form: TypeAlias = tuple[re.Pattern[str], str]
"""What a text must match, and the same in words."""

NUMERIC_ID = (re.compile(r"0|[1-9][0-9]{0,17}"), "a whole number without sign or leading zeros")
# Whatever `str.splitlines` splits at ends a line somewhere: files of ids and many programs read it so.
ANY_ID = (
    re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+"),
    "an id that is not empty and has no line end",
)
NUMBER = (re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"), "a finite number")
RATING = (re.compile(r"[1-5]"), "a rating from 1 to 5")
ONE = (re.compile(r"1(\.0)?"), "1")
UTC_TIME = (
    re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \+0000 [0-9]{4}"),
    "a UTC time such as 'Tue Apr 03 18:00:09 +0000 2012', a date and time that exist",
)
WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<offset>Z| ?[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
DIGITS = {
    8: ("YYYYMMDD", "%Y%m%d"),
    14: ("YYYYMMDDhhmmss", "%Y%m%d%H%M%S"),
    17: ("YYYYMMDDhhmmssSSS", "%Y%m%d%H%M%S%f"),
}
DIGIT_YEARS = (1970, 2100)
SURE_DIGITS = 15  # decimals with at most so many digits differ as float64 where they differ
NANO = 10**9


@dataclass
class Column:
    """A column whose texts must have a form; it is gathered block by block as what `numbers` makes of the texts.

    Args:
        what: What the column holds, for errors.
        form: Of its texts.
        known: Texts seen, where they have codes.
        parts: What was gathered, one per block.
    """

    what: str
    form: Form
    known: dict[str, int] = field(default_factory=dict)
    parts: list[npt.NDArray[Any]] = field(default_factory=list)

    def add(self, column: Labels, path: Path, lines: Sequence[int]) -> None:
        """Check and gather the column of one block.

        Args:
            column: Its texts, (rows,).
            path: The file, for errors.
            lines: In which line of it each row begins.

        Raises:
            InputError: A text has not the form.
        """
        (pattern, expected), (codes, values) = self.form, pd.factorize(column)
        wrong = [k for k, value in enumerate(values) if value not in self.known and not pattern.fullmatch(value)]
        if not wrong:
            numbers = self.numbers(values)
            wrong = np.flatnonzero(~np.isfinite(numbers)).tolist()
        if wrong:
            line = lines[int((codes == wrong[0]).argmax())]
            raise bad(path, line, f"{self.what} is {short(values[wrong[0]])}", f"expected {expected}")
        self.parts.append(numbers[codes])

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        """Return what stands for each of the values, (values,); here nothing is to be kept of them.

        Args:
            values: Different texts, (values,).
        """
        return np.zeros(len(values), dtype=np.int8)

    def rows(self, dtype: type) -> npt.NDArray[Any]:
        """Return the column of all blocks, (rows,); what was gathered is given up.

        Args:
            dtype: Of the result.
        """
        parts, self.parts = self.parts, []
        return np.concatenate(parts, dtype=dtype)


class Ids(Column):
    """A column of ids, as codes in the order in which the ids first occur."""

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        """As `Column.numbers`: codes.

        Args:
            values: Different texts, (values,).
        """
        return np.array([self.known.setdefault(value, len(self.known)) for value in values], dtype=np.int32)


class UtcTimes(Column):
    """A column of UTC times as TSMC2014 has them, as seconds since 1970; NaN where there is no such date."""

    def numbers(self, values: Labels) -> npt.NDArray[Any]:
        """As `Column.numbers`: seconds.

        Args:
            values: Different texts, (values,).
        """
        stamps = pd.to_datetime(pd.Series(values), format="%a %b %d %H:%M:%S %z %Y", utc=True, errors="coerce")
        return ((stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)

    def times(self) -> tuple[Times, int, str]:
        """As `Clock.times`."""
        return self.rows(np.float64).astype(np.int64), 1, "UTC times as seconds since 1970"


class Clock(Column):
    """A column of times: numbers, ISO 8601, or dates of digits alone.

    Whole numbers are int64 if all fit there, otherwise numbers are float64; what the type does not hold exactly is
    refused. A column of digits is dates if every one of them is an existing date from 1970 to 2100 of one length: as
    seconds, milliseconds, microseconds or nanoseconds since 1970 none of them would be a likely time.
    """

    dates = True  # whether dates are read beside numbers
    kind = ""  # what the first text is: "a number", "a date with an offset" or "a date without an offset"
    began: tuple[int, str] = (0, "")  # the line and text of it
    decimal: tuple[int, str] | None = None  # of the first number that int64 does not hold
    large: tuple[int, str] | None = None  # of the first whole number that float64 does not hold
    lengths: dict[int, tuple[int, str]] | None = None  # of the first date of digits of each length; {} once one is none
    path = Path()

    def add(self, column: Labels, path: Path, lines: Sequence[int]) -> None:
        """As `Column.add`.

        Args:
            column: Its texts, (rows,).
            path: The file, for errors.
            lines: In which line of it each row begins.

        Raises:
            InputError: A text is no time, of another kind than those before, or not held exactly.
        """
        codes, values = pd.factorize(column)
        if self.dates:
            values = np.array([value.strip(" ") for value in values], dtype=object)

        def at(place: int) -> tuple[int, str]:
            return lines[int((codes == place).argmax())], values[place]

        self.path = path
        kinds = [self._kind(value) for value in values]
        if "" in kinds:
            line, text = at(kinds.index(""))
            expected = f"{NUMBER[1]} or a date such as 2020-01-31T23:59:59Z" if self.dates else NUMBER[1]
            raise bad(path, line, f"{self.what} is {short(text)}", f"expected {expected}")
        if not self.kind:
            self.kind, self.began = kinds[0], at(0)
        other = next((place for place, kind in enumerate(kinds) if kind != self.kind), None)
        if other is not None:
            line, text = at(other)
            told = f"{self.what} is {short(text)}, {kinds[other]}, but {short(self.began[1])} in line {self.began[0]}"
            raise bad(path, line, f"{told} is {self.kind}", "write all times in one form")
        found = self._numbers(path, values, at) if self.kind == "a number" else self._stamps(path, values, at)
        self.parts.append(found[codes])

    def _kind(self, text: str) -> str:
        if NUMBER[0].fullmatch(text):
            return "a number" if np.isfinite(float(text)) else ""
        iso = ISO.fullmatch(text) if self.dates else None
        return "" if iso is None else f"a date {'without an' if iso['offset'] is None else 'with an'} offset"

    def _numbers(self, path: Path, values: Labels, at: Callable[[int], tuple[int, str]]) -> npt.NDArray[Any]:
        """int64 (values,) if it holds them all, otherwise float64."""
        whole = [int(value) if WHOLE.fullmatch(value) else None for value in values]
        beyond = next((k for k, n in enumerate(whole) if n is None or not -(2**63) <= n < 2**63), None)
        lost = next((k for k, value in enumerate(values) if not _held(value)), None)
        if beyond is not None:
            self.decimal = self.decimal or at(beyond)
        if lost is not None:
            self.large = self.large or at(lost)
        if self.decimal and self.large:
            line, text = self.large
            why = "" if self.decimal == self.large else f" beside {short(self.decimal[1])} in line {self.decimal[0]}"
            told = f"{self.what} is {short(text)}, which float64 does not hold exactly{why}"
            raise bad(path, line, told, "write all times as whole numbers of a smaller unit, below 2^63")
        self._look_for_dates(values, at)
        return values.astype(np.float64) if beyond is not None else np.array(whole, dtype=np.int64)

    def _look_for_dates(self, values: Labels, at: Callable[[int], tuple[int, str]]) -> None:
        """Note of which lengths dates of digits are, as long as there is nothing else in the column."""
        if not self.dates or self.lengths == {}:
            return
        lengths, here = dict(self.lengths or {}), {len(value) for value in values}
        for length in here if here <= DIGITS.keys() else {0}:
            places = [k for k, value in enumerate(values) if len(value) == length]
            if length not in DIGITS or pd.isna(_digit_stamps(values[places], length)).any():
                self.lengths = {}
                return
            lengths.setdefault(length, at(places[0]))
        self.lengths = lengths

    def _stamps(self, path: Path, values: Labels, at: Callable[[int], tuple[int, str]]) -> npt.NDArray[np.int64]:
        """Nanoseconds since 1970 (values,) of ISO 8601."""
        stamps = pd.to_datetime(pd.Series(values), format="ISO8601", utc=True, errors="coerce")
        outside = stamps.isna() | ~stamps.dt.year.between(1678, 2261)
        if outside.any():
            line, text = at(int(outside.to_numpy().argmax()))
            raise bad(path, line, f"{self.what} is {short(text)}", "expected a date and time that exist, 1678 to 2261")
        return stamps.dt.as_unit("ns").to_numpy("datetime64[ns]").astype(np.int64)

    def times(self) -> tuple[Times, int, str]:
        """Return the column of all blocks, units of it in a second, and in words what it holds.

        Raises:
            InputError: The column holds dates of digits of several lengths.
        """
        if self.kind == "a number" and not self.lengths:
            whole = self.decimal is None
            return self.rows(np.int64 if whole else np.float64), 1, f"{'whole ' if whole else ''}numbers, as seconds"
        found, told = self.rows(np.int64), f"ISO 8601 {self.kind[7:]}"
        if self.lengths:
            (length, _), *others = self.lengths.items()
            if others:
                line, text = others[0][1]
                mixed = f"{self.what} is {short(text)}, a date of another length than {short(self.began[1])}"
                raise bad(self.path, line, f"{mixed} in line {self.began[0]}", "write all times in one form")
            different, codes = np.unique(found, return_inverse=True)
            stamps = pd.Series(_digit_stamps(different.astype(str).astype(object), length))
            found, told = stamps.to_numpy("datetime64[ns]").astype(np.int64)[codes], f"dates {DIGITS[length][0]}"
        if "without" in told or self.lengths:
            told += ", taken as UTC"
        if (found % NANO).any():
            return found, NANO, f"{told}, as nanoseconds since 1970"
        return found // NANO, 1, f"{told}, as seconds since 1970"


class Numbers(Clock):
    """A column of times that are numbers."""

    dates = False


def _held(text: str) -> bool:
    """Whether a float64 gives the number back with all its digits."""
    if len(text) <= SURE_DIGITS:
        return True
    digits = len(re.sub(r"[eE].*|[^0-9]", "", text).lstrip("0"))
    return digits <= SURE_DIGITS or Decimal(f"{float(text):.{digits}g}") == Decimal(text)


def _digit_stamps(values: Labels, length: int) -> "pd.Series[Any]":
    """The dates that texts of digits are, (values,), NaT where one is none."""
    stamps = pd.to_datetime(pd.Series(values), format=DIGITS[length][1], errors="coerce")
    return stamps.where(pd.Series(values).str.isdigit() & stamps.dt.year.between(*DIGIT_YEARS))


def bad(path: Path, line: int, found: str, advice: str) -> InputError:
    """Return the error of a line.

    Args:
        path: The file.
        line: Its number, from 1.
        found: What is wrong with it.
        advice: What was expected, or what to do.
    """
    return InputError(f"{path}, line {line}: {found}; {advice}")
