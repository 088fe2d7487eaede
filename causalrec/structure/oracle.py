"""The known-order oracle: what regression alone loses once the causal order is given."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from causalrec.errors import InputError
from causalrec.structure import Fits, Problems
from causalrec.structure.regression import fits_along, regress_on_predecessors


@dataclass(frozen=True)
class Oracle:
    """Least squares on the predecessors in `problems.order`: on an exact covariance, B for any positive variances."""

    name: ClassVar[str] = "oracle"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """One W a problem. Raises InputError where the problems carry no order."""
        if problems.order is None:
            raise InputError("oracle: these problems carry no order; give Problems(..., order=...)")
        return fits_along(problems.order, regress_on_predecessors(problems.covariance, problems.order))
