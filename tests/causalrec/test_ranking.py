"""Ranks and metrics by hand, and the traps that peers fell into."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import rankdata

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
    seen_items,
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
    assert hit_rate(ranks).dtype == ndcg(ranks).dtype == np.float64
    assert hit_rate(np.array([10.0, 10.5])).tolist() == [1, 0]
    assert ndcg(np.array([10.0, 10.5])).tolist() == pytest.approx([1 / np.log2(11), 0])
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


def _target(table):
    return torch.from_numpy(table[1].target - 1)


def _history(table):
    scores, targets = table
    return seen_items(targets.history, slice(0, len(scores)), scores.device)


@given(score_tables())
def test_the_expected_rank_is_the_average_rank_of_the_ties(table):
    scores, target = table[0], _target(table)
    expected = [rankdata(-row, method="average")[t] for row, t in zip(scores.numpy(), target, strict=True)]
    assert expected_rank(scores, target).tolist() == expected


@given(score_tables())
def test_leaving_items_out_is_ranking_among_the_others(table):
    scores, target, seen = table[0], _target(table), _history(table)
    for row, t, left_out, rank in zip(scores, target, seen, expected_rank(scores, target, seen), strict=True):
        if left_out[t]:
            assert rank == np.inf
        else:
            others = row[~left_out]
            assert rank == 1 + (others > row[t]).sum() + ((others == row[t]).sum() - 1) / 2


@given(score_tables(), st.integers(0, 8))
def test_no_rank_gets_worse_when_its_own_score_or_the_list_of_the_seen_grows(table, item):
    scores, target, seen = table[0], _target(table), _history(table)
    before = expected_rank(scores, target, seen)
    raised = scores.scatter_add(1, target[:, None], torch.ones_like(scores[:, :1]))
    assert (expected_rank(raised, target, seen) <= before).all()
    more = seen.clone()
    more[:, min(item, scores.shape[1] - 1)] = True
    more.scatter_(1, target[:, None], seen.gather(1, target[:, None]))
    assert (expected_rank(scores, target, more) <= before).all()


@given(score_tables(), st.data())
def test_seen_items_are_those_of_the_rows_asked_for(table, data):
    history = table[1].history
    start = data.draw(st.integers(0, len(history) - 1))
    stop = data.draw(st.integers(start + 1, len(history)))
    seen = seen_items(history, slice(start, stop), torch.device("cpu"))
    assert seen.shape == (stop - start, history.num_items)
    for row, user in zip(seen, range(start, stop), strict=True):
        assert set((row.nonzero()[:, 0] + 1).tolist()) == set(history.row(user).tolist())


@given(score_tables(), st.integers(0, 2**32 - 1))
def test_the_sampled_rank_is_filtered_at_most_and_equal_where_all_the_unseen_are_drawn(table, seed):
    scores, target, seen = table[0], _target(table), _history(table)
    seen.scatter_(1, target[:, None], False)
    unseen = (~seen).sum(1) - 1
    for row in range(len(scores)):
        one = slice(row, row + 1)
        filtered = expected_rank(scores[one], target[one], seen[one])
        for negatives in range(1, int(unseen[row]) + 1):
            rank = sampled_rank(scores[one], target[one], seen[one], negatives, np.random.default_rng(seed))
            assert 1 <= rank <= min(filtered, negatives + 1)
        if unseen[row]:
            assert rank == filtered


@given(st.lists(st.floats(1, 200) | st.just(np.inf), min_size=1), st.integers(1, 30))
def test_metrics_fall_with_the_rank_and_rise_with_k(values, k):
    ranks = np.sort(values)
    for metric in (hit_rate, ndcg):
        assert (np.diff(metric(ranks, k)) <= 0).all()
        assert (metric(ranks, k) <= metric(ranks, k + 1)).all()
    assert (np.diff(reciprocal_rank(ranks)) <= 0).all()
    assert (reciprocal_rank(ranks) <= 1).all()
    assert (ndcg(ranks, k) <= hit_rate(ranks, k)).all()
    assert (hit_rate(ranks, k) * ndcg(ranks, k + 1) == ndcg(ranks, k)).all()


@given(score_tables(), st.integers(1, 4))
def test_asking_for_negatives_leaves_the_other_ranks_alone(table, chunk):
    scores, targets = table
    seen = _history(table)
    seen.scatter_(1, _target(table)[:, None], True)
    assume(bool(((~seen).sum(1) > 0).all()))

    def rank(seed):
        generator = np.random.default_rng(seed)
        return rank_targets(lambda _, rows: scores[rows], targets, chunk=chunk, negatives=1, generator=generator)

    alone, beside = rank_targets(lambda _, rows: scores[rows], targets), rank(0)
    assert alone.sampled is None
    assert beside.kept.tolist() == alone.kept.tolist()
    assert beside.filtered.tolist() == alone.filtered.tolist()
    assert beside.sampled.tolist() == rank(0).sampled.tolist()
    assert set(beside.sampled) <= {1.0, 1.5, 2.0}


def test_no_users_are_refused():
    targets = leave_one_out(SEQUENCES).test
    nobody = replace(targets, history=targets.history.take(np.arange(0), np.arange(0)), target=targets.target[:0],
                     users=targets.users[:0])  # fmt: skip
    with pytest.raises(InputError, match=r"^no user to rank; the split left no targets$"):
        rank_targets(constant, nobody)


def test_all_negatives_give_the_filtered_rank():
    scores = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    seen = torch.zeros(3, 6, dtype=torch.bool)
    seen[:, 0] = True
    target = torch.tensor([1, 2, 3])
    sampled = sampled_rank(scores, target, seen, 4, np.random.default_rng(0))
    assert sampled.tolist() == expected_rank(scores, target, seen).tolist()


def test_no_seen_item_is_ever_drawn():
    """All 6 unseen items of 12 are asked for, so one seen item among them would change many of 200 ranks."""
    rng = np.random.default_rng(0)
    scores, places = torch.from_numpy(rng.random((200, 12))), rng.permuted(np.tile(np.arange(12), (200, 1)), axis=1)
    seen = torch.zeros(200, 12, dtype=torch.bool).scatter_(1, torch.from_numpy(places[:, :5]), True)
    target = torch.from_numpy(places[:, 5])
    assert sampled_rank(scores, target, seen, 6, rng).tolist() == expected_rank(scores, target, seen).tolist()


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
    with pytest.raises(InputError, match=r"^sampled negatives need a generator$"):
        rank_targets(constant, leave_one_out(SEQUENCES).test, negatives=1)
    generator = np.random.default_rng(0)
    assert rank_targets(constant, leave_one_out(SEQUENCES).test, generator=generator).sampled is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_ranks_are_exact_whatever_the_precision_of_the_scores(dtype):
    """Half precision cannot count above 2048; 4097 items with one above the target and none below."""
    scores = torch.zeros(1, 4097, dtype=dtype)
    scores[0, 0] = 1
    rank = expected_rank(scores, torch.tensor([1]))
    assert rank.dtype == np.float64
    assert rank.tolist() == [1 + 1 + 4095 / 2]
    excluded = torch.zeros(1, 4097, dtype=torch.bool)
    assert expected_rank(scores, torch.tensor([1]), excluded).tolist() == rank.tolist()
