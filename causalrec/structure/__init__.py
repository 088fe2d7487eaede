"""Graph learners, one file each, one protocol: covariances in, weighted graphs out. W[i, j] is the effect of j on i.

`causalrec.structure.registry` finds them by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from causalrec.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

@dataclass(frozen=True, eq=False)
class Problems:
    """m problems of n variables: what a learner may see. Arrays are copied, checked and made read-only.

    Args:
        covariance: (m, n, n) float64.
        samples: number of rows it was estimated from, at least 2; None (default) if it is exact.
        order: (m, n) int64, a known causal order, causes first; only the oracle and readings masked by time use it.
        rows: (m, samples, n), the samples themselves, for learners that need more than the covariance; default None.

    Raises:
        InputError: NaN, no nodes, a matrix that is not square, symmetric or positive semidefinite, a constant column,
            fewer than two samples, or an order that is not a permutation; the message names the problem and the column.
    """

    covariance: Floats
    samples: int | None = None
    order: Integers | None = None
    rows: Floats | None = None

    def __post_init__(self) -> None:
        S = np.array(self.covariance, dtype=np.float64)
        if S.ndim != 3 or S.shape[1] != S.shape[2] or 0 in S.shape:
            raise InputError(f"covariance has shape {S.shape}; give (problems, nodes, nodes), at least one of each")
        _refuse(~np.isfinite(S).all(1), "covariances that are not finite", "drop or impute missing values first")
        variance = S.diagonal(axis1=1, axis2=2)
        _refuse(variance <= 0, "variance 0 or less", "drop constant columns first")
        scale = np.sqrt(variance)
        correlation = S / scale[:, :, None] / scale[:, None, :]
        _refuse((np.abs(correlation - correlation.mT) > 1e-9).any(1), "an asymmetric covariance", "symmetrise it")
        least = np.linalg.eigvalsh(correlation)[:, 0]
        if least.min() < -1e-8 * S.shape[1]:
            raise InputError(
                f"problem {least.argmin()} has a covariance that is not positive semidefinite; "
                "estimate it from complete rows"
            )
        if self.samples is not None and self.samples < 2:
            raise InputError(f"samples = {self.samples}; a covariance needs two or more, None if it is exact")
        S = (S + S.mT) / 2
        S.setflags(write=False)
        object.__setattr__(self, "covariance", S)
        if self.order is not None:
            order = np.array(self.order, dtype=np.int64)
            if order.shape != S.shape[:2] or (np.sort(order, axis=1) != np.arange(S.shape[1])).any():
                raise InputError(
                    f"order has shape {order.shape}; give {S.shape[:2]}, each row a permutation of 0..n-1"
                )
            order.setflags(write=False)
            object.__setattr__(self, "order", order)
        if self.rows is not None:
            rows = np.array(self.rows, dtype=np.float64)
            if rows.ndim != 3 or rows[:, 0].shape != S.shape[:2] or rows.shape[1] != self.samples:
                expected = (S.shape[0], self.samples, S.shape[1])
                raise InputError(f"rows have shape {rows.shape}; give {expected}, as the covariances and samples say")
            rows.setflags(write=False)
            object.__setattr__(self, "rows", rows)

    @classmethod
    def from_samples(cls, samples: ArrayLike, order: ArrayLike | None = None) -> "Problems":
        """Return problems with the covariances of data, divided by the number of samples, about the mean.

        Args:
            samples: (m, s, n) or (s, n); rows are samples.
            order: known causal order (m, n) or (n,), causes first; default None.

        Raises:
            InputError: a wrong shape, fewer than two samples, values that are not finite, or a constant column.
        """
        X = np.asarray(samples, dtype=np.float64)
        if X.ndim == 2:
            X = X[None]
        if X.ndim != 3 or 0 in X.shape:
            raise InputError(f"samples have shape {X.shape}; give (samples, nodes) or (problems, samples, nodes)")
        if X.shape[1] < 2:
            raise InputError(f"samples have {X.shape[1]} row; a covariance needs two or more")
        _refuse(~np.isfinite(X).all(1), "values that are not finite", "drop or impute them first")
        _refuse((X[:, :1] == X).all(1), "one constant value", "drop constant columns first")
        centred = X - X.mean(1, keepdims=True)
        known = None if order is None else np.atleast_2d(np.asarray(order, dtype=np.int64))
        return cls(centred.mT @ centred / X.shape[1], X.shape[1], known, X)


@dataclass(frozen=True, eq=False)
class Fits:
    """What a learner returns for m problems.

    Args:
        W: (m, n, n) float64, dense, before any threshold.
        h: (m,) float64, tr(e^{W∘W}) − n of that W.
        converged: (m,) bool.
        iterations: (m,) int64.
        order: (m, n), causes first, from learners that find one; default None.
        trace: named arrays (steps, m) of the optimisation, from learners that optimise; default None.
        cpdag: (m, n, n) bool, from learners that return an equivalence class; default None. [i, j] alone is the edge j
            → i, [i, j] and [j, i] together are an undirected edge; W then holds only orientations that are in it.
        errors: from learners that may fail on a single problem, what went wrong with each ("" if nothing did); the W of
            a failed problem is 0. Default None.
    """

    W: Floats
    h: Floats
    converged: NDArray[np.bool_]
    iterations: Integers
    order: Integers | None = None
    trace: Mapping[str, NDArray[Any]] | None = None
    cpdag: NDArray[np.bool_] | None = None
    errors: tuple[str, ...] | None = None


class Learner(Protocol):
    """A graph learner. Its options are the fields of a frozen dataclass."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        """Learn one graph per problem.

        Args:
            problems: m problems of n variables.
            generator: source of all randomness.
        """


def threshold(W: Floats, tau: float = 0.3) -> Floats:
    """Return W with the entries below tau in magnitude set to 0.

    Args:
        W: weights (..., n, n).
        tau: smallest magnitude kept, default 0.3.
    """
    return np.where(np.abs(W) < tau, 0.0, W)


def threshold_to_dag(W: Floats, tau: float = 0.3) -> tuple[Floats, Integers]:
    """Apply `threshold`, then remove the weakest edge on a cycle until there is no cycle.

    Args:
        W: weights (..., n, n).
        tau: smallest magnitude kept, default 0.3.

    Returns:
        The DAGs (..., n, n), and the number of edges removed to break cycles (...,).
    """
    dag = threshold(W, tau)
    removed = np.zeros(dag.shape[:-2], dtype=np.int64)
    for problem in np.ndindex(removed.shape):
        weights = dag[problem]
        while True:
            component = connected_components(weights != 0, connection="strong")[1]
            cyclic = (weights != 0) & (component[:, None] == component)
            if not cyclic.any():
                break
            weights.flat[np.argmin(np.where(cyclic, np.abs(weights), np.inf))] = 0
            removed[problem] += 1
    return dag, removed


def _refuse(bad: ArrayLike, what: str, remedy: str) -> None:
    """Raise InputError for the first true entry of bad (problems, columns)."""
    if np.any(bad):
        problem, column = np.argwhere(bad)[0]
        raise InputError(f"problem {problem}, column {column} has {what}; {remedy}")
