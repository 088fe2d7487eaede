"""The acyclicity function h(W) and its analytic gradient, batched: 0 exactly when W is the weighted adjacency of a DAG.

W[..., i, j] is the effect of j on i. Every form of h depends on P = W ∘ W ≥ 0 alone, so h(W) = h(Wᵀ), and neither the
signs of W nor the order of the nodes matter. The exponential and the polynomial are computed as E = f(P) − I by sums
and products of nonnegative matrices only. Nothing cancels, so h keeps its relative accuracy however small it is, and it
is exactly 0.0 at every DAG (and only there, short of underflow).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from causalrec.errors import InputError

# Taylor polynomial of degree 8 in three products, Bader, Blanes & Casas (2019), "Computing the matrix exponential
# with an optimized Taylor polynomial approximation", eq. (17). All of its coefficients are positive.
_R = math.sqrt(177)
_X1, _X2, _X3 = (1 + _R) / 132, (1 + _R) / 528, 2 / 3
_X4, _X5, _X6, _X7 = (29 * _R - 271) / 210, 11 * (_R - 1) / 840, 11 * (_R - 9) / 3360, (89 - _R) / 2240
_Y2 = (857 - 58 * _R) / 630
# Largest norm at which degree 8 keeps the relative error of h (at most 2x⁷/9!) below a few ulps.
_LARGEST_NORM = {torch.float64: 0.06, torch.float32: 0.5}
_CACHED = 2**17  # entries of W per part, so that its series fits into a core's cache: 2.5 times faster
_MOST_SQUARINGS = 64  # far beyond where e^P overflows


class Acyclicity(Protocol):
    """One form of h."""

    def value(self, W: Tensor) -> Tensor:
        """Return h(W), shape (...,).

        Args:
            W: weights (..., n, n), float64 or float32, on any device.
        """

    def value_and_gradient(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(W), shape (...,), and ∂h/∂W, shape (..., n, n); costs little more than h alone.

        Args:
            W: weights (..., n, n), float64 or float32, on any device.
        """


@dataclass(frozen=True)
class Exponential:
    """h = tr(e^{W∘W}) − n, gradient 2W ∘ (e^{W∘W})ᵀ (Zheng et al. 2018, Theorem 1).

    Not finite where e^{W∘W} overflows (a norm of W∘W of about 700 in float64, 88 in float32).
    """

    def value(self, W: Tensor) -> Tensor:
        """Return h(W), shape (...,)."""
        return _trace(_expm1(_squared(W)))

    def value_and_gradient(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(W), shape (...,), and its gradient, shape (..., n, n)."""
        E = _expm1(_squared(W))
        return _trace(E), _gradient(W, E)


@dataclass(frozen=True)
class LogDeterminant:
    """h = n log s − logdet(sI − W∘W), gradient 2W ∘ (sI − W∘W)⁻ᵀ (Bello, Aragam & Ravikumar 2022, Theorem 1).

    Defined where sI − W∘W is an M-matrix, that is where the spectral radius of W∘W is below s. Outside this domain h is
    +inf and the gradient NaN, so a line search that looks for a lower h never leaves the domain. At a DAG the value is
    0 up to rounding, not exactly 0.0: pivots cancel, and more so the larger the products of weights along a path.

    Args:
        s: upper limit of the spectral radius of W∘W, above 0; 1 by default, where DAGMA starts.

    Raises:
        InputError: s is not finite or not above 0.
    """

    s: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.s) and self.s > 0):
            raise InputError(f"LogDeterminant got s = {self.s}; give a finite s > 0 (DAGMA starts at 1)")

    def value(self, W: Tensor) -> Tensor:
        """Return h(W), shape (...,); +inf outside the domain."""
        lu, pivots, one, h = self._factor(W)
        outside = _outside(torch.linalg.lu_solve(lu, pivots, one.new_ones(1, 1).expand(*W.shape[:-1], 1)).squeeze(-1))
        return h if outside is None else h.masked_fill_(outside, torch.inf)

    def value_and_gradient(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(W), shape (...,), and its gradient, shape (..., n, n), by one LU; +inf and NaN outside the domain.
        """
        lu, pivots, one, h = self._factor(W)
        gradient = torch.linalg.lu_solve(lu, pivots, (one * (2 / self.s)).expand(W.shape), left=False)
        outside = _outside(gradient.sum(-1))
        gradient.mul_(W)
        if outside is not None:
            h.masked_fill_(outside, torch.inf)
            gradient.masked_fill_(outside[..., None, None], torch.nan)
        return h, gradient

    def _factor(self, W: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return LU and pivots of (I − W∘W/s)ᵀ, I, and h = −logdet(I − W∘W/s).

        LAPACK works on columns, which are our rows, so that the transpose costs no copy.
        """
        one = _identity(_float(W))
        lu, pivots, _ = torch.linalg.lu_factor_ex(torch.addcmul(one, W, W, value=-1 / self.s).mT)
        return lu, pivots, one, lu.diagonal(dim1=-2, dim2=-1).abs().log_().neg_().sum(-1)


@dataclass(frozen=True)
class Polynomial:
    """h = tr((I + W∘W/n)ⁿ) − n, gradient 2W ∘ ((I + W∘W/n)ⁿ⁻¹)ᵀ (Yu et al. 2019, Theorem 1)."""

    def value(self, W: Tensor) -> Tensor:
        """Return h(W), shape (...,)."""
        return self._value_and_power(W)[0]

    def value_and_gradient(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return h(W), shape (...,), and its gradient, shape (..., n, n)."""
        h, E = self._value_and_power(W)
        return h, _gradient(W, E)

    def _value_and_power(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and E = (I + Q)ⁿ⁻¹ − I for Q = W∘W/n, by binary powering: (I + E)(I + Q) − I = E + Q + EQ."""
        n = W.shape[-1]
        Q = _squared(W) / n
        E = torch.zeros_like(Q)
        for bit in f"{n - 1:b}":
            E = 2 * E + E @ E
            if bit == "1":
                E = E + Q + E @ Q
        return _trace(E) + _trace(Q) + (E * Q.mT).sum((-2, -1)), E


FORMS: Mapping[str, Acyclicity] = MappingProxyType(
    {"exponential": Exponential(), "log_determinant": LogDeterminant(), "polynomial": Polynomial()}
)


class _TruncatedExponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W: Tensor) -> Tensor:
        P = _squared(W)
        if P.ndim > 2 and P.device.type == "cpu":
            flat = P.flatten(0, -3)
            for part in torch.split(flat, max(1, _CACHED // P.shape[-1] ** 2)):
                part.copy_(_expm1(part))
            E = flat.view(P.shape)
        else:
            E = _expm1(P)
        ctx.save_for_backward(W, E)
        return _trace(E)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_h: Tensor) -> Tensor:
        W, E = ctx.saved_tensors
        return grad_h[..., None, None] * _gradient(W, E)


def truncated_exponential(W: Tensor) -> Tensor:
    """Return tr(e^{W∘W}) − n, shape (...,), differentiable and in the dtype of W, for use in a loss.

    Where a norm of W∘W is at most 0.5 this is Σ_k tr((W∘W)^k)/k! up to k = 8; above that, the same series of W∘W/2^s,
    squared s times with the identity kept apart. In float32 the relative error is below 1e-5 up to a norm of about 10,
    and the value is inf beyond 88. In comparison `matrix_exp(W∘W) − n` has an absolute error of n·6e-8, so that it
    returns 0 for a 2-cycle of weight 0.03. Unlike a fixed series this one sees cycles of every length. The backward
    pass is 2W ∘ (e^{W∘W})ᵀ, without another matrix product.

    Args:
        W: weights (..., n, n), float32 or float64.
    """
    h: Tensor = _TruncatedExponential.apply(W)  # type: ignore[no-untyped-call]
    return h


def is_acyclic(W: Tensor) -> Tensor:
    """Return whether the support of each W is a DAG, exactly: bool of shape (...,). A self-loop is a cycle.

    Each round removes all sources, until none is left to remove: at most n rounds of n² operations.

    Args:
        W: weights (..., n, n), any dtype.
    """
    support = _square(W) != 0
    left = torch.ones(W.shape[:-1], dtype=torch.bool, device=W.device)
    while True:
        still = left & (support & left.unsqueeze(-2)).any(-1)
        if torch.equal(still, left):
            return ~left.any(-1)
        left = still


def _square(W: Tensor) -> Tensor:
    if W.ndim < 2 or W.shape[-1] != W.shape[-2] or W.shape[-1] == 0:
        raise InputError(f"W has shape {tuple(W.shape)}; give square matrices (..., n, n) with n ≥ 1")
    return W


def _float(W: Tensor) -> Tensor:
    if W.dtype not in _LARGEST_NORM:
        raise InputError(f"W is {W.dtype}; give float64 or float32")
    return _square(W)


def _squared(W: Tensor) -> Tensor:
    return _float(W).square()


def _expm1(P: Tensor) -> Tensor:
    """Return e^P − I for P ≥ 0, by scaling and squaring: (I + E)² − I = 2E + E².

    Each matrix is scaled by its own norm, so that its result does not depend on the others in the batch. Matrices are
    sorted by falling number of squarings and leave the batch when they are done.
    """
    if not P.numel():
        return P.clone()
    norm = torch.minimum(P.sum(-1).amax(-1), P.sum(-2).amax(-1)).flatten()
    wanted = (norm.log2() - math.log2(_LARGEST_NORM[P.dtype])).ceil().nan_to_num(0, 0, 0).clamp(0, _MOST_SQUARINGS)
    squarings, order = wanted.sort(descending=True, stable=True)
    A = P.reshape(-1, *P.shape[-2:])[order] * (-squarings).exp2()[:, None, None]
    A2 = A @ A
    A4 = A2 @ (_X1 * A + _X2 * A2)
    left = _X3 * A2 + A4
    E: Tensor = left @ (_X5 * A + _X6 * A2 + _X7 * A4)
    E += _X4 * left + A + _Y2 * A2
    finished = []
    for going in _counts(squarings):
        finished.append(E[going:])
        E = E[:going]
        E = torch.baddbmm(E, E, E, beta=2)
    exponential = torch.empty_like(A)
    exponential[order] = torch.cat([E, *finished[::-1]])
    return exponential.view(P.shape)


def _counts(squarings: Tensor) -> list[int]:
    """Return how many of the falling numbers of squarings (m,) are above 0, above 1, and so on up to the largest."""
    return [sum(count > done for count in squarings.tolist()) for done in range(int(squarings[0]))]


def _gradient(W: Tensor, E: Tensor) -> Tensor:
    """Return 2W ∘ (I + E)ᵀ."""
    gradient = 2 * W * E.mT
    gradient.diagonal(dim1=-2, dim2=-1).add_(W.diagonal(dim1=-2, dim2=-1), alpha=2)
    return gradient


def _trace(E: Tensor) -> Tensor:
    trace: Tensor = E.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace


def _identity(W: Tensor) -> Tensor:
    return torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)


def _outside(x: Tensor) -> Tensor | None:
    """Return a mask of the matrices M that are not nonsingular M-matrices, given x = M⁻¹1 (..., n); None if all are.

    The off-diagonal of M is not positive, so M is a nonsingular M-matrix exactly when x > 0. The usual case, that all
    are, costs one pass over x and builds no mask.
    """
    if x.numel():
        least, largest = torch.aminmax(x)
        if least.item() > 0 and largest.item() < math.inf:
            return None
    return ~((x > 0) & x.isfinite()).all(-1)
