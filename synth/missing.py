"""Samples with missing values, as they look once somebody has made complete rows of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from synth.errors import InputError
from synth.scm import DerivedSCM, LinearSCM

Floats = NDArray[np.float64]
Missingness = Literal["mcar", "mar", "mnar"]
Handling = Literal["mean", "pairwise"]
STEEPNESS = 2.0  # log odds of being missing, per standard deviation of what it depends on
LEAST = 1e-6  # eigenvalue of a correlation matrix, so that it stays regular


@dataclass(frozen=True, eq=False)
class MissingSCM(DerivedSCM):
    """An SCM of whose values some are missing.

    A value of X_i is missing with log odds 2 z - c_i, where z is 0 (`mcar`, completely at random), the driver's value
    in that row (`mar`, at random given what is seen) or its own value (`mnar`, not at random), in standard deviations.
    The c_i are such that the same share of every column is missing; the driver of `mar` is never missing.

    Args:
        mechanism: `mcar`, `mar` or `mnar`.
        handled: `mean` puts the mean of the column's known values in the place of missing ones. `pairwise` takes every
            covariance over the rows in which both values are known; where that is no covariance matrix, the
            eigenvalues of its correlations are raised to 1e-6 or more.
        share: of the values of a column, 0 to below 1.
        driver: the variable that `mar` depends on.

    Raises:
        InputError: an option out of range.
    """

    mechanism: Missingness
    handled: Handling
    share: float
    driver: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("mechanism", self.mechanism, get_args(Missingness)), ("handled", self.handled, get_args(Handling)),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"{name}: got {value!r}; expected one of {', '.join(known)}.")
        if not 0 <= self.share < 1:
            raise InputError(f"missing: got share {self.share}; expected the share of each column, 0 to below 1.")
        if not 0 <= self.driver < self.nodes:
            raise InputError(f"driver: got {self.driver}; expected a variable, 0 to {self.nodes - 1}.")

    @cached_property
    def covariance(self) -> Floats:
        """The limit with many samples, (n, n), for `mcar`: the SCM's, or with means in their place what they shrink.

        Raises:
            InputError: another mechanism.
        """
        if self.mechanism != "mcar":
            raise InputError(f"covariance: {self.mechanism} has none in closed form; give a number of samples.")
        S, known = self.scm.covariance, 1 - self.share
        return S if self.handled == "pairwise" else known**2 * S + np.diag(known * self.share * np.diag(S))

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw complete rows, (samples, n); where nothing is missing they are exactly the draw of the SCM alone.

        Those of `pairwise` are made from the rows of `mean` by a linear map that gives them the pairwise covariance.

        Raises:
            InputError: too few values are known for a covariance.
        """
        X = self.scm.sample(rng, samples)
        known = ~self._holes(X, rng)
        if known.all():
            return X
        together = known.T.astype(float) @ known
        if (together if self.handled == "pairwise" else np.diag(together)).min() < 2:
            raise InputError(f"missing: too few of {samples} rows are known; expected more rows or a smaller share.")
        mean = X.mean(axis=0, where=known)
        if self.handled == "mean":
            return np.where(known, X, mean)
        filled = np.where(known, X - mean, 0.0)
        means = filled.T @ known / together  # of i where j is known
        return np.asarray(mean + _with_covariance(filled, filled.T @ filled / together - means * means.T))

    def _holes(self, X: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
        """What is missing, (samples, n): the largest of the log odds plus logistic noise, by column."""
        score, z = rng.logistic(size=X.shape), X / np.sqrt(np.diag(self.scm.covariance))
        if self.mechanism != "mcar":
            score += STEEPNESS * (z if self.mechanism == "mnar" else z[:, [self.driver]])
        rank = score.argsort(axis=0).argsort(axis=0)
        holes = rank >= len(X) - int(self.share * len(X))
        if self.mechanism == "mar":
            holes[:, self.driver] = False
        return holes


def missing(
    scm: LinearSCM, rng: np.random.Generator, mechanism: Missingness, handled: Handling, share: float
) -> MissingSCM:
    """Make values missing; the driver is drawn.

    Args:
        scm: the SCM.
        rng: source of randomness.
        mechanism: as in `MissingSCM`.
        handled: as in `MissingSCM`.
        share: as in `MissingSCM`.
    """
    return MissingSCM(scm, mechanism, handled, share, int(rng.integers(scm.nodes)))


def _with_covariance(rows: Floats, covariance: Floats) -> Floats:
    """A linear map of centred rows (samples, n), such that this is their covariance, or the nearest that is one."""
    scale = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, LEAST)) * vectors
    root *= (scale / np.linalg.norm(root, axis=1))[:, None]
    Q, R = np.linalg.qr(rows)
    if len(rows) <= len(R) or np.abs(np.diag(R)).min() < 1e-9 * np.abs(R).max():
        raise InputError(f"missing: {len(rows)} rows are too few for pairwise covariances; expected more than columns.")
    L = np.linalg.cholesky(root @ root.T)
    return np.asarray(np.sqrt(len(rows)) * (Q * np.sign(np.diag(R))) @ L.T)
