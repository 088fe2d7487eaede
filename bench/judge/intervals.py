"""Intervals, paired comparisons and the correction for many comparisons; nothing here returns NaN.

What the data cannot bound has an infinite interval: one seed says nothing of the spread over seeds. What does not vary
has an interval of width zero; proportions, which may all be 0 or 1 by chance, therefore belong to `clopper_pearson` and
not to `t_interval`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import isotonic_regression

from bench.errors import InputError
from causalrec.methods.intervals import Interval as Interval  # noqa: PLC0414, offered here as well
from causalrec.methods.intervals import checked_level, finite_values, t_around
from causalrec.methods.intervals import clopper_pearson as clopper_pearson  # noqa: PLC0414, offered here as well
from causalrec.methods.intervals import share_interval as share_interval  # noqa: PLC0414, offered here as well
from causalrec.methods.intervals import t_interval as t_interval  # noqa: PLC0414, offered here as well

Floats: TypeAlias = NDArray[np.float64]
SPARSE = 0.2  # share of differences that are not 0, below which a mean has no normal law at usual numbers
FEW_HITS = 10  # counted events, below which their number has no normal law

Value: TypeAlias = str | int | float | Interval | None  # what a table's cell or a finding's estimate may be


def sequence_interval(values: ArrayLike, level: float = 0.95, peak: int = 10) -> Interval:
    """A confidence interval for the mean that holds at every n at once, so that one may stop when it has decided.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), theorem 2.2, widened by
    Student's quantile over the normal one, since it starts at few values: looked at after every second value from 4 to
    40 normal ones it missed the mean in 4 % of runs with this and in 10 % without.

    Args:
        values: Independent values in the order in which they came, shape (n,).
        level: Confidence level.
        peak: The n at which it is narrowest beside an interval for that n alone. Default 10.

    Returns:
        The interval; infinite for n = 1.

    Raises:
        InputError: As for `t_interval`.
    """
    plain = t_interval(values, level)
    if plain.n == 1:
        return plain
    half = plain.half_width * sequence_ratio(plain.n, level, peak)
    return Interval(plain.estimate, plain.estimate - half, plain.estimate + half, plain.n, level)


def sequence_ratio(n: int, level: float = 0.95, peak: int = 10) -> float:
    """How many times as wide as Student's interval `sequence_interval` is.

    Args:
        n: Number of values, at least 2.
        level: Confidence level.
        peak: As in `sequence_interval`.
    """
    miss = 1 - checked_level(level)
    rho = (-2 * np.log(miss) + np.log(1 - 2 * np.log(miss))) / peak
    spread = n * rho + 1
    return float(np.sqrt(2 * spread / (n * rho) * np.log(np.sqrt(spread) / miss)) / special.ndtri(1 - miss / 2))


def sparse_interval(values: ArrayLike, size: float, level: float = 0.95) -> Interval:
    """Interval for the mean of paired differences of which most may be 0, as those of SHD are.

    Where a fifth or more differ it is `t_interval`. With fewer, a sample may hold none or few of those that matter, and
    Student's t misses the mean in up to two thirds of samples: the ends are then those that the Clopper-Pearson bounds
    on the shares above and below 0 allow, with the largest difference seen, or `size` if that is more, as their size,
    and at least as wide as Student's. It covers its level or more.

    Args:
        values: Independent differences, shape (n,).
        size: What a difference that matters is at most in the mean, in the unit of the values, > 0; no sample can tell
            where none was seen.
        level: Confidence level.

    Raises:
        InputError: As for `t_interval`.
    """
    x, plain = finite_values(values, "values", axes=1), t_interval(values, level)
    if (x != 0).mean() >= SPARSE:
        return plain
    most = float(max(size, np.abs(x).max()))
    up, down = (clopper_pearson(int(k), len(x), level).high for k in ((x > 0).sum(), (x < 0).sum()))
    return Interval(plain.estimate, min(plain.low, -down * most), max(plain.high, up * most), plain.n, level)


def crossing(
    x: ArrayLike, successes: ArrayLike, trials: ArrayLike, share: float = 0.5, level: float = 0.95
) -> Interval | None:
    """Where a rate that rises along x reaches `share`, by linear interpolation between the x tried.

    For a rate that falls, negate x. The rates are first made monotone (isotonic regression weighted by trials), and so
    are their Clopper-Pearson bounds. The ends of the interval are where the upper and the lower bounds reach `share`;
    they are infinite where the bounds do not reach it within the x tried. The bounds are conservative: in simulation
    the interval covers 98 % or more.

    Args:
        x: Where the rates were measured, shape (k,), increasing.
        successes: Number of successes at each x, shape (k,).
        trials: Number of trials at each x, shape (k,).
        share: The rate to be reached, between 0 and 1.
        level: Confidence level.

    Returns:
        The interval of x, or None where the rate is above `share` everywhere or below it everywhere.

    Raises:
        InputError: x that does not increase, different lengths, or impossible counts.
    """
    at, (hits, tries) = finite_values(x, "x", axes=1), _pair(successes, trials)
    if len(at) != len(hits) or (np.diff(at) <= 0).any():
        raise InputError(f"crossing: x is {at} for {len(hits)} rates; give increasing x, one per rate")
    counts = [clopper_pearson(int(k), int(n), level) for k, n in zip(hits, tries, strict=True)]
    n = [interval.n for interval in counts]
    rate, low, high = (
        _first_reached(at, isotonic_regression([getattr(c, bound) for c in counts], weights=n).x, share)
        for bound in ("estimate", "low", "high")
    )
    return Interval(rate, high, low, int(sum(n)), level) if np.isfinite(rate) else None


def _first_reached(x: Floats, y: Floats, share: float) -> float:
    """The x at which a nondecreasing y first reaches `share`; −inf where it starts there, +inf where it never does."""
    k = int(np.searchsorted(y, share))
    if k == 0:
        return -np.inf
    if k == len(y):
        return np.inf
    return float(x[k - 1] + (share - y[k - 1]) / (y[k] - y[k - 1]) * (x[k] - x[k - 1]))


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """t interval for the mean of a − b, paired entry by entry.

    Args:
        a: Values of one side, shape (n,).
        b: Values of the other side for the same units, shape (n,).
        level: Confidence level.

    Raises:
        InputError: Different lengths, or as for `t_interval`.
    """
    x, y = _pair(a, b)
    return t_interval(x - y, level)


def crossed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """t interval for a mean over random seeds and random users, where every seed has the same users.

    The variance of the mean is V_seeds + V_users − V_rest, from the mean squares of the two-way layout, with
    Satterthwaite's (1946) degrees of freedom. It holds at few seeds, where a bootstrap over seeds and users is too
    narrow, and where users vary more than seeds, where a t interval over the means of the seeds is (measured coverage
    at 3 to 20 seeds: 0.92 to 0.99, against 0.78 and 0.34).

    Args:
        differences: One value per seed and user, shape (seeds, users).
        level: Confidence level.

    Returns:
        The interval, whose `n` counts seeds; infinite for one seed or one user.

    Raises:
        InputError: No seeds or users, or values that are not finite.
    """
    x = finite_values(differences, "differences", axes=2)
    mean, error, freedom = _crossed_error(x)
    found = t_around(mean, error, freedom, len(x), level)
    return replace(found, freedom=freedom) if 0 < error < np.inf else found


def _crossed_error(x: Floats) -> tuple[float, float, float]:
    """The mean over seeds and users, its standard error (infinite for one of either), its degrees of freedom."""
    seeds, users = x.shape
    mean = float(x.mean())
    if seeds == 1 or users == 1:
        return mean, np.inf, 1.0
    by_seed, by_user = x.mean(axis=1), x.mean(axis=0)
    rest = x - by_seed[:, None] - by_user + mean
    freedom = np.array([seeds - 1, users - 1, (seeds - 1) * (users - 1)])
    parts = np.array([by_seed.var(ddof=1) / seeds, by_user.var(ddof=1) / users, (rest**2).sum() / freedom[2] / x.size])
    variance = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    if variance == 0:
        return mean, 0.0, 1.0
    shares = parts / variance  # squares of the parts themselves may underflow
    return mean, float(np.sqrt(variance)), float(1 / (shares**2 / freedom).sum())


def crossed_gain(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for the relative gain mean(a) / mean(b) − 1 over seeds and users crossed.

    By the delta method, the gain g varies like the mean of (a − (1 + g) b) / mean(b), whose interval is
    `crossed_interval`'s.

    Args:
        a: One value per seed and user, shape (seeds, users).
        b: The values to compare with, of the same seeds and users, shape (seeds, users).
        level: Confidence level.

    Raises:
        InputError: Different shapes, values that are not finite, or mean(b) not positive.
    """
    x, y = finite_values(a, "a", axes=2), finite_values(b, "b", axes=2)
    if x.shape != y.shape:
        raise InputError(f"a has shape {x.shape} and b {y.shape}; pairs need the same shape")
    if y.mean() <= 0:
        raise InputError(f"mean of b is {y.mean()}; a relative gain needs a positive one")
    gain = float(x.mean() / y.mean() - 1)
    around = crossed_interval((x - (1 + gain) * y) / y.mean(), level)
    return replace(around, estimate=gain, low=gain + around.low, high=gain + around.high)


def mean_interval(of: Sequence[Interval]) -> Interval:
    """t interval for the mean of independent estimates, whose own spreads may differ.

    The variances of the estimates add, with Satterthwaite's degrees of freedom. Half-widths that add in quadrature
    would cover more than their level: of two alike, with two degrees of freedom each, a third more than is needed.

    Args:
        of: t intervals of one level, at least one.

    Returns:
        The interval, whose `n` is the least of theirs; infinite if one of them is.
    """
    mean, level = float(np.mean([one.estimate for one in of])), of[0].level
    n = min(one.n for one in of)
    if not all(one.bounded for one in of):
        return Interval(mean, -np.inf, np.inf, n, level)
    errors, freedom = np.array([one.student for one in of]).T
    variances = errors**2
    if not variances.any():
        return Interval(mean, mean, mean, n, level)
    shares = variances / variances.sum()  # squares of the variances themselves may underflow
    joint = float(1 / (shares**2 / freedom).sum())
    return replace(t_around(mean, float(np.sqrt(variances.sum())) / len(of), joint, n, level), freedom=joint)


def largest_interval(gains: Sequence[ArrayLike], level: float = 0.95) -> Interval:
    """Interval for the largest of several means, all of the same units, that allows adding units until it decides.

    The low end is the largest of the low ends at a level that Bonferroni corrects. The high end is the largest of the
    high ends, uncorrected: all means lie at a bar or below only if each does (an intersection-union test).

    Args:
        gains: By alternative, a value per unit, each of shape (n,); or an array of shape (alternatives, n).
        level: Confidence level.

    Raises:
        InputError: As for `t_interval`, or no alternative.
    """
    if not len(gains):
        raise InputError("the largest of no means is asked for; give one alternative at least")
    wide, plain = ([sequence_interval(values, at) for values in gains] for at in (1 - (1 - level) / len(gains), level))
    low = max(interval.low for interval in wide)
    best = max(plain, key=lambda interval: interval.estimate)
    return Interval(best.estimate, low, max(interval.high for interval in plain), best.n, level)


def clustered_ratio(
    hits: ArrayLike, expected: ArrayLike, effects: ArrayLike, causes: ArrayLike, runs: int, level: float = 0.95
) -> Interval:
    """Interval for sum(hits) / sum(expected) over the edges of graphs, in which edges share causes and effects.

    Clusters are by effect and by cause (Cameron, Gelbach & Miller 2011). The variance is V_effect + V_cause, which
    covered 0.96 to 0.97 in simulation; less V_pair, as theirs, it covered 0.91. It has one degree of freedom less than
    the effective number of clusters of the fewer kind. With few hits per run the interval is at least as wide as
    Poisson's for their number.

    Args:
        hits: Whether an edge has what is counted, 0 or 1, shape (edges,), the edges of all runs end to end.
        expected: Chance that a comparable edge has it, shape (edges,), not all 0.
        effects: Number of each edge's effect, shape (edges,).
        causes: Number of each edge's cause, shape (edges,).
        runs: How many runs the edges come from, at least 1.
        level: Confidence level.

    Raises:
        InputError: Different lengths, values that are not finite, or nothing expected.
    """
    x, chance = _pair(hits, expected)
    i, j = (np.unique(np.asarray(ends), return_inverse=True)[1] for ends in (effects, causes))
    whole = float(chance.sum())
    if whole <= 0 or len(i) != len(x) or len(j) != len(x):
        raise InputError(f"{len(x)} edges with {len(i)} effects, {len(j)} causes and {whole} expected hits")
    ratio = float(x.sum()) / whole
    rest = (x - ratio * chance) / whole
    of_effect, of_cause = (float((np.bincount(by, weights=rest) ** 2).sum()) for by in (i, j))
    clusters = min(float(whole**2 / (np.bincount(by, weights=chance) ** 2).sum()) for by in (i, j))
    freedom = max(1.0, clusters - 1)
    variance = (of_effect + of_cause) * clusters / freedom
    around = t_around(ratio, float(np.sqrt(variance)), freedom, len(x), level)
    low, high = max(0.0, around.low), around.high
    if (count := float(x.sum()) / runs) < FEW_HITS:
        tail = (1 - checked_level(level)) / 2
        low = min(low, float(special.gammaincinv(count, tail)) * runs / whole if count > 0 else 0.0)
        high = max(high, float(special.gammaincinv(count + 1, 1 - tail)) * runs / whole)
    return Interval(ratio, low, high, len(x), level)


def spearman_interval(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """Interval for Spearman's rank correlation, by Fisher's z with the error of Bonett & Wright (2000).

    At a correlation of ±1, where z is infinite, the inner bound is that of one adjacent swap. A constant side has no
    correlation: the estimate is then 0 and the interval [−1, 1], which is also the interval for n < 4.

    Args:
        x: Values of one side, shape (n,).
        y: Values of the other side, shape (n,).
        level: Confidence level.

    Raises:
        InputError: Different lengths, or values that are not finite.
    """
    x, y = _pair(x, y)
    n, rank_x, rank_y = len(x), _centred_ranks(x), _centred_ranks(y)
    scale = float(np.sqrt((rank_x @ rank_x) * (rank_y @ rank_y)))
    correlation = float(np.clip(rank_x @ rank_y / scale, -1, 1)) if scale > 0 else 0.0
    if n < 4 or scale == 0:
        return Interval(correlation, -1.0, 1.0, n, level)
    swapped = 1 - 12 / (n * (n**2 - 1))
    z = np.arctanh(np.clip(correlation, -swapped, swapped))
    half = special.ndtri((1 + checked_level(level)) / 2) * np.sqrt((1 + correlation**2 / 2) / (n - 3))
    low, high = float(np.tanh(z - half)), float(np.tanh(z + half))
    return Interval(correlation, min(low, correlation), max(high, correlation), n, level)


def _centred_ranks(x: Floats) -> Floats:
    """Ranks less their mean, ties sharing their average rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse] - (len(x) + 1) / 2)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    x, y = finite_values(a, "the first side", axes=1), finite_values(b, "the second side", axes=1)
    if len(x) != len(y):
        raise InputError(f"{len(x)} values against {len(y)}; pairs need the same number")
    return x, y
