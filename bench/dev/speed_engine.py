"""What a cell costs beyond its own work, beside joblib's loky and Ray: python -m bench.dev.speed_engine

Cells sleep for 2 ms, on 2 workers. `start` is the wall time from the call to the first cell's start (others: to the end
of one short task per worker); a cell's time is that of the whole run after it, divided by the cells, so that with 2
workers no engine can need less than half of what a cell sleeps. Ours is measured twice: with its synced record, its key
check and its watch over deadlines, and with the record left out; what the records take alone is the disk's doing. The
others run the bare function and keep nothing. All take turns; medians.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from bench.cells.provenance import provenance
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell, Outcome
from bench.dev.timing import Goal, command_line
from bench.engine.run import make_pool, run_cells
from bench.engine.workers import Execute, Pool
from bench.judge.intervals import Value
from bench.show.console import print_table
from bench.show.tables import Table
from causalrec.methods.canonical import digest

GOAL_MS = Goal(4.0, most=True)  # of a cell on this machine's processes, record included


class Spent(NamedTuple):
    """Wall time.

    Args:
        start: seconds to the start.
        cell: seconds per cell after it.
    """

    start: float
    cell: float


def nap(cell: Cell) -> Outcome:
    """Sleep.

    Args:
        cell: says for how long.
    """
    time.sleep(cell.params["seconds"])
    return Outcome({"number": cell.params["number"]})


def nap_unrecorded(cell: Cell) -> Outcome:
    """Sleep in a worker that from now on writes no records.

    Args:
        cell: says for how long.
    """
    setattr(Store, "put", lambda _store, record, _arrays=None: record)  # noqa: B010, mypy minds the plain assignment
    return nap(cell)


def records(cells: int, jobs: int) -> Spent:
    """The records alone: mostly the disk's time.

    Args:
        cells: how many records.
        jobs: threads that write them, as many as a run has workers.
    """
    cell = Cell("nap", {"number": 0, "seconds": 0.0}, ("bench.cells.unit",))
    made = [Record(digest(n), cell.fields, "ok", {"number": n}, provenance=provenance()) for n in range(cells)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as threads:
        store = Store(folder)
        before = time.perf_counter()
        list(threads.map(store.put, made))
        return Spent(0.0, (time.perf_counter() - before) / cells)


def ours(cells: int, seconds: float, jobs: int, execute: Execute, pool: Pool | None = None) -> Spent:
    """One run of the engine in a temporary folder.

    Args:
        cells: how many.
        seconds: how long each sleeps.
        jobs: workers.
        execute: runs a cell.
        pool: where workers run; processes of this machine by default.
    """
    todo = [Cell("nap", {"number": number, "seconds": seconds}, ("bench.cells.unit",)) for number in range(cells)]
    began: list[float] = []  # when each event came; the first one is a start
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        before = time.perf_counter()
        summary = run_cells(todo, store, execute, jobs, lambda _: began.append(time.perf_counter()), pool=pool)
        after = time.perf_counter()
    assert len(summary.done) == cells
    return Spent(began[0] - before, (after - began[0]) / cells)


def _bare(before: float, sleep: Callable[[int, float], object], cells: int, seconds: float, jobs: int) -> Spent:
    """The times of a pool whose `sleep` runs so many tasks of so many seconds and waits for them."""
    sleep(jobs, 0.0)
    began = time.perf_counter()
    sleep(cells, seconds)
    return Spent(began - before, (time.perf_counter() - began) / cells)


def loky(cells: int, seconds: float, jobs: int) -> Spent:
    """joblib at its defaults, which send short tasks in batches; its workers are stopped at the end.

    Args:
        cells: how many.
        seconds: how long each sleeps.
        jobs: workers.
    """
    import joblib
    from joblib.externals.loky import get_reusable_executor

    before = time.perf_counter()
    nap = joblib.delayed(time.sleep)
    with joblib.Parallel(n_jobs=jobs) as parallel:
        spent = _bare(before, lambda count, each: parallel(nap(each) for _ in range(count)), cells, seconds, jobs)
    get_reusable_executor().shutdown(wait=True)
    return spent


def ray_tasks(cells: int, seconds: float, jobs: int) -> Spent:
    """Ray's tasks, on a Ray started for them.

    Args:
        cells: how many.
        seconds: how long each sleeps.
        jobs: workers.
    """
    import ray

    before = time.perf_counter()
    ray.init(address="local", num_cpus=jobs, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        nap = ray.remote(num_cpus=1)(lambda seconds: time.sleep(seconds))  # noqa: PLW0108, Ray wants a function
        return _bare(before, lambda n, each: ray.get([nap.remote(each) for _ in range(n)]), cells, seconds, jobs)
    finally:
        ray.shutdown()


def ours_on_ray(cells: int, seconds: float, jobs: int) -> Spent:
    """Our engine on Ray, its start included.

    Args:
        cells: how many.
        seconds: how long each sleeps.
        jobs: workers.
    """
    with make_pool("ray") as pool:
        return ours(cells, seconds, jobs, nap, pool)


def main() -> None:
    """Time all that is installed, in turns, and print medians and ratios."""
    parser = command_line(__doc__)
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--ms", type=float, default=2.0, help="how long a cell sleeps")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size = (options.cells, options.ms / 1e3, options.jobs)
    runs: dict[str, Callable[[], Spent]] = {
        "ours": partial(ours, *size, nap),
        "ours, no record": partial(ours, *size, nap_unrecorded),
        "the records alone": partial(records, options.cells, options.jobs),
    }
    others = {"joblib": {"joblib": loky}, "ray": {"Ray": ray_tasks, "ours on Ray": ours_on_ray}}
    versions = []
    for package, more in others.items():
        there = find_spec(package) is not None
        versions.append(f"{package} {metadata.version(package) if there else 'is not installed'}")
        runs |= {name: partial(call, *size) for name, call in more.items() if there}
    turns = [[call() for call in runs.values()] for _ in range(options.repeats)]
    start_s, cell_ms = np.array(turns).transpose(2, 1, 0) * [[[1.0]], [[1e3]]]
    middle = np.median(cell_ms, 1)
    columns = ("engine", "start, s", "ms per cell", "least", "x ours")
    values = zip(runs, np.median(start_s, 1), middle, cell_ms.min(1), middle / middle[0], strict=True)
    rows: list[tuple[Value, ...]] = [(name, *map(float, figures)) for name, *figures in values]
    title = f"{options.cells} cells that sleep {options.ms:g} ms on {options.jobs} workers"
    note = (
        f"At least {options.ms / options.jobs:g} ms per cell; medians of {options.repeats}; records in "
        f"{tempfile.gettempdir()}; {', '.join(versions)}. Goal, with the record: {GOAL_MS.judge(float(middle[0]))}."
    )
    print_table(Table("engines", title, columns, tuple(rows), note))


if __name__ == "__main__":
    main()
