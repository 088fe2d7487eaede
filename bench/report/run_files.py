"""`run.json` as `bench.reproduce` writes it, read back with every type checked: it may be damaged or another's.

A file from before tables named their experiment is read too: its parts then have none, and its figures are those that
lie in `figures/`. So is one whose verdicts do not say why they came so.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard, TypeVar, cast, get_args

from bench.cells.fingerprint import ROOT
from bench.cells.json_files import printable, read_object, short, take
from bench.errors import InputError
from bench.judge.bars import Outcome
from bench.judge.claims import Claim, Finding, Judgement, Verdict, read_register
from bench.judge.intervals import Interval, Value
from bench.show.tables import Table

REFERENCE = ROOT / "results" / "reference"
NAME = "run.json"
LARGEST = 1 << 26  # bytes; that of `quick` is 2^18
# What may become an id of a page, a file's name or a word of a command; file systems end names at 255 bytes.
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
Kind: TypeAlias = Literal["table", "detail", "figure"]
Facts: TypeAlias = "Mapping[str, str | int | float | None]"
Where: TypeAlias = "Path | str"  # what an error begins with: the file, and within it the claim or part
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A table, a table that is a file only ("detail"), or a figure.

    title: "" for a figure that the file does not name. experiment: what made it, "" for the whole run. csv: its file,
    below the run's folder; None where that is not there. table: the content of a table.
    """

    kind: Kind
    name: str
    title: str
    experiment: str
    csv: str | None
    table: Table | None = None


@dataclass(frozen=True, eq=False)
class RunFile:
    """A run as its file tells it, texts escaped for a terminal.

    experiments: those that were asked for; None in files from before that was written, which are of whole runs.
    verdicts: of each claim the statement, rule and margin are the file's, the rest is the register's. datasets: by
    name, what was made of which file. missing: by dataset, why. environment: as `bench.cells.provenance`. A bound of an
    interval that is null was infinite.
    """

    path: Path
    preset: str
    seed: int
    device: str
    cells: int
    failed: int
    experiments: tuple[str, ...] | None
    verdicts: tuple[Verdict, ...]
    parts: tuple[Part, ...]
    datasets: Mapping[str, Facts]
    missing: Mapping[str, str]
    environment: Mapping[str, str | int | None]

    @cached_property
    def by_claim(self) -> Mapping[str, Verdict]:
        """The verdicts by the claim's id."""
        return {verdict.claim.id: verdict for verdict in self.verdicts}

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The tables by name."""
        return {part.name: part.table for part in self.parts if part.table is not None}


def read_run(place: Path) -> RunFile:
    """The run in a folder that `reproduce` or `run` wrote, or in its run.json.

    Raises InputError, naming the file and the field, where there is none, it is larger than `LARGEST`, no JSON object,
    or anything in it is missing or of another type than a run writes; and where the register cannot be read.
    """
    path = place / NAME if place.is_dir() else place
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a folder that `reproduce` or `run` wrote")
    told = read_object(path, LARGEST, "a run's document")
    return RunFile(
        path=path,
        preset=_text(path, told, "preset"),
        seed=take(path, told, "seed", int),
        device=_text(path, told, "device"),
        cells=take(path, told, "cells", int),
        failed=take(path, told, "failed", int),
        experiments=_texts(path, told, "experiments") if "experiments" in told else None,
        verdicts=_verdicts(path, told),
        parts=_parts(path, told),
        datasets=_datasets(path, told),
        missing=_missing(path, told),
        environment=_environment(path, told),
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


def _verdicts(path: Path, told: Mapping[str, Any]) -> tuple[Verdict, ...]:
    register = read_register()

    def verdict(name: str, entry: Mapping[str, Any]) -> Verdict:
        where = f"{path}: claim {name!r}"
        statement, rule, note = (_text(where, entry, key) for key in ("statement", "rule", "left_out"))
        why = _text(where, entry, "why") if "why" in entry else ""
        margin = entry.get("margin")
        if not (margin is None or _is_number(margin)):
            raise InputError(f"{where}: margin is {short(margin)}; expected a number or null")
        known = register.get(name) or Claim(name, statement, "not in this version's register", "", rule)
        findings = _each(where, entry, "findings", "part", _text, partial(_finding, where, name))
        judgement = cast("Judgement", _one_of(where, entry, "verdict", get_args(Judgement)))
        return Verdict(replace(known, statement=statement, rule=rule, margin=margin), judgement, findings, note, why)

    return _each(path, told, "verdicts", "claim", _name, verdict)


def _finding(where: str, claim: str, part: str, entry: Mapping[str, Any]) -> Finding:
    where = f"{where}, {short(part)}"
    outcome = cast("Outcome", _one_of(where, entry, "outcome", get_args(Outcome)))
    return Finding(claim, part, outcome, _value(where, entry.get("estimate")), _text(where, entry, "rests_on"))


def _parts(path: Path, told: Mapping[str, Any]) -> tuple[Part, ...]:
    def part(kind: Kind, name: str, entry: Mapping[str, Any]) -> Part:
        where = f"{path}: {kind} {name!r}"
        csv = f"{'figures' if kind == 'figure' else 'tables'}/{name}.csv"
        return Part(
            kind,
            name,
            _text(where, entry, "title"),
            _name(where, entry, "experiment") if entry.get("experiment", "") != "" else "",
            csv if (path.parent / csv).is_file() else None,
            _table(where, name, entry) if kind == "table" else None,
        )

    lying = sorted(file.stem for file in (path.parent / "figures").glob("*.svg") if SAFE.fullmatch(file.stem))
    whole = {"details": [], "figures": [{"name": name, "title": ""} for name in lying], **told}
    kinds: Mapping[str, Kind] = {"tables": "table", "details": "detail", "figures": "figure"}
    found = (_each(path, whole, key, "name", _name, partial(part, kind)) for key, kind in kinds.items())
    return tuple(made for parts in found for made in parts)


def _table(where: str, name: str, entry: Mapping[str, Any]) -> Table:
    columns = _texts(where, entry, "columns")
    if len(set(columns)) < len(columns):
        raise InputError(f"{where} has two columns of one name")
    rows = take(where, entry, "rows", list)
    if not all(type(row) is list and len(row) == len(columns) for row in rows):
        raise InputError(f"{where} needs rows of {len(columns)} values")
    values = tuple(tuple(_value(where, value) for value in row) for row in rows)
    return Table(name, _text(where, entry, "title"), columns, values, _text(where, entry, "note"))


def _value(where: str, given: object) -> Value:
    """A value of a table: text, number, interval or nothing; of an interval without an estimate nothing is left."""
    if given is None:
        return None
    if isinstance(given, str):
        return printable(given)
    if not isinstance(given, dict):
        return _number(where, given)
    if set(given) != {"estimate", "low", "high", "n", "level"}:
        raise InputError(f"{where}: {short(given)} is no interval; expected estimate, low, high, n and level")
    bounds = {"low": -math.inf, "high": math.inf}
    low, high = (bound if given[name] is None else float(_number(where, given[name])) for name, bound in bounds.items())
    level = float(_number(where, given["level"]))
    if low > high or not 0 < level < 1:
        raise InputError(f"{where}: {short(given)} is no interval; expected low <= high and a level between 0 and 1")
    n = take(where, given, "n", int)
    if given["estimate"] is None:
        return None
    return Interval(float(_number(where, given["estimate"])), low, high, n, level)


def _number(where: Where, given: object) -> int | float:
    if _is_number(given):
        return given
    raise InputError(f"{where}: {short(given)} stands where a number, a text, an interval or null is expected")


def _is_number(given: object) -> TypeGuard[int | float]:
    """Whether it is a finite number that a float can hold; True is none, and JSON's 1e999 is infinite."""
    return (type(given) is int and abs(given) < 2**63) or (type(given) is float and math.isfinite(given))


def _datasets(path: Path, told: Mapping[str, Any]) -> dict[str, Facts]:
    datasets = _object(path, told, "datasets")
    return {printable(name): _facts(path, datasets, name) for name in datasets}


def _facts(path: Path, datasets: Mapping[str, Any], name: str) -> Facts:
    """The plain values of a dataset: texts, numbers, true, false and null; what is nested is left out."""
    facts: dict[str, str | int | float | None] = {}
    for key, value in _object(path, datasets, name).items():
        if isinstance(value, str):
            facts[printable(key)] = printable(value)
        elif not isinstance(value, dict | list):
            facts[printable(key)] = value if value is None or isinstance(value, bool) else _number(path, value)
    return facts


def _missing(path: Path, told: Mapping[str, Any]) -> dict[str, str]:
    missing = _object(path, told, "missing")
    for name, why in missing.items():
        if not isinstance(why, str):
            raise InputError(f"{path}: missing must say why, in text, for each dataset; {short(name)} is {short(why)}")
    return {printable(name): printable(why) for name, why in missing.items()}


def _environment(path: Path, told: Mapping[str, Any]) -> dict[str, str | int | None]:
    facts = _object(path, told, "environment")
    for name, fact in facts.items():
        if not (fact is None or isinstance(fact, str | int)):
            raise InputError(
                f"{path}: environment must hold text, whole numbers, true, false and null only; {short(name)} is "
                f"{short(fact)}"
            )
    return {printable(name): printable(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}


def _each(
    where: Where,
    told: Mapping[str, Any],
    key: str,
    name: str,
    called: Callable[[Where, Mapping[str, Any], str], str],
    read: Callable[[str, Mapping[str, Any]], T],
) -> tuple[T, ...]:
    """What `read` makes of each object of a list; `called` takes its name, in which it must differ from the others."""
    found: dict[str, T] = {}
    for entry in take(where, told, key, list):
        if type(entry) is not dict:
            raise InputError(f"{where}: {key} holds {short(entry)}; expected objects")
        one = called(f"{where}: {key}", entry, name)
        if one in found:
            raise InputError(f"{where}: {key} holds {short(one)} twice")
        found[one] = read(one, entry)
    return tuple(found.values())


def _object(where: Where, told: Mapping[str, Any], key: str) -> dict[str, Any]:
    given = told.get(key)
    if type(given) is not dict:
        raise InputError(f"{where}: {printable(key)[:80]} is {short(given)}; expected an object")
    return given


def _one_of(where: Where, told: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    if told.get(key) not in known:
        raise InputError(f"{where}: {key} is {short(told.get(key))}; expected one of {', '.join(known)}")
    return str(told[key])


def _name(where: Where, told: Mapping[str, Any], key: str) -> str:
    value = take(where, told, key, str)
    if not SAFE.fullmatch(value):
        raise InputError(f"{where}: {key} is {short(value)}; expected letters, digits, _ and -, at most 100")
    return value


def _text(where: Where, told: Mapping[str, Any], key: str) -> str:
    return printable(take(where, told, key, str))


def _texts(where: Where, told: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = take(where, told, key, list)
    if not all(type(text) is str for text in given):
        raise InputError(f"{where}: {key} is {short(given)}; expected texts")
    return tuple(map(printable, given))
