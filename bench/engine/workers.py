"""A worker, wherever it runs: the parent's handle of it, and its own side, which runs cells and records them."""

import errno
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

EXHAUSTED = (errno.EMFILE, errno.ENFILE)  # a cell that leaks files leaves its worker so: none can be opened
Execute: TypeAlias = Callable[[Cell], Outcome]  # defined at the top level of a module, where workers import it
# What happened, wall seconds, one line of text. 'broken' ends the run; 'unrecorded': the record cannot be written.
Reply: TypeAlias = tuple[Literal["ready", "broken", "unrecorded"] | Status, float, str]


class Died(Exception):
    """A worker has ended.

    Args:
        how: an exit code, a signal, or what Ray says.
        hint: the likely reason, to be appended to a message that ends with `how`.
    """

    def __init__(self, how: str, hint: str = "") -> None:
        super().__init__(how)
        self.how, self.hint = how, hint


@dataclass(eq=False)
class Worker(ABC):
    """The parent's handle of one worker.

    Args:
        group: the group of cells that it serves (`Pool.group`).
        line: what `Pool.wait` waits on for its news.

    Attributes:
        start_s: seconds that it may take to get ready; no limit by default.
        cell: the cell that it runs now.
        ready: whether it has said that it is ready.
        since: when it was given `cell`, or before its first cell when it was started, on the monotonic clock.
        served: how many cells it has ended.
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
        """When its time to get ready, or for its cell, is over, on the monotonic clock."""
        if not self.ready:
            return self.since + self.start_s
        return float("inf") if self.cell is None else self.since + self.cell.timeout

    @abstractmethod
    def send(self, cell: Cell) -> None:
        """Hand it a cell; if it is dead, `receive` says so.

        Args:
            cell: what to run.
        """

    @abstractmethod
    def receive(self) -> Reply:
        """Its news; raises Died."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, whatever it does."""

    def held_mb(self) -> float:
        """Its resident memory in MiB; 0 where the pool cannot tell."""
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
        """How many workers to run at a time unless the user says.

        Args:
            device: where cells compute, "cpu" or a GPU's name.
        """

    @abstractmethod
    def group(self, cell: Cell) -> Hashable:
        """Cells of one group can share a worker.

        Args:
            cell: any cell.
        """

    @abstractmethod
    def start(self, cell: Cell, execute: Execute, folder: Path) -> Worker:
        """Start a worker.

        Args:
            cell: one of the group that the worker will serve.
            execute: runs a cell.
            folder: results folder, absolute.
        """

    @abstractmethod
    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """The lines that have news, as soon as there are any.

        Args:
            lines: the `line` of every worker.
            timeout: seconds after which to return without news; None waits for ever.
        """


class Server:
    """A worker's own side: runs cells and writes their records itself.

    Args:
        execute: runs a cell.
        folder: results folder, absolute.
        made_with: provenance of the parent, which goes into every record.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(self, execute: Execute, folder: Path, made_with: Provenance) -> None:
        self._execute, self._store, self._made_with = execute, Store(folder), made_with

    def run(self, cell: Cell, key: str) -> Reply:
        """Run a cell and record how it ended.

        Args:
            cell: what to run.
            key: the key under which the parent knows it; 'broken' if the sources here give it another.
        """
        if cell.key != key:
            return "broken", 0.0, f"sources of {', '.join(cell.code)} changed during the run; start it again"
        if said := edited(cell):
            return "broken", 0.0, said
        reset_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        status: Status = "ok"
        outcome, error = Outcome({}), None
        try:
            with checkpoint_at(self._store.checkpoint_path(cell.key)):
                outcome = self._execute(cell)
            if not isinstance(outcome, Outcome):
                raise InputError(f"{cell.runner!r} returned a {type(outcome).__name__}; return an Outcome")  # noqa: TRY301
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - a failure is a record
            status, outcome, error = _failure(raised), Outcome({}), _described(raised)
        wall_s, cpu_s, peak = time.perf_counter() - wall, time.process_time() - cpu, peak_mb()

        def record(metrics: dict[str, Any]) -> Record:
            spent = wall_s, cpu_s, peak
            return Record(cell.key, cell.fields, status, metrics, *spent, error, provenance=self._made_with)

        try:
            try:
                stored = self._store.put(record(dict(outcome.metrics)), outcome.arrays)
            except StoreError:
                raise
            except Exception as raised:  # noqa: BLE001 - metrics or arrays that the store refuses fail their cell
                status, error = "failed", _described(raised)
                stored = self._store.put(record({}))
            if status != "out_of_memory":  # such a cell may go on from its checkpoint where there is more memory
                self._store.drop_checkpoint(cell.key)
        except StoreError as raised:
            exhausted = isinstance(raised.__cause__, OSError) and raised.__cause__.errno in EXHAUSTED
            return "unrecorded" if exhausted else "broken", wall_s, str(raised)
        return stored.status, wall_s, "" if error is None else f"{error['type']}: {error['message']}"


def not_started(error: Exception) -> Reply:
    """The reply of a worker that could not get ready.

    Args:
        error: why.
    """
    return "broken", 0.0, f"a worker cannot start: {type(error).__name__}: {error}"


def _failure(error: BaseException) -> Status:
    """Out of memory for the interpreter's and for CUDA's error (`torch.OutOfMemoryError`), otherwise failed."""
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "out_of_memory" if exhausted else "failed"


def _described(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
