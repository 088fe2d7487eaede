"""What `plan`, `run` and `reproduce` do: from a user's options to a plan, or to a run, its files and its exit code."""

import math
import shlex
import sys
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.cells.store import Store
from bench.datasets import download
from bench.datasets.catalogue import find as find_dataset
from bench.datasets.load import data_folder
from bench.engine.local import default_jobs
from bench.engine.run import make_pool
from bench.engine.shards import read_shard
from bench.errors import InputError
from bench.experiments import check_used, find
from bench.judge.claims import headline, read_register
from bench.plan.presets import find_preset, narrow
from bench.plan.request import DataOptions, PlanOptions, RunOptions
from bench.plan.setup import NARROWED, Preparation, Setup
from bench.plan.table import key_lines, plan_table
from bench.report.compare import compare
from bench.report.evidence import go_on
from bench.report.page import REPORT
from bench.report.rejudge import Evidence
from bench.report.run_files import read_run
from bench.report.write import Made, document, write
from bench.reproduce import Run, plan_cells, walk, walk_shard
from bench.show.console import print_message, transfer
from bench.show.tables import Table
from bench.show.terminal import Answer
from bench.show.verdicts import summary_table
from causalrec.methods.canonical import digest


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
    if running.get_data and (own is None or plan.dataset):
        get_data(plan, data.data_dir)
    setup = plan.setup(data, own)
    check_used(setup, names)
    shard = None if running.shard is None else read_shard(running.shard)
    hours = math.inf if running.hours is None else running.hours
    if not hours > 0 or (shard is not None and hours < math.inf):
        raise InputError(f"--hours {hours:g}: give more than 0, and not together with --shard")
    pool = make_pool(running.engine, running.address)
    if restored := go_on(plan.out):
        print_message(f"{restored} records unpacked from the archives in {plan.out}")
    store = (Evidence if running.any_code else Store)(plan.out, on_quarantine=print_message)
    if lacking := lacking_words(setup, names):
        print_message(lacking)
    with pool as opened:
        jobs = plan.jobs or opened.default_jobs(setup.device)
        if shard is not None:
            told, failed = walk_shard(setup, names, store, jobs, shard, running.memory, opened)
            return Answer(messages=(told,), exit_code=3 if failed else 0)
        run = walk(setup, names, store, jobs, running.memory, opened, hours)
    folder = plan.out / run_name(setup, names, data.preparation(plan.split), own)
    made = Made(shlex.join(["python", "cli.py", *sys.argv[1:]]), start, round(time.monotonic() - clock, 1))
    write(run, folder, made, running.paper)
    missing = setup.missing if running.require_data else {}
    compared = None if expected is None else compare(read_run(folder), expected, running.across_registers)
    left = sum(result.record is None for result in run.failures)
    messages = (
        f"{run.cells} cells, {len(run.failures) - left} failed; report: {folder / REPORT}",
        *([f"{len(store.older)} records were made by other code than today's"] if isinstance(store, Evidence) else ()),
        *([f"{left} cells were not started within {hours:g} hours; the same command goes on"] if left else ()),
        *(f"--require-data: {name}: {why}" for name, why in missing.items()),
        *(f"--expect, within noise: {sentence}" for sentence in (compared.within_noise if compared else ())),
        *(f"--expect: {sentence}" for sentence in (compared.differing if compared else ())),
    )
    exit_code = 3 if run.failures or missing else 1 if compared and compared.differing else 0
    return Answer(_shown(run, names, running.tables, folder), document(run, made), messages, exit_code)


def _shown(run: Run, names: Collection[str], everything: bool, folder: Path) -> list[Table]:
    """For the terminal: the verdicts, a row per claim; of a single experiment its own tables before them."""
    where = shlex.quote(str(folder))
    note = f"Every table: python cli.py results tables {where}. Report: {where}/{REPORT}"
    if everything:
        return list(run.tables)
    if len(names) > 1:
        return [summary_table(run.verdicts, f"{headline(run.verdicts)} {note}")]
    tested = [verdict for verdict in run.verdicts if verdict.claim.experiment in names]
    if run.setup.alone:  # it judges nothing
        tested = [verdict for verdict in tested if verdict.judgement != "not run"]
    own = [table for table in run.tables if table.name not in ("verdicts", "questions")]
    return [*own, *([summary_table(tested, note)] if tested else [])]


def run_name(setup: Setup, names: Collection[str], prepared: Preparation, own: Mapping[str, str | None] | None) -> str:
    """The folder of a run: preset and seed, and where other than the preset's own was asked for, a hash of that.

    So runs with different options lie side by side.

    Args:
        setup: what the run was planned from.
        names: of its experiments.
        prepared: how its data are prepared.
        own: the user's own file and its columns; None for none.
    """
    preset = find_preset(setup.preset.name)
    asked: dict[str, Any] = {
        name: getattr(setup.preset.real, name) for name in NARROWED
        if getattr(setup.preset.real, name) != getattr(preset.real, name)
    }  # fmt: skip
    asked |= {name: said for name in ("learners", "recommenders", "perturb") if (said := getattr(setup, name))}
    asked |= {name: said for name, said in vars(prepared).items() if said != getattr(Preparation(), name)}
    asked |= {"own": dict(own)} if own else {}
    part = f"-{next(iter(names))}" if len(names) == 1 else ""
    return f"{preset.name}-seed{setup.root}{part}" + (f"-{digest(msgspec.to_builtins(asked))[:6]}" if asked else "")


def get_data(plan: PlanOptions, data_dir: Path | None) -> None:
    """Download the datasets that a plan needs and that are not there; what cannot be had is told and left out.

    Args:
        plan: what is planned.
        data_dir: the data folder. Default: see `bench.datasets.load.data_folder`.

    Raises:
        InputError: the plan names an unknown preset or dataset.
    """
    folder = data_folder(data_dir)
    for name in narrow(find_preset(plan.preset), tuple(plan.dataset or ())).real.datasets:
        if find_dataset(name).found(folder) is None:
            try:
                with transfer(name) as progress:
                    download.get(name, folder, progress)
            except InputError as error:
                print_message(f"{name} cannot be had: {error}")


def lacking_words(setup: Setup, names: Collection[str]) -> str:
    """How many claims lack data that is not there, and how to get it; "" where none does.

    Args:
        setup: of the run.
        names: of its experiments.
    """
    gaps = {claim: said for name in names for claim, said in find(name).gaps(setup).items()}
    lacking = [claim for claim, said in gaps.items() if any(why in said for why in setup.missing.values())]
    if not lacking:
        return ""
    total = sum(claim.experiment in names for claim in read_register().claims.values())
    how = "; ".join(f"`python cli.py data get {name}`" for name in setup.missing)
    return (
        f"{len(lacking)} of {total} claims need data that are not there ({', '.join(lacking)}): {how}; or start again "
        "with --get-data"
    )


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
