"""Ranks of held-out items and the metrics computed from them: HR@k, NDCG@k, MRR.

Ties are broken by the expected rank: an item that ties with e others behind g better ones has rank 1 + g + e/2, so
that constant scores rank an item in the middle of the catalogue and earn no hit. Scores that are not finite are
refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalrec.errors import InputError
from causalrec.interactions import Sequences, Targets

CHUNK = 512
LARGEST = 1 << 26
"""Most scores held at once: with more than 131,072 items, fewer than `CHUNK` users are scored at once."""

Scorer = Callable[[Sequences, slice], Tensor]
"""Scores (rows, items) of items 1..items for a slice of histories; column k is item k + 1."""


class NonFiniteScores(ArithmeticError):
    """A recommender returned NaN or an infinite score."""


@dataclass(frozen=True)
class Ranks:
    """Expected rank of each user's target, (users,) float64; 1 is best.

    Args:
        kept: over the full catalogue.
        filtered: over the catalogue without the user's history; infinity for a target that is in the history, since it
            cannot be recommended then.
        sampled: among the target and uniform negatives that the user has not seen; None (default) if not asked for.
    """

    kept: NDArray[np.float64]
    filtered: NDArray[np.float64]
    sampled: NDArray[np.float64] | None = None


def expected_rank(scores: Tensor, target: Tensor, excluded: Tensor | None = None) -> NDArray[np.float64]:
    """Return 1 + the number above + half the number tied, (rows,), over the columns that are not excluded.

    Args:
        scores: (rows, items).
        target: (rows,) column numbers.
        excluded: (rows, items) bool, or None (default); an excluded target has rank infinity.
    """
    # Summed signs count those above less those below; half of that and of all columns is above + tied / 2.
    sign = torch.sub(scores, scores.gather(1, target[:, None])).sign_()
    columns: Tensor | int = scores.shape[1]
    if excluded is not None:
        sign.masked_fill_(excluded, 0)
        columns = columns - excluded.sum(1)
    rank = 0.5 * (sign.sum(1, dtype=torch.float64) + columns + 1)
    if excluded is not None:
        rank = rank.masked_fill(excluded.gather(1, target[:, None])[:, 0], float("inf"))
    result: NDArray[np.float64] = rank.cpu().numpy()
    return result


def seen_items(history: Sequences, rows: slice, device: torch.device) -> Tensor:
    """Return bool (rows, items): which items each user's whole history holds.

    Args:
        history: histories of all users.
        rows: the users.
        device: where the result lives.
    """
    offsets = history.offsets[rows.start : rows.stop + 1]
    items = torch.from_numpy(history.items[offsets[0] : offsets[-1]] - 1).to(device)
    row = torch.from_numpy(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))).to(device)
    seen = torch.zeros(len(offsets) - 1, history.num_items, dtype=torch.bool, device=device)
    seen[row, items] = True
    return seen


def sampled_rank(
    scores: Tensor, target: Tensor, seen: Tensor, negatives: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the expected rank among the target and items drawn uniformly, without replacement, from the unseen.

    Args:
        scores: (rows, items).
        target: (rows,) column numbers.
        seen: (rows, items) bool, as `seen_items` returns it.
        negatives: number of items drawn per user.
        generator: source of randomness.

    Raises:
        InputError: a user has fewer unseen items than that.
    """
    blocked = seen.cpu().numpy().copy()
    blocked[np.arange(len(blocked)), target.cpu().numpy()] = True
    available = int((~blocked).sum(1).min())
    if not 1 <= negatives <= available:
        raise InputError(f"{negatives} negatives asked for; a user has {available} unseen items to draw from")
    keys = generator.random(blocked.shape)
    keys[blocked] = 2.0
    drawn = torch.from_numpy(np.argpartition(keys, negatives - 1, axis=1)[:, :negatives]).to(scores.device)
    own = scores.gather(1, target[:, None])
    candidates = torch.cat([own, scores.gather(1, drawn)], 1)
    return expected_rank(candidates, torch.zeros_like(target))


def rank_targets(
    score: Scorer,
    targets: Targets,
    *,
    chunk: int | None = None,
    negatives: int | None = None,
    generator: np.random.Generator | None = None,
) -> Ranks:
    """Rank every target, `chunk` users at a time; memory O(chunk * items).

    Args:
        score: the recommender.
        targets: histories and what followed them.
        chunk: users per call; None (default) is `CHUNK`, or fewer where that would exceed `LARGEST` scores.
        negatives: number of sampled negatives per user; None (default) for none.
        generator: source of the negatives; needed if there are any.

    Raises:
        InputError: no users, negatives without a generator, or too many of them.
        NonFiniteScores: a score is NaN or infinite.
    """
    users = len(targets.target)
    if users == 0:
        raise InputError("no user to rank; the split left no targets")
    if negatives is not None and generator is None:
        raise InputError("sampled negatives need a generator")
    if chunk is None:
        chunk = max(1, min(CHUNK, LARGEST // targets.history.num_items))
    history = targets.asked()
    kept, filtered, sampled = [], [], []
    for start in range(0, users, chunk):
        rows = slice(start, min(start + chunk, users))
        scores = score(history, rows)
        if not bool(torch.isfinite(torch.stack(torch.aminmax(scores))).all()):
            raise NonFiniteScores(f"scores of users {rows.start} to {rows.stop - 1} are not all finite")
        target = torch.from_numpy(targets.target[rows] - 1).to(scores.device)
        seen = seen_items(targets.history, rows, scores.device)
        kept.append(expected_rank(scores, target))
        filtered.append(expected_rank(scores, target, seen))
        if negatives is not None and generator is not None:
            sampled.append(sampled_rank(scores, target, seen, negatives, generator))
    return Ranks(np.concatenate(kept), np.concatenate(filtered), np.concatenate(sampled) if sampled else None)


def best_items(
    score: Scorer, history: Sequences, k: int = 10, *, filtered: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """List the items that come first after histories; of equal scores, the lower item first.

    Args:
        score: the recommender.
        history: what each user did.
        k: length of the list, default 10.
        filtered: leave out the items of the history.

    Returns:
        User (row of `history`), item (1..items) and score of each, by user and then best first; a user with fewer than
        k items to choose from has fewer.

    Raises:
        NonFiniteScores: a score is NaN or infinite.
    """
    chunk = max(1, min(CHUNK, LARGEST // history.num_items))
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start in range(0, len(history), chunk):
        rows = slice(start, min(start + chunk, len(history)))
        scores = score(history, rows).double().cpu()
        if not bool(scores.isfinite().all()):
            raise NonFiniteScores(f"scores of users {rows.start} to {rows.stop - 1} are not all finite")
        if filtered:
            scores = scores.masked_fill(seen_items(history, rows, scores.device), float("-inf"))
        best, place = torch.sort(scores, dim=1, descending=True, stable=True)
        best, place = best[:, :k], place[:, :k]
        row, column = np.nonzero(best.isfinite().numpy())
        found.append((row + start, place.numpy()[row, column] + 1, best.numpy()[row, column]))
    users, items, scored = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    )  # fmt: skip
    return users, items, scored


def hit_rate(ranks: NDArray[np.float64], k: int = 10) -> NDArray[np.float64]:
    """Return HR@k per user: 1 where the rank is at most k.

    Args:
        ranks: (users,).
        k: length of the list, default 10.
    """
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: NDArray[np.float64], k: int = 10) -> NDArray[np.float64]:
    """Return NDCG@k per user: 1 / log2(1 + rank) within the first k; there is one relevant item, so the ideal is 1.

    Args:
        ranks: (users,).
        k: length of the list, default 10.
    """
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def reciprocal_rank(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / rank per user, whose mean is the MRR.

    Args:
        ranks: (users,).
    """
    return 1.0 / ranks
