"""What breaks identifiability by equal variances: standardising, and where LayerNorm stands."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.errors import InputError
from synth.scm import LinearSCM

Floats = NDArray[np.float64]
Placement = Literal["raw", "exogenous", "mixed"]


def standardise(samples: ArrayLike) -> Floats:
    """Give each column of (samples, n) mean 0 and variance 1 (divisor: samples); InputError names constant columns."""
    X = np.asarray(samples, dtype=np.float64)
    if X.ndim != 2 or len(X) < 2 or not np.isfinite(X).all():
        raise InputError(f"samples: got shape {X.shape}; expected (samples, n), finite, with at least 2 samples.")
    constant = np.flatnonzero(np.ptp(X, axis=0) == 0)
    if len(constant):
        raise InputError(f"samples: columns {constant.tolist()} are constant; drop them, they have no variance.")
    centred = X - X.mean(axis=0)
    return np.asarray(centred / centred.std(axis=0))


def standardise_covariance(covariance: ArrayLike) -> Floats:
    """Turn a covariance (n, n) into its correlation matrix, the diagonal exactly 1."""
    S = np.asarray(covariance, dtype=np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not (np.diag(S) > 0).all():
        raise InputError(f"covariance: got shape {S.shape}; expected (n, n) with a diagonal above 0.")
    scale = np.sqrt(np.diag(S))
    R: Floats = S / np.outer(scale, scale)
    np.fill_diagonal(R, 1.0)
    return R


def layernorm(rows: ArrayLike, eps: float = 1e-12) -> Floats:
    """LayerNorm without affine: each row of (..., features) to mean 0 and variance 1, float64 (Ba et al. 2016)."""
    x = np.asarray(rows, dtype=np.float64)
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(axis=-1, keepdims=True) + eps))


def observe_rows(scm: LinearSCM, rng: np.random.Generator, features: int, placement: Placement) -> Floats:
    """See an SCM the way attention does: variables are token rows, samples are features; (features, n) float64.

    V (n, features) holds the exogenous rows Lambda U, Z = (I - B)^-1 V the mixed ones. `raw` returns Z.
    `exogenous` puts LayerNorm on V before mixing: it equalises the noise variances, which is what the lemma needs.
    `mixed` puts it on Z: that is standardising, and erases the order. The draw is the same in all three.
    """
    if placement not in get_args(Placement):
        raise InputError(f"placement: got {placement!r}; expected one of {', '.join(get_args(Placement))}.")
    V = scm.sample_noise(rng, features).T
    Z = scm.mixing @ (layernorm(V) if placement == "exogenous" else V)
    return np.ascontiguousarray((layernorm(Z) if placement == "mixed" else Z).T)
