"""Run a few random cells of a run again and hold them against their records."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.datasets.catalogue import find as find_dataset
from bench.engine.run import run_cells
from bench.errors import InputError
from bench.plan.setup import DATA_VARIABLE
from bench.report.rejudge import Evidence, opened, restored
from bench.report.run_files import RunFile
from bench.reproduce import all_cells
from bench.runners import execute
from bench.show.tables import Table
from bench.show.terminal import Answer
from causalrec.methods.streams import generator

TIMED = ("cost",)  # runners whose results are times
PLATFORM = ("torch", "numpy", "scipy", "blas", "cpu", "os", "gpu")  # facts that may move the last bits
ROUNDING, DEVIATIONS = 1e-6, 3.0  # elsewhere: relative difference, or that many deviations over seeds, that may be
SAME, ROUNDED, WITHIN, DIFFERS = "same to the bit", "same but for rounding", "within the spread of seeds", "differs"


@dataclass(frozen=True)
class Check:
    """A cell that ran again.

    Args:
        cell: the cell.
        outcome: how it compares, in words.
        metric: the one that differs most; "" if none does.
        recorded: its value in the record; None if it has none.
        again: its value now; likewise.
        moved: facts of the platform that differ from those of the record.
    """

    cell: Cell
    outcome: str
    metric: str = ""
    recorded: float | None = None
    again: float | None = None
    moved: tuple[str, ...] = ()


def spot_check(folder: Path, cells: int = 5, seed: int = 0, data_dir: Path | None = None, jobs: int = 1) -> Answer:
    """Run random cells again and compare what comes out with their records, times apart.

    On the platform of the record every number has to be the same. Elsewhere a number may differ by rounding, or, where
    training magnifies that, by 3 deviations of the same cell over the other seeds of the run.

    Args:
        folder: as for `bench.report.rejudge.judge_folder`.
        cells: how many, at least 1; all that there are, if fewer.
        seed: root of the choice, 0 or more.
        data_dir: where the datasets are; None for the usual place.
        jobs: workers, at least 1.

    Raises:
        InputError: no run or records there, no cell that has a record, or a number out of range.
    """
    if cells < 1:
        raise InputError(f"--cells is {cells}; give at least 1")
    with opened(folder, data_dir) as runs, tempfile.TemporaryDirectory() as place:
        known, absent = _known(runs)
        if not known:
            raise InputError(f"{folder}: no cell that could run here has a record; give a folder with records and data")
        picked = generator(root=seed, stream="spot check").choice(len(known), min(cells, len(known)), replace=False)
        chosen = [known[k] for k in sorted(picked)]
        again = Store(place)
        run_cells([cell for cell, _, _ in chosen], again, execute, jobs)
        checks = [_compare(cell, record, store, again) for cell, record, store in chosen]
    failed = [check for check in checks if check.outcome == DIFFERS or check.outcome.startswith("failed")]
    count = f"{len(checks) - len(failed)} of {len(checks)} cells as recorded, of {len(known)} that have a record"
    count += f"; {absent} on data that are not here were left out" if absent else ""
    return Answer([_table(checks, seed)], messages=[count], exit_code=1 if failed else 0)


def _known(runs: Sequence[tuple[RunFile, Evidence]]) -> tuple[list[tuple[Cell, Record, Evidence]], int]:
    """The cells of all runs that have a record of a success, and how many others are on data that are not here."""
    known: dict[Cell, tuple[Cell, Record, Evidence]] = {}
    absent, folder = set[Cell](), Path(os.environ[DATA_VARIABLE])
    for run, store in runs:
        setup = restored(run)
        here = {name for name in setup.judged if find_dataset(name).found(folder) is not None}
        for cell in all_cells(setup, run.experiments, store):
            dataset = cell.params.get("dataset")
            if cell.runner in TIMED or (record := store.get(cell)) is None or not record.ok:
                continue
            if isinstance(dataset, Mapping) and dataset["name"] in {*setup.found} - here:
                absent.add(cell)
            else:
                known[cell] = (cell, record, store)
    return list(known.values()), len(absent)


def _compare(cell: Cell, record: Record, store: Evidence, place: Store) -> Check:
    now = place.get(cell)
    if now is None or not now.ok:
        told = "" if now is None or now.error is None else f": {now.error['message']}"
        return Check(cell, f"failed{told}")
    moved = tuple(name for name in PLATFORM if record.provenance.get(name) != now.provenance.get(name))
    kept, made = store.arrays(record), place.arrays(now)
    # Of a trial that another beat `results pack` keeps some arrays only.
    before, after = _numbers(record, kept), _numbers(now, {name: made[name] for name in kept if name in made})
    if _same(before, after):
        return Check(cell, SAME, moved=moved)
    spread = _spread(record, store) if moved else {}
    # Of a cell that training makes chaotic, each user's rank may be another; what has to hold are its metrics.
    held = [name for name in sorted({*before, *after}) if not spread or name in record.metrics]
    apart = {name: _apart(before.get(name), after.get(name), spread.get(name)) for name in held}
    worst = max(held, key=lambda name: apart[name])
    rounded = all(_relative(before.get(name), after.get(name)) <= ROUNDING for name in {*before, *after})
    outcome = ROUNDED if moved and rounded else WITHIN if moved and apart[worst] <= 1 else DIFFERS
    return Check(cell, outcome, worst, _single(before.get(worst)), _single(after.get(worst)), moved)


def _numbers(record: Record, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All that a cell tells but its times, by name."""
    told = {name: np.asarray(value) for name, value in record.metrics.items() if not name.endswith("_s")}
    return told | {name: values for name, values in arrays.items() if not name.endswith("_s")}


def _same(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> bool:
    return before.keys() == after.keys() and all(_equal(before[name], after[name]) for name in before)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _apart(one: np.ndarray | None, other: np.ndarray | None, deviation: float | None) -> float:
    """How far two values are apart over what they may be: the larger of rounding and spread allows."""
    relative = _relative(one, other) / ROUNDING
    a, b = _single(one), _single(other)
    if deviation is None or not deviation > 0 or a is None or b is None:
        return relative
    return min(relative, abs(a - b) / (DEVIATIONS * deviation))


def _relative(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """The largest difference over the largest magnitude; inf where they cannot be compared."""
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    if _equal(one, other):
        return 0.0
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf" or (np.isnan(one) != np.isnan(other)).any():
        return math.inf
    a, b = (np.nan_to_num(np.asarray(x, dtype=np.float64)) for x in (one, other))
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max()))


def _single(value: np.ndarray | None) -> float | None:
    if value is None or value.shape != () or value.dtype.kind not in "iuf":
        return None
    return float(value)


def _spread(record: Record, store: Evidence) -> dict[str, float]:
    """The deviation of each metric over the other seeds of a cell."""
    def rest(cell: Mapping[str, Any]) -> dict[str, Any]:
        params = {name: value for name, value in cell["params"].items() if name != "seed"}
        return {**cell, "params": params, "code": None}

    if "seed" not in record.params:
        return {}
    alike = [other for other in store.records() if other.ok and rest(other.cell) == rest(record.cell)]
    found = {}
    for name in record.metrics:
        values = [_single(np.asarray(other.metrics.get(name))) for other in alike]
        numbers = [value for value in values if value is not None]
        if len(numbers) > 1:
            found[name] = float(np.std(numbers, ddof=1))
    return found


def _table(checks: Sequence[Check], seed: int) -> Table:
    rows = tuple((c.cell.label, c.outcome, c.metric, c.recorded, c.again, ", ".join(c.moved)) for c in checks)
    columns = ("cell", "outcome", "differs most", "recorded", "again", "other than when recorded")
    note = (
        f"Random cells (seed {seed}) that ran again; times are not compared. Where the platform is another, "
        f"{ROUNDING:g} of a value counts as rounding, {DEVIATIONS:g} deviations of a metric over the run's seeds as "
        "their spread."
    )
    return Table("spot_check", "A few cells run again", columns, rows, note)
