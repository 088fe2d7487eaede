"""Models at their chosen settings: scores by seed and user, the best rival, CausalRec's gain, what order is worth."""

from collections import Counter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.experiments.base import Results
from bench.judge.intervals import Interval
from bench.methods.recommenders import CONTROLS, ENTRIES, RIVALS, TRAINED, named
from bench.plan.recommender_cells import controls, rivals, shuffled, trained
from bench.plan.results import of_cells
from bench.plan.scores import chosen_elsewhere, composed, ranked
from bench.plan.scores import gain as paired_gain
from bench.plan.setup import Setup
from bench.plan.tuning import chosen_runs

OFF = "causalrec_off"
FIRST = 3  # seeds on real data that are trained on shuffled histories too
SPLIT_MARKS = {"leave_one_out": "leave-one-out split", "temporal": "temporal split"}
TITLES = {name: ENTRIES[name].title for name in (*CONTROLS, *TRAINED, "best_possible")}
TWINS = tuple(name for name in named("twin") if ENTRIES[name].beside in RIVALS)
Floats: TypeAlias = NDArray[np.float64]
Names: TypeAlias = NDArray[np.str_]


def models_on(setup: Setup, name: str) -> tuple[str, ...]:
    """Every model that a run compares on a dataset, a user's own last.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`, or "behaviour".
    """
    return (*controls(setup, name), *trained(setup, name), *setup.recommenders)


def repeated(setup: Setup, name: str, model: str, found: Results, metric: str = "ndcg10", seen: str = "") -> Floats:
    """A metric by seed and user; a model without randomness stands once for every seed of real data.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`, or "behaviour".
        model: that of the results.
        found: results of one model, one per seed.
        metric: a name of `bench.plan.scores.METRICS`.
        seen: as in `bench.plan.scores.ranked`.

    Returns:
        (seeds, users); (0, 0) where nothing was found.
    """
    scored = ranked(setup, name, found, metric, seen)
    repeats = setup.seeds(name) if len(scored) == 1 and model in CONTROLS and name != "behaviour" else 1
    return np.repeat(scored, repeats, axis=0)


def scores(setup: Setup, results: Results, name: str, model: str, metric: str = "ndcg10", seen: str = "") -> Floats:
    """`repeated` of the runs that tuning chose.

    Args:
        setup: the run's.
        results: any.
        name: as in `repeated`.
        model: one of `models_on`.
        metric: as in `repeated`.
        seen: as in `repeated`.
    """
    return repeated(setup, name, model, chosen_runs(setup, results, name, model), metric, seen)


def best_rival(setup: Setup, results: Results, name: str) -> Names | None:
    """The best rival for each seed and user, see `chosen_elsewhere`.

    Args:
        setup: the run's.
        results: any.
        name: a dataset of `setup.found`.

    Returns:
        (seeds, users), names; None where a seed of any rival is missing.
    """
    scored = {rival: scores(setup, results, name, rival) for rival in rivals(setup, name)}
    whole = scored and all(len(values) >= setup.seeds(name) for values in scored.values())
    return chosen_elsewhere(scored) if whole else None


def distinct(rival: Names) -> list[str]:
    """The rivals that a choice consists of, the most frequent one first.

    Args:
        rival: as `best_rival` returns them.
    """
    return [str(model) for model, _ in Counter(rival.flat).most_common()]


def titles_of(rival: Names) -> str:
    """The titles of `distinct`, one after the other.

    Args:
        rival: as `best_rival` returns them.
    """
    return ", ".join(TITLES[model] for model in distinct(rival))


def gain_over(
    setup: Setup, results: Results, name: str, model: str | Names, metric: str = "ndcg10"
) -> Interval | None:  # fmt: skip
    """The relative gain of CausalRec, in %.

    Args:
        setup: the run's.
        results: any.
        name: a dataset of `setup.found`, or "behaviour".
        model: what it is compared with, or one name per seed and user.
        metric: as in `repeated`.

    Returns:
        The interval; None where a seed is missing.
    """
    which = np.array([model]) if isinstance(model, str) else model
    scored = {of: scores(setup, results, name, of, metric) for of in ("causalrec", *distinct(which))}
    ours, least = scored["causalrec"], 1 if name == "behaviour" else setup.seeds(name)
    if len(ours) < least or any(values.shape != ours.shape for values in scored.values()):
        return None
    gained = paired_gain(name, ours, composed(scored, which))
    return gained and gained.scaled(100)


def changes_on(setup: Setup, results: Results, name: str) -> list[tuple[str, str, Results, Results]]:
    """Models, what is taken from each, and its results without and with that: order, and what its twin lacks.

    Args:
        setup: the run's.
        results: any.
        name: a dataset of `setup.found`, or "behaviour".
    """
    found = {model: chosen_runs(setup, results, name, model) for model in models_on(setup, name)}
    first = {model: plain if name == "behaviour" else plain[:FIRST] for model, plain in found.items()}
    changes = [
        (model, "shuffled histories", plain, of_cells(results, [shuffled(r.cell) for r in plain]))
        for model, plain in first.items()
    ]
    for twin in TWINS:
        if (model := str(ENTRIES[twin].beside)) in found:
            lacking = TITLES[twin].removeprefix(f"{TITLES[model]}, ").removesuffix(" (control)")
            changes.append((model, lacking, found[model], found[twin]))
    return changes


def loss_by(setup: Setup, name: str, plain: Results, changed: Results) -> Interval | None:
    """The relative loss in NDCG@10 in %, paired by seed.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`, or "behaviour".
        plain: results of a model, one per seed.
        changed: what the loss is of, by seed too.

    Returns:
        The interval; None where a seed of either is missing.
    """
    if not plain or [r.params["seed"] for r in plain] != [r.params["seed"] for r in changed]:
        return None
    change = paired_gain(name, ranked(setup, name, changed), ranked(setup, name, plain))
    return change and change.turned.scaled(100)
