"""The whole path, walked once: plan -> cells -> engine -> store -> tables, findings, verdicts, figures -> files."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from bench.cell import Cell
from bench.claims import Claim, Finding, Margins, Verdict, judge, read_register, verdict_table
from bench.console import Progress
from bench.engine import run_cells
from bench.errors import InputError
from bench.experiments import load_experiment
from bench.figures import Figure, figure_table, write_figure, write_file
from bench.json_files import encodable
from bench.latex import to_latex
from bench.plan import Result, Setup, collect
from bench.provenance import provenance
from bench.report import write_report
from bench.store import Store, StoreError
from bench.tables import Table, to_csv, to_dict, to_markdown
from bench.workers import Pool


@dataclass(frozen=True, eq=False)
class Run:
    """What a walk ended with: its experiments, tables for readers, more for files, figures, verdicts, what failed.

    made_by: the experiment of each table and figure, by its name; those that are of the whole run are not in it.
    """

    setup: Setup
    experiments: tuple[str, ...]
    tables: tuple[Table, ...]
    details: tuple[Table, ...]
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]
    failures: tuple[Result, ...]
    cells: int
    made_by: Mapping[str, str]


def plan_cells(setup: Setup, names: tuple[str, ...]) -> dict[str, list[Cell]]:
    """The first cells of each experiment; cells that share a key are one cell, whoever plans them."""
    return {name: load_experiment(name).plan(setup) for name in names}


@dataclass(frozen=True)
class Shard:
    """The cells whose key, as a number, is `index` - 1 modulo `count`: the same whatever else is planned or there."""

    index: int
    count: int

    def of(self, cells: list[Cell]) -> list[Cell]:
        """Its share of the cells, each once."""
        return [cell for cell in dict.fromkeys(cells) if int(cell.key, 16) % self.count == self.index - 1]


def read_shard(text: str) -> Shard:
    """The shard that "2/4" names; InputError for anything else than two whole numbers, 1 <= first <= second."""
    index, _, count = text.partition("/")
    if not (text.isascii() and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise InputError(f"shard is {text!r}; give i/n, such as 1/4 for the first of four")
    return Shard(int(index), int(count))


def walk_shard(
    setup: Setup,
    names: tuple[str, ...],
    store: Store,
    jobs: int,
    shard: Shard,
    memory_mb: float | None = None,
    pool: Pool | None = None,
) -> tuple[str, bool]:
    """Run a shard of what can be planned by now; what is left to do, in a sentence, and whether a cell failed.

    Cells that depend on the results of others are planned once all of these are in `store`: those of every shard, whose
    records come together by copying folders into one. A whole run then finds everything there.
    """
    planned = plan_cells(setup, names)
    mine = shard.of([cell for cells in planned.values() for cell in cells])
    _run(mine, store, jobs, memory_mb, pool)
    later: list[Cell] = []
    waiting = 0
    for name in names:
        if not hasattr(load_experiment(name), "refine"):
            continue
        missing = sum(result.record is None for result in collect(planned[name], store))
        waiting += missing
        later += [] if missing else _refine(setup, name, planned[name], store)
    rest = shard.of(later)
    _run(rest, store, jobs, memory_mb, pool)
    failed = sum(not result.ok for result in collect([*mine, *rest], store))
    told = f"shard {shard.index}/{shard.count}: {len(mine) + len(rest)} cells, {failed} failed"
    if waiting:
        return f"{told}; {waiting} cells of other shards are missing: bring them here, then run this again", failed > 0
    return f"{told}; when every shard is here, the same command without --shard writes tables and verdicts", failed > 0


def walk(
    setup: Setup,
    names: tuple[str, ...],
    store: Store,
    jobs: int,
    memory_mb: float | None = None,
    pool: Pool | None = None,
) -> Run:
    """Run the experiments' cells, then those that depend on their results, and read everything off the store.

    Progress goes to stderr. Raises InputError and StoreError as the engine does.
    """
    planned = plan_cells(setup, names)
    _run([cell for cells in planned.values() for cell in cells], store, jobs, memory_mb, pool)
    later: list[Cell] = []
    for name in names:
        more = _refine(setup, name, planned[name], store)
        planned[name] += more
        later += more
    if later:
        _run(later, store, jobs, memory_mb, pool)
    return _read(setup, {name: collect(list(dict.fromkeys(cells)), store) for name, cells in planned.items()})


def _refine(setup: Setup, name: str, cells: list[Cell], store: Store) -> list[Cell]:
    """The cells of an experiment that depend on the results of its first ones."""
    module = load_experiment(name)
    more: list[Cell] = module.refine(setup, collect(cells, store)) if hasattr(module, "refine") else []
    return more


def _run(cells: list[Cell], store: Store, jobs: int, memory_mb: float | None, pool: Pool | None) -> None:
    unique = list(dict.fromkeys(cells))
    with Progress(unique, jobs) as progress:
        run_cells(unique, store, jobs, on_event=progress, memory_mb=memory_mb, pool=pool)


def _read(setup: Setup, results: Mapping[str, list[Result]]) -> Run:
    register = read_register()
    margins, findings, gaps, reasons = Margins(register), list[Finding](), dict[str, str](), dict[str, str]()
    tables, details, figures = list[Table](), list[Table](), list[Figure]()
    made_by: dict[str, str] = {}
    for name, found in results.items():
        experiment = load_experiment(name)
        listed: list[Table] = experiment.tables(setup, found)
        filed: list[Table] = getattr(experiment, "details", lambda *_: [])(setup, found)
        drawn: list[Figure] = getattr(experiment, "figures", lambda *_: [])(setup, found)
        made_by |= {part.name: name for part in (*listed, *filed, *drawn)}
        tables += listed
        details += filed
        figures += drawn
        findings += experiment.findings(setup, found, margins)
        gaps |= _gaps(name, setup, found, register)
        reasons |= getattr(experiment, "reasons", lambda *_: {})(setup, found)
    verdicts = judge(register, findings, gaps, reasons)
    every = {r.cell.key: r for found in results.values() for r in found}
    failures = tuple(r for r in every.values() if not r.ok)
    shown = (*tables, *([failure_table(failures)] if failures else []), verdict_table(verdicts, _verdict_note(setup)))
    judged = tuple(verdicts)
    return Run(setup, tuple(results), shown, tuple(details), tuple(figures), judged, failures, len(every), made_by)


def _gaps(name: str, setup: Setup, results: list[Result], register: Mapping[str, Claim]) -> dict[str, str]:
    """By claim, what one experiment left out: what it says itself, and its cells that failed."""
    gaps: dict[str, str] = getattr(load_experiment(name), "gaps", lambda _: {})(setup)
    failed = sum(not r.ok for r in results)
    if failed:
        said = f"{failed} of the {len(results)} cells of {name} failed"
        tested = [claim.id for claim in register.values() if claim.experiment == name]
        gaps |= {claim: ". ".join(filter(None, (gaps.get(claim, "").rstrip("."), said))) for claim in tested}
    return gaps


def _verdict_note(setup: Setup) -> str:
    """How to read the verdicts: what was run, on which reading, and how to remake it."""
    return (
        f"Preset {setup.preset.name} ({setup.preset.about}), seed {setup.root}, {setup.device}. Intervals at 95 % "
        "unless a level is given. The paper's text leaves choices open; these are verdicts on the default reading of "
        "causalrec/model.py. `python cli.py claims --rules` prints every rule and margin; `python cli.py run "
        "EXPERIMENT` remakes one experiment."
    )


def failure_table(failures: tuple[Result, ...]) -> Table:
    """The cells that did not end well, and why."""
    rows = []
    for result in failures:
        record = result.record
        error = (record.error or {}) if record is not None else {}
        status = "not run" if record is None else record.status
        rows.append((result.cell.label, status, f"{error.get('type', '')}: {error.get('message', '')}".strip(": ")))
    return Table("failures", "Cells that failed", ("cell", "status", "why"), tuple(rows))


def document(run: Run) -> dict[str, Any]:
    """Verdicts and tables as one JSON document, see `encodable`."""
    setup = run.setup
    told = {
        "preset": setup.preset.name,
        "seed": setup.root,
        "device": setup.device,
        "experiments": list(run.experiments),
        "cells": run.cells,
        "failed": len(run.failures),
        "verdicts": [
            {
                "claim": verdict.claim.id,
                "statement": verdict.claim.statement,
                "verdict": verdict.judgement,
                "rule": verdict.claim.rule,
                "margin": verdict.claim.margin,
                "left_out": verdict.note,
                "why": verdict.why,
                "findings": [_finding(finding) for finding in verdict.findings],
            }
            for verdict in run.verdicts
        ],
        "tables": [to_dict(table) | {"experiment": run.made_by.get(table.name, "")} for table in run.tables],
        "details": [_named(table, run) for table in run.details],
        "figures": [_named(figure, run) for figure in run.figures],
        "datasets": {name: asdict(found) for name, found in setup.found.items()},
        "missing": dict(setup.missing),
        "environment": provenance(),
    }
    return cast("dict[str, Any]", encodable(told))


def _named(part: Table | Figure, run: Run) -> dict[str, str]:
    return {"name": part.name, "title": part.title, "experiment": run.made_by.get(part.name, "")}


def _finding(finding: Finding) -> dict[str, Any]:
    row = Table("", "", ("estimate",), ((finding.estimate,),))
    return {
        "part": finding.part,
        "outcome": finding.outcome,
        "estimate": to_dict(row)["rows"][0][0],
        "rests_on": finding.detail,
    }


def write(run: Run, folder: Path) -> list[Path]:
    """Write the document, every table as CSV and LaTeX, all of them as Markdown, the figures and the report.

    A figure is SVG, PNG and the CSV of what it shows. Returns the files; raises StoreError where the folder cannot be
    written.
    """
    for place in (folder, folder / "tables", folder / "figures"):
        if place.is_symlink():
            raise StoreError(f"{place}: is a symbolic link, which is not followed; put the folder itself in its place")
    texts = {folder / "run.json": json.dumps(document(run), indent=1, ensure_ascii=False, allow_nan=False) + "\n"}
    texts[folder / "tables.md"] = "\n".join([*map(to_markdown, reversed(run.tables)), *map(_link, run.figures)])
    for table in (*run.tables, *run.details):
        texts[folder / "tables" / f"{table.name}.csv"] = to_csv(table)
    for table in run.tables:
        texts[folder / "tables" / f"{table.name}.tex"] = to_latex(table)
    for figure in run.figures:
        texts[folder / "figures" / f"{figure.name}.csv"] = to_csv(figure_table(figure))
    for path, text in texts.items():
        write_file(path, text.encode(errors="backslashreplace"))
    drawn = [path for figure in run.figures for path in write_figure(figure, folder / "figures")]
    return [*texts, *drawn, write_report(folder)]


def _link(figure: Figure) -> str:
    """The figure in Markdown, beside `figures/`."""
    title = re.sub(r"([\\`*_\[\]<>])", r"\\\1", " ".join(figure.title.split()))
    place = f"figures/{figure.name}"
    return f"**{title}**\n\n![{title}]({place}.svg)\n\n[PNG]({place}.png), [CSV]({place}.csv)\n"
