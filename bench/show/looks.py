"""How methods look in every figure: one colour, marker and dash each, wherever it is drawn.

Colours are Okabe & Ito's. Within a family no two methods share both marker and dash, so that figures read in grey too.
"""

from collections.abc import Iterable
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "*")
DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (2, 2))
)  # fmt: skip
RULES: tuple[Any, ...] = ((0, (4, 3)), (0, (1, 2)), (0, (8, 2, 1, 2)), (0, (14, 3)), (0, (3, 1, 1, 1, 1, 1)))

# The titles of learners and of recommenders, which no figure shows together; the place in its family is a method's
# look. Those that share a figure come first.
LEARNERS = (
    "EqVar", "NOTEARS", "known order (oracle)", "variance sort (control)", "random order (control)",
    "R2 sort (control)", "EqVar, lasso refit", "known order, lasso refit (oracle)", "EqVar, exact covariance",
    "attention, closed form", "attention, free W", "log-determinant path", "exact, equal variances", "GOLEM-EV",
    "GOLEM-NV", "EqVar, BIC refit", "EqVar bottom-up", "NOTEARS, exponential h", "exact, equal variances, L1",
    "exact, BIC", "attention, root of S", "DAGMA (peer)", "NOTEARS (peer)", "GOLEM (peer)", "DirectLiNGAM (peer)",
    "PC (peer)", "GES (peer)", "BOSS (peer)", "CoLiDE-EV", "CoLiDE-NV", "BOSS",
    "BOSS, one DAG of its class",
)  # fmt: skip
RECOMMENDERS = (
    "CausalRec", "SASRec", "GRU4Rec", "BERT4Rec", "best possible", "EASE (control)", "CausalRec, alpha = 0 (twin)",
    "popularity (control)", "item-kNN (control)", "Markov chain (control)", "TALE (control)",
    "SASRec, uniform attention (control)", "FPMC", "FPMC, full softmax", "SASRec, BCE", "SASRec, gBCE", "TiSASRec",
    "HSTU", "HSTU, query's time (leak)", "best possible without R", "SASRec (RecTools)", "BERT4Rec (RecTools)",
    "your own",
)  # fmt: skip
PLACES = {title: place for family in (LEARNERS, RECOMMENDERS) for place, title in enumerate(family)}


def look(place: int) -> dict[str, Any]:
    """Colour, marker and dash; the first 70 differ, and of them no two share both marker and dash.

    Args:
        place: 0 for the first.
    """
    return {
        "color": COLOURS[(place + place // len(COLOURS)) % len(COLOURS)],  # the eighth is not the first with its dash
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place % len(DASHES)],
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def looks_of(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The look of each label of a figure: a method's is its own, the others take those that are left, in order.

    Args:
        labels: of curves or rows.
    """
    distinct = list(dict.fromkeys(labels))
    taken = {PLACES[label] for label in distinct if label in PLACES}
    free = (place for place in range(len(taken) + len(distinct)) if place not in taken)
    return {label: look(PLACES[label] if label in PLACES else next(free)) for label in distinct}
