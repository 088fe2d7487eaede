"""Why a learner missed: not identifiable, too few samples, or the optimiser (`shared/design/claims.md`).

Each learner stands for a score. The score's optimum over all causal orders, found by exact search, is held against
the truth twice: on the exact covariance and on the covariance at this n. A graph counts as right if, thresholded, it
is the true one.
"""

import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, Outcome, generator
from bench.learners import load
from bench.runners.structure import THRESHOLD
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.structure import Problems, threshold
from causalrec.structure.exact import Exact
from causalrec.structure.oracle import Oracle
from synth.scoring import shd

Floats: TypeAlias = NDArray[np.float64]
CAUSES = ("right", "not identifiable", "too few samples", "the optimiser")
TIE = 1e-9  # relative: sums over orders differ by rounding where theory says equal


def run(cell: Cell) -> Outcome:
    """Fit `params.draws` problems and name each miss's cause; params are those of `experiments.attribution.plan`.

    Arrays, one entry a draw: cause (index into CAUSES), right, right_at_n and right_on_exact of the score's optimum,
    and order_optimal: whether on the exact covariance no order has a better score than those of the true graph.
    """
    p = cell.params
    scms = [draw_world(p, draw) for draw in range(p["draws"])]
    truth = np.stack([scm.graph for scm in scms])
    problems, population = observe(p, scms), observe({**p, "samples": None}, scms)
    learner = load(p["learner"], **p["options"])
    start = time.process_time()
    fits = learner.fit(problems, generator(root=p["root"], stream="learner", **world_axes(p), samples=p["samples"]))
    fitted = time.process_time()
    right = _right(truth, fits.W)
    right_at_n = _right(truth, optimum(problems, p["score"])[0])
    W, best = optimum(population, p["score"])
    right_on_exact = _right(truth, W)
    given_truth = Exact(**_options(p["score"])).score_given(population, truth)
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
            "order_optimal": given_truth <= best * (1 + TIE),
        },
    )  # fmt: skip


def optimum(problems: Problems, score: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """W (m, n, n) at the score's optimum over all orders, and that optimum (m,).

    score: the options of `Exact`; with `refit`, the order is the optimum's and W is refit along it.
    """
    nothing_random = np.random.default_rng(0)
    fits = Exact(**_options(score)).fit(problems, nothing_random)
    assert fits.trace is not None
    best = fits.trace["score"][0]
    if "refit" not in score:
        return fits.W, best
    ordered = Problems(problems.covariance, problems.samples, fits.order)
    return Oracle(refit=score["refit"]).fit(ordered, nothing_random).W, best


def _options(score: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in score.items() if name != "refit"}


def _right(truth: NDArray[np.bool_], W: Floats) -> NDArray[np.bool_]:
    """Whether each thresholded graph is the true one."""
    return np.asarray(shd(truth, threshold(W, THRESHOLD) != 0) == 0)
