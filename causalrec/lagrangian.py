"""The augmented Lagrangian of a constraint h(W) = 0: its state and the rule that updates it."""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from causalrec.errors import InputError


@dataclass(frozen=True)
class Lagrangian:
    """State of one problem (floats) or of m problems at once (float64 tensors (m,)).

    The rule, applied after each inner minimisation (Zheng et al. 2018, Algorithm 1): γ ← γ + ρh; if h >
    decrease·h_previous then ρ ← min(growth·ρ, cap). Where h is at most `tolerance` the state of that problem no longer
    changes.

    Args:
        gamma: multiplier γ, default 0.
        rho: penalty coefficient ρ, default 1.
        h_previous: h after the last update, default inf.
        growth: factor of ρ, at least 1, default 10.
        decrease: share of h_previous above which ρ grows, in (0, 1], default 0.25.
        cap: largest ρ, default 1e8.
        tolerance: h at which a problem is frozen, default 1e-8.

    Raises:
        InputError: growth, decrease, cap or tolerance out of range.
    """

    gamma: float | Tensor = 0.0
    rho: float | Tensor = 1.0
    h_previous: float | Tensor = math.inf
    growth: float = 10.0
    decrease: float = 0.25
    cap: float = 1e8
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        if not (self.growth >= 1 and 0 < self.decrease <= 1 and self.cap > 0 and self.tolerance >= 0):
            raise InputError(f"{self}: needs growth ≥ 1, 0 < decrease ≤ 1, cap > 0 and tolerance ≥ 0")

    def penalty(self, h: Tensor) -> Tensor:
        """Return γh + ρh²/2, of the shape of h.

        Args:
            h: value of the constraint, a scalar or (m,).
        """
        return self.gamma * h + 0.5 * self.rho * h * h

    def slope(self, h: Tensor) -> Tensor:
        """Return the derivative of the penalty by h, γ + ρh, which multiplies ∂h/∂W in the gradient.

        Args:
            h: value of the constraint, a scalar or (m,).
        """
        return self.gamma + self.rho * h

    def update(self, h: float | Tensor) -> Self:
        """Return the state after an inner minimisation.

        Args:
            h: value of the constraint at its end, a float, or a tensor (m,) for m problems.

        Raises:
            InputError: an h is negative or not finite; a trainer skips and counts such a step.
        """
        now = torch.as_tensor(h, dtype=torch.float64).detach()
        if not bool((now.isfinite() & (now >= -self.tolerance)).all()):
            raise InputError(f"h = {h}; the multiplier is updated only with a finite h ≥ 0: skip and count the step")
        gamma, rho, before = (
            torch.as_tensor(old, dtype=torch.float64, device=now.device)
            for old in (self.gamma, self.rho, self.h_previous)
        )
        frozen = now <= self.tolerance
        raised = torch.where(now > self.decrease * before, (self.growth * rho).clamp(max=self.cap), rho)
        state = (
            torch.where(frozen, gamma, gamma + rho * now),
            torch.where(frozen, rho, raised),
            torch.where(frozen, before, now),
        )
        if isinstance(h, Tensor):
            return replace(self, gamma=state[0], rho=state[1], h_previous=state[2])
        return replace(self, gamma=state[0].item(), rho=state[1].item(), h_previous=state[2].item())

    def take(self, which: Tensor) -> Self:
        """Return the state of some of the problems.

        Args:
            which: index or mask into the m problems.
        """
        gamma, rho, before = (torch.as_tensor(x)[which] for x in (self.gamma, self.rho, self.h_previous))
        return replace(self, gamma=gamma, rho=rho, h_previous=before)

    def trace(self) -> dict[str, Tensor]:
        """Return ρ and γ, for the record of an optimisation."""
        return {"rho": torch.as_tensor(self.rho), "gamma": torch.as_tensor(self.gamma)}
