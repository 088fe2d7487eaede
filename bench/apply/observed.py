"""A user's own samples or covariance, read from a file without a silent guess: what was found, or one typed error."""

import contextlib
import csv
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.apply.graphml import default_names
from bench.errors import InputError
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
    """What was in a file: one problem, the variables' names, how it was read, and what is doubtful about it."""

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
    """Read samples (rows) of variables (columns), or with `covariance` their covariance, from .csv, .tsv, .txt or .npy.

    samples: how many a covariance was estimated from; None is an exact one. header: whether the first line holds
    names; None finds out and says so. delimiter: a name of `DELIMITERS`; None finds out and says so.

    Raises InputError, naming the file and the line, for whatever is no matrix of finite numbers, for constant and for
    equal columns, and where header or delimiter could be read in two ways.
    """
    if samples is not None and not covariance:
        raise InputError("--samples goes with --covariance; of a file of samples the rows are counted")
    if samples is not None and samples < 2:
        raise InputError(f"--samples is {samples}; a covariance needs two or more")
    if path.suffix.lower() == ".npy":
        if header is not None or delimiter is not None:
            raise InputError(f"{path}: a .npy file has neither header nor delimiter; leave out those options")
        matrix = _read_npy(path)
    else:
        matrix = _read_text(path, covariance, header, delimiter)
    names = matrix.names or default_names(matrix.values.shape[1])
    _check_columns(path, matrix.values, names, covariance)
    if covariance:
        _check_covariance(path, matrix, names)
        problems = Problems(matrix.values[None], samples)
        basis = "exact: no --samples were given" if samples is None else f"from {samples} samples"
        read_as = f"covariance of {len(names)} variables ({basis}), {matrix.read_as}"
    else:
        problems = Problems.from_samples(matrix.values)
        read_as = f"{len(matrix.values)} samples (rows) of {len(names)} variables (columns), {matrix.read_as}"
    observed = Observed(problems, names, read_as, matrix.warnings)
    counting = [] if covariance else _counting(matrix.values, names)
    return Observed(problems, names, read_as, (*matrix.warnings, *counting, *_doubts(observed)))


# Reading


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if not data:
        raise InputError(f"{path}: the file is empty; give one line a sample, one column a variable")
    return data


def _read_npy(path: Path) -> _Matrix:
    if not _bytes(path).startswith(b"\x93NUMPY"):
        raise InputError(f"{path}: is no .npy file; write it with numpy.save, or name it .csv")
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them
            array = np.load(path, allow_pickle=False)
    except Exception as error:  # a header is parsed as Python, whose every error may come of it
        why = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as numbers ({why}); write it again with numpy.save") from error
    if array.dtype.kind not in "biuf" or array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{path}: has shape {array.shape} and dtype {array.dtype}; give numbers (samples, variables), one or more "
            "of each"
        )
    values = np.array(array, dtype=np.float64)

    def where(row: int) -> str:
        return f"{path}, row {row}"

    if len(bad := np.argwhere(~np.isfinite(values))):
        row, column = bad[0]
        raise InputError(f"{where(row)}: column {column} is {values[row, column]}; drop or impute it first")
    return _Matrix(values, None, f"a .npy array of {array.dtype}; names x0, x1, ... are by position", where)


def _read_text(path: Path, covariance: bool, header: bool | None, delimiter: str | None) -> _Matrix:
    data = _bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        lines = data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _bad(path, line, f"byte {error.object[error.start]:#04x} is not UTF-8", "save it as UTF-8") from error
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
        raise InputError(f"{path}: there is a header and no rows; give one line a sample")
    table = _Lines(path, tuple(lines), int(named), separator, len(first))
    rows_named = named and covariance and table.column(0) == first[1:]
    if rows_named:
        table, first = _Lines(path, table.lines, 1, separator, len(first), skip=1), first[1:]
    names = _names(path, first) if named else None
    read_as = ", ".join([
        found,
        f"names from line 1 ({how})" if named else f"no header ({how}): names x0, x1, ... are by position",
        *(["names repeated in the first column"] if rows_named else []),
    ])  # fmt: skip
    return _Matrix(table.numbers(names), names, read_as, table.where, doubts)


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
        raise _bad(path, 1, f"holds both {_show(texts[0])} and {_show(number)}: names or numbers?", advice)
    return bool(texts)


def _names(path: Path, first: list[str]) -> tuple[str, ...]:
    for index, name in enumerate(first):
        if not name:
            hint = " (pandas writes its index so: use to_csv(index=False))" if index == 0 else ""
            raise _bad(path, 1, f"column {index + 1} has no name{hint}", "name every column, or drop it")
        if not name.isprintable():
            raise _bad(path, 1, f"the name {name!r} holds a character that cannot be shown", "rename the column")
        if name in first[:index]:
            raise _bad(path, 1, f"columns {first.index(name) + 1} and {index + 1} are both {_show(name)}", "rename one")
    return tuple(first)


@dataclass(frozen=True)
class _Lines:
    """The lines of a text file, of which those from `start` hold numbers, in `width` fields after `skip` of text."""

    path: Path
    lines: tuple[str, ...]
    start: int
    separator: str
    width: int
    skip: int = 0

    def where(self, row: int) -> str:
        return f"{self.path}, line {row + self.start + 1}"

    def column(self, index: int) -> list[str]:
        """The fields of one column as text; of an empty or short line ''."""
        rows = (_fields(self.path, line, 0, self.separator) for line in self.lines[self.start :])
        return [row[index] if index < len(row) else "" for row in rows]

    def numbers(self, names: Sequence[str] | None) -> Floats:
        """All numbers (rows, columns); raises InputError at the first field that is none."""
        lines = self.lines[self.start :]
        separators = sum(line.count(self.separator) for line in lines)
        if "" not in lines and separators == len(lines) * (self.width - 1):
            with contextlib.suppress(ValueError):  # told below, with the line
                values = np.loadtxt(
                    lines, np.float64, comments=None, delimiter=self.separator, quotechar='"', ndmin=2,
                    usecols=range(self.skip, self.width),
                )  # fmt: skip
                if len(values) == len(lines) and np.isfinite(values).all():
                    return values
        return np.array([self._row(number, names) for number in range(self.start + 1, len(self.lines) + 1)])

    def _row(self, line: int, names: Sequence[str] | None) -> list[float]:
        if not self.lines[line - 1].strip():
            raise _bad(self.path, line, "is empty", "delete the line, or give it a sample")
        fields = _fields(self.path, self.lines[line - 1], line, self.separator)
        if len(fields) != self.width:
            raise _bad(self.path, line, f"has {len(fields)} columns", f"expected {self.width}, as in line 1")
        row = []
        for index, field in enumerate(fields[self.skip :]):
            column = f"column {index + 1}" if names is None else f"column {_show(names[index])}"
            if field.lower() in MISSING:
                raise _bad(self.path, line, f"{column} is {_show(field)}", "drop or impute what is missing first")
            if NUMBER.fullmatch(field) is None:
                hint = ", with a point for decimals" if NUMBER.fullmatch(field.replace(",", ".")) else ""
                raise _bad(self.path, line, f"{column} is {_show(field)}", f"expected a number{hint}")
            if not np.isfinite(float(field)):
                raise _bad(self.path, line, f"{column} is {_show(field)}", "too large for float64: rescale it")
            row.append(float(field))
        return row


def _fields(path: Path, line: str, number: int, separator: str) -> list[str]:
    try:
        rows = list(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise _bad(path, number, f"quotes are broken ({error})", "quote as RFC 4180 has it, one line a row") from error
    return [field.strip() for field in rows[0]] if rows else []


# Checks


def _check_columns(path: Path, values: Floats, names: Sequence[str], covariance: bool) -> None:
    if not covariance:
        if len(values) < 2:
            raise InputError(f"{path}: has one row of numbers; to learn from samples takes two or more")
        constant = np.flatnonzero((values == values[0]).all(0))
        if len(constant):
            index = constant[0]
            raise InputError(f"{path}: column {names[index]!r} is {values[0, index]:g} in every row; drop it")
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            variance = values.var(0)
        if len(extreme := np.flatnonzero(~((variance >= 1 / LARGEST) & (variance <= LARGEST)))):
            raise InputError(
                f"{path}: the variance of column {names[extreme[0]]!r} is {variance[extreme[0]]:g}; rescale the column "
                f"to one between {1 / LARGEST:g} and {LARGEST:g}"
            )
    seen: dict[bytes, int] = {}
    for index, column in enumerate((values + 0.0).T):  # + 0.0 makes −0 equal to 0
        if (first := seen.setdefault(column.tobytes(), index)) != index:
            raise InputError(f"{path}: columns {names[first]!r} and {names[index]!r} are equal; drop one of them")


def _check_covariance(path: Path, matrix: _Matrix, names: Sequence[str]) -> None:
    S = matrix.values
    if S.shape[0] != S.shape[1]:
        raise InputError(f"{path}: has {S.shape[0]} rows and {S.shape[1]} columns; a covariance is square")
    variance = S.diagonal()
    for index, value in enumerate(variance):
        if not 1 / LARGEST <= value <= LARGEST:
            raise InputError(
                f"{matrix.where(index)}: the variance of {names[index]!r} is {value:g}; drop what does not vary, "
                f"rescale the rest to between {1 / LARGEST:g} and {LARGEST:g}"
            )
    scale = np.sqrt(variance)
    with np.errstate(over="ignore", invalid="ignore"):
        R = S / scale[:, None] / scale
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
    """A warning of each column that only numbers the rows."""
    steps = np.arange(len(values))
    found = [name for name, column in zip(names, values.T, strict=True) if np.array_equal(column - column[0], steps)]
    return [f"column {name!r} counts the rows; if it is an index and no variable, drop it" for name in found]


def _doubts(observed: Observed) -> list[str]:
    """What makes a graph from these data doubtful, before any is learned."""
    S, names, samples = observed.covariance, observed.names, observed.problems.samples
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
        found.append(f"few samples ({samples}) for {n} variables; {ROWS_PER_VARIABLE} a variable are a minimum")
    scale = np.sqrt(variance)
    R = S / scale[:, None] / scale
    near = np.argwhere(np.triu(np.abs(R), 1) > NEARLY_ONE)
    for i, j in near[:5]:
        found += [f"columns {names[i]!r} and {names[j]!r} are nearly copies (correlation {R[i, j]:.5f})"]
    if len(near) > 5:
        found.append(f"{len(near) - 5} more pairs of columns are nearly copies")
    return found


def _show(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:77] + "...")


def _bad(path: Path, line: int, found: str, advice: str) -> InputError:
    return InputError(f"{path}, line {line}: {found}; {advice}")
