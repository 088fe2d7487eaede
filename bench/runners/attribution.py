"""Why a learner missed a graph: not identifiable, too few samples, or the optimiser.

Each learner stands for a score. The score's optimum over all causal orders, found by exact search, is compared with the
truth twice: on the exact covariance and on the covariance at this n. A graph is right if, thresholded, it is the true
one.
"""

import time
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell, Outcome
from bench.methods import learners
from bench.runners.structure import THRESHOLD
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.methods.streams import generator
from causalrec.structure import threshold
from causalrec.structure.exact import Exact
from synth.scoring import shd

Floats: TypeAlias = NDArray[np.float64]
CAUSES = ("right", "not identifiable by its score", "too few samples", "the optimiser")
TIE = 1e-9  # relative: sums over orders differ by rounding where theory says equal


def run(cell: Cell) -> Outcome:
    """Fit `params.draws` problems and name the cause of each miss.

    Arrays, one entry per draw: cause (index into CAUSES), right, right_at_n and right_on_exact of the score's optimum,
    and order_optimal: whether on the exact covariance no order has a better score than those of the true graph.

    Args:
        cell: its params are those of the experiment `attribution`.
    """
    p = cell.params
    scms = [draw_world(p, draw) for draw in range(p["draws"])]
    truth = np.stack([scm.graph for scm in scms])
    problems, population = observe(p, scms), observe({**p, "samples": None}, scms)
    learner = learners.load(p["learner"], **p["options"])
    start = time.process_time()
    fits = learner.fit(problems, generator(root=p["root"], stream="learner", **world_axes(p), samples=p["samples"]))
    fitted = time.process_time()
    right = _right(truth, fits.W)
    score, nothing_random = Exact(**p["score"]), np.random.default_rng(0)
    right_at_n = _right(truth, score.fit(problems, nothing_random).W)
    optimum = score.fit(population, nothing_random)
    right_on_exact = _right(truth, optimum.W)
    assert optimum.trace is not None
    best, given_truth = optimum.trace["score"][0], score.score_given(population, truth)
    searched = time.process_time()
    cause = np.select([right, ~right_on_exact, ~right_at_n], [0, 1, 2], 3)
    return Outcome(
        {
            "draws": len(cause),
            **{f"cause_{index}": int((cause == index).sum()) for index in range(len(CAUSES))},
            "fit_cpu_s": fitted - start,
            "search_cpu_s": searched - fitted,
        },
        {
            "cause": cause, "right": right, "right_at_n": right_at_n, "right_on_exact": right_on_exact,
            "order_optimal": given_truth <= best + TIE * np.abs(best),
        },
    )  # fmt: skip


def _right(truth: NDArray[np.bool_], W: Floats) -> NDArray[np.bool_]:
    """Whether each thresholded graph is the true one."""
    return np.asarray(shd(truth, threshold(W, THRESHOLD) != 0) == 0)
