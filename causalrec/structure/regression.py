"""Least squares of each variable on its predecessors in an order, by one Cholesky elimination; batched."""

import numpy as np
import torch

from causalrec.structure import Fits, Floats, Integers


def regress_on_predecessors(covariance: Floats, order: Integers) -> Floats:
    """Return W (m, n, n): population least squares of each variable on all that precede it; zero elsewhere.

    If S = U D Uᵀ along the order with U unit lower triangular, then X = U e with e the innovations, so I − W = U⁻¹. A
    variable that its predecessors determine (more variables than samples, or duplicates) explains nothing further and
    gets coefficient 0.

    Args:
        covariance: (m, n, n) float64.
        order: (m, n) int64, causes first.
    """
    return eliminate(covariance, order)[1]


def eliminate(covariance: Floats, order: Integers | None = None) -> tuple[Integers, Floats]:
    """Return the order and W of `regress_on_predecessors`; O(n³) per problem.

    Column k of the Cholesky factor C is computed when the k-th variable is chosen.

    Args:
        covariance: (m, n, n) float64.
        order: (m, n) int64, causes first; None (default) chooses the variable of least conditional variance next.
    """
    m, n, _ = covariance.shape
    each = np.arange(m)
    chosen = np.empty((m, n), dtype=np.int64)
    left = np.ones((m, n), dtype=bool)
    conditional = covariance.diagonal(axis1=1, axis2=2).copy()
    smallest = 4 * n * np.finfo(np.float64).eps * conditional
    C = np.zeros((m, n, n))
    pivots = np.ones((m, n))
    for k in range(n):
        j = order[:, k] if order is not None else np.where(left, conditional, np.inf).argmin(1)
        column = covariance[each, :, j] - (C[:, :, :k] @ C[each, j, :k, None])[..., 0]
        determined = column[each, j] <= smallest[each, j]
        pivots[:, k] = np.sqrt(np.where(determined, 1.0, column[each, j]))
        C[:, :, k] = np.where(determined[:, None], 0.0, column / pivots[:, k, None])
        C[each, j, k] = pivots[:, k]
        left[each, j] = False
        chosen[:, k] = j
        conditional -= C[:, :, k] ** 2
    U = torch.from_numpy(np.take_along_axis(C, chosen[:, :, None], 1) / pivots[:, None, :])
    identity = torch.eye(n, dtype=U.dtype).expand_as(U)
    ordered = (identity - torch.linalg.solve_triangular(U, identity, upper=False, unitriangular=True)).tril(-1)
    W = np.zeros((m, n, n))
    W[each[:, None, None], chosen[:, :, None], chosen[:, None, :]] = ordered.numpy()
    return chosen, W


def fits_along(order: Integers, W: Floats) -> Fits:
    """Return the fits of an order; W is triangular along it, so h is exactly 0.

    Args:
        order: (m, n) int64, causes first.
        W: weights (m, n, n).
    """
    m = len(W)
    return Fits(W, np.zeros(m), np.ones(m, dtype=bool), np.ones(m, dtype=np.int64), order)
