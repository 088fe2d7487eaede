"""Simultaneous bands over specifications: their invariances, the tests they come down to, and simulated error rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import InputError
from bench.judge.intervals import t_interval
from bench.judge.multiverse import over_seeds, over_users, training_noise

pytestmark = pytest.mark.numeric

SEEDS = st.integers(0, 2**32 - 1)


def rng(*seed):
    return np.random.default_rng([11, *seed])


def worlds(source, effects, seeds=5, sd=0.02, uneven=0.0):
    """Boosted and plain means (specifications, seeds); one plain model per seed, as readings share theirs."""
    level = 1 + 0.05 * source.standard_normal(seeds)
    noise = sd / 2**0.5 * np.exp(uneven * source.standard_normal((len(effects), 1)))
    boosted = level * (1 + np.array(effects)[:, None]) + noise * source.standard_normal((len(effects), seeds))
    return boosted, np.broadcast_to(level + sd / 2**0.5 * source.standard_normal(seeds), boosted.shape)


def trials(source, effects, seeds=3, settings=4, users=300, sd=0.08):
    """Boosted and plain by user, one seed per specification and a twin per seed and setting; the twins by setting."""
    base = source.exponential(size=users)

    def train():
        return base * (1 + sd * source.standard_normal()) + source.standard_normal(users) * np.sqrt(base)

    twins = [[train() for _ in range(seeds)] for _ in range(settings)]
    boosted = [train() + base * effect for effect in effects]
    return np.array(boosted), np.array([twins[k % settings][k % seeds] for k in range(len(effects))]), np.array(twins)


def both(source, effects=(0.0, 0.02, -0.1)):
    """What is said over seeds and over users of the same effects."""
    boosted, plain, twins = trials(source, effects)
    noise = training_noise(twins)
    return (
        (lambda of=slice(None), flip=1: over_seeds(*turned(worlds(rng(1), effects), of, flip), rng(2), draws=400)),
        (lambda of=slice(None), flip=1: over_users(*turned((boosted, plain), of, flip), noise, rng(2), draws=4000)),
    )


def turned(sides, of, flip):
    """Specifications in another order, with their differences turned about where flip is -1."""
    boosted, plain = (side[of] for side in sides)
    return plain + flip * (boosted - plain), plain


@pytest.mark.parametrize("which", [0, 1], ids=["over seeds", "over users"])
def test_the_order_of_specifications_and_the_sign_of_gains_change_nothing_else(which):
    say = both(rng(3))[which]
    forth, back, turn = say(), say([2, 0, 1]), say(flip=-1)
    for band, other in zip([forth.bands[k] for k in (2, 0, 1)], back.bands, strict=True):
        assert (band.estimate, band.low) == pytest.approx((other.estimate, other.low), rel=0.1)  # by the noise drawn
    for band, other in zip(forth.bands, turn.bands, strict=True):
        assert band.estimate == pytest.approx(-other.estimate)
        assert (band.low, band.high) == pytest.approx((-other.high, -other.low), rel=0.1)
    if which == 0:  # where noise is drawn for each, the draws go by order
        assert (forth.p, forth.least, forth.most) == pytest.approx((back.p, back.least, back.most))


@given(SEEDS, st.permutations(range(6)))
def test_the_order_of_seeds_and_users_changes_chance_alone(seed, order):
    boosted, plain = worlds(rng(seed), [0.0, 0.05, -0.02], seeds=6)
    one, two = (over_seeds(boosted[:, k], plain[:, k], rng(0), draws=4000) for k in (range(6), order))
    assert [band.estimate for band in one.bands] == pytest.approx([band.estimate for band in two.bands])
    assert one.bands[0].half_width == pytest.approx(two.bands[0].half_width, rel=0.2)
    assert one.p == pytest.approx(two.p, abs=0.05)
    ours, theirs, _ = trials(rng(seed), [0.0, 0.05, -0.02], users=100)
    users = rng(seed, 1).permutation(ours.shape[1])
    one, two = (over_users(ours[:, k], theirs[:, k], 0.001, rng(0), draws=3000) for k in (slice(None), users))
    assert [band.estimate for band in one.bands] == pytest.approx([band.estimate for band in two.bands])
    assert one.bands[0].half_width == pytest.approx(two.bands[0].half_width, rel=0.1)


@given(SEEDS, st.integers(2, 8))
def test_one_specification_over_seeds_is_the_t_test(seed, seeds):
    boosted, plain = worlds(rng(seed), [0.01], seeds=seeds)
    said = over_seeds(boosted, plain, rng(0), draws=20_000)
    expected = t_interval((boosted - plain)[0] / plain.mean())
    one_sided = stats.ttest_rel(boosted[0], plain[0], alternative="greater").pvalue
    assert said.bands[0].estimate == pytest.approx(expected.estimate)
    assert said.bands[0].half_width == pytest.approx(expected.half_width, rel=0.15)
    assert said.p == pytest.approx(one_sided, abs=0.02)
    below = expected.estimate - stats.t.ppf(0.95, seeds - 1) * stats.sem((boosted - plain)[0] / plain.mean())
    above = 2 * expected.estimate - below
    assert (said.least, said.most) == pytest.approx((below, above), abs=0.15 * expected.half_width)


@given(SEEDS)
def test_one_specification_over_users_is_the_test_of_a_mean_with_the_noise_added(seed):
    boosted, plain, _ = trials(rng(seed), [0.1], users=100)
    x = (boosted - plain)[0] / plain.mean()
    for noise, seeds in ((0.0, 1), (0.01, 1), (0.01, 4)):
        error = np.sqrt(x.var(ddof=1) / len(x) + 2 * noise / seeds)
        said = over_users(boosted, plain, noise, rng(0), seeds, draws=5000)
        assert said.bands[0].estimate == pytest.approx(x.mean())
        assert said.bands[0].half_width == pytest.approx(1.96 * error, rel=0.08)
        assert said.p == pytest.approx(stats.norm.sf(x.mean() / error), abs=0.03)


@given(SEEDS, st.integers(1, 5), st.integers(2, 6))
def test_bands_contain_the_estimate_and_one_world_of_some_is_no_harm(seed, count, seeds):
    boosted, plain = worlds(rng(seed), np.linspace(-0.1, 0.1, count), seeds)
    boosted = boosted.copy()
    boosted[0, 1:] = np.nan
    said = over_seeds(boosted, plain, rng(0), draws=200)
    assert [band.n for band in said.bands] == [1, *[seeds] * (count - 1)]
    for k, band in enumerate(said.bands):
        theirs = plain[k][~np.isnan(boosted[k])]
        assert band.estimate == pytest.approx(np.nanmean(boosted[k]) / theirs.mean() - 1)
        assert band.low <= band.estimate <= band.high
        assert band.bounded == (count > 1)
    assert said.least <= said.most
    assert 0 < said.p <= 1


@given(SEEDS, st.floats(-0.5, 5.0))
def test_a_gain_that_all_share_does_not_narrow_the_bands(seed, gain):
    boosted, plain = worlds(rng(seed), np.zeros(5))
    ours, theirs, _ = trials(rng(seed), np.zeros(5), users=50)
    for say in (
        lambda more: over_seeds(boosted + more * plain.mean(), plain, rng(0), draws=200),
        lambda more: over_users(ours + more * theirs.mean(1, keepdims=True), theirs, 0.01, rng(0), draws=200),
    ):
        for band, other in zip(say(0.0).bands, say(gain).bands, strict=True):
            assert other.estimate == pytest.approx(band.estimate + gain)
            assert other.half_width == pytest.approx(band.half_width)


def test_equal_models_gain_nothing_for_certain():
    same = np.full((2, 4), 0.3)
    for said in (over_seeds(same, same, rng(0)), over_users(same, same, 0.0, rng(0))):
        assert [(band.low, band.high) for band in said.bands] == [(0, 0)] * 2
        assert (said.p, said.least, said.most) == (1, 0, 0)


def test_more_specifications_need_wider_bands_and_leave_the_upper_bound_of_a_clear_best():
    effects = [0.5, *[-0.5] * 19]
    boosted, plain = worlds(rng(4), effects)
    alone, among = over_seeds(boosted[:1], plain[:1], rng(0)), over_seeds(boosted, plain, rng(0))
    assert among.bands[0].high - alone.bands[0].high > -0.01
    boosted, plain, _ = trials(rng(4), effects)
    alone, among = (over_users(boosted[:k], plain[:k], 0.001, rng(0)) for k in (1, 20))
    assert among.bands[0].half_width > 1.2 * alone.bands[0].half_width
    assert among.least < alone.least - 0.02
    assert among.most == pytest.approx(alone.most, abs=0.02)


def test_the_noise_of_training_is_what_seeds_differ_by_beyond_their_users():
    users = rng(5).exponential(size=2000)
    models = users * (1 + 0.05 * rng(6).standard_normal((40, 30, 1))) + rng(7).standard_normal((40, 30, 2000))
    assert training_noise(models) == pytest.approx(0.05**2, rel=0.15)
    assert training_noise(models) > training_noise(models, level=0.5) > training_noise(models, level=0.2)
    assert training_noise(users + rng(8).standard_normal((40, 30, 2000)), level=0.5) < 1e-4
    assert training_noise([models[0, :1]]) is None
    assert training_noise([]) is None
    assert training_noise([models[0], models[1, :1]]) == training_noise([models[0]])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: over_seeds([[1.0]], [[1.0, 2.0]], rng()), "one shape of two axes"),
    (lambda: over_seeds([[np.nan, 1.0]], [[1.0, np.nan]], rng()), "no values"),
    (lambda: over_seeds([[np.inf, 1.0]], [[1.0, 1.0]], rng()), "infinite"),
    (lambda: over_users([[1.0, 1.0]], [[0.0, 0.0]], 0.0, rng()), "positive"),
    (lambda: over_users([[1.0, np.nan]], [[1.0, 1.0]], 0.0, rng()), "two users or more"),
    (lambda: over_users([[1.0]], [[1.0]], 0.0, rng()), "two users or more"),
    (lambda: training_noise([np.zeros((2, 3))]), "positive"),
])  # fmt: skip
def test_what_says_nothing_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# Simulated error rates. With 400 draws a rate of 0.05 lies below 0.073 with probability 0.98.


def rates(say, effects, count=400):
    """Shares of simulations in which bands cover all effects, the two bounds hold, and no gain is rejected."""
    effects = np.array(effects)
    counts = np.zeros(4)
    for draw in range(count):
        said = say(rng(9, draw))
        covered = all(not band.excludes(effect) for band, effect in zip(said.bands, effects, strict=True))
        counts += (covered, said.least <= effects.max(), said.most >= effects.max(), said.p <= 0.05)
    return counts / count


@pytest.mark.parametrize("uneven", [0.0, 0.7])
@pytest.mark.parametrize("seeds", [3, 10])
def test_over_seeds_without_a_gain_rejects_as_often_as_it_says(seeds, uneven):
    null = np.zeros(12)
    found = rates(lambda r: over_seeds(*worlds(r, null, seeds, uneven=uneven), r, draws=400), null)
    assert found[3] <= 0.073
    assert found[:3].min() >= 0.92  # uneven noise costs about 1 %


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10])
def test_over_seeds_bounds_gains_and_losses(seeds):
    mixed = np.tile([0.03, 0.0, -0.1], 4)
    assert rates(lambda r: over_seeds(*worlds(r, mixed, seeds), r, draws=400), mixed)[:3].min() >= 0.927


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, -0.1])
def test_over_users_with_the_noise_of_training_rejects_as_often_as_it_says(effect):
    null = np.full(12, effect)

    def say(source, known=True):
        boosted, plain, twins = trials(source, null)
        return over_users(boosted, plain, (training_noise(twins) or 0.0) if known else 0.0, source, draws=400)

    found = rates(say, null)
    assert found[3] <= 0.073
    assert found[:3].min() >= 0.927
    if effect == 0:
        assert rates(lambda r: say(r, known=False), null, 100)[3] > 0.2  # users alone take it for a gain


def test_a_planted_gain_is_found_and_bounded():
    effects = np.array([0.1, *[0.0] * 11])
    found = rates(lambda r: over_seeds(*worlds(r, effects), r, draws=400), effects, 100)
    assert found[3] >= 0.9
    assert found[1] >= 0.9
    effects = np.array([0.8, *[0.0] * 11])

    def say(source):
        boosted, plain, twins = trials(source, effects)
        return over_users(boosted, plain, training_noise(twins), source, draws=400)

    assert rates(say, effects, 100)[3] >= 0.8
