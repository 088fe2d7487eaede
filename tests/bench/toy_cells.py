"""Toy cells for the engine's tests, importable in spawned workers as `tests.bench.toy_cells`."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cell import Cell, Outcome, generator


def toy(number: int, root: int = 0, **more: Any) -> Cell:
    """A cell of kind `draw` unless `kind` says otherwise; scheduling fields by their own names."""
    scheduling = {name: more.pop(name) for name in ("cost", "timeout", "threads") if name in more}
    return Cell("toy", {"kind": "draw", "number": number, "root": root, **more}, ("bench.cell",), **scheduling)


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


def pid(number: int, root: int) -> Outcome:
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
