"""DAGMA, linear: follows the central path of the log-determinant by Newton steps; many covariances at once."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from causalrec.errors import InputError
from causalrec.structure import Fits, Problems
from causalrec.structure.newton import Solution, Solver
from causalrec.structure.notears import LeastSquares


@dataclass(frozen=True)
class CentralPath:
    """A rule that weighs h by 1/μ and multiplies μ by `decrease` after each inner problem.

    Args:
        mu: μ per problem, (m,).
        decrease: factor of μ, in (0, 1).
        rho: second derivative of the penalty by h, 0.
    """

    mu: Tensor
    decrease: float
    rho: float = 0.0

    def penalty(self, h: Tensor) -> Tensor:
        """Return h/μ."""
        return h / self.mu

    def slope(self, h: Tensor) -> Tensor:
        """Return 1/μ, of the shape of h."""
        return (1 / self.mu).expand_as(h)

    def update(self, h: Tensor) -> "CentralPath":  # noqa: ARG002, the path is fixed in advance
        """Return the next point of the path."""
        return replace(self, mu=self.mu * self.decrease)

    def take(self, which: Tensor) -> "CentralPath":
        """Return the rule of some of the problems."""
        return replace(self, mu=self.mu[which])

    def trace(self) -> dict[str, Tensor]:
        """Return μ, for the record."""
        return {"mu": self.mu}


@dataclass(frozen=True)
class Dagma(Solver):
    """min μ(½tr((I−W)S(I−W)ᵀ) + λ‖W‖₁) + h(W) for μ falling to 0 (Bello, Aragam & Ravikumar 2022), for m covariances.

    As published: the score, h the log-determinant, λ = 0.02, the path μ = 1, 0.1, 0.01, … from W = 0, each point from
    the one before. Different: (1) Newton steps (`causalrec.structure.newton`, which divides the objective by μ) replace
    42,000 steps of Adam. (2) The published path ends after four points and W is thresholded, cyclic or not; here it
    continues until h is below `tolerance`. (3) s is always 0.7, where DAGMA lowers it from 1 to 0.7.

    The other options are those of `Solver`; λ is in the units of the noise variance.

    Args:
        mu: first μ, above 0, default 1.
        decrease: factor of μ from one point to the next, in (0, 1), default 0.1.

    Raises:
        InputError: an option out of range.
    """

    mu: float = 1.0
    decrease: float = 0.1
    name: ClassVar[str] = "dagma"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.mu > 0 and 0 < self.decrease < 1):
            raise InputError(f"mu = {self.mu}, decrease = {self.decrease}; needs mu > 0 and 0 < decrease < 1")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one W per problem; trace h and mu, each (outer, m), after each point of the path."""
        return self.learn(problems, self._solve)

    def _solve(self, S: Tensor) -> Solution:
        mu = torch.full((len(S),), self.mu, dtype=S.dtype, device=S.device)
        return self.follow(LeastSquares(), S, CentralPath(mu, self.decrease), torch.zeros_like(S))
