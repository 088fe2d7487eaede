"""Graph learners, one file each, one protocol: covariances in, weighted graphs out. W[i, j]: effect of j on i.

`causalrec.structure.registry` knows them by name.
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
    """m problems of n variables: what a learner may see. Arrays are copied, checked and frozen.

    covariance: (m, n, n) float64. samples: how many rows it was estimated from, None where it is exact.
    order: (m, n), a known causal order, causes first; only the oracle reads it. rows: (m, s, n), the samples
    themselves, where there are any; for learners that need more than the covariance.

    Raises InputError, naming the problem and the column, for NaN, no nodes, matrices that are not square, symmetric
    or positive semidefinite, constant columns, fewer than two samples, and orders that are not permutations.
    """

    covariance: Floats
    samples: int | None = None
    order: Integers | None = None
    rows: Floats | None = None

    def __post_init__(self) -> None:
        S = np.array(self.covariance, dtype=np.float64)
        if S.ndim != 3 or S.shape[1] != S.shape[2] or 0 in S.shape:
            raise InputError(f"covariance has shape {S.shape}; give (problems, nodes, nodes), with one of each or more")
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
        """Problems from data, (m, s, n) or (s, n): rows are samples. Covariances are over s, about the mean."""
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

    W: (m, n, n) float64, dense, before any threshold. h: (m,) float64, tr(e^{W∘W}) − n of that W. converged: (m,)
    bool. iterations: (m,) int. order: (m, n), causes first, of learners that find one. trace: named arrays
    (steps, m) of the optimisation, of learners that optimise. cpdag: (m, n, n) bool, of learners that return an
    equivalence class: [i, j] alone is the edge j → i, [i, j] and [j, i] together an undirected one; W then holds no
    orientation that is not in it. errors: of learners that may fail on one problem and not on the next, what went
    wrong with each ("" where nothing did); the W of a failed problem is 0.
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
    """A graph learner. Options are the fields of a frozen dataclass."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        """Learn one graph a problem; whatever is random comes from the generator."""


def threshold(W: Floats, tau: float = 0.3) -> Floats:
    """W (..., n, n) with the entries under tau in magnitude set to 0."""
    return np.where(np.abs(W) < tau, 0.0, W)


def threshold_to_dag(W: Floats, tau: float = 0.3) -> tuple[Floats, Integers]:
    """`threshold`, then while there is a cycle the weakest edge on one is removed.

    Returns the DAGs, of the shape of W (..., n, n), and how many edges were removed for acyclicity's sake (...,).
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
    """Raise for the first true entry of bad (problems, columns)."""
    if np.any(bad):
        problem, column = np.argwhere(bad)[0]
        raise InputError(f"problem {problem}, column {column} has {what}; {remedy}")
