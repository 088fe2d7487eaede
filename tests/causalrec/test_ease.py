"""EASE: against Steck's closed form and its own optimality, what it can and cannot learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.ranking import hit_rate, rank_targets
from causalrec.rivals import ease
from causalrec.rivals.ease import EASE
from tests.strategies import block_rows, item_rows, successor_rows

pytestmark = pytest.mark.numeric

ITEMS = 6


def matrix(rows):
    taken = np.zeros((len(rows), ITEMS))
    for user, row in enumerate(rows):
        taken[user, np.asarray(row, dtype=int) - 1] = 1.0
    return taken


@given(item_rows(ITEMS), st.floats(0.5, 100))
def test_the_weights_minimise_the_ridge_regression_of_each_item_on_the_others(rows, regularisation):
    """Row i by its own normal equations, the column of item i left out: another way to the same B."""
    weights = EASE(from_rows(rows, num_items=ITEMS), regularisation).weights
    taken = matrix(rows)
    for item in range(ITEMS):
        others = np.delete(taken, item, axis=1)
        expected = np.linalg.solve(
            others.T @ others + regularisation * np.eye(ITEMS - 1), others.T @ taken[:, item]
        )
        assert np.delete(weights[item], item) == pytest.approx(expected, abs=2e-5)
        assert weights[item, item] == 0
    assert weights.dtype == np.float32


def test_by_hand():
    """Items 1 and 2 together in two of three rows: P is a 2 x 2 inverse."""
    model = EASE(from_rows([[1, 2], [2, 1, 1], [2]], num_items=2), regularisation=1.0)
    assert model.weights == pytest.approx(np.array([[0, 2 / 4], [2 / 3, 0]]))


def test_recent_items_weigh_more_and_repeats_count_by_the_last():
    train = from_rows([[1, 2], [2, 3], [1, 3], [4, 5]], num_items=ITEMS)
    history = from_rows([[1, 4, 1, 2], [], [6]], num_items=ITEMS)
    scores = EASE(train, 1.0, decay=0.5)(history, slice(0, 3)).numpy()
    past = np.array([0.5, 1.0, 0, 0.25, 0, 0])
    assert scores[0] == pytest.approx(EASE(train, 1.0).weights @ past, abs=1e-6)
    assert (scores[1] == 0).all()
    assert (scores[2] == 0).all()
    sets = EASE(train, 1.0)(history, slice(0, 1)).numpy()[0]
    assert sets == pytest.approx(EASE(train, 1.0).weights @ (past > 0), abs=1e-6)


@given(item_rows(ITEMS), st.randoms(use_true_random=False))
def test_the_published_form_knows_no_order(rows, random):
    shuffled = [random.sample(row, len(row)) for row in rows]
    ours, theirs = (
        EASE(from_rows(given, num_items=ITEMS), 2.0)(from_rows(given, num_items=ITEMS), slice(0, len(rows)))
        for given in (rows, shuffled)
    )
    torch.testing.assert_close(ours, theirs)


def test_it_learns_what_goes_together_and_not_what_comes_next():
    def hits(rows, items, seen, k):
        split = leave_one_out(from_rows(rows, num_items=items))
        return hit_rate(getattr(rank_targets(EASE(split.train, 10.0), split.test), seen), k).mean()

    together = block_rows(np.random.default_rng(0))
    assert hits(together, 12, "filtered", 2) > 0.95
    assert hits(successor_rows(np.random.default_rng(0)), 12, "kept", 1) < 0.4


def test_too_many_items_are_refused_before_anything_is_made():
    with pytest.raises(InputError, match="20001 items are more than 20000"):
        EASE(from_rows([[1, 2]], num_items=ease.MOST_ITEMS + 1))


@pytest.mark.parametrize("wrong", [{"regularisation": 0.0}, {"decay": 0.0}, {"decay": 1.1}])
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        EASE(from_rows([[1, 2]], num_items=3), **wrong)


def test_a_weight_that_float32_cannot_invert_with_is_refused():
    with pytest.raises(InputError, match="too small for float32"):
        EASE(from_rows([[1, 2]] * 50, num_items=2), regularisation=1e-9)
