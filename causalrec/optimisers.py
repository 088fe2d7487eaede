"""The steps of training: how long they are in the course of it, and how a gradient becomes one (Adam, Muon)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SCHEDULES = ("decay", "constant")
OPTIMISERS = ("adam", "muon")
WARM_UP, PLATEAU = 0.02, 0.5
MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan 2024: singular values go to about 1 in five steps


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters whose gradient is clipped apart from that of all others, and that have a learning rate of their own.

    Args:
        parameters: of a model.
        rate: factor of the learning rate, default 1.
    """

    parameters: Sequence[Tensor]
    rate: float = 1.0


def clip(groups: Iterable[Group], largest: float) -> bool:
    """Scale the gradient of each group down to a norm of at most `largest`; return whether all norms were finite.

    Args:
        groups: of a model.
        largest: above 0; inf for no limit.
    """
    norms = [torch.nn.utils.clip_grad_norm_(group.parameters, largest) for group in groups]
    return all(bool(norm.isfinite()) for norm in norms)


def rate(share: float, schedule: str) -> float:
    """Return the factor of the learning rate: under `decay` 0 to 1 over the first 2 %, 1 to one half, then down to 0.

    Args:
        share: share of all steps that are done after this one, in (0, 1].
        schedule: `decay` or `constant`.
    """
    if schedule == "constant":
        return 1.0
    return min(share / WARM_UP, 1.0, (1 - share) / (1 - PLATEAU))


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal: U Vᵀ in place of U S Vᵀ, by five steps of Newton and Schulz.

    Jordan 2024; the size of a step is that of Liu et al. 2025, 0.2 √(larger side), so that Adam's learning rate fits.
    `torch.optim.Muon` does the same one matrix at a time in bfloat16, which on a CPU takes 15 times as long.

    Args:
        matrices: parameters with two axes.
        lr: learning rate.
        weight_decay: share of a weight that is taken off per unit of learning rate, default 0.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step.

        Args:
            closure: None; a loss that is computed anew is not supported.
        """
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in by_shape.items():
                moved = orthogonal(torch.stack([self._push(matrix) for matrix in matrices]))
                for matrix, direction in zip(matrices, moved, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(direction, alpha=-0.2 * max(shape) ** 0.5 * group["lr"])

    def _push(self, matrix: Tensor) -> Tensor:
        """Return Nesterov's momentum of a matrix."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices_nrc: Tensor) -> Tensor:
    """Return U Vᵀ of each matrix U S Vᵀ, with singular values between about 0.7 and 1.2.

    Args:
        matrices_nrc: n matrices of r rows and c columns.
    """
    tall = matrices_nrc.shape[1] > matrices_nrc.shape[2]
    x = matrices_nrc.mT if tall else matrices_nrc
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_(min=1e-7)
    once, thrice, five_times = QUINTIC
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=thrice, alpha=five_times), x, beta=once)
    return x.mT if tall else x


def make_optimisers(
    groups: Iterable[Group],
    matrices: Iterable[Tensor],
    kind: str,
    learning_rate: float,
    weight_decay: float = 0.0,
) -> list[torch.optim.Optimizer]:
    """Return AdamW of all parameters, or under `muon` of those that are no matrix of a layer, and Muon of these.

    Args:
        groups: all parameters of the model.
        matrices: those among them that map a layer's states, for Muon; of groups whose rate is 1.
        kind: `adam` or `muon`.
        learning_rate: of both.
        weight_decay: share of a weight that is taken off per unit of learning rate, default 0.
    """
    apart = list(matrices) if kind == "muon" else []
    known = {id(matrix) for matrix in apart}
    others = [
        {"params": [p for p in group.parameters if id(p) not in known], "rate": group.rate} for group in groups
    ]
    adam = torch.optim.AdamW(others, learning_rate, (0.9, 0.98), weight_decay=weight_decay, fused=True)
    return [adam, Muon(apart, learning_rate, weight_decay)] if apart else [adam]
