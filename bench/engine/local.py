"""Workers on this machine: warm spawned processes, each on a pipe of its own.

So workers share no lock that a killed one could keep (in pebble's pool they share one, and a worker killed between two
tasks breaks the pool).
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
from bench.engine.workers import THREAD_VARIABLES, Died, Pool, Reply, Server, Worker, not_started

START_S = 600.0  # imports take seconds, minutes where a cold file system is asked by many


def default_jobs(device: str) -> int:
    """One worker a core that this process may use; on a GPU one, which has it to itself."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalPool(Pool):
    """Worker processes of this machine; cells of one thread count share a worker.

    Within it Ctrl-Z suspends the workers too, which are not in the terminal's process group.
    """

    tells_memory = True

    def __init__(self) -> None:
        self._workers: list[_LocalWorker] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGTSTP")
        if ours and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._suspend)
            self._stack.callback(signal.signal, signal.SIGTSTP, signal.SIG_DFL)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _suspend(self, *_: object) -> None:
        """All workers, then this process; when it is continued, them again."""
        alive = [worker for worker in self._workers if not worker.ended]
        for worker in alive:
            worker.tell("SIGSTOP")
        os.kill(os.getpid(), signal.SIGSTOP)
        for worker in alive:
            worker.tell("SIGCONT")

    def default_jobs(self, device: str) -> int:
        """As the function."""
        return default_jobs(device)

    def group(self, cell: Cell) -> int:
        """Threads."""
        return cell.threads

    def start(self, cell: Cell, execute: str, folder: Path) -> Worker:
        """Spawn a process."""
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, execute, folder, provenance()), daemon=True
        )
        with _thread_environment(cell.threads):
            process.start()
        there.close()
        worker = _LocalWorker(cell.threads, here, process)
        worker.start_s = START_S
        self._workers = [*(other for other in self._workers if not other.ended), worker]
        return worker

    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """Pipes with news."""
        return wait(lines, timeout)


@dataclass(eq=False)
class _LocalWorker(Worker):
    process: multiprocessing.context.SpawnProcess
    ended: bool = False

    def send(self, cell: Cell) -> None:
        with contextlib.suppress(OSError):  # it died while idle: the pipe's end of file says so next
            self.line.send((cell, cell.key))

    def receive(self) -> Reply:
        try:
            reply: Reply = self.line.recv()
        except (EOFError, OSError) as error:
            self.kill()
            how = _ended(self.process.exitcode or 0)
            hint = ""
            if how == "SIGKILL":
                hint = "; the system sends SIGKILL when memory runs out"
            elif not self.ready:
                hint = "; a script that runs cells needs `if __name__ == '__main__':`"
            raise Died(how, hint) from error
        return reply

    def kill(self) -> None:
        """With all that its cell started: a worker leads a process group of its own."""
        if self.ended:  # its number may be another's by now
            return
        self.ended = True
        self.tell("SIGKILL")
        self.process.kill()
        self.process.join()
        self.line.close()

    def held_mb(self) -> float:
        return resident_mb(self.process.pid)

    def tell(self, what: str) -> None:
        """Send a signal to the worker's group, where there is one: not before it has made it, nor on every system."""
        if self.process.pid is None or not hasattr(os, "killpg"):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it where all have ended
            os.killpg(self.process.pid, getattr(signal, what))


def _ended(exit_code: int) -> str:
    """How, by the name of the signal where there is one; real-time signals have none."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    names = {int(known): known.name for known in signal.Signals}
    return names.get(-exit_code, f"signal {-exit_code}")


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
    _lead_a_group()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.dup2(2, 1)  # what a cell prints goes to stderr; stdout belongs to the command's document
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        server = Server(execute, folder, made_with)
    except Exception as error:  # noqa: BLE001 - whatever it is ends the run with its message
        pipe.send(not_started(execute, error))
        return
    pipe.send(("ready", 0.0, ""))
    while True:
        pipe.send(server.run(*pipe.recv()))


def _lead_a_group() -> None:
    """So that what a cell starts ends with its worker; what the group writes to a terminal must not stop it."""
    if hasattr(os, "setpgid"):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
