"""FPMC: its score and loss by hand, what it can and cannot learn, and how it trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from causalrec.errors import InputError
from causalrec.interactions import Sequences, from_rows, leave_one_out
from causalrec.negatives import draw_others
from causalrec.ranking import hit_rate, ndcg, rank_targets
from causalrec.rivals.fpmc import FPMC, FPMCOptions
from causalrec.training import Diverged, TrainingOptions
from tests.strategies import second_order_rows, successor_rows

SIZES = FPMCOptions(width=8, regularisation=1e-4)
TRAINING = TrainingOptions(epochs=20, batch=128, learning_rate=0.02, schedule="constant")


def fit(split, options=SIZES, training=TRAINING, seed=0):
    return FPMC(split, options, training, torch.Generator().manual_seed(seed))


def tiny():
    return leave_one_out(from_rows([[1, 2, 3, 1], [2, 3, 1, 2], [3]], num_items=4))


def personal_rows(users=60):
    """Every user has a cycle of three items of their own among nine: both who it is and what was last matter."""
    rng = np.random.default_rng(3)
    return [np.resize(rng.permutation(9)[:3] + 1, 15).tolist() for _ in range(users)]


@pytest.mark.parametrize("loss", ["sbpr", "full"])
def test_it_learns_what_follows_the_last_item_and_not_what_follows_two(loss):
    def hits(rows, items):
        split = leave_one_out(from_rows(rows, num_items=items))
        return hit_rate(rank_targets(fit(split, replace(SIZES, loss=loss)), split.test).kept, 1).mean()

    assert hits(successor_rows(np.random.default_rng(0)), 12) > 0.9
    assert hits(second_order_rows(np.random.default_rng(0)), 7) < 0.4


def test_it_learns_whose_history_it_is():
    """Without the user a last item has eight possible followers; without the last item a user has three."""
    split = leave_one_out(from_rows(personal_rows(), num_items=9))
    model = fit(split, training=replace(TRAINING, epochs=80))
    assert hit_rate(rank_targets(model, split.test).kept, 1).mean() > 0.6
    history = split.test.history
    strangers = tuple(f"stranger {user}" for user in range(len(history)))
    unknown = replace(split.test, history=replace(history, user_labels=strangers))
    assert hit_rate(rank_targets(model, unknown).kept, 1).mean() < 0.4


def test_a_score_is_matrix_factorisation_plus_markov_chain():
    split = tiny()
    model = fit(split, training=replace(TRAINING, epochs=1))
    rows = ((1, 0, [2, 1]), (0, 2, []), (2, 1, [3]))
    labels = tuple(split.train.user_labels[user] for user, *_ in rows)
    base = from_rows([row for *_, row in rows], num_items=4)
    scores = model(Sequences(base.items, base.offsets, None, 4, labels, base.item_labels), slice(0, 3))
    user, last, personal, chain = model.user, model.last, model.item[:, :8], model.item[:, 8:]
    assert torch.allclose(scores[0], personal @ user[2] + chain @ last[1])
    assert torch.allclose(scores[1], personal @ user[1])
    assert torch.allclose(scores[2], personal @ user[3] + chain @ last[3])


def test_users_without_training_actions_and_strangers_have_the_chain_alone():
    split = leave_one_out(from_rows([[1, 2, 3, 1], []], num_items=4))
    model = fit(split, training=replace(TRAINING, epochs=1))
    labels = (split.train.user_labels[1], "stranger")
    history = from_rows([[2], [2]], num_items=4)
    scores = model(replace(history, user_labels=labels), slice(0, 2))
    assert torch.allclose(scores, (model.item[:, 8:] @ model.last[2]).expand(2, -1))


def test_the_loss_by_hand():
    model = fit(tiny(), replace(SIZES, regularisation=0.5), replace(TRAINING, epochs=1))
    user, last, target = torch.tensor([1, 2]), torch.tensor([0, 3]), torch.tensor([2, 0])
    state = model.generator.get_state()
    wrong = draw_others(target, 4, 1, model.generator)[:, 0]
    model.generator.set_state(state)
    context = torch.cat([model.user[user], model.last[last]], 1)
    context[0, 8:] = 0
    gap = (context * (model.item[target] - model.item[wrong])).sum(1)
    size = sum(part.square().sum(1) for part in (context, model.item[target], model.item[wrong]))
    expected = (-torch.log(torch.sigmoid(gap)) + 0.5 * size).mean()
    assert torch.allclose(model.loss(user, last, target), expected)
    full = replace(SIZES, regularisation=0.0, loss="full")
    model.options = full
    expected = functional.cross_entropy(context @ model.item.T, target)
    assert torch.allclose(model.loss(user, last, target), expected)


def test_it_is_left_at_its_best_validation_epoch_and_stops_there():
    split = leave_one_out(from_rows(personal_rows(), num_items=9))
    options = replace(TRAINING, epochs=200, patience=3, learning_rate=0.05)
    model = fit(split, training=options)
    scores = [epoch["validation"] for epoch in model.progress.trace]
    assert model.progress.best == max(scores)
    assert model.progress.epoch == model.progress.best_epoch + 3 < 200
    assert ndcg(rank_targets(model, split.validation).kept).mean() == max(scores)


def test_the_generator_alone_decides():
    state = torch.get_rng_state()
    one, same, other = (fit(tiny(), training=replace(TRAINING, epochs=2), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.item, same.item)
    assert not torch.equal(one.item, other.item)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.numeric
def test_golden_losses():
    """Exact on one machine; 1e-4 leaves room for another BLAS."""
    trace = fit(tiny(), training=replace(TRAINING, epochs=20, batch=2)).progress.trace
    got = [trace[epoch]["recommendation"] for epoch in (0, 9, 19)]
    assert got == pytest.approx([0.6965171456, 0.4929003894, 0.0812086768], rel=1e-4)


def test_a_loss_that_is_not_finite_ends_training():
    with pytest.raises(Diverged, match="lower the learning rate"):
        fit(tiny(), training=replace(TRAINING, learning_rate=1e30))


@pytest.mark.parametrize("wrong", [{"width": 0}, {"regularisation": -1.0}, {"loss": "magic"}])
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        FPMCOptions(**wrong)
