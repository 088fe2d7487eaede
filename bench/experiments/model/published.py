"""Figures that papers and projects report, to stand beside ours: full catalogue, seen items filtered.

They hold for one preparation of a dataset, told by its users and items. Read in the sources' own tables; the keys
of the sources are Klenitskiy & Vasilev 2023 (Turning dross into gold loss: is BERT4Rec really better than SASRec?),
Petrov & Macdonald 2022 (A systematic review and replicability study of BERT4Rec), gSASRec (Petrov & Macdonald 2023),
RecTools (benchmark of the library; its tutorial of HSTU), eSASRec (Tikhonovich et al. 2025), BSARec (Shin et al. 2024),
Time to Split (Gusak et al. 2025: github.com/monkey0head/time-to-split, data/results, one of 108 grid points each).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One figure of a paper or a project.

    Args:
        dataset: a key of `SIZES`.
        model: our model that is trained in the nearest way; None if there is none.
        title: what the source calls it.
        hr10: HR@10.
        ndcg10: NDCG@10 of one relevant item, so that the ideal is 1.
        source: where it stands.
        protocol: what the source tells of settings and data that may differ from ours; "" where we know of nothing.
        split: the split that it holds for, see `causalrec.methods.fit.SPLITS`.
    """

    dataset: str
    model: str | None
    title: str
    hr10: float
    ndcg10: float
    source: str
    protocol: str = ""
    split: str = "leave_one_out"


SIZES = {"ml-1m": (6040, 3416), "beauty": (22363, 12101)}
OTHER_ITEMS = {
    "ml-1m": "eSASRec's figures on ML-1M, with all its 3,706 items, are not comparable: HR@10 and NDCG@10 of 0.313 and "
    "0.177 for itself, 0.304 and 0.172 for HSTU, 0.316 and 0.181 for FuXi-α.",
}
LONG = "length 200, width 64"
GRID = "length 128; consecutive repeats dropped; not trained on validation items"
CHOSEN = f"best of 108 on validation; {GRID}"
KLENITSKIY, SPLIT, TUTORIAL = "Klenitskiy & Vasilev 2023", "Time to Split", "RecTools, tutorial"
PUBLISHED = (
    Published("ml-1m", "sasrec", "SASRec, cross-entropy", 0.315, 0.182, KLENITSKIY, LONG),
    Published("ml-1m", None, "SASRec, 3,000 negatives", 0.316, 0.186, KLENITSKIY, LONG),
    Published("ml-1m", "sasrec", "SASRec", 0.306, 0.178, "RecTools"),
    Published("ml-1m", "sasrec", "SASRec, width 64, 2 blocks", 0.3060, 0.1766, SPLIT, GRID),
    Published("ml-1m", "sasrec", "SASRec, width 256, 3 blocks", 0.3207, 0.1858, SPLIT, CHOSEN),
    Published("ml-1m", "sasrec_bce", "SASRec, BCE", 0.250, 0.134, KLENITSKIY, LONG),
    Published("ml-1m", "sasrec_gbce", "gSASRec", 0.300, 0.173, "gSASRec", "length 200"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.292, 0.162, "RecTools"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.284, 0.154, KLENITSKIY, "length 200"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.282, 0.152, "Petrov & Macdonald 2022"),
    Published("ml-1m", "hstu", "HSTU, without the query's time", 0.302, 0.172, TUTORIAL),
    Published("ml-1m", "hstu_time", "HSTU, with the query's time", 0.323, 0.188, TUTORIAL, "is told the target's time"),
    Published("ml-1m", "sasrec", "SASRec, width 256, 3 blocks", 0.1596, 0.0948, SPLIT, CHOSEN, "temporal"),
    Published("beauty", "sasrec", "SASRec, sampled softmax", 0.0921, 0.0531, "eSASRec", "length 50, 256 negatives"),
    Published("beauty", None, "eSASRec", 0.0928, 0.0523, "eSASRec", "length 50, 256 negatives"),
    Published("beauty", None, "BSARec", 0.101, 0.061, "BSARec"),
    Published("beauty", "sasrec", "SASRec, width 64, 1 block", 0.0927, 0.0575, SPLIT, GRID),
    Published("beauty", "sasrec", "SASRec, width 256, 3 blocks", 0.0974, 0.0588, SPLIT, CHOSEN),
    Published("beauty", "sasrec", "SASRec, width 64, 3 blocks", 0.0416, 0.0240, SPLIT, CHOSEN, "temporal"),
)
