"""Run cells in isolated local workers: a cell that raises, hangs, or kills its process costs itself alone.

Each worker is a warm spawned process on a pipe of its own, so workers share no lock that a killed one could keep
(in pebble's pool they share one, and a worker killed between two tasks breaks the pool). A worker writes its
record itself; the parent only hands out cells, watches pipes and deadlines, and records timeouts and crashes.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bench.cell import Cell, Outcome
from bench.checkpoints import placed
from bench.errors import InputError
from bench.provenance import Provenance, provenance
from bench.store import Record, Status, Store, StoreError

EXECUTE = "bench.runners:execute"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
CRASHES_ALLOWED = 1
LOOK_S = 0.25


def default_jobs(device: str) -> int:
    """One worker a core that this process may use; on a GPU one, which has it to itself."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Event:
    """News of one cell: 'cached', 'started', or how it ended; `message` is one line on a failure."""

    cell: Cell
    status: Status | Literal["cached", "started"]
    wall_s: float = 0.0
    message: str = ""


@dataclass
class RunSummary:
    """What a run did: cells by how they ended, each in the order it became known."""

    done: list[Cell] = field(default_factory=list)
    cached: list[Cell] = field(default_factory=list)
    failed: list[Cell] = field(default_factory=list)
    wall_s: float = 0.0


Reply: TypeAlias = tuple[Literal["ready", "broken"] | Status, float, str]  # what, wall seconds, one line


def run_cells(
    cells: Iterable[Cell],
    store: Store,
    jobs: int = 1,
    execute: str = EXECUTE,
    on_event: Callable[[Event], None] | None = None,
    retry_failed: bool = True,
    memory_mb: float | None = None,
) -> RunSummary:
    """Bring every cell's record into `store`, running those without one, the longest expected first.

    Args:
        jobs: worker processes at a time (1 is an isolated process as well).
        execute: 'module:function' of Cell -> Outcome, imported in the workers.
        on_event: told of every cell found, started and ended.
        retry_failed: run cells again whose record is a failure; those that were stopped from outside or ran out of
            memory go on from their checkpoint, if they left one, with their whole timeout.
        memory_mb: MiB of resident memory beyond which a worker is stopped and its cell recorded as out of memory;
            looked at every `LOOK_S` seconds, on Linux alone.

    Raises:
        InputError: jobs < 1, memory_mb less than a worker holds before its first cell, workers cannot import
            `execute`, or sources changed during the run.
        StoreError: a record cannot be written. Records written before either error stay.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; give at least 1")
    if memory_mb is not None and not memory_mb > 0:
        raise InputError(f"memory is {memory_mb} MiB; give a positive number")
    started = time.monotonic()
    report = on_event or (lambda _: None)
    summary = RunSummary()
    store.sweep()
    todo = []
    for cell in dict.fromkeys(cells):
        record = store.get(cell)
        if record is None or (retry_failed and not record.ok):
            todo.append(cell)
        else:
            (summary.cached if record.ok else summary.failed).append(cell)
            report(Event(cell, "cached"))
    if todo:
        run = _Run(store, execute, report, summary, memory_mb)
        for cell in sorted(todo, key=lambda cell: -cell.cost):
            run.pending.setdefault(cell.threads, deque()).append(cell)
        run.loop(min(jobs, len(todo)))
    summary.wall_s = time.monotonic() - started
    return summary


@dataclass
class _Worker:
    process: multiprocessing.context.SpawnProcess
    pipe: Connection
    threads: int
    cell: Cell | None = None
    ready: bool = False
    since: float = 0.0

    @property
    def deadline(self) -> float:
        return float("inf") if self.cell is None else self.since + self.cell.timeout

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


@dataclass
class _Run:
    store: Store
    execute: str
    report: Callable[[Event], None]
    summary: RunSummary
    memory_mb: float | None = None
    pending: dict[int, deque[Cell]] = field(default_factory=dict)
    crashes: dict[Cell, int] = field(default_factory=dict)
    workers: list[_Worker] = field(default_factory=list)

    def loop(self, jobs: int) -> None:
        try:
            while any(self.pending.values()) or any(worker.cell for worker in self.workers):
                while len(self.workers) < jobs and self._unclaimed() > 0:
                    self._start(next(threads for threads, cells in self.pending.items() if cells))
                deadline = min((worker.deadline for worker in self.workers), default=float("inf"))
                pause = max(0.0, deadline - time.monotonic())
                pause = pause if self.memory_mb is None else min(pause, LOOK_S)
                timeout = None if pause == float("inf") else pause
                heard = wait([worker.pipe for worker in self.workers], timeout=timeout)
                for worker in list(self.workers):
                    if worker.pipe in heard:
                        self._hear(worker)
                    elif time.monotonic() >= worker.deadline:
                        self._time_out(worker)
                    else:
                        self._look_at_memory(worker)
        finally:
            for worker in self.workers:
                worker.kill()

    def _unclaimed(self) -> int:
        """Cells waiting beyond those that workers still starting up will take."""
        starting = sum(not worker.ready for worker in self.workers)
        return sum(map(len, self.pending.values())) - starting

    def _start(self, threads: int) -> None:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, self.execute, self.store.folder.resolve(), provenance()), daemon=True
        )
        with _thread_environment(threads):
            process.start()
        there.close()
        self.workers.append(_Worker(process, here, threads))

    def _hand_out(self, worker: _Worker) -> None:
        """Give an idle worker its next cell, or let it go: none is left, or only cells of other thread counts."""
        cells = self.pending.get(worker.threads)
        if not cells:
            self._drop(worker)
            return
        worker.cell, worker.since = cells.popleft(), time.monotonic()
        self.report(Event(worker.cell, "started"))
        with contextlib.suppress(OSError):  # it died while idle: the pipe's end of file says so next
            worker.pipe.send((worker.cell, worker.cell.key))

    def _drop(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.kill()

    def _hear(self, worker: _Worker) -> None:
        try:
            what, wall_s, line = worker.pipe.recv()
        except (EOFError, OSError):
            self._crashed(worker)
            return
        if what == "broken":
            raise StoreError(line) if worker.ready else InputError(line)
        if what != "ready" and worker.cell is not None:
            self._finish(worker.cell, what, wall_s, line)
        if not worker.ready:
            self._look_at_memory(worker)
        worker.ready, worker.cell = True, None
        if what == "out_of_memory":  # a fresh process gives back what this one holds
            self._drop(worker)
        else:
            self._hand_out(worker)

    def _crashed(self, worker: _Worker) -> None:
        self._drop(worker)
        exit_code = worker.process.exitcode or 0
        how = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
        if not worker.ready:
            raise InputError(
                f"a worker died while starting ({how}); a script that runs cells needs `if __name__ == '__main__':`"
            )
        cell = worker.cell
        if cell is None:
            return
        record = self.store.get(cell)
        if record is not None and record.ok:  # it died between writing its record and saying so
            self._finish(cell, "ok", record.wall_s, "")
            return
        self.crashes[cell] = self.crashes.get(cell, 0) + 1
        if self.crashes[cell] <= CRASHES_ALLOWED:
            self.pending[cell.threads].appendleft(cell)
            return
        hint = "; the system sends SIGKILL when memory runs out" if how == "SIGKILL" else ""
        message = f"worker died ({how}) {self.crashes[cell]} times{hint}"
        self._fail(cell, "failed", time.monotonic() - worker.since, "WorkerDied", message)

    def _time_out(self, worker: _Worker) -> None:
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if cell is not None:
            message = f"stopped after {wall_s:.1f} s; its limit is {cell.timeout:g} s"
            self._fail(cell, "timed_out", wall_s, "Timeout", message)

    def _look_at_memory(self, worker: _Worker) -> None:
        """Stop a worker that holds more than it may, at the cost of its cell."""
        if self.memory_mb is None or (held := _resident_mb(worker.process.pid)) <= self.memory_mb:
            return
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if not worker.ready:
            raise InputError(f"a worker holds {held:.0f} MiB before its first cell; give it more than that")
        if cell is not None:
            message = f"stopped at {held:.0f} MiB; the limit of a worker is {self.memory_mb:g} MiB"
            self._fail(cell, "out_of_memory", wall_s, "OutOfMemory", message)

    def _fail(self, cell: Cell, status: Status, wall_s: float, kind: str, message: str) -> None:
        error = {"type": kind, "message": message, "traceback": ""}
        stored = self.store.put(
            Record(cell.key, cell.fields, status, wall_s=wall_s, error=error, provenance=provenance())
        )
        self._finish(cell, stored.status, wall_s, "" if stored.ok else message)

    def _finish(self, cell: Cell, status: Status, wall_s: float, line: str) -> None:
        (self.summary.done if status == "ok" else self.summary.failed).append(cell)
        self.report(Event(cell, status, wall_s, line))


@contextlib.contextmanager
def _thread_environment(threads: int) -> Iterator[None]:
    """Thread counts for a process started within: its libraries read them once, when first imported."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, execute: str, folder: Path, made_with: Provenance) -> None:
    """A worker's life: get ready, then one cell after another until killed or orphaned."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    os.dup2(2, 1)  # what a cell prints goes to stderr; stdout belongs to the command's document
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        store = Store(folder)
        module, _, name = execute.partition(":")
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - whatever it is ends the run with its message
        pipe.send(("broken", 0.0, f"a worker cannot start {execute!r}: {type(error).__name__}: {error}"))
        return
    pipe.send(("ready", 0.0, ""))
    while True:
        cell, key = pipe.recv()
        if cell.key != key:
            pipe.send(("broken", 0.0, f"sources of {', '.join(cell.code)} changed during the run; start it again"))
            return
        pipe.send(_run_cell(cell, function, store, made_with))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _run_cell(cell: Cell, function: Callable[[Cell], Outcome], store: Store, made_with: Provenance) -> Reply:
    _reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    status: Status = "ok"
    outcome, error = Outcome({}), None
    try:
        with placed(store.checkpoint_path(cell.key)):
            outcome = function(cell)
        if not isinstance(outcome, Outcome):
            raise InputError(f"{cell.experiment!r} returned a {type(outcome).__name__}; return an Outcome")  # noqa: TRY301
    except Exception as raised:  # noqa: BLE001 - a failure is a record
        status, outcome, error = _failure(raised), Outcome({}), _told(raised)
    except SystemExit as raised:
        status, outcome, error = "failed", Outcome({}), _told(raised)
    wall_s, cpu_s, peak = time.perf_counter() - wall, time.process_time() - cpu, _peak_mb()

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
        return "broken", wall_s, str(raised)
    return stored.status, wall_s, "" if error is None else f"{error['type']}: {error['message']}"


def _failure(error: Exception) -> Status:
    """Out of memory for the interpreter's and for CUDA's error (`torch.OutOfMemoryError`), else failed."""
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "out_of_memory" if exhausted else "failed"


def _told(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}


def _resident_mb(pid: int | None) -> float:
    """Resident size of a process in MiB; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def _reset_peak() -> None:
    """Start a new high-water mark of resident memory, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float | None:
    """Highest resident size in MiB since `_reset_peak`; elsewhere since the worker started, an upper bound."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return None
