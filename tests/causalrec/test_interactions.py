"""Interactions, sequences, splits and their leak checks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.interactions import (
    Interactions,
    LeakError,
    Sequences,
    Split,
    check_leaks,
    content_hash,
    drop_repeats,
    from_rows,
    global_temporal,
    k_core,
    leave_one_out,
    pad_left,
    seconds_since,
    shuffle_histories,
    to_sequences,
    train_on_validation,
)
from tests.strategies import interactions

cores = st.integers(1, 4)


def actions(*rows: tuple[str, str, float]) -> Interactions:
    users, items, times = zip(*rows, strict=True)
    user_labels, item_labels = tuple(dict.fromkeys(users)), tuple(dict.fromkeys(items))
    return Interactions(
        np.array([user_labels.index(user) for user in users]),
        np.array([item_labels.index(item) for item in items]),
        np.array(times, dtype=np.float64),
        user_labels,
        item_labels,
    )


def named(sequences: Sequences) -> dict[str, list[str]]:
    """Rows by label: what sequences mean, whatever their numbering."""
    return {
        label: [sequences.item_labels[item - 1] for item in sequences.row(user)]
        for user, label in enumerate(sequences.user_labels)
    }


def test_sequences_sort_by_time_and_ties_keep_row_order() -> None:
    sequences = to_sequences(
        actions(("10", "c", 5), ("9", "a", 2), ("10", "a", 1), ("9", "c", 2), ("10", "b", 5), ("9", "b", 1))
    )
    assert named(sequences) == {"9": ["b", "a", "c"], "10": ["a", "c", "b"]}
    assert sequences.item_labels == ("a", "b", "c")
    assert sequences.times is not None
    assert sequences.times.tolist() == [1, 2, 2, 1, 5, 5]


def test_without_times_row_order_is_time_order() -> None:
    timed = actions(("u", "b", 3), ("u", "a", 2), ("u", "c", 1))
    assert named(to_sequences(replace(timed, times=None))) == {"u": ["b", "a", "c"]}


def test_drop_repeats_keeps_the_earliest_by_time_and_then_by_row() -> None:
    repeated = actions(("u", "a", 9), ("u", "b", 4), ("u", "a", 1), ("v", "a", 9), ("u", "a", 1))
    kept = drop_repeats(repeated)
    assert kept.times is not None
    assert list(zip(kept.users.tolist(), kept.items.tolist(), kept.times.tolist(), strict=True)) == [
        (0, 1, 4),
        (0, 0, 1),
        (1, 0, 9),
    ]


def test_statistics_of_a_known_case() -> None:
    sequences = to_sequences(actions(("u", "a", 1), ("u", "a", 1), ("u", "b", 2), ("v", "a", 2)))
    assert sequences.statistics() == {
        "users": 2,
        "items": 2,
        "actions": 4,
        "density": 3 / 4,
        "mean_length": 2.0,
        "median_length": 2.0,
        "repeats_share": 1 / 4,
        "ties_share": 1 / 2,
    }
    assert from_rows([], 0).statistics()["density"] == 0.0


@given(interactions(), cores, cores)
def test_k_core_meets_both_degrees_and_is_idempotent(given_rows: Interactions, user_core: int, item_core: int) -> None:
    core = k_core(given_rows, user_core, item_core)
    for codes, least in ((core.users, user_core), (core.items, item_core)):
        counts = np.bincount(codes)
        assert (counts[counts > 0] >= least).all()
    again = k_core(core, user_core, item_core)
    assert again.users.tolist() == core.users.tolist()


@given(interactions(timed=False), cores, cores)
def test_k_core_is_maximal(given_rows: Interactions, user_core: int, item_core: int) -> None:
    """Peeling one row's user or item at a time, in any order, never ends with more rows."""
    rows = list(zip(given_rows.users.tolist(), given_rows.items.tolist(), strict=True))
    while True:
        weak = next(
            (
                (side, row[side])
                for row in reversed(rows)
                for side, least in ((1, item_core), (0, user_core))
                if sum(other[side] == row[side] for other in rows) < least
            ),
            None,
        )
        if weak is None:
            break
        rows = [row for row in rows if row[weak[0]] != weak[1]]
    core = k_core(given_rows, user_core, item_core)
    assert list(zip(core.users.tolist(), core.items.tolist(), strict=True)) == rows


@given(interactions())
def test_drop_repeats_leaves_each_pair_once(given_rows: Interactions) -> None:
    kept = drop_repeats(given_rows)
    pairs = list(zip(kept.users.tolist(), kept.items.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == set(zip(given_rows.users.tolist(), given_rows.items.tolist(), strict=True))


@given(interactions())
def test_sequences_hold_every_action_and_number_items_by_label(given_rows: Interactions) -> None:
    sequences = to_sequences(given_rows)
    expected: dict[str, list[tuple[float, int, str]]] = {}
    for row, (user, item) in enumerate(zip(given_rows.users, given_rows.items, strict=True)):
        time = 0.0 if given_rows.times is None else given_rows.times[row]
        expected.setdefault(given_rows.user_labels[user], []).append((time, row, given_rows.item_labels[item]))
    assert named(sequences) == {user: [label for *_, label in sorted(rows)] for user, rows in expected.items()}
    for labels in (sequences.item_labels, sequences.user_labels):
        assert list(labels) == sorted(labels, key=lambda label: (len(label), label))
    assert set(sequences.items.tolist()) == set(range(1, sequences.num_items + 1))


@given(interactions(), st.randoms(use_true_random=False))
def test_content_hash_ignores_how_users_interleave(given_rows: Interactions, random) -> None:
    owners = given_rows.users.tolist()
    random.shuffle(owners)
    waiting = {user: np.flatnonzero(given_rows.users == user).tolist() for user in set(owners)}
    order = np.array([waiting[user].pop(0) for user in owners], dtype=np.int64)
    assert content_hash(to_sequences(given_rows.take(order))) == content_hash(to_sequences(given_rows))


@given(interactions(timed=True), st.data())
def test_content_hash_sees_any_change(given_rows: Interactions, data: st.DataObject) -> None:
    sequences = to_sequences(given_rows)
    assume(len(sequences.items) > 0 and sequences.num_items > 1)
    before = content_hash(sequences)
    at = data.draw(st.integers(0, len(sequences.items) - 1))
    items = sequences.items.copy()
    items[at] = items[at] % sequences.num_items + 1
    assert sequences.times is not None
    changes = [
        replace(sequences, items=items),
        replace(sequences, times=sequences.times - 0.5),
        replace(sequences, times=None),
        replace(sequences, item_labels=sequences.item_labels[::-1]),
        replace(sequences, user_labels=tuple(f"{label}." for label in sequences.user_labels)),
        replace(sequences, num_items=sequences.num_items + 1, item_labels=(*sequences.item_labels, "new")),
    ]
    if len(sequences) > 1:
        moved = sequences.offsets.copy()
        moved[1] -= 1
        changes.append(Sequences(sequences.items, moved, None, *_tables(sequences)))
        before_untimed = content_hash(replace(sequences, times=None))
        assert content_hash(changes.pop()) != before_untimed
    assert all(content_hash(changed) != before for changed in changes)
    assert content_hash(replace(sequences, times=sequences.times * 1.0)) == before


def _tables(sequences: Sequences) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    return sequences.num_items, sequences.user_labels, sequences.item_labels


def test_content_hash_is_pinned() -> None:
    """The hash is part of every cell's key: it may not move between versions or machines."""
    sequences = to_sequences(actions(("u", "a", 1), ("u", "é", 2), ("v", "a", 0)))
    assert content_hash(sequences) == "7da3dfb4166c9551e3c3aced0fb53112fe63468cd779a977336ed9de46de8a4a"


def test_leave_one_out_of_a_known_case() -> None:
    split = leave_one_out(from_rows([[1, 2, 3, 4], [5, 6], [7, 8, 9]], 9))
    assert [split.train.row(user).tolist() for user in range(3)] == [[1, 2], [5, 6], [7]]
    assert split.validation.target.tolist() == [3, 8]
    assert split.test.target.tolist() == [4, 9]
    assert split.test.history.row(0).tolist() == [1, 2, 3]
    assert split.test.users.tolist() == [0, 2]


@given(interactions(), st.integers(3, 5))
def test_leave_one_out_never_leaks(given_rows: Interactions, min_length: int) -> None:
    sequences = to_sequences(given_rows)
    long_enough = np.flatnonzero(sequences.lengths() >= min_length)
    if not long_enough.size:
        with pytest.raises(InputError, match=f"no user has {min_length} actions"):
            leave_one_out(sequences, min_length)
        return
    split = leave_one_out(sequences, min_length)
    check_leaks(split, sequences)
    for asked, held_out in ((split.validation, 2), (split.test, 1)):
        assert asked.users.tolist() == long_enough.tolist()
        for i, user in enumerate(asked.users):
            row = sequences.row(user)
            assert [*asked.history.row(i), asked.target[i]] == row[: len(row) - held_out + 1].tolist()
    assert len(split.train.items) == len(sequences.items) - 2 * len(long_enough)


@given(interactions(timed=True), st.floats(0.3, 0.95))
def test_global_temporal_never_leaks(given_rows: Interactions, quantile: float) -> None:
    """The rule applied user by user, and once more to what is left of everyone's actions up to the cut."""
    sequences = to_sequences(given_rows)
    assume(len(sequences.items) > 0)
    assert sequences.times is not None
    rows = [
        list(zip(sequences.times[slice(*span)].tolist(), sequences.row(user).tolist(), strict=True))
        for user, span in enumerate(zip(sequences.offsets, sequences.offsets[1:], strict=False))
    ]
    cuts, asked = list[float](), list[dict[int, tuple[list[int], int]]]()
    for _ in ("test", "validation"):
        cut = float(np.quantile([time for row in rows for time, _ in row], quantile))
        cuts.append(cut)
        asked.append({
            user: ([item for _, item in row[:-1]], row[-1][1])
            for user, row in enumerate(rows)
            if len(row) > 1 and row[-1][0] > cut
        })  # fmt: skip
        rows = [[(time, item) for time, item in row if time <= cut] for row in rows]
    if not all(asked):
        with pytest.raises(InputError, match=r"an action after the (validation|test) cut and one before it"):
            global_temporal(sequences, quantile)
        return
    split = global_temporal(sequences, quantile)
    check_leaks(split, sequences)
    assert split.cuts == (cuts[1], cuts[0])
    assert [split.train.row(user).tolist() for user in range(len(rows))] == [[item for _, item in row] for row in rows]
    for targets, expected in zip((split.test, split.validation), asked, strict=True):
        histories = [targets.history.row(i).tolist() for i in range(len(targets))]
        answers = zip(histories, targets.target.tolist(), strict=True)
        assert dict(zip(targets.users.tolist(), answers, strict=True)) == expected


def _timed(times: Any, per_second: int = 1) -> Sequences:
    """One user's actions at these times, of the type that they have."""
    labels = tuple(str(k) for k in range(len(times)))
    items, offsets = np.arange(1, len(times) + 1), np.array([0, len(times)])
    return Sequences(items, offsets, np.asarray(times), len(times), ("u",), labels, per_second=per_second)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True).map(sorted), st.data())
def test_whole_numbers_and_equal_floats_are_the_same_data(times: list[int], data: st.DataObject) -> None:
    whole = _timed(np.array(times, dtype=np.int64))
    held = all(int(float(time)) == time for time in times)
    assert (content_hash(whole) == content_hash(_timed(np.array(times, dtype=np.float64)))) == held
    k = data.draw(st.integers(0, len(times) - 1))
    moved = sorted({*times, times[k] + (1 if times[k] < 0 else -1)} - {times[k]})
    if len(moved) == len(times):
        assert content_hash(_timed(np.array(moved, dtype=np.int64))) != content_hash(whole)
    assert content_hash(_timed(np.array(times, dtype=np.int64), 1000)) != content_hash(whole)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.sampled_from([1, 1000, 10**9]))
def test_seconds_between_any_two_times_are_those_of_whole_numbers(origin: int, time: int, per_second: int) -> None:
    found = seconds_since(np.array([origin]), np.array([time]), per_second)
    assert found.tolist() == [float(time - origin) / per_second]


def test_global_temporal_of_a_known_case() -> None:
    """Ten actions at times 0 to 9 and a quantile of 2/3: cuts at 6 and, of the seven up to there, at 4.

    An action at a cut is before it. "u" is tested on the last action, given another one after the cut; "w" is tested
    though training has not seen it, and has no earlier action to be validated with.
    """
    rows = [("u", "a", 0), ("v", "b", 1), ("u", "c", 2), ("v", "d", 3), ("u", "e", 4), ("v", "f", 5), ("w", "g", 6)]
    split = global_temporal(to_sequences(actions(*rows, ("u", "h", 7), ("w", "a", 8), ("u", "i", 9))), 2 / 3)
    assert split.cuts == (4.0, 6.0)
    assert named(split.train) == {"u": ["a", "c", "e"], "v": ["b", "d"], "w": []}
    labels = split.train.item_labels
    assert [labels[item - 1] for item in split.validation.target] == ["f"]
    assert named(split.validation.history) == {"v": ["b", "d"]}
    assert [labels[item - 1] for item in split.test.target] == ["i", "a"]
    assert named(split.test.history) == {"u": ["a", "c", "e", "h"], "w": ["g"]}


@given(interactions(timed=True), st.integers(0, 2**32))
def test_shuffled_histories_hold_the_same_actions_and_ask_the_same(given_rows: Interactions, seed: int) -> None:
    sequences = to_sequences(given_rows)
    assume(sequences.lengths().max(initial=0) >= 3)
    split = leave_one_out(sequences)
    shuffled = shuffle_histories(split, np.random.default_rng(seed))
    parts = ((s.train, s.validation.history, s.test.history) for s in (split, shuffled))
    for before, after in zip(*parts, strict=True):
        assert (before.offsets.tolist(), _list(before.times)) == (after.offsets.tolist(), _list(after.times))
        assert [sorted(before.row(u)) for u in range(len(before))] == [sorted(after.row(u)) for u in range(len(after))]
    for asked, again in ((split.validation, shuffled.validation), (split.test, shuffled.test)):
        assert asked.target.tolist() == again.target.tolist()
        assert (asked.users is again.users, asked.times is again.times) == (True, True)


@given(interactions(timed=True), st.sampled_from(["leave one out", "temporal"]))
def test_trained_on_validation_a_model_has_seen_all_before_the_test_and_nothing_of_it(
    given_rows: Interactions, kind: str
) -> None:
    sequences = to_sequences(given_rows)
    try:
        split = leave_one_out(sequences) if kind == "leave one out" else global_temporal(sequences, 0.6)
    except InputError:
        assume(False)
    refit = train_on_validation(split)
    assert (refit.test, refit.validation, refit.num_items) == (split.test, split.validation, split.num_items)
    asked = dict(zip(split.validation.users.tolist(), split.validation.target.tolist(), strict=True))
    for user in range(len(sequences)):
        row, before = refit.train.row(user).tolist(), split.train.row(user).tolist()
        assert row == sequences.row(user)[: len(row)].tolist()
        assert (row[-1] == asked[user] and len(row) > len(before)) if user in asked else row == before
    for place, user in enumerate(split.test.users):
        known = refit.train.row(int(user))
        assert known.tolist() == split.test.history.row(place)[: len(known)].tolist()
        if kind == "leave one out":
            assert len(known) == len(split.test.history.row(place))
    times = np.asarray(refit.train.times)
    assert split.cuts is None or not len(times) or times.max() <= split.cuts[1]
    assert refit.train.times is not None
    for user in range(len(sequences)):
        begin = sequences.offsets[user]
        held = times[refit.train.offsets[user] : refit.train.offsets[user + 1]]
        assert held.tolist() == np.asarray(sequences.times)[begin : begin + len(held)].tolist()


def test_every_order_of_a_history_is_as_likely() -> None:
    rows = from_rows([[1, 2, 3, 4, 5]] * 6000, 5)
    train = shuffle_histories(leave_one_out(rows), np.random.default_rng(0)).train
    orders, counts = np.unique(train.items.reshape(-1, 3), axis=0, return_counts=True)
    assert len(orders) == 6
    assert counts.min() > 850


def _list(times: np.ndarray | None) -> list[float] | None:
    return None if times is None else times.tolist()


def _change(split: Split, part: str, **changes: object) -> Split:
    return replace(split, **{part: replace(getattr(split, part), **changes)})


def test_each_leak_is_found() -> None:
    full = from_rows([[1, 2, 3, 4], [5, 6, 7, 8]], 8)
    split = leave_one_out(full)
    swapped = np.array([1, 0])
    leaks = {
        "training row is not a prefix": replace(split, train=full),
        "validation: history and target are no prefix": _change(split, "validation", target=np.array([4, 7])),
        "test: history and target are no prefix of the row": _change(split, "test", target=np.array([4, 1])),
        "outside 1..8": _change(split, "test", target=np.array([0, 8])),
        "users must rise": _change(split, "test", users=swapped),
        "users must be rows": _change(split, "test", users=np.array([0, 2])),
        "2 users, 1 targets": _change(split, "test", target=np.array([4])),
        "disagree on the items": replace(split, num_items=9),
    }
    for message, leaky in leaks.items():
        with pytest.raises(LeakError, match=message):
            check_leaks(leaky, full)
    shuffled = _change(split, "test", history=from_rows([[1, 2, 4], [5, 6, 7]], 8))
    with pytest.raises(LeakError, match="does not continue validation: user '0'"):
        check_leaks(shuffled)


def test_leaks_in_time_are_found() -> None:
    rows = [("u", "a", 0), ("u", "b", 5), ("u", "c", 8), ("v", "a", 1), ("v", "c", 6), ("v", "b", 9)]
    split = global_temporal(to_sequences(actions(*rows)), 0.7)
    assert split.cuts is not None
    early, late = split.cuts
    with pytest.raises(LeakError, match="training has an action after"):
        check_leaks(replace(split, cuts=(0.5, late)))
    with pytest.raises(LeakError, match="a validation target is outside"):
        check_leaks(replace(split, cuts=(early + 1.5, late)))
    with pytest.raises(LeakError, match="a test target is outside"):
        check_leaks(replace(split, cuts=(early, late + 2)))
    with pytest.raises(LeakError, match="needs the times"):
        check_leaks(_change(split, "test", times=None))
    for part in ("validation", "test"):
        history = getattr(split, part).history
        later = replace(history, times=np.where(np.arange(len(history.items)) == len(history.items) - 1, 99.0, 0.0))
        with pytest.raises(LeakError, match=f"a {part} history has an action after its target"):
            check_leaks(_change(split, part, history=later))


@given(st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=6), st.integers(1, 10))
def test_pad_left_holds_the_last_items(rows: list[list[int]], length: int) -> None:
    padded = pad_left(from_rows(rows, 9), length)
    assert padded.shape == (len(rows), length)
    assert padded.dtype == np.int64
    for row, line in zip(rows, padded.tolist(), strict=True):
        last = row[-length:]
        assert line == [0] * (length - len(last)) + last
    assert (pad_left(rows, length) == padded).all()


def test_bad_input_is_refused() -> None:
    good = actions(("u", "a", 1), ("u", "b", 2))
    sequences = to_sequences(good)
    with pytest.raises(InputError, match="length must be at least 1, got 0"):
        pad_left(sequences, 0)
    with pytest.raises(InputError, match="user_core=0"):
        k_core(good, 0, 1)
    with pytest.raises(InputError, match="min_length must be at least 3"):
        leave_one_out(sequences, 2)
    with pytest.raises(InputError, match="has none"):
        global_temporal(replace(sequences, times=None))
    with pytest.raises(InputError, match="above 0 and below 1, got 1"):
        global_temporal(sequences, 1.0)
    with pytest.raises(InputError, match="no actions"):
        global_temporal(replace(from_rows([], 0), times=np.empty(0)))
    with pytest.raises(InputError, match=r"codes in 0\.\.0"):
        replace(good, item_labels=("a",))
    with pytest.raises(InputError, match="distinct"):
        replace(good, item_labels=("a", "a"))
    with pytest.raises(InputError, match="finite"):
        replace(good, times=np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="int64"):
        replace(good, users=good.users.astype(np.int32))
    with pytest.raises(InputError, match="must not fall"):
        replace(sequences, times=np.array([2.0, 1.0]))
    with pytest.raises(InputError, match=r"items must be in 1\.\.2"):
        replace(sequences, items=np.array([0, 1]))
    with pytest.raises(InputError, match="offsets must rise"):
        replace(sequences, offsets=np.array([0, 1]))
    with pytest.raises(InputError, match="item labels"):
        replace(sequences, num_items=3)


@given(interactions(timed=True))
def test_inputs_are_never_modified(given_rows: Interactions) -> None:
    assert given_rows.times is not None
    before = [array.copy() for array in (given_rows.users, given_rows.items, given_rows.times)]
    sequences = to_sequences(k_core(drop_repeats(given_rows), 1, 1))
    pad_left(sequences, 3)
    content_hash(sequences)
    after = (given_rows.users, given_rows.items, given_rows.times)
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
