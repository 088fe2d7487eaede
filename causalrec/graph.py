"""A graph from samples or a covariance, and what to know before believing it. W[i, j] is the effect of j on i."""

import inspect
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components

from causalrec.errors import InputError, short
from causalrec.methods.streams import generator
from causalrec.structure import Fits, Floats, Learner, Problems, threshold_to_dag
from causalrec.structure import threshold as cut
from causalrec.structure.doubts import SAME_VARIANCE, counting, doubts
from causalrec.structure.evidence import evidence, in_both, standardised
from causalrec.structure.newton import Solver
from causalrec.structure.own import UserLearner, by_fit
from causalrec.structure.registry import load, make
from causalrec.structure.resampling import EdgeConfidence, edge_confidence
from causalrec.structure.sortability import r2_sortability, varsortability

if TYPE_CHECKING:
    import networkx

NEEDS_ORDER = "oracle"
FASTER = "take fewer variables, or a method of one pass, such as eqvar"
MATRICES = 20  # arrays of n² float64 that a Newton step holds at once, at least


@dataclass(frozen=True, eq=False)
class Graph:
    """A learned graph.

    Args:
        names: Of the variables, in the order of `W`.
        W: Weights after the threshold and without cycles, (n, n); W[i, j] is the effect of j on i.
        method: The learner's name.
        options: Its options that were given.
        threshold: Least |weight| of an edge.
        problems: What it was learned from, of one problem.
        fits: What the learner gave.
        removed: How many edges were removed to break cycles.
        again: Learns from other problems in the same way; `told` takes it. Default None: not told.
        doubts: What is doubtful about the data. Default nothing.
        confidence: How sure each edge is, from resamples of the rows. Default None: none were drawn.
    """

    names: tuple[Hashable, ...]
    W: Floats
    method: str
    options: Mapping[str, Any]
    threshold: float
    problems: Problems
    fits: Fits
    removed: int
    again: Callable[[Problems], Fits] | None = None
    doubts: tuple[str, ...] = ()
    confidence: EdgeConfidence | None = None

    @property
    def weights(self) -> pd.DataFrame:
        """W with names: rows are effects, columns causes."""
        rows, columns = pd.Index(self.names, name="effect"), pd.Index(self.names, name="cause")
        return pd.DataFrame(self.W.copy(), rows, columns)

    @property
    def edges(self) -> pd.DataFrame:
        """Cause, effect and weight of every edge, the strongest first.

        With resamples, also `probability` of the edge in this direction, and `direction`, that given an edge.
        """
        found = pd.DataFrame(self.edge_list(), columns=["cause", "effect", "weight"])
        if self.confidence is None:
            return found
        at = tuple(np.array(self._places(), dtype=np.int64).reshape(-1, 2).T)
        return found.assign(probability=self.confidence.probability[at], direction=self.confidence.direction[at])

    @property
    def probabilities(self) -> pd.DataFrame:
        """The probability of every possible edge, with names: rows are effects, columns causes.

        Raises:
            InputError: No resamples were drawn.
        """
        if self.confidence is None:
            raise InputError("no resamples were drawn; learn the graph with bootstrap=100")
        rows, columns = pd.Index(self.names, name="effect"), pd.Index(self.names, name="cause")
        return pd.DataFrame(self.confidence.probability.copy(), rows, columns)

    def edge_list(self) -> list[tuple[Hashable, Hashable, float]]:
        """Return cause, effect and weight of every edge, the strongest first."""
        return [(self.names[j], self.names[i], float(self.W[i, j])) for i, j in self._places()]

    def _places(self) -> list[list[int]]:
        """Effect and cause of every edge, the strongest first."""
        return sorted(np.argwhere(self.W).tolist(), key=lambda at: -abs(self.W[at[0], at[1]]))

    @property
    def converged(self) -> bool:
        """Whether the learner converged."""
        return bool(self.fits.converged[0])

    @property
    def undirected(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) whose edge has no direction in the learner's equivalence class; they are in no W."""
        if self.fits.cpdag is None:
            return ()
        both = self.fits.cpdag[0] & self.fits.cpdag[0].T
        return tuple((int(i), int(j)) for i, j in np.argwhere(np.triu(both, 1)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the data and the graph."""
        found, method, open_ends = list(self.doubts), self.method, len(self.undirected)
        if not self.converged:
            found.append(f"{method} did not converge: W may be far from its optimum, and h from 0")
        if open_ends:
            found.append(f"{open_ends} edges have no direction in the class that {method} found; W leaves them out")
        return tuple(found)

    @property
    def diagnostics(self) -> "pd.Series[Any]":
        """What to know of the graph before believing it, by name; the first time, it is learned once more for this."""
        return pd.Series(self.told, name=self.method, dtype=object)

    @cached_property
    def told(self) -> dict[str, str | int | float | None]:
        """The diagnostics as plain values."""
        covariance, W, iterations = self.problems.covariance[0], self.W, int(self.fits.iterations[0])
        try:
            r2: str | float | None = r2_sortability(W, covariance)
        except InputError:
            r2 = "none: the covariance is singular"
        return {
            "samples": "exact covariance" if self.problems.samples is None else self.problems.samples,
            "variables": len(W),
            "edges": int((W != 0).sum()),
            "varsortability of the graph": varsortability(W, covariance),
            "R2-sortability of the graph": r2,
            "edges that stay when standardised": self._staying(),
            **evidence(W, self.problems),
            "h of W before the threshold": float(self.fits.h[0]),
            "nodes on a cycle before the threshold": _on_cycles(self.fits.W[0]),
            "nodes on a cycle after it": _on_cycles(cut(self.fits.W[0], self.threshold)),
            "edges removed for acyclicity": self.removed,
            "converged": "yes" if self.converged else "no",
            "iterations": iterations if iterations >= 0 else "not told",
        }

    def _staying(self) -> str | float | None:
        """Of all edges found as given or from standardised variables, the share in both.

        The weights of the latter are brought back to the units given before the threshold, so that a learner for which
        units make no difference keeps all edges.
        """
        variance = self.problems.covariance[0].diagonal()
        if variance.max() <= (1 + SAME_VARIANCE) * variance.min():
            return "none: they are standardised as given"
        if self.again is None:
            return "not told"
        try:
            W = self.again(standardised(self.problems)).W[0] * np.sqrt(variance[:, None] / variance)
        except InputError as error:
            return f"none: {error}"
        return in_both(self.W, threshold_to_dag(W, self.threshold)[0])

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the learner, which may be a function of the user's own; so `told` comes first."""
        _ = self.told
        return {**vars(self), "again": None}

    def to_networkx(self) -> "networkx.DiGraph[Any]":
        """Return the graph with an edge from each cause to its effect, whose `weight` is the effect."""
        import networkx

        found = networkx.DiGraph()
        found.add_nodes_from(self.names)
        found.add_weighted_edges_from(self.edge_list())
        return found


def learn_graph(
    X: ArrayLike | pd.DataFrame,
    method: object = "eqvar",
    *,
    threshold: float = 0.3,
    covariance: bool = False,
    samples: int | None = None,
    names: Sequence[Hashable] | None = None,
    seed: int = 0,
    bootstrap: int = 0,
    resample: str = "bootstrap",
    calibrate: int = 0,
    **options: Any,
) -> Graph:
    """Learn one graph from samples or their covariance.

    Args:
        X: Samples (rows) of variables (columns), or their covariance (n, n).
        method: Name of a learner, see `learners`; or one of your own, a function or an object or a class with `fit`,
            see `causalrec.structure.own`.
        threshold: Least |weight| of an edge, 0 or more. Default 0.3.
        covariance: Whether X is a covariance. Default False.
        samples: How many samples the covariance was estimated from. Default None: it is exact.
        names: Of the variables. Default: the columns of a DataFrame, otherwise x0, x1, ...
        seed: Root seed of a learner that draws, and of resamples. Default 0.
        bootstrap: Resamples of the rows that the learner learns from as well, for `Graph.confidence`. Default 0, none.
        resample: How they are drawn, "bootstrap" or "halves", see `causalrec.structure.resampling`. Default
            "bootstrap".
        calibrate: Worlds like the one found that their frequencies are calibrated on to become probabilities, each at
            the cost of all resamples; 2 are a good start. Default 0: they stay frequencies.
        options: Of the learner: the fields of its class.

    Raises:
        InputError: X holds no matrix of finite numbers, constant or equal columns; an unknown learner or option; or the
            learner fails on the data; or resamples of a covariance.
    """
    problems, found = problem_of(X, covariance=covariance, samples=samples, names=names)
    learner, called = _learner(method, options)
    graph = learn(problems, found, learner, called, options, threshold=threshold, seed=seed)
    if bootstrap or calibrate or resample != "bootstrap":
        graph = resampled(graph, learner, bootstrap, resample, calibrate, seed)
    texts = [str(name) for name in found]
    doubtful = () if problems.rows is None else counting(problems.rows[0], texts)
    return replace(graph, doubts=(*doubtful, *doubts(problems.covariance[0], texts, problems.samples)))


def learn(
    problems: Problems,
    names: Sequence[Hashable],
    learner: Learner,
    method: str,
    options: Mapping[str, Any],
    *,
    threshold: float = 0.3,
    seed: int = 0,
    faster: str = FASTER,
) -> Graph:
    """Learn one graph with a learner that is made already.

    Args:
        problems: One problem.
        names: Of its variables.
        learner: The learner.
        method: What errors and tables call it.
        options: Its options that were given, for tables.
        threshold: Least |weight| of an edge, 0 or more. Default 0.3.
        seed: Root seed of a learner that draws. Default 0.
        faster: What to do where memory does not suffice, in words.

    Raises:
        InputError: A threshold out of range, too little memory, or a learner that needs the true order or fails.
    """
    if not 0 <= threshold < np.inf:
        raise InputError(f"threshold is {threshold:g}; give a number of 0 or more")
    if getattr(type(learner), "name", "") == NEEDS_ORDER:
        raise InputError(f"method {method} needs the true causal order, which no data carry; choose another")
    n = problems.covariance.shape[1]
    if isinstance(learner, Solver) and (least := MATRICES * 8 * n**2) > (memory := _memory()):
        raise InputError(
            f"{method} on {n} variables needs {least / 2**30:.3g} GiB of memory or more, and here are "
            f"{memory / 2**30:.3g}; {faster}"
        )
    again = partial(_fit, learner, method, seed, faster)
    fits = again(problems)
    graphs, removed = threshold_to_dag(fits.W, threshold)
    return Graph(tuple(names), graphs[0], method, dict(options), threshold, problems, fits, int(removed[0]), again)


def _fit(learner: Learner, method: str, seed: int, faster: str, problems: Problems) -> Fits:
    """What a learner finds in one problem, all finite; the same seed draws the same."""
    left = f"{method} left float64 on these data; give them in units in which variances are near 1"
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            fits = learner.fit(problems, generator(root=seed, stream="learn"))
    except (ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        raise InputError(f"{left} ({' '.join(str(error).split())})") from error
    except MemoryError as error:
        n = problems.covariance.shape[1]
        raise InputError(f"{method} on {n} variables needs more memory than there is; {faster}") from error
    if fits.errors is not None and fits.errors[0]:
        raise InputError(f"{method} failed: {' '.join(fits.errors[0].split())}")
    if not (np.isfinite(fits.W).all() and np.isfinite(fits.h).all()):
        raise InputError(left)
    return fits


def resampled(
    graph: Graph, learner: Learner, resamples: int, kind: str = "bootstrap", calibrate: int = 0, seed: int = 0
) -> Graph:
    """Return a graph with the confidence of its edges.

    Args:
        graph: Learned from rows.
        learner: What it was learned by.
        resamples: As for `causalrec.structure.resampling.edge_confidence`.
        kind: As there. Default "bootstrap".
        calibrate: As there. Default 0.
        seed: Root seed. Default 0.

    Raises:
        InputError: As there.
    """
    confidence = edge_confidence(
        graph.problems, learner, generator(root=seed, stream="resamples"), resamples=resamples, kind=kind,
        tau=graph.threshold, calibrate=calibrate,
    )  # fmt: skip
    return replace(graph, confidence=confidence)


def problem_of(
    X: ArrayLike | pd.DataFrame,
    *,
    covariance: bool = False,
    samples: int | None = None,
    names: Sequence[Hashable] | None = None,
) -> tuple[Problems, tuple[Hashable, ...]]:
    """Check a matrix and return it as one problem with the names of its variables.

    Args:
        X: As for `learn_graph`.
        covariance: As for `learn_graph`.
        samples: As for `learn_graph`.
        names: As for `learn_graph`.

    Raises:
        InputError: As `learn_graph`.
    """
    if samples is not None and not covariance:
        raise InputError("samples goes with covariance=True; of samples the rows are counted")
    values = _numbers(X)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"X has shape {values.shape}; give (samples, variables), at least one of each")
    n = values.shape[1]
    given = names if names is not None else X.columns if isinstance(X, pd.DataFrame) else [f"x{k}" for k in range(n)]
    found = tuple(given)
    if len(found) != n or len(set(found)) != n:
        raise InputError(f"the names are {short(list(found))}; give {n} different ones, one per column of X")
    missing = (~np.isfinite(values)).sum(0)
    if missing.any():
        name, count = found[int(missing.argmax())], int(missing.max())
        raise InputError(f"column {short(name)} has {count} values that are missing or infinite; drop or impute them")
    if covariance:
        return Problems(values[None], samples), found
    if len(values) < 2:
        raise InputError("X has one row; to learn from samples takes two or more")
    if len(constant := np.flatnonzero((values == values[0]).all(0))):
        raise InputError(f"column {short(found[constant[0]])} is {values[0, constant[0]]:g} in every row; drop it")
    seen: dict[bytes, int] = {}
    for k, column in enumerate((values + 0.0).T):  # + 0.0 makes −0 equal to 0
        if (first := seen.setdefault(column.tobytes(), k)) != k:
            raise InputError(f"columns {short(found[first])} and {short(found[k])} are equal; drop one of them")
    return Problems.from_samples(values), found


def _numbers(X: ArrayLike | pd.DataFrame) -> Floats:
    """The values in float64, what is missing as NaN."""
    if isinstance(X, pd.DataFrame):
        for name, kind in X.dtypes.items():
            if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
                raise InputError(f"column {short(name)} holds {kind}, no numbers; drop or encode it")
        return np.ascontiguousarray(X.to_numpy(dtype=np.float64, na_value=np.nan))  # sums round as in a file's rows
    values = np.asarray(X)
    if values.dtype.kind not in "biuf":
        raise InputError(f"X has dtype {values.dtype}; give an array or a DataFrame of numbers")
    return np.ascontiguousarray(values, dtype=np.float64)


def _learner(method: object, options: Mapping[str, Any]) -> tuple[Learner, str]:
    """A learner and its name, from a name, or from a function, an object or a class of the user's own."""
    if isinstance(method, str):
        return load(method, **options), method
    called = str(getattr(method, "__name__", type(method).__name__))
    fit = getattr(method, "fit", None)
    if not callable(fit) and not callable(method):
        raise InputError(f"method is {short(method)}; give a learner's name, or a function, object or class with fit")
    if options and not isinstance(method, type):
        raise InputError(f"{called} is made already and takes no option {', '.join(options)}; give them to it")
    if not callable(fit):
        return UserLearner(called, method), called  # type: ignore[arg-type]
    if isinstance(method, type):
        method = make(called, method, **options) if hasattr(method, "__dataclass_fields__") else method(**options)
        fit = method.fit
    ours = {"problems", "generator"} <= set(inspect.signature(fit).parameters)
    return (method if ours else UserLearner(called, by_fit(method))), called  # type: ignore[return-value]


def _memory() -> float:
    """Bytes of memory that this machine has, as far as the system tells."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no such function
        return np.inf


def _on_cycles(W: Floats) -> int:
    """How many nodes lie on a cycle."""
    component = connected_components(W != 0, connection="strong")[1]
    return int((np.bincount(component)[component] > 1).sum())
