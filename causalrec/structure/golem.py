"""GOLEM: Gaussian likelihoods with equal and with unequal noise variances, from the covariance alone."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from causalrec.errors import InputError
from causalrec.lagrangian import Lagrangian
from causalrec.structure import Fits, Problems
from causalrec.structure.newton import Loss, Solution, Solver
from causalrec.structure.rows import Rows

# Share of the diagonal of S that is added to it, since the likelihood of a singular covariance has no maximum.
_RIDGE = 1e-8


class Likelihood:
    """The term −log|det(I−W)| and what both likelihoods share; Ω = (I−W)S(I−W)ᵀ holds the residual variances."""

    def unit(self, value: Tensor, nodes: int) -> Tensor:
        """Return n/2, the least squares of n unit variances: the likelihood itself may be 0 or less."""
        return torch.full_like(value, nodes / 2)

    def _residuals(self, W: Tensor, S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return A = I − W and AS, both (m, n, n), and the diagonal of Ω (m, n)."""
        A = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device) - W
        AS = A @ S
        return A, AS, (AS * A).sum(-1)

    def _derivatives(self, A: Tensor, AS: Tensor, S: Tensor, precision: Tensor) -> tuple[Tensor, Rows]:
        """Return gradient and row Hessians of a fit whose derivative by Ω_ii is precision_i/2, (m, n).

        Both fits are concave in Ω, so precision_i S bounds the Hessian of row i from above. The determinant is linear
        in each row, so −log|det| is convex in it; its gradient is the row a of (I−W)⁻ᵀ and its Hessian aaᵀ.
        """
        inverse_t = torch.linalg.inv_ex(A).inverse.mT
        return inverse_t - precision[..., None] * AS, Rows(S, precision, inverse_t)


class EqualVariances(Likelihood):
    """n/2 log(tr Ω / n) − log|det(I−W)|: −log-likelihood per sample, noise variance profiled out, up to a constant."""

    def value(self, W: Tensor, S: Tensor) -> Tensor:
        """Return the loss (m,); +inf where I − W is singular."""
        A, _, residuals = self._residuals(W, S)
        loss: Tensor = W.shape[-1] / 2 * residuals.mean(-1).log() - torch.linalg.slogdet(A).logabsdet
        return loss

    def derivatives(self, W: Tensor, S: Tensor) -> tuple[Tensor, Rows]:
        """Return the gradient (m, n, n) and a Hessian for each row."""
        A, AS, residuals = self._residuals(W, S)
        return self._derivatives(A, AS, S, (1 / residuals.mean(-1, keepdim=True)).expand_as(residuals))


class UnequalVariances(Likelihood):
    """½ Σ log Ω_ii − log|det(I−W)|: −log-likelihood per sample, noise variances profiled out, up to a constant."""

    def value(self, W: Tensor, S: Tensor) -> Tensor:
        """Return the loss (m,); +inf where I − W is singular."""
        A, _, residuals = self._residuals(W, S)
        loss: Tensor = 0.5 * residuals.log().sum(-1) - torch.linalg.slogdet(A).logabsdet
        return loss

    def derivatives(self, W: Tensor, S: Tensor) -> tuple[Tensor, Rows]:
        """Return the gradient (m, n, n) and a Hessian for each row."""
        A, AS, residuals = self._residuals(W, S)
        return self._derivatives(A, AS, S, 1 / residuals)


@dataclass(frozen=True)
class GolemEV(Solver):
    """min −log-likelihood + λ₁‖W‖₁ + λ₂h(W), equal noise variances (Ng, Ghassami & Zhang 2020), for m covariances.

    As published: the likelihood with its −log|det(I−W)|, the weights of both penalties (λ₁ = `sparsity` = 0.02, λ₂ =
    `penalty` = 5), the start W = 0. Different: (1) The published h is a soft penalty, and cycles are cut from W
    afterwards. Here that problem is the first of an augmented Lagrangian, with λ₂ as its first multiplier and ρ = 1;
    the multiplier then grows until h is below `tolerance`, so that W needs no cutting and its h is comparable with
    other learners'. (2) h is by default the log-determinant; the published exponential is an option. (3) Newton steps
    (`causalrec.structure.newton`) replace 100,000 steps of Adam. (4) 1e-8 of the diagonal of S is added to it;
    otherwise the likelihood of fewer samples than variables, or of a duplicate column, has no maximum.

    Scaling all variables by one factor changes nothing. The other options are those of `Solver`.

    Args:
        penalty: λ₂, at least 0, default 5.

    Raises:
        InputError: an option out of range.
    """

    penalty: float = 5.0
    name: ClassVar[str] = "golem_ev"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.penalty < float("inf"):
            raise InputError(f"penalty = {self.penalty}; give a finite λ₂ ≥ 0 (published: 5)")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one W per problem; trace h, rho and gamma, each (outer, m), after each update of the multiplier."""
        return self.learn(problems, self._solve)

    def _solve(self, S: Tensor) -> Solution:
        return self._maximise(EqualVariances(), _regular(S), torch.zeros_like(S))

    def _maximise(self, loss: Loss, S: Tensor, W: Tensor) -> Solution:
        zero = torch.zeros(len(S), dtype=S.dtype, device=S.device)
        rule = Lagrangian(zero + self.penalty, zero + 1, zero + torch.inf, cap=1e16, tolerance=self.tolerance)
        return self.follow(loss, S, rule, W)


@dataclass(frozen=True)
class GolemNV(GolemEV):
    """As `GolemEV` with unequal noise variances, started from its solution, as published.

    The trace is that of the second problem, the iterations are those of both. Without the start the likelihood, which
    is the same for every order of a complete graph, ends far off (20 nodes, ER2, variance ratio 16: median SHD 60 in
    place of 3).

    Args:
        sparsity: λ₁, above 0, default 0.002 as published.
        start_sparsity: λ₁ of the start, above 0, default 0.02 as published.

    Raises:
        InputError: an option out of range.
    """

    sparsity: float = 0.002
    start_sparsity: float = 0.02
    name: ClassVar[str] = "golem_nv"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.start_sparsity < float("inf"):
            raise InputError(f"start_sparsity = {self.start_sparsity}; give a finite λ₁ above 0 (published: 0.02)")

    def _solve(self, S: Tensor) -> Solution:
        S = _regular(S)
        equal = replace(self, sparsity=self.start_sparsity)._maximise(EqualVariances(), S, torch.zeros_like(S))
        unequal = self._maximise(UnequalVariances(), S, equal.W)
        return replace(unequal, steps=equal.steps + unequal.steps)


def _regular(S: Tensor) -> Tensor:
    return S + torch.diag_embed(_RIDGE * S.diagonal(dim1=-2, dim2=-1))
