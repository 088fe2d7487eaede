"""How recommenders are trained on real data: what all share, and what suits a dataset where nothing is tuned.

Found on validation alone; what was tried, one change at a time, stands in results/evidence/training.
"""

from typing import Any

TRAINING: dict[str, Any] = {"batch": 128, "optimiser": "muon", "windows": "all", "learning_rate": 4e-3}
MANY_ITEMS, NEGATIVES = 8000, 512
DROPOUT = {"ml-1m": 0.1, "ml-100k": 0.3, "foursquare-nyc": 0.3, "beauty": 0.3}


def loss(items: int) -> dict[str, Any]:
    """The options of SASRec's loss: the full softmax, or where there are many items one over a sample of them.

    With 12,101 items the full softmax takes ten times the time of the rest, and its ranking is no better.

    Args:
        items: in the catalogue.
    """
    return {"loss": "sampled", "negatives": NEGATIVES} if items >= MANY_ITEMS else {}
