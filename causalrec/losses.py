"""Full-softmax cross-entropy of tied embeddings, without ever holding all logits."""

from typing import Any

import torch
from torch import Tensor

CHUNK = 256


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_td: Tensor, item_id: Tensor, target_t: Tensor) -> Tensor:
        total = x_td.new_zeros(())
        grad_x, grad_items = torch.empty_like(x_td), torch.zeros_like(item_id)
        for start in range(0, len(x_td), CHUNK):
            rows = slice(start, start + CHUNK)
            x, target = x_td[rows], target_t[rows, None]
            logits = x @ item_id.T
            normaliser = logits.logsumexp(-1, keepdim=True)
            total += (normaliser - logits.gather(1, target)).sum()
            probability = logits.sub_(normaliser).exp_()
            probability.scatter_add_(1, target, probability.new_full(target.shape, -1.0))
            torch.mm(probability, item_id, out=grad_x[rows])
            grad_items.addmm_(probability.T, x)
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
