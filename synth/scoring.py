"""How well an estimate matches a true graph: decided edges, orders, and scores of edges.

Graphs are bool (..., n, n), [i, j] says j -> i; a pair {i, j} has the two entries [i, j] and [j, i]. Metrics of decided
edges work over leading axes. The diagonal holds no edges and is never counted. A CPDAG, the completed partially
directed graph, stands for a Markov equivalence class: [i, j] alone is j -> i, and both entries are one undirected edge.
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
    """Return the structural Hamming distance, int64 (...): the number of edges to add, remove or reverse.

    Args:
        truth: bool (..., n, n).
        estimate: bool (..., n, n).
        reversal_cost: cost of a reversed edge, 1 (metric id `shd_rev1`, default, as in NOTEARS and DAGMA) or 2
            (`shd_rev2`).

    Raises:
        InputError: shapes that differ, or another cost.
    """
    if reversal_cost not in {1, 2}:
        raise InputError(f"reversal_cost: got {reversal_cost}; expected 1 (shd_rev1) or 2 (shd_rev2).")
    T, E = _pair(truth, estimate)
    turned = T & ~E & np.swapaxes(E & ~T, -1, -2)
    return _count(T ^ E) - (2 - reversal_cost) * _count(turned)


def best_threshold_shd(truth: ArrayLike, weights: ArrayLike) -> NDArray[np.int64]:
    """Return the least `shd` over all thresholds on |weights| that leave a DAG, int64 (...).

    No learner can choose this threshold, since it needs the truth; it distinguishes a bad threshold from bad weights.
    Edges enter from the largest weight down, tied ones together; the threshold above all weights gives the empty graph.

    Args:
        truth: bool (..., n, n).
        weights: (..., n, n).
    """
    W = np.abs(np.asarray(weights, dtype=np.float64))
    T, E = _pair(truth, W > 0)
    T, W = np.broadcast_arrays(T, np.where(E, W, 0.0))
    best = [_best_threshold(T[at], W[at]) for at in np.ndindex(T.shape[:-2])]
    return np.array(best, dtype=np.int64).reshape(T.shape[:-2])


def _best_threshold(truth: Adjacency, weights: Floats) -> int:
    """Of one graph: while it is a DAG, an edge that enters changes the distance by -1, 0 (reversed) or 1."""
    present = weights > 0
    values, rank = np.unique(-weights[present], return_inverse=True)
    acyclic = bisect_left(range(len(values)), True, key=lambda k: not is_dag(present & (weights >= -values[k])))
    change = np.where(truth, -1, np.where(truth.T, 0, 1))[present]
    distance = truth.sum() + np.cumsum(np.bincount(rank, change, len(values))[:acyclic])
    return int(distance.min(initial=truth.sum()))


def cpdag(graph: ArrayLike) -> Adjacency:
    """Return the CPDAG of each DAG: an edge keeps its direction if every Markov equivalent DAG agrees on it.

    Unshielded colliders stay directed (Verma & Pearl 1990); then Meek's rules 1 to 3 direct what follows from them, all
    edges at once until none is left to direct (Meek 1995; the fourth rule is needed only with background knowledge).
    O(n³) per round.

    Args:
        graph: bool (..., n, n).

    Raises:
        InputError: a graph has a cycle.
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
    """Return whether left[i, k] and right[k, j] for any k; float32 so that BLAS is used, exact up to 2^24 nodes."""
    return np.asarray(left.astype(np.float32) @ right.astype(np.float32) > 0)


def cpdag_shd(truth: ArrayLike, estimate: ArrayLike) -> NDArray[np.int64]:
    """Return the number of pairs of nodes that two CPDAGs or DAGs mark differently, int64 (...).

    A pair is marked absent, directed one way or the other, or undirected, and each difference costs 1 (Tsamardinos,
    Brown & Aliferis 2006). So an undirected edge is one error against a directed one. Between DAGs it equals `shd`.

    Args:
        truth: bool (..., n, n).
        estimate: bool (..., n, n).
    """
    T, E = _pair(truth, estimate)
    differs = T ^ E
    return _count(differs | np.swapaxes(differs, -1, -2)) // 2


def tpr(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Return the share of true edges found with their direction, (...); 1 if there are none.

    Args:
        truth: bool (..., n, n).
        estimate: bool (..., n, n).
    """
    T, E = _pair(truth, estimate)
    return _share(_count(T & E), _count(T), empty=1.0)


def fdr(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Return the share of estimated edges that are false, reversed ones included, (...); 0 if none is estimated.

    Args:
        truth: bool (..., n, n).
        estimate: bool (..., n, n).
    """
    T, E = _pair(truth, estimate)
    return _share(_count(E & ~T), _count(E), empty=0.0)


def f1(truth: ArrayLike, estimate: ArrayLike) -> Floats:
    """Return F1 of directed edges, 2 TP / (true + estimated edges), (...); 1 if both graphs are empty.

    Args:
        truth: bool (..., n, n).
        estimate: bool (..., n, n).
    """
    T, E = _pair(truth, estimate)
    return _share(2 * _count(T & E), _count(T) + _count(E), empty=1.0)


def order_accuracy(truth: ArrayLike, order: ArrayLike) -> float | None:
    """Return the share of true edges whose cause comes before its effect in `order`; None if there are no edges.

    For an estimated DAG pass its `graphs.topological_order`.

    Args:
        truth: bool (n, n).
        order: (n,) nodes, causes first.

    Raises:
        InputError: order is not a permutation.
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
        raise InputError("scores: has NaN; expected a number for every pair. Check what computed the scores.")
    return T & ~np.eye(len(T), dtype=bool), s


def edge_auprc(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Return `average_precision` of edge scores over all ordered pairs; None if the truth has no edge.

    Args:
        truth: bool (n, n).
        scores: (n, n), without NaN.

    Raises:
        InputError: shapes that differ, or NaN.
    """
    T, s = _scored(truth, scores)
    off_diagonal = ~np.eye(len(T), dtype=bool)
    return average_precision(T[off_diagonal], s[off_diagonal])


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Return the average precision of scores; None if nothing is true.

    It is sum_k (recall_k - recall_{k-1}) precision_k over the distinct scores, from high to low. Tied pairs enter
    together, so that their order cannot matter. A constant score gives the base rate.

    Args:
        truth: bool (pairs,).
        scores: (pairs,), without NaN.
    """
    values, group = np.unique(-scores, return_inverse=True)
    hits = np.bincount(group, weights=truth, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(np.bincount(group, minlength=len(values)))
    return float(hits @ precision / hits.sum()) if hits.sum() else None


def orientation_accuracy(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the share of true edges j -> i with scores[i, j] > scores[j, i], ties counting half; None if there are no
    edges.

    Args:
        truth: bool (n, n).
        scores: (n, n), without NaN.
    """
    T, s = _scored(truth, scores)
    forward, backward = s[T], s.T[T]
    return float(np.mean((forward > backward) + 0.5 * (forward == backward))) if len(forward) else None


def parent_is_row_maximum(truth: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the share of effects whose highest score in their row, without the diagonal, is a true cause; None without
    edges.

    Where several causes tie for the highest score, the share of true ones among them counts.

    Args:
        truth: bool (n, n).
        scores: (n, n), without NaN.
    """
    T, s = _scored(truth, scores)
    s = np.where(np.eye(len(T), dtype=bool), -np.inf, s)[T.any(axis=1)]
    highest = s == s.max(axis=1, keepdims=True, initial=-np.inf)
    share = (highest & T[T.any(axis=1)]).sum(axis=1) / highest.sum(axis=1)
    return float(share.mean()) if len(share) else None
