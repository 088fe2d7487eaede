"""Keep the records behind a run as a few archives that a repository can hold, and bring them back."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cells.archives import archives_in, pack, unpack
from bench.cells.files import typed
from bench.cells.record import Record
from bench.cells.store import Store
from bench.errors import InputError
from bench.experiments.model.compared import models_on
from bench.experiments.model.multiverse import MODEL, TWIN
from bench.plan.results import Result, collect
from bench.plan.setup import Setup
from bench.plan.tuning import beaten
from bench.report.rejudge import opened, restored
from bench.report.run_files import NAME
from bench.reproduce import all_cells


def pack_run(folder: Path, out: Path, data_dir: Path | None = None) -> str:
    """Write a run's document and the records that its cells have to a folder that `judge` and `spot-check` read.

    Of trials that another beat no arrays are kept but those that a table, figure or verdict is made of.

    Args:
        folder: of one run, as for `bench.report.rejudge.judge_folder`.
        out: folder to write; archives in it that the run has no records for are removed.
        data_dir: where the datasets are; None for the usual place.

    Returns:
        What was written, in words.

    Raises:
        InputError: no run or no records there, or several runs.
        StoreError: the archives cannot be written.
    """
    with opened(folder, data_dir) as runs, TemporaryDirectory() as room:
        if len(runs) > 1:
            raise InputError(f"{folder}: holds {len(runs)} runs; name the folder of one")
        (run, store), *_ = runs
        setup = restored(run)
        cells = all_cells(setup, run.experiments, store)
        records = {record.key: record for cell in cells if (record := store.get(cell)) is not None}
        if not records:
            raise InputError(f"{folder}: no cell of the run has a record; name the folder with its records")
        kept: dict[str, tuple[Store, Record]] = {key: (store, record) for key, record in records.items()}
        kept |= _trimmed(setup, collect(cells, store), Store(room))
        written = pack(kept.values(), out)
        if out.resolve() != run.path.parent.resolve():
            with typed(out):
                shutil.copyfile(run.path, out / NAME)
    size = sum(path.stat().st_size for path in written) / 2**20
    lacking = len({cell.key for cell in cells}) - len(records)
    lacks = f"; {lacking} cells have none" if lacking else ""
    return f"{len(records)} records in {len(written)} archives of {size:.1f} MiB in {out}{lacks}"


def _trimmed(setup: Setup, results: list[Result], room: Store) -> dict[str, tuple[Store, Record]]:
    """The trials that another beat, by key, with no arrays but the ranks that `multiverse` reads of two models."""
    kept = {}
    pairs = [(name, model) for name in setup.found for model in models_on(setup, name)]
    for name, model in pairs:
        for trial in beaten(setup, results, name, model):
            ranks = {of: rank for of, rank in trial.arrays.items() if of.startswith("test_")}
            if trial.record is not None:
                kept[trial.record.key] = room, room.put(trial.record, ranks if model in (MODEL, TWIN) else {})
    return kept


def go_on(out: Path) -> int:
    """Unpack the archives of a results folder and of the runs in it, so that a run there goes on from them.

    Args:
        out: what a run is given as --out.

    Returns:
        How many records were written that were not there.

    Raises:
        InputError, StoreError: as `bench.cells.archives.unpack`.
    """
    places = {path.parent for path in (*archives_in(out), *out.glob(f"*/{NAME}"))}
    return sum(unpack(place, out) for place in sorted(places))
