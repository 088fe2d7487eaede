"""A plan as a table: what would run, what is there, about how long the rest takes."""

from collections.abc import Mapping

from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.judge.intervals import Value
from bench.plan.setup import Setup
from bench.show.console import duration
from bench.show.tables import Table


def plan_table(
    setup: Setup, planned: Mapping[str, list[Cell]], store: Store | None, jobs: int, more: str = ""
) -> Table:
    """What would run: cells by experiment, those whose records are there, and the expected time of the rest.

    Args:
        setup: the run's.
        planned: cells by experiment.
        store: where records are looked up; None where there are none.
        jobs: workers.
        more: said of the whole plan, after its time.
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
    seeds = setup.preset.real.seeds
    note = (
        f"{setup.preset.about}. About {duration(total / jobs)} on {jobs} workers; the recommenders chosen in tuning "
        f"then run on {seeds - 1} more seeds. " + (f"{more} " if more else "")
        + "; ".join([f"Datasets found: {', '.join(setup.found) or 'none'}", *setup.missing.values()]) + "."
    )  # fmt: skip
    columns = ("experiment", "cells", "of its own", "there already", "expected time of the rest")
    return Table("plan", f"Plan of {setup.preset.name}, seed {setup.root}, {setup.device}", columns, tuple(rows), note)
