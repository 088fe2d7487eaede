"""One causal recommender on one dataset with one seed: as it is, with the true graph in its place, or its twin.

Every part of every model gets the same generator, so that what distinguishes them is the graph.
"""

import contextlib
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from bench.cells.checkpoint import cpu_seconds
from bench.cells.unit import Cell, Outcome
from bench.errors import InputError
from bench.judge.intervals import spearman_interval
from bench.methods import causal
from bench.methods.user_recommender import UserScorer
from bench.runners.recommender import best_possible, fresh_users, read_data
from causalrec.interactions import Sequences, check_leaks, pad_left
from causalrec.methods.fit import SPLITS, make_split
from causalrec.methods.streams import generator
from causalrec.ranking import ndcg, rank_targets
from synth.behaviour import BehaviourWorld
from synth.behaviour_controls import lift, onehot_regression
from synth.scoring import edge_auprc

PARTS = FITTED, TRUE, TWIN = ("fitted", "true", "twin")


def run(cell: Cell) -> Outcome:
    """Fit and rank the test, in a world the last items of users that nobody trained on.

    Params: `model`, a name of `causal.MEMBERS` or a user's class; `options` and `training` of a member; `part`, one of
    `PARTS`; `dataset`, `seed` and `root` as for the recommender runner. The part "fitted" has metrics of the graph,
    too: `edges`, their number; `auprc_w`, `auprc_lift`, `auprc_regression` and `auprc_chance` against the world's
    graph; `follows_cause` and `follows_effect`, see `popularity`; `on_cycle`, see `on_cycle`. In a world the part
    "twin" has `best_ndcg10`, that of the best possible ranking.

    Args:
        cell: its params are those that the experiment `graph_claims` makes.

    Raises:
        InputError: a true graph where none is known, or a model that returned what it should not.
    """
    p, start = cell.params, cpu_seconds()
    world, _, sequences = read_data(p, cell.data)
    split = make_split(sequences, p["dataset"].get("split", SPLITS[0]))
    check_leaks(split, sequences)
    rng = generator(root=p["root"], stream="causal", dataset=p["dataset"]["name"], seed=p["seed"])
    with contextlib.redirect_stdout(sys.stderr):
        model = causal.make(p["model"], p["options"], p["training"], cell.device)
        if p["part"] == TRUE:
            if world is None:
                raise InputError("the true graph is known only in the behaviour world")
            model.fix(csr_array(world.graph.astype(np.float64)))
        asked = causal.make_twin(p["model"], model) if p["part"] == TWIN else model
    score = UserScorer(p["model"], split.train, rng, asked)
    fresh = next(iter(fresh_users(p, world)), None)
    part, targets = ("test", split.test) if fresh is None else (fresh.part, fresh.targets)
    ranks = rank_targets(score, targets)
    arrays = {f"{part}_kept": ranks.kept, f"{part}_filtered": ranks.filtered}
    metrics: dict[str, Any] = {name.replace("_", "_ndcg10_"): float(ndcg(rank).mean()) for name, rank in arrays.items()}
    if fresh is not None and p["part"] == TWIN:
        best = best_possible("best_possible", fresh.law, fresh.segments)
        metrics["best_ndcg10"] = float(ndcg(rank_targets(best, targets).kept).mean())
    if p["part"] == FITTED:
        with contextlib.redirect_stdout(sys.stderr):
            W = causal.read_graph(p["model"], model, split.num_items)
        metrics |= _judge(W, split.train, world)
    return Outcome(metrics | {"fit_cpu_s": cpu_seconds() - start}, arrays)


def popularity(W: csr_array, counts: NDArray[np.int64]) -> tuple[float, float]:
    """Rank correlations, -1 to 1, of items' counts with their strength as causes and as effects; 0 for no edge.

    Args:
        W: (items, items), row = effect.
        counts: actions per item, (items,).
    """
    strength = abs(W)
    as_cause, as_effect = (spearman_interval(strength.sum(axis), counts).estimate for axis in (0, 1))
    return as_cause, as_effect


def on_cycle(W: csr_array, edges: int) -> float | None:
    """The share of the strongest edges that lie on a cycle among themselves; None without an edge.

    An edge lies on a cycle exactly if its two ends are in one strongly connected component.

    Args:
        W: (items, items) with a diagonal of 0.
        edges: how many are looked at, at most.
    """
    pairs = abs(W).tocoo()
    first = np.argsort(-pairs.data, kind="stable")[:edges]
    if not len(first):
        return None
    effect, cause = pairs.row[first], pairs.col[first]
    graph = csr_array((np.ones(len(first)), (effect, cause)), shape=W.shape)
    _, component = connected_components(graph, connection="strong")
    return float((component[effect] == component[cause]).mean())


def _judge(W: csr_array, train: Sequences, world: BehaviourWorld | None) -> dict[str, Any]:
    """What the metrics say of a graph."""
    items = train.num_items
    as_cause, as_effect = popularity(W, np.bincount(train.items, minlength=items + 1)[1:])
    metrics: dict[str, Any] = {"edges": W.nnz, "follows_cause": as_cause, "follows_effect": as_effect}
    if world is None:
        return metrics | {"on_cycle": on_cycle(W, 2 * items)}
    truth = world.graph
    rows = pad_left([train.row(user) for user in range(len(train))], int(train.lengths().max()))
    scores = {"w": abs(W).toarray(), "lift": lift(rows, items), "regression": onehot_regression(rows, items)}
    scores["chance"] = np.zeros((items, items))
    metrics |= {f"auprc_{name}": edge_auprc(truth, of) for name, of in scores.items()}
    return metrics | {"on_cycle": on_cycle(W, int(truth.sum()))}
