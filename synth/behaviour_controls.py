"""Item-level controls: edge scores computed from sequences, without a neural model.

Both return scores (I, I), [i, j] for item j + 1 causing item i + 1 (row = effect, column = cause).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array

from synth.errors import InputError

Floats = NDArray[np.float64]


def lift(items: ArrayLike, num_items: int, horizon: int = 5) -> Floats:
    """Score how much more often i follows j within `horizon` steps than it would by chance.

    The score is (n_ij + 1) / (n_i. n_.j / n + 1), where n_ij counts the pairs; the ones keep rare pairs from the top.

    Args:
        items: (users, length) items 1..I, 0 for padding.
        num_items: I.
        horizon: number of tokens back that count, at least 1, default 5.

    Raises:
        InputError: items or options out of range, or no token with another before it.
    """
    targets, history = _steps(items, num_items, horizon, decay=1.0)
    pairs = (targets.T @ history).toarray()
    by_chance = np.outer(pairs.sum(axis=1), pairs.sum(axis=0)) / max(1.0, pairs.sum())
    return np.asarray((pairs + 1) / (by_chance + 1))


def onehot_regression(
    items: ArrayLike, num_items: int, horizon: int = 5, decay: float = 0.5, ridge: float = 1.0
) -> Floats:
    """Score the weight of j in the ridge regression of the one-hot x_t on the past and an intercept.

    The past is sum_age decay^age x_{t-1-age} over the last `horizon` tokens. This is least squares of the behaviour
    world's own equation, except that the weights of the past are not normalised. Time gives the direction, so
    acyclicity is not needed.

    Args:
        items: (users, length) items 1..I, 0 for padding.
        num_items: I.
        horizon: number of tokens back that count, at least 1, default 5.
        decay: weight per step of age, above 0 to 1, default 0.5.
        ridge: penalty, above 0, default 1.

    Raises:
        InputError: items or options out of range, or no token with another before it.
    """
    if not ridge > 0:
        raise InputError(f"ridge: got {ridge}; expected a penalty above 0, so that items never seen score 0.")
    targets, history = _steps(items, num_items, horizon, decay)
    steps = targets.shape[0]
    means = np.asarray(history.mean(axis=0))
    gram = (history.T @ history).toarray() - steps * np.outer(means, means) + ridge * np.eye(num_items)
    cross = (history.T @ targets).toarray() - steps * np.outer(means, np.asarray(targets.mean(axis=0)))
    return np.asarray(solve(gram, cross, assume_a="pos").T)


def _steps(items: ArrayLike, num_items: int, horizon: int, decay: float) -> tuple[csr_array, csr_array]:
    """Return one-hot targets and decayed histories, sparse (steps, I): one row per token that has one before it."""
    s = np.asarray(items)
    if s.ndim != 2 or s.dtype.kind not in "iu" or s.size == 0 or s.min() < 0 or s.max() > num_items:
        raise InputError(f"items: got {s.dtype} of shape {s.shape}; expected (users, length) of 0..{num_items}.")
    if horizon < 1 or not 0 < decay <= 1:
        raise InputError(f"got horizon {horizon}, decay {decay}; expected horizon >= 1 and 0 < decay <= 1.")
    user, time = np.nonzero((s[:, 1:] > 0) & (s[:, :-1] > 0))
    time += 1
    if not len(user):
        raise InputError("items: no token has another before it; expected sequences of 2 tokens or more.")
    rows = np.arange(len(user))
    targets = csr_array((np.ones(len(rows)), (rows, s[user, time] - 1)), shape=(len(rows), num_items))

    ages = np.arange(min(horizon, s.shape[1] - 1))
    before = time[:, None] - 1 - ages
    past = np.where(before >= 0, s[user[:, None], before], 0)
    row, age = np.nonzero(past)
    history = csr_array((decay**ages[age], (row, past[row, age] - 1)), shape=targets.shape)
    return targets, history
