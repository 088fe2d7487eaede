"""The vacuity of the softmax reading: what the runner draws and scores, and what the table says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.experiments.theory import mixing
from bench.methods.learners import load
from bench.runners import execute
from bench.runners import mixing as runner
from bench.runners.mixing import EDGE, draw_attention, imply, mix
from causalrec.structure.attention import implied_scm
from synth.scm import LinearSCM
from tests.bench.made_up import bare, failed, find, mixed
from tests.strategies import softmax_attentions

READINGS = tuple(mixing.READINGS)
PARAMS = {"reading": "plain", "tokens": 10, "features": 64, "scale": 1.0, "draws": 20, "root": 0}


def cell(**changes) -> Cell:
    return Cell("mixing", PARAMS | changes, ("bench.runners.mixing:run",))


def accuracy(**changes) -> float:
    return execute(cell(**changes)).arrays["order_accuracy"].mean()


# What is drawn


@pytest.mark.parametrize("tokens", [1, 2, 10])
def test_attentions_are_causal_softmaxes_of_shared_logits(tokens):
    one, two = (draw_attention(PARAMS | {"tokens": tokens, "scale": scale}, 3) for scale in (1.0, 2.0))
    for A in (one, two):
        np.testing.assert_allclose(A.sum(1), 1)
        assert (A[np.tri(tokens, dtype=bool)] > 0).all()
        assert not np.triu(A, 1).any()
    weights = np.tril(one) ** 2
    np.testing.assert_allclose(two, weights / weights.sum(1, keepdims=True), rtol=1e-9)
    again = draw_attention(PARAMS | {"tokens": tokens, "reading": "residual", "features": None}, 3)
    np.testing.assert_array_equal(again, one)
    if tokens > 1:
        assert not np.array_equal(draw_attention(PARAMS | {"tokens": tokens}, 4), one)
        assert not np.array_equal(draw_attention(PARAMS | {"tokens": tokens, "root": 1}, 3), one)


@given(A=softmax_attentions(), reading=st.sampled_from(READINGS))
def test_every_mixing_is_an_scm_along_time(A, reading):
    """What the runner takes for the truth is what `implied_scm` and `synth` say of the same mixing."""
    M = mix(reading, A)
    B, scale = imply(M)
    other, other_scale = implied_scm(M)
    np.testing.assert_allclose(B, other, atol=1e-8)
    np.testing.assert_allclose(scale, other_scale, rtol=1e-8)
    np.testing.assert_allclose(LinearSCM(B, scale).covariance, M @ M.T, atol=1e-8)


@given(softmax_attentions())
def test_readings_by_their_formulas(A):
    n = len(A)
    np.testing.assert_array_equal(mix("plain", A), A)
    np.testing.assert_allclose(np.linalg.inv(np.diag(A.diagonal())) @ A, mix("rescaled", A), atol=1e-12)
    np.testing.assert_array_equal(mix("residual", A) - np.eye(n), np.tril(A, -1))
    np.testing.assert_allclose(np.square(mix("layernorm", A)).sum(1), 1)
    for reading in ("rescaled", "residual"):
        np.testing.assert_allclose(imply(mix(reading, A))[1], 1)


def test_unknown_readings_are_refused():
    with pytest.raises(InputError, match="reading 'reversed' is unknown; choose one of plain, layernorm, rescaled"):
        execute(cell(reading="reversed"))


def test_draws_mix_values_of_their_own():
    """Of one attention, the uniform one: what is learned then differs by the values alone."""
    scores = execute(cell(reading="residual", scale=0.0, features=32, draws=6)).arrays
    assert len(set(scores["true_edges"])) == 1
    assert len(set(scores["auprc"])) == 6


# What comes out


@pytest.mark.parametrize("features", [32, None])
@pytest.mark.parametrize("reading", READINGS)
def test_a_result_repeats_and_a_draw_does_not_depend_on_how_many_there_are(reading, features):
    one, two, few = (execute(cell(reading=reading, features=features, draws=draws)) for draws in (5, 5, 2))
    for name, values in one.arrays.items():
        assert values.shape == (5,)
        np.testing.assert_array_equal(values, two.arrays[name])
        np.testing.assert_array_equal(values[:2], few.arrays[name])


def test_made_up_results_have_the_runners_names():
    outcome, made = execute(cell(draws=3)), mixed(cell(draws=3))
    assert made.arrays.keys() == outcome.arrays.keys()
    assert made.metrics.keys() == outcome.metrics.keys()


def test_softmax_attention_orders_backwards_and_equal_noise_forwards():
    """The design's measurement: 0.30 for A V, where chance is 0.5, 0.99 for diag(A)⁻¹A V, 1.00 for (I + A_<)V."""
    for tokens in (10, 20):
        assert accuracy(tokens=tokens, features=None) < 0.35
        assert accuracy(tokens=tokens, features=None, scale=0.5) < 0.15
        assert accuracy(tokens=tokens, features=1024, reading="rescaled") > 0.97
    for reading in ("rescaled", "residual"):
        exact = execute(cell(reading=reading, features=None))
        assert (exact.arrays["order_accuracy"] == 1).all()
        assert (exact.arrays["shd"] == 0).all()
        assert (exact.arrays["auprc"] == 1).all()


def test_more_features_bring_residual_mixing_nearer_and_plain_mixing_not():
    residual, plain = (
        [accuracy(reading=reading, features=features) for features in (64, 1024, 16384)]
        for reading in ("residual", "plain")
    )
    assert residual == sorted(residual)
    assert residual[-1] > residual[0] + 0.2
    assert max(plain) < 0.4


@pytest.mark.parametrize("features", [64, None])
def test_after_layernorm_the_first_token_is_anyones_guess(features, monkeypatch):
    """All variances are 1: neither LayerNorm's eps, nor rounding, nor that the root is token 0 may decide."""
    seen = []
    learner = load("eqvar")

    class Watched:
        def fit(self, problems, generator):
            seen.append(problems)
            return learner.fit(problems, generator)

    monkeypatch.setattr(runner, "EqVar", Watched)
    execute(cell(reading="layernorm", features=features, draws=100))
    (problems,) = seen
    assert (problems.covariance.diagonal(axis1=1, axis2=2) == 1).all()
    labels = np.stack([runner._labels(PARAMS, draw) for draw in range(100)])
    assert (labels[:, 0] == 0).mean() < 0.3
    A = mix("layernorm", draw_attention(PARAMS, 0))
    if features is None:
        np.testing.assert_allclose(problems.covariance[0], (A @ A.T)[np.ix_(labels[0], labels[0])], atol=1e-12)


def test_what_the_mixing_implies_is_told_beside_the_scores():
    plain, rescaled = (execute(cell(reading=reading)).arrays for reading in ("plain", "rescaled"))
    assert (plain["noise_ratio"] > 10).all()
    np.testing.assert_allclose(rescaled["noise_ratio"], 1)
    assert (plain["first_over_last"] > 1).all()
    A = draw_attention(PARAMS, 0)
    assert plain["first_over_last"][0] == pytest.approx(1 / np.square(A[-1]).sum())
    assert plain["effect"][0] == pytest.approx(np.abs(implied_scm(A)[0]).max(), rel=1e-6)
    assert plain["true_edges"][0] == (np.abs(implied_scm(A)[0]) >= EDGE).sum()


def test_one_token_has_nothing_to_order():
    arrays = execute(cell(tokens=1)).arrays
    assert np.isnan(arrays["order_accuracy"]).all()
    assert np.isnan(arrays["auprc"]).all()
    assert not arrays["shd"].any()


# The table


def test_the_table_puts_each_result_in_its_row_and_column():
    setup = bare()
    s = setup.preset.structure
    columns = (*s.features, None)

    def value(p) -> float:
        return round(0.1 * READINGS.index(p["reading"]) + 0.05 * columns.index(p["features"]), 3)

    made = [mixed(c, value(c.params)) for c in mixing.plan(setup)]
    (table,) = mixing.tables(setup, made)
    assert len(table.rows) == len(s.placement_nodes) * len(mixing.SCALES) * len(READINGS)
    for row in table.rows:
        reading = READINGS[tuple(mixing.READINGS.values()).index(row[2])]
        for features, interval in zip(columns, row[5:], strict=False):
            assert interval.estimate == pytest.approx(value({"reading": reading, "features": features}))
            assert interval.n == s.draws - 1, "the draw without an edge does not count"
        assert row[-1].estimate == made[0].arrays["auprc"][0]
    lost = [failed(r.cell) if r.params["reading"] == "plain" else r for r in made]
    (table,) = mixing.tables(setup, lost)
    assert all((row[3:] == (None,) * len(row[3:])) == (row[2] == "A V") for row in table.rows)
    assert len(mixing.details(setup, lost)[0].rows) == len(made) * 3 // 4
    assert find("mixing", setup, made) == []
