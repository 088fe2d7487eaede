"""Ranks and metrics by hand, and the traps that peers fell into."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec import ranking
from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.ranking import (
    NonFiniteScores,
    expected_rank,
    hit_rate,
    ndcg,
    rank_targets,
    reciprocal_rank,
    sampled_rank,
)
from tests.strategies import score_tables

SEQUENCES = from_rows([[1, 2, 3, 4], [2, 3, 5], [5, 4, 3, 2, 1]], num_items=6)


def constant(history, rows):
    return torch.zeros(rows.stop - rows.start, history.num_items)


def test_ranks_by_hand():
    scores = torch.tensor([[5.0, 4.0, 4.0, 1.0]] * 4)
    assert expected_rank(scores, torch.arange(4)).tolist() == [1.0, 2.5, 2.5, 4.0]
    excluded = torch.tensor([[True, False, False, False]] * 4)
    assert expected_rank(scores, torch.arange(4), excluded).tolist() == [np.inf, 1.5, 1.5, 3.0]


def test_metrics_by_hand():
    ranks = np.array([1.0, 2.5, 3.0, 11.0, np.inf])
    assert hit_rate(ranks, 10).tolist() == [1, 1, 1, 0, 0]
    assert ndcg(ranks, 10).tolist() == pytest.approx([1.0, 1 / np.log2(3.5), 0.5, 0, 0])
    assert reciprocal_rank(ranks).tolist() == pytest.approx([1, 0.4, 1 / 3, 1 / 11, 0])


def test_constant_scores_earn_no_hit():
    """A rank counted as "scores above the target" would give every user HR = 1."""
    sequences = from_rows([[1, 2, 3]] * 5, num_items=50)
    ranks = rank_targets(constant, leave_one_out(sequences).test)
    assert ranks.kept.tolist() == [25.5] * 5
    assert hit_rate(ranks.kept).sum() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(value):
    def broken(history, rows):
        return constant(history, rows).index_fill(1, torch.tensor([3]), value)

    with pytest.raises(NonFiniteScores, match="users 0 to 2"):
        rank_targets(broken, leave_one_out(SEQUENCES).test)


def test_a_perfect_first_place_has_an_ndcg_of_one():
    """NDCG divided by the ideal of k relevant items would be 4.5 times too low under leave-one-out."""
    targets = leave_one_out(SEQUENCES).test

    def oracle(history, rows):
        return torch.nn.functional.one_hot(torch.from_numpy(targets.target[rows] - 1), history.num_items).double()

    ranks = rank_targets(oracle, targets)
    assert ndcg(ranks.kept).tolist() == ndcg(ranks.filtered).tolist() == [1.0] * 3


def test_filtering_leaves_out_the_history_and_counts_a_repeat_as_a_miss():
    targets = leave_one_out(from_rows([[1, 2, 3], [1, 2, 1]], num_items=4)).test

    def rising(history, rows):
        return -torch.arange(4.0).expand(rows.stop - rows.start, -1)

    ranks = rank_targets(rising, targets)
    assert ranks.kept.tolist() == [3.0, 1.0]
    assert ranks.filtered.tolist() == [1.0, np.inf]


@given(score_tables(), st.integers(1, 5))
def test_chunks_never_change_a_rank(table, chunk):
    scores, targets = table

    def score(history, rows):
        return scores[rows]

    whole, cut = rank_targets(score, targets), rank_targets(score, targets, chunk=chunk)
    assert whole.kept.tolist() == cut.kept.tolist()
    assert whole.filtered.tolist() == cut.filtered.tolist()


def test_a_large_catalogue_is_ranked_by_fewer_users_at_a_time(monkeypatch):
    monkeypatch.setattr(ranking, "LARGEST", 9)
    targets = leave_one_out(from_rows([[1, 2, 3]] * 5, num_items=4)).test
    asked = []

    def score(history, rows):
        asked.append(rows.stop - rows.start)
        return torch.zeros(asked[-1], 4)

    assert rank_targets(score, targets).kept.tolist() == [2.5] * 5
    assert asked == [2, 2, 1]
    monkeypatch.setattr(ranking, "LARGEST", 1)
    rank_targets(score, targets)
    assert asked[3:] == [1] * 5


@given(score_tables())
def test_ranks_of_all_items_sum_to_the_triangle_number(table):
    scores, _ = table
    items = scores.shape[1]
    ranks = [expected_rank(scores, torch.full((len(scores),), item)) for item in range(items)]
    assert np.sum(ranks, axis=0).tolist() == [items * (items + 1) / 2] * len(scores)


@given(score_tables(), st.randoms(use_true_random=False))
def test_renaming_items_or_a_rising_map_of_scores_keeps_ranks(table, random):
    scores, targets = table
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    target = torch.from_numpy(targets.target - 1)
    renamed = torch.tensor([order.index(t) for t in target.tolist()])
    ranks = expected_rank(scores, target)
    assert ranks.tolist() == expected_rank(scores[:, order], renamed).tolist()
    assert ranks.tolist() == expected_rank(scores * 2 + 1, target).tolist()


def test_all_negatives_give_the_filtered_rank():
    scores = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    seen = torch.zeros(3, 6, dtype=torch.bool)
    seen[:, 0] = True
    target = torch.tensor([1, 2, 3])
    sampled = sampled_rank(scores, target, seen, 4, np.random.default_rng(0))
    assert sampled.tolist() == expected_rank(scores, target, seen).tolist()


def test_negatives_are_uniform_over_the_unseen():
    users, items, negatives = 4000, 6, 2
    seen = torch.zeros(users, items, dtype=torch.bool)
    seen[:, 5] = True
    target = torch.zeros(users, dtype=torch.int64)
    share = []
    for item in range(1, 5):
        scores = torch.zeros(users, items)
        scores[:, item], scores[:, 0] = 2.0, 1.0
        share.append((sampled_rank(scores, target, seen, negatives, np.random.default_rng(item)) > 1).mean())
    assert share == pytest.approx([0.5] * 4, abs=0.04)


def test_more_negatives_than_unseen_items_are_refused():
    with pytest.raises(InputError, match="unseen"):
        rank_targets(constant, leave_one_out(SEQUENCES).test, negatives=6, generator=np.random.default_rng(0))


def test_negatives_without_a_generator_are_refused():
    with pytest.raises(InputError, match="generator"):
        rank_targets(constant, leave_one_out(SEQUENCES).test, negatives=1)
