"""What this machine, these versions, this data and this results folder are, and what is wrong with them."""

import shutil
import tempfile
from pathlib import Path

from bench.cells.provenance import provenance
from bench.datasets.listing import check, status_table
from bench.datasets.load import data_folder
from bench.engine.local import default_jobs
from bench.judge.intervals import Value
from bench.show.tables import Table
from causalrec.training import pick_device

FREE_GIB = 1.0


def examine(data_dir: Path | None, out: Path) -> tuple[list[Table], bool]:
    """Examine the machine, the data and the results folder.

    Args:
        data_dir: folder of the datasets; None for the default.
        out: results folder.

    Returns:
        Tables of the machine and of the data, and whether a run could start.
    """
    device = pick_device()
    rows: list[tuple[Value, ...]] = [(name, str(value), "ok") for name, value in provenance().items()]
    rows.append(("device", device, "ok" if device == "cuda" else "ok; no GPU, the paper preset would take days"))
    rows.append(("workers by default", str(default_jobs(device)), "ok"))
    healthy = True
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):  # the results folder, or the one that it would be made in
            free = shutil.disk_usage(place).free / 2**30
        healthy = free >= FREE_GIB
        rows.append(("results", f"{out}, {free:.0f} GiB free", "ok" if healthy else f"less than {FREE_GIB:g} GiB free"))
    except OSError as error:
        healthy = False
        rows.append(("results", str(out), f"{place}: {error.strerror}; choose another results folder"))
    folder = data_folder(data_dir)
    machine = Table("doctor", "This machine", ("what", "found", "judgement"), tuple(rows))
    return [machine, status_table(folder, check(folder, read=False))], healthy
