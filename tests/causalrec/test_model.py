"""What must hold of SASRec and CausalRec whatever their weights, and a golden run of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.attention import Boost, causal_mask, set_dropout_generator
from causalrec.discovery import admissible, fit_error
from causalrec.errors import InputError
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from tests.strategies import item_batches

pytestmark = pytest.mark.numeric

ITEMS, LENGTH = 12, 6
SMALL = CausalRecOptions(ITEMS, length=LENGTH, width=8, layers=2, heads=2, dropout=0.0)
DENSE = replace(SMALL, boost=Boost("renorm", 5.0), tau=0.0, delta=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def causalrec(options=SMALL, seed=0):
    return CausalRec(options, generator(seed)).eval()


def sasrec(seed=0, **changes):
    fields = {"length": LENGTH, "width": 8, "layers": 2, "heads": 2, "dropout": 0.0, "normalised": 1} | changes
    return SASRec(SASRecOptions(ITEMS, **fields), generator(seed)).eval()


@given(item_batches(), st.sampled_from(["renorm", "raw"]))
def test_without_boost_and_graph_loss_causalrec_is_sasrec_to_the_bit(items, mode):
    ours = causalrec(replace(SMALL, boost=Boost(mode, 0.0), beta=0.0))
    assert torch.equal(ours.scores(items), sasrec().scores(items))


def test_without_boost_and_graph_loss_it_also_trains_like_sasrec_to_the_bit():
    items, target = torch.randint(1, ITEMS + 1, (2, 8, LENGTH), generator=generator(5))
    states = []
    for model in (
        CausalRec(replace(SMALL, boost=Boost("renorm", 0.0), beta=0.0, dropout=0.3), generator()),
        SASRec(SASRecOptions(ITEMS, LENGTH, 8, 2, 2, 0.3, normalised=1), generator()),
    ):
        set_dropout_generator(model, generator(1))
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            loss, _ = model.loss(items, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        state = model.state_dict()
        states.append({name: value for name, value in state.items() if name.startswith(("item", "blocks"))})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def blind(dropout=0.0):
    """SASRec whose attention scores are all 0, since its queries are."""
    model = sasrec(dropout=dropout)
    with torch.no_grad():
        for block in model.blocks:
            block.query.weight.zero_()
            block.query.bias.zero_()
    return model


@given(item_batches(), st.booleans())
def test_the_uniform_twin_is_sasrec_with_scores_of_0_to_the_bit(items, last):
    twin = sasrec(attention="uniform")
    assert torch.equal(twin.encode(items, last)[0], blind().encode(items, last)[0])
    assert torch.equal(twin.scores(items), blind().scores(items))


@given(item_batches(), st.integers(0, 2**32))
def test_the_uniform_twin_also_trains_as_sasrec_with_scores_of_0_to_the_bit(items, seed):
    models = sasrec(attention="uniform", dropout=0.3).train(), blind(dropout=0.3).train()
    states, gradients = [], []
    for model in models:
        set_dropout_generator(model, generator(seed))
        states.append(model.encode(items)[0])
        model.loss(items, items)[0].backward()
        named = model.named_parameters()
        gradients.append({name: weight.grad for name, weight in named if not {"query", "key"} & {*name.split(".")}})
        assert all(block.key.weight.grad is None or not block.key.weight.grad.any() for block in model.blocks)
    assert torch.equal(*states)
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[1])


@given(item_batches())
def test_uniform_attention_is_the_mean_over_the_real_positions(items):
    twin, mask = sasrec(attention="uniform"), causal_mask(items != 0, torch.float32)
    weights = twin.blocks[0].attention(twin.embed(items)[1], mask)
    expected = torch.isfinite(mask).float()
    torch.testing.assert_close(weights, (expected / expected.sum(-1, keepdim=True)).expand_as(weights))


@given(item_batches(), st.sampled_from(["renorm", "raw"]), st.floats(-0.9, 1e6))
def test_an_empty_graph_changes_no_logit(items, mode, alpha):
    unreachable = replace(SMALL, tau=1e9, beta=0.0)
    boosted = causalrec(replace(unreachable, boost=Boost(mode, alpha)))
    plain = causalrec(replace(unreachable, boost=Boost(mode, 0.0)))
    assert torch.equal(boosted.scores(items), plain.scores(items))


def test_the_boost_is_not_a_bystander():
    items = torch.randint(1, ITEMS + 1, (4, LENGTH), generator=generator(2))
    scores = [causalrec(replace(DENSE, boost=Boost(mode, alpha))).scores(items) for mode, alpha in
              [("renorm", 0.0), ("renorm", 5.0), ("raw", 5.0), ("filter", 1.0)]]
    assert all(not torch.allclose(a, b) for n, a in enumerate(scores) for b in scores[:n])


@pytest.mark.parametrize("mode", ["renorm", "raw", "filter"])
@given(items=item_batches(), position=st.integers(0, LENGTH - 2), item=st.integers(1, ITEMS))
def test_later_items_leave_earlier_outputs_untouched(mode, items, position, item):
    model = causalrec(replace(DENSE, boost=Boost(mode, 5.0)))
    changed = items.clone()
    changed[:, position + 1 :] = item
    same = slice(None, position + 1)
    assert torch.equal(model.encode(items)[0][:, same], model.encode(changed)[0][:, same])


@pytest.mark.parametrize("mode", ["renorm", "raw", "filter"])
@given(items=item_batches())
def test_the_last_position_alone_is_what_all_positions_give(mode, items):
    model = causalrec(replace(DENSE, boost=Boost(mode, 5.0), layers=3))
    alone, together = model.encode(items, last=True)[0], model.encode(items)[0]
    torch.testing.assert_close(alone[:, 0], together[:, -1], rtol=1e-5, atol=1e-6)


@given(item_batches(), st.integers(1, 4))
def test_left_padding_changes_nothing(items, padding):
    long = replace(DENSE, length=LENGTH + 4)
    padded = torch.cat([torch.zeros(len(items), padding, dtype=torch.int64), items], 1)
    model = causalrec(long)
    torch.testing.assert_close(model.scores(items), model.scores(padded), rtol=1e-5, atol=1e-5)
    mine, theirs = model.encode(items)[1], model.encode(padded)[1]
    for term in ("acyclicity_b", "fit_b", "sparsity_b"):
        torch.testing.assert_close(getattr(mine, term), getattr(theirs, term), rtol=1e-4, atol=1e-6)


@given(item_batches(), st.permutations(range(ITEMS)))
def test_renaming_the_items_renames_the_scores(items, permutation):
    order = torch.tensor(permutation)
    model, renamed = causalrec(DENSE), causalrec(DENSE)
    with torch.no_grad():
        renamed.item.weight[1 + order] = model.item.weight[1:].clone()
    new_name = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + order])
    torch.testing.assert_close(
        renamed.scores(new_name[items])[:, order], model.scores(items), rtol=1e-5, atol=1e-5
    )


@given(item_batches(), st.randoms(use_true_random=False))
def test_permuting_the_batch_permutes_the_scores(items, random):
    order = list(range(len(items)))
    random.shuffle(order)
    model = causalrec(DENSE)
    torch.testing.assert_close(model.scores(items[order]), model.scores(items)[order], rtol=1e-5, atol=1e-6)


@given(item_batches())
def test_w_is_exactly_zero_on_padding_the_diagonal_and_equal_items(items):
    graph = causalrec(DENSE).encode(items)[1]
    assert (graph.weights_bij[~admissible(items)] == 0).all()
    assert not admissible(items).diagonal(dim1=1, dim2=2).any()
    assert (graph.weights_bij >= 0).all()


@given(item_batches())
def test_r_points_from_the_past_and_is_w_above_its_threshold(items):
    options = replace(DENSE, tau=0.02)
    graph = causalrec(options).encode(items)[1]
    past = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril(-1)
    assert torch.equal(graph.relation_bij, (graph.weights_bij >= 0.02) & past)
    assert not graph.relation_bij.requires_grad


def test_the_fit_sends_no_gradient_into_attention():
    model = causalrec(DENSE)
    graph = model.encode(torch.randint(1, ITEMS + 1, (3, LENGTH), generator=generator(1)))[1]
    graph.fit_b.mean().backward()
    assert all(p.grad is None for block in model.blocks for p in block.parameters())
    assert model.discovery.effect.weight.grad.abs().sum() > 0


def test_the_fit_error_by_hand():
    z = torch.tensor([[[1.0, -1.0], [3.0, -3.0]]])
    weights = torch.zeros(1, 2, 2)
    weights[0, 1, 0], weights[0, 0, 1] = 2.0, 9.0
    # Row 0 has no past: 1/2. Row 1: 3 - 2 = 1: 1/2. The weight on the future is not used.
    assert fit_error(weights, z, torch.ones(1, 2, dtype=torch.bool)).item() == pytest.approx(0.5)


def test_the_joint_loss_is_the_sum_of_its_terms():
    model = causalrec(replace(SMALL, beta=2.0, sparsity=0.3, delta=0.0))
    model.lagrangian = replace(model.lagrangian, gamma=0.7, rho=5.0)
    items = torch.randint(1, ITEMS + 1, (4, LENGTH), generator=generator(1))
    target = torch.randint(1, ITEMS + 1, (4, LENGTH), generator=generator(2))
    loss, t = model.loss(items, target)
    dag = t["fit"] + 0.3 * t["sparsity"] + 0.7 * t["h"] + 2.5 * t["h"] ** 2
    assert t["h"] > 0
    assert loss.item() == pytest.approx(float(t["recommendation"] + 2 * dag), rel=1e-5)


def test_the_lagrangian_moves_with_h_and_lives_in_the_state():
    model = causalrec()
    model.end_period({"h": 0.5})
    model.end_period({"h": 0.4})
    assert (model.lagrangian.gamma, model.lagrangian.rho) == (pytest.approx(0.5 + 0.4), 10.0)
    assert model.state_dict()["multipliers"].tolist() == pytest.approx([0.9, 10.0, 0.4])


def test_rho_starts_and_grows_as_asked():
    model = causalrec(replace(SMALL, rho=4.0, growth=3.0))
    for h in (0.5, 0.4):
        model.end_period({"h": h})
    assert (model.lagrangian.gamma, model.lagrangian.rho) == (pytest.approx(4 * 0.5 + 4 * 0.4), 12.0)
    for wrong in ({"rho": 0.0}, {"rho": 1e9}, {"growth": 0.5}, {"growth": float("inf")}):
        with pytest.raises(InputError, match=r"rho = .* growth = "):
            replace(SMALL, **wrong)


def test_building_a_model_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, second = causalrec(seed=3), causalrec(seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("change", [{"items": 0}, {"length": 0}, {"layers": 1}, {"beta": -1.0}, {"tau": float("nan")},
                                    {"attention": "uniform"}])
def test_options_without_meaning_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(SMALL, **change)


def test_a_sequence_longer_than_the_model_is_refused():
    with pytest.raises(InputError, match="positions"):
        causalrec().scores(torch.ones(1, LENGTH + 1, dtype=torch.int64))


@settings(max_examples=10)
@given(item_batches())
def test_the_item_graph_is_the_graph_of_every_sequence(items):
    model = causalrec(DENSE)
    graph = model.encode(items)[1]
    item_graph = model.item_graph()
    b, i, j = np.nonzero(admissible(items).numpy())
    expected = item_graph[items[b, i] - 1, items[b, j] - 1]
    torch.testing.assert_close(graph.weights_bij[b, i, j].detach(), expected, rtol=1e-4, atol=1e-6)
