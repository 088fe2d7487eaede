"""EASE: a linear autoencoder of users' item sets in closed form (Steck 2019, "Embarrassingly shallow autoencoders")."""

import numpy as np
import scipy.sparse
import torch
from scipy.linalg import lapack
from torch import Tensor

from causalrec.errors import InputError
from causalrec.interactions import Sequences

MOST_ITEMS = 20_000


class EASE:
    """Minimises |X - XB|² + regularisation |B|² over B with zero diagonal: B = I - P diag(P)^-1, P = (XᵀX + λI)^-1.

    X is users by items, 1 where the user took the item. `weights[i, j]` is the effect of j on i, the transpose of
    Steck's B, float32. A score is the sum of weights[i, j] decay^age(j) over the different items of a history, where
    the last action has age 0. Time O(items³), memory 4 items² bytes and as much again while fitting.

    Args:
        train: training rows.
        regularisation: λ, above 0, default 250.
        decay: weight per step of age when ranking, above 0 to 1; 1 (default) is EASE as published.

    Raises:
        InputError: an option out of range, more than 20,000 items, or a matrix that is singular in float32.
    """

    def __init__(self, train: Sequences, regularisation: float = 250.0, decay: float = 1.0) -> None:
        if not 0 < regularisation < np.inf or not 0 < decay <= 1:
            raise InputError(
                f"regularisation = {regularisation}, decay = {decay}; expected regularisation > 0 and 0 < decay <= 1"
            )
        if train.num_items > MOST_ITEMS:
            raise InputError(
                f"EASE inverts a matrix of items x items and {train.num_items} items are more than {MOST_ITEMS}; "
                "raise item_core or leave EASE out"
            )
        owner = np.repeat(np.arange(len(train)), train.lengths())
        ones = np.ones(len(train.items), dtype=np.float32)
        taken = scipy.sparse.csr_array((ones, (owner, train.items - 1)), shape=(len(train), train.num_items))
        taken.data[:] = 1.0  # an item taken again still counts once
        gram = np.asfortranarray((taken.T @ taken).toarray())
        gram[np.diag_indices_from(gram)] += np.float32(regularisation)
        factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
        inverse, singular = lapack.spotri(factor, lower=1, overwrite_c=1) if not failed else (factor, failed)
        if failed or singular:
            raise InputError(f"regularisation = {regularisation} is too small for float32; raise it")
        inverse = np.tril(inverse)
        inverse += np.tril(inverse, -1).T
        self.weights = inverse / -np.diagonal(inverse)[:, None]
        np.fill_diagonal(self.weights, 0.0)
        self.decay = decay

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return scores (rows, items), float32."""
        users = range(rows.start, min(rows.stop, len(history)))
        past = np.zeros((len(users), history.num_items), dtype=np.float32)
        for row, user in enumerate(users):
            items = history.row(user) - 1
            # Ages fall along the row, so that of equal items the most recent is written last.
            past[row, items] = self.decay ** np.arange(len(items) - 1, -1, -1)
        return torch.from_numpy(past @ self.weights.T)
