"""The recommenders by name: their classes, what tables call them, the settings that are tried of a control."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.registry import Registry
from causalrec.rivals.bert4rec import BERT4Rec, BERT4RecOptions
from causalrec.rivals.ease import EASE
from causalrec.rivals.fpmc import FPMC, FPMCOptions
from causalrec.rivals.gru4rec import GRU4Rec, GRU4RecOptions
from causalrec.rivals.hstu import HSTU, HSTUOptions
from causalrec.rivals.item_knn import ItemKNN
from causalrec.rivals.markov import Markov
from causalrec.rivals.popularity import Popularity
from causalrec.rivals.tale import TALE
from causalrec.rivals.tisasrec import TiSASRec, TiSASRecOptions

Role = Literal["control", "rival", "twin", "leak", "causalrec", "bound", "peer", "own"]


@dataclass(frozen=True)
class Entry:
    """A recommender as experiments name it.

    Args:
        title: what tables call it.
        kind: its class. With `options_of`, a `causalrec.recommender.Recommender` is trained by
            `causalrec.methods.fit`, and another class trains itself on (split, options, training, generator,
            checkpoint) and reports `progress`. Without, it is made from the training sequences and the options of its
            grid in one go.
        options_of: the class of its options, None if it has none.
        role: "control", "rival", "twin" (a rival, or CausalRec, without one of its parts), "leak" (a rival that is told
            what it should not know), "causalrec", "bound" (the best possible), "peer" (another package), "own" (a
            user's). Twins and leaks are trained and shown, and never judged as rivals.
        options: what the name fixes.
        grid: the settings of a control; the best on validation is chosen.
        beside: what a twin or a leak stands beside: it runs where that one does.
        pairs: whether it trains on pairs of actions, whose cost plans know, and knows neither windows nor dropout.
        cost: its training time over SASRec's.
    """

    title: str
    kind: type[Any]
    options_of: Any
    role: Role
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[Mapping[str, float], ...] = ()
    beside: str | None = None
    pairs: bool = False
    cost: float = 1.0


EASE_GRID = tuple({"regularisation": weight, "decay": decay} for weight in (100.0, 500.0) for decay in (1.0, 0.9, 0.7))
MARKOV_GRID = ({"window": 1}, {"window": 3, "decay": 0.7}, {"window": 10, "decay": 0.8})
TALE_GRID = tuple({"tau_train": train, "tau_inf": inf} for train in (0.005, 4.0, 64.0) for inf in (2.0, 8.0))
KNN_GRID = tuple({"window": window} for window in (5, 20, 100))

ENTRIES: Registry[Entry] = {
    "popularity": Entry("popularity (control)", Popularity, None, "control", grid=({},)),
    "item_knn": Entry("item-kNN (control)", ItemKNN, None, "control", grid=KNN_GRID),
    "markov": Entry("Markov chain (control)", Markov, None, "control", grid=MARKOV_GRID),
    "ease": Entry("EASE (control)", EASE, None, "control", grid=EASE_GRID),
    "tale": Entry("TALE (control)", TALE, None, "control", grid=TALE_GRID),
    "fpmc": Entry("FPMC", FPMC, FPMCOptions, "rival", pairs=True),
    "fpmc_full": Entry("FPMC, full softmax", FPMC, FPMCOptions, "rival", {"loss": "full"}, pairs=True),
    "gru4rec": Entry("GRU4Rec", GRU4Rec, GRU4RecOptions, "rival"),
    "sasrec": Entry("SASRec", SASRec, SASRecOptions, "rival"),
    "sasrec_bce": Entry("SASRec, BCE", SASRec, SASRecOptions, "rival", {"loss": "bce"}),
    "sasrec_gbce": Entry("SASRec, gBCE", SASRec, SASRecOptions, "rival", {"loss": "gbce"}),
    "sasrec_uniform": Entry(
        "SASRec, uniform attention (control)", SASRec, SASRecOptions, "twin", {"attention": "uniform"}, beside="sasrec"
    ),
    "bert4rec": Entry("BERT4Rec", BERT4Rec, BERT4RecOptions, "rival"),
    "tisasrec": Entry("TiSASRec", TiSASRec, TiSASRecOptions, "rival"),
    "hstu": Entry("HSTU", HSTU, HSTUOptions, "rival"),
    "hstu_time": Entry("HSTU, query's time (leak)", HSTU, HSTUOptions, "leak", {"times": "query"}, beside="hstu"),
    "causalrec": Entry("CausalRec", CausalRec, CausalRecOptions, "causalrec", cost=1.3),
    "causalrec_off": Entry(
        "CausalRec, alpha = 0 (twin)", CausalRec, CausalRecOptions, "twin",
        {"boost": {"mode": "renorm", "alpha": 0.0}}, beside="causalrec", cost=1.3,
    ),
}
# One name per class, since the other names are settings of one of these: what a user trains and saves.
OFFERED: Registry[Entry] = {name: entry for name, entry in ENTRIES.items() if not entry.options}


def recommenders() -> tuple[str, ...]:
    """The names that `SequentialRecommender` knows."""
    return tuple(OFFERED)
