"""RecTools' SASRec on a split, for `bench.speed_recommend`: run by an interpreter that has `rectools[torch]`.

`python rectools_speed.py ROWS.npz LENGTH LOSS BATCHES` prints one JSON object: CPU-seconds of a training step and of
ranking all users, the mean loss, and peak memory. It needs nothing of this project. One thread.
"""

import json
import logging
import resource
import sys
import time
import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class Clock(Callback):  # type: ignore[misc]
    """CPU time at the end of every step, and its loss; kept by the class, since RecTools copies its trainer."""

    marks: ClassVar[list[float]] = []
    losses: ClassVar[list[float]] = []

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_rest: Any) -> None:
        """Note the time, and the loss of the step that just ended."""
        self.marks.append(time.process_time())
        self.losses.append(float(outputs["loss"]))


def main() -> None:
    """Train for some batches, recommend to everyone, print what it took."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    path, length, loss, batches = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    rows = np.load(path)
    start = pd.Timestamp("2000-01-01")
    frame = pd.DataFrame({"user_id": rows["users"], "item_id": rows["items"], "weight": 1.0})
    frame["datetime"] = start + pd.to_timedelta(np.arange(len(frame)), unit="s")
    dataset = Dataset.construct(frame)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=1, limit_train_batches=batches, accelerator="cpu", callbacks=[Clock()], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip

    model = SASRecModel(
        n_blocks=2, n_heads=2, n_factors=64, session_max_len=length, dropout_rate=0.2, lr=1e-3, batch_size=128,
        loss="softmax" if loss == "full" else "sampled_softmax", n_negatives=256, get_trainer_func=trainer,
        recommend_torch_device="cpu",
    )  # fmt: skip
    model.fit(dataset)
    users = np.unique(rows["users"])
    begin = time.process_time()
    model.recommend(users, dataset, k=10, filter_viewed=True)
    ranking = time.process_time() - begin
    print(json.dumps({
        "step": (Clock.marks[-1] - Clock.marks[0]) / (len(Clock.marks) - 1),
        "loss": float(np.mean(Clock.losses[1:])),
        "ranking": ranking,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
