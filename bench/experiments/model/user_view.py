"""One user's learned graph with titles (Figure 3), and lift on the same items.

The user is found by a rule and not by eye: the one with the median number of edges, see `median_user`.
"""

import numpy as np
from numpy.typing import NDArray

from bench.experiments.base import ARROW
from bench.plan.results import Result
from bench.show.figures import Network, make_links
from causalrec.discovery import Reading
from causalrec.interactions import Split, pad_left
from synth.behaviour_controls import lift

ITEMS, ARROWS = 20, 10  # of a user's latest items, and of the strongest pairs among them
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def user_figure(name: str, data: str, runs: list[Result], split: Split, titles: list[str]) -> Network:
    """W of the first run, and lift, among the latest items of one user's test history, oldest on top.

    Only pairs whose cause came first are shown, as in R; the `ARROWS` strongest.

    Args:
        name: the figure's.
        data: the dataset's name.
        runs: results by seed.
        split: of the dataset.
        titles: of items 1.. in order.
    """
    histories, tau = _latest(split), runs[0].params["options"].get("tau", Reading.tau)
    graphs = [_item_graph(r, len(titles)) for r in runs]
    edges = np.array([(_among(graphs[0], row) >= tau).sum() for row in histories])
    user = median_user(edges)
    items = histories[user][histories[user] > 0]
    learned = _strongest(_among(graphs[0], items), ARROWS)
    shown = int(np.count_nonzero(learned)) or ARROWS
    counted = _among(_lift(split), items)
    control = _strongest(np.where(counted > 1, counted, 0.0), shown)
    panels = (
        make_links(f"W of CausalRec, no unit, seed {runs[0].params['seed']}", learned, learned < tau),
        make_links("lift (control), times chance", control),
    )
    note = (
        f"{data}, user {split.test.history.user_labels[user]}, the latest {len(items)} items before the test item. The "
        f"user is not chosen by eye: of the {np.count_nonzero(edges)} of {len(edges)} users with an edge of R "
        f"(W >= {tau:g}, cause first) among theirs, the first with the median number, {edges[user]}. Shown are the "
        f"{ARROWS} strongest pairs whose cause came first, of lift (in training; above 1) as many as of W."
        f"{_recurrence(graphs[1:], learned, items)}{_floor(runs[0])}"
    )
    title, nodes = f"The learned graph of one user (Figure 3), {data}", tuple(titles[item - 1] for item in items)
    order, faint = "items in order of time, oldest on top", f"W below tau = {tau:g}: not an edge of R"
    return Network(name, title, ARROW, order, nodes, panels, faint, note)


def median_user(edges: Ints) -> int:
    """The first user with the (lower) median number of edges among users with any; the first of all if none has.

    Args:
        edges: counts, shape (users,).
    """
    some = np.sort(edges[edges > 0])
    return int(np.flatnonzero(edges == some[(len(some) - 1) // 2])[0]) if len(some) else 0


def _latest(split: Split) -> Ints:
    """The latest items of every test history (users, ITEMS), oldest first, 0 before the first."""
    history = split.test.history
    return pad_left([history.row(user)[-ITEMS:] for user in range(len(history))], ITEMS)


def _item_graph(r: Result, items: int) -> Floats:
    """W (items + 1, items + 1) of a record's edges, item 0 being padding."""
    W = np.zeros((items + 1, items + 1))
    W[r.arrays["edge_effect"] + 1, r.arrays["edge_cause"] + 1] = r.arrays["edge_weight"]
    return W


def _lift(split: Split) -> Floats:
    """Lift in training, as `_item_graph`."""
    train = split.train
    rows = [train.row(user) for user in range(len(train))]
    return np.pad(lift(pad_left(rows, int(train.lengths().max())), train.num_items), ((1, 0), (1, 0)))


def _among(graph: Floats, items: Ints) -> Floats:
    """The graph between the items of one history (places, places), causes first alone."""
    return np.tril(graph[items[:, None], items], -1)


def _strongest(weights: Floats, count: int) -> Floats:
    """The `count` largest weights, 0 elsewhere; ties go to the earlier effect, then the earlier cause."""
    kept = np.zeros(weights.size)
    best = np.argsort(-weights.ravel(), kind="stable")[:count]
    kept[best] = weights.ravel()[best]
    return kept.reshape(weights.shape)


def _recurrence(graphs: list[Floats], learned: Floats, items: Ints) -> str:
    """How many of the arrows the other seeds show as well."""
    if not graphs or not learned.any():
        return ""
    again = [np.count_nonzero((learned > 0) & (_strongest(_among(W, items), ARROWS) > 0)) for W in graphs]
    return (
        f" Of the {np.count_nonzero(learned)} arrows of W, {np.mean(again):.1f} on average are also shown by the same "
        f"rule on each of {len(graphs)} other seeds."
    )


def _floor(r: Result) -> str:
    """What the record cannot tell, since it holds the strongest edges alone."""
    if not len(weights := r.arrays["edge_weight"]):
        return ""
    return f" W is known down to {weights.min():.2g}: the {len(weights)} strongest edges are stored."
