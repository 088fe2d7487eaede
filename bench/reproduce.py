"""The whole path, walked once: plan -> cells -> engine -> store -> tables, findings, verdicts, figures -> files."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.claims import Claim, Finding, Margins, Verdict, judge, read_register, verdict_table
from bench.console import Progress
from bench.engine import run_cells
from bench.experiments import load_experiment
from bench.figures import Figure, figure_table, write_figure, write_file
from bench.latex import to_latex
from bench.plan import Result, Setup, collect
from bench.provenance import provenance
from bench.report import write_report
from bench.store import Store
from bench.tables import Table, to_csv, to_dict, to_markdown


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


def walk(setup: Setup, names: tuple[str, ...], store: Store, jobs: int) -> Run:
    """Run the experiments' cells, then those that depend on their results, and read everything off the store.

    Progress goes to stderr. Raises InputError and StoreError as the engine does.
    """
    planned = plan_cells(setup, names)
    _run([cell for cells in planned.values() for cell in cells], store, jobs)
    later: list[Cell] = []
    for name in names:
        refine = getattr(load_experiment(name), "refine", None)
        more = refine(setup, collect(planned[name], store)) if refine else []
        planned[name] += more
        later += more
    if later:
        _run(later, store, jobs)
    return _read(setup, {name: collect(list(dict.fromkeys(cells)), store) for name, cells in planned.items()})


def _run(cells: list[Cell], store: Store, jobs: int) -> None:
    unique = list(dict.fromkeys(cells))
    with Progress(unique, jobs) as progress:
        run_cells(unique, store, jobs, on_event=progress)


def _read(setup: Setup, results: Mapping[str, list[Result]]) -> Run:
    register = read_register()
    margins, findings, gaps = Margins(register), list[Finding](), dict[str, str]()
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
    verdicts = judge(register, findings, gaps)
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
    """Verdicts and tables as one JSON document."""
    setup = run.setup
    return {
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
    texts = {folder / "run.json": json.dumps(document(run), indent=1, ensure_ascii=False, allow_nan=False) + "\n"}
    texts[folder / "tables.md"] = "\n".join([*map(to_markdown, reversed(run.tables)), *map(_link, run.figures)])
    for table in (*run.tables, *run.details):
        texts[folder / "tables" / f"{table.name}.csv"] = to_csv(table)
    for table in run.tables:
        texts[folder / "tables" / f"{table.name}.tex"] = to_latex(table)
    for figure in run.figures:
        texts[folder / "figures" / f"{figure.name}.csv"] = to_csv(figure_table(figure))
    for path, text in texts.items():
        write_file(path, text.encode())
    drawn = [path for figure in run.figures for path in write_figure(figure, folder / "figures")]
    return [*texts, *drawn, write_report(folder)]


def _link(figure: Figure) -> str:
    """The figure in Markdown, beside `figures/`."""
    title = re.sub(r"([\\`*_\[\]<>])", r"\\\1", " ".join(figure.title.split()))
    place = f"figures/{figure.name}"
    return f"**{title}**\n\n![{title}]({place}.svg)\n\n[PNG]({place}.png), [CSV]({place}.csv)\n"
