from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from synth.errors import InputError
from synth.graphs import draw_dag, phone_cable
from synth.scm import NOISES, LinearSCM, draw_scm, sample_many
from synth.violations import standardise_covariance
from tests.strategies import dags, generators, linear_scms

pytestmark = pytest.mark.numeric


@given(linear_scms(), generators())
def test_covariance_of_the_mixed_is_that_of_the_noise_mixed(scm, rng):
    state = rng.bit_generator.state
    V = scm.sample_noise(rng, 50)
    rng.bit_generator.state = state
    Z = scm.sample(rng, 50)
    A = np.linalg.inv(np.eye(scm.nodes) - scm.B)
    cov_v, cov_z = (np.atleast_2d(np.cov(rows.T)) for rows in (V, Z))
    np.testing.assert_allclose(cov_z, A @ cov_v @ A.T, rtol=0, atol=1e-12 * np.abs(A).max() ** 2 * cov_v.max())


@given(linear_scms())
def test_exact_covariance_solves_the_model_equation(scm):
    residual = np.eye(scm.nodes) - scm.B
    noise = residual @ scm.covariance @ residual.T
    scale = np.abs(residual).max() ** 2 * scm.covariance.max()
    np.testing.assert_allclose(noise, np.diag(scm.noise_scale**2), rtol=0, atol=1e-12 * scale)
    assert (scm.covariance == scm.covariance.T).all()


@given(linear_scms())
def test_determinant_is_one(scm):
    sign, logarithm = np.linalg.slogdet(np.eye(scm.nodes) - scm.B)
    assert sign == 1
    assert logarithm == pytest.approx(0, abs=1e-12)


@given(linear_scms(equal_variances=True))
def test_score_of_the_truth_is_n_sigma_squared(scm):
    residual = np.eye(scm.nodes) - scm.B
    score = np.trace(residual @ scm.covariance @ residual.T)
    assert score == pytest.approx(scm.nodes * scm.noise_scale[0] ** 2, rel=1e-9)


def score_of_order(covariance, order):
    """The least-squares score of the best B along an order: the sum of variances given predecessors."""
    S = covariance[np.ix_(order, order)]
    return float((np.diag(np.linalg.cholesky(S)) ** 2).sum())


@given(linear_scms(nodes=4, equal_variances=True))
def test_lemma_4_1_the_optimum_over_all_orders_is_unique(scm):
    floor = 4 * scm.noise_scale[0] ** 2
    for order in permutations(range(4)):
        position = np.argsort(order)
        consistent = all(position[cause] < position[effect] for effect, cause in np.argwhere(scm.graph))
        excess = score_of_order(scm.covariance, order) / floor - 1
        assert abs(excess) < 1e-10 if consistent else excess > 1e-6


@given(linear_scms(nodes=2))
def test_two_standardised_nodes_tie(scm):
    R = standardise_covariance(scm.covariance)
    assert score_of_order(R, [0, 1]) == pytest.approx(score_of_order(R, [1, 0]), rel=1e-12)


@given(linear_scms())
def test_caller_keeps_the_arrays(scm):
    B, scale = scm.B.copy(), scm.noise_scale.copy()
    held = LinearSCM(B, scale)
    B[:] = scale[:] = 7
    assert (held.B == scm.B).all()
    assert (held.noise_scale == scm.noise_scale).all()
    with pytest.raises(ValueError, match="read-only"):
        held.B[0, 0] = 1


def test_phone_cable_by_hand():
    scm = LinearSCM(np.array([[0, 0, 0], [2, 0, 0], [-1, 0, 0]]), np.array([1, 1, 3]))
    assert scm.covariance.tolist() == [[1, 2, -1], [2, 5, -2], [-1, -2, 10]]
    assert scm.mixing.tolist() == [[1, 0, 0], [2, 1, 0], [-1, 0, 1]]
    assert (scm.graph == phone_cable()).all()
    assert scm.order.tolist() == [0, 1, 2]


LAWS = {
    "gaussian": stats.norm(),
    "exponential": stats.expon(-1),
    "gumbel": stats.gumbel_r(-np.euler_gamma * np.sqrt(6) / np.pi, np.sqrt(6) / np.pi),
    "uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
    "laplace": stats.laplace(scale=np.sqrt(0.5)),
    "student_t": stats.t(3, scale=np.sqrt(1 / 3)),
}


@pytest.mark.parametrize("noise", NOISES)
def test_noise_laws(noise):
    law = LAWS[noise]
    assert law.mean() == pytest.approx(0, abs=1e-12)
    assert law.var() == pytest.approx(1)
    assert stats.kstest(NOISES[noise](np.random.default_rng(0), (400_000,)), law.cdf).pvalue > 0.01


@pytest.mark.parametrize("noise", NOISES)
def test_samples_have_the_exact_covariance(noise):
    rng = np.random.default_rng(1)
    scm = draw_scm(rng, draw_dag("er", rng, 6, 1), noise=noise, profile="random", ratio=9)
    X = scm.sample(rng, 200_000)
    assert X.shape == (200_000, 6)
    scale = np.sqrt(np.diag(scm.covariance))
    off = 0.1 if noise == "student_t" else 0.02
    np.testing.assert_allclose(np.cov(X.T) / np.outer(scale, scale), scm.covariance / np.outer(scale, scale), atol=off)


def test_a_batch_is_each_alone():
    rng = np.random.default_rng(0)
    scms = [draw_scm(rng, draw_dag("er", rng, 5, 2)) for _ in range(3)]
    batch = sample_many(scms, [np.random.default_rng(seed) for seed in range(3)], 10)
    alone = [scm.sample(np.random.default_rng(seed), 10) for seed, scm in enumerate(scms)]
    assert (batch == np.stack(alone)).all()
    with pytest.raises(InputError, match="one generator for each"):
        sample_many(scms, [rng], 10)


@given(dags(), generators())
def test_weights_lie_in_the_interval_on_the_edges(graph, rng):
    magnitudes = np.abs(draw_scm(rng, graph, weights=(0.3, 0.8)).B)
    assert ((magnitudes[graph] >= 0.3) & (magnitudes[graph] <= 0.8)).all()
    assert (magnitudes[~graph] == 0).all()


def test_signs():
    rng = np.random.default_rng(0)
    graph = draw_dag("er", rng, 60, 10)
    assert np.mean(draw_scm(rng, graph).B[graph] > 0) == pytest.approx(0.5, abs=0.08)
    assert (draw_scm(rng, graph, signed=False).B[graph] > 0).all()


def test_variance_profiles():
    graph = draw_dag("er", np.random.default_rng(0), 50, 2)
    drawn = {
        profile: draw_scm(np.random.default_rng(1), graph, profile=profile, ratio=16)
        for profile in ("equal", "random", "rising", "falling")
    }
    variances = {profile: scm.noise_scale**2 for profile, scm in drawn.items()}
    order = drawn["equal"].order
    assert (variances["equal"] == 1).all()
    np.testing.assert_allclose(variances["rising"][order], np.geomspace(1, 16, 50))
    np.testing.assert_allclose(variances["falling"][order], np.geomspace(16, 1, 50))
    assert variances["random"].min() >= 1
    assert variances["random"].max() <= 16
    assert np.median(variances["random"]) == pytest.approx(4, rel=0.5)
    assert all((scm.B == drawn["equal"].B).all() for scm in drawn.values())


EYE, ONE = np.eye(2), np.ones(2)


@pytest.mark.parametrize(
    ("B", "scale", "noise", "message"),
    [
        (1 - EYE, ONE, "gaussian", r"cyclic \(0 -> 1 -> 0\)"),
        (EYE, ONE, "gaussian", r"cyclic \(0 -> 0\)"),
        (np.zeros((2, 3)), ONE, "gaussian", r"expected \(n, n\) and \(n,\)"),
        (0 * EYE, np.ones(3), "gaussian", r"expected \(n, n\) and \(n,\)"),
        (0 * EYE, np.array([1, 0]), "gaussian", "standard deviations above 0"),
        (0 * EYE, np.array([1, np.nan]), "gaussian", "standard deviations above 0"),
        (np.array([[0, np.nan], [0, 0]]), ONE, "gaussian", "not finite"),
        (0 * EYE, ONE, "cauchy", "'cauchy'; expected one of gaussian"),
    ],
)
def test_bad_models(B, scale, noise, message):
    with pytest.raises(InputError, match=message):
        LinearSCM(B, scale, noise)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"weights": (0, 1)}, "weights: got"),
        ({"weights": (2, 1)}, "weights: got"),
        ({"profile": "flat"}, "'flat'; expected one of equal"),
        ({"ratio": 0.5}, "ratio: got 0.5"),
    ],
)
def test_bad_knobs(knobs, message):
    with pytest.raises(InputError, match=message):
        draw_scm(np.random.default_rng(0), phone_cable(), **knobs)


def test_no_samples():
    with pytest.raises(InputError, match="samples: got 0"):
        draw_scm(np.random.default_rng(0), phone_cable()).sample(np.random.default_rng(0), 0)
