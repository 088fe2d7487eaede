"""What a worker is wherever it runs: the parent's handle of it, and its own side, which runs cells and records them."""

import errno
import importlib
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from bench.cells.files import StoreError
from bench.cells.provenance import Provenance
from bench.cells.record import Record, Status
from bench.cells.store import Store
from bench.cells.unit import Cell, Outcome, checkpoint_at
from bench.engine.memory import peak_mb, reset_peak
from bench.errors import InputError
from bench.methods.user_code import edited

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

EXHAUSTED = (errno.EMFILE, errno.ENFILE)  # what a cell can leave its worker with: no file can be opened
# What, wall seconds, one line. 'broken' ends the run, 'unrecorded' is a cell whose worker cannot write its record.
Reply: TypeAlias = tuple[Literal["ready", "broken", "unrecorded"] | Status, float, str]


class Died(Exception):
    """A worker is gone: how it ended, and what may be behind that, to go on the same line."""

    def __init__(self, how: str, hint: str = "") -> None:
        super().__init__(how)
        self.how, self.hint = how, hint


@dataclass(eq=False)
class Worker(ABC):
    """The parent's handle of one worker.

    group: of the cells that it serves (`Pool.group`). line: what `Pool.wait` waits on for news of it. start_s: how
    long it may take to get ready. cell: the one it has now; since: when it got that, before the first when it was
    started, on the monotonic clock. served: how many it has brought to an end.
    """

    group: Hashable
    line: Any
    start_s: float = field(default=float("inf"), init=False)
    cell: Cell | None = field(default=None, init=False)
    ready: bool = field(default=False, init=False)
    since: float = field(default_factory=time.monotonic, init=False)
    served: int = field(default=0, init=False)

    @property
    def deadline(self) -> float:
        """When its time, to get ready or for its cell, is over, on the monotonic clock."""
        if not self.ready:
            return self.since + self.start_s
        return float("inf") if self.cell is None else self.since + self.cell.timeout

    @abstractmethod
    def send(self, cell: Cell) -> None:
        """Hand it a cell; that it is dead shows in `receive`."""

    @abstractmethod
    def receive(self) -> Reply:
        """Its news; raises Died."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, whatever it does."""

    def held_mb(self) -> float:
        """Its resident memory in MiB; 0 where that cannot be told."""
        return 0.0


class Pool(ABC):
    """Where workers run; a context manager, within which they can be started."""

    tells_memory = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @abstractmethod
    def default_jobs(self, device: str) -> int:
        """How many workers at a time where nobody says."""

    @abstractmethod
    def group(self, cell: Cell) -> Hashable:
        """Cells of one group can share a worker."""

    @abstractmethod
    def start(self, cell: Cell, execute: str, folder: Path) -> Worker:
        """A worker for the group of `cell`, with `execute` and the results folder (absolute) of `run_cells`."""

    @abstractmethod
    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """Those of the workers' lines with news, once there are some or after `timeout` seconds."""


class Server:
    """A worker's own side: runs cells with `execute` ('module:function') and writes their records itself.

    Raises whatever importing the function raises, and StoreError.
    """

    def __init__(self, execute: str, folder: Path, made_with: Provenance) -> None:
        module, _, name = execute.partition(":")
        self._store, self._made_with = Store(folder), made_with
        self._function: Callable[[Cell], Outcome] = getattr(importlib.import_module(module), name)

    def run(self, cell: Cell, key: str) -> Reply:
        """Run a cell that the parent knows by `key`; 'broken' where the sources here make another key."""
        if cell.key != key:
            return "broken", 0.0, f"sources of {', '.join(cell.code)} changed during the run; start it again"
        if said := edited(cell):
            return "broken", 0.0, said
        return _run_cell(cell, self._function, self._store, self._made_with)


def not_started(execute: str, error: Exception) -> Reply:
    """What a worker says whose `Server` cannot be made."""
    return "broken", 0.0, f"a worker cannot start {execute!r}: {type(error).__name__}: {error}"


def _run_cell(cell: Cell, function: Callable[[Cell], Outcome], store: Store, made_with: Provenance) -> Reply:
    reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    status: Status = "ok"
    outcome, error = Outcome({}), None
    try:
        with checkpoint_at(store.checkpoint_path(cell.key)):
            outcome = function(cell)
        if not isinstance(outcome, Outcome):
            raise InputError(f"{cell.runner!r} returned a {type(outcome).__name__}; return an Outcome")  # noqa: TRY301
    except Exception as raised:  # noqa: BLE001 - a failure is a record
        status, outcome, error = _failure(raised), Outcome({}), _told(raised)
    except SystemExit as raised:
        status, outcome, error = "failed", Outcome({}), _told(raised)
    wall_s, cpu_s, peak = time.perf_counter() - wall, time.process_time() - cpu, peak_mb()

    def record(metrics: dict[str, Any]) -> Record:
        return Record(cell.key, cell.fields, status, metrics, wall_s, cpu_s, peak, error, provenance=made_with)

    try:
        try:
            stored = store.put(record(dict(outcome.metrics)), outcome.arrays)
        except StoreError:
            raise
        except Exception as raised:  # noqa: BLE001 - metrics or arrays the store refuses are the cell's failure
            status, error = "failed", _told(raised)
            stored = store.put(record({}))
        if status != "out_of_memory":  # which, like a cell stopped from outside, may go on where there is more
            store.drop_checkpoint(cell.key)
    except StoreError as raised:
        exhausted = isinstance(raised.__cause__, OSError) and raised.__cause__.errno in EXHAUSTED
        return "unrecorded" if exhausted else "broken", wall_s, str(raised)
    return stored.status, wall_s, "" if error is None else f"{error['type']}: {error['message']}"


def _failure(error: Exception) -> Status:
    """Out of memory for the interpreter's and for CUDA's error (`torch.OutOfMemoryError`), else failed."""
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "out_of_memory" if exhausted else "failed"


def _told(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
