"""Controls that do not look for causes: an order by variance, by R², at random or as it is known, then a refit."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from causalrec.errors import InputError
from causalrec.structure import Fits, Floats, Problems
from causalrec.structure.regression import fits_along
from causalrec.structure.sparse import Refit, Refitted, refit_along


@dataclass(frozen=True)
class VarianceSort(Refitted):
    """Order by marginal variance, smallest first (Reisach, Seiler & Weichwald 2021, sortnregress)."""

    name: ClassVar[str] = "variance_sort"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one order and one W per problem; ties go to the lowest index."""
        return _along(problems, self.refit, problems.covariance.diagonal(axis1=1, axis2=2))


@dataclass(frozen=True)
class R2Sort(Refitted):
    """Order by the share of variance that all other variables explain, smallest first (R²-SortnRegress).

    R²_i = 1 − 1/(S_ii (S⁻¹)_ii), with the pseudoinverse if the covariance is singular (Reisach et al. 2023).
    """

    name: ClassVar[str] = "r2_sort"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one order and one W per problem; ties go to the lowest index."""
        scale = np.sqrt(problems.covariance.diagonal(axis1=1, axis2=2))
        correlation = problems.covariance / scale[:, :, None] / scale[:, None, :]
        precision: Floats = np.linalg.pinv(correlation, hermitian=True).astype(np.float64)
        return _along(problems, self.refit, precision.diagonal(axis1=1, axis2=2))


@dataclass(frozen=True)
class RandomOrder(Refitted):
    """A uniformly random order: what regression finds by chance."""

    name: ClassVar[str] = "random_order"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        """Return one order and one W per problem."""
        return _along(problems, self.refit, generator.random(problems.covariance.shape[:2]))


@dataclass(frozen=True)
class Oracle(Refitted):
    """A refit on the predecessors in `problems.order`; on an exact covariance this is B, for any positive variances."""

    name: ClassVar[str] = "oracle"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """Return one W per problem.

        Raises:
            InputError: the problems have no order.
        """
        if problems.order is None:
            raise InputError("oracle: these problems carry no order; give Problems(..., order=...)")
        return fits_along(problems.order, refit_along(problems, problems.order, self.refit))


def _along(problems: Problems, refit: Refit, score: Floats) -> Fits:
    order = np.argsort(score, axis=1, kind="stable")
    return fits_along(order, refit_along(problems, order, refit))
