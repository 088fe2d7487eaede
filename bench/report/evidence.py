"""Keep the records behind a run as a few archives that a repository can hold, and bring them back."""

import shutil
from pathlib import Path

from bench.cells.archives import archives_in, pack, unpack
from bench.cells.files import typed
from bench.errors import InputError
from bench.report.rejudge import opened, restored
from bench.report.run_files import NAME
from bench.reproduce import all_cells


def pack_run(folder: Path, out: Path, data_dir: Path | None = None) -> str:
    """Write a run's document and the records that its cells have to a folder that `judge` and `spot-check` read.

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
    with opened(folder, data_dir) as runs:
        if len(runs) > 1:
            raise InputError(f"{folder}: holds {len(runs)} runs; name the folder of one")
        (run, store), *_ = runs
        cells = all_cells(restored(run), run.experiments, store)
        records = {record.key: record for cell in cells if (record := store.get(cell)) is not None}
        if not records:
            raise InputError(f"{folder}: no cell of the run has a record; name the folder with its records")
        written = pack(store, records.values(), out)
        if out.resolve() != run.path.parent.resolve():
            with typed(out):
                shutil.copyfile(run.path, out / NAME)
    size = sum(path.stat().st_size for path in written) / 2**20
    lacking = len({cell.key for cell in cells}) - len(records)
    lacks = f"; {lacking} cells have none" if lacking else ""
    return f"{len(records)} records in {len(written)} archives of {size:.1f} MiB in {out}{lacks}"


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
