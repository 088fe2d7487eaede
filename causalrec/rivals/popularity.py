"""Popularity: every user is offered the most frequent training items. The control below which nothing has learned."""

import numpy as np
import torch
from torch import Tensor

from causalrec.interactions import Sequences


class Popularity:
    """Scores are the training counts of items."""

    def __init__(self, train: Sequences) -> None:
        counts = np.bincount(train.items, minlength=train.num_items + 1)[1:]
        self.counts = torch.from_numpy(counts.astype(np.float32))

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Scores (rows, items)."""
        return self.counts.expand(min(rows.stop, len(history)) - rows.start, -1)
