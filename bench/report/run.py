"""A run from its setup to its files: run the cells, write what they show, compare it with what was expected."""

from dataclasses import dataclass
from pathlib import Path

from bench.cells.store import Store
from bench.engine.run import make_pool
from bench.engine.shards import read_shard
from bench.experiments import check_used
from bench.plan.setup import Setup
from bench.report.compare import compare
from bench.report.run_files import RunFile, read_run
from bench.report.write import document, write
from bench.reproduce import walk, walk_shard
from bench.show.console import print_message
from bench.show.terminal import Answer


@dataclass(frozen=True, eq=False)
class Conditions:
    """Where the cells of a run are computed, and what makes the run fail.

    Args:
        out: results folder: it holds the records, and the run's own files in a folder below it.
        jobs: worker processes; None for the default of the engine.
        memory: MiB that a worker may hold before its cell is stopped; None for no limit.
        engine: name of the engine, see `make_pool`.
        address: of a Ray cluster, see `make_pool`.
        shard: "i/n" to run the i-th of n shares of the cells and write records only; None for all cells.
        expected: run whose verdicts must come out again; None for no such condition.
        require_data: whether the run fails if a dataset of the preset is missing.
    """

    out: Path
    jobs: int | None = None
    memory: float | None = None
    engine: str = "local"
    address: str | None = None
    shard: str | None = None
    expected: RunFile | None = None
    require_data: bool = False


def run_and_write(setup: Setup, names: tuple[str, ...], conditions: Conditions) -> Answer:
    """Run experiments, write the files of the run and tell how it ended.

    Args:
        setup: what is planned.
        names: of the experiments.
        conditions: where it runs, and what makes it fail.

    Returns:
        Tables, the document of the run, and the exit code: 3 if cells failed or required data are missing, otherwise 1
        if a verdict is not as expected, otherwise 0. A shard has no tables.

    Raises:
        InputError: a condition is wrong, or no experiment uses a file or a model that the user named.
        StoreError: records or files cannot be written.
    """
    check_used(setup, names)
    shard = None if conditions.shard is None else read_shard(conditions.shard)
    pool = make_pool(conditions.engine, conditions.address)
    store = Store(conditions.out, on_quarantine=print_message)
    with pool as opened:
        jobs = conditions.jobs or opened.default_jobs(setup.device)
        if shard is not None:
            told, failed = walk_shard(setup, names, store, jobs, shard, conditions.memory, opened)
            return Answer(messages=(told,), exit_code=3 if failed else 0)
        run = walk(setup, names, store, jobs, conditions.memory, opened)
    part = "" if len(names) > 1 else f"-{names[0]}"
    folder = conditions.out / f"{setup.preset.name}-seed{setup.root}{part}"
    write(run, folder)
    missing = setup.missing if conditions.require_data else {}
    expected = conditions.expected
    differing = () if expected is None else compare(read_run(folder), expected).differing
    messages = (
        f"{run.cells} cells, {len(run.failures)} failed; tables and run.json in {folder}",
        *(f"--require-data: {name}: {why}" for name, why in missing.items()),
        *(f"--expect: {sentence}" for sentence in differing),
    )
    failed = bool(run.failures or missing)
    return Answer(run.tables, document(run), messages, 3 if failed else 1 if differing else 0)
