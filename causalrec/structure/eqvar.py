"""EqVar: a causal order from conditional variances, built from the first cause or from the last effect.

Chen, Drton & Wang (2019), "On causal discovery with an equal-variance assumption".
"""

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

    Both directions are exact on the covariance of any linear SCM of equal noise variances (and of those that do not
    fall too fast along the order). O(n³) per graph; ties go to the lowest index. `bottom_up` needs a covariance that is
    not singular, so more samples than variables: without one W is 0, converged is False and errors says so.

    Args:
        direction: `top_down` (default; Algorithm 1, over all variables chosen so far): next is the variable of least
            variance given those chosen. `bottom_up` (Ghoshal & Honorio 2018): last is the variable of greatest variance
            given all others left, which has the least diagonal entry of their precision: with noise variance v this
            entry is (1 + the sum of squared effects on others) / v, so it is 1 / v only for a sink. Rank-one downdates
            of the inverse of a linear kernel, (XXᵀ + ηI)⁻¹, that take out the variable which the others explain least
            give this order, for the covariance with η / samples added to its diagonal.
        refit: as in `sparse.refit_along`, default `least_squares`.

    Raises:
        InputError: an unknown direction or refit.
    """

    direction: Direction = "top_down"
    refit: Refit = "least_squares"
    name: ClassVar[str] = "eqvar"

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise InputError(f"eqvar: direction is {self.direction!r}; choose {' or '.join(get_args(Direction))}")
        check_refit(self.name, self.refit)

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one order and one W per problem; top-down gets both from one elimination."""
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
    """Return orders (m, n), causes first, and which covariances are singular, (m,); the order of those is 0..n-1.

    Removing a variable from a precision matrix is one step of its Cholesky elimination (the Schur complement), so
    bottom-up is top-down on the precision, read backwards.

    Args:
        covariance: (m, n, n).
    """
    n = covariance.shape[1]
    scale = np.sqrt(covariance.diagonal(axis1=1, axis2=2))
    correlation = covariance / scale[:, :, None] / scale[:, None, :]
    singular = np.linalg.eigvalsh(correlation)[:, 0] <= 4 * n * np.finfo(np.float64).eps
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(n), correlation))
    precision = (inverse + inverse.mT) / 2 / scale[:, :, None] / scale[:, None, :]
    order = eliminate(precision)[0][:, ::-1]
    return np.where(singular[:, None], np.arange(n), order), singular
