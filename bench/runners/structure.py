"""Recovery of known DAGs: draw worlds, let one learner fit them all, score what it found draw by draw.

A learner that returns an equivalence class is scored as such: an undirected edge is an error against the true DAG, and
only edges that it directs count as found. A draw on which a learner failed is scored as the empty graph, and counted.
"""

import contextlib
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.cells.unit import Cell, Outcome
from bench.methods import learners
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.errors import InputError
from causalrec.methods.streams import generator
from causalrec.structure import Fits, Problems, threshold, threshold_to_dag
from causalrec.structure.sortability import r2_sortability, varsortability
from synth.graphs import is_dag, topological_order
from synth.scoring import best_threshold_shd, cpdag, cpdag_shd, f1, fdr, order_accuracy, shd, tpr
from synth.violations import World

THRESHOLD = 0.3
TINY = 1e-8  # a weight whose square, which is what h sees, is under the rounding of 1
Floats: TypeAlias = NDArray[np.float64]
Graphs: TypeAlias = NDArray[np.bool_]


class LearnerFailed(RuntimeError):
    """A learner that failed on every draw of a cell: there is nothing to score."""


def run(cell: Cell) -> Outcome:
    """Fit `params.draws` problems and return scores per draw.

    Arrays, one value per draw: shd, shd_rev2, tpr, fdr, f1 at the threshold 0.3 with cycles cut; shd_best, the least
    over all thresholds (an oracle's choice); cpdag_shd, between the true and the found equivalence class; h of the
    dense W; cyclic, whether its |w| > 1e-8 have a cycle, cyclic_thresholded, whether those kept at 0.3 had one before
    it was cut, removed_edges, how many that took; failed; order_accuracy, NaN if no order was found; and the rest as
    named. A learner that does not report its iterations has -1 there.

    Args:
        cell: its params are those of the experiment `recovery`.

    Raises:
        LearnerFailed: no draw was fitted.
    """
    p = cell.params
    scms = [draw_world(p, draw) for draw in range(p["draws"])]
    problems = observe(p, scms, rows=learners.needs_rows(p["learner"]))
    learner = learners.load(p["learner"], **p["options"])
    start = time.process_time()
    fits = learner.fit(problems, generator(root=p["root"], stream="learner", **world_axes(p), samples=p["samples"]))
    seconds = time.process_time() - start
    messages = [error for error in fits.errors or () if error]
    if len(messages) == len(scms):
        raise LearnerFailed(f"{p['learner']} failed on all of {len(scms)} draws, first with: {messages[0]}")
    truth = np.stack([scm.graph for scm in scms])
    failed = np.array([bool(error) for error in fits.errors or [""] * len(scms)])
    arrays = _score(truth, fits, failed) | {
        "h": fits.h,
        "converged": fits.converged,
        "iterations": fits.iterations,
        "failed": failed,
        "true_edges": truth.sum((1, 2)),
        "max_parents": truth.sum(2).max(1),
        "varsortability": _sortability(varsortability, scms, problems),
        "r2_sortability": _sortability(r2_sortability, scms, problems),
    }
    arrays |= {f"trace_{name}": values for name, values in (fits.trace or {}).items()}
    told = fits.iterations[fits.iterations >= 0]
    metrics = {
        "median_shd": float(np.median(arrays["shd"])),
        "mean_shd": float(arrays["shd"].mean()),
        "median_shd_best": float(np.median(arrays["shd_best"])),
        "median_cpdag_shd": float(np.median(arrays["cpdag_shd"])),
        "exact": int((arrays["shd"] == 0).sum()),
        "draws": len(scms),
        "h_max": float(fits.h.max()),
        "cyclic": int(arrays["cyclic"].sum()),
        "cyclic_thresholded": int(arrays["cyclic_thresholded"].sum()),
        "removed_edges": int(arrays["removed_edges"].sum()),
        "not_converged": int((~fits.converged).sum()),
        "median_iterations": float(np.median(told)) if len(told) else None,
        "failures": len(messages),
        "first_failure": messages[0] if messages else None,
        "fit_cpu_s": seconds,
    }
    if p["learner"].startswith("peer."):
        metrics["peer_version"] = learners.identity(p["learner"])
    return Outcome(metrics, arrays)


def _score(truth: Graphs, fits: Fits, failed: Graphs) -> dict[str, NDArray[np.generic]]:
    """What depends on the graphs found, by name."""
    dags, removed = threshold_to_dag(fits.W, THRESHOLD)
    found = dags != 0
    if fits.cpdag is None:
        classes, best = cpdag(found), best_threshold_shd(truth, fits.W)
        distance, doubled = shd(truth, found), shd(truth, found, reversal_cost=2)
        orders = fits.order if fits.order is not None else [topological_order(graph) for graph in found]
    else:
        classes, found = fits.cpdag, fits.cpdag & ~fits.cpdag.mT
        removed, orders = np.zeros_like(removed), None
        distance = best = cpdag_shd(truth, classes)
        doubled = distance + (truth & found.mT).sum((1, 2))
    return {
        "shd": distance,
        "shd_rev2": doubled,
        "shd_best": np.minimum(distance, best),
        "cpdag_shd": cpdag_shd(cpdag(truth), classes),
        "tpr": tpr(truth, found),
        "fdr": fdr(truth, found),
        "f1": f1(truth, found),
        "cyclic": ~is_dag(np.abs(fits.W) > TINY),
        "cyclic_thresholded": ~is_dag(threshold(fits.W, THRESHOLD) != 0),
        "removed_edges": removed,
        "order_accuracy": _order_accuracy(truth, orders, failed),
    }


def _order_accuracy(truth: Graphs, orders: ArrayLike | None, failed: Graphs) -> Floats:
    """One value a draw; NaN where there is no true edge, or no order found."""
    values = np.full(len(truth), np.nan)
    for draw in np.flatnonzero(~failed) if orders is not None else ():
        share = order_accuracy(truth[draw], np.asarray(orders)[draw])
        values[draw] = np.nan if share is None else share
    return values


def _sortability(
    measure: Callable[[Floats, Floats], float | None], scms: list[World], problems: Problems
) -> Floats:
    """One value a problem; NaN where there is none: no path, or for R² a singular covariance."""
    values = np.full(len(scms), np.nan)
    for index, (scm, covariance) in enumerate(zip(scms, problems.covariance, strict=True)):
        with contextlib.suppress(InputError):
            value = measure(scm.B, covariance)
            values[index] = np.nan if value is None else value
    return values
