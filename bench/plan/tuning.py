"""Tuning: the trials of a model on a dataset by seed, and the setting that they choose on each seed.

Trained models are tuned on validation NDCG@10 with one budget: on every seed, `trials` different settings drawn anew at
random from a declared space. So what is said of a model by seed contains the spread of tuning. Trial t of a seed has
the same dropout and learning rate for every model, so that what is compared is the model. FPMC, which has no dropout,
draws the weight of its factors' squares in its place. Controls have a small grid of their own each, tried once since
nothing about them is random, and a user's own model one setting.

What the paper leaves open is tuned as well, by no more trials than a rival has: the first two trials of CausalRec are
the default reading with a tau of 0.03, the scale of a W as it is learned, so that their boost is switched on, under two
alphas; every other one is a reading drawn at random, each choice uniformly and on its own. None of them leaks, and none
has a table of items x items. Where R is hard alpha goes from 0.1 to 100; where it is continuous, and a W of 0.01 needs
an alpha of 100 to be felt, from 1 to 1e8. CausalRec's twin has alpha = 0 and the default reading in every trial.

The chosen setting is trained anew on all that users did before the test, validation included, and that model is tested:
as one would use it. Where a preset tries one setting and has one rival, nothing is chosen, and it is trained once, on
all of that.

The search is plainly random. Where a preset shortens its trials, each takes a part of the epochs under a schedule of
its own that ends at 0: four trials at a quarter cost one full run. Only the leading setting then takes all, and the
better of its two lengths on validation is the one that is chosen, since some models have had enough by then: FPMC with
a full softmax reaches a test NDCG@10 of 0.114 on MovieLens-100K after 6 epochs and 0.097 after 24, where SASRec and
GRU4Rec gain by as much. Successive halving would stop long runs on the way, which says less, because a model gains most
at the end of its schedule. And of two to twenty trials no sampler learns where to look, while trials that do not
depend on one another run side by side.

Short trials favour little dropout and high rates. On MovieLens-100K in batches of 128 that costs nothing that can be
seen: six settings of SASRec, trained in full on two seeds, differ by no more than the seeds do (validation NDCG@10
0.100 to 0.106, seeds by 0.006). In batches of 32, as `standard` has them, it does cost: three seeds of SASRec reach a
test NDCG@10 of 0.097, where one declared setting with more dropout reaches 0.110.

Under a further split of the same data nothing is tuned: it takes the settings that the main split chose.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.methods.recommenders import TRAINED, find
from bench.plan.recommender_cells import (
    model_options,
    on_pairs,
    plan_cell,
    real_dataset,
    seen_rule,
    varied,
    world_cells,
)
from bench.plan.results import Result, all_of, of_cells
from bench.plan.setup import Setup
from causalrec.methods.recipes import PAIR_BATCH, TRAINING, loss
from causalrec.methods.streams import generator

RELATIONS: tuple[dict[str, Any], ...] = (
    *({"relation": "threshold", "tau": tau} for tau in (0.3, 0.1, 0.03)),
    *({"relation": rule} for rule in ("top_k", "row_relative", "soft", "straight_through")),
)
ALIVE_TAU = 0.03
MOST_EMPTY = 0.5  # share of R's rows without an edge, from which on the boost counts as switched off
SLOPED = ("soft", "straight_through")  # under which L_rec reaches W
ALPHAS = {False: tuple(10.0**k for k in range(-1, 3)), True: tuple(10.0**k for k in range(9))}  # by whether R is sloped
CHOICES: dict[str, tuple[Any, ...]] = {
    "mode": ("renorm", "raw"),
    "source": ("item_bilinear", "global_lowrank", "closed_form", "contextual"),
    "fit": ("time", "full", "none"),
    "acyclicity": (True, False),
    "sparsity": (1e-4, 1e-3, 1e-2, 1e-1),
    "repeats": (False, True),
}


def _readings(setup: Setup, model: str, seed: int, count: int) -> list[dict[str, Any]]:
    """What each trial of a model changes about its default reading, as arguments of `model_options`."""
    if model != "causalrec":
        return [{}] * count
    rng = generator(root=setup.root, stream="readings", seed=seed)
    alive = [{"tau": ALIVE_TAU, "alpha": float(alpha)} for alpha in rng.permutation(ALPHAS[False])[:2]]
    return [*alive, *(_reading(rng) for _ in range(count - 2))][:count]


def _reading(rng: np.random.Generator) -> dict[str, Any]:
    relation = RELATIONS[rng.integers(len(RELATIONS))]
    choices = CHOICES | {"alpha": ALPHAS[relation["relation"] in SLOPED]}
    return relation | {name: of[rng.integers(len(of))] for name, of in choices.items()}


def _trials(setup: Setup, name: str, model: str, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Options and training of each trial of a model on a real dataset; all different, as many for every model."""
    if model not in TRAINED:
        return [(dict(options), {}) for options in find(model).grid or ({},)]
    r = setup.preset.real.on(name)
    rng = generator(root=setup.root, stream="trials", seed=seed)
    grid = [(dropout, rate) for dropout in r.dropouts for rate in r.learning_rates]
    drawn = [grid[place] for place in rng.permutation(len(grid))[: r.trials]]
    epochs = max(1, r.epochs // r.shortened) if r.trials > 1 else r.epochs
    fixed: dict[str, Any] = {"epochs": epochs, "seen": seen_rule(setup, name)}
    if on_pairs(model):  # which knows no windows: every pair of actions is one of its rows
        fixed |= {"batch": PAIR_BATCH}
    else:
        fixed |= TRAINING | {"batch": r.batch, "windows": r.windows}
    own = loss(find(model), int(setup.statistic(name, "items")))
    return [
        (model_options(model, r.length, r.width, dropout, **reading) | own, fixed | {"learning_rate": rate})
        for (dropout, rate), reading in zip(drawn, _readings(setup, model, seed, len(drawn)), strict=True)
    ]


def tuning_cells(setup: Setup, name: str, model: str) -> list[Cell]:
    """The trials of a model on a dataset, seed by seed; those of a control on seed 0 alone.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`.
        model: a name of `bench.methods.recommenders.ENTRIES`, or a user's `package.module:Class`.
    """
    dataset, real = real_dataset(setup, name) | {"split": setup.tuned or setup.split}, setup.preset.real
    if model in TRAINED and real.trials == len(real.rivals) == 1:
        dataset |= {"refit": True}
    seeds = 1 if find(model).role == "control" else setup.seeds(name)
    return [
        plan_cell(setup, dataset, model, options, training, seed)
        for seed in range(seeds)
        for options, training in _trials(setup, name, model, seed)
    ]


def finals(setup: Setup, results: list[Result], name: str, model: str) -> list[Cell]:
    """By seed, the leading trial's setting trained for all epochs; none where its trial was, or it has no epochs.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`.
        model: as in `chosen`.
    """
    cells = [(_final(setup, trial), trial) for trial in _leading(setup, results, name, model)]
    return [final for final, trial in cells if final.key != trial.cell.key]


def chosen(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """By seed, the leading trial or its setting trained for all epochs, whichever has the better validation NDCG@10.

    Args:
        setup: the run's.
        results: any; what is no trial is passed over, such as a variant of a chosen setting or half of the users. A
            seed none of whose trials ran is left out, and one that is not yet trained for all epochs.
        name: a dataset of `setup.found`.
        model: as in `tuning_cells`.
    """
    score = f"valid_ndcg10_{seen_rule(setup, name)}"
    mine = [r for r in results if r.params.get("model") == model]
    # A setting that is trained once, on validation too, is its own final and has no validation figure.
    pairs = [(trial, of_cells(mine, [_final(setup, trial)])) for trial in _leading(setup, results, name, model)]
    return [max(trial, *final, key=lambda r: r.metrics.get(score, 0.0)) for trial, final in pairs if final]


def _final(setup: Setup, trial: Result) -> Cell:
    """The cell of a trial's setting for all epochs; the trial's own where it took them."""
    p = trial.params
    if "epochs" not in p["training"]:
        return trial.cell
    training = p["training"] | {"epochs": setup.preset.real.on(p["dataset"]["name"]).epochs}
    cell = plan_cell(setup, p["dataset"], p["model"], p["options"], training, p["seed"])
    return replace(cell, label=f"{cell.label}, {training['epochs']} epochs")


def _leading(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """By seed, the trial with the best validation NDCG@10; of CausalRec, among those whose boost is switched on.

    A CausalRec whose R has no edge in most rows is SASRec under another name. Only where every trial of a seed is so,
    all are chosen from. Its twin chooses among the same dropouts and learning rates, so that neither has more to choose
    from.
    """
    score, best = f"valid_ndcg10_{seen_rule(setup, name)}", dict[int, Result]()
    on = _switched_on(setup, results, name) if model in ("causalrec", "causalrec_off") else set()

    def worth(trial: Result) -> tuple[bool, float]:
        return bool(on) and place_of(trial) in on, trial.metrics[score]

    for trial in _tried(setup, results, name, model):
        seed = int(trial.params["seed"])
        if seed not in best or worth(trial) > worth(best[seed]):
            best[seed] = trial
    return list(best.values())


def _tried(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    mine = [r for r in results if r.params.get("model") == model]
    return of_cells(mine, tuning_cells(setup, name, model))


def _switched_on(setup: Setup, results: list[Result], name: str) -> set[tuple[int, float, float]]:
    """The places of CausalRec's trials whose R has an edge in more than half of its rows."""
    trials = _tried(setup, results, name, "causalrec")
    return {place_of(trial) for trial in trials if trial.metrics["empty_rows"] < MOST_EMPTY}


def place_of(trial: Result) -> tuple[int, float, float]:
    """What a trial shares with those of other models: seed, dropout, learning rate.

    Args:
        trial: of a trained model that has dropout.
    """
    p = trial.params
    return p["seed"], p["options"]["dropout"], p["training"]["learning_rate"]


def like(setup: Setup, trial: Result, given: dict[str, Any] | None = None, **changes: Any) -> Cell:
    """The cell that trains a chosen setting anew, on validation too.

    With options changed it is paired with that of the setting itself.

    Args:
        setup: the run's.
        trial: as `chosen` returns it.
        given: as in `seed_cells`.
        changes: options that replace those of the trial.
    """
    p = trial.params
    dataset, options = p["dataset"] | {"refit": True, "split": setup.split}, p["options"] | changes
    cell = plan_cell(setup, dataset, p["model"], options, p["training"], p["seed"])
    return cell if given is None else varied(cell, relation=given)


def refits(setup: Setup, results: list[Result], name: str, model: str) -> list[Cell]:
    """By seed, the chosen setting trained anew, on validation too.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`.
        model: as in `chosen`.
    """
    return [like(setup, trial) for trial in chosen(setup, results, name, model)]


def after_trials(setup: Setup, results: list[Result], name: str, model: str) -> list[Cell]:
    """What follows a model's trials: `finals`, and `refits` of the seeds whose final ran.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`.
        model: as in `chosen`.
    """
    return finals(setup, results, name, model) + refits(setup, results, name, model)


def beaten(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """The trials, short and full, that another beat, none of which is tested.

    None as long as a trial that may yet be chosen has not run.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`.
        model: as in `chosen`.
    """
    whole = all(all_of(results, tuning_cells(setup, name, of)) for of in (model, "causalrec"))
    best = [trial.cell for trial in chosen(setup, results, name, model)]
    if not whole or len(best) < len(_leading(setup, results, name, model)):
        return []
    tried = _tried(setup, results, name, model) + of_cells(results, finals(setup, results, name, model))
    return [trial for trial in tried if trial.cell not in best]


def chosen_runs(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """The results of `refits` by seed, which are what is tested; of "behaviour", those of its worlds.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`, or "behaviour".
        model: as in `chosen`.
    """
    if name == "behaviour":
        return of_cells(results, world_cells(setup, setup.preset.world, setup.preset.world_seeds, model))
    return of_cells(results, refits(setup, results, name, model))
