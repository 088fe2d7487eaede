"""What this machine, these versions, this data and this results folder are, and what is wrong with them."""

import shutil
from pathlib import Path

from bench.datasets import check, data_folder
from bench.datasets.listing import status_table
from bench.engine import default_jobs
from bench.errors import InputError
from bench.provenance import provenance
from bench.store import Store
from bench.tables import Table, Value
from causalrec.training import pick_device

FREE_GIB = 1.0


def examine(data_dir: Path | None, out: Path) -> tuple[list[Table], bool]:
    """Tables of the machine and of the data, and whether a run could start."""
    device = pick_device()
    rows: list[tuple[Value, ...]] = [(name, str(value), "ok") for name, value in provenance().items()]
    rows.append(("device", device, "ok" if device == "cuda" else "ok; no GPU, the paper preset would take days"))
    rows.append(("workers by default", str(default_jobs(device)), "ok"))
    healthy = True
    try:
        Store(out)
        free = shutil.disk_usage(out).free / 2**30
        healthy = free >= FREE_GIB
        rows.append(("results", f"{out}, {free:.0f} GiB free", "ok" if healthy else f"less than {FREE_GIB:g} GiB free"))
    except InputError as error:
        healthy = False
        rows.append(("results", str(out), str(error)))
    folder = data_folder(data_dir)
    machine = Table("doctor", "This machine", ("what", "found", "judgement"), tuple(rows))
    return [machine, status_table(folder, check(folder, read=False))], healthy
