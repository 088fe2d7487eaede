"""How often the suite's intervals cover the truth, by simulation: python -m bench.dev.coverage

Each situation draws `DRAWS` data sets whose truth is known and counts. An interval at 95 % that covers less is too
narrow; one that covers more costs power, as that of a proportion must, because it takes only a few values.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judge.intervals import (
    Interval,
    clopper_pearson,
    clustered_ratio,
    crossed_gain,
    crossed_interval,
    crossing,
    largest_interval,
    mean_interval,
    sequence_interval,
    sparse_interval,
    t_interval,
)
from bench.show.console import print_table
from bench.show.tables import Table
from causalrec.methods.streams import generator

DRAWS = 2000
RATE_X = np.log([30.0, 100.0, 300.0, 1000.0, 3000.0])


@dataclass(frozen=True)
class Situation:
    """An interval and data to try it on.

    Args:
        interval: its name.
        data: the data, in words.
        truth: what the interval is to cover.
        make: draws data and returns their interval.
    """

    interval: str
    data: str
    truth: float
    make: Callable[[np.random.Generator], Interval]


def draw_differences(
    rng: np.random.Generator, seeds: int, users: int = 60, seed_sd: float = 0.1, user_sd: float = 1.0
) -> NDArray[np.float64]:
    """Differences of mean 1 with effects of seeds, of users common to all seeds, and noise of sd 1.

    Args:
        rng: source of the draws.
        seeds: number of seeds.
        users: number of users.
        seed_sd: standard deviation of the seeds' effects.
        user_sd: standard deviation of the users' effects.

    Returns:
        (seeds, users).
    """
    by_seed, by_user = rng.normal(0, seed_sd, size=(seeds, 1)), rng.normal(0, user_sd, size=(1, users))
    return np.asarray(1 + by_seed + by_user + rng.normal(size=(seeds, users)))


def _crossed(seeds: int, seed_sd: float, user_sd: float) -> Situation:
    def make(rng: np.random.Generator) -> Interval:
        return crossed_interval(draw_differences(rng, seeds, 60, seed_sd, user_sd))

    return Situation("seeds and users crossed", f"{seeds} seeds, sd {seed_sd}; 60 users, sd {user_sd}", 1.0, make)


def _averaged(seeds: tuple[int, ...], seed_sd: float, user_sd: float) -> Situation:
    def make(rng: np.random.Generator) -> Interval:
        return mean_interval([crossed_interval(draw_differences(rng, n, 60, seed_sd, user_sd)) for n in seeds])

    data = f"{len(seeds)} datasets, {', '.join(map(str, seeds))} seeds, sd {seed_sd}; 60 users each, sd {user_sd}"
    return Situation("mean over datasets", data, 1.0, make)


def _crossed_gain(rng: np.random.Generator) -> Interval:
    """The relative gain of a model 10 % better than its rival; users differ by more than models do."""
    level = rng.exponential(size=(1, 80)) + 1
    ours, theirs = (level * factor + rng.normal(0, 0.2, size=(3, 80)) for factor in (1.1, 1.0))
    return crossed_gain(ours, theirs)


def _crossing(centre: float) -> Situation:
    def make(rng: np.random.Generator) -> Interval:
        hits = rng.binomial(40, 1 / (1 + np.exp(-2 * (RATE_X - centre))))
        return crossing(RATE_X, hits, [40] * 5) or Interval(np.nan, np.inf, -np.inf, 0)

    data = f"logistic rates at 5 n, 40 draws each, half at e^{centre:g}"
    return Situation("crossing of one half", data, centre, make)


def _ranks(rng: np.random.Generator, users: int, seeds: int, gain: float) -> NDArray[np.float64]:
    """NDCG@10 by seed and user: most targets are out of the first ten, and mostly the same users' on every seed."""
    ease = rng.normal(-2.5, 1.5, size=(1, users))
    found = rng.random((seeds, users)) < (1 + gain) / (1 + np.exp(-ease - rng.normal(0, 0.05, size=(seeds, 1))))
    return np.where(found, 1 / np.log2(1 + rng.integers(1, 11, size=(seeds, users))), 0.0)


def _zero_inflated(rng: np.random.Generator) -> Interval:
    return crossed_gain(_ranks(rng, 943, 3, 0.0), _ranks(rng, 943, 3, 0.0))


def _tied_rivals(rng: np.random.Generator) -> Interval:
    """The gain over the best of eight rivals that are equally good, chosen on other users than those it is told of."""
    level = rng.exponential(size=(1, 160)) + 1
    models = [level * (1 + rng.normal(0, 0.005, size=(3, 1))) + rng.normal(0, 0.3, size=(3, 160)) for _ in range(9)]
    best = max(models[1:], key=lambda model: float(model[:, :80].mean()))
    return crossed_gain(models[0][:, 80:], best[:, 80:])


def _sparse(n: int, share: float) -> Situation:
    def make(rng: np.random.Generator) -> Interval:
        return sparse_interval(np.where(rng.random(n) < share, rng.integers(1, 7, size=n), 0), size=3.5)

    return Situation("sparse differences", f"{n} of SHD, {100 * share:g} % not 0, of 1 to 6", 3.5 * share, make)


def _edges(edges: int, films: int, share: float, sd: float) -> Situation:
    def make(rng: np.random.Generator) -> Interval:
        by_effect, by_cause = np.exp(rng.normal(-sd * sd / 2, sd, size=(2, films)))
        popular = 1 / (np.arange(films) + 5)
        i, j = (rng.choice(films, edges, p=popular / popular.sum()) for _ in range(2))
        hits = rng.random(edges) < share * by_effect[i] * by_cause[j]
        return clustered_ratio(hits, np.full(edges, share), i, j, runs=1)

    data = f"{edges} edges of {films} films, {100 * share:g} % linked; films differ by a factor e^{sd:g}"
    return Situation("edges that share causes and effects", data, 1.0, make)


def _sequence(rng: np.random.Generator) -> Interval:
    """The first interval that misses the mean at any look, otherwise the last."""
    values = rng.normal(size=40)
    looks = [sequence_interval(values[:n]) for n in range(4, 41, 2)]
    return next((found for found in looks if found.excludes(0.0)), looks[-1])


def _largest(rng: np.random.Generator) -> Interval:
    return largest_interval(list(rng.normal(0, 0.5, size=(1, 5)) + rng.normal(0, 1, size=(8, 5))))


SITUATIONS: tuple[Situation, ...] = (
    *(
        Situation("t", f"{n} values", 1.5, lambda rng, n=n: t_interval(rng.normal(1.5, 2, size=n)))  # type: ignore[misc]
        for n in (3, 5, 10)
    ),
    *(
        Situation("Clopper-Pearson", f"20 trials of {p}", p, lambda rng, p=p: clopper_pearson(rng.binomial(20, p), 20))  # type: ignore[misc]
        for p in (0.05, 0.5, 0.95)
    ),
    *(_crossed(seeds, *sds) for seeds in (3, 5, 20) for sds in ((1.0, 1.0), (0.1, 1.0), (0.5, 0.0))),
    *(_averaged(seeds, *sds) for seeds in ((3, 3), (10, 5, 3, 3)) for sds in ((0.1, 1.0), (0.5, 0.0))),
    Situation("relative gain, crossed", "3 seeds, 80 users, gain 10 %", 0.1, _crossed_gain),
    *(_crossing(centre) for centre in (4.5, 5.5, 6.5)),
    Situation("relative gain, crossed", "3 seeds, 943 users, nine NDCG in ten 0, no gain", 0.0, _zero_inflated),
    Situation("relative gain, crossed", "over the best of 8 tied rivals on validation", 0.0, _tied_rivals),
    *(_sparse(n, share) for n in (40, 100) for share in (0.01, 0.05, 0.15)),
    _edges(1000, 300, 0.3, 0.5),
    _edges(1000, 1000, 0.05, 1.0),
    _edges(200, 500, 0.003, 0.5),
    Situation("largest of several means", "8 alphas, none helps, 5 worlds", 0.0, _largest),
    Situation("worlds added until decided", "normal, 4 to 40, every second looked at", 0.0, _sequence),
)


def measure(situation: Situation, draws: int = DRAWS, root: int = 0) -> Interval:
    """The share of intervals that cover the truth, with its own 95 % Clopper-Pearson interval.

    Args:
        situation: interval and data.
        draws: data sets to draw.
        root: seed.
    """
    rng = generator(root=root, stream="coverage", interval=situation.interval, data=situation.data)
    covered = sum(not situation.make(rng).excludes(situation.truth) for _ in range(draws))
    return clopper_pearson(covered, draws)


def coverage_table(situations: Iterable[Situation] = SITUATIONS, draws: int = DRAWS, root: int = 0) -> Table:
    """One row per situation.

    Args:
        situations: all by default.
        draws: data sets to draw in each.
        root: seed.
    """
    rows = tuple((s.interval, s.data, measure(s, draws, root)) for s in situations)
    note = (
        f"Share of {draws} simulated data sets whose 95 % interval covers the truth, itself with a 95 % interval. Data "
        "are normal except for counts; seeds and users have effects of their own. Shares by Clopper-Pearson, sparse "
        "differences, the largest of several means and few hits are conservative: they cover at least their level and "
        "mostly more. Seeds that differ by as much as users do (sd 1.0 both) are met in no run."
    )
    return Table("coverage", "What the intervals cover", ("interval", "data", "covered"), rows, note)


if __name__ == "__main__":
    print_table(coverage_table())
