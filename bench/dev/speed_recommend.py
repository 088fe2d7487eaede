"""Recommenders on ML-1M, ours beside RecTools on the same training rows: the suite `recommend` of `bench.dev.speed`.

CPU-seconds of one thread. An epoch is extrapolated from its first steps by the tokens (RecTools: the steps) they hold;
our models take turns, so that a busy machine slows all. RecTools runs in a process of its own, because its memory is
measured, and by an interpreter of its own where `--rectools` names one: as installed, and with glibc's malloc told to
keep its memory, which alone makes it nearly twice as fast.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.datasets.load import load
from bench.methods.rectools import call, write_rows
from causalrec.attention import set_dropout_generator
from causalrec.interactions import Split, leave_one_out, pad_left
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.ranking import rank_targets
from causalrec.training import PRECISIONS, batches, make_scorer

BATCH, WIDTH, LAYERS = 128, 64, 2
# Times faster than RecTools as installed and with malloc tuned, by length; and the most that a CausalRec step may take,
# in SASRec's.
GOALS, TUNED_GOALS = {50: 4.0, 200: 8.0}, {50: 2.5, 200: 4.0}
SAMPLED_GOAL, BCE_GOAL, RANKING_GOAL = 10.0, 1.5, 2.5
MEMORY_GOALS = {50: 600.0}  # MB
MALLOC = {f"MALLOC_{name}_": str(size) for name, size in
          {"MMAP_THRESHOLD": 2**32, "TRIM_THRESHOLD": 2**32, "TOP_PAD": 2**28}.items()}  # fmt: skip
STEP_GOALS = {50: 1.5, 200: 1.8}
# The rate that the goal's floor assumes, operations a second of one thread, and the most times that floor.
FLOOR_RATE, FLOOR_GOALS = 90e9, {50: 2.0}


@dataclass
class Clock:
    """A model, the time of its steps so far, and the targets they held."""

    model: SASRec
    optimiser: torch.optim.Optimizer
    seconds: float = 0.0
    targets: int = 0

    def step(self, items: torch.Tensor, target: torch.Tensor, counted: bool) -> None:
        """One step of training as `causalrec.training` does it."""
        start = time.process_time()
        loss, _ = self.model.loss(items, target)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        if counted:
            self.seconds += time.process_time() - start
            self.targets += int((target != 0).sum())


def build(kind: str, items: int, length: int) -> Clock:
    """A fresh model of a kind: sasrec, bf16, sampled, bce or causalrec."""
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
    """Operations of an epoch on real tokens: the head's three products, six d x d ones a layer, causal attention."""
    body = LAYERS * (6 * 2 * WIDTH**2 * targets + 2 * WIDTH * float((padded_lengths.astype(float) ** 2).sum()))
    return 3 * (2 * WIDTH * items * targets + body)


def product_rate(items: int) -> float:
    """Float32 operations a second of one thread, in the shape of the head's product: the best of 20."""
    x, item, out = torch.randn(BATCH, WIDTH), torch.randn(WIDTH, items), torch.empty(BATCH, items)
    best = float("inf")
    for _ in range(20):
        start = time.process_time()
        for _ in range(8):
            torch.mm(x, item, out=out)
        best = min(best, (time.process_time() - start) / 8)
    return 2 * BATCH * WIDTH * items / best


def rectools(
    python: str, split: Split, length: int, loss: str, steps: int, environment: dict[str, str] | None = None
) -> dict[str, float] | str:
    """What `bench/methods/rectools_script.py` measured, or why it did not."""
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
    """Peak memory in MB of a process that trains our SASRec for some steps, on rows made ready as for RecTools."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, pad_left(split.train, length + 1))
        code = f"from bench.dev.speed_recommend import train_alone; train_alone({str(path)!r}, {split.num_items})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


def train_alone(path: str, items: int) -> None:
    """Train on padded rows for six steps and print the peak memory in MB: what `peak_memory` runs."""
    torch.set_num_threads(1)
    rows = np.load(path)
    clock = build("sasrec", items, rows.shape[1] - 1)
    for _, (block, target) in zip(range(6), batches(rows, BATCH, np.random.default_rng(0), "cpu"), strict=False):
        clock.step(block, target, counted=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def recommend(data: Path, length: int, steps: int, python: str) -> None:
    """Print seconds an epoch and of ranking everyone, peak memory, and the ratios."""
    split = leave_one_out(load("ml-1m", data).sequences)
    rows, items = pad_left(split.train, length + 1), split.num_items
    lengths = np.maximum((rows != 0).sum(1) - 1, 0)
    targets, epoch_steps = int(lengths.sum()), -(-len(rows) // BATCH)
    rate = product_rate(items)
    flops = floor_flops(targets, lengths, items)
    print(f"ML-1M, {len(rows)} users, {items} items, length {length}, d = {WIDTH}, {LAYERS} blocks, batch {BATCH}; "
          f"CPU-seconds of one thread, an epoch from {steps} of its {epoch_steps} steps")  # fmt: skip
    # First, while this process is small: a child's peak begins at what its parent held when it was made.
    memory = peak_memory(split, length)
    runs = {"full": ("full", None), "tuned": ("full", MALLOC), "sampled": ("sampled", None), "bce": ("bce", None)}
    peers = {name: rectools(python, split, length, loss, steps, malloc) for name, (loss, malloc) in runs.items()}
    clocks = {kind: build(kind, items, length) for kind in ("sasrec", "bf16", "sampled", "bce", "causalrec")}
    epoch = batches(rows, BATCH, np.random.default_rng(0), "cpu")
    for number, (block, target) in zip(range(steps + 1), epoch, strict=False):
        for clock in clocks.values():
            clock.step(block, target, counted=number > 0)
    ours = {kind: clock.seconds * targets / clock.targets for kind, clock in clocks.items()}
    start = time.process_time()
    rank_targets(make_scorer(clocks["sasrec"].model), split.test)
    ranking = time.process_time() - start
    names = {"sasrec": "SASRec, full softmax", "bf16": "SASRec, full softmax, bf16", "sampled": "SASRec, 256 sampled",
             "bce": "SASRec, BCE of one negative", "causalrec": "CausalRec, full softmax"}  # fmt: skip
    theirs = {"full": names["sasrec"], "tuned": "SASRec, full softmax, malloc tuned", **names}
    print(f"{'epoch at the product rate of ' + format(rate / 1e9, '.0f') + ' GFLOP/s':46} {flops / rate:8.2f} "
          f"({flops / 1e9:.0f} GFLOP)")  # fmt: skip
    for kind, name in names.items():
        print(f"{'ours: ' + name:46} {ours[kind]:8.2f}", flush=True)
    for kind, peer in peers.items():
        cell = peer if isinstance(peer, str) else f"{peer['step'] * epoch_steps:8.2f}"
        print(f"{'RecTools: ' + theirs[kind]:46} {cell}")
    print(f"{'ours: ranking all users, kept and filtered':46} {ranking:8.2f}")
    full = peers["full"]
    if not isinstance(full, str):
        print(f"{'RecTools: recommend 10, filtered':46} {full['ranking']:8.2f}")
    print(f"{'ours: peak memory, MB':46} {memory:8.0f}")
    if not isinstance(full, str):
        print(f"{'RecTools: peak memory, MB':46} {full['memory']:8.0f}")
    print("ratios")
    _ratio("our SASRec / floor at 90 GFLOP/s", ours["sasrec"] * FLOOR_RATE / flops, FLOOR_GOALS.get(length), most=True)
    _ratio("our SASRec / floor at the product rate", ours["sasrec"] * rate / flops, None, most=True)
    _ratio("CausalRec / SASRec", ours["causalrec"] / ours["sasrec"], STEP_GOALS.get(length), most=True)
    _ratio("bf16 / float32", ours["bf16"] / ours["sasrec"], None, most=True)
    _ratio("our peak memory, MB", memory, MEMORY_GOALS.get(length), most=True)
    goals = {"full": GOALS.get(length), "tuned": TUNED_GOALS.get(length), "sampled": SAMPLED_GOAL, "bce": BCE_GOAL}
    for kind, goal in goals.items():
        if not isinstance(peer := peers[kind], str):
            mine = ours.get(kind, ours["sasrec"])
            _ratio(f"RecTools / ours, {theirs[kind].removeprefix('SASRec, ')}", peer["step"] * epoch_steps / mine, goal)
    if not isinstance(full, str):
        _ratio("RecTools / ours, ranking", full["ranking"] / ranking, RANKING_GOAL)


def _ratio(name: str, value: float, goal: float | None, most: bool = False) -> None:
    """Print a ratio and whether it reaches its goal, the least or the most that it may be."""
    verdict = ""
    if goal is not None:
        reached = value <= goal if most else value >= goal
        verdict = f"  goal {'at most' if most else 'at least'} {goal:g}: {'reached' if reached else 'not reached'}"
    print(f"{name:46} {value:8.2f}{verdict}")
