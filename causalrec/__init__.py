"""CausalRec, its rivals and the graph learners: the public Python API.

`import causalrec` is enough in a notebook: every name in `__all__` is an attribute of this package. A name imports its
module when it is first used, so that reading data or an error needs no torch.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "errors": ("InputError",),
    "interactions": (
        "Interactions", "Sequences", "Split", "Targets", "check_leaks", "drop_repeats", "from_rows", "global_temporal",
        "k_core", "leave_one_out", "to_sequences",
    ),
    "attention": ("Boost",),
    "model": ("CausalRec", "CausalRecOptions", "SASRec", "SASRecOptions"),
    "rivals.bert4rec": ("BERT4Rec", "BERT4RecOptions"),
    "rivals.ease": ("EASE",),
    "rivals.fpmc": ("FPMC", "FPMCOptions"),
    "rivals.gru4rec": ("GRU4Rec", "GRU4RecOptions"),
    "rivals.item_knn": ("ItemKNN",),
    "rivals.markov": ("Markov",),
    "rivals.popularity": ("Popularity",),
    "rivals.tisasrec": ("TiSASRec", "TiSASRecOptions"),
    "checkpoints": ("CheckpointFile",),
    "training": ("Progress", "TrainingOptions", "make_scorer", "pick_device", "train"),
    "ranking": ("Ranks", "hit_rate", "ndcg", "rank_targets", "reciprocal_rank"),
    "structure": ("Fits", "Problems", "threshold", "threshold_to_dag"),
    "structure.registry": ("learners", "load"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'causalrec' has no attribute {name!r}; it offers {', '.join(sorted(_HOME))}")
    return getattr(import_module(f"causalrec.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
