"""A plan for readers: what would run, what is there, about how long the rest takes."""

from collections.abc import Iterator, Mapping

from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.judge.intervals import Value
from bench.plan.setup import Setup
from bench.show.console import duration
from bench.show.tables import Table

CPU_ESTIMATE = "This time is an estimate for CPU; how long the plan takes on a GPU has not been measured. "


def plan_table(setup: Setup, planned: Mapping[str, list[Cell]], store: Store | None, jobs: int) -> Table:
    """What would run: cells by experiment, those whose records are there, and the expected time of the rest.

    Args:
        setup: what the plan was made from.
        planned: first cells of each experiment, by its name.
        store: records that are there; None for none.
        jobs: worker processes among which the time is divided.
    """
    rows: list[tuple[Value, ...]] = []
    counted: set[str] = set()
    total = 0.0
    for name, cells in planned.items():
        new = [cell for cell in dict.fromkeys(cells) if cell.key not in counted]
        counted |= {cell.key for cell in new}
        left = [cell for cell in new if store is None or (record := store.get(cell)) is None or not record.ok]
        seconds = sum(cell.cost for cell in left)
        total += seconds
        rows.append((name, len(set(cells)), len(new), len(new) - len(left), duration(seconds / jobs)))
    for_cpu = setup.device != "cpu" or setup.preset.name == "paper"
    note = (
        f"{setup.preset.about}. About {duration(total / jobs)} on {jobs} workers; what stands beside the recommenders "
        "that tuning chooses then runs as well. " + (CPU_ESTIMATE if for_cpu else "")
        + "; ".join([f"Datasets found: {', '.join(setup.found) or 'none'}", *setup.missing.values()]) + "."
    )  # fmt: skip
    columns = ("experiment", "cells", "of its own", "there already", "expected time of the rest")
    return Table("plan", f"Plan of {setup.preset.name}, seed {setup.root}, {setup.device}", columns, tuple(rows), note)


def key_lines(planned: Mapping[str, list[Cell]]) -> Iterator[str]:
    """One line per cell, `key<TAB>label`, each key once, in the order of the plan.

    Args:
        planned: cells of each experiment, by its name.
    """
    for cell in dict.fromkeys(cell for cells in planned.values() for cell in cells):
        yield f"{cell.key}\t{cell.label}"
