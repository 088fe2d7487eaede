"""Toy cells for the engine's tests, importable in spawned workers as `tests.bench.toy_cells`."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells.unit import Cell, Outcome
from bench.methods import user_code
from causalrec.methods.streams import generator

KEPT: list[Any] = []  # what a cell leaves in its worker


def toy(number: int, root: int = 0, **more: Any) -> Cell:
    """A cell of kind `draw` unless `kind` says otherwise; scheduling fields by their own names."""
    scheduling = {name: more.pop(name) for name in ("cost", "timeout", "threads") if name in more}
    return Cell("toy", {"kind": "draw", "number": number, "root": root, **more}, ("bench.cells.unit",), **scheduling)


def execute(cell: Cell) -> Any:
    params = cell.params
    return globals()[params["kind"]](**{name: value for name, value in params.items() if name != "kind"})


def draw(number: int, root: int) -> Outcome:
    values = generator(root=root, number=number).normal(size=8)
    return Outcome({"mean": float(values.mean()), "number": number}, {"values": values})


def burn(number: int, root: int, seconds: float) -> Outcome:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return Outcome({"number": number})


def die(number: int, root: int) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_once(number: int, root: int, mark: str) -> Outcome:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(number, root)


def sleep(number: int, root: int, seconds: float, mark: str = "") -> Outcome:
    if mark:
        Path(mark).write_text(str(os.getpid()))
    time.sleep(seconds)
    return draw(number, root)


def refuse(number: int, root: int) -> Outcome:
    raise ValueError(f"number {number} refused")


def leave(number: int, root: int) -> Outcome:
    sys.exit(3)


def exhaust(number: int, root: int) -> Outcome:
    raise MemoryError("no more")


def pid(number: int, root: int, **told: str) -> Outcome:
    return Outcome({"pid": os.getpid()})


def rest(number: int, root: int, mark: str) -> Outcome:
    """Take two seconds that a suspended process does not have."""
    Path(mark).write_text(str(os.getpid()))
    for _ in range(20):
        time.sleep(0.1)
    return draw(number, root)


def own(number: int, root: int, learner: str, identity: str) -> Outcome:
    user_code.find(learner, "function")
    return Outcome({"number": number})


def child(number: int, root: int, mark: str) -> Outcome:
    """Start another process and wait for it."""
    started = subprocess.Popen(["sleep", "600"])
    Path(mark).write_text(str(started.pid))
    started.wait()
    return Outcome({"number": number})


def real_time_signal(number: int, root: int) -> Outcome:
    os.kill(os.getpid(), signal.SIGRTMIN + 6)
    raise AssertionError


def leak_files(number: int, root: int) -> Outcome:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.suppress(OSError):
        while True:
            KEPT.append(Path("/dev/null").open())  # noqa: SIM115
    return Outcome({"number": number})


def keep(number: int, root: int, megabytes: int) -> Outcome:
    KEPT.append(np.ones(megabytes * 2**17))
    return Outcome({"pid": os.getpid()})


def nan(number: int, root: int) -> Outcome:
    return Outcome({"mean": float("nan")})


def nothing(number: int, root: int) -> None:
    print("a cell that prints and returns nothing")  # noqa: T201


def threads(number: int, root: int) -> Outcome:
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return Outcome({"threads": max(pool["num_threads"] for pool in threadpool_info())})


def memory(number: int, root: int, megabytes: int) -> Outcome:
    return Outcome({"sum": float(np.ones(megabytes * 2**17).sum())})


def hold(number: int, root: int, megabytes: int) -> Outcome:
    held = np.ones(megabytes * 2**17)
    time.sleep(2.0)
    return Outcome({"sum": float(held.sum())})
