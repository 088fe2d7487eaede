"""A user's own samples or covariance, read from a file without a silent guess: what was found, or one typed error."""

import contextlib
import csv
import math
import re
import warnings
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.apply.graphml import default_names
from bench.errors import InputError
from bench.text import short
from causalrec.structure import Problems

Floats: TypeAlias = NDArray[np.float64]

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MISSING = ("", "na", "n/a", "nan", "-nan", "null", "none", "?", "inf", "+inf", "-inf", "infinity", "-infinity")
SAME_VARIANCE = 1e-3  # relative spread of the variances under which no order can be read off them
VARIANCE_SPREAD = 1e4  # ratio of variances beyond which units are likely to differ
LARGEST = 1e100  # variances above, or under its inverse, leave float64 in products
NEAR_ONE = (0.1, 100.0)  # where variances are not far from the 1 that a learner's sparsity is set for
NEARLY_ONE = 0.999  # correlation of columns that are nearly copies
ROWS_PER_VARIABLE = 10


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
    """Numbers of a file (rows, columns), names if it has any, and where a row stands, for errors."""

    values: Floats
    names: tuple[str, ...] | None
    read_as: str
    where: Callable[[int], str]
    warnings: tuple[str, ...] = ()


def read(
    path: Path,
    *,
    covariance: bool = False,
    samples: int | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
) -> Observed:
    """Read samples (rows) of variables (columns), or their covariance, from .csv, .tsv, .txt or .npy.

    Args:
        path: The file.
        covariance: Whether it holds a covariance.
        samples: How many samples the covariance was estimated from. Default: it is exact.
        header: Whether the first line holds names. Default: find out, and say so.
        delimiter: A name of `DELIMITERS`. Default: find out, and say so.

    Raises:
        InputError: The file holds no matrix of finite numbers, constant or equal columns, or a header or delimiter
            that could be read in two ways; the message names the file and the line.
    """
    if samples is not None and not covariance:
        raise InputError("--samples goes with --covariance; of a file of samples the rows are counted")
    if samples is not None and samples < 2:
        raise InputError(f"--samples is {samples}; a covariance needs two or more")
    if path.suffix.lower() != ".npy":
        matrix = _read_text(path, covariance, header, delimiter)
    elif header is None and delimiter is None:
        matrix = _read_npy(path)
    else:
        raise InputError(f"{path}: a .npy file has neither header nor delimiter; leave out those options")
    values, names = matrix.values, matrix.names or default_names(matrix.values.shape[1])
    if not covariance:
        _check_samples(path, values, names)
    _check_equal(path, values, names)
    if covariance:
        _check_covariance(path, matrix, names)
        problems, counting = Problems(values[None], samples), []
        basis = "exact: no --samples were given" if samples is None else f"from {samples} samples"
        read_as = f"covariance of {len(names)} variables ({basis}), {matrix.read_as}"
    else:
        problems, counting = Problems.from_samples(values), _counting(values, names)
        read_as = f"{len(values)} samples (rows) of {len(names)} variables (columns), {matrix.read_as}"
    doubts = _doubts(problems.covariance[0], names, problems.samples)
    return Observed(problems, names, read_as, (*matrix.warnings, *counting, *doubts))


# Reading


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if not data:
        raise InputError(f"{path}: the file is empty; give one line per sample, one column per variable")
    return data


def _read_npy(path: Path) -> _Matrix:
    if not _bytes(path).startswith(b"\x93NUMPY"):
        raise InputError(f"{path}: is no .npy file; write it with numpy.save, or name it .csv")
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them
            found = np.load(path, allow_pickle=False)
    except Exception as error:  # a header is parsed as Python, whose every error may come of it
        why = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as numbers ({why}); write it again with numpy.save") from error
    if found.dtype.kind not in "biuf" or found.ndim != 2 or 0 in found.shape:
        raise InputError(
            f"{path}: has shape {found.shape} and dtype {found.dtype}; give numbers (samples, variables), one or more "
            "of each"
        )
    values = np.array(found, dtype=np.float64)
    if len(bad := np.argwhere(~np.isfinite(values))):
        row, column = bad[0]
        raise InputError(f"{path}, row {row}: column {column} is {values[row, column]}; drop or impute it first")
    read_as = f"a .npy array of {found.dtype}; names x0, x1, ... are by position"
    return _Matrix(values, None, read_as, lambda row: f"{path}, row {row}")


def _read_text(path: Path, covariance: bool, header: bool | None, delimiter: str | None) -> _Matrix:
    data = _bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        lines = data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise _bad(path, at, f"byte {error.object[error.start]:#04x} is not UTF-8", "save it as UTF-8") from error
    doubts: tuple[str, ...] = ()
    if lines[-1]:
        doubts = (f"{path} does not end with a line end: if it was cut short, its last number is wrong",)
    else:
        lines.pop()
    if not lines[0].strip():
        raise _bad(path, 1, "is empty", "delete the line, or give it names or a sample")
    separator, found = _separator(path, lines[0], delimiter)
    first = _fields(path, lines[0], 1, separator)
    named = _has_header(path, first) if header is None else header
    how = "as told" if header is not None else "it holds no number" if named else "line 1 holds numbers"
    if named and len(lines) == 1:
        raise InputError(f"{path}: there is a header and no rows; give one line per sample")
    numbered = list(enumerate(lines, 1))[int(named) :]
    repeated = named and covariance and first[1:] == [
        (_fields(path, line, number, separator) or [""])[0] for number, line in numbered
    ]  # fmt: skip
    names = _names(path, first[int(repeated) :]) if named else None
    read_as = ", ".join([
        found,
        f"names from line 1 ({how})" if named else f"no header ({how}): names x0, x1, ... are by position",
        *(["names repeated in the first column"] if repeated else []),
    ])  # fmt: skip
    values = _quick(lines[int(named) :], separator, range(int(repeated), len(first)))
    if values is None:
        values = _careful(path, numbered, separator, len(first), int(repeated), names)
    return _Matrix(values, names, read_as, lambda row: f"{path}, line {row + 1 + int(named)}", doubts)


def _quick(lines: list[str], separator: str, columns: range) -> Floats | None:
    """All numbers (rows, columns), or None where a line may not be as it should."""
    if "" not in lines and sum(line.count(separator) for line in lines) == len(lines) * (columns.stop - 1):
        with contextlib.suppress(ValueError):
            values = np.loadtxt(
                lines, np.float64, comments=None, delimiter=separator, quotechar='"', ndmin=2, usecols=columns
            )
            if len(values) == len(lines) and np.isfinite(values).all():
                return values
    return None


def _careful(
    path: Path, numbered: list[tuple[int, str]], separator: str, width: int, skip: int, names: Sequence[str] | None
) -> Floats:
    """All numbers (rows, columns) after `skip` columns; raises InputError at the first field that is none."""
    numbers = array("d")
    for number, line in numbered:
        if not line.strip():
            raise _bad(path, number, "is empty", "delete the line, or give it a sample")
        fields = _fields(path, line, number, separator)
        if len(fields) != width:
            raise _bad(path, number, f"has {len(fields)} columns", f"expected {width}, as in line 1")
        for index, field in enumerate(fields[skip:]):
            value = float(field) if NUMBER.fullmatch(field) else math.nan
            if not math.isfinite(value):
                column = f"column {index + 1}" if names is None else f"column {short(names[index])}"
                raise _bad(path, number, f"{column} is {short(field)}", _advice(field))
            numbers.append(value)
    return np.array(numbers).reshape(len(numbered), -1)


def _advice(field: str) -> str:
    """What to do about a field that is no finite number."""
    if field.lower() in MISSING:
        return "drop or impute what is missing first"
    if NUMBER.fullmatch(field):
        return "too large for float64: rescale it"
    return f"expected a number{', with a point for decimals' if NUMBER.fullmatch(field.replace(',', '.')) else ''}"


def _separator(path: Path, line: str, delimiter: str | None) -> tuple[str, str]:
    """The separator, and in words how it was found, from the first line outside its quotes."""
    if delimiter is not None:
        if delimiter not in DELIMITERS:
            raise InputError(f"--delimiter is {delimiter!r}; choose one of {', '.join(DELIMITERS)}")
        return DELIMITERS[delimiter], f"separated by {delimiter} (as told)"
    bare = re.sub(r'"[^"]*"', "", line)
    found = [name for name, character in DELIMITERS.items() if character in bare]
    if len(found) > 1:
        raise _bad(path, 1, f"holds {' and '.join(found)}", f"say which separates: --delimiter {' or '.join(found)}")
    if not found:
        return ",", "one column (line 1 holds no comma, tab or semicolon)"
    return DELIMITERS[found[0]], f"separated by {found[0]} (the only one in line 1)"


def _has_header(path: Path, first: list[str]) -> bool:
    """Whether the first line holds names; raises InputError where it could be either."""
    numbers = [NUMBER.fullmatch(field) is not None for field in first]
    texts = [field for field in first if not NUMBER.fullmatch(field) and field.lower() not in MISSING]
    counts = len(first) > 1 and first in ([str(k + start) for k in range(len(first))] for start in (0, 1))
    advice = "say --header if it holds names, --no-header if it holds numbers"
    if counts:
        raise _bad(path, 1, "counts the columns, which may be names or numbers", advice)
    if texts and any(numbers):
        number = first[numbers.index(True)]
        raise _bad(path, 1, f"holds both {short(texts[0])} and {short(number)}: names or numbers?", advice)
    return bool(texts)


def _names(path: Path, first: list[str]) -> tuple[str, ...]:
    for index, name in enumerate(first):
        if not name:
            hint = " (pandas writes its index so: use to_csv(index=False))" if index == 0 else ""
            raise _bad(path, 1, f"column {index + 1} has no name{hint}", "name every column, or drop it")
        if not name.isprintable():
            raise _bad(path, 1, f"the name {name!r} holds a character that cannot be shown", "rename the column")
        if name in first[:index]:
            raise _bad(path, 1, f"columns {first.index(name) + 1} and {index + 1} are both {short(name)}", "rename one")
    return tuple(first)


def _fields(path: Path, line: str, number: int, separator: str) -> list[str]:
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
        raise InputError(f"{path}: column {names[index]!r} is {values[0, index]:g} in every row; drop it")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        variance = values.var(0)
    if len(extreme := np.flatnonzero(~((variance >= 1 / LARGEST) & (variance <= LARGEST)))):
        raise InputError(
            f"{path}: the variance of column {names[extreme[0]]!r} is {variance[extreme[0]]:g}; rescale the column "
            f"to one between {1 / LARGEST:g} and {LARGEST:g}"
        )


def _check_equal(path: Path, values: Floats, names: Sequence[str]) -> None:
    seen: dict[bytes, int] = {}
    for index, column in enumerate((values + 0.0).T):  # + 0.0 makes −0 equal to 0
        if (first := seen.setdefault(column.tobytes(), index)) != index:
            raise InputError(f"{path}: columns {names[first]!r} and {names[index]!r} are equal; drop one of them")


def _check_covariance(path: Path, matrix: _Matrix, names: Sequence[str]) -> None:
    S = matrix.values
    if S.shape[0] != S.shape[1]:
        raise InputError(f"{path}: has {S.shape[0]} rows and {S.shape[1]} columns; a covariance is square")
    variance = S.diagonal()
    if len(extreme := np.flatnonzero(~((variance >= 1 / LARGEST) & (variance <= LARGEST)))):
        raise InputError(
            f"{matrix.where(extreme[0])}: the variance of {names[extreme[0]]!r} is {variance[extreme[0]]:g}; drop what "
            f"does not vary, rescale the rest to between {1 / LARGEST:g} and {LARGEST:g}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        R = _correlations(S)
        asymmetry = np.abs(R - R.T)
    if len(bad := np.argwhere(~(asymmetry <= 1e-9))):
        i, j = (int(index) for index in bad[0])
        raise InputError(
            f"{matrix.where(i)}: the covariance of {names[i]!r} and {names[j]!r} is {S[i, j]:g}, that of {names[j]!r} "
            f"and {names[i]!r} {S[j, i]:g}; a covariance is symmetric"
        )
    least = float(np.linalg.eigvalsh((R + R.T) / 2)[0])
    if least < -1e-8 * len(S):
        raise InputError(
            f"{path}: is not positive semidefinite (least eigenvalue of its correlations {least:.2g}), so it is the "
            "covariance of nothing; estimate it from complete rows"
        )


def _counting(values: Floats, names: Sequence[str]) -> list[str]:
    """A warning for each column that only numbers the rows."""
    steps = np.arange(len(values))
    found = [name for name, column in zip(names, values.T, strict=True) if np.array_equal(column - column[0], steps)]
    return [f"column {name!r} counts the rows; if it is an index and no variable, drop it" for name in found]


def _correlations(S: Floats) -> Floats:
    scale = np.sqrt(S.diagonal())
    R: Floats = S / scale[:, None] / scale
    return R


def _doubts(S: Floats, names: Sequence[str], samples: int | None) -> list[str]:
    """What makes a graph from data of this covariance doubtful, before any is learned."""
    variance, n, found = S.diagonal(), len(S), []
    low, high = int(variance.argmin()), int(variance.argmax())
    if n > 1 and variance[high] <= (1 + SAME_VARIANCE) * variance[low]:
        found.append(
            f"all variances are equal ({variance.mean():.4g}), the data look standardised: equal-variance learners "
            "have no order to go by, and W is in standard deviations; give the data in their own units"
        )
    if variance[high] > VARIANCE_SPREAD * variance[low]:
        found.append(
            f"the variance of {names[high]!r} is {variance[high] / variance[low]:.2g} times that of {names[low]!r}: "
            "units may differ; an order read off variances, and one threshold for all weights, then mean little"
        )
    if variance[high] < NEAR_ONE[0] or variance[low] > NEAR_ONE[1]:
        found.append(
            f"variances lie between {variance[low]:.2g} and {variance[high]:.2g}, far from 1: a sparsity, as of "
            "notears, is in units of the noise variance; divide all columns by one number, or match --option sparsity"
        )
    if samples is not None and samples < n:
        found.append(f"fewer samples ({samples}) than variables ({n}): the covariance is singular")
    elif samples is not None and samples < ROWS_PER_VARIABLE * n:
        found.append(f"few samples ({samples}) for {n} variables; {ROWS_PER_VARIABLE} per variable are a minimum")
    R = _correlations(S)
    near = np.argwhere(np.triu(np.abs(R), 1) > NEARLY_ONE)
    for i, j in near[:5]:
        found += [f"columns {names[i]!r} and {names[j]!r} are nearly copies (correlation {R[i, j]:.5f})"]
    if len(near) > 5:
        found.append(f"{len(near) - 5} more pairs of columns are nearly copies")
    return found



def _bad(path: Path, line: int, found: str, advice: str) -> InputError:
    return InputError(f"{path}, line {line}: {found}; {advice}")
