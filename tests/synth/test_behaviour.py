import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.behaviour import BehaviourWorld, draw_world
from synth.errors import InputError
from synth.graphs import is_dag, phone_cable
from tests.strategies import generators, worlds


def law_by_definition(world, history, hidden, segment):
    """E[x_t | past] of one history, term by term as in the head of `synth/behaviour.py`."""
    law = np.zeros(world.num_items)
    candidates = []
    for age in range(min(world.horizon, len(history))):
        tokens = [token for token in (history[-1 - age], hidden[-1 - age]) if token]
        candidates += [(world.decay**age, token) for token in tokens if world.transition[:, token - 1].any()]
    r = world.causal_share if candidates else 0
    total = sum(weight for weight, _ in candidates)
    for weight, token in candidates:
        law += r * weight / total * world.transition[:, token - 1]
    m = (1 - world.confounding) * world.popularity + world.confounding * world.segment_laws[segment]
    law = (1 - world.forced_share) * (law + (1 - r) * m)
    if world.forced_item:
        law[world.forced_item - 1] += world.forced_share
    return law


@given(worlds(), generators(), st.integers(1, 7))
def test_step_distribution_is_the_definition(world, rng, length):
    behaviour = world.sample(rng, 6, length)
    history = np.where(np.arange(length) < rng.integers(0, length + 1, (6, 1)), 0, behaviour.items)
    law = world.step_distribution(history, behaviour.segments, behaviour.hidden)
    expected = [
        law_by_definition(world, *row)
        for row in zip(history.tolist(), behaviour.hidden.tolist(), behaviour.segments, strict=True)
    ]
    np.testing.assert_allclose(law, expected, atol=1e-14)
    np.testing.assert_allclose(law.sum(axis=1), 1)
    assert (law >= 0).all()


@given(worlds(), generators())
def test_truth_is_a_dag_whose_laws_sum_to_one(world, rng):
    columns = world.transition.sum(axis=0)
    assert is_dag(world.graph)
    assert np.isclose(columns, 1).sum() == world.transition.any(axis=0).sum()
    assert (world.graph == (world.transition[:, : world.num_items] > 0)).all()
    np.testing.assert_allclose(world.exogenous_law.sum(axis=1), 1)


@given(worlds(), generators())
def test_pointers_point_backwards_to_a_parent(world, rng):
    behaviour = world.sample(rng, 20, 12)
    user, t = np.nonzero(behaviour.pointers >= 0)
    tau = behaviour.pointers[user, t]
    assert ((t - world.horizon <= tau) & (tau < t)).all()
    assert world.graph[behaviour.items[user, t] - 1, behaviour.items[user, tau] - 1].all()
    assert (behaviour.relation.sum(axis=2) == (behaviour.pointers >= 0)).all()
    assert behaviour.items.min() >= 1
    assert behaviour.items.max() <= world.num_items
    present = behaviour.hidden[behaviour.hidden > 0]
    assert ((present > world.num_items) & (present < len(world.children))).all()


def test_phone_cable_and_case_by_hand():
    phone, cable, case = 1, 2, 3
    world = BehaviourWorld(
        children=np.array([[0, 0], [cable, case], [0, 0], [0, 0]]),
        child_law=np.array([[0, 0], [0.75, 0.25], [0, 0], [0, 0]]),
        popularity=np.array([0.5, 0.25, 0.25]),
        segment_laws=np.array([[0.0, 0.5, 0.5]]),
        confounding=0.5,
        causal_share=0.5,
        decay=0.5,
        horizon=2,
        hidden_rate=0.0,
    )
    assert (world.graph == phone_cable()).all()
    history = [[0, phone, cable], [phone, cable, case], [0, 0, phone]]
    np.testing.assert_allclose(
        world.step_distribution(history, [0, 0, 0]),
        # m = (1/4, 3/8, 3/8); half of it where a phone lies within two steps, all of it where none does.
        [[1 / 8, 9 / 16, 5 / 16], [1 / 4, 3 / 8, 3 / 8], [1 / 8, 9 / 16, 5 / 16]],
    )


@given(worlds(persistent=True), generators())
def test_a_cause_beyond_the_horizon_is_that_of_the_step_before(world, rng):
    behaviour = world.sample(rng, 20, 12)
    user, t = np.nonzero(behaviour.pointers >= 0)
    tau = behaviour.pointers[user, t]
    assert (tau < t).all()
    assert world.graph[behaviour.items[user, t] - 1, behaviour.items[user, tau] - 1].all()
    old = tau < t - world.horizon
    assert (behaviour.pointers[user, t - 1] == tau)[old].all()


def test_a_cause_persists_as_often_as_said():
    # At horizon 1 only persistence can point to the same position again, and only a new cause to the latest one.
    world = fixed_world(horizon=1, causal_share=0.8, persistence=0.7)
    behaviour = world.sample(np.random.default_rng(0), 20_000, 10)
    before, now = behaviour.pointers[:, :-1], behaviour.pointers[:, 1:]
    caused = before >= 0
    has_children = world.graph.any(axis=0)[behaviour.items[:, :-1] - 1]
    latest = now == np.arange(now.shape[1])
    for hit, among, share in (
        (now == before, caused, 0.8 * 0.7),
        (latest, caused & has_children, 0.8 * 0.3),
        (latest, ~caused & has_children, 0.8),
    ):
        error = np.sqrt(share * (1 - share) / among.sum())
        assert np.mean(hit[among]) == pytest.approx(share, abs=4 * error)
    assert (now == -1)[~caused & ~has_children].all()


# SHA-256, first 16 digits, of what these worlds gave before causes could persist.
@pytest.mark.parametrize(
    ("knobs", "forced", "digest"),
    [
        ({}, 0, "2b51fa7ca050e27f"),
        ({"items": 20, "hidden_parents": 3, "hidden_rate": 0.5}, 0, "a9b03d7e43f9217f"),
        ({"items": 20, "decay": 1.0, "horizon": 20, "parents": 0.4, "fan_out": (5, 7)}, 0, "3eff73a68a5fef9f"),
        ({"items": 20}, 5, "8cd1d363c33583af"),
    ],
)
def test_without_persistence_the_draws_are_pinned(knobs, forced, digest):
    world = fixed_world(**knobs, persistence=0.0)
    world = world.force(forced, 0.3) if forced else world
    behaviour = world.sample(np.random.default_rng(1), 200, 30)
    arrays = (behaviour.items, behaviour.pointers, behaviour.hidden, behaviour.segments)
    found = hashlib.sha256(b"".join(array.astype("<i8").tobytes() for array in arrays)).hexdigest()
    assert found[:16] == digest


@given(worlds(persistent=True), st.integers(0, 2**32 - 1))
def test_a_shift_permutes_the_exogenous_laws_and_keeps_the_mechanism(world, seed):
    free = replace(world, forced_item=0, forced_share=0.0)
    shifted = free.shifted(np.random.default_rng(seed))
    for field in fields(world):
        one, other = getattr(free, field.name), getattr(shifted, field.name)
        if field.name in ("popularity", "segment_laws"):
            np.testing.assert_array_equal(np.sort(one), np.sort(other))
        else:
            np.testing.assert_array_equal(one, other)


def test_a_shift_draws_each_law_anew():
    world = fixed_world()
    shifted, again = (world.shifted(np.random.default_rng(7)) for _ in range(2))
    laws = np.vstack([shifted.popularity, shifted.segment_laws])
    assert len(np.unique(laws.argsort(axis=1), axis=0)) == len(laws)
    assert (laws != np.vstack([world.popularity, world.segment_laws])).any(axis=1).all()
    assert (shifted.exogenous_law == again.exogenous_law).all()


@given(worlds(), st.integers(0, 2**32 - 1))
def test_same_generator_state_same_behaviour(world, seed):
    first, second = (world.sample(np.random.default_rng(seed), 5, 8) for _ in range(2))
    for name in ("items", "pointers", "hidden", "segments"):
        assert (getattr(first, name) == getattr(second, name)).all()


def fixed_world(**knobs):
    return draw_world(np.random.default_rng(0), **knobs)


def z_scores(behaviour, world, t):
    """For each token before t and each item at t, observed less expected counts in standard errors."""
    law = world.step_distribution(behaviour.items[:, :t], behaviour.segments, behaviour.hidden[:, :t])
    before = np.eye(world.num_items)[behaviour.items[:, t - 1] - 1]
    now = np.eye(world.num_items)[behaviour.items[:, t] - 1]
    variance = before.T @ (law * (1 - law))
    return ((before.T @ (now - law)) / np.sqrt(np.maximum(variance, 1e-300)))[variance > 9]


@pytest.mark.parametrize(
    "world",
    [
        fixed_world(items=20),
        fixed_world(items=20, decay=1.0, horizon=3, segments=2, confounding=0.8),
        fixed_world(items=20, hidden_parents=3, hidden_rate=0.5),
        fixed_world(items=20).force(5, 0.3),
        fixed_world(items=20, horizon=2, persistence=0.9),
        fixed_world(items=20, hidden_parents=3, hidden_rate=0.5, persistence=0.9).force(5, 0.3),
        fixed_world(items=20).cut_effects(int(np.argwhere(fixed_world(items=20).graph)[0, 1]) + 1),
    ],
    ids=["default", "flat", "hidden", "forced", "persistent", "persistent, hidden and forced", "cut"],
)
def test_steps_follow_the_exact_law(world):
    z = z_scores(world.sample(np.random.default_rng(1), 40_000, 6), world, t=5)
    assert len(z) > 100
    assert np.abs(z).max() < 4.5
    assert np.std(z) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("persistence", [0.0, 0.8])
def test_causes_are_picked_by_decay(persistence):
    world = fixed_world(causal_share=1.0, decay=0.5, horizon=2, persistence=persistence)
    behaviour = world.sample(np.random.default_rng(0), 50_000, 4)
    has_children = world.graph.any(axis=0)[behaviour.items - 1]
    both = has_children[:, 1] & has_children[:, 2]
    if persistence:  # the first position caused the step before, and not this one
        both &= (behaviour.pointers[:, 2] == 0) & (behaviour.pointers[:, 3] != 0)
        assert both.sum() > 100
    picks = behaviour.pointers[both, 3]
    assert np.mean(picks == 2) == pytest.approx(2 / 3, abs=4 * np.sqrt(2 / 9 / both.sum()))
    assert set(picks) == {1, 2}


def test_default_world_is_as_designed():
    world = fixed_world()
    children = world.graph.sum(axis=0)
    assert np.count_nonzero(children) == 45
    assert set(children) == {0, 2, 3}
    assert world.graph.sum() / 9900 == pytest.approx(0.011, abs=0.001)


def ndcg10(scores, target):
    rank = (scores > scores[np.arange(len(target)), target][:, None]).sum(axis=1)
    return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean())


@pytest.mark.parametrize("seed", range(3))
def test_no_ranking_beats_the_best(seed):
    rng = np.random.default_rng(seed)
    world = draw_world(rng)
    behaviour = world.sample(rng, 3000, 40)
    past, target = behaviour.items[:, :-1], behaviour.items[:, -1]
    best = world.best_ranking_scores(past, behaviour.segments)
    popularity = np.tile(np.bincount(past.ravel(), minlength=101), (3000, 1))
    assert best.shape == (3000, 101)
    assert (best[:, 0] < best[:, 1:].min()).all()
    assert ndcg10(best, target) == pytest.approx(0.55, abs=0.05)
    assert ndcg10(best, target) > 1.5 * ndcg10(popularity, target)
    for noise in (0.003, 0.03):
        blurred = best + noise * rng.standard_normal(best.shape)
        assert ndcg10(best, target) >= ndcg10(blurred, target)


def test_history_may_be_padded():
    world = fixed_world()
    history = world.sample(np.random.default_rng(0), 10, 8).items
    padded = np.pad(history, ((0, 0), (4, 0)))
    segments = np.zeros(10, dtype=np.int64)
    np.testing.assert_array_equal(
        world.step_distribution(history, segments), world.step_distribution(padded, segments)
    )
    np.testing.assert_allclose(
        world.step_distribution(np.zeros((10, 3), dtype=int), segments)[0], world.exogenous_law[0]
    )


def test_forcing_an_item():
    world = fixed_world()
    item = int(np.argmax(world.graph.sum(axis=1))) + 1
    forced = world.force(item, 0.25)
    behaviour = forced.sample(np.random.default_rng(0), 5000, 10)
    assert np.mean(behaviour.items == item) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 50_000))
    assert not forced.graph[item - 1].any()
    assert (forced.graph[:, item - 1] == world.graph[:, item - 1]).all()
    assert (behaviour.pointers[behaviour.items == item] == -1).all()
    assert not np.any(world.force(item, 0).sample(np.random.default_rng(0), 500, 10).items == item)


@pytest.mark.parametrize("persistence", [0.0, 0.8])
def test_cutting_effects_reaches_only_those_who_met_the_item(persistence):
    world = fixed_world(persistence=persistence)
    item = int(np.argmax(world.graph.any(axis=0))) + 1
    cut = world.cut_effects(item)
    before, after = (w.sample(np.random.default_rng(0), 2000, 10) for w in (world, cut))
    met = (before.items == item).any(axis=1)
    assert 0 < met.sum() < 2000
    assert (before.items[~met] == after.items[~met]).all()
    assert (before.items[met] != after.items[met]).any()
    assert not cut.graph[:, item - 1].any()
    assert world.graph[:, item - 1].any()


def test_hidden_parents_act_unseen():
    rng = np.random.default_rng(0)
    world = draw_world(rng, hidden_parents=1, hidden_rate=0.5, causal_share=0.9)
    behaviour = world.sample(rng, 4000, 20)
    assert world.graph.shape == (100, 100)
    assert world.transition.shape == (100, 101)
    assert behaviour.items.max() <= 100
    assert np.mean(behaviour.hidden == 101) == pytest.approx(0.5, abs=0.01)
    child = int(np.argmax(world.transition[:, 100])) + 1
    after_event = behaviour.items[:, 1:][behaviour.hidden[:, :-1] > 0]
    after_none = behaviour.items[:, 1:][behaviour.hidden[:, :-1] == 0]
    assert np.mean(after_event == child) > 1.3 * np.mean(after_none == child)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"fan_out": (1, 3)}, "fan_out: got"),
        ({"fan_out": (3, 2)}, "fan_out: got"),
        ({"parents": 0.99}, "at most 97 items"),
        ({"items": 2, "parents": 0}, "at most -1 items"),
        ({"confounding": 1.5}, "confounding: got 1.5"),
        ({"causal_share": -0.1}, "causal_share: got -0.1"),
        ({"hidden_rate": np.nan}, "hidden_rate: got nan"),
        ({"persistence": 1.1}, "persistence: got 1.1"),
        ({"decay": 0}, "decay: got 0"),
        ({"horizon": 0}, "horizon 0"),
        ({"segments": 0}, "segments 0"),
        ({"concentration": 0}, "concentration 0"),
    ],
)
def test_bad_knobs(knobs, message):
    with pytest.raises(InputError, match=message):
        fixed_world(**knobs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.sample(np.random.default_rng(0), 0, 5), "0 users"),
        (lambda w: w.sample(np.random.default_rng(0), 5, 0), "length 0"),
        (lambda w: w.force(0, 0.5), "item: got 0"),
        (lambda w: w.force(1, 1.0), "share: got 1.0"),
        (lambda w: w.cut_effects(101), "item: got 101"),
        (lambda w: w.force(3, 0.1).shifted(np.random.default_rng(0)), "item 3 is forced; shift first"),
        (lambda w: w.step_distribution([[101]], [0]), "outside 0..100"),
        (lambda w: w.step_distribution([[-1]], [0]), "outside 0..100"),
        (lambda w: w.step_distribution([[1.0]], [0]), "expected int64"),
        (lambda w: w.step_distribution([[1]], [4]), "segments: got"),
        (lambda w: w.step_distribution([[1]], [0, 0]), "segments: got"),
        (lambda w: w.step_distribution([[1, 2]], [0], [[0]]), "hidden: got"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call(fixed_world())
