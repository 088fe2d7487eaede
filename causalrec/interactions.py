"""From interactions to sequences to splits: repeats, k-core, order, hold-out, leak checks. Reads no files.

Item 0 is padding everywhere; real items are 1..num_items.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from causalrec.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64 | np.float64]
"""Whole numbers are kept as int64 and never become floats before they are compared, so that they stay exact."""
Bools = npt.NDArray[np.bool_]


class LeakError(InputError):
    """A split shows a model, in training or in a history, what it is asked to predict."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who acted on what: one entry per action, in the order of the source.

    Args:
        users: (actions,) int64 codes into `user_labels`.
        items: (actions,) int64 codes into `item_labels`.
        times: (actions,) int64 or finite float64; None says that row order is time order.
        user_labels: distinct labels of users, some of which may be unused.
        item_labels: distinct labels of items, some of which may be unused.
        per_second: units of `times` in a second, default 1: times are in seconds.

    Raises:
        InputError: an array or label does not fit this.
    """

    users: Ints
    items: Ints
    times: Times | None
    user_labels: tuple[str, ...]
    item_labels: tuple[str, ...]
    per_second: int = 1

    def __post_init__(self) -> None:
        for what, codes, labels in (("users", self.users, self.user_labels), ("items", self.items, self.item_labels)):
            _require_vector(what, codes, np.int64, len(self.users))
            if codes.size and not 0 <= codes.min() <= codes.max() < len(labels):
                raise InputError(f"{what} must be codes in 0..{len(labels) - 1}, got {codes.min()}..{codes.max()}")
            if len(set(labels)) != len(labels):
                raise InputError(f"the labels of {what} must be distinct")
        if self.times is not None:
            _require_times("times", self.times, len(self.users))
            if not np.isfinite(self.times).all():
                raise InputError("times must be finite numbers; drop or repair the rows without one")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Ints | Bools) -> "Interactions":
        """Return the chosen rows, in the order given, with the same labels.

        Args:
            rows: row numbers (rows,) or a mask (actions,).
        """
        times = None if self.times is None else self.times[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], times=times)


@dataclass(frozen=True, eq=False)
class Sequences:
    """Each user's items in time order, rows laid end to end: row u is `items[offsets[u]:offsets[u + 1]]`.

    Args:
        items: (actions,) int64 in 1..num_items.
        offsets: (users + 1,) int64, rising from 0.
        times: (actions,) int64 or float64, not falling inside a row, or None.
        num_items: size of the catalogue.
        user_labels: one label per row.
        item_labels: one label per item; `item_labels[k - 1]` is that of item k.
        next_times: (users,) int64 or float64, when the item after each row is taken, which `Targets.asked` tells; None
            (default) elsewhere.
        per_second: units of `times` in a second, default 1: times are in seconds.

    Raises:
        InputError: an array or the number of labels does not fit this.
    """

    items: Ints
    offsets: Ints
    times: Times | None
    num_items: int
    user_labels: tuple[str, ...]
    item_labels: tuple[str, ...]
    next_times: Times | None = None
    per_second: int = 1

    def __post_init__(self) -> None:
        _require_vector("items", self.items, np.int64, len(self.items))
        _require_vector("offsets", self.offsets, np.int64, len(self.user_labels) + 1)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.items) or (np.diff(self.offsets) < 0).any():
            raise InputError(f"offsets must rise from 0 to the number of actions ({len(self.items)})")
        if len(self.item_labels) != self.num_items:
            raise InputError(f"expected {self.num_items} item labels, one per item, got {len(self.item_labels)}")
        if self.items.size and not 1 <= self.items.min() <= self.items.max() <= self.num_items:
            raise InputError(f"items must be in 1..{self.num_items}, got {self.items.min()}..{self.items.max()}")
        if self.times is not None:
            _require_times("times", self.times, len(self.items))
            falls = self.times[1:] < self.times[:-1]
            if not np.isfinite(self.times).all() or falls[self._same_row()].any():
                raise InputError("times must be finite and must not fall inside a user's row")
        if self.next_times is not None:
            _require_times("next_times", self.next_times, len(self))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, user: int) -> Ints:
        """Return the items of one user, oldest first: (length,) int64.

        Args:
            user: row number.
        """
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def lengths(self) -> Ints:
        """Return the number of actions per user: (users,) int64."""
        return np.diff(self.offsets)

    def take(self, users: Ints, lengths: Ints) -> "Sequences":
        """Return the first `lengths[i]` actions of each row `users[i]`, as sequences over the same items.

        Args:
            users: (n,) int64 row numbers.
            lengths: (n,) int64, at most the lengths of these rows.
        """
        picks = _spans(self.offsets[users], lengths)
        times = None if self.times is None else self.times[picks]
        labels = tuple(self.user_labels[user] for user in users)
        return replace(
            self, items=self.items[picks], offsets=_offsets(lengths), times=times, user_labels=labels, next_times=None
        )

    def statistics(self) -> dict[str, int | float | None]:
        """Return the size and shape of the data.

        density: distinct user-item pairs divided by users times items. repeats_share: share of actions on an item that
        the same user acted on before. ties_share: share of consecutive actions of one user with equal times (None
        without times).
        """
        lengths = self.lengths()
        actions = len(self.items)
        owner = np.repeat(np.arange(len(self)), lengths)
        pairs = len(np.unique(owner * (self.num_items + 1) + self.items))
        same_row = self._same_row()
        ties = None
        if self.times is not None:
            ties = float((self.times[1:] == self.times[:-1])[same_row].mean()) if same_row.any() else 0.0
        return {
            "users": len(self),
            "items": self.num_items,
            "actions": actions,
            "density": pairs / (len(self) * self.num_items) if actions else 0.0,
            "mean_length": float(lengths.mean()) if len(self) else 0.0,
            "median_length": float(np.median(lengths)) if len(self) else 0.0,
            "repeats_share": 1 - pairs / actions if actions else 0.0,
            "ties_share": ties,
        }

    def _same_row(self) -> Bools:
        """(actions - 1,): whether actions i and i + 1 belong to one user."""
        same = np.ones(max(len(self.items) - 1, 0), dtype=np.bool_)
        starts = self.offsets[1:-1]
        same[starts[(starts > 0) & (starts < len(self.items))] - 1] = False
        return same


@dataclass(frozen=True, eq=False)
class Targets:
    """What a model is asked: after `history.row(i)`, which item does user `users[i]` take next?

    Args:
        history: what each user did before, one row per question.
        target: (n,) int64 in 1..num_items.
        users: (n,) int64, rising: rows of the full sequences.
        times: (n,) int64 or float64, when the target was taken, or None.
    """

    history: Sequences
    target: Ints
    users: Ints
    times: Times | None

    def __len__(self) -> int:
        return len(self.target)

    def asked(self) -> Sequences:
        """Return the histories as a scorer gets them: with the times at which the targets are taken.

        A model that reads these times knows when its target happens, which few services do: a leak to be declared.
        """
        return replace(self.history, next_times=self.times)


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows and two sets of questions.

    Args:
        train: one row per user; some may be empty.
        validation: questions that choose the epoch and the options.
        test: questions that are reported.
        num_items: size of the catalogue.
        protocol: the rule in words, for the tables.
        cuts: times up to which training and validation go, for a temporal split; None (default) otherwise.
    """

    train: Sequences
    validation: Targets
    test: Targets
    num_items: int
    protocol: str
    cuts: tuple[int, int] | tuple[float, float] | None = None


def drop_repeats(interactions: Interactions) -> Interactions:
    """Keep each user's first action on each item in time order (ties: row order); row order is kept.

    Args:
        interactions: actions of all users.
    """
    count = len(interactions)
    order = np.arange(count) if interactions.times is None else np.argsort(interactions.times, kind="stable")
    pairs = interactions.users * len(interactions.item_labels) + interactions.items
    _, first = np.unique(pairs[order], return_index=True)
    return interactions.take(np.sort(order[first]))


def k_core(interactions: Interactions, user_core: int, item_core: int) -> Interactions:
    """Return the largest set of rows in which every user has `user_core` actions and every item `item_core`, at least.

    Actions are counted, not distinct pairs. Rows are dropped until none violates this; the result may be empty.

    Args:
        interactions: actions of all users.
        user_core: fewest actions of a user, at least 1.
        item_core: fewest actions on an item, at least 1.

    Raises:
        InputError: a core below 1.
    """
    if user_core < 1 or item_core < 1:
        raise InputError(f"a core is at least 1 (1 keeps all), got user_core={user_core}, item_core={item_core}")
    users, items = interactions.users, interactions.items
    rows = np.arange(len(users))
    while True:
        per_user = np.bincount(users[rows], minlength=1)
        per_item = np.bincount(items[rows], minlength=1)
        keep = (per_user[users[rows]] >= user_core) & (per_item[items[rows]] >= item_core)
        if keep.all():
            return interactions.take(rows)
        rows = rows[keep]


def to_sequences(interactions: Interactions) -> Sequences:
    """Sort each user's actions by time; equal times keep row order (the tie rule is part of the protocol).

    Users and items that occur are numbered by label, shorter labels first and then by code point. So numbers sort as
    numbers, and the numbering does not depend on how the users' rows interleave. Items start at 1.

    Args:
        interactions: actions of all users.
    """
    user_of, user_labels = _renumber(interactions.users, interactions.user_labels)
    item_of, item_labels = _renumber(interactions.items, interactions.item_labels)
    order = np.lexsort((user_of,) if interactions.times is None else (interactions.times, user_of))
    times = None if interactions.times is None else interactions.times[order]
    lengths = np.bincount(user_of, minlength=len(user_labels))
    return Sequences(
        item_of[order] + 1, _offsets(lengths), times, len(item_labels), user_labels, item_labels,
        per_second=interactions.per_second,
    )  # fmt: skip


def from_rows(rows: Iterable[npt.ArrayLike], num_items: int) -> Sequences:
    """Return sequences without times; users are labelled 0.. and items 1..num_items.

    Args:
        rows: one array of items in 1..num_items per user, oldest first.
        num_items: size of the catalogue.
    """
    arrays = [np.asarray(row, dtype=np.int64) for row in rows]
    items = np.concatenate([*arrays, np.empty(0, np.int64)])
    offsets = _offsets(np.array([len(row) for row in arrays], dtype=np.int64))
    users = tuple(str(user) for user in range(len(arrays)))
    return Sequences(items, offsets, None, num_items, users, tuple(str(item + 1) for item in range(num_items)))


def leave_one_out(sequences: Sequences, min_length: int = 3) -> Split:
    """Test on each user's last item, validate on the one before it, train on the rest.

    The test history includes the validation item. Users with fewer than `min_length` actions are used for training
    alone. One user's training rows may be later than another's test item: this split separates positions, not times.

    Args:
        sequences: actions of all users.
        min_length: fewest actions of a user who is asked, at least 3 (default).

    Raises:
        InputError: min_length is below 3, or no user is long enough.
    """
    if min_length < 3:
        raise InputError(f"min_length must be at least 3 (one to train, validate and test on), got {min_length}")
    lengths = sequences.lengths()
    users = np.flatnonzero(lengths >= min_length)
    if not users.size:
        longest = lengths.max(initial=0)
        raise InputError(f"no user has {min_length} actions (longest row: {longest}); lower the cores or add data")
    train = lengths.copy()
    train[users] -= 2
    return Split(
        sequences.take(np.arange(len(sequences)), train),
        _ask(sequences, users, lengths[users] - 2),
        _ask(sequences, users, lengths[users] - 1),
        sequences.num_items,
        f"leave-one-out: last item tests, last but one validates; users under {min_length} actions train only",
    )


def global_temporal(sequences: Sequences, quantile: float = 0.9) -> Split:
    """Cut all users at the same two moments, so that no training action is later than any target.

    The split of Gusak et al. 2025 (Time to Split), target "last". The second cut is a quantile of all action times; an
    action at a cut counts as before it. Each user whose last action is later is tested on it, given all earlier
    actions, also those after the cut. The same rule applied to the actions up to the second cut gives the first cut and
    the validation questions; training has the actions up to the first cut. A user without an earlier action is not
    asked, one without a training action may be; and a target may be an item unseen in training.

    Args:
        sequences: actions of all users, with times.
        quantile: share of the action times before a cut, in (0, 1). Default 0.9. Among float64 times a cut is linear
            between two times; among int64 times it is the earlier one, which puts the same actions before it.

    Raises:
        InputError: no times, a quantile out of range, or a window in which nobody is asked.
    """
    times = sequences.times
    if times is None:
        raise InputError("a temporal split needs times and this data has none (file order only); use leave-one-out")
    if not 0 < quantile < 1:
        raise InputError(f"the quantile of a temporal split must be above 0 and below 1, got {quantile}")
    if not len(sequences.items):
        raise InputError("there are no actions to split")
    second = _cut(times, quantile)
    first = _cut(times[times <= second], quantile)
    trained, known = (_count_until(sequences, times, cut) for cut in (first, second))
    validated, tested = (
        np.flatnonzero((early < late) & (late > 1)) for early, late in ((trained, known), (known, sequences.lengths()))
    )
    for what, users in (("validation", validated), ("test", tested)):
        if not users.size:
            raise InputError(
                f"no user has an action after the {what} cut and one before it, at time "
                f"{_told(second if what == 'test' else first)}; split by leave_one_out instead, or add actions of the "
                "same users on both sides of it"
            )
    return Split(
        sequences.take(np.arange(len(sequences)), trained),
        _ask(sequences, validated, known[validated] - 1),
        _ask(sequences, tested, sequences.lengths()[tested] - 1),
        sequences.num_items,
        f"global temporal: training up to time {_told(first)}, test after {_told(second)} and validation in between; "
        "last action of each user there",
        (first, second),
    )


def _cut(times: Times, quantile: float) -> Any:
    """The quantile of the times: a float among floats, and otherwise one of the times, so that it is exact."""
    return np.quantile(times, quantile, method="lower" if times.dtype == np.int64 else "linear").item()


def _told(time: float) -> str:
    return str(time) if isinstance(time, int) else f"{time:.17g}"


def train_on_validation(split: Split) -> Split:
    """Return the split whose training rows also hold what validation asked: all that a user did before the test.

    So the setting that validation chose is trained anew before it is tested. The questions of validation stay as they
    were, and say nothing any more.

    Args:
        split: any.
    """
    asked, train, told = split.validation, split.train, _append(split.validation)
    rows = [train.row(user) for user in range(len(train))]
    times = None if train.times is None else np.split(train.times, train.offsets[1:-1])
    for place, user in enumerate(asked.users):
        rows[user] = told.row(place)
        if times is not None and asked.times is not None and asked.history.times is not None:
            begin, end = asked.history.offsets[place : place + 2]
            times[user] = np.append(asked.history.times[begin:end], asked.times[place])
    joined = replace(
        train,
        items=np.concatenate(rows),
        offsets=_offsets(np.array([len(row) for row in rows])),
        times=None if times is None else np.concatenate(times),
    )
    return replace(split, train=joined)


def shuffle_histories(split: Split, generator: np.random.Generator) -> Split:
    """Return the split with every training row and history in random order; targets and times stay where they are.

    A control: a model that loses nothing by it does not use the order of actions, or the data have none to use.

    Args:
        split: any, whose leaks were checked before, since afterwards rows are no longer prefixes of histories.
        generator: source of the orders.
    """

    def shuffled(rows: Sequences) -> Sequences:
        owner = np.repeat(np.arange(len(rows)), rows.lengths())
        order = np.lexsort((generator.random(len(owner)), owner))
        return replace(rows, items=rows.items[order])

    validation, test = (replace(asked, history=shuffled(asked.history)) for asked in (split.validation, split.test))
    return replace(split, train=shuffled(split.train), validation=validation, test=test)


def check_leaks(split: Split, sequences: Sequences | None = None) -> None:
    """Raise LeakError unless no question can be answered from what the model was given.

    Every training row must be a prefix of its user's histories, so that no target is trained on at or after its own
    position. A user's validation history and target must be a prefix of the test history, and every item known. Under a
    temporal split no training action may be later than the first cut, validation targets must lie between the cuts and
    test targets after the second, and no history may be later than its own target.

    Args:
        split: the split to check.
        sequences: the full data; if given, each history with its target must also be a prefix of its user's row.

    Raises:
        LeakError: one of these does not hold.
    """
    for what, asked in (("validation", split.validation), ("test", split.test)):
        users, history = asked.users, asked.history
        if not len(users) == len(asked.target) == len(history):
            raise LeakError(f"{what}: {len(users)} users, {len(asked.target)} targets, {len(history)} histories")
        if (np.diff(users) <= 0).any():
            raise LeakError(f"{what}: users must rise, each asked once")
        if users.size and not 0 <= users[0] <= users[-1] < len(split.train):
            raise LeakError(f"{what}: users must be rows 0..{len(split.train) - 1} of the sequences")
        if not split.num_items == history.num_items == split.train.num_items:
            raise LeakError(f"{what}: the split, its training rows and its histories disagree on the items")
        if asked.target.size and not 1 <= asked.target.min() <= asked.target.max() <= split.num_items:
            raise LeakError(f"{what}: a target is outside 1..{split.num_items}")
        everyone = np.arange(len(users))
        _require_prefix(f"{what}: training row is not a prefix of the history", split.train, users, history, everyone)
        if sequences is not None:
            rows = _append(asked)
            _require_prefix(f"{what}: history and target are no prefix of the row", rows, everyone, sequences, users)
    both, early, late = np.intersect1d(split.validation.users, split.test.users, return_indices=True)
    if both.size:
        rows = _append(split.validation)
        _require_prefix("the test history does not continue validation", rows, early, split.test.history, late)
    if split.cuts is not None:
        _check_cuts(split, split.cuts)


def pad_left(rows: Sequences | Sequence[npt.ArrayLike], length: int) -> Ints:
    """Return the last `length` items of each row, padded with 0 on the left: (rows, length) int64.

    Args:
        rows: sequences, or one array of items per row.
        length: columns of the result, at least 1.

    Raises:
        InputError: a length below 1.
    """
    if length < 1:
        raise InputError(f"the sequence length must be at least 1, got {length}")
    if isinstance(rows, Sequences):
        items, offsets = rows.items, rows.offsets
    else:
        arrays = [np.asarray(row, dtype=np.int64) for row in rows]
        items = np.concatenate([*arrays, np.empty(0, np.int64)])
        offsets = _offsets(np.array([len(row) for row in arrays], dtype=np.int64))
    padded = np.zeros((len(offsets) - 1, length), dtype=np.int64)
    source = offsets[1:, None] + np.arange(-length, 0)
    inside = source >= offsets[:-1, None]
    padded[inside] = items[source[inside]]
    return padded


def seconds_since(origin: Times, times: Times, per_second: int = 1) -> Floats:
    """Return how many seconds after `origin` times are, float64 of their shape; exact for whole seconds below 2^53.

    Args:
        origin: of the type and, but for broadcasting, the shape of the times.
        times: int64 or float64.
        per_second: units of both in a second, default 1.
    """
    if times.dtype != np.int64:
        after: Floats = (times - origin) / per_second
        return after
    # A difference of int64 may need 64 bits, which unsigned numbers have.
    late, early = np.maximum(times, origin).astype(np.uint64), np.minimum(times, origin).astype(np.uint64)
    seconds: Floats = np.where(times < origin, -1.0, 1.0) * (late - early) / per_second
    return seconds


def content_hash(sequences: Sequences) -> str:
    """Return the SHA-256 of everything a result may depend on: rows, times, numbering and labels.

    It is the same on every machine.

    Args:
        sequences: actions of all users.
    """
    digest = hashlib.sha256(b"causalrec sequences 1\n")
    for labels in (sequences.user_labels, sequences.item_labels):
        encoded = [label.encode() for label in labels]
        digest.update(np.array([len(encoded), *map(len, encoded)], dtype="<i8").tobytes())
        digest.update(b"".join(encoded))
    digest.update(sequences.offsets.astype("<i8").tobytes())
    digest.update(sequences.items.astype("<i8").tobytes())
    digest.update(b"no times" if sequences.times is None else _time_bytes(sequences.times))
    if sequences.per_second != 1:
        digest.update(b"times per second" + np.array(sequences.per_second, dtype="<i8").tobytes())
    return digest.hexdigest()


def _time_bytes(times: Times) -> bytes:
    """The times as float64 where that holds them all, so that equal times of either type are equal, or as int64."""
    # Adding zero turns -0.0 into 0.0, which is the same time.
    floats = times + 0.0
    if times.dtype == np.int64 and (floats.max(initial=0) == 2.0**63 or (floats.astype(np.int64) != times).any()):
        return b"whole numbers" + times.astype("<i8").tobytes()
    return floats.astype("<f8").tobytes()


def _require_vector(what: str, array: npt.NDArray[np.generic], dtype: type, length: int) -> None:
    if array.dtype != dtype or array.shape != (length,):
        raise InputError(f"{what} must be {dtype.__name__} of shape ({length},), got {array.dtype} {array.shape}")


def _require_times(what: str, array: npt.NDArray[np.generic], length: int) -> None:
    _require_vector(what, array, np.int64 if array.dtype == np.int64 else np.float64, length)


def _offsets(lengths: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _spans(starts: Ints, lengths: Ints) -> Ints:
    """Return the indices starts[i], ..., starts[i] + lengths[i] - 1 of all spans, end to end."""
    offsets = _offsets(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def _renumber(codes: Ints, labels: tuple[str, ...]) -> tuple[Ints, tuple[str, ...]]:
    """Return codes 0.. of the labels that occur, ordered by (length, code points), and those labels."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    ordered = sorted(used.tolist(), key=lambda code: (len(labels[code]), labels[code]))
    rank = np.zeros(len(labels), dtype=np.int64)
    rank[ordered] = np.arange(len(ordered))
    return rank[codes], tuple(labels[code] for code in ordered)


def _ask(sequences: Sequences, users: Ints, position: Ints) -> Targets:
    """Ask for the action at `position` of each user's row, given the actions before it."""
    at = sequences.offsets[users] + position
    times = None if sequences.times is None else sequences.times[at]
    return Targets(sequences.take(users, position), sequences.items[at], users, times)


def _count_until(sequences: Sequences, times: Times, cut: float) -> Ints:
    """Return the number of actions at or before `cut` per user (users,); they are the first of each row."""
    until = _offsets((times <= cut).astype(np.int64))
    return np.diff(until[sequences.offsets])


def _append(asked: Targets) -> Sequences:
    """Return each history with its target at the end, without times."""
    history = asked.history
    items = np.insert(history.items, history.offsets[1:], asked.target)
    offsets = history.offsets + np.arange(len(history) + 1)
    return Sequences(items, offsets, None, history.num_items, history.user_labels, history.item_labels)


def _require_prefix(message: str, short: Sequences, i: Ints, long: Sequences, j: Ints) -> None:
    """Raise LeakError unless row i[k] of `short` begins row j[k] of `long`, for every k."""
    lengths = short.lengths()[i]
    too_long = lengths > long.lengths()[j]
    if too_long.any():
        raise LeakError(f"{message}: user {short.user_labels[i[too_long.argmax()]]!r}")
    differs = short.items[_spans(short.offsets[i], lengths)] != long.items[_spans(long.offsets[j], lengths)]
    if differs.any():
        k = np.searchsorted(_offsets(lengths), differs.argmax(), side="right") - 1
        raise LeakError(f"{message}: user {short.user_labels[i[k]]!r}")


def _check_cuts(split: Split, cuts: tuple[int, int] | tuple[float, float]) -> None:
    first, second = cuts
    train = split.train.times
    if train is None:
        raise LeakError("a temporal split needs the times of all its parts")
    if (train > first).any():
        raise LeakError(f"training has an action after {_told(first)}")
    for what, asked, low, high in (
        ("validation", split.validation, first, second),
        ("test", split.test, second, np.inf),
    ):
        if asked.times is None or asked.history.times is None:
            raise LeakError("a temporal split needs the times of all its parts")
        if ((asked.times <= low) | (asked.times > high)).any():
            raise LeakError(f"a {what} target is outside ({_told(low)}, {_told(high)}]")
        if (asked.history.times > np.repeat(asked.times, asked.history.lengths())).any():
            raise LeakError(f"a {what} history has an action after its target")
