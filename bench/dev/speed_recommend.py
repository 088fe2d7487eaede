"""Our training and ranking on ML-1M beside RecTools' on the same rows: python -m bench.dev.speed_recommend [--length L]

CPU-seconds of one thread. An epoch is extrapolated from its first steps by the tokens (RecTools: the steps) they hold;
our models take turns, so that a busy machine slows all, and are trained by the optimisers of the suite's recipe.
RecTools runs in a process of its own, because its memory is measured, with the Python that `--rectools` names: as
installed, and with glibc's malloc told to keep its memory, which alone makes it nearly twice as fast. It has two
SASRecs, and every ratio is that to the faster one.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from bench.datasets.load import data_folder, load
from bench.dev.timing import Goal, command_line, cpu_seconds, take_step
from bench.judge.intervals import Value
from bench.methods.rectools import PEER, write_rows
from bench.show.console import print_message, print_table
from bench.show.tables import Table
from causalrec.attention import set_dropout_generator
from causalrec.interactions import Split, leave_one_out, pad_left
from causalrec.methods.recipes import TRAINING
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.optimisers import make_optimisers
from causalrec.ranking import rank_targets
from causalrec.training import PRECISIONS, TrainingOptions, batches, make_scorer

BATCH, WIDTH, LAYERS = 128, 64, 2
MALLOC = {f"MALLOC_{name}_": str(size) for name, size in
          {"MMAP_THRESHOLD": 2**32, "TRIM_THRESHOLD": 2**32, "TOP_PAD": 2**28}.items()}  # fmt: skip
# By length: how many times faster than RecTools, as installed and with malloc tuned; the most megabytes; the most times
# a CausalRec step may take SASRec's, and SASRec's epoch the floor, in float32 and where the processor has bf16 in it.
GOALS = {
    50: {"full": Goal(5.0), "tuned": Goal(3.0), "memory": Goal(500.0, most=True), "step": Goal(1.5, most=True),
         "floor": Goal(1.7, most=True)},
    200: {"full": Goal(8.0), "tuned": Goal(4.0), "step": Goal(1.8, most=True), "floor": Goal(1.6, most=True)},
}  # fmt: skip
ANY_LENGTH = {"sampled": Goal(10.0), "bce": Goal(2.0), "ranking": Goal(2.5), "bf16": Goal(1.3, most=True)}
NAMES = {"sasrec": "SASRec, full softmax", "bf16": "SASRec, full softmax, bf16", "sampled": "SASRec, 256 sampled",
         "bce": "SASRec, BCE of one negative", "causalrec": "CausalRec, full softmax"}  # fmt: skip
MODELS = ("SASRecModel", "FlatSASRecNet")  # RecTools' own, of which the first alone ranks
PEERS = {"full": "SASRec, full softmax", "tuned": "SASRec, full softmax, malloc tuned", "sampled": NAMES["sampled"],
         "bce": NAMES["bce"]}  # fmt: skip


@dataclass
class Clock:
    """A model in training and what its steps have taken.

    Args:
        model: the model.
        optimisers: of its parameters.
        seconds: CPU-seconds of the steps that were counted.
        targets: how many targets these held.
    """

    model: SASRec
    optimisers: list[torch.optim.Optimizer]
    seconds: float = 0.0
    targets: int = 0

    def step(self, items: Tensor, target: Tensor) -> None:
        """Train for one step as `causalrec.training` does it, and count it.

        Args:
            items: item ids, (batch, length), 0 where padded.
            target: the next items, (batch, length).
        """
        clip_norm = TrainingOptions.clip_norm
        self.seconds += cpu_seconds(partial(take_step, self.model, self.optimisers, items, target, clip_norm))
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
    recipe = TRAINING["optimiser"], TRAINING["learning_rate"]
    return Clock(model, make_optimisers(model.groups(), model.matrices(), *recipe))


def floor_flops(targets: int, padded_lengths: np.ndarray[Any, np.dtype[np.int64]], items: int) -> float:
    """Operations of an epoch on real tokens: the head's three products, six d x d ones per layer, causal attention.

    Args:
        targets: tokens of the epoch.
        padded_lengths: length of each row, (users,).
        items: size of the catalogue.
    """
    body = LAYERS * (6 * 2 * WIDTH**2 * targets + 2 * WIDTH * float((padded_lengths.astype(float) ** 2).sum()))
    return 3 * (2 * WIDTH * items * targets + body)


def product_seconds(items: int) -> float:
    """CPU-seconds of one float32 product in the shape of the head's, from eight in a row.

    Args:
        items: size of the catalogue.
    """
    x, item, out = torch.randn(BATCH, WIDTH), torch.randn(WIDTH, items), torch.empty(BATCH, items)
    torch.mm(x, item, out=out)
    return cpu_seconds(lambda: [torch.mm(x, item, out=out) for _ in range(8)]) / 8


def rectools(
    python: str,
    split: Split,
    model: str,
    length: int,
    loss: str,
    steps: int,
    environment: dict[str, str] | None = None,
) -> dict[str, float] | str:
    """What RecTools takes.

    Args:
        python: a Python that has rectools[torch].
        split: what to train on.
        model: one of `MODELS`.
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
            said = PEER.call(python, "time", model, path, length, loss, steps, environment=environment)
        except RuntimeError as error:
            missing = any(f"No module named '{name}'" in str(error) for name in ("rectools", "pytorch_lightning"))
            return "not installed" if missing else f"failed: {error}"
    result: dict[str, float] = json.loads(said.splitlines()[-1])
    return result


def faster(peers: Mapping[str, dict[str, float] | str]) -> tuple[str, dict[str, float]] | None:
    """The peer with the shorter step and what it took; None where none was measured.

    Args:
        peers: by model, what `rectools` returned.
    """
    measured = [(model, found) for model, found in peers.items() if not isinstance(found, str)]
    return min(measured, key=lambda peer: peer[1]["step"], default=None)


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16."""
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


def peak_memory(split: Split, length: int) -> float:
    """Peak memory in MB of a process that trains our SASRec for some steps, on rows made ready as for RecTools.

    Args:
        split: what to train on.
        length: the most items of a history.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, pad_left(split.train, length + 1))
        command = [sys.executable, "-m", "bench.dev.train_alone", path, split.num_items, BATCH, TRAINING["optimiser"]]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


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
    flops = floor_flops(targets, lengths, items)
    # First, while this process is small: a child's peak begins at what its parent held when it was made.
    memory = peak_memory(split, length)
    peers: dict[str, dict[str, dict[str, float] | str]] = {name: {} for name in PEERS}
    for name, model in product(PEERS, MODELS):
        print_message(f"RecTools' {model}: {PEERS[name]}")
        loss, malloc = ("full", MALLOC) if name == "tuned" else (name, None)
        peers[name][model] = rectools(python, split, model, length, loss, steps, malloc)
    clocks = {kind: build(kind, items, length) for kind in NAMES}
    epoch, products = batches(rows, BATCH, np.random.default_rng(0), "cpu"), list[float]()
    for number, (block, target) in zip(range(steps + 1), epoch, strict=False):
        for clock in clocks.values():
            clock.step(block, target)
            if number == 0:  # the first step warms up
                clock.seconds, clock.targets = 0.0, 0
        # The floor's rate is taken between the steps, so that what slows the machine slows both.
        products.append(product_seconds(items))
    rate = 2 * BATCH * WIDTH * items / float(np.median(products))
    ours = {kind: clock.seconds * targets / clock.targets for kind, clock in clocks.items()}
    ranking = cpu_seconds(lambda: rank_targets(make_scorer(clocks["sasrec"].model), split.test))

    goals = GOALS.get(length, {}) | ANY_LENGTH
    floor = f"an epoch at the product rate of {rate / 1e9:.0f} GFLOP/s ({flops / 1e9:.0f} GFLOP)"
    taken: list[tuple[Value, ...]] = [(floor, flops / rate)]
    taken += [(f"ours: an epoch of {name}", ours[kind]) for kind, name in NAMES.items()]
    taken += [("ours: ranking all users, kept and filtered", ranking), ("ours: peak memory, MB", memory)]
    ratios: list[tuple[str, float, str]] = [
        ("our SASRec / floor at the product rate", ours["sasrec"] * rate / flops, "floor"),
        ("our SASRec, bf16 / floor at the product rate", ours["bf16"] * rate / flops, "bf16" if has_bf16() else ""),
        ("CausalRec / SASRec", ours["causalrec"] / ours["sasrec"], "step"),
        ("bf16 / float32", ours["bf16"] / ours["sasrec"], ""),
        ("our peak memory, MB", memory, "memory"),
    ]
    for kind, found in peers.items():
        for model, peer in found.items():
            said = f"RecTools' {model}: an epoch of {PEERS[kind]}"
            taken.append((said, peer if isinstance(peer, str) else peer["step"] * epoch_steps))
        if rival := faster(found):
            told = f"RecTools' {rival[0]} / ours, {PEERS[kind].removeprefix('SASRec, ')}"
            ratios.append((told, rival[1]["step"] * epoch_steps / ours.get(kind, ours["sasrec"]), kind))
    for model, peer in peers["full"].items():
        if not isinstance(peer, str):
            taken.append((f"RecTools' {model}: peak memory, MB", peer["memory"]))
            if "ranking" in peer:
                taken.append((f"RecTools' {model}: recommend 10, filtered", peer["ranking"]))
                ratios.append((f"RecTools' {model} / ours, ranking", peer["ranking"] / ranking, "ranking"))
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
