"""What should make no difference: who wrote SASRec and BERT4Rec (ours or RecTools'), and float32 or bf16 products.

Both sides of a pair have the same options, rows and number of epochs, no early stopping and no tuning. In the
behaviour world at the sizes of the sweeps; on real data where the preset says so.
"""

from typing import Any

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.judge.intervals import Interval
from bench.methods import rectools as peer_recommenders
from bench.methods.recommenders import PEERS
from bench.plan.recommender_cells import model_options, real_dataset, seed_cells, seen_rule, world_sizes, world_training
from bench.plan.results import all_of, mean_metric
from bench.plan.scores import gain, level, ranked
from bench.plan.setup import Setup
from bench.show.tables import Table

MARGIN = 0.05  # of NDCG@10: a difference between two tables of one model that no one would remark upon
REAL_TRAINING = {"epochs": 30, "schedule": "constant", "batch": 32, "learning_rate": 1e-3}
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
    sides = [(name, side) for name in _places(setup) for pair in _pairs(setup, name).values() for side in pair]
    return list(dict.fromkeys(cell for name, side in sides for cell in _cells(setup, name, side)))


def _pairs(setup: Setup, name: str) -> dict[str, tuple[Side, Side]]:
    """The pairs on a dataset: RecTools' where there is one, and CausalRec's in the worlds alone, where it is cheap."""
    left = {*(() if setup.rectools else PEERS), *(() if name == "behaviour" else ("causalrec",))}
    return {title: pair for title, pair in PAIRS.items() if not left & {model for model, _ in pair}}


def _places(setup: Setup) -> list[str]:
    return ["behaviour", *(name for name in setup.preset.real.agreement if name in setup.found)]


def _cells(setup: Setup, name: str, side: Side) -> list[Cell]:
    """The cells of one side by seed."""
    model, precision = side
    sweep, real = setup.preset.sweep, setup.preset.real
    changed: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
    if name == "behaviour":
        options = model_options(model, sweep.length, sweep.width, DROPOUT)
        training = world_training(sweep) | {"schedule": "constant"} | changed
        return seed_cells(setup, sweep.dataset, model, options, training, setup.preset.sweep_seeds)
    options = model_options(model, real.length, real.width, DROPOUT)
    training = REAL_TRAINING | {"seen": seen_rule(setup, name)} | changed
    return seed_cells(setup, real_dataset(setup, name), model, options, training)


def tables(setup: Setup, results: Results) -> list[Table]:
    """NDCG@10 of both sides, their relative difference, and what that says."""
    rows: Rows = []
    for name in _places(setup):
        for title, pair in _pairs(setup, name).items():
            sides = [all_of(results, _cells(setup, name, side)) for side in pair]
            if all(sides):
                ours, theirs = (ranked(setup, name, found) for found in sides)
                more = gain(name, ours, theirs, wide=0.9)  # the level of an equivalence test at 5 %
                levels = (level(name, side) for side in (ours, theirs))
                costs = (mean_metric(found, "fit_cpu_s") for found in sides)
                rows.append((name, title, len(ours), *levels, more and more.scaled(100), _words(more), *costs))
    columns = (
        "data", "one, the other", "seeds", "NDCG@10 of one", "of the other", "difference, %", "says", "CPU s of one",
        "CPU s of the other",
    )  # fmt: skip
    unset = f"RecTools not run: ${peer_recommenders.PEER.variable} unset"
    peer = f"RecTools {setup.rectools}" if setup.rectools else unset
    note = (
        f"Same options, rows and epochs on both sides, dropout {DROPOUT:g}; behaviour: "
        f"{world_sizes(setup.preset.sweep)}; real data: {REAL_TRAINING['epochs']} epochs, batch "
        f"{REAL_TRAINING['batch']}. Relative difference in test NDCG@10 with its 90 % interval, over worlds, or over "
        f"seeds and users crossed; the same: all of it within {100 * MARGIN:g} %. {peer}. RecTools' BERT4Rec is of "
        "another make than the authors' and ours (LayerNorm first). bf16 is of the full softmax's products alone."
    )
    return [table("agreement", "What should make no difference", columns, rows, note)]


def _words(gain: Interval | None) -> str:
    if gain is None:
        return "nothing to compare"
    if gain.inside(-MARGIN, MARGIN):
        return "the same"
    if gain.below(-MARGIN) or gain.above(MARGIN):
        return "different"
    return "within noise" if gain.low <= 0 <= gain.high else "differs, by how much is open"


EXPERIMENT = Experiment("agreement", "Do implementations of one model agree, and float32 with bf16?", plan, tables)
