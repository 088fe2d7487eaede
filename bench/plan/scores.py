"""A recommender's metric by seed and user, and what is said of it: levels, gains, who leads.

Intervals on real data are over seeds and users crossed; those in behaviour worlds are t intervals over the worlds.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.judge.intervals import Interval, crossed_gain, crossed_interval, t_interval
from bench.plan.recommender_cells import seen_rule
from bench.plan.results import Result
from bench.plan.setup import Setup
from causalrec.ranking import hit_rate, ndcg

METRICS = {"hr10": ("HR@10", hit_rate), "ndcg10": ("NDCG@10", ndcg)}


def ranked(
    setup: Setup, name: str, found: list[Result], metric: str = "ndcg10", seen: str | None = None
) -> NDArray[np.float64]:
    """A metric by seed and user, shape (seeds, users), float64; (0, 0) where nothing was found.

    Users are those of the test, or in a world that has any the fresh ones.

    Args:
        setup: the run's.
        name: a dataset of `setup.found`, or "behaviour".
        found: a model's results on it, one per seed.
        metric: a name of `METRICS`.
        seen: "kept" or "filtered", how items that a user has seen are ranked; by default the dataset's own rule.
    """
    rule = seen or seen_rule(setup, name)
    asked = "fresh" if name == "behaviour" and all("fresh" in r.params["dataset"] for r in found) else "test"
    values = [METRICS[metric][1](r.arrays[f"{asked}_{rule}"]) for r in found]
    return np.stack(values) if values else np.empty((0, 0))


def level(name: str, values: NDArray[np.float64]) -> Interval:
    """The mean of a share with its interval.

    Args:
        name: a dataset, or "behaviour", where every seed is a world.
        values: shape (seeds, users), in [0, 1].
    """
    return _interval(name, values).within(0.0, 1.0)


def gain(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64], wide: float = 0.95) -> Interval | None:
    """The relative gain mean(ours) / mean(theirs) - 1, paired over seeds and users; None where `theirs` is all 0.

    Args:
        name: a dataset, or "behaviour", where every seed is a world.
        ours: shape (seeds, users).
        theirs: shape (seeds, users).
        wide: level of the interval.
    """
    if not theirs.any():
        return None
    if name != "behaviour":
        return crossed_gain(ours, theirs, wide)
    return t_interval((ours.mean(1) - theirs.mean(1)) / theirs.mean(), wide)


def leaders(name: str, values: Mapping[str, NDArray[np.float64]], alpha: float = 0.05) -> dict[str, str]:
    """"best" and "second" by model, each only where it is ahead of all that follow it beyond the intervals.

    Args:
        name: a dataset, or "behaviour", where every seed is a world.
        values: a metric by model, shape (seeds, users) each; models whose shape is not the most frequent one are not
            compared.
        alpha: the intervals are of paired differences, at level 1 - alpha / comparisons.
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


def chosen_elsewhere(values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.str_]:
    """The best model for each seed and user, chosen on other seeds and other users.

    Each half of the users is judged against the model that is best on the other half, over the other seeds, so that
    neither those users nor a lucky seed choose it: the best of many tied models is not ahead by chance. A single seed
    chooses for itself.

    Args:
        values: a metric by model, shape (seeds, users) each, the same for all; at least one model.

    Returns:
        Names of models, shape (seeds, users).
    """
    seeds, users = next(iter(values.values())).shape
    found = np.empty((seeds, users), dtype=np.array([*values]).dtype)
    for seed in range(seeds):
        others = [other for other in range(seeds) if other != seed] or [seed]
        for half in (0, 1):
            sums = {model: of[others, 1 - half :: 2].sum() for model, of in values.items()}
            found[seed, half::2] = max(sums, key=sums.__getitem__)
    return found


def composed(values: Mapping[str, NDArray[np.float64]], which: NDArray[np.str_]) -> NDArray[np.float64]:
    """The metric of the model that is named for each seed and user.

    Args:
        values: a metric by model, shape (seeds, users) each.
        which: names among those, shape (seeds, users).
    """
    return np.select([which == model for model in values], [*values.values()])


def _interval(name: str, values: NDArray[np.float64], wide: float = 0.95) -> Interval:
    return t_interval(values.mean(1), wide) if name == "behaviour" else crossed_interval(values, wide)
