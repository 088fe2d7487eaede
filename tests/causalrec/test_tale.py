"""TALE: against the ridge regression that it is, by hand, what it can and cannot learn, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.ranking import hit_rate, rank_targets
from causalrec.rivals import tale
from causalrec.rivals.tale import DAY, TALE
from tests.strategies import item_rows, second_order_rows, successor_rows

pytestmark = pytest.mark.numeric

ITEMS = 6


def timed(rows, times=None):
    """The rows with their times in seconds; by default an action an hour."""
    made = from_rows(rows, num_items=ITEMS)
    if times is None:
        times = [DAY / 24 * np.arange(len(row)) for row in rows]
    return replace(made, times=np.concatenate([np.asarray(t, float) for t in times] or [np.empty(0)]))


def pairs(rows, times, tau, floor):
    """S and T, a row per target."""
    sources, targets = [np.zeros(ITEMS)], [np.zeros(ITEMS)]
    for row, at in zip(rows, times, strict=True):
        for t in range(1, len(row)):
            source = np.zeros(ITEMS)
            for j in range(t):
                source[row[j] - 1] += max(np.exp(-(at[t] - at[j]) / tau), floor)
            sources.append(source)
            targets.append(np.eye(ITEMS)[row[t] - 1])
    return np.array(sources), np.array(targets)


@pytest.mark.parametrize("chunk", [2, 1024])
@given(
    rows=item_rows(ITEMS), weight=st.floats(0.5, 100), tau=st.floats(0.1, 50), floor=st.floats(0, 1),
    clock=st.booleans(),
)  # fmt: skip
def test_it_is_the_ridge_regression_of_each_action_on_those_before_it(chunk, rows, weight, tau, floor, clock):
    made = timed(rows) if clock else from_rows(rows, num_items=ITEMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tale, "TARGETS", chunk)
        found = TALE(made, weight, tau_train=tau, floor=floor).weights
    steps = [np.arange(len(row)) / (24 if clock else 1) for row in rows]
    s, t = pairs(rows, steps, tau, floor)
    expected = np.linalg.solve(s.T @ s + weight * np.eye(ITEMS), s.T @ t)
    assert np.allclose(found.T, expected, rtol=0, atol=2e-5)
    assert found.dtype == np.float32


def test_by_hand():
    """1, then 2 a day later, twice: S is exp(-1) twice in column 1, so B[1, 2] = 2 e⁻¹ / (2 e⁻² + 1)."""
    model = TALE(timed([[1, 2]] * 2, [[0, DAY]] * 2), regularisation=1.0, tau_train=1.0, tau_inf=2.0)
    expected = np.zeros((ITEMS, ITEMS))
    expected[1, 0] = 2 * np.exp(-1) / (2 * np.exp(-2) + 1)
    assert model.weights == pytest.approx(expected)
    scores = model(from_rows([[1, 3, 1, 3], []], num_items=ITEMS), slice(0, 2)).numpy()
    assert scores[0] == pytest.approx((np.exp(-1 / 2) + np.exp(-3 / 2)) * expected[:, 0])
    assert (scores[1] == 0).all()


@given(
    item_rows(ITEMS), st.sampled_from([0, 1_577_872_800, 2**53 - 10**7, -(2**62), 2**62]), st.sampled_from([1, 10**9])
)
def test_whole_numbers_are_exact_wherever_they_count_from(rows, first, per_second):
    seconds = [first % 10**10 + 3607 * np.arange(len(row)) for row in rows]
    made = timed(rows, seconds)
    whole = replace(made, times=made.times.astype(np.int64))
    assert np.array_equal(TALE(whole).weights, TALE(made).weights)
    far = first + per_second * (whole.times - first % 10**10)
    assert TALE(replace(made, times=far, per_second=per_second)).weights == pytest.approx(TALE(made).weights, abs=1e-6)


@given(item_rows(ITEMS), st.integers(0, 10**9))
def test_it_does_not_know_the_date(rows, shift):
    times = [3600.0 * np.arange(len(row)) for row in rows]
    moved = [at + shift for at in times]
    assert TALE(timed(rows, moved)).weights == pytest.approx(TALE(timed(rows, times)).weights, abs=1e-6)


def hits(rows, items, **options):
    split = leave_one_out(from_rows(rows, num_items=items))
    return hit_rate(rank_targets(TALE(split.train, 1.0, **options), split.test).kept, 1).mean()


def test_it_learns_what_follows_the_last_item():
    assert hits(successor_rows(np.random.default_rng(0)), 12, tau_train=0.5, tau_inf=0.5) > 0.95


def test_it_learns_that_the_recent_matter_more():
    """A user takes one item five times and then another twice: the next is the second again.

    To a model whose weights hardly fall, the first outweighs it.
    """
    rng = np.random.default_rng(0)
    first = rng.integers(1, 7, size=120)
    second = (first + rng.integers(1, 6, size=120) - 1) % 6 + 1
    rows = np.column_stack([first, first, first, first, first, second, second, second])
    assert hits(rows, 6, tau_train=1.0, tau_inf=1.0) > 0.95
    assert hits(rows, 6, tau_train=1e6, tau_inf=1e6) < 0.1


def test_it_learns_from_times_which_of_two_items_is_near():
    """2 follows 1 within the hour or 3 long after: only a model of times learns that 1 leads to 2 alone."""
    rows, times = [[1, 2]] * 40 + [[1, 3]] * 60, [[0, 3600]] * 40 + [[0, 30 * DAY]] * 60
    asked = from_rows([[1]], num_items=ITEMS)
    near = TALE(timed(rows, times), 1.0, tau_train=1.0)(asked, slice(0, 1))[0]
    blind = TALE(from_rows(rows, num_items=ITEMS), 1.0, tau_train=1.0)(asked, slice(0, 1))[0]
    assert int(near.argmax()) == 1
    assert int(blind.argmax()) == 2


def test_it_cannot_learn_what_two_items_only_tell_together():
    """The sum of the last two modulo 7, and whether two coins agree: either item alone tells nothing."""
    assert hits(second_order_rows(np.random.default_rng(0)), 7, tau_train=1.0) < 0.4
    coins = np.random.default_rng(1).integers(2, size=(400, 2))
    rows = np.column_stack([coins[:, 0], 2 + coins[:, 1], 4 + (coins[:, 0] ^ coins[:, 1])]) + 1
    model = TALE(from_rows(rows, num_items=ITEMS), 1.0)
    asked = from_rows(rows[:, :2], num_items=ITEMS)
    found = model(asked, slice(0, len(rows)))[:, 4:].argmax(1).numpy()
    assert (found == rows[:, 2] - 5).mean() < 0.8


def test_too_many_items_are_refused_before_anything_is_made():
    with pytest.raises(InputError, match="20001 items are more than 20000"):
        TALE(from_rows([[1, 2]], num_items=tale.MOST_ITEMS + 1))


@pytest.mark.parametrize("wrong", [{"regularisation": 0.0}, {"tau_train": 0.0}, {"tau_inf": np.inf}, {"floor": 1.1}])
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        TALE(from_rows([[1, 2]], num_items=3), **wrong)


def test_a_weight_that_float32_cannot_solve_with_is_refused():
    with pytest.raises(InputError, match="too small for float32"):
        TALE(from_rows([[1, 2, 3]], num_items=3), regularisation=1e-60)  # 0 in float32, and 3 is no source


def test_no_number_below_the_normal_range_slows_it_and_others_keep_theirs():
    """At a tau of 1/46 hour the action before weighs 1e-20, the one before that 1e-40, which is subnormal."""
    low = np.finfo(np.float32).tiny
    weights = TALE(timed([(1, 2, 3), (2, 3, 1), (4, 5, 4)]), tau_train=1 / 24 / 46).weights
    assert weights.any()
    assert not ((weights != 0) & (np.abs(weights) < low)).any()
    assert np.float32(low) / np.float32(2) > 0
    with pytest.raises(InputError, match="too small"):
        TALE(from_rows([[1, 2, 3]], num_items=3), regularisation=1e-60)
    assert np.float32(low) / np.float32(2) > 0
