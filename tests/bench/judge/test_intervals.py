import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import INPUT_ERRORS
from bench.judge.intervals import (
    Interval,
    clopper_pearson,
    clustered_ratio,
    crossed_gain,
    crossed_interval,
    crossing,
    largest_interval,
    mean_interval,
    paired_difference,
    sequence_interval,
    share_interval,
    sparse_interval,
    spearman_interval,
    t_interval,
)
from tests.strategies import crossed_matrices, intervals, samples

pytestmark = pytest.mark.numeric
ZERO_OF_20 = 1 - 0.025 ** (1 / 20)  # upper Clopper-Pearson bound of none in 20


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_interval_relations():
    interval = Interval(0.2, 0.1, 0.4, 5)
    assert [interval.excludes(value) for value in (0.0, 0.1, 0.4, 0.5)] == [True, False, False, True]
    assert (interval.above(0.05), interval.above(0.1), interval.below(0.5), interval.below(0.4)) == (1, 0, 1, 0)
    assert (interval.inside(0.0, 0.5), interval.inside(0.1, 0.5), interval.bounded) == (True, False, True)
    assert interval.half_width == pytest.approx(0.15)


def test_t_interval_against_scipy_and_by_hand():
    values = [1.0, 2.0, 4.0, 4.5, 7.0]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (t_interval(values).low, t_interval(values).high) == pytest.approx((low, high), abs=1e-10)
    assert t_interval([0.0, 2.0]).high == pytest.approx(1 + 12.7062047362, abs=1e-8)  # t with one degree of freedom


def test_an_interval_that_allows_stopping_misses_the_mean_no_more_often_than_it_says():
    """Looked at after 4, 6, ... 40 values; an interval for one n alone misses in a fifth of such runs."""
    runs = rng(5).standard_normal((1000, 40))
    looks = [slice(0, n) for n in range(4, 41, 4)]

    def missed(interval) -> float:
        return float(np.mean([any(interval(run[at]).excludes(0.0) for at in looks) for run in runs]))

    assert missed(sequence_interval) <= 0.06
    assert missed(t_interval) > 0.12


def test_the_sequence_interval_by_hand():
    """At n = peak = 10 and level 0.95: t / z times sqrt(2 (1 + rho) / (10 rho) log(sqrt(1 + rho) / 0.05))."""
    values, rho = np.arange(10.0), 5.991464547107982 + np.log(6.991464547107982)
    half = np.sqrt(2 * (1 + rho) / (10 * rho) * np.log(np.sqrt(1 + rho) / 0.05)) * values.std(ddof=1)
    half *= stats.t.ppf(0.975, 9) / stats.norm.ppf(0.975)
    found = sequence_interval(values)
    assert (found.estimate, found.high) == pytest.approx((4.5, 4.5 + half), abs=1e-9)
    assert sequence_interval([1.0]).high == np.inf
    assert sequence_interval([1.0] * 3).half_width == 0


def test_one_value_bounds_nothing_and_equal_ones_have_no_width():
    one = t_interval([3.0])
    assert share_interval([0.5], 0.9) == Interval(0.5, 0.0, 1.0, 1, 0.9)
    assert share_interval([0, 1]) == Interval(0.5, 0.0, 1.0, 2, 0.95)
    assert share_interval([0.1, 0.9, 0.5], 0.8) == t_interval([0.1, 0.9, 0.5], 0.8)
    assert (one.estimate, one.low, one.high, one.n, one.bounded) == (3.0, -np.inf, np.inf, 1, False)
    assert t_interval([0.1] * 5).half_width == t_interval([0.1] * 3).half_width == 0  # the mean of three is above 0.1


@pytest.mark.parametrize("truth", [0.05, 0.5, 0.95])
def test_clopper_pearson_covers_at_least_its_level(truth):
    exact = sum(stats.binom.pmf(k, 20, truth) for k in range(21) if not clopper_pearson(k, 20).excludes(truth))
    assert exact >= 0.95


@given(st.integers(1, 300), st.data(), st.floats(0.01, 0.99))
def test_clopper_pearson_of_the_failures_is_the_mirror_image_and_it_rises_with_successes(trials, data, level):
    successes = data.draw(st.integers(0, trials))
    found, mirrored = clopper_pearson(successes, trials, level), clopper_pearson(trials - successes, trials, level)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert (found.n, found.level) == (trials, level)
    if successes:
        fewer = clopper_pearson(successes - 1, trials, level)
        assert fewer.low < found.low
        assert fewer.high < found.high or found.high == 1


@given(st.integers(1, 300), st.data())
def test_clopper_pearson_against_scipy(trials, data):
    successes = data.draw(st.integers(0, trials))
    ours, theirs = clopper_pearson(successes, trials), stats.binomtest(successes, trials).proportion_ci(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_clopper_pearson_of_the_design_notes():
    assert clopper_pearson(0, 10).high == pytest.approx(0.3085, abs=1e-4)  # "0 failures of 10: up to 31 %"


@given(samples(2, 12), st.integers(-3, 3), st.integers(-9, 9), st.randoms(use_true_random=False))
def test_t_interval_moves_and_grows_with_its_values_in_any_order(values, power, shift, random):
    found = t_interval(values)
    random.shuffle(values)
    other = t_interval(np.asarray(values) * 2.0**power + shift)
    moved = [bound * 2.0**power + shift for bound in (found.estimate, found.low, found.high)]
    assert [other.estimate, other.low, other.high] == pytest.approx(moved, rel=1e-9, abs=1e-6)


LEVELS = {
    "t": t_interval,
    "paired": lambda x, level: paired_difference(x, x[::-1] + 1, level),
    "spearman": lambda x, level: spearman_interval(x, np.arange(len(x)), level),
    "crossed": lambda x, level: crossed_interval(np.stack([x, x[::-1], x**2]), level),
    "crossed gain": lambda x, level: crossed_gain(np.stack([x, x[::-1]]), np.stack([x**2, x**2]) + 1, level),
    "sparse": lambda x, level: sparse_interval(np.where(np.arange(len(x)) % 5 == 1, x, 0.0), 1.0, level),
    "largest": lambda x, level: largest_interval([x, x[::-1] + 1, x**2], level),
    "clustered": lambda x, level: clustered_ratio(x > 0, 1 + x**2, np.arange(len(x)), np.arange(len(x)) // 2, 2, level),
    "crossing": lambda x, level: crossing([0, 1, 3], [1, 5, 9], [10, 10, 10], level=level),
}


UNITS = {"crossed": 3, "crossed gain": 2, "crossing": 30}


@pytest.mark.parametrize("name", LEVELS)
@given(values=samples(5, 12), level=st.floats(0.05, 0.8))
def test_more_confidence_gives_a_wider_interval_around_the_same_estimate(name, values, level):
    x, make = np.asarray(values) / 1e3, LEVELS[name]
    narrow, wide = make(x, level), make(x, level + 0.19)
    assert (narrow.level, wide.level) == (level, level + 0.19)
    assert narrow.estimate == wide.estimate
    assert narrow.n == wide.n == UNITS.get(name, len(x))
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    if np.ptp(x) > 1e-3:
        assert wide.half_width > narrow.half_width or not 1e-9 < wide.half_width < 1e9


@given(intervals(), st.floats(-9, 9), st.floats(0, 9), st.integers(-3, 9))
def test_relations_of_an_interval_agree_with_each_other(interval, value, width, power):
    assert interval.excludes(value) == (interval.above(value) or interval.below(value))
    assert interval.inside(value, value + width) == (interval.above(value) and interval.below(value + width))
    cut = interval.within(value, value + width)
    assert cut.within(value, value + width) == cut
    assert (cut.estimate, cut.n, cut.level) == (interval.estimate, interval.n, interval.level)
    assert cut.low >= value
    assert cut.high <= value + width
    assert interval.within(-np.inf, np.inf) == interval
    assert interval.scaled(2.0**power).scaled(2.0**-power) == interval
    assert interval.scaled(2.0**power).above(value * 2.0**power) == interval.above(value)
    assert interval.less(value).above(0) == interval.above(value)
    assert interval.less(value).below(0) == interval.below(value)
    assert interval.turned.turned == interval
    assert interval.turned.above(-value) == interval.below(value)
    assert interval.bounded == (np.isfinite(interval.low) and np.isfinite(interval.high))


@given(samples(2, 12), samples(2, 12))
def test_paired_difference_is_antisymmetric(a, b):
    size = min(len(a), len(b))
    forward, back = paired_difference(a[:size], b[:size]), paired_difference(b[:size], a[:size])
    assert (forward.estimate, forward.low, forward.high) == pytest.approx((-back.estimate, -back.high, -back.low))


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
    four = spearman_interval([0, 1, 2, 3], [0, 2, 1, 3])
    assert four.estimate == pytest.approx(0.8)
    assert -1 < four.low < four.estimate < four.high < 1
    assert spearman_interval([0, 1], [3, 5], 0.9) == Interval(1.0, -1.0, 1.0, 2, 0.9)


def test_spearman_by_hand():
    """Fisher's z of 0.8 with Bonett & Wright's error, and the bound of one swap at ±1: 1 - 6 * 2 / (n (n² - 1))."""
    half = stats.norm.ppf(0.975) * np.sqrt((1 + 0.8**2 / 2) / (5 - 3))
    found = spearman_interval([1, 2, 3, 4, 5], [1, 3, 2, 5, 4])
    assert (found.low, found.high) == pytest.approx((np.tanh(np.arctanh(0.8) - half), np.tanh(np.arctanh(0.8) + half)))
    half = stats.norm.ppf(0.975) * np.sqrt(1.5 / (9 - 3))
    assert spearman_interval(range(9), range(9)).low == pytest.approx(np.tanh(np.arctanh(1 - 12 / (9 * 80)) - half))


@given(samples(4, 12), st.data())
def test_spearman_sees_the_order_alone(x, data):
    y = data.draw(samples(len(x), len(x)))
    found = spearman_interval(x, y)
    assert spearman_interval(y, x) == found
    ranks = np.unique(x, return_inverse=True)[1]
    assert spearman_interval(ranks**3, y) == found
    mirrored = spearman_interval(-np.asarray(x), y)
    assert (mirrored.estimate, mirrored.low, mirrored.high) == pytest.approx((-found.estimate, -found.high, -found.low))


def test_crossed_interval_by_hand():
    interval = crossed_interval([[1.0, 2.0], [3.0, 4.0]])  # additive: V_seeds = 1, V_users = 1/4, nothing else
    df = 1.25**2 / (1 + 1 / 16)
    assert interval.estimate == 2.5
    assert interval.half_width == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(1.25))
    assert crossed_interval(np.ones((3, 4))).half_width == 0
    for shape in ((1, 4), (4, 1)):
        assert crossed_interval(np.ones(shape), 0.9) == Interval(1.0, -np.inf, np.inf, shape[0], 0.9)


def two_way(x):
    """Variance of the mean and Satterthwaite's degrees of freedom from sums of squares, entry by entry."""
    seeds, users = x.shape
    mean = x.mean()
    squares = np.zeros(3)
    for s in range(seeds):
        for u in range(users):
            seed, user = x[s].mean() - mean, x[:, u].mean() - mean
            squares += [seed**2, user**2, (x[s, u] - mean - seed - user) ** 2]
    freedom = np.array([seeds - 1, users - 1, (seeds - 1) * (users - 1)])
    parts = squares / freedom / (seeds * users)
    variance = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    return variance, variance**2 / (parts**2 / freedom).sum()


@given(crossed_matrices())
def test_crossed_interval_against_sums_of_squares(x):
    assume(np.ptp(x) > 1e-9)
    variance, df = two_way(x)
    assume(variance > 1e-20)
    interval = crossed_interval(x, 0.9)
    assert (interval.estimate, interval.n, interval.level) == (pytest.approx(x.mean(), abs=1e-12), len(x), 0.9)
    half = stats.t.ppf(0.95, df) * np.sqrt(variance)
    assert interval.half_width == pytest.approx(half, rel=1e-6)
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-6)


@given(crossed_matrices(), st.randoms(use_true_random=False))
def test_crossed_interval_knows_seeds_and_users_neither_by_place_nor_by_name(x, random):
    rows, columns = (random.sample(range(size), size) for size in x.shape)
    turned = crossed_interval(x.T)
    for other in (turned, crossed_interval(x[rows]), crossed_interval(x[:, columns])):
        assert (other.low, other.high) == pytest.approx((crossed_interval(x).low, crossed_interval(x).high), 1e-9, 1e-9)
    assert turned.n == x.shape[1]


@pytest.mark.parametrize("unit", [1e-150, 1e-88, 1.0, 1e150])
def test_crossed_interval_has_no_unit_however_small(unit):
    x = rng(4).normal(size=(3, 4))
    ours, plain = crossed_interval(x * unit), crossed_interval(x)
    assert (ours.low / unit, ours.high / unit) == pytest.approx((plain.low, plain.high))


def test_crossed_gain_by_hand():
    base = np.array([[1.0, 2.0], [3.0, 2.0]])
    assert crossed_gain(3 * base, base) == Interval(2.0, 2.0, 2.0, 2)
    gain, shift = crossed_gain(np.full((2, 2), 2.0), base, 0.9), crossed_interval(base, 0.9)
    assert (gain.estimate, gain.level) == (0.0, 0.9)  # (2 - base) / 2 around its mean
    assert gain.half_width == pytest.approx(shift.half_width / 2)
    assert crossed_gain([[2.0, 4.0]], [[1.0, 1.0]], 0.9) == Interval(2.0, -np.inf, np.inf, 1, 0.9)


@given(crossed_matrices(), st.integers(-9, 9), st.integers(-3, 9))
def test_crossed_gain_over_a_constant_is_the_crossed_interval_in_its_unit(x, shift, power):
    unit = 2.0**power
    gain, plain = crossed_gain(x + shift, np.full_like(x, unit)), crossed_interval((x + shift) / unit)
    expected = (plain.estimate - 1, plain.low - 1, plain.high - 1)
    assert (gain.estimate, gain.low, gain.high) == pytest.approx(expected, abs=1e-9)


@given(crossed_matrices(), crossed_matrices(), st.floats(1e-3, 1e3))
def test_a_relative_gain_has_no_unit(a, b, unit):
    shape = tuple(map(min, zip(a.shape, b.shape, strict=True)))
    a, b = (side[: shape[0], : shape[1]] for side in (a, b))
    b = np.abs(b) + 1
    here, there = crossed_gain(a, b), crossed_gain(a * unit, b * unit)
    expected = (there.estimate, there.low, there.high)
    assert (here.estimate, here.low, here.high) == pytest.approx(expected, 1e-9, 1e-7)
    assert here.estimate == pytest.approx(a.mean() / b.mean() - 1)


def test_mean_interval_by_hand():
    one, other = Interval(1.0, 0.0, 2.0, 3, freedom=2.0), Interval(3.0, 1.0, 5.0, 5)
    errors = 1 / stats.t.ppf(0.975, 2), 2 / stats.t.ppf(0.975, 4)
    variance = errors[0] ** 2 + errors[1] ** 2
    freedom = variance**2 / (errors[0] ** 4 / 2 + errors[1] ** 4 / 4)
    found = mean_interval([one, other])
    assert (found.estimate, found.n, found.level) == (2.0, 3, 0.95)
    assert found.freedom == pytest.approx(freedom)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance) / 2)
    assert found.half_width < np.hypot(1, 2) / 2
    unbounded = Interval(0.0, -np.inf, np.inf, 1)
    assert mean_interval([one, unbounded]) == Interval(0.5, -np.inf, np.inf, 1)
    assert mean_interval([Interval(1.0, 1.0, 1.0, 4), Interval(2.0, 2.0, 2.0, 3)]) == Interval(1.5, 1.5, 1.5, 3)


@given(st.lists(crossed_matrices(), min_size=1, max_size=4), st.integers(2, 5))
def test_mean_interval_of_one_is_its_own_and_of_more_is_no_wider_than_their_mean(matrices, copies):
    found = [crossed_interval(x) for x in matrices]
    assume(all(one.bounded for one in found))
    joint, first = mean_interval(found), mean_interval(found[:1])
    assert (first.low, first.high) == pytest.approx((found[0].low, found[0].high), 1e-6, 1e-9)
    assert joint.estimate == pytest.approx(np.mean([one.estimate for one in found]), 1e-9, 1e-9)
    assert joint.half_width <= np.mean([one.half_width for one in found]) * (1 + 1e-9)
    if (single := found[0]).half_width > 0 and single.freedom is not None:
        many = mean_interval([single] * copies)
        assert many.freedom == pytest.approx(copies * single.freedom)
        assert many.half_width <= single.half_width / np.sqrt(copies) * (1 + 1e-9)


@given(samples())
def test_callers_arrays_are_left_alone(values):
    x = np.asarray(values)
    before = x.copy()
    t_interval(x)
    crossed_interval(x[None])
    spearman_interval(x, x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t_interval([]), "shape"), (lambda: t_interval([1.0, np.nan]), "1 of 2 values are NaN"),
        (lambda: t_interval([[1.0]]), "shape"), (lambda: t_interval([1.0, 2.0], level=95), "level is 95"),
        (lambda: clopper_pearson(3, 2), "3 successes of 2"), (lambda: clopper_pearson(0, 0), "0 trials"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "1 values against 2"),
        (lambda: largest_interval([]), "largest of no means"),
        (lambda: clustered_ratio([1, 0], [0, 0], [0, 1], [0, 1], 1), "0.0 expected hits"),
        (lambda: clustered_ratio([1, 0], [1, 1], [0], [0, 1], 1), "2 edges with 1 effects, 2 causes"),
        (lambda: clustered_ratio([1, 0], [1, 1], [0, 1], [0], 1), "2 edges with 2 effects, 1 causes"),
        (lambda: crossed_gain(np.ones((2, 2)), np.ones((2, 3))), r"a has shape \(2, 2\) and b \(2, 3\)"),
        (lambda: crossed_gain(np.ones((2, 2)), np.zeros((2, 2))), "mean of b is 0"),
        (lambda: t_interval([1.0, 2.0], level=0), "level is 0"),
        (lambda: t_interval([1.0, 2.0], level=1), "level is 1"), (lambda: clopper_pearson(-1, 2), "-1 successes"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(INPUT_ERRORS, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (t_interval, "values"), (share_interval, "values"),
        (lambda x: crossing(x, [1], [2]), "x"), (lambda x: sparse_interval(x, 1.0), "values"),
        (lambda x: largest_interval([[1.0], x]), "values"),
        (lambda x: clustered_ratio(x, [1.0], [0], [0], 1), "the first side"),
        (lambda x: clustered_ratio([1.0], x, [0], [0], 1), "the second side"),
        (lambda x: paired_difference(x, [1.0]), "the first side"),
        (lambda x: spearman_interval([1.0], x), "the second side"),
        (lambda x: crossed_interval([x]), "differences"),
        (lambda x: crossed_gain([x], [[1.0]]), "a"), (lambda x: crossed_gain([[1.0]], [x]), "b"),
    ],
)  # fmt: skip
def test_the_side_that_is_not_finite_is_named(call, name):
    with pytest.raises(INPUT_ERRORS, match=f"^{name}: 1 of 1 values are NaN or infinite"):
        call([np.inf])


def test_crossing_by_hand():
    found = crossing([0.0, 1.0, 2.0], [0, 0, 40], [40, 40, 40])
    assert found.estimate == pytest.approx(1.5)
    assert 1 < found.low < 1.5 < found.high < 2
    assert found.n == 120
    assert crossing([0.0, 1.0], [10, 40], [40, 40]).estimate == pytest.approx(1 / 3)
    assert crossing([0.0, 1.0], [10, 40], [40, 40], share=0.9).estimate == pytest.approx(13 / 15)
    assert crossing([2.0, 6.0], [10, 40], [40, 40]).estimate == pytest.approx(2 + 4 / 3)


def test_crossing_weighs_rates_by_their_trials():
    """30 of 40 before 1 of 4 make 31 of 44 at both, so 0.6 is reached before the first of the two."""
    found = crossing([0.0, 1.0, 2.0, 3.0], [0, 30, 1, 40], [40, 40, 4, 40], share=0.6)
    assert found.estimate == pytest.approx(0.6 / (31 / 44))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=6), st.integers(-9, 9))
def test_crossing_moves_with_x_and_lies_between_its_bounds(rates, shift):
    trials = [hits + misses for hits, misses in rates]
    x = np.cumsum(np.arange(1, len(rates) + 1))
    found, moved = (crossing(at, [hits for hits, _ in rates], trials) for at in (x, 2 * x + shift))
    assert (found is None) == (moved is None)
    if found is not None:
        assert x[0] <= found.estimate <= x[-1]
        assert found.low <= found.estimate <= found.high
        assert found.n == sum(trials)
        expected = (2 * found.estimate + shift, 2 * found.low + shift, 2 * found.high + shift)
        assert (moved.estimate, moved.low, moved.high) == pytest.approx(expected)


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
    with pytest.raises(INPUT_ERRORS, match="increasing x"):
        crossing([1.0, 1.0], [0, 40], [40, 40])


def test_small_whole_numbers_and_truth_values_do_not_wrap():
    low, high = np.array([1, 2], dtype=np.uint8), np.array([2, 3], dtype=np.uint8)
    assert paired_difference(low, high) == Interval(-1.0, -1.0, -1.0, 2)
    assert paired_difference([False, False], [True, True]) == Interval(-1.0, -1.0, -1.0, 2)
    assert crossed_interval(np.array([low - 1, high]) > 1).estimate == pytest.approx(0.5)


def test_an_interval_in_another_unit():
    assert Interval(0.5, 0.25, 0.75, 7, 0.9).scaled(100) == Interval(50.0, 25.0, 75.0, 7, 0.9)
    assert Interval(0.5, 0.25, np.inf, 7, 0.9).less(0.25) == Interval(0.25, 0.0, np.inf, 7, 0.9)


# Differences of which most are 0


def test_a_sparse_interval_by_hand():
    """Of 20 none differs, up to 16.84 % may, by the size that matters; of two that do, the largest counts if larger."""
    none = sparse_interval([0] * 20, 0.5)
    assert (none.estimate, none.low, none.high) == pytest.approx((0.0, -0.5 * ZERO_OF_20, 0.5 * ZERO_OF_20))
    found = sparse_interval([*[0] * 18, 3, 1], 0.5)
    assert (found.estimate, found.low) == (0.2, pytest.approx(-3 * ZERO_OF_20))
    assert found.high == pytest.approx(3 * clopper_pearson(2, 20).high)
    assert sparse_interval([*[0] * 16, 1, 2, -1, 3], 9.0) == t_interval([*[0] * 16, 1, 2, -1, 3])


@given(st.lists(st.integers(-3, 3), max_size=4), st.integers(1, 40), st.floats(0.01, 5), st.floats(0.5, 0.99))
def test_a_sparse_interval_contains_student_s_and_turns_with_the_sign(others, zeros, size, level):
    x = np.array([0] * zeros + others)
    found, plain, mirrored = sparse_interval(x, size, level), t_interval(x, level), sparse_interval(-x, size, level)
    assert found.low <= plain.low <= plain.high <= found.high
    assert (found.estimate, found.n, found.level) == (plain.estimate, plain.n, level)
    assert (found.low, found.high) == (-mirrored.high, -mirrored.low)
    wider = sparse_interval(x, size + 1, level)
    assert wider.low <= found.low
    assert found.high <= wider.high


@pytest.mark.parametrize("share", [0.01, 0.03, 0.05])
def test_a_sparse_interval_covers_where_student_s_does_not(share):
    """Exactly, over the number of 40 draws that differ by 1."""
    covered = np.zeros(2)
    for k in range(41):
        x = np.arange(40) < k
        kept = [not interval.excludes(share) for interval in (sparse_interval(x, 1.0), t_interval(x))]
        covered += stats.binom.pmf(k, 40, share) * np.array(kept)
    assert covered[0] >= 0.95
    assert covered[1] < 0.9


# The largest of several means


def test_the_largest_of_several_means_by_hand():
    steady, wild = [2.0, 2.1, 1.9, 2.0], [9.0, -5.0, 6.0, 0.0]
    found = largest_interval([steady, wild], 0.9)
    assert (found.estimate, found.low) == (2.5, sequence_interval(steady, 0.95).low)
    assert (found.high, found.n, found.level) == (sequence_interval(wild, 0.9).high, 4, 0.9)


@given(st.lists(samples(4, 4), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_largest_knows_no_order_and_lies_between_no_correction_and_the_bounds_of_each(gains, random):
    found, each = largest_interval(gains), [sequence_interval(values) for values in gains]
    assert found.estimate == max(interval.estimate for interval in each)
    assert found.low <= max(interval.low for interval in each) <= found.estimate <= found.high
    assert all(interval.high <= found.high for interval in each)
    assert found == largest_interval(random.sample(gains, len(gains)))
    assert largest_interval(gains[:1]) == each[0]
    assert largest_interval([*gains, gains[0]]).low <= found.low


def test_of_means_that_are_all_0_some_lies_above_0_no_more_often_than_it_says():
    gains = rng(8).standard_normal((400, 6, 12))
    assert np.mean([largest_interval(each).above(0) for each in gains]) <= 0.025  # one side of what adding units allows
    assert np.mean([max(t_interval(one).low for one in each) > 0 for each in gains]) > 0.08


# Edges that share causes and effects

EDGES = st.lists(st.tuples(st.booleans(), st.floats(0.1, 1), st.integers(0, 5), st.integers(0, 5)), min_size=2)


def test_edges_that_share_nothing_have_the_plain_variance_once_by_cause_and_once_by_effect():
    hits, ends = rng(3).random(60) < 0.4, np.arange(60)
    found, plain = clustered_ratio(hits, np.full(60, 0.2), ends, ends, 1), t_interval(hits / 0.2)
    assert (found.estimate, found.n) == (pytest.approx(plain.estimate), 60)
    assert found.half_width == pytest.approx(np.sqrt(2) * plain.half_width)


def test_two_causes_by_hand():
    """20 edges of one cause hit, 20 of the other do not, 5 of 10 of each effect: (1/2)² for each cause, times 2/1."""
    found = clustered_ratio(np.arange(40) < 20, np.full(40, 0.5), np.arange(40) % 4, np.arange(40) // 20, 1)
    assert (found.estimate, found.low) == (1.0, 0.0)
    assert found.high == pytest.approx(1 + stats.t.ppf(0.975, 1))


@pytest.mark.parametrize("hits", [0, 1, 5])
@pytest.mark.parametrize("runs", [1, 3])
def test_with_few_hits_a_run_it_is_as_wide_as_poisson_s(hits, runs):
    edges = np.arange(200)
    found = clustered_ratio(edges < hits, np.full(200, 0.05), edges, edges, runs)
    count = hits / runs
    low, high = stats.chi2.ppf(0.025, 2 * count) / 2 if hits else 0.0, stats.chi2.ppf(0.975, 2 * count + 2) / 2
    assert 0 <= found.low <= low * runs / 10 + 1e-12
    assert found.high >= high * runs / 10 - 1e-12 > 0
    if not hits:
        assert (found.estimate, found.low, found.high) == (0.0, 0.0, pytest.approx(-np.log(0.025) * runs / 10))


@given(EDGES, st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_clustered_ratio_knows_edges_neither_by_place_nor_by_name(edges, runs, random):
    hits, expected, effects, causes = map(np.array, zip(*edges, strict=True))
    found = clustered_ratio(hits, expected, effects, causes, runs)
    assert 0 <= found.low <= found.estimate <= found.high
    order = random.sample(range(len(edges)), len(edges))
    others = [
        clustered_ratio(hits[order], expected[order], effects[order], causes[order], runs),
        clustered_ratio(hits, expected, 7 - effects, 3 * causes + 1, runs),
        clustered_ratio(hits, expected, causes, effects, runs),
        clustered_ratio(hits, 4 * expected, effects, causes, runs).scaled(4),
    ]
    for other in others:
        assert (other.low, other.high) == pytest.approx((found.low, found.high), rel=1e-6, abs=1e-6)


@given(st.integers(0, 2**31), st.integers(2, 4))
def test_copies_of_edges_with_their_ends_tell_nothing_new(seed, copies):
    hits, ends = rng(seed).random(80) < 0.5, rng(seed).integers(12, size=(2, 80))
    once = clustered_ratio(hits, np.full(80, 0.3), *ends, 1)
    more = clustered_ratio(np.tile(hits, copies), np.full(80 * copies, 0.3), *np.tile(ends, copies), 1)
    assert (more.estimate, more.low, more.high) == pytest.approx((once.estimate, once.low, once.high))
    assert clustered_ratio(np.tile(hits, copies), np.full(80 * copies, 0.3), *[np.arange(80 * copies)] * 2,
                           1).half_width < more.half_width  # fmt: skip
