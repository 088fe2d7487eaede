"""What `plan`, `run` and `reproduce` do: from a user's options to a plan, or to a run, its files and its exit code."""

import shlex
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from bench.cells.store import Store
from bench.engine.local import default_jobs
from bench.engine.run import make_pool
from bench.engine.shards import read_shard
from bench.errors import InputError
from bench.experiments import check_used, find
from bench.judge.claims import read_register
from bench.plan.request import DataOptions, PlanOptions, RunOptions
from bench.plan.table import key_lines, plan_table
from bench.report.compare import compare
from bench.report.run_files import read_run
from bench.report.write import Made, document, write
from bench.reproduce import plan_cells, walk, walk_shard
from bench.show.console import print_message
from bench.show.terminal import Answer


def show_plan(names: tuple[str, ...], plan: PlanOptions, data: DataOptions, keys: bool = False) -> Answer:
    """What a run would compute and about how long that takes; nothing is run or written.

    Args:
        names: of the experiments.
        plan: what is planned.
        data: where the data are, and how they are prepared.
        keys: list key and label of every cell instead.

    Raises:
        InputError: as `run_and_write`.
    """
    setup = plan.setup(data)
    check_used(setup, names)
    planned = plan_cells(setup, names)
    if keys:
        return Answer(lines=tuple(key_lines(planned)))
    store = Store(plan.out) if (plan.out / "records").is_dir() else None
    return Answer([plan_table(setup, planned, store, plan.jobs or default_jobs(setup.device))])


def run_and_write(
    names: tuple[str, ...],
    plan: PlanOptions,
    data: DataOptions,
    running: RunOptions,
    own: Mapping[str, str | None] | None = None,
) -> Answer:
    """Run experiments, write the files of the run and tell how it ended.

    Args:
        names: of the experiments.
        plan: what is planned.
        data: where the data are, and how they are prepared.
        running: where cells run, and what makes the run fail.
        own: a user's own file and its columns, see `PlanOptions.setup`.

    Returns:
        Tables, the document of the run, and the exit code: 3 if cells failed or required data are missing, otherwise 1
        if a verdict is not as expected, otherwise 0. A shard has no tables.

    Raises:
        InputError: an option is wrong, or no experiment uses a file or a model that the user named.
        StoreError: records or files cannot be written.
    """
    for name in names:
        find(name)  # an unknown one is told before data are read
    expected, start, clock = None if running.expect is None else read_run(running.expect), now(), time.monotonic()
    if expected is not None and expected.register.sha256 != read_register().sha256 and not running.across_registers:
        raise InputError(
            f"--expect: {expected.path} was judged by another register than this version's; judge its records anew "
            "(`python cli.py judge FOLDER`), or add --across-registers"
        )
    setup = plan.setup(data, own)
    check_used(setup, names)
    shard = None if running.shard is None else read_shard(running.shard)
    pool = make_pool(running.engine, running.address)
    store = Store(plan.out, on_quarantine=print_message)
    with pool as opened:
        jobs = plan.jobs or opened.default_jobs(setup.device)
        if shard is not None:
            told, failed = walk_shard(setup, names, store, jobs, shard, running.memory, opened)
            return Answer(messages=(told,), exit_code=3 if failed else 0)
        run = walk(setup, names, store, jobs, running.memory, opened)
    part = "" if len(names) > 1 else f"-{names[0]}"
    part += f"-perturbed-{setup.perturb:g}" if setup.perturb else ""
    folder = plan.out / f"{setup.preset.name}-seed{setup.root}{part}"
    made = Made(shlex.join(["python", "cli.py", *sys.argv[1:]]), start, round(time.monotonic() - clock, 1))
    write(run, folder, made)
    missing = setup.missing if running.require_data else {}
    compared = None if expected is None else compare(read_run(folder), expected, running.across_registers)
    messages = (
        f"{run.cells} cells, {len(run.failures)} failed; tables and run.json in {folder}",
        *(f"--require-data: {name}: {why}" for name, why in missing.items()),
        *(f"--expect, within noise: {sentence}" for sentence in (compared.within_noise if compared else ())),
        *(f"--expect: {sentence}" for sentence in (compared.differing if compared else ())),
    )
    exit_code = 3 if run.failures or missing else 1 if compared and compared.differing else 0
    return Answer(run.tables, document(run, made), messages, exit_code)


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
