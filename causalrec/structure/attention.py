"""Readings of attention as graph learners: what CausalRec's discovery finds on worlds whose truth is known.

Variables are token rows, samples are their features. Z = A V with V the exogenous rows is an SCM if A = (I − B)⁻¹Λ, so
that Λ_ii = 1/(A⁻¹)_ii and B = I − ΛA⁻¹ (`implied_scm`).

No softmax attention but the identity is an SCM of equal variances. A softmax attention has A ≥ 0 and A1 = 1. If
A = (I − B)⁻¹λI with B a DAG, a source row gives λ = 1, hence A_ii = 1 for every i, and the row sums then leave A = I,
B = 0. With unequal variances Var Z_i = ‖A_i‖² ≤ 1, with equality at the rows that attend to themselves alone, and every
root is such a row. So the variance is largest at the roots, while an ordering by least variance puts them last.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from causalrec.acyclicity import Exponential
from causalrec.errors import InputError
from causalrec.lagrangian import Lagrangian
from causalrec.structure import Fits, Floats, Problems

Mixing = Literal["softmax", "root"]
Mask = Literal["full", "time"]
Sign = Literal["relu", "signed"]

_START = 0.1  # first weights under relu: they get a gradient and h is small; std of M in the model


def implied_scm(attention: ArrayLike) -> tuple[Floats, Floats]:
    """Return B (n, n) and the diagonal of Λ (n,), float64, of the one SCM with A = (I − B)⁻¹Λ and diag B = 0.

    B may have cycles, and Λ negative entries.

    Args:
        attention: A (n, n), row the effect.

    Raises:
        InputError: A is not square and finite, is singular to working precision, or has an inverse with a zero on its
            diagonal, so that no Λ exists.
    """
    A = np.asarray(attention, dtype=np.float64)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or not A.size or not np.isfinite(A).all():
        raise InputError(f"attention has shape {A.shape}; give a finite square matrix (n, n), n ≥ 1")
    identity = np.eye(len(A))
    try:
        inverse = np.linalg.inv(A)
        residual = np.abs(A @ inverse - identity).max()
    except np.linalg.LinAlgError:
        residual = np.inf
    if not residual < 1e-6:
        raise InputError("attention is singular to working precision, so no B has A = (I − B)⁻¹Λ; drop duplicate rows")
    diagonal = inverse.diagonal()
    rounding = 1e-14 * (np.abs(inverse) @ np.abs(A) @ np.abs(inverse)).diagonal()
    for i in np.flatnonzero(np.abs(diagonal) <= rounding):
        raise InputError(f"attention has an inverse with 0 at [{i}, {i}], so that Λ_ii = 1/(A⁻¹)_ii does not exist")
    scale = 1 / diagonal
    B = identity - scale[:, None] * inverse
    np.fill_diagonal(B, 0.0)
    return B, scale


@dataclass(frozen=True)
class AttentionClosed:
    """The closed form: B of an attention matrix of the tokens, by `implied_scm`. Nothing makes it a DAG.

    Under mask `full`, A is a symmetric matrix with its rows rescaled, so B_ij and B_ji are both 0 or neither is.

    Args:
        mixing: `softmax` (default): A = softmax(C/temperature), where C holds the correlations of the tokens; this is
            dot-product attention of tokens after LayerNorm on themselves (W_q = W_k ∝ I). `root`: a square root of the
            covariance, A Aᵀ = S, which is Eq. 6 with Cov(V) = I.
        mask: `full` (default), where the root is the symmetric one (any rotation of it satisfies Eq. 6 as well);
            `time`, attention only to predecessors in `problems.order`, so that token i need not stand at time i. There
            the root is the Cholesky factor and B equals the oracle's: all knowledge comes from the order.
        temperature: of the softmax, above 0, default 0.1; the literal scale 1/√d of the scores XXᵀ/√d is d^-½.

    Raises:
        InputError: an option out of range.
    """

    mixing: Mixing = "softmax"
    mask: Mask = "full"
    temperature: float = 0.1
    name: ClassVar[str] = "attention_closed"

    def __post_init__(self) -> None:
        _check("attention_closed: mixing", self.mixing, get_args(Mixing))
        _check("attention_closed: mask", self.mask, get_args(Mask))
        if not 0 < self.temperature < np.inf:
            raise InputError(f"attention_closed: temperature is {self.temperature}; give a finite number above 0")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one B per problem, cyclic or not; where A is singular, an error and B = 0."""
        S = problems.covariance
        allowed = _allowed(self.name, self.mask, problems)
        W = np.zeros_like(S)
        errors = [""] * len(S)
        for k, covariance in enumerate(S):
            try:
                W[k] = implied_scm(self._attention(covariance, allowed[k]))[0] * allowed[k]
            except InputError as error:
                errors[k] = str(error)
        solved = np.array([not error for error in errors])
        h = Exponential().value(torch.from_numpy(W)).numpy()
        return Fits(W, h, solved, np.ones(len(S), dtype=np.int64), errors=tuple(errors))

    def _attention(self, S: Floats, allowed: Floats) -> Floats:
        """Return A (n, n) of one covariance."""
        deviation = np.sqrt(S.diagonal())
        C = S / np.outer(deviation, deviation)
        if self.mixing == "softmax":
            E = np.exp((C - 1) / self.temperature) * (allowed + np.eye(len(S)))
            return np.asarray(E / E.sum(1, keepdims=True))
        if np.linalg.eigvalsh(C)[0] < 1e-12 * len(S):
            raise InputError("the covariance is singular, and so are its roots; give more samples, drop duplicates")
        if self.mask == "full":
            values, vectors = np.linalg.eigh(S)
            return np.asarray((vectors * np.sqrt(values)) @ vectors.T)
        along = np.argsort(allowed.sum(1), kind="stable")
        A = np.zeros_like(S)
        A[np.ix_(along, along)] = np.linalg.cholesky(S[np.ix_(along, along)])
        return A


@dataclass(frozen=True)
class AttentionFree:
    """The discovery block's own objective and optimiser, with a free W instead of one made from items.

    Minimises (½tr((I−W)S(I−W)ᵀ) + λ‖W‖₁)/n + γh + ½ρh² by Adam, with h = tr(e^{W∘W}) − n. After each period
    `causalrec.lagrangian` updates the pair (γ, ρ) of each problem, with the model's cap of 1e8. With mask `full` the
    fit is L_fit of `causalrec.discovery`, a mean over rows and features.

    The signed reading depends most on the options of Adam (median SHD on 16 draws of ER2, 10 nodes, 1,000 samples,
    where NOTEARS has 0: 4.5 by default, 0 with 1,000 steps per period, 16 with 1,000 steps at rate 0.01).

    Args:
        sign: `relu` (default), W = relu(M − δ) as in the model, without negative effects; an entry that falls to δ has
            no gradient and stays 0. `signed`, W = M.
        mask: `full` (default), the lemma to the letter; `time`, W only from predecessors in `problems.order`, where h
            is always 0 and the learner is a lasso along the known order.
        sparsity: λ, at least 0, default 0.01 as in the model.
        delta: δ, at least 0, default 0.05 as in the model.
        learning_rate: step size of Adam, default 0.003.
        steps: Adam steps per period, default 500.
        periods: number of periods, default 10.
        tolerance: h at which γ and ρ are frozen and a problem counts as converged, default 1e-8; with mask `full` Adam
            seldom reaches it.

    Raises:
        InputError: an option out of range.
    """

    sign: Sign = "relu"
    mask: Mask = "full"
    sparsity: float = 0.01
    delta: float = 0.05
    learning_rate: float = 0.003
    steps: int = 500
    periods: int = 10
    tolerance: float = 1e-8
    name: ClassVar[str] = "attention_free"

    def __post_init__(self) -> None:
        _check("attention_free: sign", self.sign, get_args(Sign))
        _check("attention_free: mask", self.mask, get_args(Mask))
        if not (self.sparsity >= 0 and self.delta >= 0 and self.tolerance >= 0):
            raise InputError(f"{self}: sparsity, delta and tolerance must be 0 or more")
        if not (self.learning_rate > 0 and self.steps > 0 and self.periods > 0):
            raise InputError(f"{self}: learning_rate, steps and periods must be above 0")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one W per problem; trace h, rho and gamma, each (periods, m), after each update of the multiplier."""
        S = torch.tensor(problems.covariance, dtype=torch.float64)
        allowed = torch.from_numpy(_allowed(self.name, self.mask, problems))
        M = allowed * (self.delta + _START if self.sign == "relu" else 0.0)
        adam = torch.optim.Adam([M], lr=self.learning_rate)
        zero = torch.zeros(len(S), dtype=S.dtype)
        state = Lagrangian(zero, zero + 1, zero + torch.inf, tolerance=self.tolerance)
        trace = []
        for _ in range(self.periods):
            for _ in range(self.steps):
                M.grad = self._gradient(M, S, state) * allowed
                adam.step()
            h = Exponential().value(self._weights(M))
            state = state.update(h)
            trace.append(torch.stack([h, torch.as_tensor(state.rho), torch.as_tensor(state.gamma)]))
        paths = torch.stack(trace, 1).numpy()
        count = np.full(len(S), self.steps * self.periods, dtype=np.int64)
        W = self._weights(M).numpy()
        return Fits(W, paths[0, -1], paths[0, -1] <= self.tolerance, count,
                    trace=dict(zip(("h", "rho", "gamma"), paths, strict=True)))  # fmt: skip

    def _weights(self, M: Tensor) -> Tensor:
        return torch.relu(M - self.delta) if self.sign == "relu" else M

    def _gradient(self, M: Tensor, S: Tensor, state: Lagrangian) -> Tensor:
        """Return ∂/∂M (m, n, n) of the objective."""
        W = self._weights(M)
        h, h_gradient = Exponential().value_and_gradient(W)
        fit = (W @ S - S + self.sparsity * W.sign()) / W.shape[-1]
        gradient = fit + state.slope(h)[:, None, None] * h_gradient
        return gradient * (W > 0) if self.sign == "relu" else gradient


def _allowed(name: str, mask: Mask, problems: Problems) -> Floats:
    """Return 1 where j may be a cause of i, (m, n, n): everywhere but the diagonal, or only at predecessors."""
    m, n, _ = problems.covariance.shape
    if mask == "full":
        return np.tile(1 - np.eye(n), (m, 1, 1))
    if problems.order is None:
        raise InputError(f"{name}: mask time needs an order; give Problems(..., order=...), or mask = full")
    position = np.argsort(problems.order, axis=1)
    return np.asarray(position[:, :, None] > position[:, None, :], dtype=np.float64)


def _check(what: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise InputError(f"{what} is {value!r}; choose one of {', '.join(valid)}")
