"""Figures that papers and projects report, to stand beside ours: full catalogue, leave-one-out, seen items filtered.

They hold for one preparation of a dataset, told by its users and items. Read in the sources' own tables; the keys
of the sources are Klenitskiy & Vasilev 2023 (Turning dross into gold loss: is BERT4Rec really better than SASRec?),
Petrov & Macdonald 2022 (A systematic review and replicability study of BERT4Rec), gSASRec (Petrov & Macdonald 2023),
RecTools (benchmark of the library), eSASRec (Tikhonovich et al. 2025), BSARec (Shin et al. 2024).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One figure of a paper or a project.

    Args:
        dataset: a key of `SIZES`.
        model: our model that is trained in the same way; None if there is none.
        title: what the source calls it.
        hr10: HR@10.
        ndcg10: NDCG@10 of one relevant item, so that the ideal is 1.
        source: where it stands.
    """

    dataset: str
    model: str | None
    title: str
    hr10: float
    ndcg10: float
    source: str


SIZES = {"ml-1m": (6040, 3416), "beauty": (22363, 12101)}
PUBLISHED = (
    Published("ml-1m", "sasrec", "SASRec, cross-entropy", 0.315, 0.182, "Klenitskiy & Vasilev 2023"),
    Published("ml-1m", None, "SASRec, 3,000 negatives", 0.316, 0.186, "Klenitskiy & Vasilev 2023"),
    Published("ml-1m", "sasrec", "SASRec", 0.306, 0.178, "RecTools"),
    Published("ml-1m", "sasrec_bce", "SASRec, BCE", 0.250, 0.134, "Klenitskiy & Vasilev 2023"),
    Published("ml-1m", "sasrec_gbce", "gSASRec", 0.300, 0.173, "gSASRec"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.292, 0.162, "RecTools"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.284, 0.154, "Klenitskiy & Vasilev 2023"),
    Published("ml-1m", "bert4rec", "BERT4Rec", 0.282, 0.152, "Petrov & Macdonald 2022"),
    Published("beauty", None, "SASRec, sampled softmax", 0.092, 0.053, "eSASRec"),
    Published("beauty", None, "eSASRec", 0.093, 0.052, "eSASRec"),
    Published("beauty", None, "BSARec", 0.101, 0.061, "BSARec"),
)
