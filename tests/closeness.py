"""How far two correct computations of one learner's W may be apart: by rounding, as the problem's conditioning allows.

Another processor, another batch size and another order of the columns all round sums differently. An absolute tolerance
that holds on one machine says nothing of the next; what can be promised everywhere is relative to the conditioning.
"""

import numpy as np
from numpy.typing import NDArray

SAFETY = 32  # 2.3 was the largest ratio to the bound without it, of 960 relabelled problems of four learners
LARGEST = 1e-4  # a bound above this promises nothing


def rounding(S: NDArray[np.float64], W: NDArray[np.float64], tolerance: float = 1.0) -> NDArray[np.float64]:
    """Bound on every entry of W − W′, learned from the same S by the same steps that round differently.

    A product, a Cholesky or an LU decomposition in floating point is the exact one of matrices that differ by a
    relative nε from those it was given, ε = 2⁻⁵² (Higham 2002, chapters 3, 9 and 10). A regression on S carries this
    to W by no more than the condition number κ of S: nεκ(S)·max(1, |W|).

    A learner that drives h(W) down to τ also has the gradient of h, times a weight, in its equations, and the weight
    multiplies the rounding of h. Where v is an edge and w the entry of its reverse, h ≈ v²w², and a pull g of the loss
    on w is balanced where weight·2v²w = g. So the weight is g/(2v√h), in the end about 1/√τ for g/v of about 1.

    Args:
        S: covariances, (m, n, n).
        W: what was learned from them, (m, n, n).
        tolerance: τ, the h at which the learner stops; 1 for a learner in whose equations h is not.

    Returns:
        SAFETY · nεκ(S)·max(1, |W|)/√τ of each problem, (m, 1, 1).

    Raises:
        ValueError: A bound exceeds LARGEST, so that a wrong W might pass.
    """
    size = np.maximum(1, np.abs(W).max((1, 2)))
    bound = SAFETY * S.shape[1] * np.finfo(np.float64).eps * np.linalg.cond(S) * size / np.sqrt(tolerance)
    if not (bound <= LARGEST).all():
        raise ValueError(f"rounding may move W by {bound.max():.2g}, over {LARGEST:g}; take better conditioned ones")
    return bound[:, None, None]


def agree(one: NDArray[np.float64], other: NDArray[np.float64], S: NDArray[np.float64], tolerance: float = 1.0) -> bool:
    """Whether two W (m, n, n), both learned from S, differ by no more than `rounding` allows.

    Args:
        one: W of one computation, (m, n, n).
        other: W of another, (m, n, n).
        S: the covariances, (m, n, n).
        tolerance: the h at which the learner stops; 1 for a learner in whose equations h is not.
    """
    return bool((np.abs(one - other) <= rounding(S, one, tolerance)).all())


def assert_only_the_problem_matters(fit, S, tolerance: float) -> None:
    """Assert that h ends small, and that neither what else is in the batch nor the order of labels changes a graph.

    Args:
        fit: covariances (m, n, n) to the fits of a learner with a trace.
        S: covariances (m, n, n).
        tolerance: most that h may be.
    """
    together = fit(S)
    assert (together.h <= tolerance).all()
    assert np.array_equal(together.trace["h"][-1], together.h)
    p = np.arange(S.shape[1])[::-1]
    assert agree(fit(S[-1:]).W, together.W[-1:], S[-1:], tolerance)
    assert agree(fit(S[:, p][:, :, p]).W[:, p][:, :, p], together.W, S, tolerance)
