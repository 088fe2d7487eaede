"""EqVar: the order by conditional variances, from the causes down or the effects up (Chen, Drton & Wang 2019)."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from causalrec.errors import InputError
from causalrec.structure import Fits, Floats, Integers, Problems
from causalrec.structure.regression import eliminate, fits_along
from causalrec.structure.sparse import Refit, check_refit, refit_along

Direction = Literal["top_down", "bottom_up"]


@dataclass(frozen=True)
class EqVar:
    """An order from the conditional variances, then a refit on the predecessors.

    Chen, Drton & Wang (2019), "On causal discovery with an equal-variance assumption". direction "top_down"
    (Algorithm 1 over all of the chosen): next is the variable of least variance given those chosen. "bottom_up" (from
    Ghoshal & Honorio 2018): last is the variable of greatest variance given all others left, the least diagonal of
    their precision: with noise variance v it is (1 + the sum of squared effects on others) / v, so 1 / v for a sink
    alone. Both are exact on the covariance of any linear SCM of equal noise variances (and of those that do not fall
    along the order too fast). O(n³) a graph; ties go to the lowest index.
    refit: `sparse.refit_along`.

    Bottom-up needs a covariance that is not singular, so more samples than variables: of a problem without one, W is
    0, converged False and errors says so.
    """

    direction: Direction = "top_down"
    refit: Refit = "least_squares"
    name: ClassVar[str] = "eqvar"

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise InputError(f"eqvar: direction is {self.direction!r}; choose {' or '.join(get_args(Direction))}")
        check_refit(self.name, self.refit)

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """One order and one W a problem; top-down, the order and its least squares come out of one elimination."""
        if self.direction == "top_down":
            order, W = eliminate(problems.covariance)
            return fits_along(order, W if self.refit == "least_squares" else refit_along(problems, order, self.refit))
        order, singular = bottom_up(problems.covariance)
        W = refit_along(problems, order, self.refit)
        W[singular] = 0
        fits = fits_along(order, W)
        message = "the covariance is singular; bottom-up needs more samples than variables and no duplicates: top_down"
        errors = tuple(message if failed else "" for failed in singular)
        return replace(fits, converged=~singular, errors=errors) if singular.any() else fits


def bottom_up(covariance: Floats) -> tuple[Integers, NDArray[np.bool_]]:
    """Orders (m, n), causes first, and which covariances (m, n, n) are singular; the order of those is 0..n-1.

    To drop a variable from a precision matrix is one step of its Cholesky elimination (the Schur complement), so
    bottom-up is top-down on the precision, backwards.
    """
    n = covariance.shape[1]
    scale = np.sqrt(covariance.diagonal(axis1=1, axis2=2))
    correlation = covariance / scale[:, :, None] / scale[:, None, :]
    singular = np.linalg.eigvalsh(correlation)[:, 0] <= 4 * n * np.finfo(np.float64).eps
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(n), correlation))
    precision = (inverse + inverse.mT) / 2 / scale[:, :, None] / scale[:, None, :]
    order = eliminate(precision)[0][:, ::-1]
    return np.where(singular[:, None], np.arange(n), order), singular
