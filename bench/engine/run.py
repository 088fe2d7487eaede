"""Run cells in isolated workers: one that raises, hangs or kills its process does not affect other cells.

A worker writes its records itself; the parent hands out cells, watches for news and deadlines, and records timeouts and
crashes. A pool decides where workers run: as processes of this machine, or on a cluster.
"""

import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from bench.cells.files import StoreError
from bench.cells.provenance import provenance
from bench.cells.record import Record, Status
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.engine.local import LocalPool
from bench.engine.ray_pool import RayPool
from bench.engine.workers import Died, Execute, Pool, Worker
from bench.errors import InputError
from bench.methods.user_code import foreign

ENGINES = ("local", "ray")
CRASHES_ALLOWED = 1  # of one cell's worker; of workers that die in a row while they start
LOOK_S = 0.25  # between two looks at the workers' memory
WAKE_S, ASLEEP_S = 1.0, 5.0  # between two looks at the clock; one that comes so much later was suspended


def make_pool(engine: str = "local", address: str | None = None) -> Pool:
    """The pool of an engine.

    Args:
        engine: "local" or "ray".
        address: Ray cluster address, HOST:PORT or "auto"; for "ray" only.

    Raises:
        InputError: an unknown engine, an address without Ray, or what `RayPool` refuses.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}; job arrays take --shard")
    if engine == "ray":
        return RayPool(address)
    if address is not None:
        raise InputError("an address is that of a Ray cluster; give --engine ray with it")
    return LocalPool()


@dataclass(frozen=True)
class Event:
    """News of one cell.

    Args:
        cell: which one.
        status: "cached", "started", or how it ended.
        wall_s: seconds that it took.
        message: one line on a failure; otherwise empty.
    """

    cell: Cell
    status: Status | Literal["cached", "started"]
    wall_s: float = 0.0
    message: str = ""


@dataclass
class RunSummary:
    """What a run did.

    Args:
        done: cells that it ran and that ended well, in order.
        cached: cells whose records were there.
        failed: cells that failed.
    """

    done: list[Cell] = field(default_factory=list)
    cached: list[Cell] = field(default_factory=list)
    failed: list[Cell] = field(default_factory=list)


def run_cells(
    cells: Iterable[Cell],
    store: Store,
    execute: Execute,
    jobs: int = 1,
    on_event: Callable[[Event], None] | None = None,
    memory_mb: float | None = None,
    pool: Pool | None = None,
    until: float = math.inf,
) -> RunSummary:
    """Bring every cell's result into the store, running the cells without one, the longest expected first.

    A cell whose record is a failure runs again; one that was stopped from outside or ran out of memory goes on from its
    checkpoint, if it left one, with its whole timeout.

    Args:
        cells: what to run; equal ones run once.
        store: where records are looked for and written.
        execute: runs a cell, in a worker, which imports it; a function at the top level of a module.
        jobs: workers at a time, 1 by default; that one is an isolated process as well.
        on_event: called with news of every cell found, started and ended.
        memory_mb: MiB of resident memory beyond which a worker is stopped and its cell recorded as out of memory,
            measured every `LOOK_S` seconds on Linux; no limit by default.
        pool: where workers run, entered already; processes of this machine by default.
        until: no cell is started from then on, and those that run end; by `time.monotonic`, never by default.

    Raises:
        InputError: jobs < 1; memory_mb is less than a worker holds before its first cell, or the pool cannot measure
            it; workers cannot import `execute`; sources changed during the run.
        StoreError: a record cannot be written. Records written before an error stay.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; give at least 1")
    if memory_mb is not None and not memory_mb > 0:
        raise InputError(f"memory is {memory_mb} MiB; give a positive number")
    if pool is None:
        with LocalPool() as ours:
            return run_cells(cells, store, execute, jobs, on_event, memory_mb, ours, until)
    if memory_mb is not None and not pool.tells_memory:
        raise InputError("memory is watched for workers of this machine only; leave it out, or take --engine local")
    try:
        pickle.dumps(execute)
    except (pickle.PicklingError, AttributeError) as error:
        raise InputError(f"workers cannot import {execute!r} ({error}); give a function of a module") from error
    report = on_event or (lambda _: None)
    summary = RunSummary()
    store.sweep()
    todo = []
    for cell in dict.fromkeys(cells):
        record = store.get(cell)
        if record is None or not record.ok:
            todo.append(cell)
        else:
            summary.cached.append(cell)
            report(Event(cell, "cached"))
    if todo:
        run = _Run(store, execute, report, summary, pool, memory_mb, until)
        for cell in sorted(todo, key=lambda cell: -cell.cost):
            run.pending.setdefault(pool.group(cell), deque()).append(cell)
        run.loop(min(jobs, len(todo)))
    return summary


@dataclass
class _Run:
    store: Store
    execute: Execute
    report: Callable[[Event], None]
    summary: RunSummary
    pool: Pool
    memory_mb: float | None = None
    until: float = math.inf
    pending: dict[Hashable, deque[Cell]] = field(default_factory=dict)
    crashes: dict[Cell, int] = field(default_factory=dict)
    dead_starts: int = 0
    # Their worker died, or exceeded memory in which earlier cells may have a share; retried in a fresh worker only.
    doubted: set[Cell] = field(default_factory=set)
    workers: list[Worker] = field(default_factory=list)

    def loop(self, jobs: int) -> None:
        try:
            while any(self.pending.values()) or any(worker.cell for worker in self.workers):
                if time.monotonic() >= self.until:
                    for cells in self.pending.values():
                        cells.clear()
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
        """Do not count the time in which the run was suspended, and its workers with it, as theirs."""
        if late_s > ASLEEP_S:
            for worker in self.workers:
                worker.since += late_s

    def _unclaimed(self) -> int:
        """How many cells wait beyond those that workers still starting will take."""
        starting = sum(not worker.ready for worker in self.workers)
        return sum(map(len, self.pending.values())) - starting

    def _hand_out(self, worker: Worker) -> None:
        """Give an idle worker the next cell that it may run; end the worker if there is none."""
        cells = self.pending.get(worker.group, deque())
        cell = next((cell for cell in cells if not worker.served or cell not in self.doubted), None)
        if cell is None:
            self._drop(worker)
            return
        cells.remove(cell)
        worker.cell, worker.since = cell, time.monotonic()
        self.report(Event(cell, "started"))
        worker.send(cell)

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
            if what == "unrecorded":
                self._fail(cell, "failed", wall_s, "Unrecorded", f"its worker could not write its record: {line}")
            elif what != "ready":
                self._finish(cell, what, wall_s, line)
        if not worker.ready:
            self._look_at_memory(worker)
            self.dead_starts = 0
        worker.ready, worker.cell, worker.served = True, None, worker.served + (cell is not None)
        if self._is_spent(worker, what, cell):
            self._drop(worker)
        else:
            self._hand_out(worker)

    def _is_spent(self, worker: Worker, what: str, cell: Cell | None) -> bool:
        """Whether the last cell left something that would affect the next: memory, open files, a user's settings."""
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
            self._retry(worker, cell)
            return
        message = f"worker died ({died.how}) {self.crashes[cell]} times{died.hint}"
        self._fail(cell, "failed", time.monotonic() - worker.since, "WorkerDied", message)

    def _retry(self, worker: Worker, cell: Cell) -> None:
        self.doubted.add(cell)
        self.pending[worker.group].appendleft(cell)

    def _time_out(self, worker: Worker) -> None:
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if not worker.ready:
            self._dead_start(f"not ready after {worker.start_s:g} s")
        elif cell is not None:
            message = f"stopped after {wall_s:.1f} s; its limit is {cell.timeout:g} s"
            self._fail(cell, "timed_out", wall_s, "Timeout", message)

    def _look_at_memory(self, worker: Worker) -> None:
        """Stop a worker that holds too much; its cell fails unless an earlier one may have left that memory."""
        if self.memory_mb is None or (held := worker.held_mb()) <= self.memory_mb:
            return
        cell, wall_s = worker.cell, time.monotonic() - worker.since
        self._drop(worker)
        if not worker.ready:
            raise InputError(f"a worker holds {held:.0f} MiB before its first cell; give it more memory than that")
        if worker.served and cell is not None:
            self._retry(worker, cell)
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
