"""Every rule W -> R against a plain reference, by hand, and for what it may look at."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.acyclicity import is_acyclic
from causalrec.errors import InputError
from causalrec.relation import LEAKING, RULES, keep, relate
from tests.strategies import effect_batches

# 3 follows 0 and 2, 2 follows 1, 1 follows 0; two entries of time reversed make a cycle with what they reverse.
HAND = torch.tensor([[0.0, 0.35, 0, 0], [0.4, 0, 0, 0.9], [0, -0.5, 0, 0], [0.1, 0.2, 0.32, 0]])
EDGES = {
    "threshold": {(1, 0), (2, 1), (3, 2)},
    "top_k": {(1, 0), (2, 1), (3, 2), (3, 1)},
    "row_relative": {(1, 0), (2, 1), (3, 2), (3, 1), (3, 0)},
    "closure": {(1, 0), (2, 1), (3, 2), (2, 0), (3, 1), (3, 0)},
    "max_relative": {(1, 0), (2, 1), (3, 2)},
    "dag": {(1, 0), (2, 1)},  # 0 <-> 1 needs a threshold of 0.35, and 1 <- 3 <- 2 <- 1 one of 0.32
}


@pytest.mark.parametrize("rule", EDGES)
def test_the_rules_by_hand(rule):
    relation = relate(HAND[None], rule, tau=0.3, top=2)
    assert relation.dtype == torch.bool
    assert {tuple(edge) for edge in relation[0].nonzero().tolist()} == EDGES[rule]


def reference(w, rule, tau, top):
    """R (l, l) of one W by loops over the definition."""
    n, r = len(w), np.zeros_like(w)
    s = np.abs(w)
    for i in range(n):
        for j in range(i):
            row = sorted(s[i, :i], reverse=True)
            hits = {
                "threshold": s[i, j] >= tau,
                "top_k": s[i, j] >= row[min(top, i) - 1],
                "row_relative": s[i, j] >= tau * row[0],
                "max_relative": s[i, j] >= tau * s.max(),
            }
            r[i, j] = min(s[i, j], 1) if rule == "soft" else hits.get(rule, hits["threshold"]) and s[i, j] > 0
    if rule == "closure":
        for k in range(n):  # Warshall
            r = np.maximum(r, np.outer(r[:, k], r[k]))
    if rule == "dag":
        levels = [0.0, *sorted(s[s > 0])]
        least = next(t for t in levels if is_acyclic(torch.from_numpy((s > t).astype(float))))
        r = np.tril(s > least, -1).astype(float)
    return r


@pytest.mark.parametrize("rule", RULES)
@given(weights=effect_batches(), tau=st.floats(0, 1), top=st.integers(1, 6))
def test_without_time_a_rule_keeps_of_the_past_what_it_relates(rule, weights, tau, top):
    """Of a W whose later half is empty the rule keeps R itself; `closure` adds paths, which are no entries of W."""
    past = weights.tril(-1)
    kept = keep(past.abs(), rule, tau, top)
    related = relate(past, "threshold" if rule == "closure" else rule, tau, top)
    if rule == "straight_through":
        related = past != 0
    assert kept.dtype == torch.bool
    assert torch.equal(kept, related != 0)
    assert not (keep(weights.abs(), rule, tau, top) & (weights == 0)).any()


@pytest.mark.parametrize("rule", RULES)
@given(weights=effect_batches(), tau=st.floats(0, 1), top=st.integers(1, 6))
def test_a_rule_is_its_definition(rule, weights, tau, top):
    before = weights.clone()
    relation = relate(weights, rule, tau, top).double().numpy()
    expected = np.stack([reference(w, rule, tau, top) for w in weights.numpy()])
    np.testing.assert_array_equal(relation, expected)
    assert torch.equal(weights, before)


@pytest.mark.parametrize("rule", sorted(set(RULES) - set(LEAKING)))
@given(weights=effect_batches(), cut=st.integers(0, 4), scale=st.sampled_from([0.0, 100.0]))
def test_rules_that_do_not_leak_see_no_later_row_nor_column(rule, weights, cut, scale):
    changed = weights.clone()
    changed[:, cut:], changed[:, :, cut:] = changed[:, cut:] * scale, changed[:, :, cut:] * scale
    early = (slice(None), slice(cut), slice(cut))
    assert torch.equal(relate(weights, rule)[early], relate(changed, rule)[early])


@pytest.mark.parametrize("rule", LEAKING)
def test_rules_that_leak_do(rule):
    changed = HAND.clone()
    changed[2, 3], changed[3, 2] = 40.0, 45.0
    early = slice(3)
    assert not torch.equal(relate(HAND[None], rule)[0, early, early], relate(changed[None], rule)[0, early, early])


def test_gradients_pass_through_soft_and_straight_through_alone():
    for rule in RULES:
        weights = torch.tensor([[[0.0, 0.7], [0.4, 0.0]], [[0.0, 0.1], [2.0, 0.0]]], requires_grad=True)
        relation = relate(weights, rule)
        assert relation.requires_grad == (rule in ("soft", "straight_through"))
        if relation.requires_grad:
            relation.sum().backward()
            assert weights.grad.tolist() == [[[0, 0], [1, 0]], [[0, 0], [0, 0]]]  # capped at 1, as the future at 0


def test_straight_through_is_the_threshold_to_the_bit():
    weights = torch.linspace(-0.6, 0.6, 25).view(1, 5, 5)
    assert torch.equal(relate(weights, "straight_through"), relate(weights, "threshold").float())


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'treshold' is unknown; choose one of threshold, top_k"):
        relate(HAND[None], "treshold")
