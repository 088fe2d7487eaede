"""What data say of a graph, on worlds where the answer is known."""

import numpy as np
import pytest
from hypothesis import assume, given
from scipy import stats

from causalrec.structure import Problems, threshold_to_dag
from causalrec.structure.eqvar import EqVar
from causalrec.structure.evidence import (
    GAUSSIAN,
    SINGULAR,
    evidence,
    in_both,
    kurtosis,
    order_margin,
    regress_on_causes,
    spread,
    standardised,
)
from synth.scm import LinearSCM
from tests.strategies import generators, linear_scms

pytestmark = pytest.mark.numeric

B = np.array([[0, 0, 0, 0, 0], [1.5, 0, 0, 0, 0], [0.9, -0.8, 0, 0, 0], [0, 0, 1.2, 0, 0], [0, 0.7, 0, -1, 0]])
P, RATIO = "p of equal residual variances", "ratio of residual variances"
LOW, HIGH = "ratio at least (95 %)", "ratio at most (95 %)"


def told(seeds, rows=200, ratio=1.0, noise="gaussian"):
    """Evidence of B, of data with noise variances from 1 to a ratio, one per seed: the values by name."""
    scm = LinearSCM(B, np.sqrt(ratio ** np.linspace(1, 0, 5)), noise)
    samples = (scm.sample(np.random.default_rng(seed), rows) for seed in range(seeds))
    found = [evidence(B, Problems.from_samples(X)) for X in samples]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


@given(linear_scms())
def test_the_scm_is_found_again_in_its_covariance(scm):
    effects, variances = regress_on_causes(scm.B, scm.covariance)
    assert effects == pytest.approx(scm.B, abs=1e-6)
    assert variances == pytest.approx(scm.noise_scale**2, rel=1e-6)


# Residual variances


@pytest.mark.parametrize("noise", ["gaussian", "laplace", "uniform", "exponential"])
def test_equal_variances_are_rejected_as_often_as_the_level_says(noise):
    found = told(300, noise=noise)
    assert (found[P] < 0.05).sum() <= 27  # more than 27 of 300 at 5 %: 1 in 1,000
    assert stats.kstest(found[P], "uniform", alternative="greater").pvalue > 1e-3
    assert ((found[LOW] == 1) & (found[HIGH] > 1)).mean() > 0.9


def test_the_level_holds_for_graphs_that_eqvar_found_and_not_where_effects_are_left_out():
    scm, rng = LinearSCM(B, np.ones(5)), np.random.default_rng(0)
    problems = Problems.from_samples(scm.sample(rng, 200 * 500).reshape(200, 500, 5))
    graphs = threshold_to_dag(EqVar().fit(problems, rng).W)[0]
    each = [Problems(problems.covariance[[k]], 500, None, problems.rows[[k]]) for k in range(200)]
    found = [evidence(W, one)[P] for W, one in zip(graphs, each, strict=True)]
    without = [evidence(W * (B != 0.7), one)[P] for W, one in zip(graphs, each, strict=True)]
    assert np.less(found, 0.05).sum() <= 20  # more than 20 of 200 at 5 %: 1 in 1,000
    assert np.less(without, 0.05).mean() > 0.9


def test_variances_of_ratio_4_are_told_and_the_interval_holds_it():
    for noise in ("gaussian", "laplace"):
        found = told(60, rows=500, ratio=4.0, noise=noise)
        assert (found[P] < 0.05).all()
        assert ((found[LOW] <= 4) & (found[HIGH] >= 4)).sum() >= 54
        assert (found[LOW] > 1.5).all()


def test_many_samples_tell_a_small_difference_and_that_it_is_small():
    found = told(1, rows=100_000, ratio=1.05)
    assert found[P][0] < 0.01
    assert 1 < found[LOW][0] < found[RATIO][0] < found[HIGH][0] < 1.08


def test_a_covariance_alone_has_bartletts_test_which_heavy_tails_break():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)) * [1, 1, 1.3, 1]
    S = np.cov(X.T, bias=True)
    none = np.zeros((4, 4))
    assert evidence(none, Problems(S[None], 60))[P] == pytest.approx(stats.bartlett(*X.T).pvalue)
    laplace = rng.laplace(size=(200, 100, 4))
    alone = [spread(each.var(0, ddof=1), np.full(4, 99.0)).p < 0.05 for each in laplace]
    beside = [evidence(none, Problems.from_samples(each))[P] < 0.05 for each in laplace]
    assert np.mean(alone) > 0.25
    assert np.mean(beside) < 0.1


def test_the_interval_is_tukeys_where_all_have_the_same_freedom():
    found = spread(np.array([1.0, 2.0, 8.0]), np.full(3, 50.0))
    half = stats.studentized_range.ppf(0.95, 3, np.inf) * np.sqrt(2 / 50)
    assert (found.ratio, found.low, found.high) == pytest.approx((8, 8 * np.exp(-half), 8 * np.exp(half)))


@given(generators())
def test_scales_of_variables_move_the_kurtosis_no_further_than_the_largest(rng):
    X = rng.laplace(size=(50, 4))
    X -= X.mean(0)
    largest = max(kurtosis(X[:, [k]]) for k in range(4))
    assert kurtosis(X * 10.0 ** rng.integers(-60, 60, 4)) <= largest * (1 + 1e-9)
    assert kurtosis(7 * X) == pytest.approx(kurtosis(X))
    assert kurtosis(np.array([[1.0], [-1.0]])) == 1.5


def test_the_kurtosis_of_gaussian_residuals_is_near_its_own():
    assert kurtosis(np.random.default_rng(0).normal(size=(20_000, 5))) == pytest.approx(GAUSSIAN, abs=0.1)


def test_what_causes_determine_or_few_samples_cannot_tell_has_no_answer():
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[:, 2] = X[:, 0] - X[:, 1]
    W = np.array([[0, 0, 0], [0, 0, 0], [1, -1, 0]])
    assert set(evidence(W, Problems.from_samples(X)).values()) == {SINGULAR}
    assert evidence(0 * W, Problems.from_samples(X))[RATIO] > 1
    assert set(evidence(W, Problems.from_samples(X[:3])).values()) == {SINGULAR}
    alone = evidence(np.zeros((1, 1)), Problems.from_samples(X[:, :1]))
    assert (alone[RATIO], alone[P], alone["margin of the order"]) == (1, None, None)


@given(generators())
def test_units_of_any_size_end_in_no_error(rng):
    X = rng.normal(size=(20, 3)) * 10.0 ** rng.choice([-140, 0, 140], 3)
    assert len(evidence(np.tril(np.ones((3, 3)), -1), Problems.from_samples(X))) == 6


# The margin of the order


def test_the_margin_by_hand():
    ones = np.ones(3)
    chain = np.array([[0, 0], [0.5, 0]])
    assert order_margin(chain, np.ones(2)) == pytest.approx((1.25, None))
    assert order_margin(chain, np.array([2.0, 1.0]))[0] == pytest.approx((1 + 0.25 * 2) / 2)
    fork = np.array([[0, 0, 0], [0.5, 0, 0], [-2, 0, 0]])
    assert order_margin(fork, ones)[0] == pytest.approx(1.25)
    collider = np.array([[0, 0, 0], [0, 0, 0], [0.5, 2, 0]])
    assert order_margin(collider, np.array([1, 1.1, 1]))[0] == pytest.approx((1 + 4 * 1.1) / 1.1)
    assert order_margin(collider, np.array([1.1, 1, 1]))[0] == pytest.approx((1 + 0.25 * 1.1) / 1.1)
    assert order_margin(np.zeros((3, 3)), ones) is None


@given(linear_scms())
def test_the_margin_says_whether_eqvar_finds_the_order_in_the_exact_covariance(scm):
    found = order_margin(scm.B, scm.noise_scale**2)
    assume(found is not None and abs(found[0] - 1) > 1e-6)
    order = EqVar().fit(Problems(scm.covariance[None]), np.random.default_rng(0)).order[0]
    place = np.argsort(order)
    effect, cause = np.nonzero(scm.B)
    assert (place[cause] < place[effect]).all() == (found[0] > 1)


@given(linear_scms(equal_variances=True))
def test_equal_noise_variances_have_a_margin_above_one(scm):
    found = order_margin(scm.B, scm.noise_scale**2)
    assert found is None or found[0] > 1


def test_a_margin_in_standard_errors_is_the_chance_that_samples_keep_the_order():
    scm, rows, draws = LinearSCM(np.array([[0, 0], [0.4, 0]]), np.ones(2)), 60, 1000
    errors = order_margin(scm.B, np.ones(2), rows)[1]
    assert errors == pytest.approx(np.log(1.16) / 2 * np.sqrt(59 * 1.16))
    rng = np.random.default_rng(0)
    problems = Problems.from_samples(scm.sample(rng, rows * draws).reshape(draws, rows, 2))
    kept = (EqVar().fit(problems, rng).order[:, 0] == 0).mean()
    assert kept == pytest.approx(stats.norm.cdf(errors), abs=0.05)


# Units


def test_edges_of_two_graphs_are_compared_with_their_directions():
    one = np.array([[0, 0, 0], [1, 0, 0], [2, 3, 0]])
    assert in_both(one, one * -5) == 1
    assert in_both(one, one.T) == 0
    assert in_both(one, np.tril(one, -2)) == pytest.approx(1 / 3)
    assert in_both(0 * one, 0 * one) is None


def test_standardised_problems_have_correlations_and_rows_of_mean_0_and_variance_1():
    X = np.random.default_rng(0).normal(size=(50, 3)) * [1, 20, 0.1] + 7
    found = standardised(Problems.from_samples(X))
    assert found.covariance[0] == pytest.approx(np.corrcoef(X.T))
    assert found.rows[0] == pytest.approx((X - X.mean(0)) / X.std(0))
    assert standardised(Problems(np.cov(X.T)[None], 50)).rows is None
