"""Nonlinear additive-noise models on the graph and weights of a linear SCM."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from synth.errors import InputError
from synth.scm import DerivedSCM

Floats = NDArray[np.float64]
Reach = Literal["sum", "parents"]

# None grows faster than its argument, so that values stay finite along any path. `quadratic` is x² near 0, |x| far out.
MECHANISMS: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"tanh": np.tanh, "sine": np.sin, "quadratic": lambda x: x * x / (1 + np.abs(x))}
)


@dataclass(frozen=True, eq=False)
class NonlinearSCM(DerivedSCM):
    """X_i = (1 - t) sum_j B_ij X_j + t F_i(X) + Lambda_i U_i, with t the strength.

    F_i is f(sum_j B_ij X_j) (of `sum`) or sum_j B_ij f(X_j) (of `parents`). B are the weights inside the mechanisms:
    their support is the graph, but they are not regression coefficients.

    Args:
        mechanism: name of f in `MECHANISMS`: `tanh`, `sine` or `quadratic`.
        of: what f is applied to, `sum` (default) or `parents`.
        strength: t, from 0, the linear SCM, to 1 (default).

    Raises:
        InputError: an unknown name, or a strength out of range.
    """

    mechanism: str
    of: Reach = "sum"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise InputError(f"mechanism: got {self.mechanism!r}; expected one of {', '.join(MECHANISMS)}.")
        if self.of not in get_args(Reach):
            raise InputError(f"of: got {self.of!r}; expected one of {', '.join(get_args(Reach))}.")
        if not 0 <= self.strength <= 1:
            raise InputError(f"strength: got {self.strength}; expected 0, linear, to 1, the mechanism alone.")

    @property
    def covariance(self) -> Floats:
        """Raises InputError, since there is no closed form."""
        raise InputError("covariance: a nonlinear SCM has none in closed form; give a number of samples.")

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X, (samples, n) float64."""
        f, X = MECHANISMS[self.mechanism], self.scm.sample_noise(rng, samples)
        for i in self.order:
            causes = np.flatnonzero(self.B[i])
            weights, values = self.B[i, causes], X[:, causes]
            linear = values @ weights
            curved = f(linear) if self.of == "sum" else f(values) @ weights
            X[:, i] += (1 - self.strength) * linear + self.strength * curved
        return X
