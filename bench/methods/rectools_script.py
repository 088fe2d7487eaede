"""RecTools' models on rows of ours: run by an interpreter that has `rectools[torch]`; it needs nothing of this project.

`time ROWS.npz LENGTH LOSS BATCHES` prints one JSON object: CPU-seconds of a training step and of ranking all users, the
mean loss, and peak memory. `train ROWS.npz OUT.npz OPTIONS` trains SASRec or BERT4Rec (OPTIONS is JSON) and writes the
vectors whose products are its scores: of every item, and of every history in ROWS. One thread.
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
import pytorch_lightning as lightning
import torch
from pytorch_lightning import Callback, Trainer
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel

LOSSES = {"full": "softmax", "bce": "BCE", "sampled": "sampled_softmax"}
QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip
BATCH = 512


class Clock(Callback):  # type: ignore[misc]
    """CPU time at the end of every step, and its loss; kept by the class, since RecTools copies its trainer."""

    marks: ClassVar[list[float]] = []
    losses: ClassVar[list[float]] = []

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_rest: Any) -> None:
        """Note the time, and the loss of the step that just ended.

        Args:
            outputs: of the step; holds its loss.
        """
        self.marks.append(time.process_time())
        self.losses.append(float(outputs["loss"]))


def to_dataset(rows: Any) -> Any:
    """RecTools' dataset.

    Args:
        rows: arrays `users` and `items`, in order.
    """
    frame = pd.DataFrame({"user_id": rows["users"], "item_id": rows["items"], "weight": 1.0})
    frame["datetime"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="s")
    return Dataset.construct(frame)


def time_sasrec(path: str, length: int, loss: str, batches: int) -> None:
    """Train for some batches, recommend to everyone, and print what it took.

    Args:
        path: rows as `bench.methods.rectools.write_rows` writes them.
        length: actions per window.
        loss: one of `LOSSES`.
        batches: training steps.
    """
    rows = np.load(path)
    dataset = to_dataset(rows)
    model = SASRecModel(
        n_blocks=2, n_heads=2, n_factors=64, session_max_len=length, dropout_rate=0.2, lr=1e-3, batch_size=128,
        loss=LOSSES[loss], n_negatives=1 if loss == "bce" else 256, recommend_torch_device="cpu",
        get_trainer_func=lambda: Trainer(max_epochs=1, limit_train_batches=batches, callbacks=[Clock()], **QUIET),
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


def train(path: str, out: str, o: dict[str, Any]) -> None:
    """Train for a fixed number of epochs and write item vectors (items, width) and history vectors (rows, width).

    An item that no training row holds has no vector (NaN), and histories leave it out.

    Args:
        path: rows, with `history` and `offsets`.
        out: the `.npz` file to write.
        o: options by name.
    """
    rows = np.load(path)
    lightning.seed_everything(o["seed"])
    bert = o["model"] == "bert4rec"
    kind, more = (BERT4RecModel, {"mask_prob": o["mask"]}) if bert else (SASRecModel, {})
    model = kind(
        n_blocks=o["layers"], n_heads=o["heads"], n_factors=o["width"], session_max_len=o["length"] + bert,
        dropout_rate=o["dropout"], lr=o["learning_rate"], batch_size=o["batch"], loss="softmax",
        recommend_torch_device="cpu", get_trainer_func=lambda: Trainer(max_epochs=o["epochs"], **QUIET), **more,
    )  # fmt: skip
    model.fit(to_dataset(rows))
    net, prepare = model.torch_model.eval(), model.data_preparator
    known = prepare.item_id_map.to_internal  # by our item number; the padding and mask tokens are words
    internal = np.array([known.get(item, -1) for item in range(1, o["items"] + 1)])
    histories = np.split(rows["history"], rows["offsets"][1:-1])
    with torch.no_grad():
        item_vectors = net.item_model.get_all_embeddings()
        parts = []
        for start in range(0, len(histories), BATCH):
            told = [internal[history - 1] for history in histories[start : start + BATCH]]
            told = [ids[ids >= 0][-o["length"] :].tolist() or [0] for ids in told]  # 0 is padding
            batch = prepare._collate_fn_recommend([(ids, [1.0] * len(ids), {}) for ids in told])
            parts.append(net.encode_sessions(batch, item_vectors)[:, -1])
    items = item_vectors.numpy()[internal]
    items[internal < 0] = np.nan
    np.savez(out, items=items, histories=torch.cat(parts).numpy())


def main() -> None:
    """Do what the first argument says."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if sys.argv[1] == "time":
        time_sasrec(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        train(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))


if __name__ == "__main__":
    main()
