"""The known-order oracle: what regression alone loses when the causal order is given."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from causalrec.errors import InputError
from causalrec.structure import Fits, Problems
from causalrec.structure.regression import fits_along
from causalrec.structure.sparse import Refitted, refit_along


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
