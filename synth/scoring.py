"""How well an estimate matches a true graph: decided edges, orders, and scores of edges.

Graphs are bool (..., n, n), [i, j] says j -> i; a pair {i, j} has the two entries [i, j] and [j, i]. Decided-edge
metrics work over leading axes. Diagonals are not edges and are never counted. In a CPDAG, the completed partially
directed graph that stands for a Markov equivalence class, [i, j] alone is j -> i, and both entries are one undirected
edge.
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.errors import InputError
from synth.graphs import Adjacency, as_adjacency, is_dag

Floats = NDArray[np.float64]


def _pair(truth: ArrayLike, estimate: ArrayLike) -> tuple[Adjacency, Adjacency]:
    T, E = as_adjacency(truth, "truth"), as_adjacency(estimate, "estimate")
    if T.shape[-1] != E.shape[-1]:
        raise InputError(f"truth has {T.shape[-1]} nodes, estimate {E.shape[-1]}; expected the same nodes in both.")
    off_diagonal = ~np.eye(T.shape[-1], dtype=bool)
    return T & off_diagonal, E & off_diagonal


def _count(edges: Adjacency) -> NDArray[np.int64]:
    return np.asarray(edges.sum(axis=(-2, -1), dtype=np.int64))


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], empty: float) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), empty)


def shd(truth: ArrayLike, estimate: ArrayLike, reversal_cost: int = 1) -> NDArray[np.int64]:
    """Structural Hamming distance, int64 of shape (...): edges to add or remove, and edges to turn.

    A reversed edge costs 1 (metric id `shd_rev1`, the default, as in NOTEARS and DAGMA) or 2 (`shd_rev2`).
    """
    if reversal_cost not in {1, 2}:
        raise InputError(f"reversal_cost: got {reversal_cost}; expected 1 (shd_rev1) or 2 (shd_rev2).")
    T, E = _pair(truth, estimate)
    turned = T & ~E & np.swapaxes(E & ~T, -1, -2)
    return _count(T ^ E) - (2 - reversal_cost) * _count(turned)


def best_threshold_shd(truth: ArrayLike, weights: ArrayLike) -> NDArray[np.int64]:
    """The least `shd` over all thresholds on |weights| (..., n, n) that leave a DAG, int64 of shape (...).

    An oracle's choice, which no learner can make: it tells a bad threshold from bad weights. Edges enter from the
    largest weight down, tied ones together; the threshold above all of them leaves the empty graph.
    """
    W = np.abs(np.asarray(weights, dtype=np.float64))
    T, E = _pair(truth, W > 0)
    T, W = np.broadcast_arrays(T, np.where(E, W, 0.0))
    best = [_best_threshold(T[at], W[at]) for at in np.ndindex(T.shape[:-2])]
    return np.array(best, dtype=np.int64).reshape(T.shape[:-2])


def _best_threshold(truth: Adjacency, weights: Floats) -> int:
    """Of one graph: as long as it is a DAG, an edge that enters changes the distance by -1, 0 (reversed) or 1."""
    present = weights > 0
    values, rank = np.unique(-weights[present], return_inverse=True)
    acyclic = bisect_left(range(len(values)), True, key=lambda k: not is_dag(present & (weights >= -values[k])))
    change = np.where(truth, -1, np.where(truth.T, 0, 1))[present]
    distance = truth.sum() + np.cumsum(np.bincount(rank, change, len(values))[:acyclic])
    return int(distance.min(initial=truth.sum()))


def cpdag(graph: ArrayLike) -> Adjacency:
    """The CPDAG of each DAG (..., n, n): an edge keeps its direction where every Markov equivalent DAG agrees on it.

    Unshielded colliders stay directed (Verma & Pearl 1990), then Meek's rules 1 to 3 direct what follows from them,
    all edges at once until none is left to direct (Meek 1995; the fourth rule is needed for background knowledge
    alone). O(n³) a round. Raises InputError where a graph is cyclic.
    """
    G = as_adjacency(graph)
    if not is_dag(G).all():
        raise InputError("graph: cyclic; only DAGs have a CPDAG. Cut the cycle first.")
    classes = [_complete(G[at]) for at in np.ndindex(G.shape[:-2])]
    return np.array(classes, dtype=bool).reshape(G.shape)


def _complete(dag: Adjacency) -> Adjacency:
    adjacent = dag | dag.T
    apart = ~adjacent & ~np.eye(len(dag), dtype=bool)
    directed = dag & _meet(dag, apart)
    while True:
        undirected = adjacent & ~directed & ~directed.T
        effect, cause = np.nonzero(undirected)
        # Rule 3, cause -> effect: two nodes that are apart, each undirected at the cause and directed into the effect.
        both = undirected[cause] & directed[effect]
        third = np.zeros_like(dag)
        third[effect, cause] = (_meet(both, apart) & both).any(axis=1)
        # Rule 1, a -> cause -> effect with a and effect apart; rule 2, cause -> a -> effect.
        found = undirected & (_meet(apart, directed.T) | _meet(directed, directed) | third)
        if not found.any():
            return directed | undirected
        directed |= found


def _meet(left: Adjacency, right: Adjacency) -> Adjacency:
    """Whether left[i, k] and right[k, j] for any k; float32 for the sake of BLAS, exact up to 2^24 nodes."""
    return np.asarray(left.astype(np.float32) @ right.astype(np.float32) > 0)


def cpdag_shd(truth: ArrayLike, estimate: ArrayLike) -> NDArray[np.int64]:
    """Pairs of nodes that two CPDAGs (or DAGs, (..., n, n)) mark differently, int64 of shape (...).

    A pair is marked absent, directed one way or the other, or undirected, and each difference costs 1 (Tsamardinos,
    Brown & Aliferis 2006). So an undirected edge is one error against a directed one: no orientation is guessed.
    Between DAGs it is `shd`.
    """
    T, E = _pair(truth, estimate)
    differs = T ^ E
    return _count(differs | np.swapaxes(differs, -1, -2)) // 2


def tpr(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Share of true edges found with their direction, shape (...); 1 where there is none to find."""
    T, E = _pair(truth, estimate)
    return _share(_count(T & E), _count(T), empty=1.0)


def fdr(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Share of estimated edges that are false, a reversed one included, shape (...); 0 where none is estimated."""
    T, E = _pair(truth, estimate)
    return _share(_count(E & ~T), _count(E), empty=0.0)


def fpr(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Share of the n (n - 1) - edges ordered pairs without a true edge that are estimated as one, shape (...)."""
    T, E = _pair(truth, estimate)
    nodes = T.shape[-1]
    return _share(_count(E & ~T), nodes * (nodes - 1) - _count(T), empty=0.0)


def f1(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """F1 of directed edges, 2 TP / (true + estimated edges), shape (...); 1 where both graphs are empty."""
    T, E = _pair(truth, estimate)
    return _share(2 * _count(T & E), _count(T) + _count(E), empty=1.0)


def exact_recovery(truth: ArrayLike, estimate: ArrayLike) -> NDArray[np.bool_]:
    """Whether every edge and no other was found, bool of shape (...)."""
    return np.asarray(shd(truth, estimate) == 0)


def order_accuracy(truth: ArrayLike, order: ArrayLike) -> float | None:
    """Share of true edges of (n, n) whose cause comes before its effect in `order`, (n,), causes first.

    For an estimated DAG pass its `graphs.topological_order`. None where the truth has no edge: nothing to order.
    """
    T = as_adjacency(truth, "truth")
    nodes = np.asarray(order)
    if nodes.shape != (len(T),) or not (np.sort(nodes) == np.arange(len(T))).all():
        raise InputError(f"order: got {nodes.tolist()}; expected a permutation of 0..{len(T) - 1}.")
    position = np.argsort(nodes)
    effect, cause = np.nonzero(T)
    return float(np.mean(position[cause] < position[effect])) if len(effect) else None


def _scored(truth: ArrayLike, scores: ArrayLike) -> tuple[Adjacency, Floats]:
    T, s = as_adjacency(truth, "truth"), np.asarray(scores, dtype=np.float64)
    if T.shape != s.shape or T.ndim != 2:
        raise InputError(f"truth has shape {T.shape}, scores {s.shape}; expected one (n, n) for both.")
    if np.isnan(s).any():
        raise InputError("scores: has NaN; expected a number for every pair. Look where the scores were made.")
    return T & ~np.eye(len(T), dtype=bool), s


def edge_auprc(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """`average_precision` of edge scores (n, n) over all ordered pairs; None where the truth has no edge."""
    T, s = _scored(truth, scores)
    off_diagonal = ~np.eye(len(T), dtype=bool)
    return average_precision(T[off_diagonal], s[off_diagonal])


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Average precision of scores (pairs,) without NaN for what is true (pairs,); None where nothing is.

    sum_k (recall_k - recall_{k-1}) precision_k over the distinct scores, from high to low: tied pairs enter
    together, so their order cannot matter. A constant score gives the base rate.
    """
    values, group = np.unique(-scores, return_inverse=True)
    hits = np.bincount(group, weights=truth, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(np.bincount(group, minlength=len(values)))
    return float(hits @ precision / hits.sum()) if hits.sum() else None


def orientation_accuracy(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Share of true edges j -> i with scores[i, j] > scores[j, i], ties counting half; None without an edge."""
    T, s = _scored(truth, scores)
    forward, backward = s[T], s.T[T]
    return float(np.mean((forward > backward) + 0.5 * (forward == backward))) if len(forward) else None


def parent_is_row_maximum(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Share of effects whose highest score in their row, the diagonal apart, is a true cause; None without an edge.

    Where several causes tie for the highest, the share of true ones among them counts.
    """
    T, s = _scored(truth, scores)
    s = np.where(np.eye(len(T), dtype=bool), -np.inf, s)[T.any(axis=1)]
    highest = s == s.max(axis=1, keepdims=True, initial=-np.inf)
    share = (highest & T[T.any(axis=1)]).sum(axis=1) / highest.sum(axis=1)
    return float(share.mean()) if len(share) else None
