"""The names that `import causalrec` offers."""

from causalrec.attention import Boost
from causalrec.checkpoints import CheckpointFile
from causalrec.errors import InputError
from causalrec.interactions import (
    Interactions,
    Sequences,
    Split,
    Targets,
    check_leaks,
    drop_repeats,
    from_rows,
    global_temporal,
    k_core,
    leave_one_out,
    shuffle_histories,
    to_sequences,
    train_on_validation,
)
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.ranking import Ranks, hit_rate, ndcg, rank_targets, reciprocal_rank
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
from causalrec.structure import Fits, Problems, threshold, threshold_to_dag
from causalrec.structure.registry import learners, load
from causalrec.training import Progress, TrainingOptions, make_scorer, pick_device, train

__all__ = [
    "EASE",
    "FPMC",
    "HSTU",
    "TALE",
    "BERT4Rec",
    "BERT4RecOptions",
    "Boost",
    "CausalRec",
    "CausalRecOptions",
    "CheckpointFile",
    "FPMCOptions",
    "Fits",
    "GRU4Rec",
    "GRU4RecOptions",
    "HSTUOptions",
    "InputError",
    "Interactions",
    "ItemKNN",
    "Markov",
    "Popularity",
    "Problems",
    "Progress",
    "Ranks",
    "SASRec",
    "SASRecOptions",
    "Sequences",
    "Split",
    "Targets",
    "TiSASRec",
    "TiSASRecOptions",
    "TrainingOptions",
    "check_leaks",
    "drop_repeats",
    "from_rows",
    "global_temporal",
    "hit_rate",
    "k_core",
    "learners",
    "leave_one_out",
    "load",
    "make_scorer",
    "ndcg",
    "pick_device",
    "rank_targets",
    "reciprocal_rank",
    "shuffle_histories",
    "threshold",
    "threshold_to_dag",
    "to_sequences",
    "train",
    "train_on_validation",
]
