"""Directed acyclic graphs: random families and orders.

An adjacency is a bool array G of shape (n, n); G[i, j] says j -> i (row = effect, column = cause).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.errors import InputError

Adjacency = NDArray[np.bool_]
Indices = NDArray[np.int64]


def as_adjacency(graph: ArrayLike, name: str = "graph") -> Adjacency:
    """Return `graph` as an array.

    Args:
        graph: bool (..., n, n).
        name: what the message calls it, default `graph`.

    Raises:
        InputError: it is not square in its last two axes, or not bool.
    """
    G = np.asarray(graph)
    if G.ndim < 2 or G.shape[-1] != G.shape[-2] or G.dtype != np.bool_:
        raise InputError(
            f"{name}: got shape {G.shape} and dtype {G.dtype}; expected a bool array of shape (n, n) with "
            f"{name}[i, j] = True for j -> i. For weights pass W != 0."
        )
    return G


def _bernoulli(rng: np.random.Generator, allowed: Adjacency, edges: float) -> Adjacency:
    """Draw each allowed edge independently with one probability, `edges` expected in all; every edge if there are
    fewer.
    """
    return np.asarray(allowed & (rng.random(allowed.shape) < edges / max(1, allowed.sum())))


def _between_layers(rng: np.random.Generator, layer: Indices, edges: float) -> Adjacency:
    return _bernoulli(rng, layer[:, None] == layer[None, :] + 1, edges)


def _erdos_renyi(rng: np.random.Generator, nodes: int, edges_per_node: float) -> Adjacency:
    return _bernoulli(rng, np.tri(nodes, k=-1, dtype=bool), edges_per_node * nodes)


def _scale_free(rng: np.random.Generator, nodes: int, edges_per_node: float) -> Adjacency:
    m = int(edges_per_node)
    if m != edges_per_node or m < 1:
        raise InputError(f"edges_per_node: got {edges_per_node}; the family 'sf' attaches a whole number, at least 1.")
    G = np.zeros((nodes, nodes), dtype=bool)
    degree = np.zeros(nodes)
    for t in range(1, nodes):
        hosts = np.arange(t) if t <= m else rng.choice(t, m, replace=False, p=degree[:t] / degree[:t].sum())
        G[hosts, t] = True
        degree[hosts] += 1
        degree[t] = len(hosts)
    return G


def _chain(_rng: np.random.Generator, nodes: int, _edges_per_node: float) -> Adjacency:
    return np.eye(nodes, k=-1, dtype=bool)


def _layered(rng: np.random.Generator, nodes: int, edges_per_node: float) -> Adjacency:
    depth = max(2, round(nodes**0.5))
    return _between_layers(rng, np.arange(nodes) * depth // nodes, edges_per_node * nodes)


def _bipartite(rng: np.random.Generator, nodes: int, edges_per_node: float) -> Adjacency:
    return _between_layers(rng, np.arange(nodes) * 2 // nodes, edges_per_node * nodes)


FAMILIES: dict[str, Callable[[np.random.Generator, int, float], Adjacency]] = {
    "er": _erdos_renyi,
    "sf": _scale_free,
    "chain": _chain,
    "layered": _layered,
    "bipartite": _bipartite,
}


def draw_dag(family: str, rng: np.random.Generator, nodes: int, edges_per_node: float = 2) -> Adjacency:
    """Draw a DAG (nodes, nodes) of a named family under a uniformly random labelling.

    - `er`: Erdős–Rényi along a random order, edges_per_node * nodes edges expected ("ER2" has 2n), at most the full
      DAG.
    - `sf`: Barabási & Albert (1999): each new node attaches to edges_per_node earlier nodes by their degree and points
      at them, as in NOTEARS and DAGMA, so that hubs are effects. Exactly m n - m (m + 1) / 2 edges.
    - `chain`: one path through all nodes; edges_per_node is not used.
    - `layered`: about sqrt(n) layers, edges from each layer to the next, edges_per_node * nodes expected or as many as
      there are pairs.
    - `bipartite`: the same with two layers.

    Args:
        family: one of these.
        rng: source of randomness.
        nodes: number of nodes, at least 1.
        edges_per_node: expected number of edges per node, at least 0, default 2.

    Raises:
        InputError: an unknown family, no nodes or a negative number of edges.
    """
    if family not in FAMILIES:
        raise InputError(f"family: got {family!r}; expected one of {', '.join(FAMILIES)}.")
    if nodes < 1:
        raise InputError(f"nodes: got {nodes}; a graph needs at least 1.")
    if not 0 <= edges_per_node < np.inf:
        raise InputError(f"edges_per_node: got {edges_per_node}; expected a finite number, 0 or more.")
    return relabel(FAMILIES[family](rng, nodes, edges_per_node), rng.permutation(nodes))


def phone_cable() -> Adjacency:
    """Return the paper's example, shape (3, 3): phone (0) -> cable (1), phone -> case (2).

    Cable and case are bought together, though neither causes the other.
    """
    return np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=bool)


def relabel(graph: ArrayLike, labels: ArrayLike) -> Adjacency:
    """Return the same DAG with node k named labels[k].

    Args:
        graph: bool (n, n).
        labels: a permutation of 0..n-1.
    """
    G = as_adjacency(graph)
    inverse = np.argsort(np.asarray(labels))
    return G[np.ix_(inverse, inverse)]


def is_dag(graph: ArrayLike) -> NDArray[np.bool_]:
    """Return bool (...): whether each graph has no directed cycle.

    Args:
        graph: bool (..., n, n).
    """
    G = as_adjacency(graph)
    left = np.ones(G.shape[:-1], dtype=bool)
    for _ in range(G.shape[-1]):
        still = left & (G & left[..., None, :]).any(axis=-1)
        if (still == left).all():
            break
        left = still
    return np.asarray(~left.any(axis=-1))


def topological_order(graph: ArrayLike) -> Indices:
    """Return the nodes, causes first, (n,) int64; among those that could come next, the smallest index first (Kahn
    1962).

    Args:
        graph: bool (n, n).

    Raises:
        InputError: the graph has a cycle, which the message names.
    """
    G = as_adjacency(graph)
    causes_left = G.sum(axis=1)
    order = np.empty(len(G), dtype=np.int64)
    for position in range(len(G)):
        free = np.flatnonzero(causes_left == 0)
        if not len(free):
            raise InputError(f"graph: cyclic ({_name_cycle(G, causes_left > 0)}); expected a DAG. Remove an edge.")
        order[position] = free[0]
        causes_left[free[0]] = -1
        causes_left -= G[:, free[0]]
    return order


def _name_cycle(G: Adjacency, left: NDArray[np.bool_]) -> str:
    """Walk from effect to cause among the nodes `left`, each of which has a cause there, until a node repeats."""
    walk = [int(np.flatnonzero(left)[0])]
    while len(walk) == len(set(walk)):
        walk.append(int(np.flatnonzero(G[walk[-1]] & left)[0]))
    return " -> ".join(map(str, reversed(walk[walk.index(walk[-1]) :])))
