"""`run.json` as `bench.reproduce` writes it, read back with every type checked: it may be damaged or another's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, get_args

from bench.cell import ROOT
from bench.claims import Finding, Judgement
from bench.errors import InputError
from bench.json_files import printable, read_object, short, take
from bench.power import Outcome
from bench.statistics import Interval
from bench.tables import Table, Value

REFERENCE = ROOT / "results" / "reference"
NAME = "run.json"
LARGEST = 1 << 26  # bytes; that of `quick` is 2^18
Facts: TypeAlias = "Mapping[str, str | int | float | None]"
T = TypeVar("T")


@dataclass(frozen=True)
class Judged:
    """What a run said of a claim."""

    verdict: str
    left_out: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class RunFile:
    """A run as its file tells it, texts escaped for a terminal.

    experiments: those that were asked for; None in files from before that was written, which are of whole runs.
    datasets: by name, what was made of which file. environment: as `bench.provenance`. A bound of an interval that is
    null was infinite.
    """

    path: Path
    preset: str
    seed: int
    device: str
    experiments: tuple[str, ...] | None
    verdicts: Mapping[str, Judged]
    tables: Mapping[str, Table]
    datasets: Mapping[str, Facts]
    missing: tuple[str, ...]
    environment: Facts


def read_run(place: Path) -> RunFile:
    """The run in a folder that `reproduce` or `run` wrote, or in its run.json.

    Raises InputError, naming the file and the field, where there is none, it is larger than `LARGEST`, no JSON object,
    or anything in it is missing or of another type than a run writes.
    """
    path = place / NAME if place.is_dir() else place
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a folder that `reproduce` or `run` wrote")
    told = read_object(path, LARGEST, "a run's document")
    return RunFile(
        path,
        _text(path, told, "preset"),
        take(path, told, "seed", int),
        _text(path, told, "device"),
        _texts(path, told, "experiments") if "experiments" in told else None,
        _by_name(path, told, "verdicts", "claim", _judged),
        _by_name(path, told, "tables", "name", _table),
        {printable(name): _facts(path, name, entry) for name, entry in take(path, told, "datasets", dict).items()},
        tuple(map(printable, take(path, told, "missing", dict))),
        _facts(path, "environment", told.get("environment")),
    )


def reference_of(preset: str) -> Path:
    """The folder of the committed run of a preset; InputError names those there are."""
    there = sorted(path.parent.name for path in REFERENCE.glob(f"*/{NAME}"))
    if preset not in there:
        raise InputError(
            f"there is no reference of preset {preset!r} in {REFERENCE}, only of {', '.join(there) or 'none'}; name "
            "the run to compare with"
        )
    return REFERENCE / preset


def _by_name(
    path: Path, told: Mapping[str, Any], key: str, name: str, read: Callable[[Path, str, Mapping[str, Any]], T]
) -> dict[str, T]:
    """The entries of a list by their names, which must differ."""
    found: dict[str, T] = {}
    for entry in take(path, told, key, list):
        if type(entry) is not dict:
            raise InputError(f"{path}: {key} holds {short(entry)}; expected objects")
        called = _text(path, entry, name)
        if called in found:
            raise InputError(f"{path}: {key} holds {called!r} twice")
        found[called] = read(path, called, entry)
    return found


def _judged(path: Path, claim: str, entry: Mapping[str, Any]) -> Judged:
    findings = _by_name(path, entry, "findings", "part", lambda *told: _finding(claim, *told))
    verdict = _one_of(path, entry, "verdict", get_args(Judgement))
    return Judged(verdict, _text(path, entry, "left_out"), tuple(findings.values()))


def _finding(claim: str, path: Path, part: str, entry: Mapping[str, Any]) -> Finding:
    outcome = cast("Outcome", _one_of(path, entry, "outcome", get_args(Outcome)))
    return Finding(claim, part, outcome, _value(path, entry.get("estimate")), _text(path, entry, "rests_on"))


def _table(path: Path, name: str, entry: Mapping[str, Any]) -> Table:
    columns = _texts(path, entry, "columns")
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}: table {name!r} has two columns of one name")
    rows = take(path, entry, "rows", list)
    if not all(type(row) is list and len(row) == len(columns) for row in rows):
        raise InputError(f"{path}: table {name!r} needs rows of {len(columns)} values")
    values = tuple(tuple(_value(path, value) for value in row) for row in rows)
    return Table(name, _text(path, entry, "title"), columns, values)


def _value(path: Path, given: object) -> Value:
    """A value of a table: text, number, interval or nothing; of an interval without an estimate nothing is left."""
    if given is None:
        return None
    if isinstance(given, str):
        return printable(given)
    if not isinstance(given, dict):
        return _number(path, given)
    if set(given) != {"estimate", "low", "high", "n", "level"}:
        raise InputError(f"{path}: {short(given)} is no interval; expected estimate, low, high, n and level")
    bounds = {"low": -math.inf, "high": math.inf}
    low, high = (
        bound if given[name] is None else float(_number(path, given[name])) for name, bound in bounds.items()
    )
    level = float(_number(path, given["level"]))
    if low > high or not 0 < level < 1:
        raise InputError(f"{path}: {short(given)} is no interval; expected low <= high and a level between 0 and 1")
    n = take(path, given, "n", int)
    return None if given["estimate"] is None else Interval(float(_number(path, given["estimate"])), low, high, n, level)


def _number(path: Path, given: object) -> int | float:
    """A finite number that a float can hold; True is none, and JSON's 1e999 is infinite."""
    if (type(given) is int and abs(given) < 2**63) or (type(given) is float and math.isfinite(given)):
        return given
    raise InputError(f"{path}: {short(given)} stands where a number, a text, an interval or null is expected")


def _facts(path: Path, name: str, given: object) -> dict[str, str | int | float | None]:
    """The plain values of an object: texts, numbers, booleans as texts, null; what is nested is left out."""
    if not isinstance(given, dict):
        raise InputError(f"{path}: {printable(name)} is {short(given)}; expected an object")
    facts: dict[str, str | int | float | None] = {}
    for key, value in given.items():
        if value is None or isinstance(value, str | bool):
            facts[printable(key)] = None if value is None else printable(str(value))
        elif not isinstance(value, dict | list):
            facts[printable(key)] = _number(path, value)
    return facts


def _one_of(path: Path, told: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    if told.get(key) not in known:
        raise InputError(f"{path}: {key} is {short(told.get(key))}; expected one of {', '.join(known)}")
    return str(told[key])


def _text(path: Path, told: Mapping[str, Any], key: str) -> str:
    return printable(take(path, told, key, str))


def _texts(path: Path, told: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = take(path, told, key, list)
    if not all(type(text) is str for text in given):
        raise InputError(f"{path}: {key} is {short(given)}; expected texts")
    return tuple(map(printable, given))
