"""Item-kNN: cosine similarity of items over users, summed over the user's recent items (Sarwar et al. 2001)."""

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from causalrec.errors import InputError
from causalrec.interactions import Sequences


class ItemKNN:
    """Scores items by their similarity to the user's recent items.

    similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrinkage). The score of item i is the sum of
    similarity(i, j) over the last different items j of the history.

    Args:
        train: training rows.
        neighbours: most similar items kept per item, at least 1, default 200.
        window: number of different items of the history that count, at least 1, default 20.
        shrinkage: added to the denominator, at least 0, default 10.

    Raises:
        InputError: an option out of range.
    """

    def __init__(self, train: Sequences, neighbours: int = 200, window: int = 20, shrinkage: float = 10.0) -> None:
        if neighbours < 1 or window < 1 or shrinkage < 0:
            raise InputError(
                f"neighbours = {neighbours}, window = {window}, shrinkage = {shrinkage}; "
                "expected neighbours >= 1, window >= 1 and shrinkage >= 0"
            )
        self.window = window
        users = np.repeat(np.arange(len(train)), np.diff(train.offsets))
        ones = np.ones(len(train.items), dtype=np.float64)
        seen = scipy.sparse.csr_matrix((ones, (users, train.items - 1)), shape=(len(train), train.num_items))
        seen.data[:] = 1.0
        both = (seen.T @ seen).toarray()
        count = both.diagonal().copy()
        np.fill_diagonal(both, 0.0)
        norm = np.sqrt(np.outer(count, count)) + shrinkage
        similarity = np.divide(both, norm, out=np.zeros_like(both), where=norm > 0)
        if neighbours < train.num_items:
            cut = np.partition(similarity, -neighbours, axis=1)[:, -neighbours, None]
            similarity[similarity < cut] = 0.0
        self.similarity = similarity.astype(np.float32)

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return scores (rows, items), float32."""
        users = range(rows.start, min(rows.stop, len(history)))
        recent = np.zeros((len(users), history.num_items), dtype=np.float32)
        for row, user in enumerate(users):
            recent[row, np.unique(history.row(user)[::-1][: self.window]) - 1] = 1.0
        return torch.from_numpy(recent @ self.similarity.T)
