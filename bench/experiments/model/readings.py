"""Every reading of CausalRec beside the default, one change at a time, and R replaced by graphs that are given.

In behaviour worlds at the sizes of the sweeps, where the graph is known and causes persist or are drawn anew, and where
the preset says so on one real dataset. Seeds are shared, so differences to the default are paired. What leaks at
training on every position is trained on last positions alone and compared with the default trained so. One reading is
left out, since its first losses are not finite: the closed form of bidirectional attention, whose matrix is nearly
singular.
"""

from typing import Any, TypeAlias

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.judge.intervals import Interval, t_interval
from bench.plan.presets import ANEW, CAUSES, PERSIST, swept
from bench.plan.recommender_cells import GIVEN, seen_rule, world_cells, world_sizes
from bench.plan.results import mean_share, of_cells, values
from bench.plan.setup import Setup
from bench.plan.tuning import ALIVE_TAU, chosen, finals, like, tuning_cells
from bench.show.tables import Table

DEFAULT, LAST, CHOSEN = "default", "default, last positions", "chosen on validation"
REAL = "ml-100k"
NDCG = "fresh_ndcg10_kept"
EDGES_PER_ITEM = 2  # of the graphs that are given on real data, where no truth says how many
_LAST: dict[str, Any] = {"positions": "last"}
_LITERAL: dict[str, Any] = {"fit": "full", "sign": "signed"}
_JOINT: dict[str, Any] = {"fit": "none", "relation": "soft"}  # L_rec, sparsity and h alone, all of which reach W
_ALIVE: dict[str, Any] = {"tau": ALIVE_TAU}
Variant: TypeAlias = tuple[dict[str, Any], dict[str, Any] | None]  # options that differ, and the graph that is given

READINGS: dict[str, Variant] = {
    DEFAULT: ({}, None),
    "full fit, signed (the lemma to the letter)": (_LITERAL, None),
    "full fit": ({"fit": "full"}, None),
    "signed": ({"sign": "signed"}, None),
    "signed, no h": ({"sign": "signed", "acyclicity": False}, None),
    "no h": ({"acyclicity": False}, None),
    "no fit": ({"fit": "none"}, None),
    "no L_DAG": ({"beta": 0.0}, None),
    "Z not detached": ({"stop": False}, None),
    "W free": ({"source": "free"}, None),
    "W free, signed, no h": ({"source": "free", "sign": "signed", "acyclicity": False}, None),
    "W free, full fit, signed": ({"source": "free", **_LITERAL}, None),
    "W of item factors": ({"source": "global_lowrank"}, None),
    "W from Z": ({"source": "contextual"}, None),
    "W = I - Lambda inv(A)": ({"source": "closed_form"}, None),
    "W = I - Lambda inv(A), signed": ({"source": "closed_form", "sign": "signed"}, None),
    "W solved along time": ({"source": "inner_solve"}, None),
    "W solved by EqVar": ({"source": "inner_solve", "fit": "full", **_LAST}, None),
    "no LayerNorm on V": ({"normalised": 0}, None),
    "LayerNorm on Z": ({"placement": "mixed"}, None),
    "Z = inv(diag A) A V": ({"mixing": "rescaled"}, None),
    "Z = V + past of A V": ({"mixing": "residual"}, None),
    "side branch": ({"branch": "side"}, None),
    "bidirectional discovery": ({"bidirectional": True, **_LAST}, None),
    LAST: (_LAST, None),
    "R at tau 0.03": (_ALIVE, None),
    "R at tau 0.03, alpha 1e2": (_ALIVE | {"alpha": 1e2}, None),
    "R at tau 0.03, alpha 1e4": (_ALIVE | {"alpha": 1e4}, None),
    "R top 1 of a row": ({"relation": "top_k", "top": 1}, None),
    "R relative to the row": ({"relation": "row_relative"}, None),
    "R soft": ({"relation": "soft"}, None),
    "R straight-through": ({"relation": "straight_through"}, None),
    "R transitive closure": ({"relation": "closure"}, None),
    "joint: no fit, R soft": (_JOINT, None),
    "joint: no fit, R soft, alpha 1e2": (_JOINT | {"alpha": 1e2}, None),
    "joint: no fit, R soft, alpha 1e4": (_JOINT | {"alpha": 1e4}, None),
    "joint: no fit, R soft, alpha 1e8": (_JOINT | {"alpha": 1e8}, None),
    "joint: no fit, R straight-through": ({"fit": "none", "relation": "straight_through"}, None),
    "h of the W that R uses": ({"constrained": "used"}, None),
    "rho raised once converged": ({"raise_rho": "converged"}, None),
    "W at three times the rate": ({"graph_rate": 3.0}, None),
    "repeats as causes": ({"repeats": True}, None),
    "R relative to all of W": ({"relation": "max_relative", **_LAST}, None),
    "R at the least threshold of a DAG": ({"relation": "dag", **_LAST}, None),
    "raw boost": ({"mode": "raw"}, None),
    "filter": ({"mode": "filter"}, None),
    "one head boosted": ({"boosted_heads": 1}, None),
    "three layers": ({"layers": 3}, None),
    "three layers, second boosted": ({"layers": 3, "boosted_layers": [1]}, None),
    "three layers, third boosted": ({"layers": 3, "boosted_layers": [2]}, None),
    "R true": (GIVEN, {"kind": "falsified", "share": 0.0}),
    "R random, as many edges": (GIVEN, {"kind": "matched"}),
    "R of lift, as many edges": (GIVEN, {"kind": "lift"}),
    "R of one-hot regression, as many edges": (GIVEN, {"kind": "regression"}),
}
FEW = (
    DEFAULT, "full fit, signed (the lemma to the letter)", "signed, no h", "W free", "W from Z", "R true",
    "R random, as many edges", "R of one-hot regression, as many edges", "joint: no fit, R soft",
    "joint: no fit, R soft, alpha 1e4", "R at tau 0.03", "R at tau 0.03, alpha 1e2",
)  # fmt: skip
# Of these, what has no place on real data: the true graph is not known there, and what tuning chose has its own tau.
IN_WORLDS = ("R true", "R at tau 0.03", "R at tau 0.03, alpha 1e2")
FEW_SEEDS = 3
# What the paper's text leaves open: the question, how the default answers it, the readings that answer otherwise.
QUESTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Where W comes from", "a bilinear form of the items' embeddings, W = relu(M - 0.05)", (
        "W free", "W free, signed, no h", "W free, full fit, signed", "W of item factors", "W from Z",
        "W = I - Lambda inv(A)", "W = I - Lambda inv(A), signed", "W solved along time", "W solved by EqVar",
    )),
    ("Which signs W may have", "none below 0", ("signed", "signed, no h")),
    ("What L_fit fits", "each row of Z by the rows before it", (
        "full fit, signed (the lemma to the letter)", "full fit", "no fit", "no L_DAG",
    )),
    ("Whether L_rec reaches W", "no, R is read off W without a gradient", (
        "joint: no fit, R soft", "joint: no fit, R soft, alpha 1e2", "joint: no fit, R soft, alpha 1e4",
        "joint: no fit, R soft, alpha 1e8", "joint: no fit, R straight-through",
    )),
    ("How fast W learns", "at the rate of all else", ("W at three times the rate",)),
    ("Whether a repeat is a cause", "no, an item is no cause of itself", ("repeats as causes",)),
    ("Whether L_fit may change Z", "no, its gradient stops there", ("Z not detached",)),
    ("Whether h(W) is in the loss", "yes, of the full W", ("no h", "signed, no h", "h of the W that R uses")),
    ("When rho is raised", "after every epoch", ("rho raised once converged",)),
    ("Where LayerNorm stands", "on the values V", ("no LayerNorm on V", "LayerNorm on Z")),
    ("How Z is mixed from V", "Z = A V", ("Z = inv(diag A) A V", "Z = V + past of A V")),
    ("Where discovery stands", "first layer, in series, seeing the past", ("side branch", "bidirectional discovery")),
    ("How R is read off W", "W of 0.3 or more whose cause came first", (
        "R at tau 0.03", "R at tau 0.03, alpha 1e2", "R at tau 0.03, alpha 1e4", "R top 1 of a row",
        "R relative to the row", "R soft", "R straight-through", "R transitive closure", "R relative to all of W",
        "R at the least threshold of a DAG",
    )),
    ("How R changes attention", "A (1 + alpha R), rows brought back to 1", ("raw boost", "filter", "one head boosted")),
    ("Which layers are boosted", "every one after discovery, of two layers the second", (
        "three layers", "three layers, second boosted", "three layers, third boosted",
    )),
)  # fmt: skip
CONTROLS = {
    "attention": "attention weights (score)",
    "lift": "lift (score)",
    "regression": "one-hot regression (score)",
    "random": "random (score)",
}
MEASURES = {"auprc": "AUPRC", "orientation": "orientation", "parent": "true parent is the row's maximum"}
GRAPH = {"density": "density of R", "empty_rows": "empty rows"}


def readings_of(setup: Setup) -> dict[str, Variant]:
    """The readings that run, by title.

    Args:
        setup: the run's.
    """
    return READINGS if setup.preset.all_readings else {title: READINGS[title] for title in FEW}


def world_count(setup: Setup) -> int:
    """In how many worlds they run.

    Args:
        setup: the run's.
    """
    return setup.preset.sweep_seeds if setup.preset.all_readings else min(FEW_SEEDS, setup.preset.sweep_seeds)


def plan(setup: Setup) -> list[Cell]:
    """Every reading in every world; CausalRec's tuning trials on the real dataset where readings run there."""
    cells = [c for causes in CAUSES for title in readings_of(setup) for c in reading_cells(setup, title, causes)]
    return cells + (tuning_cells(setup, REAL, "causalrec") if _on_real(setup) else [])


def refine(setup: Setup, results: Results) -> list[Cell]:
    """On the real dataset, the readings of `FEW` and the counted graphs around the setting that tuning chose."""
    ran = {r.cell.key for r in results}
    cells = finals(setup, results, REAL, "causalrec") if _on_real(setup) else []
    cells += [cell for variant in _real_cells(setup, results).values() for cell in variant]
    return [cell for cell in cells if cell.key not in ran]


def reading_cells(setup: Setup, title: str, causes: str = ANEW) -> list[Cell]:
    """A reading's cells, one per behaviour world.

    Args:
        setup: the run's.
        title: of a reading.
        causes: what they do in these worlds, one of `CAUSES`.
    """
    changes, relation = READINGS[title]
    return world_cells(setup, swept(setup.preset, causes), world_count(setup), "causalrec", relation, **changes)


def _on_real(setup: Setup) -> bool:
    return setup.preset.all_readings and REAL in setup.found


def _real_cells(setup: Setup, results: Results) -> dict[str, list[Cell]]:
    """By title, the cells on the real dataset around each seed's chosen setting; empty where no trial ran.

    A change of alpha or of the boost's mode is one of the chosen boost.
    """
    runs = chosen(setup, results, REAL, "causalrec") if _on_real(setup) else []
    if not runs:
        return {}
    edges = {"edges": EDGES_PER_ITEM * int(setup.statistic(REAL, "items"))}
    asked = [title for title in (*FEW, "R of lift, as many edges") if title not in IN_WORLDS]
    variants = ((title, *READINGS[title]) for title in asked)
    return {
        title: [like(setup, run, of and of | edges, **_around(run.params["options"], changes)) for run in runs]
        for title, changes, of in variants
    }


def _around(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of a reading as options, its alpha and mode as a change of the boost."""
    boost = {name: changes[name] for name in ("mode", "alpha") if name in changes}
    rest = {name: value for name, value in changes.items() if name not in boost}
    return rest | ({"boost": options["boost"] | boost} if boost else {})


def tables(setup: Setup, results: Results) -> list[Table]:
    """What each reading recovers and how well it ranks, and the same on the real dataset without the truth."""
    real = {title: of_cells(results, cells) for title, cells in _real_cells(setup, results).items()}
    worlds = [_world_table(setup, results, causes) for causes in (ANEW, PERSIST)]
    return [*worlds, *([_real_table(setup, real)] if real else [])]


def _world_table(setup: Setup, results: Results, causes: str) -> Table:
    found = {title: of_cells(results, reading_cells(setup, title, causes)) for title in readings_of(setup)}
    rows: Rows = []
    for title, runs in found.items():
        base = found.get(LAST if READINGS[title][0].get("positions") == "last" else DEFAULT, [])
        item_level = READINGS[title][1] is None  # of a graph that is given, W says nothing
        rows.append((
            title, *(mean_share(runs, f"{measure}_w") if item_level else None for measure in MEASURES),
            mean_share(runs, "auprc_positions"), *_left(runs), *(mean_share(runs, name) for name in GRAPH),
            mean_share(runs, NDCG), _change(runs, base, "auprc_w") if item_level else None,
            _change(runs, base, NDCG),
        ))  # fmt: skip
    rows += [
        (title, *(mean_share(found[DEFAULT], f"{measure}_{score}") for measure in MEASURES), *[None] * 8)
        for score, title in CONTROLS.items()
    ]
    columns = (
        "reading", *MEASURES.values(), "AUPRC at positions", "mean h", "largest h", *GRAPH.values(), "NDCG@10",
        "change in AUPRC", "change in NDCG@10",
    )  # fmt: skip
    note = (
        f"{world_count(setup)} worlds, {world_sizes(setup.preset.sweep)}; NDCG@10 of {setup.preset.sweep.fresh} fresh "
        "users. Mean [95 % t interval over worlds]; changes"
        f" are to the default, paired over worlds, and of readings trained on last positions alone to '{LAST}'. AUPRC, "
        "orientation and the row's maximum are of W at item level, missing where W is made of each sequence anew; "
        "AUPRC at positions is of W in every sequence against the pointers."
    )
    if causes == PERSIST:
        return table("readings-persist", "Every reading of CausalRec where causes persist", columns, rows, note)
    return table("readings", "Every reading of CausalRec in the behaviour world", columns, rows, note)


def _real_table(setup: Setup, found: dict[str, Results]) -> Table:
    metric = f"test_ndcg10_{seen_rule(setup, REAL)}"
    rows = [
        (CHOSEN if title == DEFAULT else title.replace("as many edges", f"{EDGES_PER_ITEM} edges an item"),
         *(mean_share(runs, name) for name in GRAPH), *_left(runs), mean_share(runs, metric),
         _change(runs, found[DEFAULT], metric))
        for title, runs in found.items()
    ]  # fmt: skip
    columns = ("reading", *GRAPH.values(), "mean h", "largest h", "NDCG@10", "change in NDCG@10")
    note = (
        f"{setup.seeds(REAL)} seeds, each at the setting and reading that tuning chose on it, which favours that "
        "one; every other row is a change of it. The density of R is over test histories. Mean [95 % t interval over "
        "seeds]; changes are paired."
    )
    return table("readings-real", f"Readings of CausalRec on {REAL}", columns, rows, note)


def _left(runs: Results) -> tuple[Interval | None, float | None]:
    """What is left of h: its mean and the largest."""
    means, largest = values(runs, "h_mean"), values(runs, "h_max")
    mean = t_interval(means).within(0.0, np.inf) if len(means) else None
    return mean, float(largest.max()) if len(largest) else None


def _change(runs: Results, base: Results, metric: str) -> Interval | None:
    """The mean difference to the base over the seeds of both; none for the base itself."""
    theirs = {r.params["seed"]: r.metrics.get(metric) for r in base}
    pairs = [(r.metrics.get(metric), theirs.get(r.params["seed"])) for r in runs]
    known = [a - b for a, b in pairs if a is not None and b is not None]
    return t_interval(known) if known and runs is not base else None


EXPERIMENT = Experiment("readings", "What does each reading of the paper's text change?", plan, tables, refine)
