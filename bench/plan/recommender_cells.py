"""Cells of the recommender runner: which models run on a dataset, with which options, on which seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.cells.unit import Cell
from bench.methods import recommenders
from bench.methods import user_recommender as own_recommender
from bench.methods.recommenders import CONTROLS, ENTRIES, NEURAL, PEERS, RIVALS, TIMED, TRAINED
from bench.plan.setup import Setup
from bench.plan.sizes import DROPOUTS, World
from causalrec.methods.recipes import PAIR_BATCH
from causalrec.model import CausalRec
from causalrec.rivals.ease import MOST_ITEMS

FACTOR_WEIGHTS = dict(zip(DROPOUTS, (1e-4, 1e-3, 3e-3, 1e-2), strict=True))  # FPMC has these where others have dropout
READING = (
    "layers", "normalised", "beta", "source", "sign", "mixing", "placement", "bidirectional", "fit", "stop",
    "acyclicity", "constrained", "rho", "growth", "raise_rho", "graph_rate", "repeats", "relation", "tau", "top",
    "positions", "branch", "boosted_layers",
)  # fmt: skip
# A graph that is given stands in for R as it is, without L_DAG, which could not change it.
GIVEN: dict[str, Any] = {"source": "fixed", "beta": 0.0, "relation": "threshold"}
SPOKEN = {
    "window": "window", "decay": "decay", "regularisation": "weight", "dropout": "dropout", "sparsity": "lambda",
    "learning_rate": "lr", "tau_train": "tau in training", "tau_inf": "tau in ranking",
}  # fmt: skip
TOKEN_SECONDS, ITEM_SECONDS = 1.3e-5, 1.03e-8
SCORED = {"bce": 400, "gbce": 3500}  # items in a softmax that takes as long as a loss, measured on MovieLens-1M
PAIR_SECONDS, CUBE_SECONDS = 4e-6, 4e-11
CUBIC = ("ease", "tale")  # controls that solve systems of items x items


def plan_cell(
    setup: Setup, dataset: dict[str, Any], model: str, options: dict[str, Any], training: dict[str, Any], seed: int
) -> Cell:
    """A cell of the recommender runner.

    Args:
        setup: the run's.
        dataset: a name with its preparation (`real_dataset`), or the sizes of a behaviour world (`World.dataset`).
        model: a name of `bench.methods.recommenders.ENTRIES`, or a user's `package.module:Class`.
        options: of the model, see `model_options`.
        training: epochs, patience, batch, learning_rate and what else differs from `causalrec.training`'s defaults.
        seed: of initial weights and batches; of a behaviour world also which world.
    """
    name = dataset["name"]
    if name not in setup.found:
        items, tokens = dataset["items"], dataset["users"] * dataset["length"]
    else:
        items, users, actions = (setup.statistic(name, what) for what in ("items", "users", "actions"))
        whole = on_pairs(model) or training.get("windows") == "all"
        tokens = actions if whole else min(actions, users * options.get("length", 0))
    scored = min(items, options.get("negatives") or SCORED.get(options.get("loss", ""), items))
    per_token = _token_seconds(model, scored, options.get("width", 0))
    setting = ", ".join(filter(None, (model, setting_words({**options, **training}))))
    params = {"dataset": dataset, "model": model, "options": options, "training": training, "seed": seed}
    return Cell(
        "recommender",
        params
        | {"root": setup.stream}
        | ({"identity": own_recommender.version(model)} if is_own(model) else {})
        | ({"rectools": setup.rectools} if model in PEERS else {})
        | ({"perturb": setup.perturb} if setup.perturb and model in NEURAL else {}),
        ("bench.runners.recommender:run", *recommenders.code(model)),
        data=setup.found[name].content_hash if name in setup.found else None,
        dtype="float32",
        device=setup.device if model in NEURAL else "cpu",
        cost=0.5
        + training.get("epochs", 0) * tokens * per_token
        + (CUBE_SECONDS * items**3 if model in CUBIC else 0.0),
        timeout=setup.preset.timeout,
        label=f"{setting} on {data_words(dataset)}, seed {seed}",
    )


def seed_cells(
    setup: Setup,
    dataset: dict[str, Any],
    model: str,
    options: dict[str, Any],
    training: dict[str, Any],
    seeds: int | None = None,
    given: dict[str, Any] | None = None,
) -> list[Cell]:
    """One cell per seed, from seed 0.

    Args:
        setup: as in `plan_cell`.
        dataset: as in `plan_cell`.
        model: as in `plan_cell`.
        options: as in `plan_cell`.
        training: as in `plan_cell`.
        seeds: how many, by default those on this dataset.
        given: the graph that stands in for R, the runner's parameter `relation`; None where the model learns it.
    """
    count = setup.seeds(dataset["name"]) if seeds is None else seeds
    cells = [plan_cell(setup, dataset, model, options, training, seed) for seed in range(count)]
    return cells if given is None else [varied(cell, relation=given) for cell in cells]


def world_cells(
    setup: Setup, world: World, seeds: int, model: str, given: dict[str, Any] | None = None, **changes: Any
) -> list[Cell]:
    """One cell per behaviour world for a model, trained for a fixed number of epochs.

    Args:
        setup: the run's.
        world: its sizes.
        seeds: how many worlds.
        model: a name of `bench.methods.recommenders.ENTRIES`, or a user's `package.module:Class`.
        given: as in `seed_cells`.
        changes: options that differ from the default, see `model_options`.
    """
    options = model_options(model, world.length, world.width, 0.2, **changes) if model in TRAINED else {}
    training = world_training(world) if options else {}
    if on_pairs(model):
        training["batch"] = PAIR_BATCH
    return seed_cells(setup, world.dataset, model, options, training, seeds, given)


def varied(cell: Cell, **more: Any) -> Cell:
    """The cell with further parameters.

    Args:
        cell: of the recommender runner.
        more: any of `half`, `restart` and `relation`, see `bench.runners.recommender.run`.
    """
    words = "".join(f", {name} {_spoken(of) if isinstance(of, dict) else of}" for name, of in more.items())
    return replace(cell, params=dict(cell.params) | more, label=cell.label + words)


def shuffled(cell: Cell) -> Cell:
    """The cell on histories in random order.

    Args:
        cell: of the recommender runner.
    """
    dataset = cell.params["dataset"] | {"order": "shuffled"}
    return replace(cell, params=dict(cell.params) | {"dataset": dataset}, label=f"{cell.label}, shuffled histories")


def data_words(dataset: Mapping[str, Any]) -> str:
    """A dataset with what its cells have changed about it, in words.

    Args:
        dataset: a cell's parameter.
    """
    split = ", temporal split" if dataset.get("split") == "temporal" else ""
    refit = " with validation" if "refit" in dataset else ""
    lasting = dataset.get("knobs", {}).get("persistence", 0.0)
    persist = f", causes persist with {lasting:g}" if lasting else ""
    return f"{dataset['name']}{persist}{split}{refit}" + (", shuffled histories" if "order" in dataset else "")


def _spoken(relation: dict[str, Any]) -> str:
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in relation.values())


def _token_seconds(model: str, items: float, width: int) -> float:
    """Expected CPU seconds of training per action, or per pair of actions.

    Args:
        model: a name of `bench.methods.recommenders.ENTRIES`, or a user's `package.module:Class`.
        items: how many are scored per target.
        width: of the model, features per item.
    """
    per_item = ITEM_SECONDS * items * width / 64
    if on_pairs(model):
        return PAIR_SECONDS + (2 * per_item if ENTRIES[model].options.get("loss") == "full" else 0.0)
    return (TOKEN_SECONDS + per_item) * recommenders.find(model).cost


def is_own(model: str) -> bool:
    """Whether it names a class of the user's own, `package.module:Class`, which is run untuned.

    Args:
        model: a recommender.
    """
    return ":" in model


def on_pairs(model: str) -> bool:
    """Whether it is trained on pairs of actions, and so knows neither windows nor dropout.

    Args:
        model: a recommender.
    """
    return recommenders.find(model).pairs


def real_dataset(setup: Setup, name: str) -> dict[str, Any]:
    """A dataset with its preparation, as a cell's parameter.

    Args:
        setup: the run's.
        name: of a dataset found.
    """
    p = setup.found[name]
    cores = {"user_core": p.user_core, "item_core": p.item_core}
    return {"name": name, "repeats": p.repeats, **cores, "split": setup.split}


def seen_rule(setup: Setup, name: str) -> str:
    """How items that a user has seen are ranked on a dataset: "kept" where users repeat items, otherwise "filtered".

    Args:
        setup: the run's.
        name: of a dataset found, or "behaviour".
    """
    return "kept" if name == "behaviour" or setup.statistic(name, "repeats_share") > 0 else "filtered"


def controls(setup: Setup, name: str) -> tuple[str, ...]:
    """The controls on a dataset; EASE and TALE solve systems of items x items and stay out where there are too many.

    Args:
        setup: the run's.
        name: of a dataset found, or "behaviour".
    """
    few = name == "behaviour" or setup.statistic(name, "items") <= MOST_ITEMS
    return tuple(model for model in CONTROLS if few or model not in CUBIC)


def trained(setup: Setup, name: str) -> tuple[str, ...]:
    """The preset's rivals, their twins and leaks, and CausalRec; those that need times only where there are any.

    Args:
        setup: the run's.
        name: of a dataset found, or "behaviour".
    """
    asked, has_times = {*setup.preset.real.rivals, "causalrec"}, timed(setup, name)
    known = (model for model in TRAINED if has_times or model not in TIMED)
    return tuple(model for model in known if asked & {model, ENTRIES[model].beside})


def rivals(setup: Setup, name: str) -> tuple[str, ...]:
    """Those of `trained` that claims are judged against.

    Args:
        setup: the run's.
        name: of a dataset found, or "behaviour".
    """
    return tuple(model for model in trained(setup, name) if model in RIVALS)


def timed(setup: Setup, name: str) -> bool:
    """Whether the actions of a dataset have times.

    Args:
        setup: the run's.
        name: of a dataset found, or "behaviour".
    """
    return name != "behaviour" and setup.found[name].statistics["ties_share"] is not None


def model_options(
    model: str, length: int, width: int, dropout: float, alpha: float = 1.0, **more: Any
) -> dict[str, Any]:
    """Options of a trained model as a cell's parameter.

    Args:
        model: a name of `bench.methods.recommenders.TRAINED`.
        length: the latest actions that a history keeps.
        width: features per item.
        dropout: one of `DROPOUTS`; a model on pairs has the weight of `FACTOR_WEIGHTS` in its place.
        alpha: strength of CausalRec's boost; its twin's is 0.
        more: further options of CausalRec and its twin; `mode` and `boosted_heads` are the boost's.
    """
    fixed = ENTRIES[model].options
    if on_pairs(model):
        return {"width": width, "regularisation": FACTOR_WEIGHTS[dropout], **fixed}
    options: dict[str, Any] = {"length": length, "width": width, "dropout": dropout, **fixed}
    if ENTRIES[model].kind is CausalRec:
        boost = {"mode": more.pop("mode", "renorm"), "alpha": alpha}
        boost |= {"heads": more.pop("boosted_heads")} if "boosted_heads" in more else {}
        options |= {"boost": fixed.get("boost", boost), **more}
    return options


def world_training(world: World) -> dict[str, Any]:
    """How models are trained in a behaviour world, as a cell's parameter.

    Args:
        world: any.
    """
    return {"epochs": world.epochs, "batch": world.batch, "learning_rate": world.learning_rate}


def setting_words(*settings: Mapping[str, Any]) -> str:
    """What may differ between the cells of one model on one dataset, in words; all that occur where settings differ.

    Args:
        settings: options of the model and of its training in one, of at least one cell.
    """
    said = [f"{word} {found}" for name, word in SPOKEN.items() if (found := _range(settings, name))]
    if boosts := [options["boost"] for options in settings if "boost" in options]:
        heads = f" heads {_all(boosts, 'heads')}" if _all(boosts, "heads") else ""
        said.append(f"{_all(boosts, 'mode')} alpha {_range(boosts, 'alpha')}{heads}")
    said += [f"{name} {found}" for name in (*READING, "windows", "precision") if (found := _all(settings, name))]
    return ", ".join(said)


def _range(settings: Sequence[Mapping[str, Any]], name: str) -> str:
    known = [options[name] for options in settings if name in options]
    low, high = (f"{of(known):g}" if known else "" for of in (min, max))
    return low if low == high else f"{low}–{high}"


def _all(settings: Sequence[Mapping[str, Any]], name: str) -> str:
    return "/".join(dict.fromkeys(str(options[name]) for options in settings if name in options))


def world_sizes(world: World) -> str:
    """A behaviour world in words, for notes.

    Args:
        world: any.
    """
    return f"{world.users} users x {world.length} actions, {world.items} items, {world.epochs} epochs"
