"""Linear structural causal models X = B X + Lambda U, with exact covariance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from synth.errors import InputError
from synth.graphs import Adjacency, Indices, as_adjacency, topological_order

Floats = NDArray[np.float64]
Noise = Literal["gaussian", "exponential", "gumbel", "uniform", "laplace", "student_t"]
Profile = Literal["equal", "random", "rising", "falling"]

# Each has mean 0 and variance 1. `student_t` has 3 degrees of freedom: no fourth moment, so covariances settle slowly.
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "gumbel": lambda rng, shape: (rng.gumbel(size=shape) - np.euler_gamma) * (np.sqrt(6) / np.pi),
    "uniform": lambda rng, shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
    "laplace": lambda rng, shape: rng.laplace(scale=np.sqrt(0.5), size=shape),
    "student_t": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
}


@dataclass(frozen=True, eq=False)
class LinearSCM:
    """X = B X + Lambda U over n variables, U independent with mean 0 and variance 1. Arrays are copied and made
    read-only.

    Args:
        B: (n, n) float64, B[i, j] the effect of j on i.
        noise_scale: (n,) float64, the standard deviations on Lambda's diagonal, above 0.
        noise: law of U, a key of `NOISES`, default `gaussian`.

    Raises:
        InputError: B has a cycle, which the message names, or a shape, entry, scale or law does not fit.
    """

    B: Floats
    noise_scale: Floats
    noise: Noise = "gaussian"

    def __post_init__(self) -> None:
        B, scale = (np.array(a, dtype=np.float64) for a in (self.B, self.noise_scale))
        if B.ndim != 2 or B.shape[0] != B.shape[1] or scale.shape != B.shape[:1]:
            raise InputError(f"LinearSCM: got B {B.shape}, noise_scale {scale.shape}; expected (n, n) and (n,).")
        if not np.isfinite(B).all():
            raise InputError("LinearSCM: B has entries that are not finite; expected real weights.")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise InputError(f"LinearSCM: noise_scale is {scale}; expected standard deviations above 0.")
        if self.noise not in NOISES:
            raise InputError(f"LinearSCM: noise is {self.noise!r}; expected one of {', '.join(NOISES)}.")
        topological_order(B != 0)
        for name, array in (("B", B), ("noise_scale", scale)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def nodes(self) -> int:
        """The number of variables, n."""
        return len(self.B)

    @property
    def graph(self) -> Adjacency:
        """The support of B, (n, n) bool: [i, j] says j -> i."""
        return np.asarray(self.B != 0)

    @cached_property
    def order(self) -> Indices:
        """The variables, causes first, (n,) int64."""
        return topological_order(self.graph)

    @cached_property
    def mixing(self) -> Floats:
        """A = (I - B)^-1, (n, n): [i, j] is the total effect of j's noise on i. Unit triangular in causal order."""
        in_order = np.ix_(self.order, self.order)
        A = np.empty_like(self.B)
        A[in_order] = solve_triangular(
            np.eye(self.nodes) - self.B[in_order], np.eye(self.nodes), lower=True, unit_diagonal=True
        )
        A.setflags(write=False)
        return A

    @cached_property
    def covariance(self) -> Floats:
        """Cov(X) = (I - B)^-1 Lambda^2 (I - B)^-T, (n, n), exact and exactly symmetric."""
        root = self.mixing * self.noise_scale
        S = root @ root.T
        S = (S + S.T) / 2
        S.setflags(write=False)
        return S

    def sample_noise(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw Lambda U, (samples, n) float64.

        Args:
            rng: source of randomness.
            samples: number of rows, at least 1.

        Raises:
            InputError: no samples.
        """
        if samples < 1:
            raise InputError(f"samples: got {samples}; expected at least 1.")
        return NOISES[self.noise](rng, (samples, self.nodes)) * self.noise_scale

    def sample(self, rng: np.random.Generator, samples: int) -> Floats:
        """Draw X, (samples, n) float64.

        Args:
            rng: source of randomness.
            samples: number of rows, at least 1.
        """
        return self.sample_noise(rng, samples) @ self.mixing.T


@dataclass(frozen=True, eq=False)
class DerivedSCM:
    """A world with the graph, order and weights of the SCM it is made from.

    Args:
        scm: that SCM.
    """

    scm: LinearSCM

    @property
    def nodes(self) -> int:
        """The number of observed variables, n."""
        return self.scm.nodes

    @property
    def graph(self) -> Adjacency:
        """The SCM's DAG, (n, n) bool."""
        return self.scm.graph

    @property
    def order(self) -> Indices:
        """The SCM's order, (n,) int64."""
        return self.scm.order

    @property
    def B(self) -> Floats:
        """The SCM's weights, (n, n), before any scaling of what is observed."""
        return self.scm.B


def sample_many(scms: Sequence[LinearSCM], rngs: Sequence[np.random.Generator], samples: int) -> Floats:
    """Sample several SCMs of n variables, each from its own generator: (len(scms), samples, n) float64.

    Each problem gets the samples it would get alone, so results do not depend on how problems are batched.

    Args:
        scms: SCMs with the same number of variables.
        rngs: one generator per SCM.
        samples: rows per SCM, at least 1.

    Raises:
        InputError: numbers of variables or of generators differ.
    """
    if len({scm.nodes for scm in scms}) != 1 or len(scms) != len(rngs):
        raise InputError(
            f"sample_many: got nodes {[scm.nodes for scm in scms]} and {len(rngs)} generators; "
            "expected one number of nodes and one generator for each SCM."
        )
    return np.stack([scm.sample(rng, samples) for scm, rng in zip(scms, rngs, strict=True)])


def draw_scm(
    rng: np.random.Generator,
    graph: ArrayLike,
    *,
    weights: tuple[float, float] = (0.5, 2.0),
    signed: bool = True,
    noise: Noise = "gaussian",
    profile: Profile = "equal",
    ratio: float = 1.0,
) -> LinearSCM:
    """Draw weights and noise variances for a DAG.

    Noise variances lie in [1, ratio]: `equal`, all 1; `random`, log-uniform; `rising` and `falling`, geometric from 1
    to ratio and back along the causal order. The weights drawn do not depend on profile or ratio, so that worlds that
    differ only there are paired.

    Args:
        rng: source of randomness.
        graph: bool (n, n), a DAG.
        weights: smallest and largest |B[i, j]|, drawn uniformly, default (0.5, 2).
        signed: give half of the weights a minus sign; default True.
        noise: law of U, a key of `NOISES`, default `gaussian`.
        profile: `equal` (default), `random`, `rising` or `falling`.
        ratio: largest over smallest noise variance (not standard deviation), at least 1 (default).

    Raises:
        InputError: an option out of range, or a cycle.
    """
    G = as_adjacency(graph)
    order = topological_order(G)
    low, high = weights
    if not 0 < low <= high < np.inf:
        raise InputError(f"weights: got {weights}; expected (low, high) with 0 < low <= high.")
    if profile not in get_args(Profile):
        raise InputError(f"profile: got {profile!r}; expected one of {', '.join(get_args(Profile))}.")
    if not 1 <= ratio < np.inf:
        raise InputError(f"ratio: got {ratio}; expected the largest over the smallest noise variance, 1 or more.")

    edges = int(G.sum())
    magnitudes = rng.uniform(low, high, edges)
    signs = np.where(rng.random(edges) < 0.5, -1.0, 1.0)
    B = np.zeros(G.shape)
    B[G] = magnitudes * signs if signed else magnitudes

    steps = np.linspace(0, 1, len(G))
    exponents = np.zeros(len(G))
    if profile == "random":
        exponents = rng.random(len(G))
    elif profile == "rising":
        exponents[order] = steps
    elif profile == "falling":
        exponents[order] = steps[::-1]
    return LinearSCM(B, np.sqrt(ratio**exponents), noise)
