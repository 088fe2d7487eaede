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
    """X_i = f(sum_j B_ij X_j) + Lambda_i U_i (of `sum`), or X_i = sum_j B_ij f(X_j) + Lambda_i U_i (of `parents`).

    B are the weights inside the mechanisms: their support is the graph, but they are not regression coefficients.

    Args:
        mechanism: name of f in `MECHANISMS`: `tanh`, `sine` or `quadratic`.
        of: what f is applied to, `sum` (default) or `parents`.

    Raises:
        InputError: an unknown name.
    """

    mechanism: str
    of: Reach = "sum"

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise InputError(f"mechanism: got {self.mechanism!r}; expected one of {', '.join(MECHANISMS)}.")
        if self.of not in get_args(Reach):
            raise InputError(f"of: got {self.of!r}; expected one of {', '.join(get_args(Reach))}.")

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
            X[:, i] += f(values @ weights) if self.of == "sum" else f(values) @ weights
        return X
