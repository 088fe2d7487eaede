"""Full-softmax cross-entropy of tied embeddings that never holds all logits at once."""

import math
from typing import Any

import torch
from torch import Tensor

# Rows per chunk: on a CPU the logits of a chunk fit into a core's cache, on a GPU they use all of it.
CHUNKS = {"cpu": 128, "cuda": 4096}
# Logits of at most this size are exponentiated as they are; larger ones are shifted by the row's maximum and cut off
# below it, where e^-40 is lost in rounding and denormal weights would make the products 60 times slower.
LARGEST_LOGIT = 40.0
BITS = math.log2(math.e)  # on a CPU 2^x takes half the time of e^x


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_td: Tensor, item_id: Tensor, target_t: Tensor, products: torch.dtype) -> Tensor:
        count, chunk = len(x_td), CHUNKS.get(x_td.device.type, CHUNKS["cpu"])
        right = item_id[target_t]
        good = (x_td * right).sum(-1, keepdim=True).mul_(BITS)
        x_cast, item_cast = (x_td * BITS).to(products), item_id.to(products)
        item_di = item_cast.T.contiguous()
        buffer = item_di.new_empty(min(chunk, count), len(item_id))
        norms = [torch.linalg.vector_norm(vectors, dim=1).max() for vectors in (x_td, item_id)]
        steep = not float(norms[0] * norms[1]) <= LARGEST_LOGIT  # |x·item| <= |x| |item|
        grad_x, grad_di, sums = torch.empty_like(x_td), x_td.new_zeros(item_di.shape), torch.empty_like(good)
        for start in range(0, count, chunk):
            rows = slice(start, min(start + chunk, count))
            logits = torch.mm(x_cast[rows], item_di, out=buffer[: rows.stop - start]).to(x_td.dtype)
            if steep:
                largest = logits.amax(-1, keepdim=True)
                good[rows] -= largest
                logits.sub_(largest).clamp_(min=-LARGEST_LOGIT * BITS)
            # The softmax without its row sums, which scale the thin side of each product.
            weights = logits.exp2_()
            torch.sum(weights, -1, keepdim=True, out=sums[rows])
            weights = weights.to(products)
            grad_x[rows] = weights @ item_cast
            scaled = (x_td[rows] / sums[rows]).to(products).T
            if products == x_td.dtype:
                grad_di.addmm_(scaled, weights)
            else:
                grad_di += scaled @ weights
        total = (sums.log2() - good).sum() / BITS
        grad_x.div_(sums).sub_(right)
        grad_items = grad_di.T.contiguous().index_add_(0, target_t, x_td, alpha=-1)
        ctx.save_for_backward(grad_x, grad_items)
        ctx.rows = count
        return total / count

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        grad_x, grad_items = ctx.saved_tensors
        scale = grads[0] / ctx.rows
        return grad_x * scale, grad_items * scale, None, None


def linear_cross_entropy(
    x_td: Tensor, item_id: Tensor, target_t: Tensor, products: torch.dtype | None = None
) -> Tensor:
    """Return the mean over rows of -log softmax(x itemᵀ)[target]; the gradient is made in the forward pass, by chunks.

    Equal to `cross_entropy(x @ item.T, target)`, in memory O(chunk * items) instead of O(rows * items).

    Args:
        x_td: hidden states (rows, width).
        item_id: item vectors (items, width).
        target_t: (rows,) int64 row numbers of `item_id`.
        products: dtype of the three matrix products; None (default) for that of x. bfloat16 leaves a relative error of
            about 1e-3 in the gradient; softmax, sums and gradients keep the dtype of x.
    """
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_td, item_id, target_t, products or x_td.dtype
    )
    return loss
