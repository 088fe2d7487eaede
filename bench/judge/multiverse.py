"""Many specifications of one comparison at once: simultaneous bands, and what the best of them gains at least.

A specification is a boosted model and its plain partner, trained on the same seeds. Two trained models differ by the
noise of their training even where the boost does nothing, and all users of a seed share that noise: relabelling users
alone would take it for a gain. `over_seeds` therefore relabels whole seeds; `over_users`, where each specification has
a seed of its own, relabels users and adds the noise of training, which `training_noise` measures on the plain models.

The largest of t statistics over all specifications is compared with the largest under joint relabelling (Westfall &
Young 1993), which keeps how specifications go together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.errors import InputError
from bench.judge.intervals import Interval

Floats: TypeAlias = NDArray[np.float64]
DRAWS = 2000
CHUNK = 2**22  # signs held at a time


@dataclass(frozen=True)
class Multiverse:
    """What is said of all specifications together. Gains are relative to the plain mean.

    Args:
        bands: the gain of each with its simultaneous band, in the order given.
        least: the largest gain is at least this, a one-sided confidence bound.
        most: the largest gain is at most this, a one-sided confidence bound. No multiplicity enters it: it is wrong
            only where the bound of the best specification is.
        p: of no specification gaining.
    """

    bands: tuple[Interval, ...]
    least: float
    most: float
    p: float


def over_seeds(
    boosted: ArrayLike, plain: ArrayLike, rng: np.random.Generator, draws: int = DRAWS, level: float = 0.95
) -> Multiverse:
    """Compare specifications that share their seeds, each of which has users of its own.

    Swapping boosted and plain on whole seeds has too few outcomes below six seeds. Rotating the seeds' differences
    (Langsrud 2005) is its continuous form: exact for normal noise at any number of seeds, and with one specification
    the t test. The variance in a statistic is the mean of the specification's own and that of all, since few seeds
    hardly tell one variance.

    Args:
        boosted: mean over users, shape (specifications, seeds); NaN where it did not run.
        plain: that of the partners, of the same shape.
        rng: draws the rotations.
        draws: how many.
        level: of the bands and bounds.

    Returns:
        What is said; bands are infinite where no specification has two seeds.

    Raises:
        InputError: other shapes, infinite values, a specification without a seed, or a plain mean that is not positive.
    """
    x, known = _relative(boosted, plain)
    seeds = known.sum(1)
    squares, total = (x**2).sum(1), x.sum(1)
    if (seeds < 2).all():
        return _unknown(total / seeds, seeds, level)
    t, variance = _studentised((total / np.sqrt(seeds))[None], squares, seeds)
    g = rng.standard_normal((draws, x.shape[1]))
    length = np.sqrt(g**2 @ known.T)
    null, _ = _studentised((g @ x.T) / length, squares, seeds)
    centred = np.where(known, x - (total / seeds)[:, None], 0.0)  # so that gains do not pass for noise in common
    around, _ = _studentised((g @ centred.T) / length, (centred**2).sum(1), seeds)
    p = (1 + (null.max(1) >= t.max()).sum()) / (1 + draws)
    return _conclude(total / seeds, np.sqrt(variance[0] / seeds), around, float(p), seeds, level)


def over_users(
    boosted: ArrayLike,
    plain: ArrayLike,
    noise: float,
    rng: np.random.Generator,
    seeds: ArrayLike = 1,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Multiverse:
    """Compare specifications that share their users, with hardly a seed in common.

    Users' differences change sign for all specifications at once; the noise of training is drawn for each, normal and
    of one size.

    Args:
        boosted: by user, mean over the specification's seeds, shape (specifications, users).
        plain: that of the partners, of the same shape.
        noise: variance of a plain model's relative mean between seeds, as `training_noise` bounds it; a difference is
            taken to have twice as much. 0 leaves training out, so that what is said holds for these trained models
            and other users alone.
        rng: draws signs and noise.
        seeds: of each specification, shape (specifications,) or one number for all.
        draws: how many.
        level: of the bands and bounds.

    Raises:
        InputError: other shapes, values that are not finite, fewer than two users, or a plain mean that is not
            positive.
    """
    x, known = _relative(boosted, plain)
    if not known.all() or x.shape[1] < 2:
        raise InputError(f"differences of shape {x.shape}, {int((~known).sum())} of them NaN; give two users or more")
    gains, users = x.mean(1), x.shape[1]
    centred = x - gains[:, None]
    by_training = np.broadcast_to(2 * noise / np.asarray(seeds, dtype=np.float64), gains.shape)
    errors = np.sqrt(by_training + (centred**2).sum(1) / users / (users - 1))
    size = max(1, CHUNK // users)
    signs = (rng.integers(0, 2, (min(size, draws - k), users), dtype=np.int8) for k in range(0, draws, size))
    moved = np.concatenate([(2.0 * part - 1.0) @ centred.T for part in signs]) / np.sqrt(users * (users - 1))
    moved += np.sqrt(by_training) * rng.standard_normal(moved.shape)
    around = _ratio(moved, errors)
    p = (1 + (around.max(1) >= _ratio(gains, errors).max()).sum()) / (1 + draws)
    return _conclude(gains, errors, around, float(p), np.full(len(gains), users), level)


def training_noise(runs: Sequence[ArrayLike], level: float = 0.8) -> float | None:
    """Bound the variance between seeds of a model's relative mean, beyond that of its users.

    A bound from above, since a few repeats would often find no noise where there is some.

    Args:
        runs: by setting, the same model on several seeds, shape (seeds, users) each, with the same users; a setting
            with one seed says nothing.
        level: confidence level of the bound.

    Returns:
        The bound of the variance for one seed; None where no setting has two seeds.

    Raises:
        InputError: a mean that is not positive.
    """
    between, rest, freedom = 0.0, 0.0, 0
    for values in runs:
        x = np.asarray(values, dtype=np.float64)
        if x.mean() <= 0:
            raise InputError(f"a mean of {x.mean()}; noise relative to it needs a positive one")
        x = x / x.mean()
        by_seed, users = x.mean(1, keepdims=True), x.shape[1]
        between += float(((by_seed - 1) ** 2).sum())
        rest += float(((x - by_seed - x.mean(0) + 1) ** 2).sum()) / users / max(1, users - 1)
        freedom += len(x) - 1
    if freedom == 0:
        return None
    return max(0.0, between / float(special.chdtri(freedom, level)) - rest / freedom)


def _relative(boosted: ArrayLike, plain: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Differences over the plain mean by specification, 0 where unknown, and what is known."""
    ours, theirs = (np.asarray(side, dtype=np.float64) for side in (boosted, plain))
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise InputError(f"boosted has shape {ours.shape} and plain {theirs.shape}; give one shape of two axes")
    known = ~(np.isnan(ours) | np.isnan(theirs))
    if not known.any(1).all() or not np.isfinite(ours[known] - theirs[known]).all():
        raise InputError("a specification has no values, or infinite ones; leave it out")
    base = np.where(known, theirs, 0.0).sum(1) / known.sum(1)
    if (base <= 0).any():
        raise InputError(f"a plain mean is {base.min()}; a relative gain needs a positive one")
    return np.where(known, ours - theirs, 0.0) / base[:, None], known


def _studentised(along: Floats, squares: Floats, seeds: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """t (draws, specifications) from the component along one direction of the seeds, and the variance it divides by."""
    left = np.maximum(squares - along**2, 0.0)
    pooled = left.sum(1, keepdims=True) / (seeds - 1).sum()
    variance = (np.where(seeds > 1, left / np.maximum(1, seeds - 1), pooled) + pooled) / 2
    return _ratio(along, np.sqrt(variance)), variance


def _ratio(over: Floats, under: Floats) -> Floats:
    """The quotient; 0 where 0 is divided by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(over == 0, 0.0, over / under)


def _conclude(
    gains: Floats, errors: Floats, around: Floats, p: float, n: NDArray[np.int64], level: float
) -> Multiverse:
    """From gains, their standard errors, and t around the truth (draws, specifications), to what is said."""
    wide, one_sided = np.quantile(abs(around).max(1), level), np.quantile(around.max(1), level)
    alone = np.quantile(around, level, axis=0)
    bands = tuple(
        Interval(float(g), float(g - wide * e), float(g + wide * e), int(k), level)
        for g, e, k in zip(gains, errors, n, strict=True)
    )
    return Multiverse(bands, float((gains - one_sided * errors).max()), float((gains + alone * errors).max()), p)


def _unknown(gains: Floats, n: NDArray[np.int64], level: float) -> Multiverse:
    bands = tuple(Interval(float(g), -np.inf, np.inf, int(k), level) for g, k in zip(gains, n, strict=True))
    return Multiverse(bands, -np.inf, np.inf, 1.0)
