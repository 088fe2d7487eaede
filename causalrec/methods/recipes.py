"""How recommenders are trained: what all share, and what suits a dataset where nothing is tuned.

What was tried stands in results/evidence/training. Foursquare's dropout is MovieLens-100K's and was not tried there.
"""

from typing import Any

from causalrec.methods.recommenders import Entry
from causalrec.model import SASRec

TRAINING: dict[str, Any] = {"batch": 128, "optimiser": "muon", "windows": "all", "learning_rate": 4e-3}
MANY_ITEMS, NEGATIVES = 8000, 512
PAIR_BATCH = 1024
DROPOUT = {"ml-1m": 0.1, "ml-100k": 0.5, "foursquare-nyc": 0.5, "beauty": 0.3}


def loss(entry: Entry, items: int) -> dict[str, Any]:
    """The options of a model's loss: of SASRec and its kin a softmax over a sample of the items where there are many.

    With 12,101 items the full softmax takes ten times the time of the rest, and its ranking is no better.

    Args:
        entry: the model.
        items: in the catalogue.
    """
    kin = issubclass(entry.kind, SASRec) and "loss" not in entry.options
    return {"loss": "sampled", "negatives": NEGATIVES} if kin and items >= MANY_ITEMS else {}


def training(entry: Entry) -> dict[str, Any]:
    """How a model is trained: what differs from the defaults of `causalrec.training.TrainingOptions`.

    Args:
        entry: the model. What trains on pairs of actions knows no windows: every pair is one of its rows.
    """
    return {"batch": PAIR_BATCH} if entry.pairs else dict(TRAINING)
