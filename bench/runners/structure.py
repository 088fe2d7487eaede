"""Recovery of known DAGs: draw SCMs, let one learner fit them all, score what it found draw by draw."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, Outcome, generator
from bench.learners import load
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.structure import Problems, threshold_to_dag
from synth.errors import InputError
from synth.graphs import topological_order
from synth.scoring import f1, fdr, order_accuracy, shd, tpr
from synth.sortability import r2_sortability, varsortability
from synth.violations import World

THRESHOLD = 0.3
Floats: TypeAlias = NDArray[np.float64]


def run(cell: Cell) -> Outcome:
    """Fit `params.draws` problems and return per-draw scores; params are those of `experiments.recovery.plan_cell`."""
    p = cell.params
    scms = [draw_world(p, draw) for draw in range(p["draws"])]
    problems = observe(p, scms)
    learner = load(p["learner"], **p["options"])
    start = time.process_time()
    fits = learner.fit(problems, generator(root=p["root"], stream="learner", **world_axes(p), samples=p["samples"]))
    seconds = time.process_time() - start
    weights, removed = threshold_to_dag(fits.W, THRESHOLD)
    truth, found = np.stack([scm.graph for scm in scms]), weights != 0
    distance = shd(truth, found)
    orders = [fits.order[k] if fits.order is not None else topological_order(found[k]) for k in range(len(scms))]
    arrays = {
        "shd": distance,
        "shd_rev2": shd(truth, found, reversal_cost=2),
        "tpr": tpr(truth, found),
        "fdr": fdr(truth, found),
        "f1": f1(truth, found),
        "h": fits.h,
        "converged": fits.converged,
        "iterations": fits.iterations,
        "removed_edges": removed,
        "true_edges": truth.sum((1, 2)),
        "order_accuracy": np.array(
            [np.nan if (share := order_accuracy(t, o)) is None else share for t, o in zip(truth, orders, strict=True)]
        ),
        "varsortability": _sortability(varsortability, scms, problems),
        "r2_sortability": _sortability(r2_sortability, scms, problems),
    }
    arrays |= {f"trace_{name}": values for name, values in (fits.trace or {}).items()}
    return Outcome(
        {
            "median_shd": float(np.median(distance)),
            "mean_shd": float(distance.mean()),
            "exact": int((distance == 0).sum()),
            "draws": len(distance),
            "h_max": float(fits.h.max()),
            "removed_edges": int(removed.sum()),
            "not_converged": int((~fits.converged).sum()),
            "fit_cpu_s": seconds,
        },
        arrays,
    )


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
