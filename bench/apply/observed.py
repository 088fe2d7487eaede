"""A user's own samples or covariance, read from a file without a silent guess: what was found, or one typed error."""

import contextlib
import csv
import io
import math
import re
import warnings
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.apply.graphml import default_names
from bench.datasets.opened import opened
from bench.errors import InputError
from bench.text import short
from causalrec.structure import Problems
from causalrec.structure.doubts import Floats, correlations, counting, doubts

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "blank": " "}  # blank: any run of blanks and tabs
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
MISSING = ("", "na", "n/a", "nan", "-nan", "null", "none", "?", "inf", "+inf", "-inf", "infinity", "-infinity")
LARGEST = 1e100  # variances above, or under its inverse, leave float64 in products
FAR = 10.0  # ranges of the other rows by which a first row of numbers is so far off that it may hold names
ROWS_OF_RANGE = 4  # fewest other rows whose range says something
HEADER_ADVICE = "say --header if it holds names, --no-header if it holds numbers"


@dataclass(frozen=True, eq=False)
class Observed:
    """What was in a file.

    Args:
        problems: The one problem of the samples or the covariance.
        names: Of the variables, in the order of W.
        read_as: How the file was read, in words.
        warnings: What is doubtful about it.
    """

    problems: Problems
    names: tuple[str, ...]
    read_as: str
    warnings: tuple[str, ...]

    @property
    def covariance(self) -> Floats:
        """The covariance, (n, n)."""
        covariance: Floats = self.problems.covariance[0]
        return covariance


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Numbers of a file (rows, columns read), the names and places of these, and where a row stands, for errors."""

    values: Floats
    names: tuple[str, ...]
    taken: Sequence[int]
    width: int
    read_as: str
    where: Callable[[int], str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wanted:
    """Which columns of a file are read: some by name, all but some, or all."""

    path: Path
    columns: tuple[str, ...]
    drop: tuple[str, ...]

    def of(self, names: Sequence[str]) -> list[int]:
        """The places of the columns to read, in the file's order; InputError for names that are not there."""
        option, given = ("--columns", self.columns) if self.columns else ("--drop", self.drop)
        named = {name for text in given for name in self._split(option, text, names)}
        if unknown := sorted(named - set(names)):
            raise InputError(
                f"{self.path}: {option} names {short(unknown[0])}, and the columns are {', '.join(map(short, names))}"
            )
        taken = [place for place, name in enumerate(names) if (name in named) == bool(self.columns)]
        if not taken:
            raise InputError(f"{self.path}: --drop names all {len(names)} columns; keep one or more")
        return taken

    def _split(self, option: str, text: str, names: Sequence[str]) -> list[str]:
        """A name as it stands, otherwise the names between its commas."""
        parts = [part.strip() for part in text.split(",")]
        if text in names and len(parts) > 1 and set(parts) <= set(names):
            raise InputError(f"{self.path}: {option} {short(text)} is one column and, split at its commas, several; "
                             "rename the column")  # fmt: skip
        return [text] if text in names else parts

    def told(self, taken: Sequence[int], width: int) -> str:
        """What was left out, in words."""
        return f", {len(taken)} of {width} columns taken" if len(taken) < width else ""


def _square(path: Path, matrix: _Matrix) -> _Matrix:
    """A covariance with the rows of the columns that were read."""
    if len(matrix.values) != matrix.width:
        raise InputError(f"{path}: has {len(matrix.values)} rows and {matrix.width} columns; a covariance is square")
    taken, where = matrix.taken, matrix.where
    return replace(matrix, values=matrix.values[list(taken)], where=lambda row: where(taken[row]))


def _standardized(values: Floats) -> Floats:
    """Every column with mean 0 and variance 1."""
    scaled: Floats = (values - values.mean(0)) / values.std(0)
    return scaled


def read(
    path: Path,
    *,
    covariance: bool = False,
    samples: int | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    columns: Sequence[str] = (),
    drop: Sequence[str] = (),
    standardize: bool = False,
) -> Observed:
    """Read samples (rows) of variables (columns), or their covariance, from text or .npy, plain, gzip or a zip of one.

    Args:
        path: The file. What it is, its content says.
        covariance: Whether it holds a covariance.
        samples: How many samples the covariance was estimated from. Default: it is exact.
        header: Whether the first line holds names. Default: find out, and say so.
        delimiter: A name of `DELIMITERS`. Default: find out, and say so.
        columns: Names of the only columns that are read; a text may hold several with commas between. Default: all.
        drop: Likewise, of the columns that are not read.
        standardize: Whether each variable is brought to mean 0 and variance 1. Default False.

    Raises:
        InputError: The file holds no matrix of finite numbers, constant or equal columns, or a header or delimiter
            that could be read in two ways, or no such column; the message names the file and the line.
    """
    if samples is not None and not covariance:
        raise InputError("--samples goes with --covariance; of a file of samples the rows are counted")
    if samples is not None and samples < 2:
        raise InputError(f"--samples is {samples}; a covariance needs two or more")
    if columns and drop:
        raise InputError("--columns and --drop are both given; name the columns to read, or those to leave out")
    with opened(path) as file:
        data = file.read()
    wanted = _Wanted(path, tuple(columns), tuple(drop))
    if data.startswith(b"\x93NUMPY"):
        if header is not None or delimiter is not None:
            raise InputError(f"{path}: a .npy file has neither header nor delimiter; leave out those options")
        matrix = _read_npy(path, data, wanted)
    elif path.suffix.lower() == ".npy":
        raise InputError(f"{path}: is no .npy file; write it with numpy.save, or name it .csv")
    else:
        matrix = _read_text(path, data, covariance, header, delimiter, wanted)
    if covariance:
        matrix = _square(path, matrix)
    values, names = matrix.values, matrix.names
    if not covariance:
        _check_samples(path, values, names)
    _check_equal(path, values, names)
    if covariance:
        _check_covariance(path, matrix, names)
        problems, counts = Problems(values[None], samples), []
        if standardize:
            problems = Problems(correlations(values)[None], samples)
        basis = "exact: no --samples were given" if samples is None else f"from {samples} samples"
        read_as = f"covariance of {len(names)} variables ({basis}), {matrix.read_as}"
    else:
        counts = counting(values, names)
        problems = Problems.from_samples(_standardized(values) if standardize else values)
        read_as = f"{len(values)} samples (rows) of {len(names)} variables (columns), {matrix.read_as}"
    read_as += ", standardized: mean 0 and variance 1" if standardize else ""
    found = (*counts, *doubts(problems.covariance[0], names, problems.samples))
    return Observed(problems, names, read_as, (*matrix.warnings, *found))


# Reading


def _read_npy(path: Path, data: bytes, wanted: _Wanted) -> _Matrix:
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them
            found = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a header is parsed as Python, whose every error may come of it
        why = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as numbers ({why}); write it again with numpy.save") from error
    if found.dtype.kind not in "biuf" or found.ndim != 2 or 0 in found.shape:
        raise InputError(
            f"{path}: has shape {found.shape} and dtype {found.dtype}; give numbers (samples, variables), one or more "
            "of each"
        )
    width = found.shape[1]
    taken = wanted.of(default_names(width))
    values = np.array(found[:, taken], dtype=np.float64, order="C")  # sums round as in a file's rows
    if len(bad := np.argwhere(~np.isfinite(values))):
        row, column = bad[0]
        raise InputError(f"{path}, row {row}: column {taken[column]} is {values[row, column]}; drop or impute it first")
    read_as = f"a .npy array of {found.dtype}; names x0, x1, ... are by position{wanted.told(taken, width)}"
    names = tuple(default_names(width)[place] for place in taken)
    return _Matrix(values, names, taken, width, read_as, lambda row: f"{path}, row {row}")


def _lines(path: Path, data: bytes) -> tuple[list[str], bool]:
    """The lines up to the last that is not empty, and whether that one has no line end."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise _bad(path, at, f"byte {data[error.start]:#04x} is not UTF-8", "save it as UTF-8") from error
    if (at := text.find("\0")) >= 0:
        raise _bad(path, text.count("\n", 0, at) + 1, "there is a NUL byte, as in UTF-16", "save it as UTF-8")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    unended = bool(lines[-1].strip())
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines or not lines[0].strip():
        raise _bad(path, 1, "is empty", "delete the line, or give it names or a sample")
    return lines, unended


def _read_text(
    path: Path, data: bytes, covariance: bool, header: bool | None, delimiter: str | None, wanted: _Wanted
) -> _Matrix:
    lines, unended = _lines(path, data)
    marked = lines[0].startswith("# ")  # as numpy.savetxt(header=...) writes names
    lines[0] = lines[0].removeprefix("# ")
    separator, found = _separator(path, lines, delimiter)
    first = _fields(path, lines[0], 1, separator)
    named = _has_header(path, first, covariance and len(lines) == len(first)) if header is None else header
    how = "as told" if header is not None else "it holds no number" if named else "line 1 holds numbers"
    if named and len(lines) == 1:
        raise InputError(f"{path}: there is a header and no rows; give one line per sample")
    numbered = list(enumerate(lines, 1))[int(named) :]
    repeated = named and covariance and first[1:] == [
        (_fields(path, line, number, separator) or [""])[0] for number, line in numbered
    ]  # fmt: skip
    skip = int(repeated)
    width = len(first) - skip
    names = _names(path, first[skip:]) if named else default_names(width)
    taken = wanted.of(names)
    places = [skip + place for place in taken]
    read_as = ", ".join([
        found,
        f"names from line 1 ({how}{', after #' if marked else ''})" if named
        else f"no header ({how}): names x0, x1, ... are by position",
        *(["names repeated in the first column"] if repeated else []),
    ]) + wanted.told(taken, width)  # fmt: skip
    values = _quick(lines[int(named) :], separator, len(first), places)
    if values is None:
        labels = [short(names[place]) if named else str(place + 1) for place in taken]
        values = _careful(path, numbered, separator, len(first), places, labels, unended)
    if header is None and not named and not covariance:
        _ask_of_numbers(path, [first[place] for place in places], lines, values)
    if header is None and not named and covariance and len(values) == width + 1:
        raise _bad(path, 1, "makes one row more than there are columns: names or numbers?", HEADER_ADVICE)
    cut = ("the file does not end with a line end: if it was cut short, its last number is wrong",) * unended
    chosen = tuple(names[place] for place in taken)
    return _Matrix(values, chosen, taken, width, read_as, lambda row: f"{path}, line {row + 1 + int(named)}", cut)


def _quick(lines: list[str], separator: str, width: int, places: list[int]) -> Floats | None:
    """The numbers (rows, places) of lines of a width, or None where a line may not be as it should."""
    blank = separator == " "
    if blank:
        regular = all(len(line.split()) == width and '"' not in line for line in lines)
    else:
        regular = "" not in lines and sum(line.count(separator) for line in lines) == len(lines) * (width - 1)
    if regular:
        with contextlib.suppress(ValueError):
            values = np.loadtxt(
                lines, np.float64, comments=None, delimiter=None if blank else separator,
                quotechar=None if blank else '"', ndmin=2, usecols=places,
            )  # fmt: skip
            if len(values) == len(lines) and np.isfinite(values).all():
                return values
    return None


def _careful(
    path: Path, numbered: list[tuple[int, str]], separator: str, width: int, places: list[int], labels: list[str],
    unended: bool,
) -> Floats:  # fmt: skip
    """The numbers (rows, places); raises InputError at the first field that is none."""
    numbers = array("d")
    for number, line in numbered:
        if not line.strip():
            raise _bad(path, number, "is empty", "delete the line, or give it a sample")
        cut = unended and number == numbered[-1][0]
        fields = _fields(path, line, number, separator)
        if len(fields) != width:
            what, advice = f"has {len(fields)} columns", f"expected {width}, as in line 1"
            if cut and len(fields) < width:
                what, advice = f"{what} and no line end", f"{advice}: the file was cut short, get it again"
            if len(fields) == width + 1 and number > 1 and len(numbers) == 0:
                advice += "; if the first labels the rows, delete it (R writes it so: use row.names=FALSE)"
            raise _bad(path, number, what, advice)
        for place, label in zip(places, labels, strict=True):
            field = fields[place]
            value = float(field) if NUMBER.fullmatch(field) else math.nan
            if not math.isfinite(value):
                advice = _advice(field)
                if cut:
                    advice += "; the line has no end: if the file was cut short, get it again"
                elif _text_only(path, numbered, separator, place):
                    advice += ", and no row has one there: if it labels the rows or is text, --drop it"
                raise _bad(path, number, f"column {label} is {short(field)}", advice)
            numbers.append(value)
    return np.array(numbers).reshape(len(numbered), -1)


def _text_only(path: Path, numbered: list[tuple[int, str]], separator: str, column: int) -> bool:
    """Whether a column holds text in every row, two or more."""
    with contextlib.suppress(InputError, IndexError):
        found = [_fields(path, line, number, separator)[column] for number, line in numbered]
        return len(found) > 1 and not any(NUMBER.fullmatch(field) or field.lower() in MISSING for field in found)
    return False


def _advice(field: str) -> str:
    """What to do about a field that is no finite number."""
    if field.lower() in MISSING:
        return "drop or impute what is missing first"
    if NUMBER.fullmatch(field):
        return "too large for float64: rescale it"
    return f"expected a number{', with a point for decimals' if NUMBER.fullmatch(field.replace(',', '.')) else ''}"


def _separator(path: Path, lines: list[str], delimiter: str | None) -> tuple[str, str]:
    """The separator, and in words how it was found, from the first line outside its quotes."""
    if delimiter is not None:
        if delimiter not in DELIMITERS:
            raise InputError(f"--delimiter is {short(delimiter)}; choose one of {', '.join(DELIMITERS)}")
        return DELIMITERS[delimiter], f"separated by {delimiter} (as told)"
    bare = re.sub(r'"[^"]*"', "x", lines[0].strip(" "))
    found = [name for name, character in DELIMITERS.items() if character in bare and name != "blank"]
    if not found and " " in bare:
        # A name may hold blanks where there is one column, which the other lines show.
        if any(" " in line.strip() for line in lines[1:]) or len(lines) == 1:
            return DELIMITERS["blank"], "separated by blank (line 1 holds no comma, tab or semicolon)"
        return ",", "one column (only line 1 holds blanks)"
    if len(found) == 1 and any(_numbers_in(field) > 1 for field in bare.split(DELIMITERS[found[0]])):
        found.append("blank")
    if len(found) > 1:
        raise _bad(path, 1, f"holds {' and '.join(found)}", f"say which separates: --delimiter {' or '.join(found)}")
    if not found:
        return ",", "one column (line 1 holds no comma, tab, semicolon or blank)"
    return DELIMITERS[found[0]], f"separated by {found[0]} (the only one in line 1)"


def _numbers_in(field: str) -> int:
    """How many numbers, separated by blanks, a field holds; 0 if there is anything else in it."""
    parts = field.split()
    return len(parts) if all(NUMBER.fullmatch(part) for part in parts) else 0


def _has_header(path: Path, first: list[str], square: bool) -> bool:
    """Whether the first line holds names; raises InputError where it could be either.

    `square`: only with line 1 there are as many rows as columns, and it must be so.
    """
    numbers = [NUMBER.fullmatch(field) is not None for field in first]
    texts = [field for field in first if not NUMBER.fullmatch(field) and field.lower() not in MISSING]
    counts = len(first) > 1 and first in ([str(k + start) for k in range(len(first))] for start in (0, 1))
    if counts and not square:
        raise _bad(path, 1, "counts the columns, which may be names or numbers", HEADER_ADVICE)
    if texts and any(numbers):
        number = first[numbers.index(True)]
        label = ", or delete column 1 if it labels the rows" if not numbers[0] and all(numbers[1:]) else ""
        found = f"holds both {short(texts[0])} and {short(number)}: names or numbers?"
        raise _bad(path, 1, found, HEADER_ADVICE + label)
    return bool(texts)


def _ask_of_numbers(path: Path, first: list[str], lines: list[str], values: Floats) -> None:
    """Raise InputError if a first line of numbers, unlike all others, may hold names such as years.

    One line beside it would be too few samples, and names are all different.
    """
    top, rest = values[0], values[1:]
    if len(rest) < 2 or len(set(first)) < len(first):
        return
    found = ""
    if all(WHOLE.fullmatch(field) for field in first):
        if all(not set(line).isdisjoint(".eE") for line in lines[1:]):
            found = "holds whole numbers, as no other line does"
        elif len(first) > 1:
            with np.errstate(over="ignore", invalid="ignore"):
                steps = np.diff(values)
                even = ((steps == steps[:, :1]) & (steps * np.sign(steps[0, 0]) > 0)).all(1)
            if even[0] and not even[1:].any():
                found = f"holds whole numbers that {'rise' if steps[0, 0] > 0 else 'fall'} evenly, as in no other line"
    low, high = rest.min(0), rest.max(0)
    with np.errstate(over="ignore"):
        far = (np.maximum(low - top, top - high) > FAR * (high - low)) & (high > low)
    if not found and len(rest) >= ROWS_OF_RANGE and far.all():
        found = "is far off the range of all other lines, in every column"
    if found:
        raise _bad(path, 1, f"{found}: names or numbers?", HEADER_ADVICE)


def _names(path: Path, first: list[str]) -> tuple[str, ...]:
    for index, name in enumerate(first):
        if not name:
            hint = " (pandas writes its index so: use to_csv(index=False))" if index == 0 else ""
            raise _bad(path, 1, f"column {index + 1} has no name{hint}", "name every column, or drop it")
        if not name.isprintable():
            found = f"the name {short(name)} holds a character that cannot be shown"
            raise _bad(path, 1, found, "rename the column")
        if name in first[:index]:
            raise _bad(path, 1, f"columns {first.index(name) + 1} and {index + 1} are both {short(name)}", "rename one")
    return tuple(first)


def _fields(path: Path, line: str, number: int, separator: str) -> list[str]:
    if separator == " ":
        line = line.replace("\t", " ").strip(" ")
    try:
        rows = list(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise _bad(path, number, f"quotes are broken ({error})", "quote as RFC 4180 has it, one line a row") from error
    return [field.strip() for field in rows[0]] if rows else []


# Checks


def _check_samples(path: Path, values: Floats, names: Sequence[str]) -> None:
    if len(values) < 2:
        raise InputError(f"{path}: has one row of numbers; to learn from samples takes two or more")
    if len(constant := np.flatnonzero((values == values[0]).all(0))):
        index = constant[0]
        raise InputError(f"{path}: column {short(names[index])} is {values[0, index]:g} in every row; drop it")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        variance = values.var(0)
    if len(extreme := np.flatnonzero(~((variance >= 1 / LARGEST) & (variance <= LARGEST)))):
        raise InputError(
            f"{path}: the variance of column {short(names[extreme[0]])} is {variance[extreme[0]]:g}; rescale the "
            f"column to one between {1 / LARGEST:g} and {LARGEST:g}"
        )


def _check_equal(path: Path, values: Floats, names: Sequence[str]) -> None:
    seen: dict[bytes, int] = {}
    for index, column in enumerate((values + 0.0).T):  # + 0.0 makes −0 equal to 0
        if (first := seen.setdefault(column.tobytes(), index)) != index:
            equal = f"columns {short(names[first])} and {short(names[index])} are equal"
            raise InputError(f"{path}: {equal}; drop one of them")


def _check_covariance(path: Path, matrix: _Matrix, names: Sequence[str]) -> None:
    S = matrix.values
    variance = S.diagonal()
    if len(extreme := np.flatnonzero(~((variance >= 1 / LARGEST) & (variance <= LARGEST)))):
        raise InputError(
            f"{matrix.where(extreme[0])}: the variance of {short(names[extreme[0]])} is {variance[extreme[0]]:g}; drop "
            f"what does not vary, rescale the rest to between {1 / LARGEST:g} and {LARGEST:g}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        R = correlations(S)
        asymmetry = np.abs(R - R.T)
    if len(bad := np.argwhere(~(asymmetry <= 1e-9))):
        i, j = (int(index) for index in bad[0])
        one, other = short(names[i]), short(names[j])
        raise InputError(
            f"{matrix.where(i)}: the covariance of {one} and {other} is {S[i, j]:g}, that of {other} and {one} "
            f"{S[j, i]:g}; a covariance is symmetric"
        )
    least = float(np.linalg.eigvalsh((R + R.T) / 2)[0])
    if least < -1e-8 * len(S):
        raise InputError(
            f"{path}: is not positive semidefinite (least eigenvalue of its correlations {least:.2g}), so it is the "
            "covariance of nothing; estimate it from complete rows"
        )


def _bad(path: Path, line: int, found: str, advice: str) -> InputError:
    return InputError(f"{path}, line {line}: {found}; {advice}")
