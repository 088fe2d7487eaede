"""Tuning: the trials of a model on a dataset, the setting they choose, its runs by seed.

Trained models are tuned on validation NDCG@10 with one budget: `trials` different settings drawn at random from a
declared space, on the first seed; the setting chosen then runs on the other seeds. The search is plainly random: of two
to ten trials no sampler learns where to look, and a trial that does not depend on those before it runs beside them.
Trial t has the same dropout and learning rate for every model, and CausalRec an alpha with it, so that what is compared
is the model. FPMC, which has no dropout, draws the weight of its factors' squares in its place. Controls have a small
grid of their own each, and a user's own model one setting.
"""

from typing import Any

import numpy as np

from bench.cells.streams import generator
from bench.cells.unit import Cell
from bench.methods.recommenders import TRAINED, find
from bench.plan.recommender_cells import (
    DROPOUTS,
    PAIR_BATCH,
    model_options,
    on_pairs,
    plan_cell,
    real_dataset,
    seed_cells,
    seen_rule,
    world_cells,
)
from bench.plan.results import Result, of_cells
from bench.plan.setup import Setup

ALPHAS = (0.1, 1.0, 10.0)


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
    """The trials of a model on a dataset, on the first seed.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`.
        model: a name of `bench.methods.recommenders.ENTRIES`, or a user's `package.module:Class`.
    """
    dataset, grid = real_dataset(setup, name), find(model).grid or ({},)
    trials = _trials(setup, name, model) if model in TRAINED else [(dict(options), {}) for options in grid]
    return [plan_cell(setup, dataset, model, options, training, 0) for options, training in trials]


def chosen(setup: Setup, results: list[Result], name: str, model: str) -> Result | None:
    """The trial of a model on a dataset with the best validation NDCG@10; None where no trial ran.

    Args:
        setup: as in `tuning_cells`.
        name: as in `tuning_cells`.
        model: as in `tuning_cells`.
        results: any; what is no trial is passed over, such as a variant of the chosen setting or half of the users.
    """
    tried, score = set(tuning_cells(setup, name, model)), f"valid_ndcg10_{seen_rule(setup, name)}"
    trials = [r for r in results if r.ok and r.cell in tried]
    return max(trials, key=lambda r: float(r.metrics[score]), default=None)


def chosen_cells(setup: Setup, results: list[Result], name: str, model: str) -> list[Cell]:
    """The cells of the chosen setting by seed, the first of them a trial; empty where no trial ran.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        name: as in `chosen`.
        model: as in `chosen`.
    """
    best = chosen(setup, results, name, model)
    return [] if best is None else cells_like(setup, best)


def cells_like(setup: Setup, best: Result, given: dict[str, Any] | None = None, **changes: Any) -> list[Cell]:
    """The cells of a result's setting by seed, on its dataset.

    Args:
        setup: the run's.
        best: as `chosen` returns it.
        given: as in `seed_cells`.
        changes: options that replace those of `best`.
    """
    p = best.params
    return seed_cells(setup, p["dataset"], p["model"], p["options"] | changes, p["training"], given=given)


def chosen_runs(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """The results that are there of `chosen_cells` by seed; of "behaviour", those of its worlds.

    Args:
        setup: as in `chosen`, where `name` may also be "behaviour".
        results: as in `chosen`, where `name` may also be "behaviour".
        name: as in `chosen`, where `name` may also be "behaviour".
        model: as in `chosen`, where `name` may also be "behaviour".
    """
    if name == "behaviour":
        cells = world_cells(setup, setup.preset.world, setup.preset.world_seeds, model)
    else:
        cells = chosen_cells(setup, results, name, model)
    return of_cells(results, cells)


def other_seeds(setup: Setup, results: list[Result], names: list[str], model: str = "causalrec") -> list[Cell]:
    """The cells of the chosen setting on all seeds but the first, whose cell is a trial; for each dataset of `names`.

    Args:
        setup: as in `chosen`.
        results: as in `chosen`.
        model: as in `chosen`.
        names: datasets of `setup.found`.
    """
    return [cell for name in names for cell in chosen_cells(setup, results, name, model)[1:]]
