"""Why a penalised least-squares learner missed a graph whose exact covariance it had, by a certificate per graph.

On an exact covariance of equal noise variances the true graph has the least loss of all, so a miss has one of three
causes. *The threshold*: some other threshold on the same W gives the true graph. *The penalty*: the graph found has a
lower penalised loss than the true one, so the score itself prefers it. *A local optimum*: the true graph has the lower
penalised loss, and the search did not get there. The loss of a graph is the least over all W on its edges.
"""

import time

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell, Outcome
from bench.methods import learners
from bench.runners.structure import THRESHOLD
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.methods.streams import generator
from causalrec.structure import Floats, Problems, threshold_to_dag
from causalrec.structure.sparse import refit_along
from synth.graphs import topological_order
from synth.scoring import best_threshold_shd, shd

CAUSES = ("right", "the threshold", "the penalty", "a local optimum")
TIE = 1e-6  # of a loss: relative, above what the descent leaves
SWEEPS = 100_000


def run(cell: Cell) -> Outcome:
    """Fit `params.draws` exact covariances and name the cause of each miss.

    Arrays, one entry per draw: cause (index into CAUSES), shd, shd_refit (of least squares along the order of the graph
    found), gap (penalised loss of the graph found less that of the true one).

    Args:
        cell: its params are those of the experiment `misses`.
    """
    p = cell.params
    scms = [draw_world(p, draw) for draw in range(p["draws"])]
    truth = np.stack([scm.graph for scm in scms])
    problems = observe(p, scms)
    learner = learners.load(p["learner"], **p["options"])
    start = time.process_time()
    fits = learner.fit(problems, generator(root=p["root"], stream="learner", **world_axes(p), samples=None))
    seconds = time.process_time() - start
    found = threshold_to_dag(fits.W, THRESHOLD)[0] != 0
    distance, best = shd(truth, found), best_threshold_shd(truth, fits.W)
    sparsity = p["options"].get("sparsity", p["sparsity"])
    loss, of_truth = (
        np.array([penalised_loss(S, G, sparsity) for S, G in zip(problems.covariance, graphs, strict=True)])
        for graphs in (found, truth)
    )
    cause = np.select([distance == 0, best == 0, loss <= of_truth * (1 + TIE)], [0, 1, 2], 3)
    return Outcome(
        {
            "draws": len(cause), **{f"cause_{k}": int((cause == k).sum()) for k in range(len(CAUSES))},
            "not_converged": int((~fits.converged).sum()), "fit_cpu_s": seconds,
        },
        {"cause": cause, "shd": distance, "shd_refit": _refitted(problems, truth, found), "gap": loss - of_truth},
    )  # fmt: skip


def _refitted(problems: Problems, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """SHD (m,) of least squares along an order of each graph found: what the penalty's bias costs once it has one."""
    orders = np.stack([topological_order(graph) for graph in found])
    return shd(truth, np.abs(refit_along(problems, orders, "lasso_bic")) >= THRESHOLD)


def penalised_loss(covariance: Floats, graph: NDArray[np.bool_], sparsity: float) -> float:
    """The least of ½tr((I−W)S(I−W)ᵀ) + λ‖W‖₁ over W on the edges of a graph.

    By coordinate descent from least squares, of which λ moves little.

    Args:
        covariance: S, (n, n).
        graph: (n, n) bool; [i, j] is an edge j → i.
        sparsity: λ.
    """
    total = 0.0
    for i, parents in enumerate(graph):
        A = np.flatnonzero(parents)
        S, c = covariance[np.ix_(A, A)], covariance[A, i]
        w = np.linalg.lstsq(S, c)[0]
        for _ in range(SWEEPS if len(A) > 0 else 0):
            before = w.copy()
            for k in range(len(A)):
                pull = c[k] - S[k] @ w + S[k, k] * w[k]
                w[k] = np.sign(pull) * max(abs(pull) - sparsity, 0.0) / S[k, k]
            if np.abs(w - before).max() <= 1e-9:
                break
        total += float(0.5 * (covariance[i, i] - 2 * w @ c + w @ S @ w) + sparsity * np.abs(w).sum())
    return total
