"""A long computation: a line every few seconds while it runs and, where it has a time limit, a process to end it by."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from bench.engine.local import end_with_parent
from bench.errors import InputError
from bench.show.console import duration

T = TypeVar("T")
EVERY_S = 5.0
LONGEST_S = 1e6  # longer waits do not fit into the timeout of a pipe


@contextlib.contextmanager
def told(what: str, say: Callable[[str], None], every: float = EVERY_S) -> Iterator[None]:
    """Say every few seconds how long something has been running; the thread that says it ends with it.

    Args:
        what: What runs.
        say: Takes each line.
        every: Seconds between two lines.
    """
    done, start = threading.Event(), time.monotonic()

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):  # stderr is closed: nobody listens
            while not done.wait(every):
                say(f"{what}: {duration(time.monotonic() - start)} so far")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def within(
    seconds: float, what: str, advice: str, say: Callable[[str], None], function: Callable[..., T], *arguments: object
) -> T:  # fmt: skip
    """Return what a function returns, or raise what it raises, if it ends in time.

    It runs in a process of its own, which can be ended at any moment, also amid one long step of a library.

    Args:
        seconds: The limit, from when the function's module is imported.
        what: What runs, for errors.
        advice: What to do if it takes longer.
        say: Takes a line every few seconds.
        function: A function of a module.
        *arguments: Its arguments.

    Raises:
        InputError: The limit is out of range, or the function took longer, or its process died.
    """
    if not 0 < seconds <= LONGEST_S:
        raise InputError(f"--time-limit is {seconds:g}; give seconds above 0, at most {LONGEST_S:g}")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        here.send((function, arguments))
        here.recv()
        with told(what, say):
            in_time = here.poll(seconds)
        if not in_time:
            ended = f"ended after --time-limit {seconds:g} s without a result"
            raise InputError(f"{what}: {ended}; give it longer, or {advice}")
        returned, value = here.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise InputError(
            f"{what}: its process ended with exit code {process.exitcode} (-9: memory ran out); {advice}"
        ) from error
    finally:
        process.kill()
        process.join()
        here.close()
    if returned:
        result: T = value
        return result
    raise value


def _serve(pipe: Connection) -> None:
    """Call the function that the pipe brings and send back what it returns or raises."""
    if hasattr(os, "setpgid"):  # `end_with_parent` ends a group; this one may write from the terminal's background
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.dup2(2, 1)  # stdout belongs to the command's document
    threading.Thread(target=end_with_parent, daemon=True).start()
    answer: tuple[bool, Any]
    try:
        function, arguments = pipe.recv()
        pipe.send("ready")
        answer = True, function(*arguments)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        error.add_note(traceback.format_exc())
        answer = False, error
    pipe.send(answer)
