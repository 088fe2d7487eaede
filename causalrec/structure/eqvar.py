"""EqVar: the order by top-down choice of the least conditional variance (Chen, Drton & Wang 2019)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from causalrec.errors import InputError
from causalrec.structure import Fits, Problems
from causalrec.structure.regression import eliminate, fits_along


@dataclass(frozen=True)
class EqVar:
    """Top-down: next is the variable of least variance given those chosen; then a refit on the predecessors.

    Chen, Drton & Wang (2019), "On causal discovery with an equal-variance assumption", Algorithm 1 with the
    top-down criterion over all of the chosen. Exact on the covariance of any linear SCM of equal noise variances
    (and of those that do not fall along the order too fast). O(n³) a graph; ties go to the lowest index.
    refit: "least_squares", the coefficients on all predecessors, to be thresholded.
    """

    refit: Literal["least_squares"] = "least_squares"
    name: ClassVar[str] = "eqvar"

    def __post_init__(self) -> None:
        if self.refit != "least_squares":
            raise InputError(f"eqvar: refit is {self.refit!r}; choose least_squares")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, nothing is random
        """One order and one W a problem; the order and its regression come out of one elimination."""
        return fits_along(*eliminate(problems.covariance))
