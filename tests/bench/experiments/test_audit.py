"""The audit: known answers of its measures, brute force on a small model, and each finding as its rule says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.experiments import EXPERIMENTS
from bench.experiments.model import audit as experiment
from bench.runners import audit
from causalrec.attention import causal_mask
from causalrec.interactions import from_rows
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from synth.behaviour_controls import lift
from tests.bench.made_up import (
    BELOW,
    CLAIMED,
    NOTHING,
    OPEN,
    OPPOSITE,
    audited,
    bare,
    failed,
    find,
    judged,
    made_up,
    model,
    outcomes,
    with_data,
)

HISTORY = from_rows([[3, 1, 4, 1, 5, 2], [2, 6], [5, 5, 3, 6, 2], [4], [6, 5, 4, 3, 2, 1, 3]], num_items=6)


def net(kind=CausalRec, sizes=CausalRecOptions, **more):
    return kind(sizes(6, length=6, width=16, **more), torch.Generator().manual_seed(1)).eval()


# Measures


def test_the_audit_by_brute_force():
    """Covariances, ratios and B of one history, from what the block itself gives."""
    trained = net(SASRec, SASRecOptions)
    found = audit.audit(trained, HISTORY, np.random.default_rng(0))
    assert {len(values) for values in found.values()} == {3}
    items = torch.tensor([[3, 1, 4, 1, 5, 2]])
    with torch.inference_mode():
        block, (_, x) = trained.blocks[0], trained.embed(items)
        a = block.attention(x, causal_mask(items != 0, x.dtype))[0].double().numpy()
        v = block.value(block.attention_norm(x))[0].double().numpy()
    different = [(i, j) for i in range(6) for j in range(i) if items[0, i] != items[0, j]]
    correlation = np.corrcoef(v)
    assert found["audit_correlation"][0] == pytest.approx(np.mean([abs(correlation[pair]) for pair in different]))
    assert found["audit_variance"][0] == pytest.approx(v.var(1).max() / v.var(1).min())
    implied = [np.eye(6) - np.diag(np.diag(head)) @ np.linalg.inv(head) for head in a]
    effects = [b[pair] for b in implied for pair in different]
    assert found["audit_negative"][0] == np.mean(np.array(effects) < 0)
    scales = [np.diag((np.eye(6) - b) @ head) for b, head in zip(implied, a, strict=True)]
    ratios = sorted((scale.max() / scale.min()) ** 2 for scale in scales)
    assert found["audit_noise"][0] == pytest.approx(ratios[0])  # torch's median of two is the lower
    assert found["audit_error"].max() < 1e-6


def test_layernorm_on_v_equalises_variances_and_the_identity_fails_without_a_v():
    assert audit.audit(net(), HISTORY, np.random.default_rng(0))["audit_variance"].max() < 1 + 1e-5
    assert audit.audit(net(SASRec, SASRecOptions), HISTORY, np.random.default_rng(0))["audit_variance"].min() > 1.1
    mixed = audit.audit(net(placement="mixed"), HISTORY, np.random.default_rng(0))
    assert mixed["audit_error"].min() > 0.01


@pytest.mark.parametrize("features", [4, 16, 64])
def test_independent_rows_correlate_by_chance_as_much_as_said(features):
    rows = np.random.default_rng(0).normal(size=(400, features))
    found = np.abs(np.corrcoef(rows)[np.tril_indices(400, -1)]).mean()
    assert audit.chance_correlation(features) == pytest.approx(found, rel=0.02)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_adjusted_r2_is_that_of_least_squares(seed, parents):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(7, 40))
    z -= z.mean(1, keepdims=True)
    chosen = np.zeros((7, 7), dtype=bool)
    chosen[6, rng.permutation(6)[:parents]] = True
    z[6] += z[chosen[6]].sum(0)
    found = audit.explained(torch.from_numpy(z @ z.T), torch.from_numpy(chosen), 40)
    residual = z[6] - z[chosen[6]].T @ np.linalg.lstsq(z[chosen[6]].T, z[6], rcond=None)[0]
    share = 1 - residual @ residual / (z[6] @ z[6])
    assert float(found[6]) == pytest.approx(1 - (1 - share) * 39 / (39 - parents), abs=1e-6)
    assert float(found[0]) == pytest.approx(0, abs=1e-6)


def test_the_strongest_columns_are_allowed_and_as_many_as_asked():
    score, allowed = torch.tensor([[3.0, 1.0, 2.0]] * 3), torch.tensor([[0, 1, 1], [1, 1, 1], [0, 0, 0]]).bool()
    found = audit.strongest(score, allowed, torch.tensor([1, 2, 2]))
    assert found.tolist() == [[False, False, True], [True, False, True], [False, False, False]]


def test_the_item_graphs_edges_come_strongest_first():
    trained = net(delta=0.0)
    found, W = audit.item_edges(trained), trained.item_graph().numpy()
    assert len(found["edge_weight"]) == (W > 0).sum() > 1
    assert (np.diff(found["edge_weight"]) <= 0).all()
    np.testing.assert_array_equal(W[found["edge_effect"], found["edge_cause"]], found["edge_weight"])


def test_lift_edges_rank_as_lift_does():
    """Where no item repeats, so that the pairs of one item, which `lift` counts too, are none."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(12)[:9] + 1 for _ in range(40)])
    found = audit.lift_edges(from_rows(rows, num_items=12), edges=50)
    ranked = np.sort(lift(rows, 12)[~np.eye(12, dtype=bool)])[::-1][:50]
    np.testing.assert_allclose(lift(rows, 12)[found["lift_effect"], found["lift_cause"]], ranked)


def test_jaccard_and_its_chance_by_hand():
    assert experiment.jaccard(set(), set()) is None
    assert experiment.jaccard({(0, 1)}, set()) == (0.0, 0.0)
    shared, chance = experiment.jaccard({(0, 1), (2, 3)}, {(0, 1), (2, 1)})
    assert shared == pytest.approx(1 / 3)
    assert chance == pytest.approx(1 / 3)  # (1·1 + 1·1) (1·2 + 1·0) / (2·2) = 1 edge of 2 + 2 - 1


# Findings and tables


def audited_runs(setup, excess=lambda seed: 0.02, **more) -> list:
    """Results of the audit with what CausalRec's histories show; SASRec's are as made up."""
    module = EXPERIMENTS["audit"]
    made = [made_up(cell) for cell in module.plan(setup)]
    made += [made_up(cell) for cell in module.refine(setup, made)]
    for r in made:
        if r.params["model"] == "causalrec":
            r.arrays |= audited(r2_parents=0.5, **more)
            r.arrays["audit_excess"] = excess(r.params["seed"]) + 0.001 * np.arange(8)
    return made


@pytest.mark.parametrize(
    ("excess", "outcome"),
    [(lambda seed: 0.02, CLAIMED), (lambda seed: 0.09, BELOW), (lambda seed: 0.02 + 0.06 * (seed % 2), OPEN)],
)
def test_attention_is_an_scm_where_rows_of_v_are_as_good_as_independent(excess, outcome):
    setup = with_data(names=("ml-1m",))
    results = audited_runs(setup, excess)
    found = outcomes(find("audit", setup, results), "attention-is-scm")
    assert found == {"cov_v, behaviour": outcome, "cov_v, ml-1m": outcome, "implied, behaviour": CLAIMED}
    assert judged("audit", setup, results)["attention-is-scm"].judgement == outcome


@pytest.mark.parametrize(
    ("implied", "outcome"),
    [
        (lambda seed: 0.5, CLAIMED), (lambda seed: 0.12, NOTHING), (lambda seed: 0.0, OPPOSITE),
        (lambda seed: 0.1 + 0.1 * (-1) ** seed, OPEN),
    ],
)  # fmt: skip
def test_what_effects_implied_by_attention_find_stands_beside_it(implied, outcome):
    """Chance is 0.1."""
    setup = bare()
    results = audited_runs(setup)
    for r in results:
        r.metrics["auprc_implied"] = implied(r.params["seed"])
    assert outcomes(find("audit", setup, results), "attention-is-scm")["implied, behaviour"] == outcome
    assert judged("audit", setup, results)["attention-is-scm"].judgement == CLAIMED


@pytest.mark.parametrize(
    ("claim", "broken", "sound"),
    [("eq6-identity", {"error": 1.1e-5}, {"error": 0.9e-5}), ("layernorm-equal-variances", {"variance": 1.2}, {})],
)
def test_what_is_true_by_construction_is_checked_apart(claim, broken, sound):
    setup = with_data(names=("ml-1m",))
    for more, outcome in ((sound, CLAIMED), (broken, BELOW)):
        verdicts = judged("audit", setup, audited_runs(setup, **more))
        assert verdicts[claim].judgement == outcome
        assert verdicts["attention-is-scm"].judgement == CLAIMED


def test_the_control_judges_nothing_and_is_shown():
    setup = bare()
    results = audited_runs(setup)
    for r in results:
        if r.params["model"] == "sasrec":
            r.arrays["audit_error"] = np.ones(8)
    assert judged("audit", setup, results)["eq6-identity"].judgement == CLAIMED
    (table, *_) = EXPERIMENTS["audit"].tables(setup, results)
    assert {row[1]: row[3] for row in table.rows} == {"CausalRec": 1e-7, "SASRec (control)": 1.0}


def test_runs_without_parents_say_nothing_of_the_fit():
    setup = bare()
    results = audited_runs(setup)
    for r in results:
        if r.params["seed"] == 0 and r.params["model"] == "causalrec":
            r.arrays |= {f"audit_{name}": np.full(8, np.nan) for name in ("r2_parents", "r2_random", "r2_latest")}
    fit = EXPERIMENTS["audit"].tables(setup, results)[1]
    assert [entry.n for entry in fit.rows[0][2:]] == [4, 4, 4, 5, 4, 4]
    assert fit.rows[0][-2].estimate == pytest.approx(0.1)


def test_stability_compares_runs_that_differ_as_said():
    """The restarted run has other edges; halves have the same; datasets stand apart."""
    setup = with_data(names=("ml-1m",))
    results = audited_runs(setup)
    for r in results:
        if "restart" in r.params and "half" not in r.params:
            r.arrays["edge_cause"] = r.arrays["edge_effect"][::-1].copy()
    table = EXPERIMENTS["audit"].tables(setup, results)[2]
    found = {row[:3]: row for row in table.rows}
    assert found["behaviour", "other draws", "R"][5].estimate < 0.1
    assert found["behaviour", "halves of the users", "R"][5].estimate == 1.0
    assert found["ml-1m", "other draws", "R"][3:6] == (3, 193.0, 1.0)
    assert found["ml-1m", "halves of the users", "strongest 200 of W"][3:6] == (1, 200.0, 1.0)
    assert len(table.rows) == 8


def test_a_chosen_setting_is_never_one_of_the_halves():
    setup = with_data(names=("ml-1m",))
    module = EXPERIMENTS["audit"]
    first = [made_up(cell) for cell in module.plan(setup)]
    more = [model(cell, valid=0.9) for cell in module.refine(setup, first)]
    assert [c.key for c in module.refine(setup, first + more)] == [c.key for c in module.refine(setup, first)]
    assert module.refine(setup, [failed(r.cell) for r in first]) == []
