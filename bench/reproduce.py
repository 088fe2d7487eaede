"""The whole path, walked once: plan -> cells -> engine -> store -> results -> findings -> verdicts."""

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.engine.progress import Progress
from bench.engine.run import run_cells
from bench.engine.shards import Shard
from bench.engine.workers import Pool
from bench.experiments import find, left_out
from bench.judge.claims import Finding, Gate, Register, Verdict, headline, judge, read_register
from bench.judge.intervals import Value
from bench.judge.severity import Chance, severity
from bench.plan.results import Result, collect
from bench.plan.setup import Setup
from bench.runners import execute
from bench.show.claims_figure import claims_forest
from bench.show.figures import Figure
from bench.show.tables import Table
from bench.show.verdicts import questions_table, verdict_table

QUICK_DRAWS = 300  # of what could have come out, beside every verdict


@dataclass(frozen=True, eq=False)
class Run:
    """What a walk ended with.

    Args:
        setup: what it was planned from.
        experiments: names of those that ran.
        tables: what a reader sees.
        details: tables that go to files only.
        figures: what is drawn, as data.
        verdicts: one per claim of the register.
        failures: results of the cells that did not end well.
        cells: how many there were.
        made_by: the experiment of each table and figure, by its name; those of the whole run are not in it.
        gates: by name, whether the run could have seen what the claims behind a gate say.
        register: what it was judged by.
        chances: what would have come out under other truths, with this run's sizes and spread.
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
    gates: Mapping[str, Gate]
    register: Register
    chances: tuple[Chance, ...]


def plan_cells(setup: Setup, names: Collection[str]) -> dict[str, list[Cell]]:
    """The first cells of each experiment; cells that share a key are one cell, whoever plans them.

    Args:
        setup: the run's.
        names: of experiments.
    """
    return {name: find(name).plan(setup) for name in names}


def walk_shard(
    setup: Setup,
    names: Collection[str],
    store: Store,
    jobs: int,
    shard: Shard,
    memory_mb: float | None = None,
    pool: Pool | None = None,
) -> tuple[str, bool]:
    """Run a shard of what can be planned by now.

    Cells that depend on the results of others are planned once all of these are in `store`: those of every shard, whose
    records come together by copying folders into one. A whole run then finds everything there.

    Args:
        setup: as in `walk`.
        names: as in `walk`.
        store: as in `walk`.
        jobs: as in `walk`.
        memory_mb: as in `walk`.
        pool: as in `walk`.
        shard: which part.

    Returns:
        What is left to do, in a sentence, and whether a cell failed.
    """
    planned = plan_cells(setup, names)
    mine = shard.of(_all(planned))
    with Progress(mine, jobs) as progress:
        _run(mine, store, jobs, memory_mb, pool, progress)
        while more := _refined(setup, planned, store):
            rest = shard.of(_all(more))
            _run(rest, store, jobs, memory_mb, pool, progress)
            mine += rest
            planned |= {name: planned[name] + cells for name, cells in more.items()}
    refining = [cell for name, cells in planned.items() if find(name).refines for cell in cells]
    waiting = sum(result.record is None for result in collect(list(dict.fromkeys(refining)), store))
    failed = sum(not r.ok for r in collect(mine, store))
    told = f"shard {shard.index}/{shard.count}: {len(mine)} cells, {failed} failed"
    if waiting:
        return f"{told}; {waiting} cells of other shards are missing: bring them here, then run this again", failed > 0
    return f"{told}; when every shard is here, the same command without --shard writes tables and verdicts", failed > 0


def walk(
    setup: Setup,
    names: Collection[str],
    store: Store,
    jobs: int,
    memory_mb: float | None = None,
    pool: Pool | None = None,
    hours: float = math.inf,
) -> Run:
    """Run the experiments' cells, then those that depend on their results, and read everything off the store.

    Progress goes to stderr.

    Args:
        setup: what the cells are planned from.
        names: of experiments.
        store: where records are kept.
        jobs: workers.
        memory_mb: least memory a worker may use, in MiB; None: no limit.
        pool: of workers; None: processes on this machine.
        hours: after which no cell is started; what has run by then is read. Default no limit.

    Raises:
        InputError, StoreError: as `bench.engine.run.run_cells`.
    """
    until = time.monotonic() + 3600 * hours
    planned = plan_cells(setup, names)
    later = sum(find(name).later * sum(cell.cost for cell in cells) for name, cells in planned.items())
    with Progress(_all(planned), jobs, later=later) as progress:
        _run(_all(planned), store, jobs, memory_mb, pool, progress, until)
        while more := _refined(setup, planned, store):
            _run(_all(more), store, jobs, memory_mb, pool, progress, until)
            planned |= {name: planned[name] + cells for name, cells in more.items()}
        progress.complete()
    return _read(setup, {name: collect(list(dict.fromkeys(cells)), store) for name, cells in planned.items()})


def rejudge(setup: Setup, names: Collection[str], store: Store, register: Register | None = None) -> Run:
    """Read everything off the store without running a cell; cells that are not there are missing from the results.

    Args:
        setup: what the cells were planned from.
        names: of experiments.
        store: where records are.
        register: what to judge by. Default the suite's own.
    """
    results = {name: collect(cells, store) for name, cells in _planned(setup, names, store).items()}
    return _read(setup, results, register)


def all_cells(setup: Setup, names: Collection[str], store: Store) -> list[Cell]:
    """The cells of experiments, those included that they plan on the results in a store.

    Args:
        setup: what the cells were planned from.
        names: of experiments.
        store: where records are.
    """
    return list(dict.fromkeys(_all(_planned(setup, names, store))))


def _planned(setup: Setup, names: Collection[str], store: Store) -> dict[str, list[Cell]]:
    planned = plan_cells(setup, names)
    while more := _refined(setup, planned, store):
        planned |= {name: planned[name] + cells for name, cells in more.items()}
    return {name: list(dict.fromkeys(cells)) for name, cells in planned.items()}


def _refined(setup: Setup, planned: Mapping[str, list[Cell]], store: Store) -> dict[str, list[Cell]]:
    """The cells that each experiment plans on the results so far and has not planned yet; no experiment without any.

    An experiment whose planned cells have not all been tried yet waits.
    """
    later = {}
    for name, cells in planned.items():
        results = collect(cells, store) if find(name).refines else []
        if results and all(result.record is not None for result in results):
            known = set(cells)
            if new := [cell for cell in find(name).refine(setup, results) if cell not in known]:
                later[name] = new
    return later


def _all(cells: Mapping[str, list[Cell]]) -> list[Cell]:
    return [cell for part in cells.values() for cell in part]


def _run(
    cells: list[Cell],
    store: Store,
    jobs: int,
    memory_mb: float | None,
    pool: Pool | None,
    progress: Progress,
    until: float = math.inf,
) -> None:
    unique = list(dict.fromkeys(cells))
    progress.add(unique)
    run_cells(unique, store, execute, jobs, on_event=progress, memory_mb=memory_mb, pool=pool, until=until)


def _read(setup: Setup, results: Mapping[str, list[Result]], register: Register | None = None) -> Run:
    """Tables, figures, findings and verdicts of the results by experiment."""
    register = register or read_register()
    findings, gaps, reasons = list[Finding](), dict[str, str](), dict[str, str]()
    tables, details, figures = list[Table](), list[Table](), list[Figure]()
    made_by: dict[str, str] = {}
    gates: dict[str, Gate] = {}
    for name, found in results.items():
        experiment = find(name)
        listed, filed = experiment.tables(setup, found), experiment.details(setup, found)
        drawn = experiment.figures(setup, found)
        made_by |= {part.name: name for part in (*listed, *filed, *drawn)}
        tables += listed
        details += filed
        figures += drawn
        findings += experiment.findings(setup, found, register)
        gaps |= _gaps(name, setup, found, register)
        gates |= experiment.gates(setup, found)
        for claim, reason in experiment.reasons(setup, found).items():
            reasons[claim] = f"{reasons.get(claim, '')} {reason}".strip()
    gaps |= {
        claim.id: why
        for claim in register.claims.values()
        if claim.experiment not in results and (why := left_out(setup.preset, claim.experiment))
    }
    verdicts = judge(register, findings, gaps, reasons, gates)
    figures += [claims_forest(verdicts)] if findings else []
    chances = tuple(severity(
        register, findings, first=setup.preset.sweep_seeds, most=setup.preset.most_worlds, root=setup.root,
        draws=QUICK_DRAWS,
    ))
    every = {r.cell.key: r for found in results.values() for r in found}
    failures = tuple(r for r in every.values() if not r.ok)
    asked = [questions_table(verdicts, gates)] if gates else []
    shown = (
        *tables, *([failure_table(failures)] if failures else []), *asked,
        verdict_table(verdicts, chances, f"{headline(verdicts)} {_verdict_note(setup)}"),
    )  # fmt: skip
    return Run(
        setup, tuple(results), shown, tuple(details), tuple(figures), tuple(verdicts), failures, len(every), made_by,
        gates, register, chances,
    )  # fmt: skip


def _gaps(name: str, setup: Setup, results: list[Result], register: Register) -> dict[str, str]:
    """By claim, what one experiment left out: what it says itself, and its cells that failed."""
    gaps = find(name).gaps(setup)
    missing = sum(r.record is None for r in results)
    counts = ((sum(not r.ok for r in results) - missing, "failed"), (missing, "are missing"))
    for count, word in counts:
        said = f"{count} of the {len(results)} cells of {name} {word}"
        tested = [claim.id for claim in register.claims.values() if claim.experiment == name and count]
        gaps |= {claim: ". ".join(filter(None, (gaps.get(claim, "").rstrip("."), said))) for claim in tested}
    return gaps


def _verdict_note(setup: Setup) -> str:
    """How to read the verdicts: what was run, on which reading, and how to remake it."""
    return (
        f"Preset {setup.preset.name} ({setup.preset.about}), seed {setup.root}, {setup.device}. Intervals at 95 %. "
        "Right if: the chance, at this run's sizes and spread, of the right verdict if the claim is true as stated, if "
        "there is nothing to it, and if the opposite is true. The paper's text leaves choices open; these are verdicts "
        "on the default reading of "
        "causalrec/model.py. `python cli.py claims --rules` prints every rule and margin; `python cli.py run "
        "EXPERIMENT` remakes one experiment."
    )


def failure_table(failures: Collection[Result]) -> Table:
    """The cells that failed, and why; those that were not run, by runner and by how many there are.

    Args:
        failures: results of the cells that did not end well.
    """
    rows, left = list[tuple[Value, ...]](), Counter[str]()
    for result in failures:
        if result.record is None:
            left[result.cell.runner] += 1
            continue
        error = result.record.error or {}
        why = f"{error.get('type', '')}: {error.get('message', '')}".strip(": ")
        rows.append((result.cell.label, result.record.status, why))
    rows += [(f"{count} of {runner}", "not run", "") for runner, count in left.items()]
    return Table("failures", "Cells that failed", ("cell", "status", "why"), tuple(rows))
