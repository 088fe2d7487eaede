"""The global optimum over all causal orders, by dynamic programming over subsets, for up to 14 nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from causalrec.errors import InputError
from causalrec.structure import Fits, Floats, Integers, Problems
from causalrec.structure.sparse import Refit, check_refit, refit_along

Score = Literal["equal", "equal_l1", "unequal"]
Row = Callable[[int, int], Floats]

_NODES = 14
_EXACT_PENALTY = 1e-8  # BIC's log(s)/(2s) per edge on an exact covariance, as for about 1e9 samples
_TIE = {"equal": 1e-12, "equal_l1": 1e-12, "unequal": 1e-10}  # above rounding; the first two in units of tr S
_RIDGE = 1e-10  # of each variance, so that every Gram matrix of a lasso can be inverted
_KKT = 1e-10  # in units of sqrt(S_jj S_kk)
_STEPS = 30  # active-set steps per variable before a lasso counts as failed
_CHUNK = 4096  # lassos solved at once, so that their inverses stay in cache


@dataclass(frozen=True)
class Exact:
    """The graph of least score among all DAGs, which no search over orders can beat (Silander & Myllymäki 2006).

    P(j) are the predecessors of j in an order, S is a covariance (n, n) and s the number of samples. The scores:

    - `equal`: min over orders of Σ_j Var(j | P(j)), the Gaussian likelihood of equal noise variances. W is least
      squares on all predecessors, to be thresholded.
    - `equal_l1`: min over DAGs of ½tr((I−W)S(I−W)ᵀ) + λ‖W‖₁, which `notears` minimises up to its rounding of |w|. W is
      the optimum itself. Its n·2ⁿ⁻¹ lassos satisfy the KKT conditions to 1e-10 √(S_jj S_kk), with a ridge of 1e-10 S_kk
      that makes them unique; `converged` says whether all lassos of a problem did.
    - `unequal`: min over DAGs of Σ_j ½ log Var(j | parents) + ½ log(s)/s · |parents|, the BIC per sample with one
      variance per node. W is least squares on the parents. A covariance identifies such a graph only up to Markov
      equivalence; the orientation within the class is arbitrary. On an exact covariance the penalty is 1e-8 per edge:
      the sparsest of equal likelihoods, and no edge that explains less. Variances below rounding, 4nε S_jj, count as
      that.

    The order returned is the lexicographically least among those within rounding of the best (1e-12 tr S, and 1e-10 for
    `unequal`), so ties go to the lowest index. trace score, (1, m), is the optimum. Memory: n²·2ⁿ floats, 26 MB at 14
    nodes; twice that for `equal_l1`.

    Args:
        score: `equal` (default), `equal_l1` or `unequal`.
        sparsity: λ of `equal_l1`, above 0, default 0.02.
        refit: as in `sparse.refit_along`, default `least_squares`; only for `equal`.

    Raises:
        InputError: an option out of range.
    """

    score: Score = "equal"
    sparsity: float = 0.02
    refit: Refit = "least_squares"
    name: ClassVar[str] = "exact"

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise InputError(f"exact: score is {self.score!r}; choose one of {', '.join(get_args(Score))}")
        if not 0 < self.sparsity < np.inf:
            raise InputError(f"exact: sparsity is {self.sparsity}; give a number above 0")
        check_refit(self.name, self.refit)
        if self.score != "equal" and self.refit != "least_squares":
            raise InputError(f"exact: refit is {self.refit!r}, but {self.score} chooses its own edges; leave it out")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one W, its order and its score per problem.

        Raises:
            InputError: more than 14 nodes.
        """
        m, n, _ = problems.covariance.shape
        _refuse_large(n)
        W, order = np.zeros((m, n, n)), np.zeros((m, n), dtype=np.int64)
        optimum, converged = np.zeros(m), np.ones(m, dtype=bool)
        for p, S in enumerate(problems.covariance):
            cost, row, converged[p] = self._costs(S, problems.samples)
            tie = _TIE[self.score] * (1.0 if self.score == "unequal" else float(np.trace(S)))
            order[p], optimum[p] = _best_order(cost, tie)
            for j, before in zip(order[p], _predecessors(order[p]), strict=True):
                W[p, j] = row(j, before)
        if self.refit != "least_squares":
            W = refit_along(problems, order, self.refit)
        ones = np.ones(m, dtype=np.int64)
        return Fits(W, np.zeros(m), converged, ones, order, trace={"score": optimum[None]})

    def score_given(self, problems: Problems, graph: ArrayLike) -> Floats:
        """Return the least score (m,) over the orders in which every edge of a graph runs forward.

        Given the true graph, this is the optimum exactly if some order of the truth is optimal.

        Args:
            problems: m problems of n variables.
            graph: (m, n, n); [p, i, j] not 0 puts j before i. A whole order is the graph of all its pairs.

        Raises:
            InputError: more than 14 nodes, another shape, or a cycle.
        """
        edges = np.asarray(graph) != 0
        if edges.shape != problems.covariance.shape:
            shape = problems.covariance.shape
            raise InputError(f"exact: graph has shape {edges.shape}; give {shape}, as the covariances")
        _refuse_large(edges.shape[1])
        sets, _ = _subsets(edges.shape[1])
        scores = np.zeros(len(edges))
        for p, (S, causes) in enumerate(zip(problems.covariance, edges, strict=True)):
            cost = self._costs(S, problems.samples)[0]
            for j, needed in enumerate(causes @ (1 << np.arange(len(S)))):
                cost[j, (needed & ~sets) != 0] = np.inf
            scores[p] = _to_come(cost)[0]
            if np.isinf(scores[p]):
                raise InputError(f"exact: graph {p} has a cycle, so that no order agrees with it; give a DAG")
        return scores

    def _costs(self, S: Floats, samples: int | None) -> tuple[Floats, Row, bool]:
        """Return cost (n, 2ⁿ) of j after a set (+inf if j is in it), j's row of W after a set, and whether all are
        solved.
        """
        n = len(S)
        sets, member = _subsets(n)
        if self.score == "equal_l1":
            w, solved = _all_lassos(S, self.sparsity)
            cost = np.stack([_lasso_objective(S, self.sparsity, np.full(len(sets), j), w[j]) for j in range(n)])
            cost[member.T] = np.inf
            return cost, lambda j, before: w[j, before], solved
        swept = _sweeps(S)
        variance = np.maximum(swept.diagonal(axis1=1, axis2=2).T, _rounding(S)[:, None])
        if self.score == "equal":
            return np.where(member.T, np.inf, variance), lambda j, before: swept[before, j] * member[before], True
        local = 0.5 * np.log(variance) + _penalty(samples) * member.sum(1)
        local[member.T] = np.inf
        cost = local.copy()
        for k in range(n):  # the least over all subsets, one element at a time
            without, with_k = cost.reshape(n, -1, 2, 1 << k).transpose(2, 0, 1, 3)
            np.minimum(with_k, np.where(np.isinf(with_k), np.inf, without), out=with_k)

        def row(j: int, before: int) -> Floats:
            allowed = sets[(sets & ~before) == 0]
            score = local[j, allowed]
            parents = allowed[np.argmax(score <= score.min() + _TIE["unequal"])]
            return np.asarray(swept[parents, j] * member[parents])

        return cost, row, True


def _best_order(cost: Floats, tie: float) -> tuple[Integers, float]:
    """Return the lexicographically least order within ties of the least sum of cost (n, 2ⁿ) along it, and that sum."""
    n = len(cost)
    bit = 1 << np.arange(n)
    to_come = _to_come(cost)
    order = np.empty(n, dtype=np.int64)
    before = 0
    for k in range(n):
        order[k] = np.argmax(cost[:, before] + to_come[before | bit] <= to_come[before] + tie)
        before |= 1 << int(order[k])
    return order, float(to_come[0])


def _to_come(cost: Floats) -> Floats:
    """Return (2ⁿ,): the least sum of cost (n, 2ⁿ) over the orders of the variables outside each set."""
    n = len(cost)
    sets, member = _subsets(n)
    size, bit = member.sum(1), 1 << np.arange(n)
    to_come = np.zeros(1 << n)
    for k in reversed(range(n)):
        level = sets[size == k]
        to_come[level] = (cost[:, level] + to_come[level | bit[:, None]]).min(0)
    return to_come


def _sweeps(S: Floats) -> Floats:
    """Return (2ⁿ, n, n): S swept on every set of variables (Goodnight 1979); set number Σ 2^k holds its variables k.

    Entry [P] holds the covariance given P outside P, the coefficients of i on P in row i, and −S_PP⁻¹ inside P. A
    variable that others of its set determine explains nothing further: coefficient 0.
    """
    n = len(S)
    smallest = _rounding(S)
    swept = np.empty((1 << n, n, n))
    swept[0] = S
    for k in range(n):
        old, new = swept[: 1 << k], swept[1 << k : 2 << k]
        determined = old[:, k, k] <= smallest[k]
        column = np.where(determined[:, None], 0.0, old[:, :, k])
        pivot = np.where(determined, 1.0, old[:, k, k])
        share = column / pivot[:, None]
        np.multiply(column[:, :, None], share[:, None, :], out=new)
        np.subtract(old, new, out=new)
        new[:, :, k] = new[:, k, :] = share
        new[:, k, k] = -1 / pivot
    return swept


def _all_lassos(S: Floats, sparsity: float) -> tuple[Floats, bool]:
    """Return w (n, 2ⁿ, n), the lasso of each variable on each set without it, and whether all converged.

    Each lasso starts from the solution on the set without its last element.
    """
    n = len(S)
    swept = _sweeps(_ridged(S))
    w = np.zeros((n, 1 << n, n))
    solved = True
    for k in range(n):
        targets, sets = np.nonzero(~_subsets(n)[1][: 1 << k].T)
        targets, sets = targets[targets != k], sets[targets != k]
        for start in range(0, len(sets), _CHUNK):
            j, P = targets[start : start + _CHUNK], sets[start : start + _CHUNK]
            w[j, P | 1 << k], certified = _lassos(S, swept, sparsity, j, P | 1 << k, w[j, P])
            solved &= certified
    return w, solved


def _lassos(
    S: Floats, swept: Floats, sparsity: float, targets: Integers, sets: Integers, start: Floats
) -> tuple[Floats, bool]:
    """Minimise ½wᵀSw − wᵀS_j + λ‖w‖₁ over w in the set, for many (target j, set), and return whether all converged.

    Active sets: each step moves towards the minimum on the active variables at their signs, and drops the first that
    would change its sign; once there, the inactive variable that violates KKT most becomes active. The objective falls
    in every step, so the search ends (Lee, Battle, Raina & Ng 2007, feature-sign search). start (b, n) must be 0
    outside the sets.
    """
    n = len(S)
    member = _subsets(n)[1]
    bit = 1 << np.arange(n)
    gram, scale = _ridged(S), np.sqrt(S.diagonal())
    w, sign = start.copy(), np.sign(start)
    left, settled = np.arange(len(w)), np.ones(len(w), dtype=bool)
    for _ in range(_STEPS * n):
        j = targets[left]
        gradient = w[left] @ gram - S[j]
        excess = np.abs(gradient) - sparsity - _KKT * scale * scale[j, None]
        excess[~member[sets[left]] | (sign[left] != 0)] = -np.inf
        worst = excess.argmax(1)
        each = np.arange(len(left))
        enter = settled & (excess[each, worst] > 0)
        sign[left[enter], worst[enter]] = -np.sign(gradient[enter, worst[enter]])
        left = left[enter | ~settled]
        if not len(left):
            break
        now, signs = w[left], sign[left]
        active = signs != 0
        inverse = swept[active @ bit]
        rhs = (S[targets[left]] - sparsity * signs) * active
        goal = -(inverse @ rhs[:, :, None])[:, :, 0] * active
        # Refined once: for nearly collinear variables the inverse alone is too rough to settle the signs.
        goal -= (inverse @ ((rhs - goal @ gram) * active)[:, :, None])[:, :, 0] * active
        crossing = active & (goal * signs <= 0)
        length = np.where(crossing, np.abs(now) / np.maximum(np.abs(now) + np.abs(goal), 1e-300), np.inf)
        first, settled = length.argmin(1), ~crossing.any(1)
        step = length.min(1, keepdims=True)
        w[left] = np.where(settled[:, None], goal, now + np.minimum(step, 1) * (goal - now))
        sign[left[~settled], first[~settled]] = 0
    return w, not len(left)


def _lasso_objective(S: Floats, sparsity: float, targets: Integers, w: Floats) -> Floats:
    """Return ½Var(x_j − w·x) + λ‖w‖₁ for each target j and row of w (b, n)."""
    explained = (w * (w @ S - 2 * S[targets])).sum(1)
    return np.asarray(0.5 * (S[targets, targets] + explained) + sparsity * np.abs(w).sum(1))


@lru_cache
def _subsets(n: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Return all sets of n variables as integers (2ⁿ,), and the members of each, bool (2ⁿ, n)."""
    sets = np.arange(1 << n)
    member = (sets[:, None] >> np.arange(n) & 1).astype(bool)
    sets.setflags(write=False)
    member.setflags(write=False)
    return sets, member


def _predecessors(order: Integers) -> Integers:
    """Return, for each variable of the order, the set of those before it."""
    bit = 1 << order
    return np.asarray(np.cumsum(bit) - bit)


def _ridged(S: Floats) -> Floats:
    return S + np.diag(_RIDGE * S.diagonal())


def _rounding(S: Floats) -> Floats:
    """Return (..., n): conditional variances up to this are 0 but for rounding."""
    return np.asarray(4 * S.shape[-1] * np.finfo(np.float64).eps * S.diagonal(axis1=-2, axis2=-1))


def _penalty(samples: int | None) -> float:
    return _EXACT_PENALTY if samples is None else float(np.log(samples)) / (2 * samples)


def _refuse_large(nodes: int) -> None:
    if nodes > _NODES:
        raise InputError(
            f"exact: {nodes} nodes; its tables hold all 2^n sets of them, at most {_NODES} nodes. "
            "Give fewer, or take eqvar or notears, which search but do not certify"
        )
