"""Run cells in isolated workers: a cell that raises, hangs, or kills its process costs itself alone.

A worker writes its record itself; the parent only hands out cells, watches lines and deadlines, and records timeouts
and crashes. Where the workers are is up to a pool: processes of this machine, or a cluster.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal, cast

from bench.cells.files import StoreError
from bench.cells.provenance import provenance
from bench.cells.record import Record, Status
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.engine.local import LocalPool
from bench.engine.ray_pool import RayPool
from bench.engine.workers import Died, Pool, Worker
from bench.errors import InputError
from bench.methods.user_code import foreign

EXECUTE = "bench.runners:execute"
ENGINES = ("local", "ray")
CRASHES_ALLOWED = 1  # of one cell; of workers that die while starting, one after another
LOOK_S = 0.25
WAKE_S, ASLEEP_S = 1.0, 5.0  # a look at the clock at least that often; one that comes so much later was suspended


def make_pool(engine: str = "local", address: str | None = None) -> Pool:
    """Where cells run, by name; raises InputError for another name, an address that is not for it, and as `RayPool`."""
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}; job arrays take --shard")
    if engine == "ray":
        return RayPool(address)
    if address is not None:
        raise InputError("an address is of a Ray cluster; give --engine ray with it")
    return LocalPool()


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


def run_cells(
    cells: Iterable[Cell],
    store: Store,
    jobs: int = 1,
    execute: str = EXECUTE,
    on_event: Callable[[Event], None] | None = None,
    retry_failed: bool = True,
    memory_mb: float | None = None,
    pool: Pool | None = None,
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
        pool: where the workers are, entered already; processes of this machine unless given.

    Raises:
        InputError: jobs < 1, memory_mb less than a worker holds before its first cell or given to a pool that cannot
            tell it, workers cannot import `execute`, or sources changed during the run.
        StoreError: a record cannot be written. Records written before either error stay.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; give at least 1")
    if memory_mb is not None and not memory_mb > 0:
        raise InputError(f"memory is {memory_mb} MiB; give a positive number")
    if pool is None:
        with LocalPool() as ours:
            return run_cells(cells, store, jobs, execute, on_event, retry_failed, memory_mb, ours)
    if memory_mb is not None and not pool.tells_memory:
        raise InputError("memory is watched for workers of this machine only; leave it out, or take --engine local")
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
        run = _Run(store, execute, report, summary, pool, memory_mb)
        for cell in sorted(todo, key=lambda cell: -cell.cost):
            run.pending.setdefault(pool.group(cell), deque()).append(cell)
        run.loop(min(jobs, len(todo)))
    summary.wall_s = time.monotonic() - started
    return summary


@dataclass
class _Run:
    store: Store
    execute: str
    report: Callable[[Event], None]
    summary: RunSummary
    pool: Pool
    memory_mb: float | None = None
    pending: dict[Hashable, deque[Cell]] = field(default_factory=dict)
    crashes: dict[Cell, int] = field(default_factory=dict)
    dead_starts: int = 0
    doubted: set[Cell] = field(default_factory=set)  # too large beside what other cells left, if at all
    workers: list[Worker] = field(default_factory=list)

    def loop(self, jobs: int) -> None:
        try:
            while any(self.pending.values()) or any(worker.cell for worker in self.workers):
                while len(self.workers) < jobs and self._unclaimed() > 0:
                    self._start()
                deadline = min((worker.deadline for worker in self.workers), default=float("inf"))
                before = time.monotonic()
                pause = max(0.0, min(deadline - before, WAKE_S if self.memory_mb is None else LOOK_S))
                heard = self.pool.wait([worker.line for worker in self.workers], pause)
                self._forgive(time.monotonic() - before - pause)
                for worker in list(self.workers):
                    if worker.line in heard:
                        self._hear(worker)
                    elif time.monotonic() >= worker.deadline:
                        self._time_out(worker)
                    else:
                        self._look_at_memory(worker)
        finally:
            for worker in self.workers:
                worker.kill()

    def _start(self) -> None:
        first = next(cells[0] for cells in self.pending.values() if cells)
        try:
            self.workers.append(self.pool.start(first, self.execute, self.store.folder.resolve()))
        except OSError as error:
            raise InputError(
                f"worker {len(self.workers) + 1} cannot be started ({error.strerror or error}); give fewer --jobs"
            ) from error

    def _forgive(self, late_s: float) -> None:
        """Take time in which the run was suspended, and its workers with it, off what they have used."""
        if late_s > ASLEEP_S:
            for worker in self.workers:
                worker.since += late_s

    def _unclaimed(self) -> int:
        """Cells waiting beyond those that workers still starting up will take."""
        starting = sum(not worker.ready for worker in self.workers)
        return sum(map(len, self.pending.values())) - starting

    def _hand_out(self, worker: Worker) -> None:
        """Give an idle worker its next cell, or let it go: none is left for it, or one that wants a fresh worker."""
        cells = self.pending.get(worker.group)
        if not cells or (worker.served and cells[0] in self.doubted):
            self._drop(worker)
            return
        worker.cell, worker.since = cells.popleft(), time.monotonic()
        self.report(Event(worker.cell, "started"))
        worker.send(worker.cell)

    def _drop(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.kill()

    def _hear(self, worker: Worker) -> None:
        try:
            what, wall_s, line = worker.receive()
        except Died as died:
            self._crashed(worker, died)
            return
        cell = worker.cell
        if what == "broken":
            raise StoreError(line) if worker.ready else InputError(line)
        if cell is not None:
            self._end(cell, what, wall_s, line)
        if not worker.ready:
            self._look_at_memory(worker)
            self.dead_starts = 0
        worker.ready, worker.cell, worker.served = True, None, worker.served + (cell is not None)
        if self._is_spent(worker, what, cell):
            self._drop(worker)
        else:
            self._hand_out(worker)

    def _end(self, cell: Cell, what: str, wall_s: float, line: str) -> None:
        if what == "unrecorded":
            self._fail(cell, "failed", wall_s, "Unrecorded", f"its worker could not write its record: {line}")
        elif what != "ready":
            self._finish(cell, cast("Status", what), wall_s, line)

    def _is_spent(self, worker: Worker, what: str, cell: Cell | None) -> bool:
        """Whether the next cell would meet what the last one left: memory, open files, what code not ours has set."""
        full = self.memory_mb is not None and cell is not None and worker.held_mb() > self.memory_mb
        return full or what in ("out_of_memory", "unrecorded") or (cell is not None and foreign(cell) is not None)

    def _dead_start(self, how: str, hint: str = "") -> None:
        self.dead_starts += 1
        if self.dead_starts > CRASHES_ALLOWED:
            raise InputError(f"{self.dead_starts} workers died while starting ({how}){hint}")

    def _crashed(self, worker: Worker, died: Died) -> None:
        self._drop(worker)
        if not worker.ready:
            self._dead_start(died.how, died.hint)
            return
        cell = worker.cell
        if cell is None:
            return
        record = self.store.get(cell)
        if record is not None and record.ok:  # it died between writing its record and saying so
            self._finish(cell, "ok", record.wall_s, "")
            return
        self.crashes[cell] = self.crashes.get(cell, 0) + 1
        if self.crashes[cell] <= CRASHES_ALLOWED:
            self.pending[worker.group].appendleft(cell)
            return
        message = f"worker died ({died.how}) {self.crashes[cell]} times{died.hint}"
        self._fail(cell, "failed", time.monotonic() - worker.since, "WorkerDied", message)

    def _time_out(self, worker: Worker) -> None:
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if not worker.ready:
            self._dead_start(f"not ready after {worker.start_s:g} s")
        elif cell is not None:
            message = f"stopped after {wall_s:.1f} s; its limit is {cell.timeout:g} s"
            self._fail(cell, "timed_out", wall_s, "Timeout", message)

    def _look_at_memory(self, worker: Worker) -> None:
        """Stop a worker that holds more than it may, at the cost of its cell where no other can have left it that."""
        if self.memory_mb is None or (held := worker.held_mb()) <= self.memory_mb:
            return
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if not worker.ready:
            raise InputError(f"a worker holds {held:.0f} MiB before its first cell; give it more than that")
        if worker.served and cell is not None:
            self.doubted.add(cell)
            self.pending[worker.group].appendleft(cell)
        elif cell is not None:
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
