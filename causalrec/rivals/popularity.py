"""Popularity: recommends the most frequent training items to everyone. A model that does no better has learned nothing.
"""

import numpy as np
import torch
from torch import Tensor

from causalrec.interactions import Sequences


class Popularity:
    """Scores items by their number of training actions.

    Args:
        train: training rows.
    """

    def __init__(self, train: Sequences) -> None:
        counts = np.bincount(train.items, minlength=train.num_items + 1)[1:]
        self.counts = torch.from_numpy(counts.astype(np.float32))

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return scores (rows, items), float32."""
        return self.counts.expand(min(rows.stop, len(history)) - rows.start, -1)
