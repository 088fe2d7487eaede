"""An estimate with its confidence bounds, for a mean and for a share; nothing here returns NaN.

SciPy gives the quantiles. They come from `scipy.special` because `scipy.stats`, whose numbers are the same, takes a
second to import; `binomtest(...).proportion_ci` solves for the Clopper-Pearson bounds to nine digits only.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from causalrec.errors import InputError

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence bounds.

    Args:
        estimate: The estimate, in the unit of what was measured.
        low: Lower bound, in the same unit; may be -infinity.
        high: Upper bound, in the same unit; may be +infinity.
        n: Number of independent units behind it.
        level: Confidence level, between 0 and 1.
        freedom: Degrees of freedom of a t interval where they are not n - 1. Default None: they are, or it is no such
            interval.
    """

    estimate: float
    low: float
    high: float
    n: int
    level: float = 0.95
    freedom: float | None = None

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval.

        Args:
            value: The value, in the unit of the estimate.
        """
        return value < self.low or value > self.high

    def above(self, value: float) -> bool:
        """Whether the whole interval lies above a value.

        Args:
            value: The value, in the unit of the estimate.
        """
        return self.low > value

    def below(self, value: float) -> bool:
        """Whether the whole interval lies below a value.

        Args:
            value: The value, in the unit of the estimate.
        """
        return self.high < value

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between two values.

        Args:
            low: The lower value, in the unit of the estimate.
            high: The upper value, in the same unit.
        """
        return low < self.low and self.high < high

    def within(self, low: float, high: float) -> "Interval":
        """Cut the bounds to the values that the quantity can take.

        Args:
            low: Least possible value, such as 0 for a share.
            high: Greatest possible value, such as 1 for a share.
        """
        return replace(self, low=max(self.low, low), high=min(self.high, high))

    def less(self, value: float) -> "Interval":
        """Return the interval of the difference to a value.

        Args:
            value: What is taken off, in the unit of the estimate.
        """
        return replace(self, estimate=self.estimate - value, low=self.low - value, high=self.high - value)

    def scaled(self, by: float) -> "Interval":
        """Return the interval in another unit.

        Args:
            by: How many of the other unit make one of this, > 0; 100 turns a share into per cent.
        """
        return replace(self, estimate=by * self.estimate, low=by * self.low, high=by * self.high)

    def document(self) -> dict[str, float | None]:
        """As JSON data: a bound that is not finite is None, and degrees of freedom are told where `n` does not."""
        told = {name: value if value is not None and np.isfinite(value) else None for name, value in vars(self).items()}
        return told if self.freedom is not None else {n: value for n, value in told.items() if n != "freedom"}

    @property
    def turned(self) -> "Interval":
        """The interval of the same quantity with its sign turned."""
        return replace(self, estimate=-self.estimate, low=-self.high, high=-self.low)

    @property
    def half_width(self) -> float:
        """Half of high − low."""
        return (self.high - self.low) / 2

    @property
    def student(self) -> tuple[float, float]:
        """Standard error and degrees of freedom of a bounded t interval of two units or more."""
        freedom = self.n - 1.0 if self.freedom is None else self.freedom
        return self.half_width / _t_quantile(freedom, self.level), freedom

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return bool(np.isfinite(self.half_width))


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval for the mean.

    Args:
        values: Independent values, shape (n,).
        level: Confidence level.

    Returns:
        The interval; infinite for n = 1.

    Raises:
        InputError: No values, NaN or infinity among them, or more than one axis.
    """
    x = finite_values(values, "values", axes=1)
    return t_around(float(x.mean()), _standard_error(x), len(x) - 1, len(x), level)


def share_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """`t_interval` of values that lie in 0 to 1, cut to that range.

    Args:
        values: Independent values from 0 to 1, shape (n,).
        level: Confidence level.

    Raises:
        InputError: As for `t_interval`.
    """
    return t_interval(values, level).within(0.0, 1.0)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact binomial interval (Clopper & Pearson 1934), which covers at least its level.

    Args:
        successes: Number of successes, 0 to `trials`.
        trials: Number of trials, at least 1.
        level: Confidence level.

    Raises:
        InputError: `trials` < 1 or `successes` outside 0..`trials`.
    """
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"{successes} successes of {trials} trials; give 0 <= successes <= trials, trials >= 1")
    tail = (1 - checked_level(level)) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(special.betaincinv(successes + 1, trials - successes, 1 - tail))
    return Interval(successes / trials, low, high, trials, level)


def _standard_error(x: Floats) -> float:
    """The standard error of the mean: infinite for one value, exactly 0 for equal ones, however their mean rounds."""
    if len(x) == 1:
        return np.inf
    return 0.0 if np.all(x == x[0]) else float(x.std(ddof=1) / np.sqrt(len(x)))


def t_around(estimate: float, error: float, freedom: float, n: int, level: float) -> Interval:
    """The t interval from a standard error.

    Args:
        estimate: Of the mean.
        error: Its standard error, which may be 0 or infinite.
        freedom: Degrees of freedom.
        n: Number of independent units behind it.
        level: Confidence level.
    """
    half = _t_quantile(freedom, level) * error if 0 < error < np.inf else error
    return Interval(estimate, estimate - half, estimate + half, n, level)


def _t_quantile(freedom: float, level: float) -> float:
    return float(special.stdtrit(freedom, (1 + checked_level(level)) / 2))


def checked_level(level: float) -> float:
    """Return a confidence level.

    Args:
        level: Between 0 and 1.

    Raises:
        InputError: It is not.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    return level


def finite_values(values: ArrayLike, what: str, axes: int) -> Floats:
    """Return values in float64.

    Args:
        values: Finite, at least one.
        what: What an error calls them.
        axes: How many axes they should have.

    Raises:
        InputError: They have other axes, are empty or not all finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != axes or x.size == 0:
        raise InputError(f"{what}: shape {x.shape}; give {axes} axis(es), none of them empty")
    if not np.isfinite(x).all():
        raise InputError(f"{what}: {int((~np.isfinite(x)).sum())} of {x.size} values are NaN or infinite")
    return x
