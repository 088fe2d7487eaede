"""A learner of the user's own: a function of the samples, or an estimator with `fit`.

X (samples, n) float64 -> W (n, n), W[i, j] the effect of j on i, the diagonal 0. It meets the same threshold and scores
as any other learner.
"""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from causalrec.acyclicity import Exponential, is_acyclic
from causalrec.errors import InputError, one_line
from causalrec.structure import Fits, Floats, Problems

FITTED = ("W_", "weights_", "adjacency_matrix_")


def by_fit(estimator: Any) -> Callable[[Floats], object]:
    """An estimator as a function of the samples.

    W is what `fit(X)` returns, if that is an array, and otherwise the first of `FITTED` that the fitted estimator has.

    Args:
        estimator: a class, of which every call makes a new one without arguments, or an object.
    """

    def function(X: Floats) -> object:
        made = estimator() if isinstance(estimator, type) else estimator
        returned = made.fit(X)
        if hasattr(returned, "__array__"):
            return returned
        for name in FITTED:
            if getattr(made, name, None) is not None:
                return getattr(made, name)
        raise InputError(f"fit returned no array and set none of {', '.join(FITTED)}, W[i, j] the effect of j on i")

    return function


@dataclass(frozen=True)
class UserLearner:
    """A user's function as a learner: one call per problem, each on a copy of the samples.

    If a call raises, or returns no finite (n, n) with a diagonal of 0, only its problem fails: the reason is in
    `Fits.errors`, its W is 0 and it has not converged. Running out of memory fails the cell.

    Args:
        name: `package.module:function`.
        function: X (samples, n) -> W (n, n).
    """

    name: str
    function: Callable[[Floats], object]

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, it takes X alone
        """Learn one W per problem.

        Args:
            problems: problems with rows.
            generator: not used; the function takes X alone.

        Raises:
            InputError: the problems have no rows.
        """
        if problems.rows is None:
            raise InputError(f"{self.name} learns from samples; here is only a covariance")
        m, n = problems.covariance.shape[:2]
        W, errors = np.zeros((m, n, n)), [""] * m
        for k, X in enumerate(problems.rows):
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    W[k] = _checked(self.function(X.copy()), n)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001, whatever a user's function raises is recorded
                errors[k] = one_line(error)
        fine = np.array([not error for error in errors])
        return Fits(W, np.array([_h(w) for w in W]), fine, np.ones(m, dtype=np.int64), errors=tuple(errors))


def _h(W: Floats) -> float:
    """tr(e^{W∘W}) − n, the largest float where that overflows."""
    largest = float(np.finfo(np.float64).max)
    weights = torch.from_numpy(W)
    if is_acyclic(weights):
        return 0.0
    try:
        h = float(Exponential().value(weights))
    except OverflowError:
        return largest
    return h if np.isfinite(h) else largest


def _checked(result: object, n: int) -> Floats:
    W = np.asarray(result)
    if W.shape != (n, n) or W.dtype.kind not in "biuf":
        raise InputError(f"returned shape {W.shape} and dtype {W.dtype}; return numbers of shape {(n, n)}")
    W = W.astype(np.float64)
    if not np.isfinite(W).all():
        raise InputError("returned values that are not finite")
    if W.diagonal().any():
        raise InputError("returned a diagonal that is not 0: a variable that causes itself")
    return W
