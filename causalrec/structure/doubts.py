"""What to doubt about samples or a covariance before a graph is learned from them: one warning each."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular

from causalrec.errors import short

Floats: TypeAlias = NDArray[np.float64]

SAME_VARIANCE = 1e-3  # relative spread of the variances under which no order can be read off them
VARIANCE_SPREAD = 1e4  # ratio of variances beyond which units are likely to differ
NEAR_ONE = (0.1, 100.0)  # where variances are not far from the 1 that a learner's sparsity is set for
NEARLY_ONE = 0.999  # correlation of columns that are nearly copies
ROWS_PER_VARIABLE = 10
DEPENDENT = 1e-8  # share of a variance that others leave unexplained, under which golem's ridge would hide it
COEFFICIENT = 1e-3  # least coefficient, of columns of variance 1, by which a column belongs to what depends
SORTED_ROWS = 10  # rows from which whole numbers that only rise, or only fall, are no chance
SHOWN = 5  # warnings of one kind
NAMES_SHOWN = 8
LARGEST_SET = 6  # columns in a set that depends, where there are few samples


def counting(values: Floats, names: Sequence[str]) -> list[str]:
    """Warn of each column whose steps are all the same, and of a first one that rises or falls like a date.

    Args:
        values: Samples (rows, columns).
        names: Of the columns.
    """
    found = []
    for index, (name, column) in enumerate(zip(names, values.T, strict=True)):
        step, close = np.diff(column), 1e-6 * abs(column[1] - column[0]) + 1e-15 * np.abs(column).max()
        if len(step) < 2 or not ((step > 0).all() or (step < 0).all()):
            continue
        if (np.abs(step - step[0]) <= close).all():
            what = "counts the rows" if step[0] == 1 else f"changes by {step[0]:.6g} from row to row"
        elif index == 0 and len(column) >= SORTED_ROWS and (column == np.round(column)).all():
            what = f"holds whole numbers that {'rise' if step[0] > 0 else 'fall'} from row to row"
        else:
            continue
        found.append(f"column {short(name)} {what}; if it is an index or a time and no variable, delete the column")
    return found


def correlations(S: Floats) -> Floats:
    """Return the correlations (n, n).

    Args:
        S: Covariance (n, n) without a variance of 0.
    """
    scale = np.sqrt(S.diagonal())
    R: Floats = S / scale[:, None] / scale
    return R


def _dependent(S: Floats, samples: int | None) -> list[tuple[int, ...]]:
    """Sets of columns that determine each other, none with a part that does so by itself.

    Pivoted Cholesky ends where the variables chosen explain all others; what explains one of these is its set. Where
    there are no more samples than variables, sets that any numbers would form are left out, and small ones sought by
    another way: those chosen may not be of them.
    """
    R = correlations(S)
    factor, order, rank, _ = lapack.dpstrf(R, tol=DEPENDENT)
    chosen, rest = order[:rank] - 1, order[rank:] - 1
    if not len(rest):
        return []
    weights = solve_triangular(factor[:rank, :rank], factor[:rank, rank:])
    sets = [[*chosen[np.abs(w) > COEFFICIENT], j] for j, w in zip(rest, weights.T, strict=True)]
    if samples is not None and samples <= len(S):
        most = min(LARGEST_SET, rank - 1)
        sets = [found for found in sets if len(found) <= most]
        sets += [found for j in range(len(R)) if (found := _explained(R, j, most))]
    return sorted({tuple(sorted(map(int, found))) for found in sets})


def _explained(R: Floats, j: int, most: int) -> list[int]:
    """Fewer than `most` columns that explain column j, and j; none if there are no such that a greedy search finds."""
    chosen: list[int] = []
    left = R[j].copy()
    while len(chosen) < most - 1:
        left[[j, *chosen]] = 0
        chosen.append(int(np.abs(left).argmax()))
        weights = np.linalg.lstsq(R[np.ix_(chosen, chosen)], R[chosen, j])[0]
        left = R[j] - weights @ R[chosen]
        if left[j] <= DEPENDENT:
            return [*np.array(chosen)[np.abs(weights) > COEFFICIENT], j]
    return []


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    shown = [short(name) for name in names[:NAMES_SHOWN]]
    return ", ".join(shown) + more if more else f"{', '.join(shown[:-1])} and {shown[-1]}"


def doubts(S: Floats, names: Sequence[str], samples: int | None) -> list[str]:
    """Tell what makes a graph from data of this covariance doubtful, before any is learned.

    Args:
        S: Covariance (n, n).
        names: Of the variables.
        samples: Behind it. None is an exact covariance.
    """
    variance, n, found = S.diagonal(), len(S), []
    low, high = int(variance.argmin()), int(variance.argmax())
    if n > 1 and variance[high] <= (1 + SAME_VARIANCE) * variance[low]:
        found.append(
            f"all variances are equal ({variance.mean():.4g}), the data look standardised: equal-variance learners "
            "have no order to go by, and W is in standard deviations; give the data in their own units"
        )
    if variance[high] > VARIANCE_SPREAD * variance[low]:
        found.append(
            f"the variance of {short(names[high])} is {variance[high] / variance[low]:.2g} times that of "
            f"{short(names[low])}: units may differ; an order read off variances, and one threshold for all weights, "
            "then mean little"
        )
    if variance[high] < NEAR_ONE[0] or variance[low] > NEAR_ONE[1]:
        found.append(
            f"variances lie between {variance[low]:.2g} and {variance[high]:.2g}, far from 1: a sparsity, as of "
            "notears, is in units of the noise variance; divide all columns by one number, or match the option sparsity"
        )
    if samples is not None and samples <= n:
        than = "fewer" if samples < n else "no more"
        found.append(f"{than} samples ({samples}) than variables ({n}): the covariance is singular")
    elif samples is not None and samples < ROWS_PER_VARIABLE * n:
        found.append(f"few samples ({samples}) for {n} variables; {ROWS_PER_VARIABLE} per variable are a minimum")
    sets = _dependent(S, samples)
    found += [
        f"columns {_listed([names[i] for i in one])} depend on each other exactly, any of them on the rest: the "
        "covariance is singular, no method can tell which causes which, and the likelihoods of golem_nv and "
        "exact_unequal have no maximum; drop one"
        for one in sets[:SHOWN]
    ]
    R = correlations(S)
    near = [pair for pair in np.argwhere(np.triu(np.abs(R), 1) > NEARLY_ONE).tolist() if tuple(pair) not in sets]
    found += [
        f"columns {short(names[i])} and {short(names[j])} are nearly copies (correlation {R[i, j]:.5f})"
        for i, j in near[:SHOWN]
    ]
    if len(sets) > SHOWN:
        found.append(f"{len(sets) - SHOWN} more sets of columns depend on each other exactly")
    if len(near) > SHOWN:
        found.append(f"{len(near) - SHOWN} more pairs of columns are nearly copies")
    return found
