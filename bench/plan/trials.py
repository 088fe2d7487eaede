"""Cells of the recommender runner: tuning trials, the settings they choose, their results by seed and user.

Neural models are tuned on validation NDCG@10 with one budget: `trials` different settings drawn at random from a
declared space, on the first seed; the setting chosen then runs on the other seeds. The search is plainly random: of two
to ten trials no sampler learns where to look, and a trial that does not depend on those before it runs beside them.
Trial t has the same dropout and learning rate for every model, and CausalRec an alpha with it, so that what is compared
is the model. The chosen CausalRec also runs with alpha = 0: that row isolates the boost from LayerNorm on V and from
L_DAG. FPMC, which has no dropout, draws the weight of its factors' squares in its place. Controls have a small grid of
their own each.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.streams import generator
from bench.cells.unit import Cell
from bench.judge.intervals import Interval, crossed_interval, t_interval
from bench.methods import recommenders
from bench.methods import user_recommender as own_recommender
from bench.methods.recommenders import CONTROLS, ENTRIES, NEURAL, PEERS, TRAINED
from bench.plan.presets import World
from bench.plan.results import Result, select
from bench.plan.setup import Setup
from causalrec.ranking import hit_rate, ndcg
from causalrec.rivals.ease import MOST_ITEMS

ABLATED = "CausalRec, alpha 0"
DROPOUTS = (0.2, 0.3, 0.4, 0.5)
ALPHAS = (0.1, 1.0, 10.0)
FACTOR_WEIGHTS = dict(zip(DROPOUTS, (1e-4, 1e-3, 3e-3, 1e-2), strict=True))
PAIR_BATCH = 1024
READING = (
    "layers", "normalised", "beta", "source", "sign", "mixing", "placement", "bidirectional", "fit", "stop",
    "acyclicity", "rho", "growth", "relation", "tau", "top", "positions", "branch", "boosted_layers",
)  # fmt: skip
METRICS = {"hr10": ("HR@10", hit_rate), "ndcg10": ("NDCG@10", ndcg)}
TOKEN_SECONDS, ITEM_SECONDS = 9e-6, 4.3e-9
PAIR_SECONDS, CUBE_SECONDS = 4e-6, 4e-11


def plan_cell(
    setup: Setup, dataset: dict[str, Any], model: str, options: dict[str, Any], training: dict[str, Any], seed: int
) -> Cell:
    """A cell of the recommender runner. `dataset` is a name with its preparation, or a behaviour world's sizes."""
    provenance = setup.found.get(dataset["name"])
    if provenance is None:
        items, tokens = dataset["items"], dataset["users"] * dataset["length"]
    else:
        items, users, actions = (float(provenance.statistics[name] or 0) for name in ("items", "users", "actions"))
        whole = on_pairs(model) or training.get("windows") == "all"
        tokens = actions if whole else min(actions, users * options.get("length", 0))
    epochs = training.get("epochs", 0)
    per_token = token_seconds(model, items, options.get("width", 0))
    setting = ", ".join(filter(None, (model, setting_words({**options, **training}))))
    return Cell(
        "recommender",
        {
            "dataset": dataset,
            "model": model,
            "options": options,
            "training": training,
            "seed": seed,
            "root": setup.root,
            **({"identity": own_recommender.version(model)} if is_own(model) else {}),
            **({"rectools": setup.rectools} if model in PEERS else {}),
        },
        ("bench.runners.recommender:run", *recommenders.code(model)),
        data=None if provenance is None else provenance.content_hash,
        dtype="float32",
        device=setup.device if model in NEURAL else "cpu",
        cost=0.5
        + epochs * tokens * per_token
        + (CUBE_SECONDS * items**3 if model == "ease" else 0.0),
        timeout=setup.preset.timeout,
        label=f"{setting} on {dataset['name']}, seed {seed}",
    )


def token_seconds(model: str, items: float, width: int) -> float:
    """CPU seconds that training takes for one action, or one pair of actions, by which plans are costed."""
    per_item = ITEM_SECONDS * items * width / 64
    if on_pairs(model):
        return PAIR_SECONDS + (2 * per_item if ENTRIES[model].options.get("loss") == "full" else 0.0)
    return (TOKEN_SECONDS + per_item) * recommenders.find(model).cost


def varied(cell: Cell, **more: Any) -> Cell:
    """The cell with further params of the recommender runner: `half`, `restart` or `relation`."""
    words = "".join(f", {name} {of if not isinstance(of, dict) else _spoken(of)}" for name, of in more.items())
    return replace(cell, params=dict(cell.params) | more, label=cell.label + words)


def _spoken(relation: dict[str, Any]) -> str:
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in relation.values())


def is_own(model: str) -> bool:
    """Whether it names a class of the user's own, `package.module:Class`, which is run untuned."""
    return ":" in model


def on_pairs(model: str) -> bool:
    """Whether it is trained on pairs of actions, and so knows neither windows nor dropout."""
    return recommenders.find(model).pairs


def real_dataset(setup: Setup, name: str) -> dict[str, Any]:
    """A named dataset with its preparation, as a cell's parameter."""
    p = setup.found[name]
    cores = {"user_core": p.user_core, "item_core": p.item_core}
    return {"name": name, "repeats": p.repeats, **cores, "split": setup.split}


def seen_rule(setup: Setup, name: str) -> str:
    """Rank over the whole catalogue where users repeat items, else without what they have seen."""
    if name == "behaviour":
        return "kept"
    return "kept" if float(setup.found[name].statistics["repeats_share"] or 0) > 0 else "filtered"


def controls(setup: Setup, name: str) -> tuple[str, ...]:
    """The controls on a dataset; EASE inverts a matrix of items x items and stays out where there are too many."""
    few = name == "behaviour" or float(setup.found[name].statistics["items"] or 0) <= MOST_ITEMS
    return tuple(model for model in CONTROLS if few or model != "ease")


def rivals(setup: Setup, name: str) -> tuple[str, ...]:
    """The preset's rivals on a dataset; TiSASRec only where there are times."""
    return tuple(model for model in setup.preset.real.rivals if timed(setup, name) or model != "tisasrec")


def timed(setup: Setup, name: str) -> bool:
    """Whether the actions of a dataset have times."""
    return name != "behaviour" and setup.found[name].statistics["ties_share"] is not None


def model_options(
    model: str, length: int, width: int, dropout: float, alpha: float = 1.0, **more: Any
) -> dict[str, Any]:
    """Options of a trained model as a cell's parameter."""
    fixed = ENTRIES[model].options
    if on_pairs(model):
        return {"width": width, "regularisation": FACTOR_WEIGHTS[dropout], **fixed}
    options: dict[str, Any] = {"length": length, "width": width, "dropout": dropout, **fixed}
    if model == "causalrec":
        boost = {"mode": more.pop("mode", "renorm"), "alpha": alpha}
        boost |= {"heads": more.pop("boosted_heads")} if "boosted_heads" in more else {}
        options |= {"boost": boost, **more}
    return options


def _trials(setup: Setup, name: str, model: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Options and training of each trial of a model on a real dataset; all different, as many for every model."""
    r = setup.preset.real
    rng = generator(root=setup.root, stream="trials")
    grid = [(dropout, rate) for dropout in DROPOUTS for rate in r.learning_rates]
    drawn = [grid[place] for place in rng.permutation(len(grid))[: r.trials]]
    alphas = np.resize(rng.permutation(ALPHAS), len(drawn))
    fixed: dict[str, Any] = {"epochs": r.epochs, "patience": r.patience, "seen": seen_rule(setup, name)}
    if on_pairs(model):  # which knows no windows: every pair of actions is one of its rows
        fixed |= {"batch": PAIR_BATCH}
    else:
        fixed |= {"batch": r.batch} | ({} if r.windows == "last" else {"windows": r.windows})
    return [
        (model_options(model, r.length, r.width, dropout, float(alpha)), fixed | {"learning_rate": rate})
        for (dropout, rate), alpha in zip(drawn, alphas, strict=True)
    ]


def tuning_cells(setup: Setup, name: str, model: str) -> list[Cell]:
    """The trials of a trained model on a dataset, on the first seed."""
    dataset = real_dataset(setup, name)
    return [plan_cell(setup, dataset, model, options, training, 0) for options, training in _trials(setup, name, model)]


def world_training(epochs: int) -> dict[str, Any]:
    """How models are trained in a behaviour world."""
    return {"epochs": epochs, "patience": None, "batch": 64, "learning_rate": 3e-3}


def world_cells(setup: Setup, world: World, seeds: int, model: str, **changes: Any) -> list[Cell]:
    """One cell a world for a model in the behaviour world, trained for a fixed number of epochs."""
    options = model_options(model, world.length, world.width, 0.2, **changes) if model in TRAINED else {}
    training = world_training(world.epochs) if options else {}
    if on_pairs(model):
        training["batch"] = PAIR_BATCH
    return [plan_cell(setup, world.dataset, model, options, training, seed) for seed in range(seeds)]


def plan(setup: Setup) -> list[Cell]:
    """Tuning trials on real data, the controls and the user's own models, and every model in the behaviour world."""
    cells = [
        cell
        for model in (*CONTROLS, *rivals(setup, "behaviour"), "causalrec", *setup.recommenders, "best_possible")
        for cell in world_cells(setup, setup.preset.world, setup.preset.world_seeds, model)
    ]
    for name in setup.found:
        dataset = real_dataset(setup, name)
        cells += [
            plan_cell(setup, dataset, model, dict(options), {}, 0)
            for model in controls(setup, name)
            for options in ENTRIES[model].grid
        ]
        cells += [cell for model in (*rivals(setup, name), "causalrec") for cell in tuning_cells(setup, name, model)]
        cells += [
            plan_cell(setup, dataset, model, {}, {}, seed)
            for model in setup.recommenders
            for seed in range(setup.preset.real.seeds)
        ]
    return cells


def chosen(setup: Setup, results: list[Result], name: str, model: str) -> Result | None:
    """The trial of a model on a dataset with the best validation NDCG@10 on seed 0."""
    trials = [r for r in select(results, model=model, seed=0) if r.params["dataset"]["name"] == name]
    score = f"valid_ndcg10_{seen_rule(setup, name)}"
    return max((r for r in trials if _alpha(r) != 0), key=lambda r: float(r.metrics[score]), default=None)


def chosen_cells(setup: Setup, results: list[Result], name: str, model: str) -> list[Cell]:
    """The cells of the chosen setting by seed, the first of them a trial; empty where no trial ran."""
    tried = set(tuning_cells(setup, name, model))  # half of the users, or a variant, is no trial
    best = chosen(setup, [r for r in results if r.cell in tried], name, model)
    if best is None:
        return []
    p, seeds = best.params, range(setup.preset.real.seeds)
    return [plan_cell(setup, p["dataset"], model, p["options"], p["training"], seed) for seed in seeds]


def chosen_runs(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """The results that are there of `chosen_cells` by seed; of "behaviour", those of its worlds."""
    if name == "behaviour":
        cells = world_cells(setup, setup.preset.world, setup.preset.world_seeds, model)
    else:
        cells = chosen_cells(setup, results, name, model)
    by_cell = {r.cell: r for r in results if r.ok}
    return [by_cell[cell] for cell in cells if cell in by_cell]


def _alpha(r: Result) -> float | None:
    boost = r.params["options"].get("boost")
    return None if boost is None else float(boost["alpha"])


def _without_boost(options: dict[str, Any]) -> dict[str, Any]:
    return options | {"boost": options["boost"] | {"alpha": 0.0}}


def refine(setup: Setup, results: list[Result]) -> list[Cell]:
    """The chosen setting of each trained model on the remaining seeds, and CausalRec's without boost on all."""
    cells = []
    for name in setup.found:
        for model in (*rivals(setup, name), "causalrec"):
            best = chosen(setup, results, name, model)
            if best is None:
                continue
            p, seeds = best.params, range(setup.preset.real.seeds)
            cells += [plan_cell(setup, p["dataset"], model, p["options"], p["training"], seed) for seed in seeds[1:]]
            if model == "causalrec":
                plain = _without_boost(p["options"])
                cells += [plan_cell(setup, p["dataset"], model, plain, p["training"], seed) for seed in seeds]
    return cells


def runs(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """A model's results by seed, on real data at the setting chosen on validation; `ABLATED`: CausalRec's, alpha 0."""
    kind = "causalrec" if model == ABLATED else model
    if name == "behaviour":
        world = setup.preset.world.dataset
        found = [r for r in select(results, model=kind) if r.params["dataset"] == world and model != ABLATED]
    elif (best := chosen(setup, results, name, kind)) is None:
        return []
    else:
        options = _without_boost(best.params["options"]) if model == ABLATED else best.params["options"]
        same = select(results, model=kind, options=options, training=best.params["training"])
        found = [r for r in same if r.params["dataset"]["name"] == name]
    return sorted(found, key=lambda r: int(r.params["seed"]))


def scores(setup: Setup, results: list[Result], name: str, model: str, metric: str, seen: str) -> NDArray[np.float64]:
    """A metric by seed and user, (seeds, users); a model without randomness stands once for every seed of real data."""
    found = runs(setup, results, name, model)
    if not found:
        return np.empty((0, 0))
    values = np.stack([METRICS[metric][1](r.arrays[f"test_{seen}"]) for r in found])
    if len(values) == 1 and model in CONTROLS and name != "behaviour":
        values = np.repeat(values, setup.preset.real.seeds, axis=0)
    return values


def ranked(setup: Setup, name: str, found: list[Result], metric: str) -> NDArray[np.float64]:
    """A metric of these results by seed and user, (seeds, users), under the dataset's own rule for seen items."""
    seen = seen_rule(setup, name)
    return np.stack([METRICS[metric][1](r.arrays[f"test_{seen}"]) for r in found])


def level(name: str, values: NDArray[np.float64]) -> Interval:
    """The mean of a share, (seeds, users). Real data: seeds and users crossed. Worlds: each seed is one, so t."""
    return _interval(name, values).within(0.0, 1.0)


def leaders(name: str, values: Mapping[str, NDArray[np.float64]], alpha: float = 0.05) -> dict[str, str]:
    """"best" and "second" by model, each only where it is ahead of all that follow it beyond the intervals.

    values: a metric by model, (seeds, users) each; models whose shape is not the most frequent one are not compared.
    The intervals are of paired differences, at 1 - alpha / comparisons; over seeds and users crossed, or t over worlds.
    """
    shapes = [v.shape for v in values.values() if v.size]
    common = max(shapes, key=shapes.count, default=None)
    left = sorted((m for m, v in values.items() if v.shape == common), key=lambda m: -float(values[m].mean()))
    found: dict[str, str] = {}
    for word in ("best", "second"):
        first, rest = left[:1], left[1:]
        wide = 1 - alpha / max(1, len(rest))
        ahead = [_interval(name, values[first[0]] - values[other], wide).above(0) for other in rest]
        if not rest or not all(ahead):
            break
        found[first[0]], left = word, rest
    return found


def _interval(name: str, values: NDArray[np.float64], wide: float = 0.95) -> Interval:
    return t_interval(values.mean(1), wide) if name == "behaviour" else crossed_interval(values, wide)


def setting_words(options: dict[str, Any]) -> str:
    """What may differ between the cells of one model on one dataset."""
    names = {
        "window": "window", "decay": "decay", "regularisation": "weight", "dropout": "dropout", "sparsity": "lambda",
        "learning_rate": "lr",
    }  # fmt: skip
    said = [f"{word} {options[name]:g}" for name, word in names.items() if name in options]
    if "boost" in options:
        boost = options["boost"]
        heads = f" heads {boost['heads']}" if "heads" in boost else ""
        said.append(f"{boost['mode']} alpha {boost['alpha']:g}{heads}")
    said += [f"{name} {options[name]}" for name in (*READING, "windows", "precision") if name in options]
    return ", ".join(said)


def world_sizes(world: World) -> str:
    """A world in words, for notes."""
    return f"{world.users} users x {world.length} actions, {world.items} items, {world.epochs} epochs"
