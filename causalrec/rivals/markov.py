"""First-order Markov chain of items: what followed the last item in training, with back-off to popularity."""

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import Tensor

from causalrec.errors import InputError
from causalrec.interactions import Sequences


class Markov:
    """P(i | last item j) = (N[i, j] + smoothing p(i)) / (sum_i N[i, j] + smoothing), row = effect, column = cause.

    N[i, j] sums decay^(lag - 1) over the places where i follows j by at most `window` actions of one user. With window
    1 this is a first-order chain, with more the sequential rules of Ludewig & Jannach 2018 (who weigh by 1/lag). p(i)
    is the share of i among training actions (back-off by a Dirichlet prior); it is the score for an empty history.

    Args:
        train: training rows.
        window: largest lag, in actions, at least 1 (default).
        decay: weight per further step of lag, above 0 to 1 (default).
        smoothing: weight of popularity, in actions, above 0, default 1.

    Raises:
        InputError: an option out of range, or no training actions.
    """

    def __init__(self, train: Sequences, window: int = 1, decay: float = 1.0, smoothing: float = 1.0) -> None:
        if window < 1 or not 0 < decay <= 1 or not 0 < smoothing < np.inf:
            raise InputError(
                f"window = {window}, decay = {decay}, smoothing = {smoothing}; "
                "expected window >= 1, 0 < decay <= 1 and smoothing > 0"
            )
        if not len(train.items):
            raise InputError("there are no training actions to count; give longer sequences")
        n, items = train.num_items, train.items - 1
        owner = np.repeat(np.arange(len(train)), train.lengths())
        following = scipy.sparse.csr_array((n, n), dtype=np.float64)
        for lag in range(1, min(window, int(train.lengths().max()) - 1) + 1):
            same = owner[lag:] == owner[:-lag]
            cause, effect = items[:-lag][same], items[lag:][same]
            weight = np.full(len(cause), decay ** (lag - 1))
            following = following + scipy.sparse.csr_array((weight, (cause, effect)), shape=(n, n))
        self.following = following  # N transposed, so that what follows an item is one sparse row
        self.total: npt.NDArray[np.float64] = np.asarray(following.sum(axis=1)).ravel()
        self.popularity = np.bincount(items, minlength=n) / len(items)
        self.smoothing = smoothing

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return probabilities of the next item (rows, items), float64."""
        offsets = history.offsets[rows.start : min(rows.stop, len(history)) + 1]
        known = np.flatnonzero(np.diff(offsets))
        scores = np.repeat(self.popularity[None], len(offsets) - 1, axis=0)
        last = history.items[offsets[1:][known] - 1] - 1
        counts = self.following[last].toarray() + self.smoothing * self.popularity
        scores[known] = counts / (self.total[last] + self.smoothing)[:, None]
        return torch.from_numpy(scores)
