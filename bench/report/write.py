"""The files of a run: run.json, tables, figures, report."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from bench.cells.files import real, write_file
from bench.cells.fingerprint import ROOT
from bench.cells.provenance import provenance, version_of
from bench.judge.claims import headline
from bench.report.page import write_report
from bench.reproduce import Run
from bench.show.drawing import write_figure, write_paper_figures
from bench.show.figures import Figure, figure_table
from bench.show.latex import to_latex
from bench.show.tables import Table, json_value, to_csv, to_dict, to_markdown
from bench.text import encodable


@dataclass(frozen=True)
class Made:
    """How a run was made.

    Args:
        command: the command line.
        started: when, ISO 8601 in UTC.
        duration_s: how long it took, in seconds.
        environment: what its cells ran on. Default this process's.
    """

    command: str = ""
    started: str = ""
    duration_s: float = 0.0
    environment: Mapping[str, str | int | None] = field(default_factory=provenance)


def judging_code() -> str:
    """SHA-256 of the files that measure and judge: `bench/judge` and `bench/experiments`, by path and content."""
    digest = hashlib.sha256()
    for folder in ("judge", "experiments"):
        for path in sorted((ROOT / "bench" / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def document(run: Run, made: Made | None = None) -> dict[str, Any]:
    """Verdicts and tables as one JSON document.

    Args:
        run: what was run and found.
        made: how. Default unknown.

    Returns:
        What run.json holds; its texts are such that UTF-8 can hold them.
    """
    setup, register = run.setup, run.register
    made_with = asdict(made or Made())
    environment = made_with.pop("environment")
    told = {
        "preset": setup.preset.name,
        "seed": setup.root,
        "device": setup.device,
        "made": made_with | {"version": version_of("causalrec-repro")},
        "asked": setup.asked,
        "headline": headline(run.verdicts),
        "experiments": list(run.experiments),
        "cells": run.cells,
        "failed": len(run.failures),
        "gates": {name: gate.passed for name, gate in run.gates.items()},
        "verdicts": [
            {
                "claim": verdict.claim.id,
                "statement": verdict.claim.statement,
                "kind": verdict.claim.kind,
                "verdict": verdict.judgement,
                "note": verdict.note,
                "why": verdict.why,
                "findings": [
                    {
                        "part": finding.part,
                        "where": finding.where,
                        "outcome": finding.outcome,
                        "estimate": json_value(finding.estimate),
                        "unit": verdict.claim.parts[finding.part].unit,
                        "rests_on": finding.detail,
                        "blocked": finding.blocked,
                    }
                    for finding in verdict.findings
                ],
            }
            for verdict in run.verdicts
        ],
        "register": {
            "sha256": register.sha256,
            "code_sha256": judging_code(),
            "claims": {name: asdict(claim) for name, claim in register.claims.items()},  # defaults as well
            "gates": {name: asdict(gate) for name, gate in register.gates.items()},
        },
        "severity": [msgspec.to_builtins(chance) for chance in run.chances],
        "tables": [to_dict(table) | {"experiment": run.made_by.get(table.name, "")} for table in run.tables],
        "details": [_named(table, run) for table in run.details],
        "figures": [_named(figure, run) for figure in run.figures],
        "datasets": {name: asdict(found) for name, found in setup.found.items()},
        "missing": dict(setup.missing),
        "environment": environment,
    }
    return cast("dict[str, Any]", encodable(told))


def _named(part: Table | Figure, run: Run) -> dict[str, str]:
    return {"name": part.name, "title": part.title, "experiment": run.made_by.get(part.name, "")}


def write(run: Run, folder: Path, made: Made | None = None, paper: bool = False) -> list[Path]:
    """Write the document, every table as CSV and LaTeX, all of them as Markdown, the figures and the report.

    A figure is written as SVG, as PNG, as the CSV of what it shows and, for a paper, as PDF in figures/paper.

    Args:
        run: what was run and found.
        folder: of the run; it is made if missing.
        made: how it was made. Default unknown.
        paper: write the figures for a paper as well. Default False.

    Returns:
        The files.

    Raises:
        StoreError: the folder cannot be written.
    """
    for place in (folder, folder / "tables", folder / "figures"):
        real(place)
    texts = {folder / "run.json": json.dumps(document(run, made), indent=1, ensure_ascii=False, allow_nan=False) + "\n"}
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
    drawn += write_paper_figures(run.figures, folder / "figures" / "paper") if paper else []
    return [*texts, *drawn, write_report(folder)]


def _link(figure: Figure) -> str:
    """The figure in Markdown with its note, beside `figures/`."""
    title, note = (re.sub(r"([\\`*_\[\]<>])", r"\\\1", " ".join(text.split())) for text in (figure.title, figure.note))
    place = f"figures/{figure.name}"
    links = f"[PNG]({place}.png), [CSV]({place}.csv)\n"
    return "\n\n".join(filter(None, (f"**{title}**", f"![{title}]({place}.svg)", note, links)))
