"""TALE: a linear model of the next item that knows the time since each earlier one (Park et al., WSDM 2025).

Single-target augmentation: each action but a user's first is a target, and the actions before it are its sources. With
T one-hot and S the weights of sources, B minimises |T - S B|² + regularisation |B|²: B = (SᵀS + λI)⁻¹ SᵀT.

Left out is the paper's trend-aware normalisation by items' popularity at the time, of which the authors' released code
holds no more than counts; in that code the floor raises all weights by 1, here it is max(weight, floor) as written.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from torch import Tensor

from causalrec.errors import InputError
from causalrec.interactions import Floats, Ints, Sequences, Times, seconds_since
from causalrec.rivals.ease import MOST_ITEMS

DAY = 86_400.0  # seconds
LARGEST_EXACT = 2**53  # whole numbers up to it are held by float64
TARGETS = 1024  # of one user, whose sources are weighed together


class TALE:
    """A source weighs max(exp(-d / tau_train), floor), d the days from it to its target, or actions without times.

    `weights[i, j]` is the effect of j on i, the transpose of B, float32. A score is the sum of weights[i, j]
    exp(-age(j) / tau_inf) over the actions of a history, the last of age 0; here and in S an item taken twice counts
    twice. Time O(items³) and the sum of users' actions³, memory 8 items² bytes.

    Args:
        train: training rows.
        regularisation: λ, above 0, default 200.
        tau_train: days, or actions where there are no times, after which a source weighs 1/e; above 0, default 8.
        tau_inf: actions after which an item of a history weighs 1/e; above 0, default 2.
        floor: least weight of a source, 0 (default) to 1.

    Raises:
        InputError: an option out of range, more than 20,000 items, or a matrix that is singular in float32.
    """

    def __init__(
        self,
        train: Sequences,
        regularisation: float = 200.0,
        tau_train: float = 8.0,
        tau_inf: float = 2.0,
        floor: float = 0.0,
    ) -> None:
        if not (0 < regularisation < np.inf and 0 < tau_train < np.inf and 0 < tau_inf < np.inf and 0 <= floor <= 1):
            raise InputError(
                f"regularisation = {regularisation}, tau_train = {tau_train}, tau_inf = {tau_inf}, floor = {floor}; "
                "expected the first three above 0 and finite, and floor from 0 to 1"
            )
        if train.num_items > MOST_ITEMS:
            raise InputError(
                f"TALE solves a system of items x items and {train.num_items} items are more than {MOST_ITEMS}; "
                "raise item_core or leave TALE out"
            )
        self.tau_inf = tau_inf
        with _flushed():
            gram, followed = _products(train, tau_train, floor)
            gram[np.diag_indices_from(gram)] += np.float32(regularisation)
            factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
            if failed:
                raise InputError(f"regularisation = {regularisation} is too small for float32; raise it")
            self.weights = lapack.spotrs(factor, followed, lower=1, overwrite_b=1)[0].T

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return scores (rows, items), float32."""
        users = range(rows.start, min(rows.stop, len(history)))
        past = np.zeros((len(users), history.num_items), dtype=np.float32)
        for row, user in enumerate(users):
            items = history.row(user) - 1
            np.add.at(past[row], items, np.exp(-np.arange(len(items) - 1, -1, -1) / self.tau_inf))
        return torch.from_numpy(past @ self.weights.T)


@contextmanager
def _flushed() -> Iterator[None]:
    """Take numbers below float32's normal range as 0 on this thread.

    A small tau_train makes many of them, and some processors take 30 times as long for each.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _products(train: Sequences, tau: float, floor: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """SᵀS and SᵀT, both (items, items), in the order of columns that LAPACK takes."""
    gram, followed = (np.zeros((train.num_items, train.num_items), np.float32, order="F") for _ in range(2))
    for user in range(len(train)):
        items = train.row(user) - 1
        at = np.arange(len(items), dtype=np.float64)
        if train.times is not None:
            at = _days(train.times[train.offsets[user] : train.offsets[user + 1]], train.per_second)
        distinct, by_item, starts = _groups(items)
        for first in range(1, len(items), TARGETS):
            target = np.arange(first, min(first + TARGETS, len(items)))
            gap = np.maximum(at[target, None] - at, 0).astype(np.float32)
            earlier = np.arange(len(items)) < target[:, None]
            weights = np.maximum(np.exp(gap / np.float32(-tau)), np.float32(floor)) * earlier
            source = np.add.reduceat(weights[:, by_item], starts, axis=1)
            gram[np.ix_(distinct, distinct)] += source.T @ source
            effects, by_effect, begins = _groups(items[target])
            followed[np.ix_(distinct, effects)] += np.add.reduceat(source[by_effect], begins, axis=0).T
    return gram, followed


def _days(times: Times, per_second: int) -> Floats:
    """Times of a row, which never fall, in days; from the first one on where float64 does not hold them."""
    if times.dtype == np.int64 and len(times) and max(-int(times[0]), int(times[-1])) > LARGEST_EXACT:
        return seconds_since(times[0], times, per_second) / DAY
    return times.astype(np.float64) / (DAY * per_second)


def _groups(items: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct items, an order that puts equal ones side by side, and where each begins in it."""
    order = np.argsort(items, kind="stable")
    distinct, starts = np.unique(items[order], return_index=True)
    return distinct, order, starts
