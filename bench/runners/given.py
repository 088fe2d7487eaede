"""Item graphs to boost by instead of one that is learned: true, with false edges, random, or counted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from causalrec.interactions import Sequences, pad_left
from synth.behaviour_controls import lift, onehot_regression

SCORES = {"lift": lift, "regression": onehot_regression}
Adjacency = NDArray[np.bool_]


def draw_relation(
    how: Mapping[str, Any], truth: Adjacency | None, train: Sequences, rng: np.random.Generator
) -> Adjacency:
    """A graph of items by its description.

    Args:
        how: {"kind": "random", "density"}: each pair of different items is an edge with that chance. {"kind":
            "falsified", "share"}: the truth with that share of its edges false. {"kind": "lift" or "regression" or
            "matched"}: the pairs that score highest by that control on the training rows, or at random; as many as
            "edges" says, otherwise as many as the truth has.
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
    if how["kind"] != "falsified" or truth is None:
        raise InputError(f"relation {dict(how)} cannot be made here; give a random one, or in a world a falsified one")
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
