"""Intervals, paired comparisons, equivalence, multiplicity and bootstraps; nothing here returns NaN.

What the data cannot bound has an infinite interval (one seed says nothing of the spread over seeds); what does
not vary has one of width zero, so proportions and all-zero counts belong to `clopper_pearson`, not to `t_interval`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import isotonic_regression

from bench.errors import InputError

Floats: TypeAlias = NDArray[np.float64]
CHUNK_ENTRIES = 2**22  # resampled entries held at a time: 32 MiB


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence bounds at `level`, from `n` independent units; bounds may be infinite."""

    estimate: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside."""
        return value < self.low or value > self.high

    def above(self, value: float) -> bool:
        """Whether the whole interval lies above `value`."""
        return self.low > value

    def below(self, value: float) -> bool:
        """Whether the whole interval lies below `value`."""
        return self.high < value

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between `low` and `high`."""
        return low < self.low and self.high < high

    def within(self, low: float, high: float) -> "Interval":
        """The same interval cut to what the quantity can be, such as 0 to 1 for a share."""
        return Interval(self.estimate, max(self.low, low), min(self.high, high), self.n, self.level)

    def scaled(self, by: float) -> "Interval":
        """The interval in another unit, `by` > 0 of it to one of this: 100 for a share in %."""
        return Interval(by * self.estimate, by * self.low, by * self.high, self.n, self.level)

    @property
    def half_width(self) -> float:
        """Half of high − low."""
        return (self.high - self.low) / 2

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return bool(np.isfinite(self.half_width))


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests: `equivalent` if the (1 − 2α) `interval` lies inside ±`margin`, that is if `p` < α."""

    interval: Interval
    margin: float
    p: float
    equivalent: bool


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval for the mean of `values`, shape (n,); infinite for n = 1.

    Raises:
        InputError: no values, NaN or infinity among them, or more than one axis.
    """
    x = _vector(values, "values")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, -np.inf, np.inf, 1, level)
    half = _t_quantile(len(x) - 1, level) * _standard_error(x)
    return Interval(mean, mean - half, mean + half, len(x), level)


def share_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """`t_interval` of values that lie in 0 to 1, cut to that range; InputError as there."""
    return t_interval(values, level).within(0.0, 1.0)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact binomial interval (Clopper & Pearson 1934), from beta quantiles; it covers at least `level`.

    Raises:
        InputError: trials < 1 or successes outside 0..trials.
    """
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"{successes} successes of {trials} trials; give 0 <= successes <= trials, trials >= 1")
    tail = (1 - _checked(level)) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(special.betaincinv(successes + 1, trials - successes, 1 - tail))
    return Interval(successes / trials, low, high, trials, level)


def crossing(
    x: ArrayLike, successes: ArrayLike, trials: ArrayLike, share: float = 0.5, level: float = 0.95
) -> Interval | None:
    """Where a rate that rises along x crosses `share`, linear between the x tried; for one that falls, negate x.

    x (k,) increasing, successes and trials (k,). The rates are made monotone first (isotonic regression, weighted by
    trials), and so are their Clopper-Pearson bounds: the interval's ends are where the upper and the lower ones cross
    it, infinite where they do not within the x tried. It covers 98 % or more of crossings in simulation: the bounds
    are conservative. None where the rate itself does not cross; then it is above `share` everywhere or below it.
    """
    at, (hits, tries) = _vector(x, "x"), _pair(successes, trials)
    if len(at) != len(hits) or (np.diff(at) <= 0).any():
        raise InputError(f"crossing: x is {at} for {len(hits)} rates; give increasing x, one a rate")
    counts = [clopper_pearson(int(k), int(n), level) for k, n in zip(hits, tries, strict=True)]
    n = [interval.n for interval in counts]
    rate, low, high = (
        _crosses(at, isotonic_regression([getattr(c, bound) for c in counts], weights=n).x, share)
        for bound in ("estimate", "low", "high")
    )
    return Interval(rate, high, low, int(sum(n)), level) if np.isfinite(rate) else None


def _crosses(x: Floats, y: Floats, share: float) -> float:
    """The x at which a nondecreasing y first reaches `share`; −inf where it starts there, +inf where it never does."""
    k = int(np.searchsorted(y, share))
    if k == 0:
        return -np.inf
    if k == len(y):
        return np.inf
    return float(x[k - 1] + (share - y[k - 1]) / (y[k] - y[k - 1]) * (x[k] - x[k - 1]))


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """t interval for the mean of a − b, paired entry by entry, both of shape (n,).

    Raises:
        InputError: different lengths, or as `t_interval`.
    """
    x, y = _pair(a, b)
    return t_interval(x - y, level)


def equivalence(differences: ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Schuirmann's two one-sided t tests: is the mean of `differences`, shape (n,), inside ±`margin`?

    One value is never enough (p = 1).

    Raises:
        InputError: a margin that is not positive and finite, or as `t_interval`.
    """
    if not 0 < margin < np.inf:
        raise InputError(f"margin is {margin}; give a positive finite number")
    x = _vector(differences, "differences")
    interval = t_interval(x, 1 - 2 * alpha)
    slack = margin - abs(interval.estimate)
    if len(x) == 1:
        p = 1.0
    elif (error := _standard_error(x)) == 0:
        p = 0.0 if slack > 0 else 1.0
    else:
        p = float(special.stdtr(len(x) - 1, -slack / error))
    return Equivalence(interval, margin, p, interval.inside(-margin, margin))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's (1979) adjusted p-values, shape (n,), in the order given.

    Raises:
        InputError: a value outside [0, 1].
    """
    p = _vector(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"p-values run from {p.min()} to {p.max()}; they must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def hierarchical_bootstrap(
    differences_by_seed: ArrayLike | Sequence[ArrayLike],
    generator: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval for the mean over seeds of the mean over users; seeds are drawn, then users.

    An array of shape (seeds, users) says that a column is the same user under every seed: one draw of users then
    serves all seeds, so that what a user brings to every seed is not averaged away. A list of arrays (users_s,) says
    that users differ from seed to seed: each drawn seed draws its own. Seeds weigh the same. `n` counts seeds; for
    one seed the interval is infinite. Where seeds matter and are few it is too narrow (measured cover at 3, 5, 10 and
    20 seeds: 0.78, 0.87, 0.92, 0.94); `crossed_interval` is not.

    Raises:
        InputError: no seeds or users, or values that are not finite.
    """
    if isinstance(differences_by_seed, np.ndarray):
        matrix = _matrix(differences_by_seed, "differences")
        estimate, n = float(matrix.mean()), len(matrix)
        means = _crossed_means(matrix[None], generator, draws)[0] if n > 1 else None
    else:
        rows = [_vector(row, "differences of a seed") for row in differences_by_seed]  # type: ignore[union-attr]
        if not rows:
            raise InputError("differences of no seed; give at least one array of users")
        estimate, n = float(np.mean([row.mean() for row in rows])), len(rows)
        means = _nested_means(rows, generator, draws) if n > 1 else None
    if means is None:
        return Interval(estimate, -np.inf, np.inf, n, level)
    return Interval(estimate, *_percentiles(means, level), n, level)


def crossed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """t interval for the mean of `differences`, shape (seeds, users), over random seeds and random users.

    The same users stand under every seed. The variance of the mean is V_seeds + V_users − V_rest, from the mean
    squares of the two-way layout, with Satterthwaite's (1946) degrees of freedom; it holds at few seeds, where
    the bootstrap is too narrow, and where users vary more than seeds, where a t interval over seed means is
    (measured cover at 3 to 20 seeds: 0.92 to 0.99, against 0.78 and 0.34). `n` counts seeds; infinite for one seed
    or one user.

    Raises:
        InputError: no seeds or users, or values that are not finite.
    """
    x = _matrix(differences, "differences")
    mean, error, freedom = _crossed_error(x)
    if not np.isfinite(error):
        return Interval(mean, -np.inf, np.inf, len(x), level)
    half = _t_quantile(freedom, level) * error if error > 0 else 0.0
    return Interval(mean, mean - half, mean + half, len(x), level)


def crossed_p(differences: ArrayLike) -> float:
    """Two-sided p-value of no difference, shape (seeds, users), of the test that `crossed_interval` inverts.

    1 for one seed or one user, which say nothing. Raises InputError as `crossed_interval` does.
    """
    mean, error, freedom = _crossed_error(_matrix(differences, "differences"))
    if not np.isfinite(error) or mean == 0:
        return 1.0
    return float(2 * special.stdtr(freedom, -abs(mean) / error)) if error > 0 else 0.0


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
    """Interval for mean(a) / mean(b) − 1 over seeds and users crossed, both of shape (seeds, users).

    The delta method: the gain g varies like the mean of (a − (1 + g) b) / mean(b), whose interval is
    `crossed_interval`'s.

    Raises:
        InputError: different shapes, values that are not finite, or mean(b) not positive.
    """
    x, y = _matrix(a, "a"), _matrix(b, "b")
    if x.shape != y.shape:
        raise InputError(f"a has shape {x.shape} and b {y.shape}; pairs need the same shape")
    if y.mean() <= 0:
        raise InputError(f"mean of b is {y.mean()}; a relative gain needs a positive one")
    gain = float(x.mean() / y.mean() - 1)
    around = crossed_interval((x - (1 + gain) * y) / y.mean(), level)
    return Interval(gain, gain + around.low, gain + around.high, around.n, level)


def relative_gain(
    a: ArrayLike, b: ArrayLike, generator: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval for mean(a) / mean(b) − 1, both of shape (n,) or (seeds, users), resampled together.

    With one axis its entries are drawn and `n` counts them; with two, seeds and users as for an array in
    `hierarchical_bootstrap`, and one seed has an infinite interval. A draw in which mean(b) is 0 counts as +infinity.

    Raises:
        InputError: different shapes, values that are not finite, or mean(b) not positive.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape:
        raise InputError(f"a has shape {x.shape} and b {y.shape}; pairs need the same shape")
    by_seed = x.ndim == 2
    x, y = (_matrix(side if by_seed else _vector(side, "a and b")[None], "a and b") for side in (x, y))
    if y.mean() <= 0:
        raise InputError(f"mean of b is {y.mean()}; a relative gain needs a positive one")
    gain, n = float(x.mean() / y.mean() - 1), len(x) if by_seed else x.shape[1]
    if n == 1:
        return Interval(gain, -np.inf, np.inf, n, level)
    top, bottom = _crossed_means(np.stack([x, y]), generator, draws)
    gains = np.divide(top, bottom, out=np.full(draws, np.inf), where=bottom > 0) - 1
    return Interval(gain, *_percentiles(gains, level), n, level)


def slope_interval(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """t interval for the least-squares slope of y on x, both of shape (n,); infinite for n = 2.

    Raises:
        InputError: fewer than two points, different lengths, x constant, or values that are not finite.
    """
    x, y = _pair(x, y)
    centred = x - x.mean()
    spread = float(centred @ centred)
    if len(x) < 2 or spread == 0:
        raise InputError(f"x has {len(x)} values and spread {spread}; a slope needs two different ones")
    slope = float(centred @ y) / spread
    if len(x) == 2:
        return Interval(slope, -np.inf, np.inf, 2, level)
    residuals = y - y.mean() - slope * centred
    half = _t_quantile(len(x) - 2, level) * float(np.sqrt(residuals @ residuals / (len(x) - 2) / spread))
    return Interval(slope, slope - half, slope + half, len(x), level)


def spearman_interval(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """Spearman's rank correlation, shapes (n,), by Fisher's z with Bonett & Wright's (2000) error.

    At a correlation of ±1, where z is infinite, the inner bound is that of one adjacent swap. A constant side has
    no correlation: the estimate is 0 and the interval [−1, 1], as it is for n < 4.

    Raises:
        InputError: different lengths, or values that are not finite.
    """
    x, y = _pair(x, y)
    n, rank_x, rank_y = len(x), _centred_ranks(x), _centred_ranks(y)
    scale = float(np.sqrt((rank_x @ rank_x) * (rank_y @ rank_y)))
    correlation = float(np.clip(rank_x @ rank_y / scale, -1, 1)) if scale > 0 else 0.0
    if n < 4 or scale == 0:
        return Interval(correlation, -1.0, 1.0, n, level)
    swapped = 1 - 12 / (n * (n**2 - 1))
    z = np.arctanh(np.clip(correlation, -swapped, swapped))
    half = special.ndtri((1 + _checked(level)) / 2) * np.sqrt((1 + correlation**2 / 2) / (n - 3))
    low, high = float(np.tanh(z - half)), float(np.tanh(z + half))
    return Interval(correlation, min(low, correlation), max(high, correlation), n, level)


def _crossed_means(x_ksu: Floats, generator: np.random.Generator, draws: int) -> Floats:
    """Means (k, draws) of k matrices (seeds, users) under common draws of rows and, once for all rows, of columns."""
    k, seeds, users = x_ksu.shape
    means = np.empty((k, draws))
    for part in _chunks(draws, users + seeds):
        user_weights = _draw_counts(part.stop - part.start, users, generator)
        seed_weights = _draw_counts(part.stop - part.start, seeds, generator)
        means[:, part] = ((user_weights @ x_ksu.transpose(0, 2, 1)) * seed_weights).sum(axis=-1)
    means /= seeds * users
    return means


def _nested_means(rows: list[Floats], generator: np.random.Generator, draws: int) -> Floats:
    """Means (draws,) over drawn rows, each drawing its own entries anew."""
    chosen = generator.integers(len(rows), size=(draws, len(rows)))
    means = np.empty(chosen.shape)
    for index, row in enumerate(rows):
        slots = np.flatnonzero(chosen == index)
        for part in _chunks(len(slots), len(row)):
            picks = generator.integers(len(row), size=(part.stop - part.start, len(row)))
            means.flat[slots[part]] = row[picks].mean(axis=1)
    return np.asarray(means.mean(axis=1))


def _draw_counts(draws: int, n: int, generator: np.random.Generator) -> Floats:
    """How often each of n units is drawn in n draws with replacement, shape (draws, n)."""
    picks = generator.integers(n, size=(draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(picks.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def _chunks(draws: int, entries: int) -> Iterator[slice]:
    step = max(1, CHUNK_ENTRIES // entries)
    return (slice(start, min(start + step, draws)) for start in range(0, draws, step))


def _percentiles(means: Floats, level: float) -> tuple[float, float]:
    tail = (1 - _checked(level)) / 2
    low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")  # no mean of two, so infinity is safe
    return float(low), float(high)


def _centred_ranks(x: Floats) -> Floats:
    """Ranks less their mean, ties sharing their average rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse] - (len(x) + 1) / 2)


def _standard_error(x: Floats) -> float:
    return 0.0 if np.all(x == x[0]) else float(x.std(ddof=1) / np.sqrt(len(x)))


def _t_quantile(df: float, level: float) -> float:
    return float(special.stdtrit(df, (1 + _checked(level)) / 2))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    return level


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    x, y = _vector(a, "the first side"), _vector(b, "the second side")
    if len(x) != len(y):
        raise InputError(f"{len(x)} values against {len(y)}; pairs need the same number")
    return x, y


def _vector(values: ArrayLike, what: str) -> Floats:
    return _finite(values, what, 1)


def _matrix(values: ArrayLike, what: str) -> Floats:
    return _finite(values, what, 2)


def _finite(values: ArrayLike, what: str, axes: int) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != axes or x.size == 0:
        raise InputError(f"{what}: shape {x.shape}; give {axes} axis(es), none of them empty")
    if not np.isfinite(x).all():
        raise InputError(f"{what}: {int((~np.isfinite(x)).sum())} of {x.size} values are NaN or infinite")
    return x


Value: TypeAlias = "str | int | float | Interval | None"
