"""The exact law under persistence, against every path of causes that could have led to a history."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.behaviour import draw_world
from tests.strategies import generators, worlds

POSITIVE = {
    "items": 300, "parents": 0.4, "fan_out": (5, 7), "concentration": 1.0, "decay": 1.0, "horizon": 20,
    "persistence": 0.9,
}  # fmt: skip


def causes_of_step(world, history, hidden, last):
    """The law of what causes the step after a history, by (position, 0 if observed or 1); None is no cause.

    `last` is the cause of the step before it.
    """
    weights = {}
    for tau in range(max(0, len(history) - world.horizon), len(history)):
        for kind, token in enumerate((history[tau], hidden[tau])):
            if token and world.transition[:, token - 1].any():
                weights[tau, kind] = world.decay ** (len(history) - tau)
    stay = world.persistence if last is not None else 0.0
    law = {last: world.causal_share * stay}
    for event, weight in weights.items():
        share = world.causal_share * (1 - stay) * weight / sum(weights.values())
        law[event] = law.get(event, 0.0) + share
    law[None] = 0.0
    law[None] = 1 - sum(law.values())
    return law


def law_by_enumeration(world, history, hidden, segment):
    """E[x_t | past] of one left-padded history: that after each path of causes, weighted by the path's probability."""
    m = world.exogenous_law[segment]

    def law_after(path, t):
        """Each cause of step t, its probability, and the law of the item that it gives; nothing is forced."""
        for event, share in causes_of_step(world, history[:t], hidden[:t], path[-1] if path else None).items():
            token = None if event is None else (history, hidden)[event[1]][event[0]]
            yield event, share, m if token is None else world.transition[:, token - 1]

    free = 1 - world.forced_share
    # Causes of the steps so far, and the joint probability of these and of the items.
    paths = [((), 1.0)]
    for t, item in enumerate(history):
        if item == 0:
            paths = [((*path, None), p) for path, p in paths]
            continue
        longer = [((*path, None), p * world.forced_share) for path, p in paths if item == world.forced_item]
        for path, p in paths:
            longer += [((*path, event), p * free * share * law[item - 1]) for event, share, law in law_after(path, t)]
        paths = [(path, p) for path, p in longer if p > 0]
    total = sum(p for _, p in paths)
    result = np.zeros(world.num_items)
    for path, p in paths:
        result += p / total * free * sum(share * law for _, share, law in law_after(path, len(history)))
    if world.forced_item:
        result[world.forced_item - 1] += world.forced_share
    return result


@given(worlds(persistent=True), generators(), st.integers(0, 6), st.sampled_from([None, 0.0, 1.0]), st.booleans())
def test_the_filter_is_the_sum_over_all_paths_of_causes(world, rng, most_padding, persistence, soft):
    world = world if persistence is None else replace(world, persistence=persistence)
    if soft:  # an item that is forced now and then and keeps its causes, so that either may have brought it
        effects = np.flatnonzero(world.graph.any(axis=1)) + 1
        world = replace(world, forced_item=int(effects[-1]), forced_share=0.3) if len(effects) else world
    behaviour = world.sample(rng, 8, 6)
    real = np.arange(6) >= rng.integers(0, most_padding + 1, (8, 1))
    history, hidden = np.where(real, behaviour.items, 0), np.where(real, behaviour.hidden, 0)
    law = world.step_distribution(history, behaviour.segments, hidden)
    expected = [
        law_by_enumeration(world, *row)
        for row in zip(history.tolist(), hidden.tolist(), behaviour.segments, strict=True)
    ]
    np.testing.assert_allclose(law, expected, atol=1e-12)
    np.testing.assert_allclose(law.sum(axis=1), 1)
    assert (law >= 0).all()


@given(worlds(), generators(), st.integers(1, 12))
def test_the_law_is_continuous_at_no_persistence(world, rng, length):
    behaviour = world.sample(rng, 6, length)
    past = behaviour.items, behaviour.segments, behaviour.hidden
    # So small a persistence changes nothing, but lets the filter run over the whole history.
    np.testing.assert_allclose(
        replace(world, persistence=1e-300).step_distribution(*past), world.step_distribution(*past), atol=1e-14
    )


@given(worlds(persistent=True), generators(), st.integers(1, 6))
def test_padding_in_front_says_nothing(world, rng, length):
    behaviour = world.sample(rng, 5, length)
    front = ((0, 0), (3, 0))
    padded = world.step_distribution(
        np.pad(behaviour.items, front), behaviour.segments, np.pad(behaviour.hidden, front)
    )
    np.testing.assert_allclose(
        padded, world.step_distribution(behaviour.items, behaviour.segments, behaviour.hidden), atol=1e-14
    )


def test_phone_cable_and_case_by_hand():
    """A phone out of the horizon still causes the case with probability r p, where it certainly caused the cable."""
    phone, cable, case = 1, 2, 3
    world = replace(
        draw_world(np.random.default_rng(0), 6, parents=0.0, segments=1, horizon=1, persistence=0.8),
        children=np.array([[0, 0], [cable, case], *[[0, 0]] * 5]),
        child_law=np.array([[0, 0], [0.75, 0.25], *[[0.0, 0.0]] * 5]),
        popularity=np.array([0.5, 0, 0, 0.5, 0, 0]),
        confounding=0.0,
        causal_share=0.5,
    )
    law = world.step_distribution([[phone, cable], [phone, 4]], [0, 0])
    stay = 0.5 * 0.8
    np.testing.assert_allclose(law[0], [0.5 * (1 - stay), 0.75 * stay, 0.25 * stay, 0.5 * (1 - stay), 0, 0])
    np.testing.assert_allclose(law[1], world.popularity)


def ndcg10(scores, target):
    rank = (scores > scores[np.arange(len(target)), target][:, None]).sum(axis=1)
    return np.where(rank < 10, 1 / np.log2(rank + 2), 0)


@pytest.mark.parametrize("seed", range(2))
def test_who_knows_what_persists_ranks_best(seed):
    rng = np.random.default_rng(seed)
    world = draw_world(rng, **POSITIVE)
    for drawn in (world, world.shifted(rng)):
        behaviour = drawn.sample(rng, 2000, 26)
        past, target = behaviour.items[:, :-1], behaviour.items[:, -1]
        best = drawn.best_ranking_scores(past, behaviour.segments)
        without = replace(drawn, persistence=0.0).best_ranking_scores(past, behaviour.segments)
        gain = ndcg10(best, target) - ndcg10(without, target)
        assert gain.mean() > 0.05
        assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))
        for other in (
            replace(drawn, persistence=0.5).best_ranking_scores(past, behaviour.segments),
            world.shifted(rng).best_ranking_scores(past, behaviour.segments),
            best + 0.01 * rng.standard_normal(best.shape),
        ):
            assert ndcg10(best, target).mean() > ndcg10(other, target).mean()


def test_in_a_world_without_persistence_its_filter_gains_nothing():
    rng = np.random.default_rng(0)
    world = draw_world(rng, **{**POSITIVE, "persistence": 0.0})
    behaviour = world.sample(rng, 2000, 26)
    past, target = behaviour.items[:, :-1], behaviour.items[:, -1]
    best = world.best_ranking_scores(past, behaviour.segments)
    without = draw_world(np.random.default_rng(0), **{**POSITIVE, "persistence": 0.9})
    np.testing.assert_array_equal(best, replace(without, persistence=0.0).best_ranking_scores(past, behaviour.segments))
    assert ndcg10(best, target).mean() > ndcg10(without.best_ranking_scores(past, behaviour.segments), target).mean()
