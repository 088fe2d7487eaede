"""A cell: one typed piece of work, its canonical form, its key.

A key is made from values, not from spellings: the order of the parameters, the shape of a container (tuple or
list) and the scheduling fields (cost, timeout, label) leave it alone; the type of a number does not (1 is not 1.0).
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells.fingerprint import fingerprint
from bench.errors import InputError
from causalrec.methods.canonical import Json, digest, plain


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work; equal cells have equal keys.

    Args:
        runner: which runner of `bench.runners` the worker calls.
        params: typed parameters; copied into plain JSON data.
        code: `module:name` of the definitions that make the result, see `bench.cells.fingerprint`.
        data: content hash of the dataset; None without one.
        dtype: of the numbers that matter.
        device: where it runs; only its kind is in the key (`cuda:1` is `cuda`).
        threads: threads of the worker, at least 1.
        cost: expected seconds; not in the key.
        timeout: seconds after which the cell is stopped; not in the key.
        label: for people; not in the key.

    Raises:
        InputError: a value without canonical form, threads < 1, or a cost or timeout that is not positive.
    """

    runner: str
    params: Mapping[str, Any]
    code: tuple[str, ...]
    data: str | None = None
    dtype: str = "float64"
    device: str = "cpu"
    threads: int = 1
    cost: float = 1.0
    timeout: float = 600.0
    label: str = ""

    def __post_init__(self) -> None:
        where = f"cell {self.runner!r}"
        if not isinstance(self.params, Mapping):
            raise InputError(f"{where}: params is a {type(self.params).__name__}; give a mapping")
        object.__setattr__(self, "params", plain(self.params, f"{where} params"))
        if self.threads < 1:
            raise InputError(f"{where}: threads is {self.threads}; give at least 1")
        if not (self.cost > 0 and self.timeout > 0):
            raise InputError(f"{where}: cost {self.cost} and timeout {self.timeout} must be positive seconds")

    @cached_property
    def fields(self) -> dict[str, Json]:
        """What the key is made of, as plain data."""
        return {
            "runner": self.runner,
            "params": plain(self.params),
            "data": self.data,
            "dtype": self.dtype,
            "device": self.device.partition(":")[0],
            "threads": self.threads,
            "code": fingerprint(self.code),
        }

    @cached_property
    def key(self) -> str:
        """SHA-256 (64 hex digits) of the canonical JSON of `fields`."""
        return digest(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __getstate__(self) -> dict[str, Any]:
        """Without the key: whoever receives the cell makes it from the code it has itself."""
        return {name: value for name, value in self.__dict__.items() if name not in ("fields", "key")}


@dataclass(frozen=True)
class Outcome:
    """What a runner returns.

    Args:
        metrics: finite numbers, texts, lists and dicts of them; None for an undefined metric.
        arrays: what statistics need later, by name.
    """

    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


_checkpoint: ContextVar[Path | None] = ContextVar("path of the running cell's checkpoint", default=None)


@contextlib.contextmanager
def checkpoint_at(path: Path) -> Iterator[None]:
    """Let the cell that runs within this block keep its checkpoint at a path.

    Args:
        path: the file; it need not exist.
    """
    token = _checkpoint.set(path)
    try:
        yield
    finally:
        _checkpoint.reset(token)


def checkpoint_path() -> Path | None:
    """Where the running cell may keep its checkpoint; None for a cell that no engine runs."""
    return _checkpoint.get()
