"""What causal recommenders claim of their graph: CausalRec, SASRec boosted by lift, and a user's own, in one table.

Each is compared with its twin, the same model without a graph: can a correct graph help, does the model deliver one,
and does it gain by the one that it delivers? Beside that stands what would explain a graph away: that it follows
popularity, and that its strongest edges run in circles. None of it judges a claim of the register.
"""

from dataclasses import replace
from typing import Any

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Row, table
from bench.judge.intervals import Interval, share_interval, t_interval
from bench.methods import causal, user_recommender
from bench.methods.recommenders import find
from bench.plan.recommender_cells import data_words, is_own, plan_cell, real_dataset, world_sizes, world_training
from bench.plan.results import all_of, mean_metric, of_cells, values
from bench.plan.scores import gain, ranked
from bench.plan.setup import Setup
from bench.runners.graph_claims import FITTED, TRUE, TWIN
from bench.show.tables import Table
from causalrec.methods.recipes import DROPOUT, TRAINING, loss

WORLDS = 3
# At the default tau of 0.3 most rows of the graph that CausalRec learns are empty.
READING: dict[str, Any] = {"boost": {"mode": "renorm", "alpha": 100.0}, "tau": 0.03, "initial": "unit"}
AUPRC = ("auprc_w", "auprc_lift", "auprc_regression", "auprc_chance")
SEQ2CAUSE = "seq2cause_sasrec"
COLUMNS = (
    "data", "recommender", "gain of the true graph, %", "AUPRC of its graph", "of lift", "of regression", "by chance",
    "gain over its twin, %", "NDCG@10", "share of the best possible", "edges per item", "causes follow popularity",
    "effects follow popularity", "edges on a cycle",
)  # fmt: skip


def plan(setup: Setup) -> list[Cell]:
    """In the worlds every recommender, and on real data too where a user brings one or the preset has the time."""
    return list(dict.fromkeys(
        cell
        for name in _places(setup)
        for model in _models(setup, name)
        for part in (FITTED, TWIN, *((TRUE,) if name == "behaviour" else ()))
        for cell in _cells(setup, name, model, part)
    ))  # fmt: skip


def _own(setup: Setup) -> tuple[str, ...]:
    return tuple(name for name in setup.recommenders if user_recommender.is_causal(name))


def _models(setup: Setup, name: str) -> tuple[str, ...]:
    """On real data without seq2cause, whose every intervention scores the whole catalogue at all positions."""
    asked = setup.seq2cause and name == "behaviour"
    ours = (model for model in causal.MEMBERS if asked or model != SEQ2CAUSE)
    return (*ours, *_own(setup))


def _places(setup: Setup) -> tuple[str, ...]:
    return setup.places if setup.preset.all_readings or _own(setup) else setup.places[:1]


def _cells(setup: Setup, name: str, model: str, part: str) -> list[Cell]:
    """One cell per world or seed. Without the graph that it finds, every member is CausalRec, whose cells serve all."""
    if part != FITTED and not is_own(model):
        model = "causalrec"
    in_world, r = name == "behaviour", setup.preset.real.on(name)
    world = setup.preset.control
    dataset = world.dataset if in_world else real_dataset(setup, name)
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    if in_world and not is_own(model):
        options = READING | {"length": world.length, "width": world.width, "dropout": 0.2}
        training = world_training(world)
    elif not is_own(model):
        options = READING | {"length": r.length, "width": r.width, "dropout": DROPOUT.get(name, 0.2)}
        options |= loss(find("causalrec"), int(setup.statistic(name, "items")))
        training = TRAINING | {"epochs": r.epochs, "batch": r.batch, "windows": r.windows}
    cells = [
        plan_cell(setup, dataset, model if is_own(model) else "causalrec", options, training, seed)
        for seed in range(min(WORLDS, setup.preset.control_worlds[0]) if in_world else r.seeds)
    ]
    more = {"model": model, "part": part} | ({"seq2cause": setup.seq2cause} if model == SEQ2CAUSE else {})
    return [
        replace(
            cell, runner="graph_claims", params=dict(cell.params) | more,
            code=("bench.runners.graph_claims:run", *causal.code(model)),
            label=f"graph claims: {model}, {part}, on {data_words(dataset)}, seed {cell.params['seed']}",
        )
        for cell in cells
    ]  # fmt: skip


def tables(setup: Setup, results: Results) -> list[Table]:
    """One row per recommender and dataset, of those that ran."""
    rows = [
        row for name in _places(setup) for model in _models(setup, name) if (row := _row(setup, results, name, model))
    ]  # fmt: skip
    world = setup.preset.control
    note = (
        f"Worlds: {world_sizes(world)}, causes that go on acting, ranked on {world.fresh} users that nobody trained "
        "on. Gains are in NDCG@10, relative to the twin, the same model without a graph, paired over worlds or over "
        "seeds and users. Following popularity is the rank correlation, -1 to 1, of an item's strength as a cause or "
        "effect with how often it occurs. Edges on a cycle are a share of the strongest, as many as the true graph "
        f"has, otherwise two per item. Our own boost by {READING['boost']['alpha']:g} where |W| >= {READING['tau']}; a "
        "graph that is counted or given has as many edges as stated and no threshold. Mean [95 % interval]."
    )
    title = "What causal recommenders claim of their graph"
    return [table("graph_claims", title, COLUMNS, rows, note)]


def _row(setup: Setup, results: Results, name: str, model: str) -> Row | None:
    fitted = of_cells(results, _cells(setup, name, model, FITTED))
    if not fitted:
        return None
    twin, true = ([] if part == TRUE and name != "behaviour" else all_of(results, _cells(setup, name, model, part))
                  for part in (TWIN, TRUE))  # fmt: skip
    whole = fitted if len(fitted) == len(twin) else []
    level = ranked(setup, name, fitted).mean(1)
    best = values(twin, "best_ndcg10")
    items = setup.preset.control.items if name == "behaviour" else setup.statistic(name, "items")
    return (
        name, causal.TITLES.get(model, model), _gain(setup, name, true, twin),
        *(share_interval(known) if len(known := values(fitted, of)) else None for of in AUPRC),
        _gain(setup, name, whole, twin), share_interval(level),
        float(level.mean() / best.mean()) if len(best) else None,
        mean_metric(fitted, "edges") / items,
        *(t_interval(values(fitted, of)).within(-1.0, 1.0) for of in ("follows_cause", "follows_effect")),
        share_interval(known) if len(known := values(fitted, "on_cycle")) else None,
    )  # fmt: skip


def _gain(setup: Setup, name: str, ours: Results, theirs: Results) -> Interval | None:
    if not ours or not theirs:
        return None
    found = gain(name, ranked(setup, name, ours), ranked(setup, name, theirs))
    return found and found.scaled(100)


EXPERIMENT = Experiment(
    "graph_claims", "Does a correct graph help, is one delivered, and is anything gained by it?", plan, tables
)
