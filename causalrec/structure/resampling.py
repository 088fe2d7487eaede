"""Edges with confidence: how often a learner finds each edge on resamples of the rows, and how often that is right.

Bootstrap: Friedman, Goldszmidt & Wyner (1999). Halves: stability selection, Meinshausen & Bühlmann (2010), in the
complementary pairs of Shah & Samworth (2013).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from causalrec.errors import InputError, one_line, short
from causalrec.structure import Floats, Integers, Learner, Problems, threshold, threshold_to_dag
from causalrec.structure.registry import LEARNERS
from causalrec.structure.sparse import refit_along

Kind = Literal["bootstrap", "halves"]
KINDS: tuple[str, ...] = get_args(Kind)
MOST, MOST_WORLDS = 100_000, 1000
CHUNK = 2**26  # bytes of the covariances and rows of the resamples that a learner gets at once


@dataclass(frozen=True, eq=False)
class EdgeConfidence:
    """How sure each edge is.

    Args:
        probability: (n, n) float64, [i, j] of the edge j → i; `frequency`, or what it is calibrated to. [i, j] + [j, i]
            is at most 1.
        frequency: (n, n) float64, [i, j] the share of resamples in which the learner found j → i. An edge without a
            direction, from learners of equivalence classes, counts one half to each.
        resamples: how many were drawn.
        failed: how many of them the learner failed on, or held a constant column; they are in no frequency.
        failure: what the first of them failed with; "" if none did.
        kind: how they were drawn.
        worlds: how many worlds it was calibrated on, 0 if it is the plain frequency.
    """

    probability: Floats
    frequency: Floats
    resamples: int
    failed: int
    failure: str
    kind: str
    worlds: int

    @property
    def adjacency(self) -> Floats:
        """(n, n), symmetric: the probability of an edge between two variables, in whatever direction."""
        return self.probability + self.probability.T

    @property
    def direction(self) -> Floats:
        """(n, n): the probability of j → i given an edge between the two; NaN where none was found."""
        either = self.adjacency
        return np.divide(self.probability, either, where=either > 0, out=np.full_like(either, np.nan))

    @property
    def standard_error(self) -> Floats:
        """(n, n): of the frequency f, √(f (1 − f) / resamples that did not fail); what more resamples would lower."""
        return np.sqrt(self.frequency * (1 - self.frequency) / (self.resamples - self.failed))


def edge_confidence(
    problems: Problems,
    learner: Learner,
    generator: np.random.Generator,
    *,
    resamples: int = 100,
    kind: str = "bootstrap",
    tau: float = 0.3,
    calibrate: int = 0,
) -> EdgeConfidence:
    """Return how often a learner finds each edge on resamples of the rows.

    Every W is cut as by `threshold_to_dag`. Our learners get the covariances alone, others the rows too. Frequencies
    are no probabilities: on few rows weak edges are found often and are mostly wrong. `calibrate` simulates worlds like
    the one found (its edges refitted along their order by the BIC, residuals permuted), does the same with each, and
    maps frequencies to the share of true edges there, by isotonic regression. It needs no truth, and is no better than
    the learner: where variances mislead it on the data, they may in those worlds as well.

    Args:
        problems: one problem with rows.
        learner: any.
        generator: source of all randomness.
        resamples: B, 1 to 100,000; even for halves. Default 100.
        kind: `bootstrap` (default), as many rows with replacement; `halves`, two halves of the rows without it, again
            and again.
        tau: least |weight| of an edge. Default 0.3.
        calibrate: worlds simulated to calibrate on, at most 1,000; each costs as much again. Default 0, none.

    Raises:
        InputError: no rows or too few, more than one problem, an option out of range, or all resamples fail.
    """
    check(resamples, kind, calibrate)
    if problems.rows is None or len(problems.rows) != 1:
        raise InputError("resampling takes one problem with its rows; give samples and no covariance")
    X = problems.rows[0]
    if kind == "halves" and len(X) < 4:
        raise InputError(f"halves of {len(X)} rows are too few; give 4 rows or more, or draw them by bootstrap")
    of_rows, of_worlds = generator.spawn(2)
    frequency, errors = _frequencies(X, learner, of_rows, resamples, kind, tau)
    if len(errors) == resamples:
        raise InputError(f"all {resamples} resamples failed, the first with: {errors[0]}")
    probability = frequency
    if calibrate:
        W = found_world(problems, frequency, tau)
        probability = _calibrated(frequency, X, W, learner, of_worlds, (resamples, kind, tau), calibrate)
    return EdgeConfidence(probability, frequency, resamples, len(errors), "".join(errors[:1]), kind, calibrate)


def check(resamples: int, kind: str, calibrate: int) -> None:
    """Raise InputError for options of `edge_confidence` out of range.

    Args:
        resamples: as there.
        kind: as there.
        calibrate: as there.
    """
    if not 1 <= resamples <= MOST:
        raise InputError(f"{resamples} resamples are asked for; give 1 to {MOST}")
    if kind not in KINDS:
        raise InputError(f"resamples are drawn by {short(kind)}; choose {' or '.join(KINDS)}")
    if kind == "halves" and resamples % 2:
        raise InputError(f"halves come in pairs, and {resamples} resamples are asked for; give an even number")
    if not 0 <= calibrate <= MOST_WORLDS:
        raise InputError(f"{calibrate} worlds to calibrate on are asked for; give 0 to {MOST_WORLDS}")


def draw_counts(samples: int, resamples: int, kind: str, generator: np.random.Generator) -> Iterator[Integers]:
    """Yield how often each row is in a resample, (samples,) int64, one resample after the other.

    Args:
        samples: number of rows s.
        resamples: how many; even for halves.
        kind: as in `edge_confidence`; a half has s // 2 rows.
        generator: source of all randomness.
    """
    if kind == "bootstrap":
        for _ in range(resamples):
            yield np.bincount(generator.integers(samples, size=samples), minlength=samples)
        return
    half = samples // 2
    for _ in range(resamples // 2):
        shuffled = generator.permutation(samples)
        for rows in (shuffled[:half], shuffled[half : 2 * half]):
            yield np.bincount(rows, minlength=samples)


def weighted_covariance(X: Floats, counts: Integers) -> Floats:
    """Return the covariance (n, n) about the mean, divided by their number, of rows that occur several times.

    Args:
        X: rows (s, n), best about their mean.
        counts: how often each occurs, (s,), not all 0.
    """
    total = counts.sum()
    root = np.sqrt(counts)[:, None] * X
    mean = counts @ X / total
    return np.asarray(root.T @ root / total - np.outer(mean, mean))


def _frequencies(
    X: Floats, learner: Learner, generator: np.random.Generator, resamples: int, kind: str, tau: float
) -> tuple[Floats, list[str]]:
    """The share of resamples that did not fail with each edge, (n, n), and what the others failed with."""
    X = X - X.mean(0)
    needs_rows = not isinstance(learner, tuple(LEARNERS.values()))
    n, size = X.shape[1], len(X) if kind == "bootstrap" else len(X) // 2
    of_rows, of_learner = generator.spawn(2)
    at_once = max(1, CHUNK // (8 * n * (n + needs_rows * size)))
    total, errors = np.zeros((n, n)), list[str]()
    covariances, rows = list[Floats](), list[Floats]()
    for number, counts in enumerate(draw_counts(len(X), resamples, kind, of_rows), 1):
        present = X[counts > 0]
        if (constant := (present == present[0]).all(0)).any():
            errors.append(f"column {constant.argmax()} has one constant value in the resample")
        else:
            covariances.append(weighted_covariance(X, counts))
            rows += [np.repeat(X, counts, axis=0)] if needs_rows else []
        if covariances and (len(covariances) == at_once or number == resamples):
            problems = Problems(np.stack(covariances), size, rows=np.stack(rows) if needs_rows else None)
            found, failed = _edges(learner, problems, of_learner, tau)
            total += found
            errors += failed
            covariances, rows = [], []
    return total / max(1, resamples - len(errors)), errors


def _edges(
    learner: Learner, problems: Problems, generator: np.random.Generator, tau: float
) -> tuple[Floats, list[str]]:
    """How many of the problems have each edge, (n, n), and what the learner failed with on the others."""
    n = problems.covariance.shape[1]
    try:
        with np.errstate(all="ignore"):  # what is not finite counts as failed
            fits = learner.fit(problems, generator)
    except (ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        if len(problems.covariance) == 1:
            return np.zeros((n, n)), [one_line(error)]
        S, rows = problems.covariance, problems.rows
        alone = [
            _edges(learner, Problems(S[k : k + 1], problems.samples, None, None if rows is None else rows[k : k + 1]),
                   generator, tau)
            for k in range(len(S))
        ]  # fmt: skip
        return sum((found for found, _ in alone), np.zeros((n, n))), [text for _, failed in alone for text in failed]
    errors = list(fits.errors or [""] * len(fits.W))
    finite = np.asarray(np.isfinite(fits.W).all((1, 2)))
    errors = [error or ("" if fine else "W is not finite") for error, fine in zip(errors, finite, strict=True)]
    right = np.array([not error for error in errors])
    if fits.cpdag is None:
        found = (threshold_to_dag(fits.W[right], tau)[0] != 0).astype(np.float64)
    else:
        found = np.where(fits.cpdag & fits.cpdag.mT, 0.5, fits.cpdag)[right]
    return found.sum(0), [error for error in errors if error]


def found_world(problems: Problems, frequency: Floats, tau: float) -> Floats:
    """Return W (n, n) of a world like the one found: what a sparse refit keeps along the order of the frequent edges.

    Args:
        problems: the one problem.
        frequency: (n, n) of each edge; pairs that half of the resamples join are taken, in their more frequent
            direction, and cycles cut where they are least frequent.
        tau: least |weight| kept.
    """
    frequent = np.where((frequency + frequency.T >= 0.5) & (frequency >= frequency.T), frequency, 0.0)
    dag, _ = threshold_to_dag(frequent, 0.0)
    order = list(TopologicalSorter({i: np.flatnonzero(causes).tolist() for i, causes in enumerate(dag)}).static_order())
    return threshold(refit_along(problems, np.array([order]), "lasso_bic")[0], tau)


def _calibrated(
    frequency: Floats, X: Floats, W: Floats, learner: Learner, generator: np.random.Generator,
    how: tuple[int, str, float], worlds: int,
) -> Floats:  # fmt: skip
    """The probabilities of frequencies, from as many worlds as W with rows like X; no edge found stays at 0."""
    residuals = (X - X.mean(0)) @ (np.eye(len(W)) - W).T
    seen, true, error = list[Floats](), list[NDArray[np.bool_]](), ""
    for of_noise in generator.spawn(worlds):
        noise = of_noise.permuted(residuals, axis=0)
        rows = np.linalg.solve(np.eye(len(W)) - W, noise.T).T
        found, errors = _frequencies(rows, learner, of_noise, *how)
        if len(errors) == how[0]:
            error = errors[0]
            continue
        seen.append(found[found > 0])
        true.append(W[found > 0] != 0)
    if not seen:
        raise InputError(f"the learner failed on every world to calibrate on, first with: {error}; do not calibrate")
    at, share = monotone(np.concatenate(seen), np.concatenate(true))
    mapped = np.where(frequency > 0, np.interp(frequency, at, share), 0.0) if len(at) else frequency
    return mapped / np.maximum(mapped + mapped.T, 1.0)


def monotone(score: Floats, true: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the values of a score, rising, and by isotonic regression the share that is true at each.

    As in Platt's (1999) scaling, with k true and l false ones a true one counts (k + 1) / (k + 2) and a false one
    1 / (l + 2), so that no share is 0 or 1.

    Args:
        score: (k + l,).
        true: (k + l,).
    """
    at, place = np.unique(score, return_inverse=True)
    if not len(at):
        return at, at
    edges, others = int(true.sum()), int((~true).sum())
    value = np.where(true, (edges + 1) / (edges + 2), 1 / (others + 2))
    counts = np.bincount(place).astype(np.float64)
    return at, np.asarray(isotonic_regression(np.bincount(place, value) / counts, weights=counts).x)
