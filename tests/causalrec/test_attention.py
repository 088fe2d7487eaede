"""Boosted attention against its formula, and the equalities that every boost must keep."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.attention import Block, Boost, Dropout, attend, causal_mask, set_dropout_generator
from causalrec.errors import InputError
from tests.strategies import attention_inputs

pytestmark = pytest.mark.numeric


def explicit(q, k, v, mask, boost=None, relation=None):
    """The boost as the design writes it, on an attention matrix that is held in full."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask
    weights = torch.softmax(scores, -1)
    if boost is None:
        return weights @ v
    factor = 1 + boost.alpha * relation[:, None]
    if boost.mode == "filter":
        factor = ((relation[:, None] > 0) | torch.eye(mask.shape[-1], dtype=torch.bool)).double()
    weights = weights * factor
    if boost.mode != "raw":
        weights = weights / weights.sum(-1, keepdim=True)
    return weights @ v


@given(attention_inputs(), st.sampled_from(["renorm", "raw", "filter"]), st.floats(-0.9, 100))
def test_a_boost_is_its_formula(inputs, mode, alpha):
    q, k, v, mask, relation = inputs
    got = attend(q, k, v, mask, Boost(mode, alpha), relation)
    expected = explicit(q, k, v, mask, Boost(mode, alpha), relation.double())
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@given(attention_inputs(), st.sampled_from(["renorm", "raw"]), st.floats(-0.9, 1e8))
def test_an_empty_relation_changes_no_bit(inputs, mode, alpha):
    q, k, v, mask, relation = inputs
    plain = attend(q, k, v, mask)
    assert torch.equal(plain, attend(q, k, v, mask, Boost(mode, alpha), torch.zeros_like(relation)))
    assert torch.equal(plain, attend(q, k, v, mask, Boost(mode, 0.0), relation))


@given(attention_inputs(), st.floats(1e-8, 1e8))
def test_a_full_relation_changes_nothing_under_renorm(inputs, alpha):
    q, k, v, mask, relation = inputs
    boosted = attend(q, k, v, mask, Boost("renorm", alpha), torch.ones_like(relation))
    torch.testing.assert_close(boosted, attend(q, k, v, mask), rtol=0, atol=1e-12)


@given(attention_inputs(values=1), st.floats(1e-3, 1e3))
def test_causal_mass_p_becomes_its_boosted_share(inputs, alpha):
    q, k, _, mask, relation = inputs
    mass = relation[:, None].double().expand(-1, q.shape[1], -1, -1)
    eye = torch.eye(q.shape[2], dtype=torch.float64).expand_as(mass)
    p = (attend(q, k, eye, mask) * mass).sum(-1)
    boosted = (attend(q, k, eye, mask, Boost("renorm", alpha), relation) * mass).sum(-1)
    torch.testing.assert_close(boosted, (1 + alpha) * p / (1 + alpha * p), rtol=1e-10, atol=1e-12)


@given(attention_inputs(values=1), st.floats(0, 10), st.floats(0, 10))
def test_two_boosts_compose(inputs, alpha, beta):
    q, k, v, mask, relation = inputs
    composed = Boost("renorm", alpha + beta + alpha * beta)
    twice = attend(q, k, v, mask + torch.log1p(alpha * relation.double())[:, None], Boost("renorm", beta), relation)
    torch.testing.assert_close(attend(q, k, v, mask, composed, relation), twice, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["renorm", "raw"])
@pytest.mark.parametrize("exponent", range(-8, 9))
def test_every_decade_of_alpha_is_finite_in_float32(mode, exponent):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 6, 4, generator=generator) * 3 for _ in range(3))
    relation = torch.rand(2, 6, 6, generator=generator) < 0.5
    mask = causal_mask(torch.ones(2, 6, dtype=torch.bool), torch.float32)
    assert torch.isfinite(attend(q, k, v, mask, Boost(mode, 10.0**exponent), relation)).all()


@pytest.mark.parametrize(("mode", "alpha"), [("renorm", -1.0), ("renorm", float("nan")), ("raw", -1.5), ("up", 1.0)])
def test_a_boost_without_meaning_is_refused(mode, alpha):
    with pytest.raises(InputError, match=r"alpha|choose"):
        Boost(mode, alpha)


def test_raw_allows_minus_one_to_remove_the_causes():
    assert Boost("raw", -1.0).active


def test_the_mask_allows_the_past_and_always_oneself():
    mask = causal_mask(torch.tensor([[False, True, True]]), torch.float64)[0, 0]
    assert (mask == 0).tolist() == [[True, False, False], [False, True, False], [False, True, True]]


def test_one_mask_serves_sequences_without_padding():
    whole = causal_mask(torch.ones(3, 4, dtype=torch.bool), torch.float32)
    padded = causal_mask(torch.tensor([[True] * 4, [False] + [True] * 3]), torch.float32)
    assert whole.shape == (1, 1, 4, 4)
    assert torch.equal(whole[0], padded[0])


def test_normalised_values_have_unit_variance():
    block = Block(16, 2, 0.0, normalise_values=True)
    rows = block.exogenous(torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0)) * 7)
    torch.testing.assert_close(rows.var(-1, unbiased=False), torch.ones(3, 5), rtol=1e-5, atol=0)
    torch.testing.assert_close(rows.mean(-1), torch.zeros(3, 5), rtol=0, atol=1e-6)


def test_dropout_draws_only_from_its_generator_and_keeps_the_mean():
    dropout = Dropout(0.4)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        set_dropout_generator(dropout, torch.Generator().manual_seed(3))
        draws.append(dropout(torch.ones(100_000)))
    assert torch.equal(*draws)
    assert torch.equal(before, torch.get_rng_state())
    assert float(draws[0].mean()) == pytest.approx(1.0, abs=0.01)
    assert draws[0].unique().tolist() == pytest.approx([0.0, 1 / 0.6], rel=1e-4)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))


def test_dropout_without_a_generator_is_refused():
    with pytest.raises(RuntimeError, match="generator"):
        Dropout(0.5)(torch.ones(2))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_dropout_shares_outside_the_unit_interval_are_refused(share):
    with pytest.raises(InputError, match="dropout"):
        Dropout(share)


def test_heads_must_divide_the_width():
    with pytest.raises(InputError, match="heads"):
        Block(10, 3, 0.0)


def test_the_attention_matrix_is_the_one_that_mixes_the_values():
    block = Block(8, 2, 0.0, normalise_values=True).eval()
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = causal_mask(torch.ones(2, 5, dtype=torch.bool), x.dtype)
    values = block.exogenous(block.attention_norm(x)).unflatten(-1, (2, 4)).transpose(1, 2)
    mixed = (block.attention(x, mask) @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed, block(x, mask)[1])
