"""Training losses on a few sampled negatives: BCE, gBCE and sampled softmax, besides the full softmax of `losses`.

All negatives come from a generator passed in. Letters as in `model`, and k negatives. Items are numbered as rows of
`item_id`, so that row 0 is item 1.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from causalrec.errors import InputError
from causalrec.losses import linear_cross_entropy

LOSSES = ("full", "bce", "gbce", "sampled")
PUBLISHED_NEGATIVES = {"full": 0, "bce": 1, "gbce": 256, "sampled": 256}
CHUNK = 2**15  # negatives gathered at a time
SAMPLED_ROWS = 1024  # rows whose scores of a shared set of negatives fit into a core's cache
DENSE_ROWS, DENSE_ITEMS = 128, 32  # up to 32 items per negative, all scores of 128 rows cost less than gathering


def next_item_loss(
    kind: str,
    x_td: Tensor,
    item_id: Tensor,
    items_bl: Tensor,
    target_bl: Tensor,
    *,
    negatives: int | None = None,
    calibration: float = 0.75,
    generator: torch.Generator | None = None,
    products: torch.dtype | None = None,
) -> Tensor:
    """Return the mean loss of the t real targets of a batch.

    - `full`: softmax over all items.
    - `bce`: k negatives per target, uniform over the items outside the row's inputs and targets (Kang & McAuley 2018,
      Eq. 5, with k = 1). The paper sums the k + 1 terms, here they are averaged, as in gBCE; the paper excludes the
      user's whole training row, here its last `length` + 1 actions are excluded.
    - `gbce`: k negatives per target, uniform over all items but the target; the positive probability is raised to the
      power beta (Petrov & Macdonald 2023).
    - `sampled`: softmax over one set of k different items, uniform, shared by the batch.

    Args:
        kind: one of these four.
        x_td: hidden states before the targets.
        item_id: item vectors.
        items_bl: inputs of the batch, 0 at padding.
        target_bl: the item after each input, 0 where there is none.
        negatives: k; None (default) as published. Not used by `full`.
        calibration: t of gBCE, in [0, 1], default 0.75.
        generator: source of the negatives, on the device of x; needed by all but `full`.
        products: dtype of the matrix products of `full`; None (default) for that of x.

    Raises:
        InputError: a row leaves no item to draw.
    """
    real = target_bl != 0
    target = target_bl[real] - 1
    items = len(item_id)
    if kind == "full":
        return linear_cross_entropy(x_td, item_id, target, products)
    if generator is None:
        raise RuntimeError("a loss with negatives needs a generator")
    k = min(PUBLISHED_NEGATIVES[kind], items - 1) if negatives is None else negatives
    if kind == "sampled":
        drawn = torch.randperm(items, generator=generator, device=x_td.device)[:k]
        return sampled_softmax(x_td, item_id, target, drawn)
    if kind == "bce":
        return binary_cross_entropy(x_td, item_id, target, draw_unseen(items_bl, target_bl, items, k, generator)[real])
    drawn = draw_others(target, items, k, generator)
    return binary_cross_entropy(x_td, item_id, target, drawn, gbce_power(items, k, calibration))


def check_negatives(kind: str, items: int, rows_bl: NDArray[np.int64]) -> None:
    """Raise InputError where a loss would have no negative to draw.

    Args:
        kind: one of `LOSSES`.
        items: number of items.
        rows_bl: what is trained on: inputs and targets of each row, 0 at padding.
    """
    why = ""
    if kind != "full" and items < 2:
        why = f"there is {items} item"
    elif kind == "bce" and rows_bl.shape[1] >= items:
        ordered = np.sort(rows_bl, 1)
        distinct = (ordered[:, :1] > 0).sum(1) + ((np.diff(ordered) > 0) & (ordered[:, 1:] > 0)).sum(1)
        if full := int((distinct >= items).sum()):
            why = f"{full} of {len(rows_bl)} rows have all {items} items"
    if why:
        raise InputError(f"loss = {kind} has no negative to draw: {why}; train on more items, or choose loss = full")


def draw_unseen(items_bl: Tensor, target_bl: Tensor, items: int, k: int, generator: torch.Generator) -> Tensor:
    """Return (b, l, k) rows of `item_id`, uniform with replacement over the items not in the row's inputs or targets.

    The r-th unseen item is r plus the number of seen ones with at most r unseen below them, so no draw is rejected.

    Args:
        items_bl: inputs, 0 at padding.
        target_bl: the item after each input, 0 where there is none.
        items: number of items.
        k: negatives per position.
        generator: source of randomness.

    Raises:
        InputError: a row has all items.
    """
    batch, length = items_bl.shape
    seen = torch.cat([items_bl, target_bl], 1).sort(1).values
    again = torch.zeros_like(seen, dtype=torch.bool)
    again[:, 1:] = seen[:, 1:] == seen[:, :-1]
    seen = (seen - 1).masked_fill(again | (seen == 0), items).sort(1).values
    unseen_below = seen - torch.arange(seen.shape[1], device=seen.device)
    unseen_below = unseen_below.masked_fill(seen == items, items)
    unseen = items - (seen < items).sum(1, keepdim=True)
    if bool((unseen == 0).any()):
        raise InputError(f"a row has all {items} items, so that BCE has no negative to draw; use the full softmax")
    draws = torch.rand(batch, length * k, dtype=torch.float64, generator=generator, device=seen.device)
    rank = (draws * unseen).long()
    return (rank + torch.searchsorted(unseen_below, rank, right=True)).view(batch, length, k)


def draw_others(target_t: Tensor, items: int, k: int, generator: torch.Generator) -> Tensor:
    """Return (t, k) rows of `item_id`, uniform with replacement over all items but the target.

    Args:
        target_t: rows of `item_id`.
        items: number of items, at least 2.
        k: negatives per target.
        generator: source of randomness.

    Raises:
        InputError: fewer than 2 items.
    """
    if items < 2:
        raise InputError(f"{items} item leaves no negative to draw; give at least 2")
    drawn = torch.randint(items - 1, (len(target_t), k), generator=generator, device=target_t.device)
    return drawn + (drawn >= target_t[:, None])


def gbce_power(items: int, k: int, calibration: float) -> float:
    """Return beta = a (t (1 - 1/a) + 1/a) of gBCE, with a = k / (items - 1): 1 (BCE) at t = 0, a (calibrated) at t = 1.

    Args:
        items: number of items.
        k: negatives per target.
        calibration: t, in [0, 1].
    """
    rate = k / (items - 1)
    return calibration * (rate - 1) + 1


class _BinaryCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_td: Tensor, item_id: Tensor, target_t: Tensor, negative_tk: Tensor, power: float) -> Tensor:
        k = negative_tk.shape[1]
        total = x_td.new_zeros(())
        grad_x, grad_items = torch.empty_like(x_td), torch.zeros_like(item_id)
        dense = len(item_id) <= DENSE_ITEMS * k
        step = DENSE_ROWS if dense else max(1, CHUNK // k)
        for start in range(0, len(x_td), step):
            rows = slice(start, start + step)
            x, target, negative = x_td[rows], target_t[rows], negative_tk[rows]
            if dense:
                scores = x @ item_id.T
                good, bad = scores.gather(1, target[:, None]), scores.gather(1, negative)
            else:
                right, wrong = item_id[target], item_id[negative]
                good, bad = (x * right).sum(1, keepdim=True), torch.bmm(wrong, x[:, :, None])[:, :, 0]
            total += power * functional.softplus(-good).sum() + functional.softplus(bad).sum()
            pull, push = -power * torch.sigmoid(-good), torch.sigmoid(bad)
            if dense:
                slope = torch.zeros_like(scores).scatter_add_(1, negative, push).scatter_add_(1, target[:, None], pull)
                grad_x[rows] = slope @ item_id
                grad_items.addmm_(slope.T, x)
            else:
                grad_x[rows] = pull * right + torch.bmm(push[:, None], wrong)[:, 0]
                grad_items.index_add_(0, target, pull * x)
                grad_items.index_add_(0, negative.flatten(), (push[:, :, None] * x[:, None]).flatten(0, 1))
        ctx.save_for_backward(grad_x, grad_items)
        ctx.terms = len(x_td) * (k + 1)
        mean: Tensor = total / ctx.terms
        return mean

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None]:
        grad_x, grad_items = ctx.saved_tensors
        scale = grads[0] / ctx.terms
        return grad_x * scale, grad_items * scale, None, None, None


def binary_cross_entropy(
    x_td: Tensor, item_id: Tensor, target_t: Tensor, negative_tk: Tensor, power: float = 1.0
) -> Tensor:
    """Mean over rows of -(power log s(x·target) + sum_k log(1 - s(x·negative))) / (k + 1), s the logistic function.

    The forward pass computes the gradient by chunks of negatives, so that memory does not grow with t * k * d.

    Args:
        x_td: hidden states.
        item_id: item vectors.
        target_t: int64 rows of `item_id`.
        negative_tk: int64 rows of `item_id`.
        power: weight of the target's term, default 1.
    """
    loss: Tensor = _BinaryCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_td, item_id, target_t, negative_tk, power
    )
    return loss


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_td: Tensor, item_id: Tensor, target_t: Tensor, negative_k: Tensor) -> Tensor:
        k = len(negative_k)
        right, wrong_kd = item_id[target_t], item_id[negative_k]
        wrong_dk = wrong_kd.T.contiguous()
        good = (x_td * right).sum(1, keepdim=True)
        # Which negative is a row's own target, if any, by look-up: comparing all would touch t x k entries.
        place = target_t.new_full((len(item_id),), -1)
        place[negative_k] = torch.arange(k, device=place.device)
        own_t = place[target_t]
        total = x_td.new_zeros(())
        grad_x, grad_wrong, pull = torch.empty_like(x_td), torch.zeros_like(wrong_kd), torch.empty_like(good)
        for start in range(0, len(x_td), SAMPLED_ROWS):
            rows = slice(start, start + SAMPLED_ROWS)
            x, mine, own = x_td[rows], good[rows], own_t[rows]
            bad = (x @ wrong_dk).sub_(math.log(k / len(item_id)))
            clash = torch.nonzero(own >= 0)[:, 0]
            bad[clash, own[clash]] = -math.inf
            largest = torch.maximum(bad.amax(1, keepdim=True), mine)
            weights, first = bad.sub_(largest).exp_(), (mine - largest).exp_()
            sums = weights.sum(1, keepdim=True) + first
            total += (sums.log() + largest - mine).sum()
            torch.div(weights @ wrong_kd, sums, out=grad_x[rows])
            grad_wrong.addmm_(weights.T, x / sums)
            torch.div(first, sums, out=pull[rows])
        pull -= 1
        grad_x.addcmul_(right, pull)
        grad_items = torch.zeros_like(item_id).index_add_(0, target_t, pull * x_td)
        ctx.save_for_backward(grad_x, grad_items.index_add_(0, negative_k, grad_wrong))
        ctx.rows = len(x_td)
        mean: Tensor = total / ctx.rows
        return mean

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        grad_x, grad_items = ctx.saved_tensors
        scale = grads[0] / ctx.rows
        return grad_x * scale, grad_items * scale, None, None


def sampled_softmax(x_td: Tensor, item_id: Tensor, target_t: Tensor, negative_k: Tensor) -> Tensor:
    """Return the mean of -log softmax of the target among itself and k different items that all rows share.

    Each negative's logit gets -log q, where q = k / items is its chance to be drawn (logQ correction; Bengio & Senécal
    2008), so that the sum over negatives is unbiased for the sum over all other items. A negative that is the row's own
    target is left out, the target's logit is not corrected, and with k = items the loss is the full softmax. The
    forward pass computes the gradient by chunks of rows.

    Args:
        x_td: hidden states.
        item_id: item vectors.
        target_t: int64 rows of `item_id`.
        negative_k: int64 rows of `item_id`, all different.
    """
    loss: Tensor = _SampledSoftmax.apply(x_td, item_id, target_t, negative_k)  # type: ignore[no-untyped-call]
    return loss
