"""RecTools' models on rows of ours: run by an interpreter that has `rectools[torch]`; it needs nothing of this project.

`time MODEL ROWS.npz LENGTH LOSS BATCHES` prints one JSON object: CPU-seconds of a training step, the mean loss, peak
memory, and for SASRecModel the CPU-seconds of ranking all users. MODEL is SASRecModel, or FlatSASRecNet: a network
without a trainer, here in a plain loop. `train ROWS.npz OUT.npz OPTIONS` trains SASRec or BERT4Rec (OPTIONS is JSON)
and writes the vectors whose products are its scores: of every item, and of every history in ROWS. One thread.
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
from rectools.fast_transformers import FlatSASRecNet, SequenceBatchDataset, build_sequences
from rectools.models import BERT4RecModel, SASRecModel
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader

LOSSES = {"full": "softmax", "bce": "BCE", "sampled": "sampled_softmax"}
NEGATIVES = {"full": 256, "bce": 1, "sampled": 256}  # the full softmax draws none, but is asked for a number
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


def time_model(rows: Any, length: int, loss: str, batches: int) -> dict[str, float]:
    """Train SASRecModel for some batches and recommend to everyone: what a step and the ranking took, and the loss.

    Args:
        rows: arrays `users` and `items`, in order.
        length: actions per window.
        loss: one of `LOSSES`.
        batches: training steps.
    """
    dataset = to_dataset(rows)
    model = SASRecModel(
        n_blocks=2, n_heads=2, n_factors=64, session_max_len=length, dropout_rate=0.2, lr=1e-3, batch_size=128,
        loss=LOSSES[loss], n_negatives=NEGATIVES[loss], recommend_torch_device="cpu",
        get_trainer_func=lambda: Trainer(max_epochs=1, limit_train_batches=batches, callbacks=[Clock()], **QUIET),
    )  # fmt: skip
    model.fit(dataset)
    users = np.unique(rows["users"])
    begin = time.process_time()
    model.recommend(users, dataset, k=10, filter_viewed=True)
    return summary(Clock.marks, Clock.losses) | {"ranking": time.process_time() - begin}


def time_net(rows: Any, length: int, loss: str, batches: int) -> dict[str, float]:
    """Train FlatSASRecNet for some batches, on rows as its own package makes them: what a step took, and the loss.

    Nothing is computed for padding that its public methods let one leave out.

    Args:
        rows: arrays `users` and `items`, in order.
        length: actions per window.
        loss: one of `LOSSES`.
        batches: training steps.
    """
    users, items = (torch.from_numpy(rows[name]).long() for name in ("users", "items"))
    x, y, known, _ = build_sequences(users, items, torch.arange(len(users)), length)
    net = FlatSASRecNet(len(known), 64, 2, 2, length, 0.2).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    marks, losses = list[float](), list[float]()
    loader = DataLoader(SequenceBatchDataset(x, y), batch_size=128, shuffle=True)
    for _, batch in zip(range(batches), loader, strict=False):
        real = batch["y"] != 0
        if loss == "full":
            logits = net.encode(batch["x"])[real] @ net.all_item_embeddings().T
            value = cross_entropy(logits, batch["y"][real] - 1)
        else:
            drawn = torch.randint(1, len(known) + 1, (*real.shape, NEGATIVES[loss]))
            logits = net({**batch, "negatives": drawn})[real]  # of the next item, then of its negatives
            if loss == "bce":
                value = binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0]).expand_as(logits))
            else:
                value = cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        marks.append(time.process_time())
        losses.append(float(value))
    return summary(marks, losses)


def summary(marks: list[float], losses: list[float]) -> dict[str, float]:
    """Mean CPU-seconds and loss of a step, without the first, which warms up.

    Args:
        marks: CPU time at the end of every step.
        losses: of every step.
    """
    return {"step": (marks[-1] - marks[0]) / (len(marks) - 1), "loss": float(np.mean(losses[1:]))}


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
        model, path, length, loss, batches = sys.argv[2:]
        measure = {"SASRecModel": time_model, "FlatSASRecNet": time_net}[model]
        found = measure(np.load(path), int(length), loss, int(batches))
        print(json.dumps(found | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    else:
        train(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))


if __name__ == "__main__":
    main()
