"""What a graph's own data say of it: the variances of its residuals, how far they keep its order, what units decided.

A variable is regressed on its causes in the graph, by least squares. Where the graph is right the residuals are the
noises, which are independent, so those of different variables are compared as independent groups although they come
from the same rows.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.stats import chi2, studentized_range

from causalrec.structure import Floats, Problems
from causalrec.structure.doubts import correlations

GAUSSIAN = 3.0  # its kurtosis
FLATTEST = 1.5  # kurtosis under which no test relies on it; that of two values is 1, which no variance would vary with
SINGULAR = "none: a variable is determined by its causes"


@dataclass(frozen=True)
class Spread:
    """How far residual variances differ.

    Args:
        ratio: Largest over smallest.
        low: Lower end of its interval, at least 1; None for an exact covariance, as all below.
        high: Upper end.
        p: Of the test that all are equal.
    """

    ratio: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def regress_on_causes(W: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Return least squares of each variable on its causes, (n, n), and what they leave of its variance, (n,).

    A variance that is left by rounding only is 0.

    Args:
        W: (n, n), a DAG; what is not 0 is an edge.
        covariance: (n, n).
    """
    n, scale, R = len(W), np.sqrt(covariance.diagonal()), correlations(covariance)
    B, left = np.zeros((n, n)), np.ones(n)
    for i in np.flatnonzero((W != 0).any(1)):
        causes = np.flatnonzero(W[i])
        B[i, causes] = np.linalg.lstsq(R[np.ix_(causes, causes)], R[causes, i])[0]
        left[i] = 1 - B[i, causes] @ R[causes, i]
    left[left <= 4 * n * np.finfo(np.float64).eps] = 0
    return B * scale[:, None] / scale, left * scale**2


def kurtosis(residuals: Floats) -> float:
    """Return the kurtosis of all residuals together, as if of one law, at most the largest of a variable's own.

    With few rows of heavy tails a variable's own kurtosis is too small, and that of all residuals together is not. But
    the latter grows where variances differ (Layard 1973), which is why it is bounded.

    Args:
        residuals: (samples, n), of mean 0.
    """
    square = (residuals**2).mean(0)
    own = ((residuals / np.sqrt(square)) ** 4).mean(0)
    share = square / square.max()
    return float(max(FLATTEST, min((own * share**2).mean() / share.mean() ** 2, own.max())))


def spread(variances: Floats, freedom: Floats, tails: float = GAUSSIAN, level: float = 0.95) -> Spread:
    """Compare residual variances: Bartlett's test, adjusted for kurtosis, and an interval for their largest ratio.

    The variance of a log variance is (kurtosis - 1) / freedom, 2 / freedom for Gaussian noise, so that Bartlett's
    statistic is multiplied by 2 / (kurtosis - 1) (Box 1953, Layard 1973). The interval covers the ratio of every pair
    at once (Tukey & Kramer, on log variances), and thereby that of the largest true one to the smallest.

    Args:
        variances: (n,), n at least 2, each above 0 and the sum of squares over its freedom.
        freedom: (n,), degrees of freedom, above 0.
        tails: Kurtosis of the residuals.
        level: Of the interval.
    """
    n, logs = len(variances), np.log(variances)
    total = freedom.sum()
    pooled = np.log((freedom * variances).sum() / total)
    correction = 1 + ((1 / freedom).sum() - 1 / total) / (3 * (n - 1))
    statistic = max(0.0, total * pooled - (freedom * logs).sum()) / correction * 2 / (tails - 1)
    error = (tails - 1) / freedom
    half = _range_quantile(level, n) * np.sqrt((error[:, None] + error) / 2)
    apart = logs[:, None] - logs
    np.fill_diagonal(half, 0)
    ratio, low, high = np.exp([np.ptp(logs), max(0.0, (apart - half).max()), (apart + half).max()])
    return Spread(float(ratio), float(low), float(high), float(chi2.sf(statistic, n - 1)))


@cache
def _range_quantile(level: float, groups: int) -> float:
    """The quantile of the range of standard normal values, kept because SciPy integrates it at every call."""
    return float(studentized_range.ppf(level, groups, np.inf))


def order_margin(B: Floats, variances: Floats, samples: int | None = None) -> tuple[float, float | None] | None:
    """Return by what factor an order by conditional variances finds a DAG in its own SCM, and in standard errors.

    The order is built from the first cause, as by `eqvar`. At each step a variable is *open* if all its causes are
    chosen, and then its variance given those chosen is that of its noise. The next is the open one of least noise
    variance v_k. A variable l that is not open may not come next: with A = (I - B)^-1 its variance given those chosen,
    a set with all its ancestors, is c_l = sum of A_lm^2 v_m over all m not chosen. The margin is the least c_l / v_k of
    all steps; at 1 or less the order is not one of this DAG. For x -> y of weight b and equal noises it is 1 + b^2.

    The log of a ratio of two variances of Gaussian samples with correlation r, on f degrees of freedom, has standard
    error 2 sqrt((1 - r^2) / f); the second value is the least log(c_l / v_k) in these, each with f = samples - 1 less
    the number chosen.

    Args:
        B: (n, n), effects of a DAG; [i, j] is that of j on i.
        variances: (n,) of the noises, above 0.
        samples: Rows of the data. Default None: an exact covariance, which has no standard error.

    Returns:
        The two, or None where there is no edge.
    """
    n = len(B)
    total, left = np.eye(n), np.ones(n, dtype=bool)
    while left.any():
        ready = left & ~((B != 0) @ left)
        total[ready] += B[ready] @ total
        left &= ~ready
    shares, left, waiting = total**2 * variances, ~left, (B != 0).sum(1)
    least, errors = np.inf, np.inf
    for chosen in range(n):
        is_open = left & (waiting == 0)
        blocked = left & ~is_open
        if not blocked.any():
            break
        k = int(np.where(is_open, variances, np.inf).argmin())
        conditional = (shares @ left)[blocked]
        ratio = conditional / variances[k]
        least = min(least, float(ratio.min()))
        if samples is not None:
            freedom = max(0, samples - 1 - chosen)
            unshared = 1 - shares[blocked, k] / conditional
            errors = min(errors, float((np.log(ratio) * np.sqrt(freedom / unshared) / 2).min()))
        left[k] = False
        waiting -= B[:, k] != 0
    return None if np.isinf(least) else (least, None if samples is None else errors)


def standardised(problems: Problems) -> Problems:
    """Return the problems with all variables at mean 0 and variance 1.

    Args:
        problems: m problems.
    """
    S, X = problems.covariance, problems.rows
    scale = np.sqrt(S.diagonal(axis1=1, axis2=2))
    rows = None if X is None else (X - X.mean(1, keepdims=True)) / scale[:, None]
    return replace(problems, covariance=S / scale[:, :, None] / scale[:, None], rows=rows)


def in_both(one: Floats, other: Floats) -> float | None:
    """Return the share of the edges of two graphs that are in both, with their directions; None without any edge.

    Args:
        one: (n, n); what is not 0 is an edge.
        other: (n, n).
    """
    either = ((one != 0) | (other != 0)).sum()
    return float(((one != 0) & (other != 0)).sum() / either) if either else None


@np.errstate(all="ignore")  # ratios of units may leave float64; what is then infinite or NaN is shown as such
def evidence(W: Floats, problems: Problems) -> dict[str, str | float | None]:
    """Return what the data say of a graph, by the names of `causalrec.graph.Graph.told`.

    Args:
        W: (n, n), a DAG.
        problems: The one problem that it was learned from.
    """
    names = (
        "ratio of residual variances", "ratio at least (95 %)", "ratio at most (95 %)", "p of equal residual variances",
        "margin of the order", "margin in standard errors",
    )  # fmt: skip
    B, variances = regress_on_causes(W, problems.covariance[0])
    samples, causes = problems.samples, (W != 0).sum(1)
    if not (variances > 0).all() or (samples is not None and samples < causes.max() + 2):
        return dict.fromkeys(names, SINGULAR)
    if samples is None or len(W) == 1:
        found = Spread(float(variances.max() / variances.min()))
    else:
        tails, freedom = GAUSSIAN, samples - 1.0 - causes
        if problems.rows is not None:
            X = problems.rows[0] - problems.rows[0].mean(0)
            tails = kurtosis(X - X @ B.T)
        found = spread(variances * samples / freedom, freedom, tails)
    margin, errors = order_margin(B, variances, samples) or (None, None)
    return dict(zip(names, (found.ratio, found.low, found.high, found.p, margin, errors), strict=True))
