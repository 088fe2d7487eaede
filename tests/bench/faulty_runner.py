"""A runner that refuses some cells, importable in spawned workers."""

from bench import runners
from bench.cells.unit import Cell, Outcome

WHY = "made to fail"


def execute(cell: Cell) -> Outcome:
    """As `bench.runners.execute`, but NOTEARS fails where variances rise or fall along the order."""
    if cell.params["learner"] == "notears" and cell.params["profile"] in ("rising", "falling"):
        raise ValueError(WHY)
    return runners.execute(cell)
