"""How much of a DAG's order its data reveal: by variance, and by R2.

Reisach, Seiler & Weichwald (2021), "Beware of the Simulated DAG!", section 3.1; Reisach, Tami, Seiler, Chambaz &
Weichwald (2023), "A Scale-Invariant Sorting Criterion to Find a Causal Order in Additive Noise Models", eq. 3.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from causalrec.acyclicity import is_acyclic
from causalrec.errors import InputError

Floats = NDArray[np.float64]
# Scores closer than this, relative to the larger, tie: where theory says equal, exact covariances differ by rounding.
TIE = 1e-9


def variances(covariance: ArrayLike) -> Floats:
    """Return the variances (n,), the scores of varsortability.

    Args:
        covariance: (n, n).
    """
    return np.diag(np.asarray(covariance, dtype=np.float64)).copy()


def r2_scores(covariance: ArrayLike) -> Floats:
    """Return each variable's R2 on all others, (n,): 1 - 1 / (R^-1)_ii, R the correlations.

    Args:
        covariance: (n, n).

    Raises:
        InputError: another shape, a diagonal that is not above 0, or a singular covariance, as with no more samples
            than variables.
    """
    S = np.asarray(covariance, dtype=np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not (np.diag(S) > 0).all():
        raise InputError(f"covariance: got shape {S.shape}; expected (n, n) with a diagonal above 0.")
    scale = np.sqrt(np.diag(S))
    R = S / np.outer(scale, scale)
    np.fill_diagonal(R, 1.0)
    spectrum = np.linalg.eigvalsh(R)
    if spectrum[0] <= len(R) * np.finfo(np.float64).eps * spectrum[-1]:
        raise InputError(
            f"covariance: singular (smallest eigenvalue {spectrum[0]:.1e} of its correlations); R2 needs an invertible "
            "one. Take more samples than variables and drop copies."
        )
    return np.asarray(1 - 1 / np.diag(np.linalg.inv(R)))


def sortability(B: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the share of directed paths of a DAG along which `scores` rise from first to last node; None without
    edges.

    As in the papers and in CausalDisco, a pair of nodes counts once for every length at which a path joins them, and
    ties count half.

    Args:
        B: (n, n); B[i, j] != 0 says j -> i.
        scores: (n,), finite.

    Raises:
        InputError: a cycle, or scores that do not fit.
    """
    E = np.asarray(B) != 0
    if not is_acyclic(torch.from_numpy(E)):
        raise InputError("B: cyclic; expected a DAG. Remove an edge.")
    s = np.asarray(scores, dtype=np.float64)
    if s.shape != (len(E),) or not np.isfinite(s).all():
        raise InputError(f"scores: got shape {s.shape}; expected ({len(E)},), finite: one for each node of B.")
    rise = s[:, None] - s[None, :]
    tied = np.abs(rise) <= TIE * np.maximum(np.abs(s[:, None]), np.abs(s[None, :]))
    credit = np.where(tied, 0.5, rise > 0)
    paths, count, earned = E, 0, 0.0
    while paths.any():
        count += int(paths.sum())
        earned += float(credit[paths].sum())
        paths = paths @ E
    return earned / count if count else None


def varsortability(B: ArrayLike, covariance: ArrayLike) -> float | None:
    """Return the sortability of a DAG by variance; 1 means that variance gives the order.

    Args:
        B: (n, n); B[i, j] != 0 says j -> i.
        covariance: (n, n).
    """
    return sortability(B, variances(covariance))


def r2_sortability(B: ArrayLike, covariance: ArrayLike) -> float | None:
    """Return the sortability of a DAG by R2, which does not change with the variables' scales.

    Args:
        B: (n, n); B[i, j] != 0 says j -> i.
        covariance: (n, n), not singular.
    """
    return sortability(B, r2_scores(covariance))
