"""Planned cells and their records, as experiments read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell


@dataclass(frozen=True, eq=False)
class Result:
    """A planned cell and its record, if it ran."""

    cell: Cell
    record: Record | None
    store: Store

    @property
    def ok(self) -> bool:
        """Whether the cell ran to its end."""
        return self.record is not None and self.record.ok

    @property
    def params(self) -> Mapping[str, Any]:
        """The cell's parameters."""
        return self.cell.params

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The record's metrics; empty where the cell failed or did not run."""
        return self.record.metrics if self.record is not None else {}

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays beside the record, read when first asked for."""
        return self.store.arrays(self.record) if self.record is not None else {}


def collect(cells: list[Cell], store: Store) -> list[Result]:
    """The results of `cells`, in their order."""
    return [Result(cell, store.get(cell), store) for cell in cells]


def select(results: list[Result], **wanted: Any) -> list[Result]:
    """The results that ran and whose parameters have these values."""
    return [r for r in results if r.ok and all(r.params[name] == value for name, value in wanted.items())]


def stacked(results: list[Result], name: str) -> NDArray[np.float64]:
    """One array of several results end to end, float64."""
    return np.concatenate([np.asarray(r.arrays[name], dtype=np.float64) for r in results])
