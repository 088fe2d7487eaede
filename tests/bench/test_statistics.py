import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.coverage import draw_differences
from bench.errors import InputError
from bench.statistics import (
    Interval,
    clopper_pearson,
    crossed_interval,
    crossed_p,
    crossing,
    equivalence,
    hierarchical_bootstrap,
    holm,
    paired_difference,
    relative_gain,
    slope_interval,
    spearman_interval,
    t_interval,
)
from tests.strategies import samples


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_interval_relations():
    interval = Interval(0.2, 0.1, 0.4, 5)
    assert (interval.excludes(0.0), interval.excludes(0.1), interval.excludes(0.5)) == (True, False, True)
    assert (interval.above(0.05), interval.above(0.1), interval.below(0.5), interval.below(0.4)) == (1, 0, 1, 0)
    assert (interval.inside(0.0, 0.5), interval.inside(0.1, 0.5), interval.bounded) == (True, False, True)
    assert interval.half_width == pytest.approx(0.15)


def test_t_interval_against_scipy_and_by_hand():
    values = [1.0, 2.0, 4.0, 4.5, 7.0]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (t_interval(values).low, t_interval(values).high) == pytest.approx((low, high), abs=1e-10)
    assert t_interval([0.0, 2.0]).high == pytest.approx(1 + 12.7062047362, abs=1e-8)  # t with one degree of freedom


def test_one_value_bounds_nothing_and_equal_ones_have_no_width():
    one = t_interval([3.0])
    assert (one.estimate, one.low, one.high, one.n, one.bounded) == (3.0, -np.inf, np.inf, 1, False)
    assert t_interval([0.1] * 5).half_width == 0
    assert slope_interval([0, 1], [0, 1]).high == np.inf
    assert equivalence([0.0], 1.0).p == 1
    assert not equivalence([0.0], 1.0).equivalent


@pytest.mark.parametrize("truth", [0.05, 0.5, 0.95])
def test_clopper_pearson_covers_at_least_its_level(truth):
    exact = sum(
        stats.binom.pmf(k, 20, truth) for k in range(21) if not clopper_pearson(k, 20).excludes(truth)
    )
    assert exact >= 0.95


@given(st.integers(1, 300), st.data())
def test_clopper_pearson_against_scipy(trials, data):
    successes = data.draw(st.integers(0, trials))
    ours, theirs = clopper_pearson(successes, trials), stats.binomtest(successes, trials).proportion_ci(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_clopper_pearson_of_the_design_notes():
    assert clopper_pearson(0, 10).high == pytest.approx(0.3085, abs=1e-4)  # "0 failures of 10: up to 31 %"


@given(samples(2, 12), samples(2, 12))
def test_paired_difference_is_antisymmetric(a, b):
    size = min(len(a), len(b))
    forward, back = paired_difference(a[:size], b[:size]), paired_difference(b[:size], a[:size])
    assert (forward.estimate, forward.low, forward.high) == pytest.approx((-back.estimate, -back.high, -back.low))


@given(samples(2, 12), st.floats(1e-3, 1e6))
def test_equivalence_by_p_is_equivalence_by_interval(values, margin):
    result = equivalence(values, margin)
    assume(abs(result.p - 0.05) > 1e-9)
    assert result.equivalent == (result.p < 0.05)
    assert result.interval.level == pytest.approx(0.90)


def test_equivalence_against_scipys_two_one_sided_tests():
    values = rng(2).normal(0.1, 1, 30)
    below = stats.ttest_1samp(values, -0.6, alternative="greater").pvalue
    above = stats.ttest_1samp(values, 0.6, alternative="less").pvalue
    assert equivalence(values, 0.6).p == pytest.approx(max(below, above), rel=1e-9)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, np.asarray(p) * len(p)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@given(samples(3, 12), samples(3, 12))
def test_slope_against_scipy(x, y):
    size = min(len(x), len(y))
    x, y = np.asarray(x[:size]), np.asarray(y[:size])
    assume(np.ptp(x) > 1e-2 * (1 + np.abs(x).max()) and np.ptp(y) > 0)
    ours, theirs = slope_interval(x, y), stats.linregress(x, y)
    half = stats.t.ppf(0.975, size - 2) * theirs.stderr
    scale = (1 + np.abs(y).max()) / np.ptp(x)
    assert ours.estimate == pytest.approx(theirs.slope, abs=1e-8 * scale)
    assert ours.half_width == pytest.approx(half, abs=1e-6 * scale)


@given(samples(4, 12), samples(4, 12))
def test_spearman_against_scipy_and_inside_its_bounds(x, y):
    size = min(len(x), len(y))
    x, y = np.asarray(x[:size]), np.asarray(y[:size])
    interval = spearman_interval(x, y)
    assert -1 <= interval.low <= interval.estimate <= interval.high <= 1
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert (interval.estimate, interval.low, interval.high) == (0, -1, 1)
    else:
        assert interval.estimate == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_spearman_of_a_perfect_order_keeps_a_width():
    falling = spearman_interval(range(9), range(9, 0, -1))
    assert falling.estimate == falling.low == -1
    assert -1 < falling.high < -0.8
    assert spearman_interval(range(4), range(4)).low < 0  # four points settle nothing


def test_crossed_interval_by_hand():
    interval = crossed_interval([[1.0, 2.0], [3.0, 4.0]])  # additive: V_seeds = 1, V_users = 1/4, nothing else
    df = 1.25**2 / (1 + 1 / 16)
    assert interval.estimate == 2.5
    assert interval.half_width == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(1.25))
    assert crossed_interval(np.ones((3, 4))).half_width == 0
    assert crossed_interval(np.ones((1, 4))).high == np.inf


def test_users_who_return_under_every_seed_must_be_drawn_together():
    data = draw_differences(rng(5), 10, 50)
    crossed = hierarchical_bootstrap(data, rng(6))
    nested = hierarchical_bootstrap(list(data), rng(6))
    assert crossed.estimate == pytest.approx(nested.estimate) == pytest.approx(data.mean())
    assert crossed.half_width > 1.5 * nested.half_width


def test_nested_bootstrap_has_the_variance_of_its_two_stages():
    rows = [rng(seed).normal(seed % 3 / 4, 1, size=5 + seed) for seed in range(12)]
    means = np.array([row.mean() for row in rows])
    expected = np.sqrt((means.var() + np.mean([row.var() / len(row) for row in rows])) / 12)
    assert hierarchical_bootstrap(rows, rng(7), draws=8000).half_width / 1.96 == pytest.approx(expected, rel=0.06)


def test_bootstraps_repeat_by_their_generator_whatever_the_chunk(monkeypatch):
    data = draw_differences(rng(8), 4, 30)
    first = hierarchical_bootstrap(data, rng(9)), relative_gain(data[0] + 9, data[1] + 9, rng(9))
    again = hierarchical_bootstrap(data, rng(9)), relative_gain(data[0] + 9, data[1] + 9, rng(9))
    assert first == again
    monkeypatch.setattr("bench.statistics.CHUNK_ENTRIES", 100)
    chunked = hierarchical_bootstrap(data, rng(9))
    assert chunked.half_width == pytest.approx(first[0].half_width, rel=0.1)


def test_one_seed_bounds_nothing():
    assert hierarchical_bootstrap(np.ones((1, 5)), rng()).high == np.inf
    assert relative_gain(np.ones((1, 5)), np.ones((1, 5)), rng()).low == -np.inf


def test_relative_gain_scales():
    base = rng(11).random((3, 40))
    doubled = relative_gain(2 * base, base, rng())
    assert (doubled.estimate, doubled.low, doubled.high, doubled.n) == pytest.approx((1, 1, 1, 3))


def test_relative_gain_over_rare_hits_is_never_nan():
    rare = np.zeros(6)
    rare[0] = 1.0
    interval = relative_gain(np.ones(6), rare, rng())
    assert (interval.estimate, interval.high) == (5.0, np.inf)
    assert np.isfinite(interval.low)


@given(samples())
def test_callers_arrays_are_left_alone(values):
    x = np.asarray(values)
    before = x.copy()
    t_interval(x)
    equivalence(x, 1.0)
    hierarchical_bootstrap([x, x], rng(), draws=5)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t_interval([]), "shape"), (lambda: t_interval([1.0, np.nan]), "1 of 2 values are NaN"),
        (lambda: t_interval([[1.0]]), "shape"), (lambda: t_interval([1.0, 2.0], level=95), "level is 95"),
        (lambda: clopper_pearson(3, 2), "3 successes of 2"), (lambda: clopper_pearson(0, 0), "0 trials"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "1 values against 2"), (lambda: holm([1.2]), "p-values run"),
        (lambda: equivalence([1.0, 2.0], 0.0), "margin is 0"), (lambda: slope_interval([1, 1], [1, 2]), "spread 0"),
        (lambda: relative_gain([1.0, 1.0], [0.0, 0.0], rng()), "mean of b is 0"),
        (lambda: relative_gain([1.0], [1.0, 2.0], rng()), "same shape"),
        (lambda: hierarchical_bootstrap([], rng()), "no seed"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_crossing_by_hand():
    found = crossing([0.0, 1.0, 2.0], [0, 0, 40], [40, 40, 40])
    assert found.estimate == pytest.approx(1.5)
    assert 1 < found.low < 1.5 < found.high < 2
    assert found.n == 120
    assert crossing([0.0, 1.0], [10, 40], [40, 40]).estimate == pytest.approx(1 / 3)
    assert crossing([0.0, 1.0], [10, 40], [40, 40], share=0.9).estimate == pytest.approx(13 / 15)


def test_crossing_says_what_was_not_reached():
    assert crossing([1.0, 2.0], [0, 3], [40, 40]) is None
    assert crossing([1.0, 2.0], [40, 40], [40, 40]) is None
    unsure = crossing([1.0, 2.0], [19, 21], [40, 40])
    assert (unsure.low, unsure.high) == (-np.inf, np.inf)


def test_crossing_makes_rates_monotone_before_it_looks():
    rough = crossing([0.0, 1.0, 2.0, 3.0], [0, 30, 10, 40], [40] * 4)
    smooth = crossing([0.0, 1.0, 2.0, 3.0], [0, 20, 20, 40], [40] * 4)
    assert rough.estimate == smooth.estimate == 1.0


def test_crossing_refuses_x_that_does_not_rise():
    with pytest.raises(InputError, match="increasing x"):
        crossing([1.0, 1.0], [0, 40], [40, 40])


@given(st.integers(0, 2**31), st.floats(-1, 1))
def test_the_crossed_p_value_is_that_whose_interval_ends_at_zero(seed, shift):
    rng = np.random.default_rng(seed)
    x = shift + rng.normal(size=(4, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(4, 30))
    p = crossed_p(x)
    assume(1e-9 < p < 1 - 1e-9)
    interval = crossed_interval(x, level=1 - p)
    assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0.0, abs=1e-6 * (1 + interval.half_width))


def test_crossed_p_values_where_nothing_varies_or_nothing_can_be_said():
    assert crossed_p(np.ones((3, 4))) == 0.0
    assert crossed_p(np.zeros((3, 4))) == 1.0
    assert crossed_p(np.ones((1, 4))) == crossed_p(np.ones((3, 1))) == 1.0


def test_an_interval_in_another_unit():
    assert Interval(0.5, 0.25, 0.75, 7, 0.9).scaled(100) == Interval(50.0, 25.0, 75.0, 7, 0.9)
