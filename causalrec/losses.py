"""Full-softmax cross-entropy of tied embeddings, without ever holding all logits."""

from typing import Any

import torch
from torch import Tensor

CHUNK = 128


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_td: Tensor, item_id: Tensor, target_t: Tensor) -> Tensor:
        total = x_td.new_zeros(())
        grad_x, grad_items = torch.empty_like(x_td), torch.zeros_like(item_id)
        for start in range(0, len(x_td), CHUNK):
            rows = slice(start, start + CHUNK)
            x, target = x_td[rows], target_t[rows, None]
            logits = x @ item_id.T
            top = logits.amax(-1, keepdim=True)
            total -= (logits.gather(1, target) - top).sum()
            weights = logits.sub_(top).exp_()  # softmax but for the row sums, which scale the thin side of each product
            sums = weights.sum(-1, keepdim=True)
            total += sums.log().sum()
            torch.div(weights @ item_id, sums, out=grad_x[rows])
            grad_items.addmm_(weights.T, x / sums)
        grad_x -= item_id[target_t]
        grad_items.index_add_(0, target_t, x_td, alpha=-1)
        ctx.save_for_backward(grad_x, grad_items)
        ctx.rows = len(x_td)
        return total / len(x_td)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        grad_x, grad_items = ctx.saved_tensors
        scale = grads[0] / ctx.rows
        return grad_x * scale, grad_items * scale, None


def linear_cross_entropy(x_td: Tensor, item_id: Tensor, target_t: Tensor) -> Tensor:
    """Mean over rows of -log softmax(x itemᵀ)[target]; the gradient is made in the forward pass, by chunks.

    `x_td` (rows, width), `item_id` (items, width), `target_t` (rows,) int64 row numbers of `item_id`.
    Equal to `cross_entropy(x @ item.T, target)`; memory O(chunk * items) instead of O(rows * items).
    """
    loss: Tensor = _LinearCrossEntropy.apply(x_td, item_id, target_t)  # type: ignore[no-untyped-call]
    return loss
