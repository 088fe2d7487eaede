"""What a worker runs for a cell: one module per runner, each with `run(cell) -> Outcome`.

Runners are apart from the experiments that plan cells and read their results: an edit of a table makes no result stale.
"""

from collections.abc import Callable

from bench.cells.unit import Cell, Outcome
from bench.errors import InputError
from bench.runners import attribution, confidence, cost, example, graph_claims, misses, mixing, recommender, structure
from causalrec.registry import Registry

RUNNERS: Registry[Callable[[Cell], Outcome]] = {
    "attribution": attribution.run,
    "confidence": confidence.run,
    "cost": cost.run,
    "example": example.run,
    "graph_claims": graph_claims.run,
    "misses": misses.run,
    "mixing": mixing.run,
    "recommender": recommender.run,
    "structure": structure.run,
}


def execute(cell: Cell) -> Outcome:
    """Run a cell with the runner that it names.

    Args:
        cell: what to run.

    Raises:
        InputError: there is no such runner.
    """
    if cell.runner not in RUNNERS:
        raise InputError(f"no runner is called {cell.runner!r}; choose one of {', '.join(RUNNERS)}")
    return RUNNERS[cell.runner](cell)
