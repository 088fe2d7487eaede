"""Worlds that violate identifiability by equal variances in one respect, each made from a linear SCM.

Unequal variances and heavy tails are options of `synth.scm.draw_scm`; nonlinear mechanisms are in `synth.nonlinear`,
missing values in `synth.missing`, rows that depend on earlier ones in `synth.temporal`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.errors import InputError
from synth.graphs import Adjacency, Indices
from synth.missing import missing
from synth.nonlinear import NonlinearSCM
from synth.scm import NOISES, DerivedSCM, LinearSCM
from synth.temporal import AutocorrelatedSCM, LaggedSCM

Floats = NDArray[np.float64]
Placement = Literal["raw", "exogenous", "mixed"]
Error = Literal["noise", "variable"]


class World(Protocol):
    """Observed variables with a true DAG: a `LinearSCM` or one of its violations."""

    @property
    def nodes(self) -> int:
        """The number of observed variables, n."""

    @property
    def graph(self) -> Adjacency:
        """The true DAG over the observed variables, (n, n) bool: [i, j] says j -> i."""

    @property
    def order(self) -> Indices:
        """The observed variables, causes first, (n,) int64."""

    @property
    def B(self) -> Floats:
        """Weights on the graph, (n, n); the class says of which variables, by default of those observed."""

    @property
    def covariance(self) -> Floats:
        """The exact covariance of what `sample` draws, (n, n); raises InputError if it has no closed form."""

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw what is observed, (samples, n) float64.

        Args:
            rng: source of randomness.
            samples: number of rows, at least 1.
        """


def standardise(samples: ArrayLike) -> Floats:
    """Scale each column to mean 0 and variance 1 (divisor: samples).

    Args:
        samples: (samples, n), finite, at least 2 rows.

    Raises:
        InputError: another shape, or constant columns, which the message names.
    """
    X = np.asarray(samples, dtype=np.float64)
    if X.ndim != 2 or len(X) < 2 or not np.isfinite(X).all():
        raise InputError(f"samples: got shape {X.shape}; expected (samples, n), finite, with at least 2 samples.")
    constant = np.flatnonzero(np.ptp(X, axis=0) == 0)
    if len(constant):
        raise InputError(f"samples: columns {constant.tolist()} are constant; drop them, they have no variance.")
    centred = X - X.mean(axis=0)
    return np.asarray(centred / centred.std(axis=0))


def standardise_covariance(covariance: ArrayLike) -> Floats:
    """Return the correlation matrix of a covariance, the diagonal exactly 1.

    Args:
        covariance: (n, n), with a diagonal above 0.

    Raises:
        InputError: another shape or diagonal.
    """
    S = np.asarray(covariance, dtype=np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not (np.diag(S) > 0).all():
        raise InputError(f"covariance: got shape {S.shape}; expected (n, n) with a diagonal above 0.")
    scale = np.sqrt(np.diag(S))
    R: Floats = S / np.outer(scale, scale)
    np.fill_diagonal(R, 1.0)
    return R


class StandardisedSCM(DerivedSCM):
    """An SCM whose samples are standardised, each column by its own sample mean and deviation."""

    @cached_property
    def covariance(self) -> Floats:
        """The SCM's correlations, (n, n)."""
        return standardise_covariance(self.scm.covariance)

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw from the SCM and standardise, (samples, n)."""
        return standardise(self.scm.sample(rng, samples))


def rescale(scm: LinearSCM, scales: ArrayLike) -> LinearSCM:
    """Measure variable i in other units, as scales[i] X_i: B_ij becomes s_i B_ij / s_j.

    Args:
        scm: the SCM.
        scales: (n,), finite and above 0.

    Raises:
        InputError: scales that do not fit.
    """
    s = np.asarray(scales, dtype=np.float64)
    if s.shape != (scm.nodes,) or not (np.isfinite(s) & (s > 0)).all():
        raise InputError(f"scales: got {s}; expected one finite number above 0 for each of {scm.nodes} variables.")
    return LinearSCM(s[:, None] * scm.B / s, s * scm.noise_scale, scm.noise)


def internally_standardise(scm: LinearSCM) -> LinearSCM:
    """Standardise each variable as it is generated, by its population deviation, before it acts on its effects.

    Ormaniec et al. (2024), "Standardizing Structural Causal Models", definition 2 (iSCM). The result is a linear SCM in
    the standardised variables: each row of its B is the original row over the deviation of that variable.

    Args:
        scm: the SCM.
    """
    B, scale, R = np.zeros_like(scm.B), np.zeros(scm.nodes), np.eye(scm.nodes)
    for i in scm.order:
        deviation = np.sqrt(scm.B[i] @ R @ scm.B[i] + scm.noise_scale[i] ** 2)
        B[i], scale[i] = scm.B[i] / deviation, scm.noise_scale[i] / deviation
        R[i] = R[:, i] = B[i] @ R
        R[i, i] = 1
    return LinearSCM(B, scale, scm.noise)


@dataclass(frozen=True, eq=False)
class ConfoundedSCM(DerivedSCM):
    """X = B X + Lambda U + C L with latent variables L, independent, of U's law and variance 1. The truth is the DAG
    over X.

    Args:
        loadings: C (n, c) float64, C[i, k] the effect of latent k on variable i.

    Raises:
        InputError: loadings that do not fit.
    """

    loadings: Floats

    def __post_init__(self) -> None:
        C = np.array(self.loadings, dtype=np.float64)
        if C.ndim != 2 or len(C) != self.nodes or not np.isfinite(C).all():
            raise InputError(f"loadings: got shape {C.shape}; expected ({self.nodes}, latents), finite.")
        C.setflags(write=False)
        object.__setattr__(self, "loadings", C)

    @cached_property
    def covariance(self) -> Floats:
        """(I - B)^-1 (Lambda^2 + C C^T) (I - B)^-T, (n, n)."""
        mixed = self.scm.mixing @ self.loadings
        return self.scm.covariance + mixed @ mixed.T

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X, (samples, n); without latents, or with loadings of 0, this is exactly the draw of the SCM alone."""
        V = self.scm.sample_noise(rng, samples)
        latents = NOISES[self.scm.noise](rng, (samples, self.loadings.shape[1]))
        return (V + latents @ self.loadings.T) @ self.scm.mixing.T


def confound(scm: LinearSCM, rng: np.random.Generator, latents: int, children: int) -> ConfoundedSCM:
    """Add latent variables, each of which acts on randomly drawn observed ones, with weights ±U(0.5, 2).

    Args:
        scm: the SCM.
        rng: source of randomness.
        latents: number of latent variables, at least 0.
        children: number of variables that each acts on, 2 to n.

    Raises:
        InputError: a number out of range.
    """
    if latents < 0 or not 2 <= children <= scm.nodes:
        raise InputError(
            f"confounded: got {latents} latents of {children} children; expected 0 or more, of 2 to {scm.nodes}."
        )
    C = np.zeros((scm.nodes, latents))
    for k in range(latents):
        hit = rng.choice(scm.nodes, children, replace=False)
        C[hit, k] = rng.uniform(0.5, 2.0, children) * np.where(rng.random(children) < 0.5, -1.0, 1.0)
    return ConfoundedSCM(scm, C)


def correlate(scm: LinearSCM, share: float) -> ConfoundedSCM:
    """Give all exogenous rows one common factor: Cov(V) = Lambda ((1 - share) I + share 1 1^T) Lambda.

    The noise variances stay as they are.

    Args:
        scm: the SCM.
        share: the factor's share of each noise variance, 0 to below 1.

    Raises:
        InputError: a share out of range.
    """
    if not 0 <= share < 1:
        raise InputError(f"correlated: got share {share}; expected the factor's share of the variance, 0 to below 1.")
    own = LinearSCM(scm.B, np.sqrt(1 - share) * scm.noise_scale, scm.noise)
    return ConfoundedSCM(own, np.sqrt(share) * scm.noise_scale[:, None])


@dataclass(frozen=True, eq=False)
class MeasuredSCM(DerivedSCM):
    """X + E: measurement errors E, independent, of U's law, that act on nothing.

    Args:
        share: variance of E_i over another variance of i, at least 0.
        of: that variance, of i's `noise` (default) or of the `variable` X_i, whose reliability is then 1 / (1 + share).

    Raises:
        InputError: an option out of range.
    """

    share: float
    of: Error = "noise"

    def __post_init__(self) -> None:
        if not 0 <= self.share < np.inf:
            raise InputError(f"measured: got share {self.share}; expected the error's share of a variance, 0 or more.")
        if self.of not in get_args(Error):
            raise InputError(f"of: got {self.of!r}; expected one of {', '.join(get_args(Error))}.")

    @property
    def error_variance(self) -> Floats:
        """The variances of E, (n,)."""
        return self.share * (self.scm.noise_scale**2 if self.of == "noise" else np.diag(self.scm.covariance))

    @cached_property
    def covariance(self) -> Floats:
        """Cov(X) + diag Var(E), (n, n)."""
        return self.scm.covariance + np.diag(self.error_variance)

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X + E, (samples, n); with a share of 0 this is exactly the draw of the SCM alone."""
        X = self.scm.sample(rng, samples)
        return X + np.sqrt(self.error_variance) * NOISES[self.scm.noise](rng, X.shape)


def layernorm(rows: ArrayLike, eps: float = 1e-12) -> Floats:
    """LayerNorm without affine: scale each row to mean 0 and variance 1, float64 (Ba et al. 2016).

    Args:
        rows: (..., features).
        eps: added to the variance, default 1e-12.
    """
    x = np.asarray(rows, dtype=np.float64)
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(axis=-1, keepdims=True) + eps))


@dataclass(frozen=True, eq=False)
class AttentionRows(DerivedSCM):
    """An SCM as attention sees it: variables are token rows, samples are their features.

    V (n, features) holds the exogenous rows Lambda U, Z = (I - B)^-1 V the mixed ones. All placements use the same
    draw.

    Args:
        placement: `raw` (default) observes Z. `exogenous` applies LayerNorm to V before mixing, which equalises the
            noise variances, as the lemma needs. `mixed` applies it to Z, which standardises and erases the order.
        affine: spread a of LayerNorm's gain N(1, a²) and bias N(0, a²) by feature, default 0. They are the same for
            every row, so that the bias is a factor that all rows share.
        sequences: number of sequences, at least 1 (default), each with its own rows, that share the graph and the
            affine; their covariances are pooled.

    Raises:
        InputError: an option out of range.
    """

    placement: Placement = "raw"
    affine: float = 0.0
    sequences: int = 1

    def __post_init__(self) -> None:
        if self.placement not in get_args(Placement):
            raise InputError(f"placement: got {self.placement!r}; expected one of {', '.join(get_args(Placement))}.")
        if not 0 <= self.affine < np.inf or (self.affine and self.placement == "raw"):
            raise InputError(
                f"affine: got {self.affine} on {self.placement} rows; expected a spread of 0 or more, and 0 on raw "
                "rows, which no LayerNorm sees."
            )
        if self.sequences < 1:
            raise InputError(f"sequences: got {self.sequences}; expected at least 1.")

    @cached_property
    def covariance(self) -> Floats:
        """The limit of the covariance with many features.

        LayerNorm on V makes the noise variances equal; its affine of spread a makes the noise that of a shared factor,
        (1 + a²) I + a² 1 1^T. On Z the same happens to the correlations.
        """
        spread = self.affine**2
        if self.placement == "raw":
            return self.scm.covariance
        if self.placement == "mixed":
            return (1 + spread) * standardise_covariance(self.scm.covariance) + spread
        alike = LinearSCM(self.B, np.full(self.nodes, np.sqrt(1 + spread)))
        return ConfoundedSCM(alike, np.full((self.nodes, 1), self.affine)).covariance

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw the rows, (sequences * samples, n).

        Each of several sequences is centred on its own, so that the covariance of all is the mean of theirs.

        Args:
            rng: source of randomness.
            samples: number of features.
        """
        V = self.scm.sample_noise(rng, self.sequences * samples).reshape(self.sequences, samples, self.nodes).mT
        gain, bias = np.ones(samples), np.zeros(samples)
        if self.affine:
            gain, bias = gain + self.affine * rng.standard_normal(samples), self.affine * rng.standard_normal(samples)
        if self.placement == "exogenous":
            V = gain * layernorm(V) + bias
        Z = self.scm.mixing @ V
        if self.placement == "mixed":
            Z = gain * layernorm(Z) + bias
        if self.sequences > 1:
            Z = Z - Z.mean(axis=-1, keepdims=True)
        return np.ascontiguousarray(Z.mT).reshape(-1, self.nodes)


def _rescaled(scm: LinearSCM, rng: np.random.Generator, spread: float) -> LinearSCM:
    """Rescale by factors drawn log-uniformly, the largest at most `spread` times the smallest."""
    if not 1 <= spread < np.inf:
        raise InputError(f"rescaled: got spread {spread}; expected the largest over the smallest scale, 1 or more.")
    return rescale(scm, spread ** (rng.random(scm.nodes) - 0.5))


VIOLATIONS: Mapping[str, Callable[..., World]] = MappingProxyType(
    {
        "standardised": lambda scm, _rng: StandardisedSCM(scm),
        "iscm": lambda scm, _rng: internally_standardise(scm),
        "rescaled": _rescaled,
        "confounded": confound,
        "correlated": lambda scm, _rng, share: correlate(scm, share),
        "nonlinear": lambda scm, _rng, mechanism, of="sum", strength=1.0: NonlinearSCM(scm, mechanism, of, strength),
        "measured": lambda scm, _rng, share, of="noise": MeasuredSCM(scm, share, of),
        "missing": missing,
        "autocorrelated": lambda scm, _rng, phi: AutocorrelatedSCM(scm, phi),
        "lagged": lambda scm, _rng, share: LaggedSCM(scm, share),
        "layernorm": lambda scm, _rng, placement, affine=0.0, sequences=1: AttentionRows(
            scm, placement, affine, sequences
        ),
    }
)


def violate(scm: LinearSCM, rng: np.random.Generator, kind: str, **knobs: Any) -> World:
    """Make a violation of an SCM by name.

    Args:
        scm: the SCM.
        rng: source of randomness.
        kind: name in `VIOLATIONS`.
        knobs: options of this violation.

    Raises:
        InputError: an unknown kind, a missing or unknown option, or a value that does not fit.
    """
    if kind not in VIOLATIONS:
        raise InputError(f"violation: got {kind!r}; expected one of {', '.join(VIOLATIONS)}.")
    signature = inspect.signature(VIOLATIONS[kind])
    try:
        signature.bind(scm, rng, **knobs)
    except TypeError as error:
        wanted = ", ".join(list(signature.parameters)[2:]) or "none"
        raise InputError(f"violation {kind!r}: {error}; its knobs: {wanted}.") from error
    return VIOLATIONS[kind](scm, rng, **knobs)
