"""Losses with negatives: equalities with the full softmax and with each other, gradients, who may be drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional

from causalrec import negatives
from causalrec.attention import set_dropout_generator
from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.losses import linear_cross_entropy
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.negatives import (
    LOSSES,
    binary_cross_entropy,
    draw_others,
    draw_unseen,
    gbce_power,
    next_item_loss,
    sampled_softmax,
)
from causalrec.ranking import hit_rate, rank_targets
from causalrec.training import TrainingOptions, make_scorer, train
from tests.strategies import item_batches, pair_rows, successor_rows

SEEDS = st.integers(0, 2**31)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(seed, rows=5, items=7, width=4):
    g = generator(seed)
    x, item = (torch.randn(n, width, dtype=torch.float64, generator=g).requires_grad_() for n in (rows, items))
    return x, item, torch.randint(items, (rows,), generator=g), g


def same(ours, theirs, *inputs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    pairs = zip(torch.autograd.grad(ours * 3, inputs), torch.autograd.grad(theirs * 3, inputs), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@given(SEEDS, st.integers(1, 6), st.integers(2, 9))
def test_sampled_softmax_over_all_items_is_the_full_softmax(seed, rows, items):
    x, item, target, g = made(seed, rows, items)
    everything = torch.randperm(items, generator=g)
    same(sampled_softmax(x, item, target, everything), linear_cross_entropy(x, item, target), x, item)


@given(SEEDS, st.integers(1, 9), st.integers(1, 7))
def test_sampled_softmax_and_its_gradients_are_those_of_pytorch(seed, rows, k):
    x, item, target, g = made(seed, rows)
    drawn = torch.randperm(7, generator=g)[:k]
    bad = (x @ item[drawn].T - np.log(k / 7)).masked_fill(drawn == target[:, None], -np.inf)
    logits = torch.cat([(x * item[target]).sum(1, keepdim=True), bad], 1)
    expected = functional.cross_entropy(logits, torch.zeros(rows, dtype=torch.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negatives, "SAMPLED_ROWS", 4)
        same(sampled_softmax(x, item, target, drawn), expected, x, item)


def test_sampled_softmax_does_not_overflow():
    x, item, target, _ = made(0)
    loss = sampled_softmax(1e3 * x, item, target, torch.arange(3))
    assert all(bool(torch.isfinite(value).all()) for value in (loss, *torch.autograd.grad(loss, (x, item))))


@given(SEEDS)
def test_the_sum_over_sampled_negatives_is_unbiased(seed):
    """Over all sets of k of the items, each as likely, e^-(log softmax) averages to that of the full softmax."""
    x, item, target, _ = made(seed, rows=1, items=5)
    sets = torch.combinations(torch.arange(5), 2)
    odds = torch.stack([sampled_softmax(x, item, target, drawn).exp() for drawn in sets]).mean()
    torch.testing.assert_close(odds, linear_cross_entropy(x, item, target).exp(), rtol=1e-12, atol=1e-12)


@given(SEEDS, st.integers(1, 6), st.integers(1, 5), st.floats(0, 1))
def test_binary_cross_entropy_and_its_gradients_are_those_of_pytorch(seed, rows, k, power):
    x, item, target, g = made(seed, rows)
    drawn = torch.randint(7, (rows, k), generator=g)
    good = (x * item[target]).sum(1)
    bad = torch.einsum("td,tkd->tk", x, item[drawn])
    expected = power * functional.softplus(-good) + functional.softplus(bad).sum(1)
    same(binary_cross_entropy(x, item, target, drawn, power), expected.mean() / (k + 1), x, item)


@pytest.mark.parametrize("changed", [{"DENSE_ROWS": 2}, {"DENSE_ITEMS": 0}, {"DENSE_ITEMS": 0, "CHUNK": 7}])
def test_neither_chunks_nor_how_scores_are_had_change_anything(monkeypatch, changed):
    x, item, target, g = made(0, rows=9)
    drawn = torch.randint(7, (9, 3), generator=g)
    whole = binary_cross_entropy(x, item, target, drawn, 0.3)
    gradients = torch.autograd.grad(whole, (x, item))
    for name, value in changed.items():
        monkeypatch.setattr(negatives, name, value)
    chunked = binary_cross_entropy(x, item, target, drawn, 0.3)
    torch.testing.assert_close(chunked, whole)
    for a, b in zip(torch.autograd.grad(chunked, (x, item)), gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_the_power_of_gbce():
    """beta of Petrov & Macdonald 2023, on ML-1M with 256 negatives and t = 0.75."""
    rate = 256 / 3415
    assert gbce_power(3416, 256, 0.0) == 1.0
    assert gbce_power(3416, 256, 1.0) == pytest.approx(rate)
    assert gbce_power(3416, 256, 0.75) == pytest.approx(rate * (0.75 * (1 - 1 / rate) + 1 / rate))


@given(item_batches(), SEEDS)
def test_gbce_at_t_0_is_bce_on_the_same_negatives(items, seed):
    target = items.roll(-1, 1) * (items != 0)
    t = int((target != 0).sum())
    assume(t)
    x, item, _, _ = made(seed, t, 12)
    loss = next_item_loss("gbce", x, item, items, target, negatives=3, calibration=0.0, generator=generator(seed))
    drawn = draw_others(target[target != 0] - 1, 12, 3, generator(seed))
    torch.testing.assert_close(loss, binary_cross_entropy(x, item, target[target != 0] - 1, drawn))


@given(item_batches(), SEEDS)
def test_negatives_of_bce_are_in_no_row_and_every_other_item_may_be_one(items, seed):
    drawn = draw_unseen(items, items, 12, 200, generator(seed))
    for row, ours in zip(items, drawn, strict=True):
        seen = {int(item) - 1 for item in row if item}
        assert set(ours.unique().tolist()) == set(range(12)) - seen


def test_negatives_of_bce_are_uniform():
    drawn = draw_unseen(torch.tensor([[0, 2, 5]]), torch.tensor([[0, 5, 6]]), 9, 20_000, generator())
    counts = np.bincount(drawn.flatten(), minlength=9)
    unseen = [0, 2, 3, 6, 7, 8]
    assert counts.sum() == counts[unseen].sum()
    assert counts[unseen] == pytest.approx(10_000, abs=500)


def test_negatives_of_gbce_are_all_items_but_the_target():
    drawn = draw_others(torch.tensor([0, 3, 4]), 5, 5_000, generator())
    for target, row in zip((0, 3, 4), drawn, strict=True):
        counts = np.bincount(row, minlength=5)
        assert counts[target] == 0
        assert np.delete(counts, target) == pytest.approx(1250, abs=150)


def test_a_row_that_has_every_item_leaves_nothing_to_draw():
    with pytest.raises(InputError, match="all 3 items"):
        draw_unseen(torch.tensor([[1, 2]]), torch.tensor([[2, 3]]), 3, 1, generator())
    with pytest.raises(InputError, match="no negative"):
        draw_others(torch.tensor([0]), 1, 1, generator())


def test_a_loss_with_negatives_needs_a_generator():
    x, item, target, _ = made(0)
    with pytest.raises(RuntimeError, match="needs a generator"):
        next_item_loss("bce", x, item, target[None] + 1, target[None] + 1)


@pytest.mark.parametrize(
    "wrong", [{"loss": "magic"}, {"negatives": 0}, {"negatives": 10}, {"calibration": 1.5}, {"attention": "hard"}]
)
def test_options_without_meaning_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SASRecOptions(9, **wrong)


def hits(loss, rows, items):
    """HR@1 with seen items kept, and the trace of training."""
    split = leave_one_out(from_rows(rows, num_items=items))
    model = SASRec(SASRecOptions(items, length=18, width=16, layers=1, dropout=0.0, loss=loss), generator(1))
    training = TrainingOptions(epochs=40, batch=16, learning_rate=0.02)
    progress = train(model, split, training, shuffle=np.random.default_rng(2), dropout=generator(3))
    return hit_rate(rank_targets(make_scorer(model), split.test).kept, 1).mean(), progress.trace


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_learns_what_follows_under_every_loss(loss):
    """And twice the same from the same generators, the global one left alone."""
    state = torch.get_rng_state()
    rows = pair_rows(np.random.default_rng(0))
    share, trace = hits(loss, rows, items=30)
    assert share > 0.9
    assert hits(loss, rows, items=30)[1] == trace
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("loss", "learned"), [("full", True), ("gbce", True), ("bce", False)])
def test_bce_as_published_cannot_order_the_items_of_a_user(loss, learned):
    """A walk round a ring of 19 leaves out at most two items, and no other is ever a negative of its row."""
    rows = successor_rows(np.random.default_rng(0), users=100, items=19)
    assert (hits(loss, rows, items=19)[0] > 0.9) == learned


def test_the_full_softmax_draws_nothing_and_causalrec_takes_any_loss():
    items = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    target = items.roll(-1, 1) * (items != 0)
    for loss in LOSSES:
        model = CausalRec(CausalRecOptions(9, length=4, width=8, dropout=0.0, loss=loss), generator())
        draws = generator(1)
        set_dropout_generator(model, draws)
        value, terms = model.train().loss(items, target)
        assert torch.isfinite(value)
        assert set(terms) >= {"recommendation", "h"}
        assert torch.equal(draws.get_state(), generator(1).get_state()) == (loss == "full")
    assert replace(model.options, negatives=9).negatives == 9
