"""RecTools' SASRec and BERT4Rec on our splits, by an interpreter of their own.

RecTools asks for versions of NumPy and pandas that are not ours, so it is never imported here: $CAUSALREC_RECTOOLS
names a Python that has `rectools[torch]`, and `bench/methods/rectools_script.py` runs there.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.methods.interpreters import Interpreter
from causalrec.interactions import Sequences, Split

MODELS = {"rectools_sasrec": "sasrec", "rectools_bert4rec": "bert4rec"}
PEER = Interpreter(
    "RecTools", "CAUSALREC_RECTOOLS", "'rectools[torch]'", ("rectools", "pytorch_lightning"),
    Path(__file__).with_name("rectools_script.py"),
)  # fmt: skip
MASK_SHARE = 0.2


def write_rows(path: Path, train: Sequences, **more: NDArray[Any]) -> None:
    """Write training rows as `rectools_script.py` reads them.

    Args:
        path: an `.npz` file.
        train: the rows.
        more: further arrays by name.
    """
    users = np.repeat(np.arange(len(train)), train.lengths())
    np.savez(path, users=users, items=train.items, allow_pickle=False, **more)


class RecTools:
    """A model of RecTools, trained for a fixed number of epochs, as a scorer of a split's two parts.

    Items that training never saw are scored below all others.

    Args:
        name: one of `MODELS`.
        split: what to train on; its histories are what can be scored.
        options: length, width, dropout, and unless they are 2 layers and heads, by the names of ours.
        training: epochs, batch and learning_rate, by the names of ours.
        seed: of all of RecTools' generators.
    """

    def __init__(
        self, name: str, split: Split, options: Mapping[str, Any], training: Mapping[str, Any], seed: int
    ) -> None:
        python = PEER.python(name)
        self.parts = (split.validation.history, split.test.history)
        asked = {
            "layers": 2, "heads": 2, "mask": MASK_SHARE, **options, "model": MODELS[name], "items": split.num_items,
            "seed": seed, **{key: training[key] for key in ("epochs", "batch", "learning_rate")},
        }  # fmt: skip
        lengths = np.concatenate([part.lengths() for part in self.parts])
        history = np.concatenate([part.items for part in self.parts])
        with tempfile.TemporaryDirectory() as folder:
            rows, out = Path(folder) / "rows.npz", Path(folder) / "out.npz"
            write_rows(rows, split.train, history=history, offsets=np.r_[0, np.cumsum(lengths)])
            PEER.call(python, "train", rows, out, json.dumps(asked))
            with np.load(out, allow_pickle=False) as found:
                items, vectors = torch.from_numpy(found["items"]), torch.from_numpy(found["histories"])
        self.unknown = items.isnan().any(1)
        self.items = items.nan_to_num()
        self.vectors = torch.split(vectors, [len(part) for part in self.parts])

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Scores (rows, items)."""
        part = next(number for number, known in enumerate(self.parts) if known.items is history.items)
        scores: Tensor = self.vectors[part][rows] @ self.items.T
        return scores.masked_fill(self.unknown, float(scores.min()) - 1)
