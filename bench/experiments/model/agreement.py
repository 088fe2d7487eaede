"""What should make no difference: who wrote SASRec and BERT4Rec (ours or RecTools'), and float32 or bf16 products.

Both sides of a pair have the same options, rows and number of epochs, no early stopping and no tuning. In the
behaviour world at the sizes of the sweeps; on real data where the preset says so.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.judge.claims import Finding, Margins
from bench.judge.intervals import Interval, Value, crossed_gain, t_interval
from bench.methods import rectools as peer_recommenders
from bench.methods.recommenders import PEERS
from bench.plan import trials
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.show.tables import Table

MARGIN = 0.05  # of NDCG@10: a difference between two tables of one model that no one would remark upon
REAL_TRAINING = {"epochs": 30, "patience": None, "batch": 32, "learning_rate": 1e-3}
DROPOUT = 0.2
Side = tuple[str, str]  # a model's name and the precision of its full softmax
PAIRS: dict[str, tuple[Side, Side]] = {
    "SASRec: ours, RecTools'": (("sasrec", "float32"), ("rectools_sasrec", "float32")),
    "BERT4Rec: ours, RecTools'": (("bert4rec", "float32"), ("rectools_bert4rec", "float32")),
    "SASRec: bf16, float32": (("sasrec", "bf16"), ("sasrec", "float32")),
    "CausalRec: bf16, float32": (("causalrec", "bf16"), ("causalrec", "float32")),
}


def plan(setup: Setup) -> list[Cell]:
    """Every side of every pair; RecTools' where there is one."""
    cells = [
        cell
        for name in _places(setup)
        for pair in _pairs(setup, name).values()
        for side in pair
        for cell in _cells(setup, name, side)
    ]
    return list(dict.fromkeys(cells))


def _pairs(setup: Setup, name: str) -> dict[str, tuple[Side, Side]]:
    """The pairs on a dataset: RecTools' where there is one, and CausalRec's in the worlds alone, where it is cheap."""
    return {
        title: pair
        for title, pair in PAIRS.items()
        if (setup.rectools or pair[1][0] not in PEERS) and (name == "behaviour" or pair[0][0] != "causalrec")
    }


def _places(setup: Setup) -> list[str]:
    return ["behaviour", *(name for name in setup.preset.real.agreement if name in setup.found)]


def _cells(setup: Setup, name: str, side: Side) -> list[Cell]:
    """The cells of one side by seed."""
    model, precision = side
    sizes = setup.preset.sweep if name == "behaviour" else setup.preset.real
    options = trials.model_options(model, sizes.length, sizes.width, DROPOUT)
    changed: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
    if name == "behaviour":
        world = setup.preset.sweep
        training = trials.world_training(world.epochs) | changed
        return [
            trials.plan_cell(setup, world.dataset, model, options, training, seed)
            for seed in range(setup.preset.sweep_seeds)
        ]
    training = REAL_TRAINING | {"seen": trials.seen_rule(setup, name)} | changed
    dataset = trials.real_dataset(setup, name)
    return [
        trials.plan_cell(setup, dataset, model, options, training, seed) for seed in range(setup.preset.real.seeds)
    ]


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """NDCG@10 of both sides, their relative difference, and what that says."""
    by_cell = {r.cell: r for r in results if r.ok}
    rows: list[tuple[Value, ...]] = []
    for name in _places(setup):
        for title, pair in _pairs(setup, name).items():
            sides = [[by_cell[cell] for cell in _cells(setup, name, side) if cell in by_cell] for side in pair]
            asked = setup.preset.sweep_seeds if name == "behaviour" else setup.preset.real.seeds
            if any(len(found) < asked for found in sides):
                continue
            ours, theirs = (trials.ranked(setup, name, found, "ndcg10") for found in sides)
            costs = [float(np.mean([r.metrics["fit_cpu_s"] for r in found])) for found in sides]
            gain = _difference(name, ours, theirs)
            levels = [trials.level(name, values) for values in (ours, theirs)]
            rows.append((name, title, asked, *levels, gain and gain.scaled(100), _words(gain), *costs))
    columns = (
        "data", "one, the other", "seeds", "NDCG@10 of one", "of the other", "difference, %", "says", "CPU s of one",
        "CPU s of the other",
    )  # fmt: skip
    peer = f"RecTools {setup.rectools}" if setup.rectools else f"RecTools not run: ${peer_recommenders.VARIABLE} unset"
    note = (
        f"Same options, rows and epochs on both sides, dropout {DROPOUT:g}; behaviour: "
        f"{trials.world_sizes(setup.preset.sweep)}; real data: {REAL_TRAINING['epochs']} epochs, batch "
        f"{REAL_TRAINING['batch']}. Relative difference in test NDCG@10 with its 90 % interval, over worlds, or over "
        f"seeds and users crossed; the same: all of it within {100 * MARGIN:g} %. {peer}. RecTools' BERT4Rec is of "
        "another make than the authors' and ours (LayerNorm first). bf16 is of the full softmax's products alone."
    )
    return [Table("agreement", "What should make no difference", columns, tuple(rows), note)]


def _difference(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Interval | None:
    """The relative difference at 90 %, the level of an equivalence test at 5 %."""
    if not theirs.any():
        return None
    if name != "behaviour":
        return crossed_gain(ours, theirs, level=0.9)
    return t_interval((ours.mean(1) - theirs.mean(1)) / theirs.mean(), level=0.9)


def _words(gain: Interval | None) -> str:
    if gain is None:
        return "nothing to compare"
    if gain.inside(-MARGIN, MARGIN):
        return "the same"
    if gain.below(-MARGIN) or gain.above(MARGIN):
        return "different"
    return "within noise" if gain.low <= 0 <= gain.high else "differs, by how much is open"


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:  # noqa: ARG001
    """Compares implementations and judges no claim."""
    return []
