"""The self-test in a process of its own: a fault may stay behind in caches, and a worker goes on to other cells."""

import json
import subprocess
import sys

from bench.cell import ROOT, Cell, Outcome
from bench.errors import InputError

MARGIN = 0.9  # of the cell's time, so that the process ends before its worker is stopped


def run(cell: Cell) -> Outcome:
    """Put in the first `params.faults` of the faults, all where None; see `bench.selftest`.

    Metrics: tables, as `bench.tables.to_dict`, and sound: whether every check holds and every fault is caught. Raises
    InputError with the last line that the process wrote where it ends otherwise than by telling this.
    """
    count = cell.params["faults"]
    command = [sys.executable, "-m", "bench.selftest", *([] if count is None else [str(count)])]
    limit = MARGIN * cell.timeout
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)  # noqa: S603
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{' '.join(command[1:])} ended with exit code {ended.returncode}: {last}")
    return Outcome(json.loads(ended.stdout))
