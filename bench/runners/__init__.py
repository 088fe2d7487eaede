"""What a worker runs for a cell: one module a runner, each with `run(cell) -> Outcome`.

Runners are apart from the experiments that plan cells and read their results, so that editing a table does not make
a result stale.
"""

import importlib

from bench.cells.unit import Cell, Outcome


def execute(cell: Cell) -> Outcome:
    """Run `cell` with the runner that its `experiment` field names."""
    module = importlib.import_module(f"bench.runners.{cell.experiment}")
    outcome: Outcome = module.run(cell)
    return outcome
