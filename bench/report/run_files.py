"""`run.json` as `bench.report.write` writes it, read back with every type checked: it may be damaged or another's."""

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from bench.cells.fingerprint import ROOT
from bench.cells.json_files import read_object, typed_value
from bench.errors import InputError
from bench.judge.claims import Claim, Finding, GateRule, Judgement, Register, Verdict
from bench.judge.intervals import Interval, Value
from bench.show.tables import Table
from bench.text import printable, short

REFERENCE = ROOT / "results" / "reference"
NAME = "run.json"
LARGEST = 1 << 26  # bytes; that of `quick` is 2^18
# What may become an id of a page, a file's name or a word of a command; file systems end names at 255 bytes.
SAFE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
Kind: TypeAlias = Literal["table", "detail", "figure"]
Facts: TypeAlias = "Mapping[str, str | int | float | None]"


@dataclass(frozen=True)
class Part:
    """A table, a table that is a file only ("detail"), or a figure.

    Args:
        kind: which of the three.
        name: of its files, without an ending.
        title: for readers; "" for a figure that the file does not name.
        experiment: what made it; "" for the whole run.
        csv: its file, below the run's folder; None where that is not there.
        table: the content of a table; None for the others.
    """

    kind: Kind
    name: str
    title: str
    experiment: str
    csv: str | None
    table: Table | None = None


class HowMade(Struct, frozen=True):
    """How a run was made; what is not known is empty.

    Args:
        command: the command line.
        started: when, ISO 8601 in UTC.
        duration_s: how long it took, in seconds.
        version: of the suite.
    """

    command: str = ""
    started: str = ""
    duration_s: float = 0.0
    version: str | None = ""


@dataclass(frozen=True, eq=False)
class RunFile:
    """A run as its file tells it, texts escaped for a terminal.

    Args:
        path: the file.
        preset: name of the preset.
        seed: root of all random streams.
        device: "cpu" or "cuda".
        cells: how many the run took.
        failed: how many of them failed.
        experiments: those that were asked for.
        headline: how many claims came out how.
        register: what it was judged by.
        code: SHA-256 of the code that judged.
        asked: what its setup was made from, see `bench.plan.setup.Setup.asked`.
        verdicts: one per claim of that register.
        parts: tables, details and figures.
        datasets: by name, what was made of which file, without what is nested.
        provenance: by name, all of it.
        missing: by dataset, why it was not there.
        environment: as `bench.cells.provenance`.
        made: by which command, when and in what time. Default unknown.
        gates: by name, whether the run passed it. Default none.
    """

    path: Path
    preset: str
    seed: int
    device: str
    cells: int
    failed: int
    experiments: tuple[str, ...]
    headline: str
    register: Register
    code: str
    asked: Mapping[str, Any]
    verdicts: tuple[Verdict, ...]
    parts: tuple[Part, ...]
    datasets: Mapping[str, Facts]
    provenance: Mapping[str, Mapping[str, Any]]
    missing: Mapping[str, str]
    environment: Mapping[str, str | int | None]
    made: HowMade = field(default_factory=HowMade)
    gates: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def by_claim(self) -> Mapping[str, Verdict]:
        """The verdicts by the claim's id."""
        return {verdict.claim.id: verdict for verdict in self.verdicts}

    @property
    def beside(self) -> Path | None:
        """The folder whose `records` are the run's: its own or the one above; None where there are none."""
        home = self.path.parent
        return next((at for at in (home, home.parent) if (at / "records").is_dir()), None)

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The tables by name."""
        return {part.name: part.table for part in self.parts if part.table is not None}


def read_run(place: Path) -> RunFile:
    """Read a run back.

    Args:
        place: a folder that `reproduce` or `run` wrote, or its run.json.

    Raises:
        InputError: there is no such file, it is larger than `LARGEST` or no JSON object, or anything in it is missing
            or of another type than a run writes (the error names the file and the field).
    """
    path = place / NAME if place.is_dir() else place
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a folder that `reproduce` or `run` wrote")
    try:
        told = typed_value(_printable(read_object(path, LARGEST, "a run's document")), _Document, str(path))
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deep; expected a run's document") from error
    register = Register(told.register.claims, told.register.gates, told.register.sha256)
    return RunFile(
        path=path,
        preset=told.preset,
        seed=told.seed,
        device=told.device,
        cells=told.cells,
        failed=told.failed,
        experiments=told.experiments,
        headline=told.headline,
        register=register,
        code=told.register.code_sha256,
        asked=told.asked,
        verdicts=tuple(entry.verdict_with(register) for entry in told.verdicts),
        parts=tuple(_parts(path.parent, told)),
        datasets={name: _plain(facts) for name, facts in told.datasets.items()},
        provenance=told.datasets,
        missing=told.missing,
        environment=told.environment,
        made=told.made,
        gates=told.gates,
    )


def tables_of(run: RunFile, name: str | None = None) -> list[Table]:
    """The tables of a run, or one of them.

    Args:
        run: as it was read back.
        name: of the table. Default all.

    Raises:
        InputError: it has no such table.
    """
    if name is None:
        return list(run.tables.values())
    if name not in run.tables:
        raise InputError(f"{run.path} has no table {short(name)}; its tables: {', '.join(run.tables)}")
    return [run.tables[name]]


def reference_of(preset: str) -> Path:
    """The folder of the committed run of a preset.

    Args:
        preset: its name, such as "quick".

    Raises:
        InputError: there is none; the error names those there are.
    """
    there = sorted(path.parent.name for path in REFERENCE.glob(f"*/{NAME}"))
    if preset not in there:
        raise InputError(
            f"there is no reference of preset {preset!r} in {REFERENCE}, only of {', '.join(there) or 'none'}; name "
            "the run to compare with"
        )
    return REFERENCE / preset


# The types of the file

# JSON's 1e999 is infinite, and no run writes an integer beyond 64 bits.
Real: TypeAlias = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Whole: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Name: TypeAlias = Annotated[str, Meta(pattern=rf"^{SAFE}\Z")]
NameOrNone: TypeAlias = Annotated[str, Meta(pattern=rf"^({SAFE})?\Z")]


class _Bounds(Struct, forbid_unknown_fields=True):
    """An interval; a bound that is null was infinite, and of one without an estimate nothing is left."""

    estimate: Real | None
    low: Real | None
    high: Real | None
    n: Whole
    level: Annotated[float, Meta(gt=0, lt=1)]
    freedom: Annotated[float, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"an interval from low {self.low} to high {self.high}; expected low <= high")

    def interval(self) -> Interval | None:
        if self.estimate is None:
            return None
        low, high = -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high
        return Interval(self.estimate, low, high, self.n, self.level, self.freedom)


_Entry: TypeAlias = _Bounds | str | Whole | Real | None


class _Finding(Struct):
    part: str
    outcome: Judgement
    rests_on: str
    where: str
    blocked: str
    estimate: _Bounds | None = None

    @property
    def interval(self) -> Interval | None:
        return None if self.estimate is None else self.estimate.interval()


class _Verdict(Struct):
    claim: Name
    verdict: Judgement
    note: str
    findings: list[_Finding]
    why: str = ""

    def __post_init__(self) -> None:
        _distinct("findings", (f"{finding.part}, {finding.where}" for finding in self.findings))

    def verdict_with(self, register: Register) -> Verdict:
        claim = register.claims[self.claim]
        found = tuple(
            Finding(claim.id, f.part, f.interval, f.where, f.rests_on, f.blocked, f.outcome) for f in self.findings
        )
        return Verdict(claim, self.verdict, found, self.note, self.why)


class _Register(Struct):
    sha256: str
    code_sha256: str
    claims: dict[Name, Claim]
    gates: dict[str, GateRule]

    def __post_init__(self) -> None:
        for name, claim in self.claims.items():
            if claim.id != name or not re.fullmatch(SAFE, claim.experiment):
                told = f"id {short(claim.id)}, experiment {short(claim.experiment)}"
                raise ValueError(f"claim {name!r} has {told}; expected its own id, and a name of an experiment")


class _Named(Struct):
    name: Name
    title: str
    experiment: NameOrNone = ""


class _Table(_Named, kw_only=True):
    columns: tuple[str, ...]
    rows: list[tuple[_Entry, ...]]
    note: str

    def __post_init__(self) -> None:
        _distinct(f"columns of table {self.name!r}", self.columns)
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.name!r} needs rows of {len(self.columns)} values")

    def table(self) -> Table:
        rows = tuple(tuple(map(_value, row)) for row in self.rows)
        return Table(self.name, self.title, self.columns, rows, self.note)


class _Document(Struct):
    preset: str
    seed: int
    device: str
    cells: int
    failed: int
    verdicts: list[_Verdict]
    tables: list[_Table]
    datasets: dict[str, dict[str, str | bool | Whole | Real | list[Any] | dict[str, Any] | None]]
    missing: dict[str, str]
    environment: dict[str, str | bool | int | None]
    experiments: tuple[str, ...]
    headline: str
    asked: dict[str, Any]
    register: _Register
    gates: dict[str, bool]
    details: list[_Named]
    figures: list[_Named]
    made: HowMade = HowMade()

    def __post_init__(self) -> None:
        _distinct("verdicts", (verdict.claim for verdict in self.verdicts))
        for kind, parts in (("tables", self.tables), ("details", self.details), ("figures", self.figures)):
            _distinct(kind, (part.name for part in parts))
        for verdict in self.verdicts:
            claim = self.register.claims.get(verdict.claim)
            if claim is None or any(finding.part not in claim.parts for finding in verdict.findings):
                raise ValueError(f"verdict on {short(verdict.claim)}: its register lacks the claim or a part of it")


def _distinct(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {short(name)} is there twice; expected different names")
        seen.add(name)


def _value(entry: _Entry) -> Value:
    return entry.interval() if isinstance(entry, _Bounds) else entry


def _parts(folder: Path, told: _Document) -> Iterable[Part]:
    kinds: tuple[tuple[Kind, Iterable[_Named]], ...] = (
        ("table", told.tables), ("detail", told.details), ("figure", told.figures)
    )  # fmt: skip
    for kind, parts in kinds:
        for part in parts:
            csv = f"{'figures' if kind == 'figure' else 'tables'}/{part.name}.csv"
            table = part.table() if isinstance(part, _Table) else None
            there = csv if (folder / csv).is_file() else None
            yield Part(kind, part.name, part.title, part.experiment, there, table)


def _plain(facts: Mapping[str, Any]) -> Facts:
    """The texts, numbers, true, false and null of a dataset; what is nested is left out."""
    return {name: fact for name, fact in facts.items() if not isinstance(fact, dict | list)}


def _printable(told: Any) -> Any:
    """JSON data whose texts a terminal can be shown: what cannot be printed is escaped."""
    if isinstance(told, str):
        return printable(told)
    if isinstance(told, dict):
        return {printable(key): _printable(inner) for key, inner in told.items()}
    return [_printable(inner) for inner in told] if isinstance(told, list) else told
