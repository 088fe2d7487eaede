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
from bench.judge.intervals import Interval, share_interval


@dataclass(frozen=True, eq=False)
class Result:
    """A planned cell and its record, if it ran.

    Args:
        cell: what was planned.
        record: what became of it; None if it did not run.
        store: where its arrays are.
    """

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
    """The results of `cells`, in their order.

    Args:
        cells: planned.
        store: where their records are.
    """
    return [Result(cell, store.get(cell), store) for cell in cells]


def select(results: list[Result], **wanted: Any) -> list[Result]:
    """The results that ran and whose parameters have these values.

    Args:
        results: any.
        wanted: parameters and their values; none: all results that ran.
    """
    return [r for r in results if r.ok and all(r.params[name] == value for name, value in wanted.items())]


def of_cells(results: list[Result], cells: list[Cell]) -> list[Result]:
    """The results of `cells` that ran, in the order of the cells.

    Args:
        results: any.
        cells: those wanted.
    """
    by_cell = {r.cell: r for r in results if r.ok}
    return [by_cell[cell] for cell in cells if cell in by_cell]


def all_of(results: list[Result], cells: list[Cell]) -> list[Result]:
    """The results of `cells` in their order; none where one of them did not run.

    Args:
        results: any.
        cells: those wanted.
    """
    found = of_cells(results, cells)
    return found if len(found) == len(cells) else []


def stacked(results: list[Result], name: str) -> NDArray[np.float64]:
    """One array of several results end to end, float64.

    Args:
        results: at least one.
        name: of an array that each has.
    """
    return np.concatenate([np.asarray(r.arrays[name], dtype=np.float64) for r in results])


def values(results: list[Result], metric: str) -> NDArray[np.float64]:
    """A metric of the results that have it and where it is finite, shape (results,).

    Args:
        results: any.
        metric: its name.
    """
    found = [r.metrics.get(metric) for r in results]
    return np.array([value for value in found if value is not None and np.isfinite(value)], dtype=np.float64)


def mean_metric(results: list[Result], metric: str) -> float:
    """The mean of a metric over results, all of which have it.

    Args:
        results: at least one.
        metric: its name.
    """
    return float(np.mean([r.metrics[metric] for r in results]))


def mean_share(results: list[Result], metric: str) -> Interval | None:
    """The mean of a metric over the results that have it, with its t interval; None where none has.

    Args:
        results: any.
        metric: its name; its values lie in 0 to 1.
    """
    known = values(results, metric)
    return share_interval(known) if len(known) else None


def mean_known(array: NDArray[np.float64]) -> float | None:
    """The mean of the values that are not NaN, None where none is.

    Args:
        array: of any shape.
    """
    known = array[~np.isnan(array)]
    return float(known.mean()) if len(known) else None
