"""Workers on this machine: spawned processes that serve many cells, each on a pipe of its own.

Because no two of them share a pipe or a lock, a killed worker takes nothing with it that another one waits for.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from bench.cells.provenance import Provenance, provenance
from bench.cells.unit import Cell
from bench.engine.memory import resident_mb
from bench.engine.workers import THREAD_VARIABLES, Died, Execute, Pool, Reply, Server, Worker, not_started
from bench.show.streams import steady_streams

START_S = 600.0  # imports take seconds, or minutes when many workers read a cold file system


def default_jobs(device: str) -> int:
    """One worker per core that this process may use; on a GPU a single worker.

    Args:
        device: where cells compute, "cpu" or a GPU's name.
    """
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalPool(Pool):
    """Worker processes on this machine; cells with the same number of threads share workers.

    Workers are not in the terminal's process group, so while the pool is open it passes Ctrl-Z on to them.
    """

    tells_memory = True

    def __init__(self) -> None:
        self._workers: list[_LocalWorker] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        can_handle = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGTSTP")
        if can_handle and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._suspend)
            self._stack.callback(signal.signal, signal.SIGTSTP, signal.SIG_DFL)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _suspend(self, *_: object) -> None:
        """Stop all workers, then this process; once it continues, let them continue."""
        alive = [worker for worker in self._workers if not worker.ended]
        for worker in alive:
            worker.tell("SIGSTOP")
        os.kill(os.getpid(), signal.SIGSTOP)
        for worker in alive:
            worker.tell("SIGCONT")

    def default_jobs(self, device: str) -> int:
        """As the function of this name.

        Args:
            device: where cells compute.
        """
        return default_jobs(device)

    def group(self, cell: Cell) -> int:
        """The cell's number of threads.

        Args:
            cell: any cell.
        """
        return cell.threads

    def start(self, cell: Cell, execute: Execute, folder: Path) -> Worker:
        """Spawn a process.

        Args:
            cell: one of the group that the worker will serve.
            execute: runs a cell.
            folder: results folder, absolute.
        """
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, folder, provenance()), daemon=True
        )
        with _thread_environment(cell.threads):
            process.start()
        there.close()
        # Not an argument of the process, which would import the function's module before `_serve` guards it.
        with contextlib.suppress(OSError):  # it has died already: `receive` says so
            here.send(execute)
        worker = _LocalWorker(cell.threads, here, process)
        worker.start_s = START_S
        self._workers = [*(other for other in self._workers if not other.ended), worker]
        return worker

    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """The pipes that have news.

        Args:
            lines: the pipes of all workers.
            timeout: seconds to wait at most; None waits for ever.
        """
        return wait(lines, timeout)


@dataclass(eq=False)
class _LocalWorker(Worker):
    process: multiprocessing.context.SpawnProcess
    ended: bool = False

    def send(self, cell: Cell) -> None:
        with contextlib.suppress(OSError):  # it died while idle: `receive` says so
            self.line.send((cell, cell.key))

    def receive(self) -> Reply:
        try:
            reply: Reply = self.line.recv()
        except (EOFError, OSError) as error:
            self.kill()
            how, hint = _ending(self.process.exitcode or 0), ""
            if how == "SIGKILL":
                hint = "; the system sends SIGKILL when memory runs out"
            elif not self.ready:
                hint = "; a script that runs cells needs `if __name__ == '__main__':`"
            raise Died(how, hint) from error
        return reply

    def kill(self) -> None:
        """End it and all that its cell started, which is in the process group that it leads."""
        if self.ended:  # another process may have its number by now
            return
        self.ended = True
        self.tell("SIGKILL")
        self.process.kill()
        self.process.join()
        self.line.close()

    def held_mb(self) -> float:
        return resident_mb(self.process.pid)

    def tell(self, what: str) -> None:
        """Send the named signal to the worker's group, if it has made one and the system has groups."""
        if self.process.pid is None or not hasattr(os, "killpg"):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it once all have ended
            os.killpg(self.process.pid, getattr(signal, what))


def _ending(exit_code: int) -> str:
    """How a process ended, in words; real-time signals have no name."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return next((known.name for known in signal.Signals if known == -exit_code), f"signal {-exit_code}")


@contextlib.contextmanager
def _thread_environment(threads: int) -> Iterator[None]:
    """Thread counts for a process that is started meanwhile: its libraries read them once, when first imported."""
    before = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name in THREAD_VARIABLES:
            del os.environ[name]
        os.environ.update(before)


def _serve(pipe: Connection, folder: Path, made_with: Provenance) -> None:
    """Get ready, then run one cell after another until killed or orphaned; what a worker process does."""
    if hasattr(os, "setpgid"):  # lead a group, which ends as one; it may write from the terminal's background
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    with steady_streams():  # a run whose stderr nobody reads loses no cell
        os.dup2(2, 1)  # what a cell prints goes to stderr; stdout belongs to the command's document
        threading.Thread(target=end_with_parent, daemon=True).start()
        try:
            server = Server(pipe.recv(), folder, made_with)
        except Exception as error:  # noqa: BLE001 - whatever it is ends the run with its message
            pipe.send(not_started(error))
            return
        pipe.send(("ready", 0.0, ""))
        while True:
            pipe.send(server.run(*pipe.recv()))


def end_with_parent() -> None:
    """End this process when the one that started it has ended; runs in a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
