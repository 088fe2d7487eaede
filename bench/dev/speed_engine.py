"""What a cell costs beyond its own work: `python -m bench.dev.speed_engine`, ours beside joblib's loky and Ray.

Cells sleep for 2 ms, on 2 workers. `start` is the wall time from the call to the first cell's start (rivals: to the
end of one short task a worker), a cell's is that of the whole run after it, over the cells: with 2 workers no engine
can be under half of what a cell sleeps. Ours is told twice: with its synced record, its key check and its watch over
deadlines, and with the record left out; what the records take alone is the disk's doing. The rivals run the bare
function and keep nothing. All take turns; medians.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from bench.cells.provenance import provenance
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell, Outcome, digest
from bench.engine.run import Event, make_pool, run_cells
from bench.engine.workers import Pool

GOAL_MS = 4.0  # of a cell on this machine's processes, record included
OURS, BARE = "bench.dev.speed_engine:nap", "bench.dev.speed_engine:nap_unrecorded"


class Spent(NamedTuple):
    """Wall seconds to the start, and of a cell after it."""

    start: float
    cell: float


def nap(cell: Cell) -> Outcome:
    """Sleep."""
    time.sleep(cell.params["seconds"])
    return Outcome({"number": cell.params["number"]})


def nap_unrecorded(cell: Cell) -> Outcome:
    """Sleep in a worker that from now on writes no records."""
    setattr(Store, "put", _keep_nothing)  # noqa: B010, a type checker minds the plain assignment
    return nap(cell)


def _keep_nothing(store: Store, record: Record, arrays: object = None) -> Record:  # noqa: ARG001
    return record


def records(cells: int, jobs: int) -> Spent:
    """The records alone, written by as many threads as there are workers: mostly the disk's time."""
    cell = Cell("nap", {"number": 0, "seconds": 0.0}, ("bench.cells.unit",))
    made = [Record(digest(number), cell.fields, "ok", {"number": number}, provenance=provenance())
            for number in range(cells)]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as threads:
        store = Store(folder)
        before = time.perf_counter()
        list(threads.map(store.put, made))
        return Spent(0.0, (time.perf_counter() - before) / cells)


def ours(cells: int, seconds: float, jobs: int, execute: str, pool: Pool | None = None) -> Spent:
    """One run of the engine in a folder of its own, under the temporary folder."""
    todo = [Cell("nap", {"number": number, "seconds": seconds}, ("bench.cells.unit",)) for number in range(cells)]
    began: list[float] = []

    def note(event: Event) -> None:
        if event.status == "started" and not began:
            began.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        before = time.perf_counter()
        summary = run_cells(todo, store, jobs, execute, note, pool=pool)
        after = time.perf_counter()
    assert len(summary.done) == cells
    return Spent(began[0] - before, (after - began[0]) / cells)


def loky(cells: int, seconds: float, jobs: int) -> Spent:
    """joblib at its defaults, which send short tasks in batches; its workers are stopped at the end."""
    joblib = import_module("joblib")
    before = time.perf_counter()
    with joblib.Parallel(n_jobs=jobs) as parallel:
        parallel(joblib.delayed(time.sleep)(0.0) for _ in range(jobs))
        began = time.perf_counter()
        parallel(joblib.delayed(time.sleep)(seconds) for _ in range(cells))
        after = time.perf_counter()
    import_module("joblib.externals.loky").get_reusable_executor().shutdown(wait=True)
    return Spent(began - before, (after - began) / cells)


def ray_tasks(cells: int, seconds: float, jobs: int) -> Spent:
    """Ray's tasks, on a Ray started for them."""
    ray = import_module("ray")
    before = time.perf_counter()
    with _ray(jobs):
        task = ray.remote(num_cpus=1)(_sleep)
        ray.get([task.remote(0.0) for _ in range(jobs)])
        began = time.perf_counter()
        ray.get([task.remote(seconds) for _ in range(cells)])
        after = time.perf_counter()
    return Spent(began - before, (after - began) / cells)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


@contextlib.contextmanager
def _ray(jobs: int) -> Iterator[None]:
    ray = import_module("ray")
    ray.init(address="local", num_cpus=jobs, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def ours_on_ray(cells: int, seconds: float, jobs: int) -> Spent:
    """Our engine on Ray, its start included."""
    with make_pool("ray") as pool:
        return ours(cells, seconds, jobs, OURS, pool)


def main() -> None:
    """Time all that is installed, in turns, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--ms", type=float, default=2.0, help="how long a cell sleeps")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size = (options.cells, options.ms / 1e3, options.jobs)
    runs: dict[str, Callable[[], Spent]] = {
        "ours": partial(ours, *size, OURS),
        "ours, no record": partial(ours, *size, BARE),
        "the records alone": partial(records, options.cells, options.jobs),
    }
    packages = {"joblib": {"joblib": partial(loky, *size)}}
    packages["ray"] = {"Ray": partial(ray_tasks, *size), "ours on Ray": partial(ours_on_ray, *size)}
    for package, more in packages.items():
        if find_spec(package) is None:
            print(f"{package} is not installed")
        else:
            print(f"{package} {metadata.version(package)}")
            runs |= more
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, call in runs.items():
            spent[name].append(call())
    floor = options.ms / options.jobs
    print(f"{options.cells} cells that sleep {options.ms:g} ms on {options.jobs} workers: {floor:g} ms a cell; "
          f"medians of {options.repeats}; records in {tempfile.gettempdir()}")  # fmt: skip
    print("engine".ljust(18), "start, s".rjust(9), "ms a cell".rjust(10), "least".rjust(7), "x ours".rjust(7))
    middle = {name: Spent(*map(float, np.median(np.array(found), axis=0))) for name, found in spent.items()}
    for name, found in middle.items():
        least = min(one.cell for one in spent[name])
        print(name.ljust(18), f"{found.start:9.2f}", f"{found.cell * 1e3:10.2f}", f"{least * 1e3:7.2f}",
              f"{found.cell / middle['ours'].cell:7.2f}")  # fmt: skip
    reached = "reached" if middle["ours"].cell * 1e3 <= GOAL_MS else "not reached"
    print(f"the goal, at most {GOAL_MS:g} ms a cell with the record, is {reached}")


if __name__ == "__main__":
    main()
