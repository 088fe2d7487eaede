"""The first-order Markov chain: by hand, what it can and cannot learn, and what always holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.ranking import hit_rate, rank_targets
from causalrec.rivals.markov import Markov
from tests.strategies import item_rows, second_order_rows, successor_rows

TRAIN = from_rows([[1, 2, 1, 3], [1, 2], [4]], num_items=5)


def ask(markov, *rows):
    history = from_rows(rows, num_items=5)
    return markov(history, slice(0, len(rows))).numpy()


def test_by_hand():
    """After 1 come 2, 3 and 2; after 2 comes 1; popularity is 3, 2, 1, 1, 0 of 7."""
    popularity = np.array([3, 2, 1, 1, 0]) / 7
    scores = ask(Markov(TRAIN, smoothing=0.5), [4, 1], [2], [3], [])
    assert scores[0] == pytest.approx((np.array([0, 2, 1, 0, 0]) + 0.5 * popularity) / 3.5)
    assert scores[1] == pytest.approx((np.array([1, 0, 0, 0, 0]) + 0.5 * popularity) / 1.5)
    assert scores[2:] == pytest.approx(np.tile(popularity, (2, 1)))


def test_a_window_counts_later_followers_less_by_the_decay():
    scores = ask(Markov(TRAIN, window=3, decay=0.5, smoothing=1e-9), [1])[0]
    assert scores == pytest.approx(np.array([0.5, 2, 1 + 0.25, 0, 0]) / 3.75, abs=1e-8)


def test_items_that_follow_equally_often_are_ranked_by_popularity_and_ties_stay_ties():
    train = from_rows([[1, 2], [1, 3], [4, 3], [1, 5]], num_items=5)
    scores = Markov(train)(from_rows([[1]], num_items=5), slice(0, 1))[0].numpy()
    assert scores[2] > scores[1] == scores[4] > scores[3]


@given(item_rows(items=5), item_rows(items=5), st.integers(1, 4), st.floats(0.1, 1), st.floats(1e-3, 10))
def test_scores_are_probabilities_and_older_items_change_nothing(train, asked, window, decay, smoothing):
    markov = Markov(from_rows([[1], *train], num_items=5), window, decay, smoothing)
    scores = ask(markov, *asked)
    assert scores == pytest.approx(ask(markov, *(row[-1:] for row in asked)), abs=1e-15)
    assert scores.sum(1) == pytest.approx(1)
    assert scores.min() >= 0


def test_it_learns_what_follows_the_last_item_and_not_what_follows_two():
    def hits(rows, items):
        split = leave_one_out(from_rows(rows, num_items=items))
        return hit_rate(rank_targets(Markov(split.train), split.test).kept, 1).mean()

    assert hits(successor_rows(np.random.default_rng(0)), 12) > 0.95
    assert hits(second_order_rows(np.random.default_rng(0)), 7) < 0.4


@pytest.mark.parametrize("wrong", [{"window": 0}, {"decay": 0.0}, {"decay": 1.5}, {"smoothing": 0.0}])
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Markov(TRAIN, **wrong)


def test_nothing_to_count_is_refused():
    with pytest.raises(InputError, match="no training actions"):
        Markov(from_rows([[], []], num_items=3))
