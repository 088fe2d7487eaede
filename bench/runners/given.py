"""Item graphs to boost by instead of one that is learned: true, with false edges, random, or counted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from causalrec.interactions import Sequences, pad_left
from synth.behaviour_controls import lift, onehot_regression

SCORES = {"lift": lift, "regression": onehot_regression}
NEAREST = 6  # pairs to draw from: few are near in number, many differ between draws
Adjacency = NDArray[np.bool_]


def draw_relation(
    how: Mapping[str, Any], truth: Adjacency | None, train: Sequences, rng: np.random.Generator
) -> Adjacency:
    """A graph of items by its description.

    Args:
        how: {"kind": "random", "density"}: each pair of different items is an edge with that chance. {"kind":
            "falsified", "share"}: the truth with that share of its edges false. {"kind": "lift" or "regression" or
            "matched"}: the pairs that score highest by that control on the training rows, or at random; as many as
            "edges" says, otherwise as many as the truth has. {"kind": "position_matched"}: a random graph without a
            true edge, with as many edges as the truth and about as many related pairs of positions in the training
            rows.
        truth: the world's graph (items, items) bool; None without one.
        train: the training rows.
        rng: draws what is random.

    Returns:
        (items, items) bool, row = effect.

    Raises:
        InputError: another kind, or one that needs a truth where there is none.
    """
    items = train.num_items
    if how["kind"] in (*SCORES, "matched") and (truth is not None or "edges" in how):
        edges = how["edges"] if truth is None else int(truth.sum())
        if how["kind"] == "matched":
            scores = rng.random((items, items))
        else:
            rows = [train.row(user) for user in range(len(train))]
            scores = SCORES[how["kind"]](pad_left(rows, int(train.lengths().max())), items)
        return strongest(scores, edges)
    if how["kind"] == "random":
        return np.asarray((rng.random((items, items)) < how["density"]) & ~np.eye(items, dtype=bool))
    if truth is None or how["kind"] not in ("falsified", "position_matched"):
        raise InputError(f"relation {dict(how)} cannot be made here; give a random one, or in a world a falsified one")
    if how["kind"] == "position_matched":
        return match_positions(truth, train, rng)
    return falsify(truth, how["share"], rng)


def strongest(scores: NDArray[np.float64], edges: int) -> Adjacency:
    """The graph of the highest-scoring pairs of different items; ties go to the lower row and column.

    Args:
        scores: (items, items), row = effect.
        edges: how many pairs.
    """
    items = len(scores)
    apart = np.where(np.eye(items, dtype=bool), -np.inf, scores).ravel()
    found = np.zeros(items * items, dtype=bool)
    found[np.argsort(-apart, kind="stable")[: min(edges, items * (items - 1))]] = True
    return found.reshape(items, items)


def falsify(truth: Adjacency, share: float, rng: np.random.Generator) -> Adjacency:
    """The graph with a share of its edges moved, within their rows, to causes that do not cause their effect.

    Which edges go and where to is drawn once for all of them, so that a larger share is more of the same. A false cause
    is drawn by how many effects it has, so that R reaches about as many positions as before.

    Args:
        truth: (items, items) bool, row = effect.
        share: of the edges, 0 to 1.
        rng: draws edges and false causes.

    Raises:
        InputError: a row has no false cause left.
    """
    edges = np.argwhere(truth)
    order, keys = rng.permutation(len(edges)), rng.random((len(edges), truth.shape[1]))
    effects_of = truth.sum(0)
    found, taken = truth.copy(), truth | np.eye(len(truth), dtype=bool)
    for edge in order[: round(share * len(edges))]:
        effect, cause = edges[edge]
        free = ~taken[effect] & (effects_of > 0)
        if not free.any():
            raise InputError(f"item {effect + 1} has no false cause left among {int((effects_of > 0).sum())} causes")
        # The largest u^(1/w) is a draw by weight w (Efraimidis & Spirakis 2006).
        false = int(np.argmax(np.where(free, keys[edge] ** (1 / np.maximum(effects_of, 1)), -1.0)))
        found[effect, cause], found[effect, false], taken[effect, false] = False, True, True
    return found


def match_positions(truth: Adjacency, train: Sequences, rng: np.random.Generator) -> Adjacency:
    """A random graph that relates about as many pairs of positions as the truth does, by as many other edges.

    Each true edge, the most frequent first, is replaced by one of the `NEAREST` free pairs whose numbers of positions
    are nearest to its own; what that misses, the next edge makes up for, as far as there are such pairs.

    Args:
        truth: (items, items) bool, row = effect; acyclic, so that there are as many other pairs.
        train: the rows in which pairs of a later effect and an earlier cause are counted.
        rng: draws the pairs.
    """
    counts = count_pairs(train)
    free = rng.permutation(np.flatnonzero(~truth & ~np.eye(len(truth), dtype=bool)))
    free = free[np.argsort(counts.ravel()[free], kind="stable")]
    found, missing = np.zeros(truth.size, dtype=bool), 0
    for count in np.sort(counts[truth])[::-1]:
        numbers = counts.ravel()[free]
        first = np.clip(np.searchsorted(numbers, count + missing) - NEAREST // 2, 0, max(0, len(free) - NEAREST))
        pick = first + rng.integers(min(NEAREST, len(free)))
        found[free[pick]] = True
        missing += count - numbers[pick]
        free = np.delete(free, pick)
    return found.reshape(truth.shape)


def count_pairs(train: Sequences) -> NDArray[np.int64]:
    """How many pairs of a later and an earlier position hold each pair of items, (items, items), row = the later one.

    Args:
        train: the rows.
    """
    width = train.num_items + 1
    rows = pad_left([train.row(user) for user in range(len(train))], int(train.lengths().max()))
    pairs = np.zeros(width * width, dtype=np.int64)
    for lag in range(1, rows.shape[1]):
        pairs += np.bincount((rows[:, lag:] * width + rows[:, :-lag]).ravel(), minlength=width * width)
    return pairs.reshape(width, width)[1:, 1:]
