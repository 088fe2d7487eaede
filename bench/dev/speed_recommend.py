"""Our training and ranking on ML-1M beside RecTools' on the same rows: python -m bench.dev.speed_recommend [--length L]

CPU-seconds of one thread. An epoch is extrapolated from its first steps by the tokens (RecTools: the steps) they hold;
our models take turns, so that a busy machine slows all. RecTools runs in a process of its own, because its memory is
measured, with the Python that `--rectools` names: as installed, and with glibc's malloc told to keep its memory, which
alone makes it nearly twice as fast.
"""

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from bench.datasets.load import data_folder, load
from bench.dev.timing import Goal, command_line, cpu_seconds, take_step
from bench.judge.intervals import Value
from bench.methods.rectools import call, write_rows
from bench.show.console import print_message, print_table
from bench.show.tables import Table
from causalrec.attention import set_dropout_generator
from causalrec.interactions import Split, leave_one_out, pad_left
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.ranking import rank_targets
from causalrec.training import PRECISIONS, batches, make_scorer

BATCH, WIDTH, LAYERS = 128, 64, 2
FLOOR_RATE = 90e9  # operations per second of one thread, which the goal of the floor assumes
MALLOC = {f"MALLOC_{name}_": str(size) for name, size in
          {"MMAP_THRESHOLD": 2**32, "TRIM_THRESHOLD": 2**32, "TOP_PAD": 2**28}.items()}  # fmt: skip
# By length: how many times faster than RecTools, as installed and with malloc tuned; the most megabytes; the most times
# a CausalRec step may take SASRec's, and SASRec the floor.
GOALS = {
    50: {"full": Goal(4.0), "tuned": Goal(2.5), "memory": Goal(600.0, most=True), "step": Goal(1.5, most=True),
         "floor": Goal(2.0, most=True)},
    200: {"full": Goal(8.0), "tuned": Goal(4.0), "step": Goal(1.8, most=True)},
}  # fmt: skip
ANY_LENGTH = {"sampled": Goal(10.0), "bce": Goal(1.5), "ranking": Goal(2.5)}
NAMES = {"sasrec": "SASRec, full softmax", "bf16": "SASRec, full softmax, bf16", "sampled": "SASRec, 256 sampled",
         "bce": "SASRec, BCE of one negative", "causalrec": "CausalRec, full softmax"}  # fmt: skip
PEERS = {"full": "SASRec, full softmax", "tuned": "SASRec, full softmax, malloc tuned", "sampled": NAMES["sampled"],
         "bce": NAMES["bce"]}  # fmt: skip


@dataclass
class Clock:
    """A model in training and what its steps have taken.

    Args:
        model: the model.
        optimiser: of its parameters.
        seconds: CPU-seconds of the steps that were counted.
        targets: how many targets these held.
    """

    model: SASRec
    optimiser: torch.optim.Optimizer
    seconds: float = 0.0
    targets: int = 0

    def step(self, items: Tensor, target: Tensor) -> None:
        """Train for one step as `causalrec.training` does it, and count it.

        Args:
            items: item ids, (batch, length), 0 where padded.
            target: the next items, (batch, length).
        """
        self.seconds += cpu_seconds(partial(take_step, self.model, self.optimiser, items, target, 5.0))
        self.targets += int((target != 0).sum())


def build(kind: str, items: int, length: int) -> Clock:
    """A fresh model.

    Args:
        kind: sasrec, bf16, sampled, bce or causalrec.
        items: size of the catalogue.
        length: the most items of a history.
    """
    generator = torch.Generator().manual_seed(0)
    model: SASRec
    if kind == "causalrec":
        model = CausalRec(CausalRecOptions(items, length), generator)
    else:
        model = SASRec(SASRecOptions(items, length, loss=kind if kind in ("sampled", "bce") else "full"), generator)
    model.products = PRECISIONS["bf16" if kind == "bf16" else "float32"]
    set_dropout_generator(model, torch.Generator().manual_seed(1))
    model.train()
    return Clock(model, torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), fused=True))


def floor_flops(targets: int, padded_lengths: np.ndarray[Any, np.dtype[np.int64]], items: int) -> float:
    """Operations of an epoch on real tokens: the head's three products, six d x d ones per layer, causal attention.

    Args:
        targets: tokens of the epoch.
        padded_lengths: length of each row, (users,).
        items: size of the catalogue.
    """
    body = LAYERS * (6 * 2 * WIDTH**2 * targets + 2 * WIDTH * float((padded_lengths.astype(float) ** 2).sum()))
    return 3 * (2 * WIDTH * items * targets + body)


def product_rate(items: int) -> float:
    """Float32 operations per second of one thread, in the shape of the head's product: the best of 20.

    Args:
        items: size of the catalogue.
    """
    x, item, out = torch.randn(BATCH, WIDTH), torch.randn(WIDTH, items), torch.empty(BATCH, items)
    best = min(cpu_seconds(lambda: [torch.mm(x, item, out=out) for _ in range(8)]) / 8 for _ in range(20))
    return 2 * BATCH * WIDTH * items / best


def rectools(
    python: str, split: Split, length: int, loss: str, steps: int, environment: dict[str, str] | None = None
) -> dict[str, float] | str:
    """What RecTools takes.

    Args:
        python: a Python that has rectools[torch].
        split: what to train on.
        length: the most items of a history.
        loss: full, sampled or bce.
        steps: training steps that are timed.
        environment: variables to add to its own.

    Returns:
        What `bench/methods/rectools_script.py` measured, or why it did not.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        write_rows(path, split.train)
        try:
            said = call(python, "time", path, length, loss, steps, environment=environment)
        except RuntimeError as error:
            missing = any(f"No module named '{name}'" in str(error) for name in ("rectools", "pytorch_lightning"))
            return "not installed" if missing else f"failed: {error}"
    result: dict[str, float] = json.loads(said.splitlines()[-1])
    return result


def peak_memory(split: Split, length: int) -> float:
    """Peak memory in MB of a process that trains our SASRec for some steps, on rows made ready as for RecTools.

    Args:
        split: what to train on.
        length: the most items of a history.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, pad_left(split.train, length + 1))
        code = f"from bench.dev.speed_recommend import train_alone; train_alone({str(path)!r}, {split.num_items})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


def train_alone(path: str, items: int) -> None:
    """Train for six steps and print this process's peak memory in MB.

    Args:
        path: file of padded rows, (users, length + 1).
        items: size of the catalogue.
    """
    torch.set_num_threads(1)
    rows = np.load(path)
    clock = build("sasrec", items, rows.shape[1] - 1)
    for _, (block, target) in zip(range(6), batches(rows, BATCH, np.random.default_rng(0), "cpu"), strict=False):
        clock.step(block, target)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def recommend(split: Split, length: int, steps: int, python: str) -> list[Table]:
    """Seconds per epoch and of ranking everyone, peak memory, and the ratios with their goals.

    Args:
        split: what to train and rank on.
        length: the most items of a history.
        steps: training steps that are timed of each model.
        python: a Python that has rectools[torch].
    """
    rows, items = pad_left(split.train, length + 1), split.num_items
    lengths = np.maximum((rows != 0).sum(1) - 1, 0)
    targets, epoch_steps = int(lengths.sum()), -(-len(rows) // BATCH)
    rate, flops = product_rate(items), floor_flops(targets, lengths, items)
    # First, while this process is small: a child's peak begins at what its parent held when it was made.
    memory = peak_memory(split, length)
    peers = {}
    for name, title in PEERS.items():
        print_message(f"RecTools: {title}")
        loss, malloc = ("full", MALLOC) if name == "tuned" else (name, None)
        peers[name] = rectools(python, split, length, loss, steps, malloc)
    clocks = {kind: build(kind, items, length) for kind in NAMES}
    epoch = batches(rows, BATCH, np.random.default_rng(0), "cpu")
    for number, (block, target) in zip(range(steps + 1), epoch, strict=False):
        for clock in clocks.values():
            clock.step(block, target)
            if number == 0:  # the first step warms up
                clock.seconds, clock.targets = 0.0, 0
    ours = {kind: clock.seconds * targets / clock.targets for kind, clock in clocks.items()}
    ranking = cpu_seconds(lambda: rank_targets(make_scorer(clocks["sasrec"].model), split.test))

    goals = GOALS.get(length, {}) | ANY_LENGTH
    floor = f"an epoch at the product rate of {rate / 1e9:.0f} GFLOP/s ({flops / 1e9:.0f} GFLOP)"
    taken: list[tuple[Value, ...]] = [(floor, flops / rate)]
    taken += [(f"ours: an epoch of {name}", ours[kind]) for kind, name in NAMES.items()]
    taken += [("ours: ranking all users, kept and filtered", ranking), ("ours: peak memory, MB", memory)]
    ratios: list[tuple[str, float, str]] = [
        ("our SASRec / floor at 90 GFLOP/s", ours["sasrec"] * FLOOR_RATE / flops, "floor"),
        ("our SASRec / floor at the product rate", ours["sasrec"] * rate / flops, ""),
        ("CausalRec / SASRec", ours["causalrec"] / ours["sasrec"], "step"),
        ("bf16 / float32", ours["bf16"] / ours["sasrec"], ""),
        ("our peak memory, MB", memory, "memory"),
    ]
    for kind, peer in peers.items():
        if isinstance(peer, str):
            taken.append((f"RecTools: {PEERS[kind]}", peer))
            continue
        seconds = peer["step"] * epoch_steps
        taken.append((f"RecTools: an epoch of {PEERS[kind]}", seconds))
        told = f"RecTools / ours, {PEERS[kind].removeprefix('SASRec, ')}"
        ratios.append((told, seconds / ours.get(kind, ours["sasrec"]), kind))
    if not isinstance(full := peers["full"], str):
        taken += [("RecTools: recommend 10, filtered", full["ranking"]), ("RecTools: peak memory, MB", full["memory"])]
        ratios.append(("RecTools / ours, ranking", full["ranking"] / ranking, "ranking"))
    judged = tuple((what, ratio, goals[goal].judge(ratio) if goal in goals else "") for what, ratio, goal in ratios)
    title = f"ML-1M, {len(rows)} users, {items} items, length {length}, d = {WIDTH}, {LAYERS} blocks, batch {BATCH}"
    note = f"CPU-seconds of one thread, an epoch from {steps} of its {epoch_steps} steps."
    return [
        Table("recommend", title, ("what", "CPU-s"), tuple(taken), note),
        Table("ratios", "Ratios", ("ratio", "figure", "goal"), judged),
    ]


def main() -> None:
    """Measure on ML-1M and print the tables."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--length", type=int, default=50, help="the most items of a history")
    parser.add_argument("--steps", type=int, default=12, help="training steps timed of each model")
    parser.add_argument("--data-dir", type=Path, help="where ml-1m lies")
    parser.add_argument("--rectools", default=sys.executable, help="a Python that has rectools[torch]")
    options = parser.parse_args()
    with threadpool_limits(1):
        split = leave_one_out(load("ml-1m", data_folder(options.data_dir)).sequences)
        for table in recommend(split, options.length, options.steps, options.rectools):
            print_table(table)


if __name__ == "__main__":
    main()
