"""What a worker runs for a cell: one module per runner, each with `run(cell) -> Outcome`.

Runners are apart from the experiments that plan cells and read their results: an edit of a table makes no result stale.
"""

from collections.abc import Callable

from bench.cells.unit import Cell, Outcome
from bench.runners import attribution, cost, example, mixing, recommender, structure
from causalrec.structure.registry import Registry

RUNNERS: Registry[Callable[[Cell], Outcome]] = {
    "attribution": attribution.run,
    "cost": cost.run,
    "example": example.run,
    "mixing": mixing.run,
    "recommender": recommender.run,
    "structure": structure.run,
}


def execute(cell: Cell) -> Outcome:
    """Run a cell with the runner that it names.

    Args:
        cell: what to run.
    """
    return RUNNERS[cell.runner](cell)
