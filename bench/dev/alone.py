"""What each part of the training recipe is worth, one change at a time: python -m bench.dev.alone --data beauty ml-100k

SASRec under the recipe and with each change of `CHANGES`, for the same number of epochs, by validation alone. A run is
a row of a CSV and is skipped once it stands there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from bench.datasets.load import data_folder, load
from bench.dev.frontier import EVIDENCE, append, figures, read
from bench.dev.speed_quality import quality, recipe_options
from bench.dev.timing import command_line
from bench.errors import InputError
from causalrec.methods.fit import SPLITS, make_split
from causalrec.methods.recipes import NEGATIVES

Change = tuple[Mapping[str, Any], Mapping[str, Any]]  # options of the model, and of the training
CHANGES: dict[str, Change] = {
    "the recipe": ({}, {}),
    "Adam on all": ({}, {"optimiser": "adam"}),
    "a constant learning rate": ({}, {"schedule": "constant"}),
    "learning rate 0.001": ({}, {"learning_rate": 1e-3}),
    "learning rate 0.002": ({}, {"learning_rate": 2e-3}),
    "learning rate 0.008": ({}, {"learning_rate": 8e-3}),
    "weight decay 0.1": ({}, {"weight_decay": 0.1}),
    "batch 64": ({}, {"batch": 64}),
    "batch 256": ({}, {"batch": 256}),
    "embeddings at unit length": ({"initial": "unit"}, {}),
    "one block": ({"layers": 1}, {}),
    "one head": ({"heads": 1}, {}),
    "LayerNorm on the first values": ({"normalised": 1}, {}),
    "the last window of each user": ({}, {"windows": "last"}),
    "the other softmax": ({}, {}),
    "bf16 in the full softmax": ({"loss": "full"}, {"precision": "bf16"}),
}


def options_of(change: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """The model's options under a change.

    Args:
        change: one of `CHANGES`.
        own: those of the recipe.
    """
    if change == "the other softmax":
        return {**own, "loss": "full"} if "loss" in own else {**own, "loss": "sampled", "negatives": NEGATIVES}
    return {**own, **CHANGES[change][0]}


def main() -> None:
    """Do the runs that are missing."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--data", nargs="+", default=["beauty", "ml-100k"], help="names of datasets")
    parser.add_argument("--data-dir", type=Path, help="where they lie")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--change", nargs="+", default=list(CHANGES), choices=CHANGES)
    parser.add_argument("--out", type=Path, default=EVIDENCE / "alone.csv", help="a CSV")
    asked = parser.parse_args()
    try:
        with threadpool_limits(1):
            for data in asked.data:
                split = make_split(load(data, data_folder(asked.data_dir)).sequences, SPLITS[0])
                own = recipe_options(data, "sasrec", split.num_items)
                for seed, change in ((seed, change) for seed in range(asked.seeds) for change in asked.change):
                    run = {"data": data, "change": change, "epochs": str(asked.epochs), "seed": str(seed)}
                    if any(run.items() <= row.items() for row in read(asked.out)):
                        continue
                    how = {**CHANGES[change][1], "epochs": asked.epochs}
                    found = quality(split, "sasrec", options_of(change, own), how, 0.0, seed, choose=True, quiet=True)
                    append(asked.out, run | figures(found))
                    print(f"{data}, seed {seed}, {change}: {found['filtered']['ndcg10']:.4f}", flush=True)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
