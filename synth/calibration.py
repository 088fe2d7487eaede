"""Whether probabilities of edges hold: of those near p, the share p should be true."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.errors import InputError

BINS = 10  # of equal width on [0, 1]


def bin_pairs(probability: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Return (3, BINS) float64: per bin how many there are, the sum of their probabilities, how many are true.

    Args:
        probability: (k,), each in [0, 1]; a value between two bins is in the upper one.
        true: bool (k,).

    Raises:
        InputError: different lengths, or a value outside [0, 1].
    """
    p, t = np.asarray(probability, dtype=np.float64), np.asarray(true, dtype=bool)
    if p.ndim != 1 or p.shape != t.shape or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"probabilities of shape {p.shape}, truth {t.shape}; expected (k,) in [0, 1] and as many.")
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(place, weights, BINS) for weights in (np.ones(len(p)), p, t)])


def calibration_error(binned: ArrayLike) -> float:
    """Return the expected calibration error: mean over pairs of |mean probability − share true| of their bin.

    Args:
        binned: (3, BINS) as `bin_pairs` returns it, also summed over several worlds. NaN without a pair.
    """
    count, total, hits = np.asarray(binned, dtype=np.float64)
    return float(np.abs(total - hits).sum() / count.sum()) if count.sum() else np.nan
