"""SCMs whose rows are moments of one series, so that samples are not independent."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synth.errors import InputError
from synth.scm import DerivedSCM, LinearSCM

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AutocorrelatedSCM(DerivedSCM):
    """X_t = B X_t + V_t with V_t = phi V_(t-1) + sqrt(1 - phi²) Lambda U_t, started as Lambda U_0.

    Every row has the SCM's covariance, but n rows tell as much of it as about n (1 - phi²) / (1 + phi²) independent
    ones.

    Args:
        phi: the autocorrelation of neighbouring rows, 0 to below 1.

    Raises:
        InputError: phi out of range.
    """

    phi: float

    def __post_init__(self) -> None:
        if not 0 <= self.phi < 1:
            raise InputError(f"autocorrelated: got phi {self.phi}; expected a correlation of 0 to below 1.")

    @property
    def covariance(self) -> Floats:
        """The SCM's, (n, n)."""
        return self.scm.covariance

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X, (samples, n), the first moment first; with a phi of 0 this is exactly the draw of the SCM alone."""
        V, fresh = self.scm.sample_noise(rng, samples), np.sqrt(1 - self.phi**2)
        for t in range(1, samples):
            V[t] = self.phi * V[t - 1] + fresh * V[t]
        return V @ self.scm.mixing.T


@dataclass(frozen=True, eq=False)
class LaggedSCM(DerivedSCM):
    """X_t = (1 - s) B X_t + s B X_(t-1) + Lambda U_t, stationary: a share s of every effect comes a row later.

    With A = (I - (1 - s) B)^-1 this is X_t = Phi X_(t-1) + A Lambda U_t, where Phi = s A B has no power n, since B is
    that of a DAG: a row depends on the n latest draws of U and on no earlier one.

    Args:
        share: s, 0 to 1.

    Raises:
        InputError: a share out of range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"lagged: got share {self.share}; expected the share of each effect that lags, 0 to 1.")

    @cached_property
    def _at_once(self) -> LinearSCM:
        return LinearSCM((1 - self.share) * self.B, self.scm.noise_scale, self.scm.noise)

    @property
    def _step(self) -> Floats:
        """Phi, (n, n)."""
        return self.share * self._at_once.mixing @ self.B

    @cached_property
    def covariance(self) -> Floats:
        """Of one row, sum_(k < n) Phi^k A Lambda² A^T Phi^kT, (n, n)."""
        S, Phi = self._at_once.covariance, self._step
        for _ in range(1, self.nodes):
            S = self._at_once.covariance + Phi @ S @ Phi.T
        return (S + S.T) / 2

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X, (samples, n), the first moment first; with a share of 0 this is exactly the draw of the SCM alone."""
        now = self._at_once.sample(rng, samples)
        part = np.concatenate([self._at_once.sample(rng, self.nodes), now])  # A Lambda U, n rows earlier on
        X, Phi = part.copy(), self._step
        for _ in range(1, self.nodes):
            part = np.concatenate([np.zeros((1, self.nodes)), part[:-1] @ Phi.T])
            X += part
        return X[self.nodes :]
