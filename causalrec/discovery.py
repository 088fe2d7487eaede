"""The causal discovery block: item representations -> W -> R, and the terms of L_DAG.

Shape letters: b sequences, l positions, i effect position, j cause position, d features, w features of the bilinear
form. `W[b, i, j]` is the effect of position j on position i.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.acyclicity import truncated_exponential


@dataclass(frozen=True, eq=False)
class Graph:
    """What discovery returns for a batch: W and R (b, i, j), and per sequence (b,) the terms of L_DAG when asked."""

    items_bl: Tensor
    z_bld: Tensor
    weights_bij: Tensor
    relation_bij: Tensor

    @cached_property
    def acyclicity_b(self) -> Tensor:
        """h(W) of the full W."""
        return truncated_exponential(self.weights_bij)

    @cached_property
    def fit_b(self) -> Tensor:
        """L_fit, see `fit_error`."""
        return fit_error(self.weights_bij, self.z_bld, self.items_bl != 0)

    @cached_property
    def sparsity_b(self) -> Tensor:
        """|W|_1 over the number of items in the sequence."""
        return self.weights_bij.sum((-1, -2)) / (self.items_bl != 0).sum(-1).clamp(min=1)


def admissible(items_bl: Tensor) -> Tensor:
    """K (b, i, j): two different valid positions that hold different items (a repeated item would explain itself)."""
    valid = items_bl != 0
    different = items_bl[:, :, None] != items_bl[:, None, :]
    return different & valid[:, :, None] & valid[:, None, :]


def fit_error(weights_bij: Tensor, z_bld: Tensor, valid_bl: Tensor) -> Tensor:
    """Half the mean squared residual of Z on its weighted predecessors, (b,); Z is feature-centred and detached.

    Only j < i may explain i: the time order is known, so the causes are the past (the reading `time` of the fit).
    Without the stopped gradient, the fit lowers its error by draining the variance of Z.
    """
    z = z_bld.detach()
    z = z - z.mean(-1, keepdim=True)
    residual = z - weights_bij.tril(-1) @ z
    row_error = 0.5 * residual.square().mean(-1)
    return (row_error * valid_bl).sum(-1) / valid_bl.sum(-1).clamp(min=1)


class Discovery(nn.Module):
    """W = relu(M - delta)∘K with M = (F Wa)(F Wb)ᵀ/√w and F = LN(E[s]), the reading `item_bilinear`.

    W_ij depends on the two items alone, so that row i cannot see what happens after i, and one item-level graph
    stands behind every sequence. R_ij = [W_ij >= tau][W_ij > 0][j < i], without gradient.
    """

    def __init__(self, width: int, delta: float = 0.05, tau: float = 0.3) -> None:
        super().__init__()
        self.delta, self.tau = delta, tau
        self.effect, self.cause = (nn.Linear(width, width, bias=False) for _ in range(2))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Wa and Wb so that M starts with a standard deviation of about 0.1, below which h cannot explode."""
        for linear in (self.effect, self.cause):
            nn.init.normal_(linear.weight, std=(0.1 / linear.in_features) ** 0.5, generator=generator)

    def pair_scores(self, embedding: Tensor) -> Tensor:
        """relu(M - delta) for all pairs of rows of `embedding` (..., l, d) -> (..., i, j), before K."""
        f = functional.layer_norm(embedding, embedding.shape[-1:])
        m = self.effect(f) @ self.cause(f).transpose(-1, -2) / self.effect.out_features**0.5
        return torch.relu(m - self.delta)

    def forward(self, items_bl: Tensor, embedding_bld: Tensor, z_bld: Tensor) -> Graph:
        """W and R for left-padded `items_bl` (0 = padding), and with them the terms of L_DAG."""
        weights = self.pair_scores(embedding_bld) * admissible(items_bl)
        relation = ((weights >= self.tau) & (weights > 0)).tril(-1)
        return Graph(items_bl, z_bld, weights, relation)
