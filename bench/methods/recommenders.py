"""Every recommender that an experiment can name, one entry each: its class, what tables call it, how it is tuned.

The class is part of a cell's parameters and its module of the cell's code, so that this file is in no cell's key: a new
entry leaves the records of all others as they are.

Which kind a class is, its module says. A `causalrec.recommender.Recommender` has its options beside it, as `GRU4Rec`
and `GRU4RecOptions`, and `causalrec.training` trains it. Another class with options beside it, as `FPMC`, trains itself
on (split, options, training, generator) and tells its `progress`. One without is made from the training sequences and
the options of its grid in one go. All but the first are scorers of histories themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from bench.errors import InputError

Role = Literal["control", "rival", "causalrec", "bound", "peer"]


@dataclass(frozen=True)
class Entry:
    """A recommender: `place` is module:Class, `options` what the name fixes, `cost` its training beside SASRec's.

    grid: the settings of a control, the best of which is chosen on validation. pairs: it trains on pairs of actions, of
    which plans know the cost, and knows neither windows nor dropout.
    """

    title: str
    place: str
    role: Role
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[Mapping[str, float], ...] = ()
    pairs: bool = False
    cost: float = 1.0

    @property
    def module(self) -> str:
        """Where its class is."""
        return self.place.partition(":")[0]


EASE_GRID = tuple({"regularisation": weight, "decay": decay} for weight in (100.0, 500.0) for decay in (1.0, 0.9, 0.7))
MARKOV_GRID = ({"window": 1}, {"window": 3, "decay": 0.7}, {"window": 10, "decay": 0.8})
KNN_GRID = tuple({"window": window} for window in (5, 20, 100))
SASREC, FPMC = "causalrec.model:SASRec", "causalrec.rivals.fpmc:FPMC"
RECTOOLS = "bench.methods.rectools:RecTools"

ENTRIES: dict[str, Entry] = {
    "popularity": Entry("popularity (control)", "causalrec.rivals.popularity:Popularity", "control", grid=({},)),
    "item_knn": Entry("item-kNN (control)", "causalrec.rivals.item_knn:ItemKNN", "control", grid=KNN_GRID),
    "markov": Entry("Markov chain (control)", "causalrec.rivals.markov:Markov", "control", grid=MARKOV_GRID),
    "ease": Entry("EASE (control)", "causalrec.rivals.ease:EASE", "control", grid=EASE_GRID),
    "fpmc": Entry("FPMC", FPMC, "rival", pairs=True),
    "fpmc_full": Entry("FPMC, full softmax", FPMC, "rival", {"loss": "full"}, pairs=True),
    "gru4rec": Entry("GRU4Rec", "causalrec.rivals.gru4rec:GRU4Rec", "rival"),
    "sasrec": Entry("SASRec", SASREC, "rival"),
    "sasrec_bce": Entry("SASRec, BCE", SASREC, "rival", {"loss": "bce"}),
    "sasrec_gbce": Entry("SASRec, gBCE", SASREC, "rival", {"loss": "gbce"}),
    "bert4rec": Entry("BERT4Rec", "causalrec.rivals.bert4rec:BERT4Rec", "rival"),
    "tisasrec": Entry("TiSASRec", "causalrec.rivals.tisasrec:TiSASRec", "rival"),
    "causalrec": Entry("CausalRec", "causalrec.model:CausalRec", "causalrec", cost=1.3),
    "best_possible": Entry("best possible", "synth.behaviour:BehaviourWorld", "bound"),
    "rectools_sasrec": Entry("SASRec (RecTools)", RECTOOLS, "peer", cost=4.0),
    "rectools_bert4rec": Entry("BERT4Rec (RecTools)", RECTOOLS, "peer", cost=6.0),
}


def named(*roles: Role) -> tuple[str, ...]:
    """The names of these roles, in the order of tables."""
    return tuple(name for name, entry in ENTRIES.items() if entry.role in roles)


CONTROLS, RIVALS, PEERS = named("control"), named("rival"), named("peer")
TRAINED = (*RIVALS, "causalrec")
NEURAL = tuple(name for name in TRAINED if not ENTRIES[name].pairs)  # what `causalrec.training` trains, on any device


def load(place: str) -> tuple[type[Any], type[Any] | None]:
    """The class at module:Class and its options, None where it has none; raises InputError where there is none."""
    module, _, member = place.partition(":")
    try:
        found = import_module(module)
        kind: type[Any] = getattr(found, member)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{place!r} is no class of a recommender ({error})") from error
    return kind, getattr(found, f"{member}Options", None)
