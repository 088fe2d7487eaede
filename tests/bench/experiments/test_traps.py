"""The traps that evaluations of recommenders fell into, one test each; they must not be possible here."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.experiments.model import recommend
from bench.plan import tuning
from causalrec.interactions import Interactions, from_rows, leave_one_out, to_sequences
from causalrec.model import SASRec, SASRecOptions
from causalrec.ranking import NonFiniteScores, hit_rate, ndcg, rank_targets
from causalrec.training import TrainingOptions, make_scorer, train
from tests.bench.made_up import model, with_data

ITEMS = 20
ROWS = [[1 + (start + step) % ITEMS for step in range(4 + start % 4)] for start in range(40)]
OPTIONS = TrainingOptions(epochs=4, batch=8, learning_rate=0.01, patience=2)


def fitted(rows, seed=0):
    split = leave_one_out(from_rows(rows, num_items=ITEMS))
    net = SASRec(SASRecOptions(ITEMS, length=6, width=8, dropout=0.1), torch.Generator().manual_seed(seed))
    draws = torch.Generator().manual_seed(seed + 1)
    progress = train(net, split, OPTIONS, shuffle=np.random.default_rng(seed), dropout=draws)
    return split, net, progress


def parameters(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def test_ndcg_is_not_divided_by_an_ideal_of_k_relevant_items():
    """Leave-one-out has one relevant item: its ideal is 1, not the sum of ten discounts (4.5 times as much)."""
    assert ndcg(np.array([1.0]))[0] == 1.0
    assert ndcg(np.array([2.0]))[0] == pytest.approx(1 / np.log2(3))


def test_constant_scores_do_not_hit_and_nan_is_no_rank():
    split = leave_one_out(from_rows(ROWS, num_items=ITEMS))

    def scorer(value):
        return lambda history, rows: torch.full((len(range(*rows.indices(len(history)))), ITEMS), value)

    assert hit_rate(rank_targets(scorer(0.5), split.test).kept, k=5).sum() == 0
    with pytest.raises(NonFiniteScores):
        rank_targets(scorer(float("nan")), split.test)


def test_the_test_items_steer_neither_weights_nor_the_epoch_that_is_kept():
    changed = [[*row[:-1], 1 + (row[-1] + 6) % ITEMS] for row in ROWS]
    (_, one, course), (_, two, again) = fitted(ROWS), fitted(changed)
    assert torch.equal(parameters(one), parameters(two))
    assert course == again


def test_a_setting_is_chosen_on_validation_though_the_test_prefers_another():
    setup = with_data()
    cells = tuning.tuning_cells(setup, "ml-100k", "sasrec")
    trials = setup.preset.real.trials
    results = [model(c, quality=1.0 - 0.5 * (k % trials), valid=0.2 + 0.5 * (k % trials)) for k, c in enumerate(cells)]
    chosen = tuning.chosen(setup, results, "ml-100k", "sasrec")
    assert [r.cell for r in chosen] == [r.cell for r in results[trials - 1 :: trials]]


def test_a_seed_decides_everything():
    state = torch.get_rng_state()
    (_, one, course), (_, two, again), (_, other, _) = fitted(ROWS), fitted(ROWS), fitted(ROWS, seed=5)
    assert torch.equal(parameters(one), parameters(two))
    assert course == again
    assert not torch.equal(parameters(one), parameters(other))
    assert torch.equal(state, torch.get_rng_state())


def test_one_metric_stops_training_and_it_is_the_one_that_is_kept():
    split, net, progress = fitted(ROWS)
    scores = [epoch["validation"] for epoch in progress.trace]
    assert progress.best == max(scores) == scores[progress.best_epoch - 1]
    assert progress.best == pytest.approx(ndcg(rank_targets(make_scorer(net), split.validation).kept).mean())


def test_ties_in_time_are_settled_by_the_file_s_order_and_counted():
    item, time, labels = np.array([0, 1, 2, 3]), np.array([1.0, 2.0, 2.0, 2.0]), ("a", "b", "c", "d")

    def last(order):
        rows = Interactions(np.zeros(4, np.int64), item[order], time[order], ("u",), labels)
        sequences = to_sequences(rows)
        return sequences.item_labels[sequences.row(0)[-1] - 1], sequences.statistics()["ties_share"]

    assert last([0, 1, 2, 3]) == ("d", pytest.approx(2 / 3))
    assert last([0, 3, 2, 1]) == ("b", pytest.approx(2 / 3))


def test_each_figure_says_its_protocol_and_both_rules_for_seen_items_are_shown():
    setup = with_data()
    results = [model(cell) for cell in recommend.plan(setup)]
    [table, *_] = recommend.tables(setup, results)
    assert {"HR@10", "NDCG@10", "HR@10 other", "NDCG@10 other", "HR@10 u100"} <= set(table.columns)
    assert "Leave-one-out, full catalogue" in table.note
    temporal = recommend.tables(replace(setup, split="temporal"), results)[0]
    assert "Leave-one-out" not in temporal.note


def test_a_candidate_set_flatters_and_has_a_name_of_its_own():
    split, net, _ = fitted([row[:4] for row in ROWS])
    ranks = rank_targets(make_scorer(net), split.test, negatives=5, generator=np.random.default_rng(0))
    assert (ranks.sampled <= ranks.filtered).all()
    assert ranks.sampled.mean() < ranks.filtered.mean()
