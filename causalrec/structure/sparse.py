"""Refits of each variable on its predecessors in an order: on all of them, or on a few chosen by the BIC; batched.

A search keeps one regression per variable of each problem and moves all of them at once: one predecessor enters or
leaves the support of each, at the cost of one product with the correlation matrix.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from causalrec.errors import InputError
from causalrec.structure import Floats, Integers, Problems
from causalrec.structure.regression import regress_on_predecessors

Refit = Literal["least_squares", "lasso_bic", "bic"]

EPSILON = float(np.finfo(np.float64).eps)
# Rows of regressions searched at once, times nodes, so that their arrays fit into a core's cache.
CHUNK = 2**16
# Events without a lower BIC after which an adaptive lasso's path ends: twice the longest wait for the least one seen on
# 3,500 paths of 20 to 200 nodes. A plain path meets noise earlier and may wait longer.
PATIENCE = 20


def check_refit(learner: str, refit: str) -> None:
    """Raise InputError unless refit is one of `Refit`.

    Args:
        learner: name of the learner, for the message.
        refit: the name to check.
    """
    if refit not in get_args(Refit):
        raise InputError(f"{learner}: refit is {refit!r}; choose one of {', '.join(get_args(Refit))}")


@dataclass(frozen=True)
class Refitted:
    """Base of learners whose only option is the refit along their order.

    Args:
        refit: as in `refit_along`, default `least_squares`.

    Raises:
        InputError: an unknown refit.
    """

    refit: Refit = "least_squares"
    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_refit(self.name, self.refit)


def refit_along(problems: Problems, order: Integers, refit: Refit) -> Floats:
    """Return W (m, n, n) float64 of each variable on some of its predecessors; zero elsewhere.

    - `least_squares`: on all predecessors, as `regress_on_predecessors`.
    - `bic`: on the result of a stepwise search that starts empty and makes the one entry or exit that lowers
      BIC = s log RSS + size log s most (Schwarz 1978), until none does.
    - `lasso_bic`: on the support of least BIC on the path of the adaptive lasso (Zou 2006), penalty Σ |b_j| / |b̂_j|
      with b̂ the least squares on all predecessors, of variables scaled to variance 1. With fewer than 2 n samples b̂
      says little, and the lasso is the plain one.

    The last two then take least squares on the support. No support has more than s / log s variables: near s every RSS
    is 0 and the BIC has no meaning. On an exact covariance (`problems.samples` None) there is no noise to guard
    against; both then take least squares on all predecessors and drop those without which the RSS grows by no more than
    rounding, 4 n ε of the variance.

    Args:
        problems: m problems of n variables.
        order: (m, n) int64, causes first.
        refit: one of these three.
    """
    S = problems.covariance
    W = regress_on_predecessors(S, order)
    if refit == "least_squares":
        return W
    m, n, _ = S.shape
    place = (np.arange(m)[:, None, None], order[:, :, None], order[:, None, :])
    scale = np.sqrt(np.take_along_axis(S.diagonal(axis1=1, axis2=2), order, 1))
    ratio = scale[:, :, None] / scale[:, None, :]
    R = S[place] / scale[:, :, None] / scale[:, None, :]
    full = W[place] / ratio
    if problems.samples is None:
        b = np.where(_losses(R, full) > 4 * n * EPSILON, full, 0.0)
    else:
        search = _stepwise if refit == "bic" else partial(_lasso, adaptive=problems.samples >= 2 * n)
        b = np.zeros((m, n, n))
        for rows in _chunks(m * n, n):
            problem, response = np.divmod(rows, n)
            most = int(response.max()) + 1  # no regression here looks beyond these variables
            some = search(R[:, :most, :most], full[problem, response, :most], problem, response, problems.samples)
            b[problem, response, :most] = some
        # The search's updates accumulate rounding: solve afresh, so that W depends only on the support.
        for problem, i in np.argwhere(b.any(2)):
            A = np.flatnonzero(b[problem, i])
            b[problem, i, A] = np.linalg.solve(R[problem][np.ix_(A, A)], R[problem, A, i])
    refitted = np.zeros_like(W)
    refitted[place] = b * ratio
    return refitted


def _chunks(rows: int, nodes: int) -> list[Integers]:
    return np.array_split(np.arange(rows), -(-rows * nodes // CHUNK))


def _losses(R: Floats, full: Floats) -> Floats:
    """Return (m, n, n): the growth of the RSS of variable i on all before it when j is left out, where R is in order.

    It is b_ij² over the precision of j among those before i, the running sum over j <= l < i of (I − b)_lj² / RSS_l. A
    variable that those before it determine is in no regression, so it adds no precision.
    """
    n = R.shape[1]
    rss = 1 - (full * R).sum(2)
    rss = np.where(rss > 4 * n * EPSILON, rss, np.inf)
    precision = np.cumsum((np.eye(n) - full) ** 2 / rss[:, :, None], axis=1)
    losses = np.zeros_like(full)
    np.divide(full[:, 1:] ** 2, precision[:, :-1], out=losses[:, 1:], where=full[:, 1:] != 0)
    return losses


class _Regressions:
    """One regression per row: of variable `response` of problem `problem` on a support that grows and shrinks.

    Slots hold the support: variables `slots` (rows, s), the inverse M (rows, s, s) of their correlations; free slots
    are 0 in M. variance, covariance (rows, n): of each variable, and of it and the response, given the support.
    """

    def __init__(self, R: Floats, problem: Integers, response: Integers) -> None:
        self.R, self.problem, self.response = R, problem, response
        self.before = np.arange(R.shape[1]) < self.response[:, None]
        self.support = np.zeros_like(self.before)
        self.slots = np.zeros((len(problem), 4), dtype=np.int64)
        self.used = np.zeros((len(problem), 4), dtype=bool)
        self.M = np.zeros((len(problem), 4, 4))
        self.variance = np.ones(self.before.shape)
        self.covariance = R[self.problem, self.response]

    @property
    def rss(self) -> Floats:
        """Residual variance of each response, above 0."""
        each = np.arange(len(self.response))
        return np.maximum(self.variance[each, self.response], EPSILON)

    @property
    def coefficients(self) -> Floats:
        """Least squares on the support, (rows, s) by slot."""
        moments = self.R[self.problem[:, None], self.slots, self.response[:, None]]
        return np.asarray((self.M @ moments[:, :, None])[:, :, 0])

    def spread(self, by_slot: Floats, rows: Integers | slice = slice(None)) -> Floats:
        """Return values by slot, (rows, s), as (rows, n)."""
        dense = np.zeros((len(by_slot), self.R.shape[1]))
        row, slot = np.nonzero(self.used[rows])
        dense[row, self.slots[rows][row, slot]] = by_slot[row, slot]
        return dense

    def open(self) -> NDArray[np.bool_]:
        """Return (rows, n): the predecessors that may enter; those that the support determines may not."""
        tolerance = 4 * self.R.shape[1] * EPSILON
        return np.asarray(self.before & ~self.support & (self.variance > tolerance))

    def correlate(self, by_slot: Floats, rows: Integers | slice = slice(None)) -> Floats:
        """Return (rows, n): correlation of every variable with the combination of the support that by_slot weighs."""
        weights, problem = self.spread(by_slot, rows), self.problem[rows]
        ends = [*np.flatnonzero(np.diff(problem)) + 1, len(problem)]
        for start, end in pairwise([0, *ends]):
            weights[start:end] = weights[start:end] @ self.R[problem[start]]
        return weights

    def enter(self, rows: Integers, variables: Integers) -> None:
        """Add one variable to the support of each of these rows."""
        if self.used[rows].all(1).any():
            grown = self.slots.shape[1]
            self.slots, self.used = (np.pad(a, ((0, 0), (0, grown))) for a in (self.slots, self.used))
            self.M = np.pad(self.M, ((0, 0), (0, grown), (0, grown)))
        slot = self.used[rows].argmin(1)
        moments = self.R[self.problem[rows][:, None], self.slots[rows], variables[:, None]]
        direction = -(self.M[rows] @ moments[:, :, None])[:, :, 0]
        residual = self.R[self.problem[rows], variables] + self.correlate(direction, rows)
        direction[np.arange(len(rows)), slot] = 1
        self.slots[rows, slot] = variables
        self._sweep(rows, slot, direction, residual, residual[np.arange(len(rows)), variables], True)

    def leave(self, rows: Integers, slot: Integers) -> None:
        """Remove the variable in one slot from the support of each of these rows."""
        direction = self.M[rows, slot]
        residual = self.correlate(direction, rows)
        self._sweep(rows, slot, direction, residual, direction[np.arange(len(rows)), slot], False)
        self.M[rows, slot, :] = 0
        self.M[rows, :, slot] = 0

    def _sweep(
        self, rows: Integers, slot: Integers, direction: Floats, residual: Floats, pivot: Floats, entering: bool
    ) -> None:
        """Make the rank-one update; pivot is the variance of what enters, or the precision of what leaves."""
        sign = 1 if entering else -1
        scaled = sign * direction / pivot[:, None]
        self.M[rows] += scaled[:, :, None] * direction[:, None, :]
        shift = sign * residual / pivot[:, None]
        self.variance[rows] -= shift * residual
        self.covariance[rows] -= shift * residual[np.arange(len(rows)), self.response[rows], None]
        self.used[rows, slot] = entering
        self.support[rows, self.slots[rows, slot]] = entering

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget the regressions of all other rows."""
        for name in ("problem", "response", "before", "support", "slots", "used", "M", "variance", "covariance"):
            setattr(self, name, getattr(self, name)[rows])


def _limit(samples: int) -> int:
    return min(samples - 2, int(samples / np.log(samples)))


def _stepwise(R: Floats, full: Floats, problem: Integers, response: Integers, samples: int) -> Floats:
    """Return coefficients (rows, n) of the stepwise search, in correlations; every move lowers the BIC, so it ends."""
    penalty = np.log(samples) / samples
    found = np.zeros_like(full)
    state, live = _Regressions(R, problem, response), np.arange(len(full))
    while len(live):
        each, rss = np.arange(len(live)), state.rss[:, None]
        share = np.divide(state.covariance**2, state.variance * rss, where=state.open(), out=np.zeros_like(found[live]))
        share[state.used.sum(1) >= _limit(samples)] = 0
        entry = share.argmax(1)
        gain = -np.log1p(-np.minimum(share[each, entry], 1 - EPSILON)) - penalty
        b = state.coefficients
        loss = np.divide(b**2, state.M.diagonal(axis1=1, axis2=2) * rss, where=state.used, out=np.full(b.shape, np.inf))
        exit_ = loss.argmin(1)
        saving = penalty - np.log1p(loss[each, exit_])
        enters, leaves = (gain > 0) & (gain >= saving), (saving > 0) & (saving > gain)
        done = ~(enters | leaves)
        found[live[done]] = state.spread(b)[done]
        if enters.any():
            state.enter(np.flatnonzero(enters), entry[enters])
        if leaves.any():
            state.leave(np.flatnonzero(leaves), exit_[leaves])
        if done.any():
            state.keep(~done)
            live = live[~done]
    return found


def _lasso(
    R: Floats, b_full: Floats, problem: Integers, response: Integers, samples: int, *, adaptive: bool
) -> Floats:
    """Return coefficients (rows, n), in correlations, of least squares on the lasso path's support of least BIC.

    The path is followed event by event (Osborne, Presnell & Turlach 2000). With signs z and weights w on the support A,
    b_A(λ) = M (c_A − λ w_A z_A), and the correlation of j with the residual is covariance_j + λ R_jA M w_A z_A. The
    next event is at the largest λ below the current one at which this reaches ± λ w_j for some j, which then enters, or
    a coefficient reaches 0 and leaves. The path ends when a variable would enter a support that is at its limit, when
    no larger support could win even with the RSS on all predecessors, after 8 n events, or, of an adaptive path, after
    `PATIENCE` without a lower BIC.
    """
    penalty = np.log(samples) / samples
    state, live = _Regressions(R, problem, response), np.arange(len(b_full))
    floor = np.log(np.maximum(1 - (b_full * state.covariance).sum(1), EPSILON))
    weights = np.ones_like(b_full)
    if adaptive:
        weights = np.divide(1, np.abs(b_full), where=b_full != 0, out=np.full_like(b_full, np.inf))
    found, sign, left = (np.zeros_like(b_full) for _ in range(3))
    least, level = np.full((2, len(b_full)), np.inf)
    best_at = np.zeros(len(b_full), dtype=np.int64)
    for event in range(8 * R.shape[1] + 1):
        each = np.arange(len(live))
        b = state.coefficients
        size = state.used.sum(1)
        bic = np.log(state.rss) + penalty * size
        better = bic < least[live]
        least[live[better]], best_at[live[better]] = bic[better], event
        found[live[better]] = state.spread(b)[better]

        place = (live[:, None], state.slots)
        pull = np.multiply(sign[place], weights[place], where=state.used, out=np.zeros_like(b))
        slope = (state.M @ pull[:, :, None])[:, :, 0]
        side = np.sign(state.covariance)
        slack = weights[live] - side * state.correlate(slope)
        may_enter = state.open() & (slack > 0) & (left[live] != side)
        enters_at = np.divide(np.abs(state.covariance), slack, where=may_enter, out=np.zeros_like(slack))
        may_leave = state.used & (slope * pull < 0) & (b * pull < 0)
        leaves_at = np.divide(b, slope, where=may_leave, out=np.zeros_like(b))
        entry, exit_ = enters_at.argmax(1), leaves_at.argmax(1)
        entry_level = np.minimum(enters_at[each, entry], level[live])
        exit_level = np.minimum(leaves_at[each, exit_], level[live])
        level[live] = np.maximum(entry_level, exit_level)
        leaves = exit_level >= entry_level
        larger_cannot_win = floor[live] + penalty * (size + 1) >= least[live]
        done = (level[live] <= 0) | (~leaves & (larger_cannot_win | (size >= _limit(samples))))
        done |= adaptive & (event - best_at[live] >= PATIENCE)
        leaves &= ~done
        enters = ~leaves & ~done
        left[live] = 0
        if enters.any():
            sign[live[enters], entry[enters]] = side[enters, entry[enters]]
            state.enter(np.flatnonzero(enters), entry[enters])
        if leaves.any():
            variables = state.slots[leaves, exit_[leaves]]
            left[live[leaves], variables] = sign[live[leaves], variables]
            state.leave(np.flatnonzero(leaves), exit_[leaves])
        if done.any():
            state.keep(~done)
            live = live[~done]
        if not len(live):
            break
    return found
