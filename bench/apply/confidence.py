"""How sure the edges of a user's graph are, from resamples of the rows: options, table, document."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.apply.observed import Observed
from bench.errors import InputError
from bench.show.tables import Table
from causalrec.graph import Graph
from causalrec.structure.resampling import KINDS, EdgeConfidence, check

ROWS_SHOWN = 100
LIKELY = 0.5  # from where on an edge that the graph lacks is listed


@dataclass(frozen=True)
class Resampling:
    """How resamples are drawn.

    Args:
        bootstrap: How many.
        resample: A kind of `causalrec.structure.resampling`.
        calibrate: Worlds that frequencies are calibrated on; 0 for none.
    """

    bootstrap: int
    resample: str = "bootstrap"
    calibrate: int = 0

    @property
    def words(self) -> str:
        """What they add to the time, in words."""
        worlds = f" of the rows and of {self.calibrate} worlds" if self.calibrate else ""
        return f"and on {self.bootstrap} resamples{worlds}"


def asked_for(bootstrap: int | None, resample: str, calibrate: int) -> Resampling | None:
    """Return what the options of the command ask for, None for no resamples.

    Args:
        bootstrap: As given, None if it was not.
        resample: Likewise.
        calibrate: Likewise.

    Raises:
        InputError: An option out of range, or one that says how without --bootstrap.
    """
    if bootstrap is None:
        if resample != KINDS[0] or calibrate:
            raise InputError("--resample and --calibrate say how resamples are used; say how many with --bootstrap")
        return None
    check(bootstrap, resample, calibrate)
    return Resampling(bootstrap, resample, calibrate)


def check_rows(observed: Observed) -> None:
    """Raise InputError where there are no rows to draw from.

    Args:
        observed: What a graph is to be learned from.
    """
    if observed.problems.rows is None:
        raise InputError("--bootstrap draws rows, and the file holds a covariance; give the samples, or leave it out")


def table(graph: Graph) -> Table:
    """Show the edges of a graph, and those it lacks that are likely, the surest first.

    Args:
        graph: With its confidence.
    """
    found, rows = _confidence(graph), _rows(graph)
    lacking = sum(row["weight"] is None for row in rows)
    head = "probability" if found.worlds else "frequency"
    told = f"{found.resamples} resamples by {found.kind}; {head}: of the edge in this direction; direction: of that "
    told += "given an edge between the two; error: standard error of the frequency, which more resamples lower."
    told += (
        f" Calibrated on {found.worlds} simulated worlds like the one found."
        if found.worlds else " A frequency is no probability, on few rows it is far too high: --calibrate 2."
    )  # fmt: skip
    told += f" {lacking} without a weight: not in the graph, yet found in half of the resamples." if lacking else ""
    told += f" {found.failed} failed and are left out, the first with: {found.failure}." if found.failed else ""
    more = f" The first {ROWS_SHOWN} of {len(rows)}; --json has all." if len(rows) > ROWS_SHOWN else ""
    cells = tuple(tuple(row.values()) for row in rows[:ROWS_SHOWN])
    columns = ("cause", "effect", "weight", head, "direction", "error")
    return Table("bootstrap", "How sure the edges are", columns, cells, told + more)


def document(graph: Graph) -> dict[str, Any]:
    """Return the confidence as plain values; matrices have the effect as row.

    Args:
        graph: With its confidence.
    """
    found = _confidence(graph)
    return {
        "resamples": found.resamples,
        "kind": found.kind,
        "failed": found.failed,
        "failure": found.failure,
        "calibrated_on_worlds": found.worlds,
        "frequency": found.frequency.tolist(),
        "probability": found.probability.tolist(),
        "edges": _rows(graph),
    }


def _rows(graph: Graph) -> list[dict[str, Any]]:
    """List every edge that is in the graph or likely, the surest first."""
    found, W = _confidence(graph), graph.W
    direction, error = found.direction, found.standard_error
    at = np.argwhere((W != 0) | (found.probability >= LIKELY)).tolist()
    at.sort(key=lambda place: (-found.probability[place[0], place[1]], -abs(W[place[0], place[1]])))
    return [
        {
            "cause": str(graph.names[j]), "effect": str(graph.names[i]),
            "weight": float(W[i, j]) if W[i, j] else None, "probability": float(found.probability[i, j]),
            "direction": None if np.isnan(direction[i, j]) else float(direction[i, j]),
            "error": float(error[i, j]),
        }
        for i, j in at
    ]  # fmt: skip


def _confidence(graph: Graph) -> EdgeConfidence:
    if graph.confidence is None:
        raise InputError("the graph has no confidence; learn it with resamples")
    return graph.confidence
