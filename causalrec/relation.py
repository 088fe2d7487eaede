"""The rules that make a relation R of the weights W of a sequence.

Shape letters: b sequences, i effect position, j cause position. `W[b, i, j]` is the effect of j on i; R has entries in
[0, 1], only at j < i. Strength is |W|, since a negative effect is an effect too; no rule relates by a strength of 0.
"""

import torch
from torch import Tensor

from causalrec.acyclicity import is_acyclic
from causalrec.errors import InputError

RULES = (
    "threshold", "top_k", "row_relative", "soft", "straight_through", "closure", "max_relative", "dag",
)  # fmt: skip
LEAKING = ("max_relative", "dag")


def relate(weights_bij: Tensor, rule: str = "threshold", tau: float = 0.3, top: int = 3) -> Tensor:
    """Return R (b, i, j): bool without gradient, or in W's dtype with a gradient under `soft` and `straight_through`.

    - `threshold`: |W_ij| >= tau;
    - `top_k`: the `top` strongest causes of each row;
    - `row_relative`: at least tau times the strongest cause of the row;
    - `soft`: the strength itself, at most 1; its gradient goes back into W, and into the embeddings or Z behind it;
    - `straight_through`: `threshold` forwards, the gradient of `soft` backwards (Bengio et al. 2013);
    - `closure`: all that reaches i along edges of `threshold`, so that a cause of a cause is one too;
    - `max_relative`: at least tau times the strongest entry of the whole W, later rows and columns included;
    - `dag`: entries above the smallest threshold at which the whole W, both directions of time, has no cycle.

    The rules of `LEAKING` look at all of W, so that R of an early row depends on what comes later. Under the other
    rules row i depends only on W_ij with j < i, or on rows before i.

    Args:
        weights_bij: W.
        rule: one of these, default `threshold`.
        tau: constant of the threshold and relative rules, default 0.3.
        top: causes per row under `top_k`, default 3.

    Raises:
        InputError: the rule is unknown.
    """
    if rule == "soft":
        return weights_bij.tril(-1).abs().clamp(max=1)
    if rule == "straight_through":
        soft = relate(weights_bij, "soft")
        hard = relate(weights_bij, "threshold", tau).to(soft.dtype)
        return hard + (soft - soft.detach())
    if rule == "closure":
        return _closure(relate(weights_bij, "threshold", tau))
    strength = weights_bij.detach().abs()
    if rule in LEAKING:
        return keep(strength, rule, tau, top).tril(-1)
    return keep(strength.tril(-1), rule, tau, top)


def keep(strength_bij: Tensor, rule: str, tau: float = 0.3, top: int = 3) -> Tensor:
    """Return which entries of |W| a rule keeps (b, i, j) where it is not told what came first.

    `soft` and `straight_through`, whose gradients reach them all, keep every entry above 0, and `closure` those that
    its paths are made of.

    Args:
        strength_bij: |W|, without a gradient.
        rule: as in `relate`.
        tau: as in `relate`.
        top: as in `relate`.

    Raises:
        InputError: the rule is unknown.
    """
    positive = strength_bij > 0
    if rule in ("soft", "straight_through"):
        return positive
    if rule in ("threshold", "closure"):
        return (strength_bij >= tau) & positive
    if rule == "top_k":
        strongest = strength_bij.topk(min(top, strength_bij.shape[-1])).indices
        return torch.zeros_like(positive).scatter_(-1, strongest, value=True) & positive
    if rule == "row_relative":
        return (strength_bij >= tau * strength_bij.amax(-1, keepdim=True)) & positive
    if rule == "max_relative":
        return (strength_bij >= tau * strength_bij.amax((-2, -1), keepdim=True)) & positive
    if rule == "dag":
        return strength_bij > _least_acyclic(strength_bij)[:, None, None]
    raise InputError(f"relation {rule!r} is unknown; choose one of {', '.join(RULES)}")


def _closure(relation_bij: Tensor) -> Tensor:
    """Return all paths. R ∪ R² doubles the length of the paths covered, and none is longer than the sequence."""
    paths = relation_bij.float()
    for _ in range((relation_bij.shape[-1] - 1).bit_length()):
        paths = (paths + paths @ paths > 0).float()
    return paths > 0


def _least_acyclic(strength_bij: Tensor) -> Tensor:
    """Return the smallest t (b,), 0 or an entry, with {strength > t} a DAG, by bisection over the sorted entries."""
    levels = torch.nn.functional.pad(strength_bij.flatten(1).sort().values, (1, 0))
    low = torch.zeros(len(levels), dtype=torch.int64, device=levels.device)
    high = torch.full_like(low, levels.shape[1] - 1)
    while bool((low < high).any()):
        middle = (low + high) // 2
        dag = is_acyclic((strength_bij > levels.gather(1, middle[:, None])[..., None]).to(levels.dtype))
        low, high = torch.where(dag, low, middle + 1), torch.where(dag, middle, high)
    return levels.gather(1, low[:, None])[:, 0]
