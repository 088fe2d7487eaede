"""A run as it lies in its folder: `run.json` with the figures and CSV beside it, checked and typed.

A `run.json` from before tables named their experiment is read too: its parts then have none, and its figures are those
that lie in `figures/`.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from bench.claims import Claim, Finding, Judgement, Verdict, read_register
from bench.errors import InputError
from bench.power import Outcome
from bench.tables import Table, from_dict, from_json

NAME = "run.json"
Kind: TypeAlias = Literal["table", "detail", "figure"]
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A table, a table that is a file only ("detail"), or a figure.

    experiment: what made it, "" for the whole run. csv: its file, below the run's folder; None where that is not
    there. table, svg: its content, of a table and of a figure.
    """

    kind: Kind
    name: str
    title: str
    experiment: str
    csv: str | None
    table: Table | None = None
    svg: bytes = b""

    @property
    def anchor(self) -> str:
        """Its id within a page."""
        return f"{self.kind}-{self.name}"


@dataclass(frozen=True)
class RunFile:
    """What `bench.reproduce.document` says, read back; a claim's source and experiment are the register's."""

    preset: str
    seed: int
    device: str
    cells: int
    failed: int
    verdicts: tuple[Verdict, ...]
    parts: tuple[Part, ...]
    missing: Mapping[str, str]
    environment: Mapping[str, str | int | None]

    def find(self, name: str) -> Part | None:
        """The table of this name."""
        return next((part for part in self.parts if part.kind == "table" and part.name == name), None)


def read_run(folder: Path) -> RunFile:
    """Read a run's folder.

    Raises InputError where `run.json` is not there, is no JSON, or lacks a field or has one of another type than
    `bench.reproduce.document` writes, and where a figure that it names is not there.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name the folder that `reproduce` or `run` wrote")
    try:
        told = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())[:200]})") from error
    try:
        return _run(told, folder)
    except InputError as error:
        raise InputError(f"{path}: {error}; make it anew with `reproduce` or `run`") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _run(told: object, folder: Path) -> RunFile:
    if not isinstance(told, dict):
        raise InputError(f"it is a {type(told).__name__}; expected an object")
    preset, device = (_take(told, key, str) for key in ("preset", "device"))
    seed, cells, failed = (_take(told, key, int) for key in ("seed", "cells", "failed"))
    missing, environment = (_take(told, key, dict) for key in ("missing", "environment"))
    if not all(isinstance(why, str) for why in missing.values()):
        raise InputError("missing must say why, in text, for each dataset")
    if not all(fact is None or isinstance(fact, str | int) for fact in environment.values()):
        raise InputError("environment must hold text, whole numbers, true, false and null only")
    parts = tuple(_parts(told, folder))
    anchors = [part.anchor for part in parts]
    if len(set(anchors)) < len(anchors):
        raise InputError("two tables or two figures have the same name")
    return RunFile(preset, seed, device, cells, failed, _verdicts(told), parts, missing, environment)


def _verdicts(told: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The file's verdicts and after them the register's claims that the file does not name."""
    register = read_register()
    made = [_verdict(entry, register) for entry in _objects(told, "verdicts")]
    names = [verdict.claim.id for verdict in made]
    if len(set(names)) < len(names):
        raise InputError("verdicts name a claim twice")
    why = "this run's file does not name the claim; the register has it"
    return (*made, *(Verdict(claim, "not run", (), why) for name, claim in register.items() if name not in names))


def _verdict(entry: Mapping[str, Any], register: Mapping[str, Claim]) -> Verdict:
    name = _name(entry, "claim")
    statement, rule, note = (_take(entry, key, str) for key in ("statement", "rule", "left_out"))
    margin = entry.get("margin")
    if not (margin is None or type(margin) in (int, float)):
        raise InputError(f"claim {name!r}: margin is {_short(margin)}; expected a number or null")
    known = register.get(name) or Claim(name, statement, "not in this version's register", "", rule)
    claim = replace(known, statement=statement, rule=rule, margin=margin)
    findings = tuple(_finding(found, name) for found in _objects(entry, "findings"))
    judgement: Judgement = _one_of(entry, "verdict", Judgement)
    return Verdict(claim, judgement, findings, note)


def _finding(entry: Mapping[str, Any], claim: str) -> Finding:
    part, detail = (_take(entry, key, str) for key in ("part", "rests_on"))
    outcome: Outcome = _one_of(entry, "outcome", Outcome)
    return Finding(claim, part, outcome, from_json(entry.get("estimate"), f"claim {claim!r}, {part!r}"), detail)


def _parts(told: Mapping[str, Any], folder: Path) -> list[Part]:
    def part(kind: Kind, entry: Mapping[str, Any], place: str) -> Part:
        name = _name(entry, "name")
        csv = f"{place}/{name}.csv"
        experiment = _name(entry, "experiment") if entry.get("experiment") else ""
        return Part(kind, name, _take(entry, "title", str), experiment, csv if (folder / csv).is_file() else None)

    tables = [replace(part("table", each, "tables"), table=from_dict(each)) for each in _objects(told, "tables")]
    details = [part("detail", each, "tables") for each in _objects(told, "details", [])]
    here = sorted(path.stem for path in (folder / "figures").glob("*.svg"))
    drawn = _objects(told, "figures", [{"name": name, "title": ""} for name in here])
    figures = [_drawn(part("figure", each, "figures"), folder) for each in drawn]
    return [*tables, *details, *figures]


def _drawn(figure: Part, folder: Path) -> Part:
    """The figure with its picture, whose own title stands in where it has none."""
    path = folder / "figures" / f"{figure.name}.svg"
    try:
        svg = path.read_bytes()
    except OSError as error:
        raise InputError(f"figure {figure.name!r}: {path} cannot be read ({error.strerror})") from error
    titled = re.search(r"<title>(.*?)</title>", svg.decode(errors="replace"), re.DOTALL)
    return replace(figure, svg=svg, title=figure.title or (html.unescape(titled[1]) if titled else figure.name))


def _take(told: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = told.get(key)
    if type(value) is not kind:
        raise InputError(f"{key} is {_short(value)}; expected {kind.__name__}")
    return value


def _objects(told: Mapping[str, Any], key: str, otherwise: list[Any] | None = None) -> list[dict[str, Any]]:
    entries = otherwise if otherwise is not None and key not in told else _take(told, key, list)
    if not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{key} must be a list of objects")
    return entries


def _name(told: Mapping[str, Any], key: str) -> str:
    """A name that may become an id, a file's or a word of a command."""
    value = _take(told, key, str)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
        raise InputError(f"{key} is {_short(value)}; expected letters, digits, _ and -")
    return value


def _one_of(told: Mapping[str, Any], key: str, choices: Any) -> Any:
    value = _take(told, key, str)
    if value not in get_args(choices):
        raise InputError(f"{key} is {_short(value)}; expected one of {', '.join(get_args(choices))}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
