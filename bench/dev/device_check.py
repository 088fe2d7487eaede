"""Every check that needs a GPU, and its times, in one run: python -m bench.dev.device_check [FOLDER] [--cpu]

On CUDA at full size, under nine minutes on one Hopper card; on a CPU the same code at reduced sizes, whose times say
nothing about a GPU. The card's own ceilings (rate of matrix products, rate of copying) are measured in the same run;
floors are computed from them. A check that fails, or cannot run, is a row that says why; the table comes last, and
`device_check.json` in FOLDER holds every number. Exit code 1: results on the device differ from the CPU's.
"""

import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from bench.dev.timing import command_line, take_step
from bench.judge.intervals import crossed_interval
from bench.show.console import print_message, print_table
from bench.show.tables import Table
from causalrec.acyclicity import Exponential, LogDeterminant
from causalrec.attention import Boost, attend, causal_mask, set_dropout_generator
from causalrec.interactions import Split, from_rows, leave_one_out, pad_left
from causalrec.methods.recommenders import OFFERED
from causalrec.methods.streams import generator, torch_generator
from causalrec.ranking import expected_rank, ndcg, rank_targets
from causalrec.recommender import Recommender
from causalrec.structure import Problems
from causalrec.structure.eqvar import EqVar
from causalrec.structure.notears import Notears
from causalrec.training import PRECISIONS, TrainingOptions, batches, make_scorer, train
from synth.graphs import draw_dag
from synth.scm import draw_scm

ROOT_SEED = 0
THRESHOLD = 0.3
GOLDEN_STEPS = 20
WARM_UP, REPEATS = 3, 10


@dataclass(frozen=True)
class Sizes:
    """Sizes of all parts; the reduced ones let a CPU run every line.

    Args:
        graphs_notears: problems and nodes that NOTEARS is timed on.
        graphs_eqvar: problems and nodes that EqVar is timed on.
        nodes: nodes of the matrices whose h is computed.
        batch_of_h: matrices per call of h.
        users: users of the drawn sequences.
        items: items of the drawn sequences.
        length: most items that a model reads.
        widths: features of the models.
        batch: sequences per step of training.
        steps: steps that are timed.
        lengths: lengths at which attention is computed.
        catalogue: items of the large catalogue.
        ranked: users ranked over it.
        epochs: epochs of training for quality.
        seeds: trainings per precision.
        product: rows of the matrices whose product rate is measured.
    """

    graphs_notears: tuple[int, int]
    graphs_eqvar: tuple[int, int]
    nodes: tuple[int, ...]
    batch_of_h: int
    users: int
    items: int
    length: int
    widths: tuple[int, ...]
    batch: int
    steps: int
    lengths: tuple[int, ...]
    catalogue: int
    ranked: int
    epochs: int
    seeds: int
    product: int


FULL = Sizes(
    (1000, 50), (10_000, 20), (20, 50, 200), 256, 6040, 3416, 200, (64, 256), 128, 30, (50, 200, 1000), 1_000_000,
    100_000, 12, 3, 8192,
)  # fmt: skip
REDUCED = Sizes((8, 10), (10_000, 20), (10, 20), 4, 120, 60, 20, (16,), 32, 3, (10, 20), 2_000, 300, 2, 2, 256)


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        what: what was measured.
        figure: how much; None if it could not be measured.
        unit: of the figure.
        beside: the floor or the goal, in words.
        holds: whether it reaches the goal; None without a goal.
    """

    what: str
    figure: float | None
    unit: str
    beside: str = ""
    holds: bool | None = None


@dataclass
class Bench:
    """A device and what has been found on it so far.

    Args:
        device: "cuda" or "cpu".
        sizes: of all parts.
        rows: the figures.
        product_rate: operations per second of matrix products, by precision.
        copy_rate: bytes per second read and written by a copy.
    """

    device: str
    sizes: Sizes
    rows: list[Row] = field(default_factory=list)
    product_rate: dict[str, float] = field(default_factory=dict)
    copy_rate: float = 0.0

    def add(self, what: str, figure: float | None, unit: str, beside: str = "", holds: bool | None = None) -> None:
        """Add a row; a CPU's time at reduced sizes has no goal to reach.

        Args:
            what: what was measured.
            figure: how much; None if it could not be measured.
            unit: of the figure.
            beside: the floor or the goal, in words.
            holds: whether it reaches the goal; None without a goal.
        """
        holds = None if self.device == "cpu" and beside.startswith("goal") else holds
        self.rows.append(Row(what, figure, unit, beside, holds))

    def seconds(self, call: Callable[[], object], repeats: int = REPEATS, warm_up: int = WARM_UP) -> float:
        """The median wall time of a call, in seconds.

        Args:
            call: what to time.
            repeats: calls that are counted.
            warm_up: calls before these.
        """
        wait: Callable[[], object] = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        times = []
        for _ in range(warm_up + repeats):
            wait()
            start = time.perf_counter()
            call()
            wait()
            times.append(time.perf_counter() - start)
        return float(np.median(times[warm_up:]))

    def normal(self, *shape: int, **axes: object) -> Tensor:
        """Draws of the standard normal, on the device.

        Args:
            shape: of the result.
            axes: names of the random stream.
        """
        return torch.randn(shape, generator=torch_generator(root=0, **axes)).to(self.device)


# Ceilings


def ceilings(b: Bench) -> None:
    """The rates that floors are computed from: products in each precision, and copying.

    Args:
        b: the device; gets the rows.
    """
    n = b.sizes.product
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32), ("bf16", torch.bfloat16)):
        x = b.normal(n, n, stream=name).to(dtype)
        out = torch.empty_like(x)
        b.product_rate[name] = 2 * n**3 / b.seconds(partial(torch.mm, x, x, out=out))
        b.add(f"matrix products, {name}", b.product_rate[name] / 1e12, "TFLOP/s")
    x, y = torch.empty(2, n * n, device=b.device)
    b.copy_rate = 2 * 4 * n * n / b.seconds(lambda: y.copy_(x))
    b.add("copying", b.copy_rate / 1e9, "GB/s")


# Graph learning


def _problems(count: int, nodes: int, stream: str) -> Problems:
    """Exact covariances of linear SCMs of equal noise variances on ER2 graphs."""
    rng = generator(root=ROOT_SEED, stream=stream)
    return Problems(np.stack([draw_scm(rng, draw_dag("er", rng, nodes)).covariance for _ in range(count)]))


def structure(b: Bench) -> None:
    """NOTEARS on the device and on the CPU: the same W to 1e-9 and the same graphs; times of NOTEARS and EqVar.

    Args:
        b: the device; gets the rows.
    """
    few = _problems(min(50, b.sizes.graphs_notears[0]), 10, "same")
    rng = generator(root=ROOT_SEED, stream="none")
    here, there = (Notears(device=device).fit(few, rng) for device in ("cpu", b.device))
    gap = float(np.abs(here.W - there.W).max() / np.abs(here.W).max())
    same = bool(((np.abs(here.W) > THRESHOLD) == (np.abs(there.W) > THRESHOLD)).all())
    b.add("NOTEARS: largest difference to the CPU", gap, "relative", "at most 1e-9", gap <= 1e-9)
    b.add("NOTEARS: the same thresholded graphs", float(same), "share", "1", same)
    many, nodes = b.sizes.graphs_notears
    seconds = b.seconds(partial(Notears(device=b.device).fit, _problems(many, nodes, "many"), rng), 1, 0)
    b.add(f"NOTEARS, {many:,} graphs of {nodes} nodes", seconds, "s", "goal 60 s", seconds < 60)
    many, nodes = b.sizes.graphs_eqvar
    seconds = b.seconds(partial(EqVar().fit, _problems(many, nodes, "eqvar"), rng), 3, 1)
    b.add(f"EqVar, {many:,} graphs of {nodes} nodes (on the CPU)", seconds, "s", "goal 2 s", seconds < 2)


def acyclicity(b: Bench) -> None:
    """h and its gradient beside the floors of its arithmetic and of its traffic.

    Args:
        b: the device; gets the rows.
    """
    m = b.sizes.batch_of_h
    for n in b.sizes.nodes:
        W = torch.rand(m, n, n, generator=torch_generator(root=0, nodes=n), dtype=torch.float64).to(b.device)
        W = W / math.sqrt(n)
        for name, form, products in (("exponential", Exponential(), 9), ("log-determinant", LogDeterminant(2.0), 2)):
            seconds = b.seconds(partial(form.value_and_gradient, W))
            work = products * 2 * m * n**3 / b.product_rate["float64"]
            traffic = 3 * 8 * m * n * n / b.copy_rate
            told = f"floor {1e3 * max(work, traffic):.3g} ms, {seconds / max(work, traffic):.1f} times"
            b.add(f"h and gradient, {name}, {m} of {n} nodes", 1e3 * seconds, "ms", told)


# Recommenders


def _drawn(sizes: Sizes) -> Split:
    """Sequences distributed like ML-1M's: log-normal lengths about 96, Zipf items, half of them led to by the last."""
    users, items, length = sizes.users, sizes.items, sizes.length
    rng = generator(root=ROOT_SEED, stream="sequences", users=users, items=items)
    mean = math.log(min(96, 2 * length))
    lengths = np.clip(rng.lognormal(mean, 0.9, users), 5, min(2000, 40 * length)).astype(np.int64)
    share = 1 / np.arange(1, items + 1) ** 0.8
    drawn = rng.choice(items, size=int(lengths.sum()), p=share / share.sum()) + 1
    follow = rng.random(len(drawn)) < 0.5
    drawn[1:] = np.where(follow[1:], drawn[:-1] % items + 1, drawn[1:])
    return leave_one_out(from_rows(np.split(drawn, np.cumsum(lengths)[:-1]), items))


def _trainee(
    name: str, sizes: Sizes, width: int, device: str, **more: Any
) -> tuple[Recommender, Callable[[Tensor, Tensor], Tensor]]:
    """A model without dropout, whose random numbers differ between devices, and what trains it for a step."""
    kind, options_of = OFFERED[name].kind, OFFERED[name].options_of
    options = options_of(items=sizes.items, length=sizes.length, width=width, dropout=0.0, **more)
    model: Recommender = kind(options, torch_generator(root=0, stream=name)).to(device).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
    return model, partial(take_step, model, [optimiser])


def _losses(b: Bench, kind: str, device: str) -> list[float]:
    """The losses of the first steps."""
    _, step = _trainee(kind, b.sizes, b.sizes.widths[0], device)
    padded, rng = pad_left(_drawn(b.sizes).train, b.sizes.length + 1), generator(root=0, stream="steps")
    epochs = (batches(padded, b.sizes.batch, rng, device) for _ in count())
    return [float(step(*batch)) for batch in islice(chain.from_iterable(epochs), GOLDEN_STEPS)]


def sameness(b: Bench) -> None:
    """Training follows the CPU's losses, and repeats itself bit by bit in deterministic mode.

    Args:
        b: the device; gets the rows.
    """
    for kind in ("sasrec", "causalrec"):
        here, there = (np.array(_losses(b, kind, device)) for device in ("cpu", b.device))
        gap = float(np.abs(here - there).max() / np.abs(here).max())
        b.add(f"{kind}: losses of {GOLDEN_STEPS} steps beside the CPU's", gap, "relative", "at most 1e-3", gap <= 1e-3)
        torch.use_deterministic_algorithms(True, warn_only=True)
        first, again = (_losses(b, kind, b.device) for _ in range(2))
        torch.use_deterministic_algorithms(False)
        b.add(f"{kind}: a second run in deterministic mode", float(first == again), "share", "1", first == again)


def quality(b: Bench) -> None:
    """What bf16 in the full softmax does to NDCG@10, paired over seeds and users.

    Args:
        b: the device; gets the rows.
    """
    split = _drawn(b.sizes)
    by_precision = {}
    for precision in PRECISIONS:
        rows = []
        for seed in range(b.sizes.seeds):
            model, _ = _trainee("sasrec", b.sizes, b.sizes.widths[0], b.device)
            options = TrainingOptions(epochs=b.sizes.epochs, patience=None, batch=b.sizes.batch, precision=precision)
            draws = torch.Generator(b.device).manual_seed(seed)
            train(model, split, options, shuffle=generator(root=0, stream="shuffle", seed=seed), dropout=draws)
            rows.append(ndcg(rank_targets(make_scorer(model), split.test).kept))
        by_precision[precision] = np.stack(rows)
    change = crossed_interval(by_precision["bf16"] - by_precision["float32"])
    level = float(by_precision["float32"].mean())
    told = f"[{change.low:.4f}, {change.high:.4f}], {change.n} seeds; float32 has {level:.4f}"
    b.add("bf16 less float32, NDCG@10", change.estimate, "NDCG@10", told)


def training(b: Bench) -> None:
    """Sequences a second at full length, the share of the card's rate of products, CausalRec beside SASRec.

    Args:
        b: the device; gets the rows.
    """
    rng = generator(root=0, stream="full")
    s = b.sizes
    for width in s.widths:
        items = torch.from_numpy(rng.integers(1, s.items + 1, size=(s.batch, s.length + 1))).to(b.device)
        times = {}
        for kind in ("sasrec", "causalrec"):
            _, train_on = _trainee(kind, s, width, b.device)
            step = partial(train_on, items[:, :-1], items[:, 1:])
            seconds = times[kind] = b.seconds(step, s.steps)
            work = 6 * s.batch * s.length * (s.items * width + 2 * 12 * width**2 + 2 * 2 * s.length * width)
            share = work / seconds / b.product_rate["float32"]
            told = f"{100 * share:.0f} % of the rate of float32 products"
            b.add(f"{kind}, width {width}, length {s.length}", s.batch / seconds, "sequences/s", told)
            if b.device == "cuda":
                busy = _kernel_share(step)
                b.add(f"{kind}, width {width}: kernels run", 100 * busy, "% of the time", "goal 80", busy >= 0.8)
        ratio = times["causalrec"] / times["sasrec"]
        b.add(f"CausalRec / SASRec, width {width}", ratio, "times", "goal 1.5", ratio <= 1.5)


def _kernel_share(step: Callable[[], object]) -> float:
    """The share of wall time in which the device runs a kernel, over ten steps."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(10):
            step()
        torch.cuda.synchronize()
    wall = time.perf_counter() - start
    return float(sum(event.self_device_time_total for event in profile.key_averages())) / 1e6 / wall


def _attend_plainly(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, relation: Tensor) -> Tensor:
    """A∘(1 + R) with rows brought back to 1, holding the matrix; q, k, v (b, h, l, f), relation (b, l, l)."""
    boosted = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]) + mask, -1) * (1 + relation[:, None])
    return boosted / boosted.sum(-1, keepdim=True) @ v


def _attend_flexibly(device: str, q: Tensor, k: Tensor, v: Tensor, relation: Tensor) -> Callable[[], Tensor]:
    """The same by flex_attention, compiled on CUDA: it reads R entry by entry and skips the future in blocks."""
    length = q.shape[2]
    past = create_block_mask(lambda _b, _h, i, j: j <= i, None, None, length, length, device)

    def boost(score: Tensor, sequence: Tensor, _head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return torch.where(relation[sequence, i, j], score + math.log(2), score)

    call = torch.compile(flex_attention) if device == "cuda" else flex_attention

    def attend_once() -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
            out: Tensor = call(q, k, v, score_mod=boost, block_mask=past)
        return out

    return attend_once


def attention(b: Bench) -> None:
    """Boosted attention as one fused call, and by flex_attention, beside the plain form that holds the matrix.

    Args:
        b: the device; gets the rows.
    """
    for length in b.sizes.lengths:
        shape = (max(1, 4096 // length), 2, length, 32)
        q, k, v = (b.normal(*shape, part=part) for part in "qkv")
        rng = torch_generator(root=0, part="relation")
        relation = (torch.rand(shape[0], length, length, generator=rng).to(b.device) < 0.05).tril(-1)
        mask = causal_mask(torch.ones(shape[0], length, dtype=torch.bool, device=b.device), q.dtype)
        plain = partial(_attend_plainly, q, k, v, mask, relation)
        fused = partial(attend, q, k, v, mask, Boost("renorm", 1.0), relation)
        flexible = _attend_flexibly(b.device, q, k, v, relation)
        what = f"boosted attention, length {length}"
        for name, form in (("fused", fused), ("flex_attention", flexible)):
            gap = float((plain() - form()).abs().max())
            b.add(f"{what}: {name} less plain", gap, "absolute", "at most 1e-5", gap <= 1e-5)
        slow, fast, flex = (1e3 * b.seconds(form) for form in (plain, fused, flexible))
        b.add(what, fast, "ms", f"plain {slow:.3g} ms, flex_attention {flex:.3g} ms")


def catalogue(b: Bench) -> None:
    """A catalogue of a million items: trained with sampled softmax, ranked in chunks, beside the product's floor.

    Args:
        b: the device; gets the rows.
    """
    s = replace(b.sizes, items=b.sizes.catalogue, length=50)
    if b.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model, train_on = _trainee("sasrec", s, 64, b.device, loss="sampled", negatives=256)
    set_dropout_generator(model, torch.Generator(b.device).manual_seed(0))
    rng = generator(root=0, stream="catalogue")
    items = torch.from_numpy(rng.integers(1, s.items + 1, (s.batch, s.length + 1))).to(b.device)
    step = partial(train_on, items[:, :-1], items[:, 1:])
    b.add(f"a step of {s.batch} sequences, {s.items:,} items, 256 sampled", 1e3 * b.seconds(step, 5, 1), "ms")
    hidden, table = b.normal(s.ranked, 64, part="hidden"), model.item.weight[1:].detach()
    target = torch.from_numpy(rng.integers(0, s.items, s.ranked)).to(b.device)

    def rank() -> None:
        for some, asked in zip(torch.split(hidden, 512), torch.split(target, 512), strict=True):
            expected_rank(some @ table.T, asked)

    seconds = b.seconds(rank, 1, 0)
    floor = 2 * s.ranked * s.items * 64 / b.product_rate["float32"]
    told = f"floor of the product {floor:.3g} s, {seconds / floor:.1f} times"
    b.add(f"ranking {s.ranked:,} users over {s.items:,} items", seconds, "s", told)
    if b.device == "cuda":
        held = torch.cuda.max_memory_allocated() / 2**30
        b.add("peak memory of it", held, "GiB", "at most 78", held <= 78)


PARTS = (ceilings, structure, acyclicity, sameness, quality, training, attention, catalogue)


def check(device: str, sizes: Sizes) -> Bench:
    """Run every part; one that breaks adds a row that says how.

    Args:
        device: "cuda" or "cpu".
        sizes: of all parts.
    """
    bench = Bench(device, sizes)
    for part in PARTS:
        start = time.perf_counter()
        try:
            part(bench)
        except Exception as error:  # noqa: BLE001 - the other parts are still worth their time on the card
            bench.add(part.__name__, None, "", f"{type(error).__name__}: {str(error)[:200]}", False)
        print_message(f"{part.__name__}: {time.perf_counter() - start:.1f} s")
    return bench


def result_table(bench: Bench, name: str) -> Table:
    """One row per figure.

    Args:
        bench: what was found.
        name: the device's name.
    """
    words = {True: "yes", False: "NO", None: ""}
    rows = tuple((row.what, row.figure, row.unit, row.beside, words[row.holds]) for row in bench.rows)
    note = f"torch {torch.__version__}. Medians after warm-up; floors from the ceilings in the first rows."
    if bench.device == "cpu":
        note += " Reduced sizes on a CPU: goals and times here say nothing about a GPU."
    columns = ("what", "figure", "unit", "beside it", "as asked")
    return Table("device_check", f"Checks on {name}", columns, rows, note)


def main() -> int:
    """Check the GPU, or the CPU without one, and write the numbers."""
    parser = command_line(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="for device_check.json")
    parser.add_argument("--cpu", action="store_true", help="check the CPU even if there is a GPU")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() and not asked.cpu else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU, reduced sizes"
    bench = check(device, FULL if device == "cuda" else REDUCED)
    told = {"device": name, "cuda": device == "cuda", "torch": torch.__version__, "rows": [*map(asdict, bench.rows)]}
    asked.folder.mkdir(parents=True, exist_ok=True)
    (asked.folder / "device_check.json").write_text(json.dumps(told, indent=1) + "\n")
    print_table(result_table(bench, name))
    same = [row for row in bench.rows if row.unit in ("relative", "share", "absolute") or row.figure is None]
    return int(any(row.holds is False for row in same))


if __name__ == "__main__":
    sys.exit(main())
