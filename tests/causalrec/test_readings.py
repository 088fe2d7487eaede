"""Every reading of CausalRec: its formula, what it may see, where gradients go, and what it is without boost."""

from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.acyclicity import truncated_exponential
from causalrec.attention import BOOSTS, Boost, causal_mask, set_dropout_generator
from causalrec.discovery import (
    CHOICES,
    ITEM_LEVEL,
    SOURCES,
    Discovery,
    Graph,
    Reading,
    admissible,
    fit_error,
    implied_weights,
    mix,
    solved_weights,
)
from causalrec.errors import InputError
from causalrec.interactions import from_rows, leave_one_out
from causalrec.lagrangian import Lagrangian
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions, two_way_mask
from causalrec.optimisers import clip, make_optimisers
from causalrec.relation import LEAKING, RULES
from causalrec.training import Diverged, TrainingOptions, take_step, train
from tests.strategies import item_batches

ITEMS, LENGTH = 12, 6
DENSE = CausalRecOptions(
    ITEMS, length=LENGTH, width=8, layers=3, heads=2, dropout=0.0, boost=Boost("renorm", 5.0), tau=0.01, delta=0.0
)
WITHOUT_LEAKS = [
    *({"source": source} for source in SOURCES if source not in ("fixed", "item_bilinear")),
    {"source": "fixed", "beta": 0.0},
    {"sign": "signed"},
    {"source": "closed_form", "sign": "signed", "mixing": "residual"},
    {"source": "inner_solve", "fit": "none"},
    *({"relation": rule} for rule in RULES if rule not in LEAKING),
    *({"mixing": mixing} for mixing in ("rescaled", "residual")),
    {"placement": "mixed"},
    {"normalised": 0},
    {"fit": "full"},
    {"fit": "none"},
    {"stop": False, "source": "contextual"},
    {"acyclicity": False},
    {"constrained": "used"},
    {"constrained": "used", "relation": "soft"},
    {"repeats": True},
    {"graph_rate": 3.0},
    {"raise_rho": "converged"},
    {"branch": "side"},
    {"boosted_layers": (2,)},
    {"boost": Boost("renorm", 5.0, heads=1)},
    {"boost": Boost("filter", heads=1)},
    {"boost": Boost("raw", 5.0, heads=1)},
    {"positions": "last"},
]
LEAKS = [
    {"bidirectional": True},
    {"source": "inner_solve", "fit": "full"},
    *({"relation": rule} for rule in LEAKING),
]
ALL = [{}, *WITHOUT_LEAKS, *({**leak, "positions": "last"} for leak in LEAKS)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def named(changes):
    return " ".join(f"{k}={v.mode + '-heads' if k == 'boost' else v}" for k, v in changes.items()) or "default"


def causalrec(changes, options=DENSE):
    model = CausalRec(replace(options, **changes), generator()).eval()
    if model.options.source == "fixed":
        model.fix(torch.rand(ITEMS, ITEMS, generator=generator(3)))
    return model


def batch(seed=1, size=4):
    items = torch.randint(1, ITEMS + 1, (size, LENGTH), generator=generator(seed))
    items[0, :3] = 0
    return items


# Of all readings


@pytest.mark.parametrize("changes", WITHOUT_LEAKS, ids=named)
@settings(max_examples=8)
@given(items=item_batches(), position=st.integers(0, LENGTH - 2), item=st.integers(1, ITEMS))
def test_later_items_leave_earlier_outputs_and_relations_untouched(changes, items, position, item):
    model, changed = causalrec(changes), items.clone()
    changed[:, position + 1 :] = item
    same = slice(None, position + 1)
    with torch.no_grad():
        assert torch.equal(model.encode(items)[0][:, same], model.encode(changed)[0][:, same])
        assert torch.equal(model.graph(items).relation_bij[:, same], model.graph(changed).relation_bij[:, same])


@pytest.mark.parametrize("leak", LEAKS, ids=named)
def test_what_leaks_does_and_is_refused_but_with_last_position_training(leak):
    with pytest.raises(InputError, match="leaks the targets; train with positions = last"):
        replace(DENSE, **leak)
    model, seen = causalrec({"tau": 0.5, **leak, "positions": "last"}), []
    for seed in range(10):
        items = batch(seed)
        items[0] = items[1]
        changed = items.clone()
        changed[:, -2:] = 1 + (changed[:, -2:] + 4) % ITEMS
        with torch.no_grad():
            seen.append(torch.equal(model.encode(items)[0][:, :-2], model.encode(changed)[0][:, :-2]))
    assert not all(seen)


@pytest.mark.parametrize("changes", ALL, ids=named)
@settings(max_examples=8)
@given(items=item_batches(), padding=st.integers(1, 4))
def test_left_padding_changes_nothing(changes, items, padding):
    padded = torch.cat([torch.zeros(len(items), padding, dtype=torch.int64), items], 1)
    model = causalrec(changes, replace(DENSE, length=LENGTH + 4))
    with torch.no_grad():
        mine, theirs = model.graph(items), model.graph(padded)
        torch.testing.assert_close(mine.weights_bij, theirs.weights_bij[:, padding:, padding:], rtol=1e-3, atol=1e-4)
        assert (theirs.weights_bij[:, :padding] == 0).all()
        assert (theirs.weights_bij[:, :, :padding] == 0).all()
        # A threshold may fall between two roundings of W; where it does not, the scores agree.
        if torch.equal(mine.relation_bij != 0, theirs.relation_bij[:, padding:, padding:] != 0):
            torch.testing.assert_close(model.scores(items), model.scores(padded), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", ALL, ids=named)
def test_w_is_zero_outside_k_and_the_last_position_alone_is_what_all_give(changes):
    model, items = causalrec(changes), batch()
    with torch.no_grad():
        graph = model.graph(items)
        assert (graph.weights_bij[~admissible(items, model.options.repeats)] == 0).all()
        assert graph.weights_bij.any()
        assert not graph.relation_bij.triu().any()
        alone, together = model.encode(items, last=True)[0], model.encode(items)[0]
    torch.testing.assert_close(alone[:, 0], together[:, -1], rtol=1e-5, atol=1e-5)


def plain(changes):
    """The SASRec that a reading without boost and L_DAG is; the side branch leaves the layers after the first."""
    o = replace(DENSE, **changes)
    side = o.branch == "side"
    model = SASRec(
        SASRecOptions(
            o.items, o.length, o.width, o.layers - side, o.heads, o.dropout, normalised=0 if side else o.normalised
        ),
        generator(),
    ).eval()
    state = causalrec({"beta": 0.0, **changes}).state_dict()
    if side:
        state = {k.replace("blocks.1", "blocks.0").replace("blocks.2", "blocks.1"): v for k, v in state.items()
                 if not k.startswith("blocks.0")}  # fmt: skip
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return model


@pytest.mark.parametrize(
    "changes", [c for c in ALL if not {"mixing", "placement", "bidirectional"} & set(c)], ids=named
)
def test_without_boost_and_graph_loss_every_reading_is_sasrec(changes):
    boost = Boost("raw" if changes.get("boost", DENSE.boost).mode == "raw" else "renorm", 0.0)
    changes = {**changes, "boost": boost, "beta": 0.0}
    with torch.no_grad():
        ours, theirs = causalrec(changes).scores(batch()), plain(changes).scores(batch())
    exact = changes.get("source") != "closed_form"  # which holds A in full, where the others use the fused kernel
    torch.testing.assert_close(ours, theirs, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("changes", ALL, ids=named)
def test_without_boost_the_graph_is_a_bystander(changes):
    boost = Boost("raw" if changes.get("boost", DENSE.boost).mode == "raw" else "renorm", 0.0)
    scores = []
    for tau in (0.0, 1e9):
        with torch.no_grad():
            scores.append(causalrec({**changes, "boost": boost, "tau": tau}).scores(batch()))
    assert torch.equal(*scores)


@pytest.mark.parametrize("changes", ALL, ids=named)
def test_every_reading_trains_to_finite_weights_and_keeps_its_records(changes):
    model = causalrec({**changes, "dropout": 0.2}).train()
    set_dropout_generator(model, generator(4))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for step in range(3):
        loss, terms = model.loss(batch(step), batch(step + 10))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert {"h", "h_max", "fit", "sparsity", "empty_rows", "weight_max"} <= terms.keys()
    assert all(value.isfinite() for value in terms.values())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert 0 <= terms["empty_rows"] <= 1
    model.end_period({name: float(value) for name, value in terms.items()})
    constrained = float(terms.get("h_used", terms["h"])) > 1e-8 and model.options.raise_rho == "period"
    assert (model.lagrangian.h_previous < 9e9) == (model.options.beta > 0 and model.options.acyclicity and constrained)


@pytest.mark.parametrize("changes", ALL, ids=named)
def test_options_survive_json(changes):
    import json

    stored = json.loads(json.dumps(asdict(replace(DENSE, **changes))))
    assert CausalRecOptions(**stored | {"boost": Boost(**stored["boost"])}) == replace(DENSE, **changes)


# The formulas


def test_contextual_and_item_weights_by_loops():
    model, items = causalrec({"source": "contextual", "delta": 0.05}), batch()
    with torch.no_grad():
        graph = model.graph(items)
        f = (graph.z_bld - graph.z_bld.mean(-1, keepdim=True)) / (
            graph.z_bld.var(-1, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        effect, cause = model.discovery.effect.weight, model.discovery.cause.weight
        for b, i, j in np.ndindex(4, LENGTH, LENGTH):
            m = float((effect @ f[b, i]) @ (cause @ f[b, j])) / 8**0.5
            different = items[b, i] != items[b, j] and items[b, i] and items[b, j]
            assert float(graph.weights_bij[b, i, j]) == pytest.approx(max(m - 0.05, 0) if different else 0, abs=1e-5)


@pytest.mark.parametrize("sign", CHOICES["sign"])
def test_low_rank_and_free_tables_by_loops(sign):
    low = causalrec({"source": "global_lowrank", "sign": sign, "delta": 0.02})
    free, items = causalrec({"source": "free", "sign": sign, "delta": 0.02}), batch()
    with torch.no_grad():
        free.discovery.table.copy_(torch.randn(ITEMS + 1, ITEMS + 1, generator=generator(5)))
        u, v = low.discovery.effect_factors, low.discovery.cause_factors
        for model, m in ((low, u @ v.T / 8**0.5), (free, free.discovery.table)):
            graph, item_graph = model.graph(items), model.item_graph()
            for b, i, j in np.ndindex(4, LENGTH, LENGTH):
                s, t = int(items[b, i]), int(items[b, j])
                raw = float(m[s, t]) if sign == "signed" else max(float(m[s, t]) - 0.02, 0)
                expected = raw if s and t and s != t else 0
                assert float(graph.weights_bij[b, i, j]) == pytest.approx(expected, abs=1e-6)
                if s and t:
                    assert float(item_graph[s - 1, t - 1]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mixing", CHOICES["mixing"])
@pytest.mark.parametrize("changes", [{"normalised": 0}, {"placement": "mixed"}, {}], ids=named)
def test_z_is_the_mixing_of_the_values(mixing, changes):
    model, items = causalrec({"mixing": mixing, **changes}), batch()
    with torch.no_grad():
        z = model.graph(items).z_bld
        block, (_, x) = model.blocks[0], model.embed(items)
        y = block.attention_norm(x)
        a, v = block.attention(x, causal_mask(items != 0, x.dtype)), block.value(y)
        if not changes:
            v = (v - v.mean(-1, keepdim=True)) / v.var(-1, unbiased=False, keepdim=True).sqrt()
        for b, head, i in np.ndindex(4, 2, LENGTH):
            columns = slice(4 * head, 4 * head + 4)
            rows = [float(a[b, head, i, j]) * v[b, j, columns] for j in range(LENGTH)]
            own = float(a[b, head, i, i])
            expected = sum(rows)
            if mixing == "rescaled":
                expected = expected / own
            if mixing == "residual":
                expected = expected - rows[i] + v[b, i, columns]
            if changes.get("placement") != "mixed":
                torch.testing.assert_close(z[b, i, columns], expected, rtol=1e-4, atol=1e-5)
        if changes.get("placement") == "mixed":
            torch.testing.assert_close(z.var(-1, unbiased=False), torch.ones(4, LENGTH), rtol=1e-4, atol=0)


def random_scm(n=6, seed=0, causal=True):
    rng = np.random.default_rng(seed)
    b = np.tril(rng.normal(size=(n, n)), -1)
    order = np.arange(n) if causal else rng.permutation(n)
    b = b[np.ix_(order, order)]
    return torch.from_numpy(b), torch.from_numpy(rng.uniform(0.5, 2, n))


@pytest.mark.parametrize("causal", [True, False])
def test_the_closed_form_gives_back_the_scm_of_its_mixing_matrix(causal):
    """A = (I − B)⁻¹Λ, so W = I − ΛA⁻¹ = B."""
    b, scale = random_scm(causal=causal)
    a = torch.linalg.inv(torch.eye(6, dtype=b.dtype) - b) * scale
    torch.testing.assert_close(implied_weights(a[None], causal)[0], b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mixing", CHOICES["mixing"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_closed_form_of_the_model_is_that_of_its_own_mixing(mixing, bidirectional):
    changes = {"source": "closed_form", "sign": "signed", "mixing": mixing, "bidirectional": bidirectional}
    model, items = causalrec({**changes, "positions": "last"}), batch(size=3)
    with torch.no_grad():
        _, x = model.embed(items)
        mask = (two_way_mask if bidirectional else causal_mask)(items != 0, x.dtype)
        a = mix(model.blocks[0].attention(x, mask), mixing).mean(1).double()
        inverse = torch.linalg.inv(a)
        b = torch.eye(LENGTH) - torch.diag_embed(1 / inverse.diagonal(dim1=1, dim2=2)) @ inverse
        weights = model.graph(items).weights_bij.double()
    size = float(b.abs().max())
    torch.testing.assert_close(weights / size, b * admissible(items) / size, rtol=1e-2, atol=1e-3)


def test_the_inner_solve_finds_an_scm_along_time_and_one_against_it():
    n, features = 5, 4000
    for causal in (True, False):
        b, _ = random_scm(n, 3, causal)
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(n, features)))
        z = (torch.linalg.inv(torch.eye(n, dtype=b.dtype) - b) @ noise)[None]
        valid = torch.ones(1, n, dtype=torch.bool)
        found = {mask: solved_weights(z, valid, mask)[0] for mask in ("time", "full")}
        torch.testing.assert_close(found["full"], b, rtol=0, atol=0.1)
        assert torch.allclose(found["time"], b, rtol=0, atol=0.1) == causal
        assert not found["time"].triu().any()


def test_the_full_fit_uses_the_future_and_time_does_not():
    z = torch.tensor([[[1.0, -1.0], [3.0, -3.0]]])
    weights, valid = torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool)
    weights[0, 1, 0], weights[0, 0, 1] = 2.0, 1.0
    # Row 1: 3 - 2·1 = 1, half of 1. Row 0: 1 - 3 = -2 under full, half of 4; 1 under time, half of 1.
    assert fit_error(weights, z, valid).item() == pytest.approx((0.5 + 0.5) / 2)
    assert fit_error(weights, z, valid, "full").item() == pytest.approx((0.5 + 2.0) / 2)


@pytest.mark.parametrize(
    ("changes", "without"),
    [({}, ()), ({"fit": "none"}, ("fit",)), ({"acyclicity": False}, ("h",)),
     ({"fit": "none", "acyclicity": False}, ("fit", "h"))],
)  # fmt: skip
def test_the_loss_has_the_terms_of_its_reading(changes, without):
    model = causalrec({"sign": "signed", "beta": 2.0, "sparsity": 0.3, **changes})
    model.lagrangian = replace(model.lagrangian, gamma=0.7, rho=5.0)
    loss, t = model.loss(batch(1), batch(2))
    terms = {"fit": t["fit"], "h": 0.7 * t["h"] + 2.5 * t["h"] ** 2}
    dag = 0.3 * t["sparsity"] + sum(value for name, value in terms.items() if name not in without)
    assert loss.item() == pytest.approx(float(t["recommendation"] + 2 * dag), rel=1e-5)
    weights = model.graph(batch(1)).weights_bij
    per_sequence = weights.detach().abs().sum((1, 2)) / (batch(1) != 0).sum(1)
    assert float(t["sparsity"]) == pytest.approx(float(per_sequence.mean()), rel=1e-5)


def test_last_position_training_asks_for_the_last_target_alone():
    items, target = batch(1), batch(2)
    only = torch.zeros_like(target)
    only[:, -1] = target[:, -1]
    last, every = causalrec({"positions": "last"}), causalrec({})
    assert last.loss(items, target)[0].item() == every.loss(items, only)[0].item()
    assert last.loss(items, target)[0].item() != every.loss(items, target)[0].item()


def test_boosted_layers_and_heads_and_the_side_branch_are_no_bystanders():
    with torch.no_grad():
        scores = [causalrec(changes).scores(batch()) for changes in (
            {}, {"boosted_layers": (1,)}, {"boosted_layers": (2,)}, {"boost": Boost("renorm", 5.0, heads=1)},
            {"boost": Boost("renorm", 0.0)}, {"branch": "side"},
        )]  # fmt: skip
        both = causalrec({"boosted_layers": (1, 2), "boost": Boost("renorm", 5.0, heads=2)}).scores(batch())
    assert torch.equal(scores[0], both)
    assert all(not torch.allclose(a, b) for n, a in enumerate(scores) for b in scores[:n])


@pytest.mark.parametrize("mode", ["renorm", "raw", "filter"])
def test_heads_that_are_not_boosted_attend_plainly(mode):
    model, items = causalrec({"boost": Boost(mode, 5.0, heads=1)}), batch()
    block = model.blocks[1]
    with torch.no_grad():
        x, relation = model.embed(items)[1], model.graph(items).relation_bij
        mask = causal_mask(items != 0, x.dtype)
        mixed, plainly = block(x, mask, model.options.boost, relation)[1], block(x, mask)[1]
        wholly = block(x, mask, Boost(mode, 5.0), relation)[1]
    torch.testing.assert_close(mixed[..., 4:], plainly[..., 4:])
    torch.testing.assert_close(mixed[..., :4], wholly[..., :4])
    assert not torch.allclose(wholly[..., 4:], plainly[..., 4:])


# Gradients, guards and controls


@pytest.mark.parametrize("stop", [True, False])
def test_the_stopped_fit_sends_no_gradient_into_z(stop):
    z = torch.randn(2, LENGTH, 8, generator=generator(), requires_grad=True)
    weights = torch.rand(2, LENGTH, LENGTH, generator=generator(), requires_grad=True)
    items = torch.ones(2, LENGTH, dtype=torch.int64)
    Graph(items, z, weights, weights > 0, Reading(stop=stop)).fit_b.sum().backward()
    assert (z.grad is None) == stop
    assert weights.grad.abs().sum() > 0


@pytest.mark.parametrize(("source", "reached"), [("item_bilinear", False), ("global_lowrank", False), ("free", False),
                                                 ("contextual", True), ("closed_form", True)])  # fmt: skip
def test_l_dag_reaches_attention_only_through_a_w_made_of_it(source, reached):
    model = causalrec({"source": source, "sign": "signed"})
    model.graph(batch()).fit_b.mean().backward()
    query = model.blocks[0].query.weight.grad
    assert (query is not None and bool(query.abs().sum() > 0)) == reached
    assert all(p.grad is None for block in model.blocks[1:] for p in block.parameters())


def test_an_exploding_w_is_skipped_and_counted_and_a_dying_one_recorded():
    rows = np.random.default_rng(0).integers(1, ITEMS - 1, (12, LENGTH + 2)).tolist()
    rows[0][:2] = ITEMS - 1, ITEMS
    split = leave_one_out(from_rows(rows, num_items=ITEMS))
    options = TrainingOptions(epochs=2, batch=4, patience=None)

    def fitted(model):
        return train(model, split, options, shuffle=np.random.default_rng(0), dropout=generator(1))

    exploding = causalrec({"source": "free"})
    before = exploding.item.weight.detach().clone()
    with torch.no_grad():
        exploding.discovery.table.fill_(100.0)
    with pytest.raises(Diverged, match="no finite loss and gradient in epoch 1"):
        fitted(exploding)
    assert torch.equal(exploding.item.weight, before)

    once = causalrec({"source": "free"})
    with torch.no_grad():  # a single pair explodes, which one sequence holds
        once.discovery.table[ITEMS - 1, ITEMS] = once.discovery.table[ITEMS, ITEMS - 1] = 1e20
    progress = fitted(once)
    assert progress.skipped_steps == 2
    assert np.isfinite([epoch["h_max"] for epoch in progress.trace]).all()

    dying = causalrec({"delta": 10.0})
    record = fitted(dying).trace[-1]
    assert (record["empty_rows"], record["weight_max"], record["h_max"]) == (1.0, 0.0, 0.0)


SOURCES_OF_SLOPE = [source for source in SOURCES if source not in ("fixed", "free", "inner_solve")]


@pytest.mark.parametrize("relation", ["soft", "straight_through"])
@pytest.mark.parametrize("mode", BOOSTS)
@settings(max_examples=6)
@given(
    source=st.sampled_from(SOURCES_OF_SLOPE),
    alpha=st.sampled_from((1.0, 1e4, 1e8)),
    fit=st.sampled_from(CHOICES["fit"]),
)
def test_whatever_alpha_is_a_relation_with_a_gradient_trains_and_leaves_the_rest_its_own(
    relation, mode, source, alpha, fit
):
    changes = {"relation": relation, "source": source, "fit": fit, "tau": 0.1, "boost": Boost(mode, alpha)}
    model = causalrec({**changes, "delta": 0.05}).train()
    optimisers = make_optimisers(model.groups(), model.matrices(), "muon", 0.003)
    for step in range(4):
        loss, _ = model.loss(batch(step), batch(step + 10))
        model.zero_grad()
        loss.backward()
        assert loss.isfinite()
        assert float(total_norm(model.groups()[0])) < 100  # 1e6 where the slope of R is not limited
        assert clip(model.groups(), 5.0)
        take_step(optimisers, 0.003)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def total_norm(group):
    return torch.nn.utils.get_total_norm([p.grad for p in group.parameters if p.grad is not None])


def test_a_steep_slope_of_r_is_scaled_down_and_not_turned(monkeypatch):
    def slope(alpha, steepest):
        """The gradient of W, which beta = 0 leaves to R alone."""
        seen, whole = [], Discovery.forward

        def watched(self, *given):
            graph = whole(self, *given)
            graph.weights_bij.register_hook(seen.append)
            return graph

        with monkeypatch.context() as patch:
            patch.setattr(Discovery, "forward", watched)
            patch.setattr("causalrec.model.STEEPEST", steepest)
            boost = Boost("renorm", alpha)
            model = causalrec({"relation": "straight_through", "tau": 0.1, "boost": boost, "beta": 0.0})
            model.loss(batch(1), batch(2))[0].backward()
        return seen[0]

    assert torch.equal(slope(1.0, 1.0), slope(1.0, float("inf")))
    limited, steep = slope(1e8, 1.0), slope(1e8, float("inf"))
    assert 0.1 < float(limited.norm()) <= 1.0 < 1e5 < float(steep.norm())
    torch.testing.assert_close(limited / limited.norm(), steep / steep.norm())


@pytest.mark.parametrize("changes", [{}, {"source": "closed_form"}, {"source": "global_lowrank"}], ids=named)
def test_the_graph_is_a_group_of_its_own(changes):
    model = causalrec(changes)
    groups = model.groups()
    assert [id(p) for group in groups for p in group.parameters] == [id(p) for p in model.parameters()]
    own = {id(p) for p in model.discovery.parameters()}
    assert [{id(p) for p in group.parameters} == own for group in groups] == ([False, True] if own else [False])


def test_the_graph_learns_at_its_own_rate():
    """Adam's first step is as long as the rate, whatever the gradient."""
    moved = {}
    for factor in (1.0, 3.0):
        model = causalrec({"graph_rate": factor})
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimisers = make_optimisers(model.groups(), model.matrices(), "adam", 1.0)
        model.loss(batch(1), batch(2))[0].backward()
        take_step(optimisers, 0.01)
        moved[factor] = {name: float((value - before[name]).abs().max()) for name, value in model.state_dict().items()}
    for name, step in moved[3.0].items():
        factor = 3.0 if name.startswith("discovery") else 1.0
        if name != "multipliers":
            assert step == pytest.approx(factor * moved[1.0][name], rel=1e-3), name
    assert moved[1.0]["discovery.cause.weight"] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("relation", RULES)
def test_what_is_constrained_is_what_the_rule_would_use_in_both_directions_of_time(relation):
    last = {"positions": "last"} if relation in LEAKING else {}
    model = causalrec({"relation": relation, "constrained": "used", "tau": 0.1, "top": 2, **last})
    with torch.no_grad():
        graph = model.graph(batch())
        w = graph.weights_bij
        cause = w.abs().flatten(1).max(1).values[:, None, None]
        least = w.abs().topk(2, -1).values[..., 1:]
        kept = {
            "threshold": w.abs() >= 0.1, "closure": w.abs() >= 0.1, "top_k": w.abs() >= least,
            "row_relative": w.abs() >= 0.1 * w.abs().amax(-1, keepdim=True), "max_relative": w.abs() >= 0.1 * cause,
        }.get(relation, w.abs() > 0)  # fmt: skip
        expected = truncated_exponential(w * kept)
        if relation == "dag":
            assert (graph.constrained_b == 0).all()
        else:
            torch.testing.assert_close(graph.constrained_b, expected)
            assert (graph.constrained_b > 0).any()
        # On j < i alone nothing is left to constrain.
        past = Graph(graph.items_bl, graph.z_bld, w.tril(-1), graph.relation_bij, model.options)
        assert (past.constrained_b == 0).all()
        assert torch.equal(graph.acyclicity_b, truncated_exponential(w))


def test_the_loss_and_the_multipliers_know_the_constrained_h_and_the_record_the_full_one():
    model = causalrec({"constrained": "used", "relation": "row_relative", "tau": 0.6})
    model.lagrangian = replace(model.lagrangian, gamma=0.7, rho=5.0)
    loss, t = model.loss(batch(1), batch(2))
    assert 0 < float(t["h_used"]) < float(t["h"]) <= float(t["h_max"])
    dag = t["fit"] + 0.01 * t["sparsity"] + 0.7 * t["h_used"] + 2.5 * t["h_used"] ** 2
    assert loss.item() == pytest.approx(float(t["recommendation"] + dag), rel=1e-5)
    means = {name: float(value) for name, value in t.items()}
    assert model.end_period(means)["gamma"] == pytest.approx(0.7 + 5 * means["h_used"])


def test_rho_waits_until_the_inner_problem_has_converged_but_not_for_ever():
    """L_DAG is fit + 0.01 sparsity + gamma h + rho h²/2; a change of 1 % over an epoch is convergence."""
    model = causalrec({"raise_rho": "converged"})

    def raised(fits, h=0.1):
        """The epochs after which gamma moved."""
        seen = [0.0, *(model.end_period({"h": h, "fit": fit, "sparsity": 0.0})["gamma"] for fit in fits)]
        return [epoch for epoch, (a, b) in enumerate(pairwise(seen), start=1) if a != b]

    assert raised([1.0, 0.8, 0.795, 0.79]) == [3]  # and not the fourth, which is the first under the new multipliers
    model.lagrangian = Lagrangian()
    assert raised([1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.01]) == [5]
    model.lagrangian = Lagrangian()
    assert raised([1.0, float("nan"), 1.0, 1.0]) == [4]
    model.lagrangian = Lagrangian(gamma=0.0, rho=1e6)
    assert raised([1.0, 0.5, 0.2]) == [2]  # the penalty outweighs what the fit still gains
    eager = causalrec({})
    assert [eager.end_period({"h": 0.1, "fit": f, "sparsity": 0.0})["gamma"] for f in (1, 0.5)] == [0.1, 0.2]
    assert "inner" not in eager.state_dict()


@settings(max_examples=20)
@given(items=item_batches())
def test_a_habit_is_a_cause_only_where_repeats_may_be(items):
    habits, plain = causalrec({"repeats": True}), causalrec({})
    same = (items[:, :, None] == items[:, None, :]) & (items != 0)[:, :, None]
    with torch.no_grad():
        graph, other = habits.graph(items), plain.graph(items)
        assert (graph.weights_bij.diagonal(dim1=1, dim2=2) == 0).all()
        assert torch.equal(graph.weights_bij[~same], other.weights_bij[~same])
        assert (other.weights_bij[same] == 0).all()
        assert graph.acyclicity_b.isfinite().all()
        assert torch.equal(habits.item_graph(), plain.item_graph())


def test_a_habit_is_the_weight_of_an_item_on_itself_and_a_cycle_to_h():
    model = causalrec({"source": "free", "repeats": True, "delta": 0.0})
    with torch.no_grad():
        model.discovery.table.zero_()
        model.discovery.table[5, 5] = 0.4
        graph = model.graph(torch.tensor([[1, 5, 2, 5]]))
    assert {tuple(at) for at in graph.weights_bij[0].nonzero().tolist()} == {(1, 3), (3, 1)}
    assert {tuple(at) for at in graph.relation_bij[0].nonzero().tolist()} == {(3, 1)}
    assert float(graph.acyclicity_b) == pytest.approx(2 * np.cosh(0.16) - 2, rel=1e-5)


def test_guards_by_hand():
    items = torch.tensor([[0, 3, 1, 2], [4, 5, 6, 7]])
    weights = torch.zeros(2, 4, 4)
    weights[0, 2, 1], weights[1, 3, 0] = 0.5, -0.7
    guards = Graph(items, torch.zeros(2, 4, 1), weights, weights.tril(-1).abs() > 0.6, Reading()).guards
    assert float(guards["weight_max"]) == pytest.approx(0.7)
    assert float(guards["empty_rows"]) == pytest.approx(4 / 5)  # five items have a past, one of them a cause


def test_a_fixed_w_is_the_graph_of_every_sequence_and_survives_a_checkpoint():
    given = torch.rand(ITEMS, ITEMS, generator=generator(8)) < 0.3
    model, items = causalrec({"source": "fixed", "beta": 0.0, "tau": 0.3}), batch()
    model.fix(given)
    other = CausalRec(model.options, generator(1)).eval()
    with pytest.raises(InputError, match="has no W yet"):
        other.scores(items)
    other.load_state_dict(model.state_dict())
    for b, i, j in np.ndindex(4, LENGTH, LENGTH):
        s, t = items[b, i] - 1, items[b, j] - 1
        expected = j < i and s >= 0 and t >= 0 and s != t and bool(given[s, t])
        assert bool(other.graph(items).relation_bij[b, i, j]) == expected
    assert torch.equal(model.item_graph(), given * (1 - torch.eye(ITEMS)))
    assert not any(name.startswith("discovery") for name, _ in model.named_parameters())


@pytest.mark.parametrize("source", SOURCES)
def test_only_sources_of_one_graph_have_an_item_graph(source):
    model = causalrec({"source": source, "beta": 0.0})
    assert model.has_item_graph == (source in ITEM_LEVEL)
    if model.has_item_graph:
        assert model.item_graph().shape == (ITEMS, ITEMS)
        assert (model.item_graph().diagonal() == 0).all()
    else:
        with pytest.raises(InputError, match=f"{source} has no item-level graph"):
            model.item_graph()


# Refusals


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_readings_are_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match=f"{name} 'other' is unknown; choose one of .*{CHOICES[name][0]}"):
        replace(DENSE, **{name: "other"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "fixed"}, "beta = 1.0 with a fixed W"),
        ({"placement": "mixed", "normalised": 0}, "needs normalised >= 1"),
        ({"branch": "middle"}, "branch 'middle' is unknown"),
        ({"raise_rho": "never"}, "raise_rho 'never' is unknown; choose one of period, converged"),
        ({"graph_rate": 0.0}, r"graph_rate = 0.0; expected above 0 to 1e\+06"),
        ({"graph_rate": float("inf")}, "graph_rate = inf"),
        ({"boosted_layers": ()}, "expected some of 1 to 2"),
        ({"boosted_layers": (0,)}, "expected some of 1 to 2"),
        ({"boosted_layers": (3,)}, "expected some of 1 to 2"),
        ({"top": 0}, "top = 0"),
        ({"delta": -1.0}, "delta = -1"),
        ({"boost": Boost(heads=3)}, "boost.heads = 3; expected at most heads = 2"),
    ],
)
def test_options_without_meaning_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(DENSE, **changes)


def test_boosting_no_head_and_giving_what_is_no_w_are_refused():
    with pytest.raises(InputError, match="heads = 0"):
        Boost(heads=0)
    with pytest.raises(InputError, match="item_bilinear learns its W"):
        causalrec({}).fix(torch.zeros(ITEMS, ITEMS))
    model = causalrec({"source": "fixed", "beta": 0.0})
    for wrong in (torch.zeros(ITEMS, ITEMS + 1), torch.full((ITEMS, ITEMS), torch.inf)):
        with pytest.raises(InputError, match=r"expected finite \(12, 12\)"):
            model.fix(wrong)
    with pytest.raises(InputError, match="up to 5000 items"):
        Discovery(5001, 4, Reading(source="free"))
