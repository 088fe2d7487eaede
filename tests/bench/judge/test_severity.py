"""Whether a rule could have come out otherwise: simulated chances against exact ones, and what must hold of them."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bench.judge.bars import ORDER, TRUTHS, Part
from bench.judge.claims import Claim, Finding, Register, read_register
from bench.judge.intervals import Interval, crossed_interval, sequence_interval, sequence_ratio, t_interval
from bench.judge.severity import FOUND, RIGHT, severity

REGISTER = read_register()
JUDGED = [claim for claim in REGISTER.claims.values() if claim.kind != "check"]
MANY = dict.fromkeys(("worlds", "sweep worlds", "draws", "seeds", "repeats", "runs"), 4.0)


def size(part: Part) -> float:
    """What is small or large for a part: its smallest effect of interest, or how far the truth is from its bar."""
    return part.sesoi or abs(part.truth("stated") - part.bar)


def met(spread: float, n: int = 20) -> list[Finding]:
    """A finding of every part, whose interval is so many times as wide as what is of interest."""
    return [
        Finding(claim.id, name, Interval(0.0, -spread * size(part), spread * size(part), n))
        for claim in JUDGED
        for name, part in claim.parts.items()
    ]


def allowed(claim: Claim) -> set[str]:
    return {outcome for part in claim.parts.values() if part.essential for outcome in part.reachable}


def right(chances) -> dict[tuple[str, str], float]:
    return {(chance.claim, chance.truth): chance.right for chance in chances}


def of_one(part: Part, found: Interval, truth: str, **more) -> dict[str, float]:
    """The chances of a claim that has one part."""
    claim = Claim("c", "test", "s", "s", "synthetic", "recovery", "r", "r", {"p": part})
    chances = severity(Register({"c": claim}, {}, ""), [Finding("c", "p", found)], draws=4000, **more)
    (chance,) = (chance for chance in chances if chance.truth == truth)
    return dict(chance.outcomes) | {"right": chance.right}


def test_chances_are_probabilities_of_what_the_statement_allows():
    chances = severity(REGISTER, met(1.0), draws=100)
    assert [(c.claim, c.truth) for c in chances] == [(c.id, truth) for c in JUDGED for truth in (*TRUTHS, FOUND)]
    for chance in chances:
        assert set(chance.outcomes) == allowed(REGISTER.claims[chance.claim])
        assert sum(chance.outcomes.values()) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in (*chance.outcomes.values(), chance.right))


def test_with_a_small_spread_every_rule_is_right_under_every_truth():
    """Of two parts that both must reach what is claimed 0.95 do, since each interval ends below it in 2.5 %."""
    parts = {(c.id, "stated"): [p for p in c.parts.values() if p.essential and p.claimed] for c in JUDGED}
    both = {at for at, claimed in parts.items() if len(claimed) > 1}
    found = right(severity(REGISTER, met(0.05, 500), None, 100, 100, draws=200))
    assert not {at: p for at, p in found.items() if at[1] in TRUTHS and p < (0.9 if at in both else 0.95)}


def test_every_outcome_that_a_statement_allows_occurs_under_some_truth_and_spread():
    seen = defaultdict(set)
    for spread, n in ((0.1, 200), (0.7, 20), (2.0, 20), (9.0, 20)):
        for chance in severity(REGISTER, met(spread, n), draws=300):
            seen[chance.claim] |= {outcome for outcome, p in chance.outcomes.items() if p}
    assert {claim.id: allowed(claim) - seen[claim.id] for claim in JUDGED} == {claim.id: set() for claim in JUDGED}


@pytest.mark.parametrize("spread", [0.5, 1.5])
def test_more_units_never_make_it_clearly_worse(spread):
    few, many = (right(severity(REGISTER, met(spread), sizes, 5, most)) for sizes, most in ((None, 5), (MANY, 25)))
    assert not {at: (few[at], many[at]) for at in few if at[1] in TRUTHS and many[at] < few[at] - 0.05}
    assert sum(many.values()) > sum(few.values()) + 1


def test_a_seed_gives_the_same_chances_and_another_gives_others():
    first, same, other = (severity(REGISTER, met(1.0), root=root, draws=100) for root in (7, 7, 8))
    assert first == same != other
    assert max(abs(a.right - b.right) for a, b in zip(first, other, strict=True)) < 0.3


def test_claims_of_equal_figures_have_streams_of_their_own():
    (claim,) = (claim for claim in JUDGED if claim.id == "false-edges-hurt")
    twins = Register({name: replace(claim, id=name) for name in ("one", "other")}, {}, "")
    one, other = (c.outcomes for c in severity(twins, [], draws=500) if c.truth == "none")
    assert one != other


@pytest.mark.parametrize("always", ORDER)
def test_a_rule_that_cannot_come_out_otherwise_is_seen(always, monkeypatch):
    monkeypatch.setattr(Part, "judge", lambda *_: always)
    found = severity(REGISTER, met(1.0), draws=20)
    for chance in found:
        if chance.truth in TRUTHS:
            fits = always in RIGHT[chance.truth] and always in allowed(REGISTER.claims[chance.claim])
            assert chance.right == fits
    assert {chance.claim for chance in found if chance.right == 0} == {claim.id for claim in JUDGED}


# Against exact probabilities; 4,000 draws are within 0.03 of them

EFFECT = Part("gain", "%", "noise", "worlds", sesoi=1.0, truths={"stated": 2.0, "none": 0.0, "opposite": -2.0})


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_student_s_law_with_the_spread_that_was_met(times):
    """low > sesoi: a noncentral t above its quantile."""
    values = np.random.default_rng(0).normal(5, 1.7, 12)
    n = round(12 * times)
    shift = (2.0 - 1.0) / values.std(ddof=1) * np.sqrt(n)
    exact = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift)
    found = of_one(EFFECT, t_interval(values), "stated", sizes={"worlds": times, "seeds": 9.0})
    assert found["as claimed"] == found["right"] == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("first", [5, 9])
def test_the_wider_law_of_worlds_that_may_be_added(first):
    part, values = replace(EFFECT, interval="sequence"), np.random.default_rng(0).normal(5, 1.0, 12)
    quantile = stats.t.ppf(0.975, first - 1) * sequence_ratio(first)
    exact = stats.nct.sf(quantile, first - 1, (2.0 - 1.0) / values.std(ddof=1) * np.sqrt(first))
    met_before = sequence_interval(values)
    once, later = (of_one(part, met_before, "stated", first=first, most=most) for most in (first, 40))
    assert once["as claimed"] == pytest.approx(exact, abs=0.03)
    assert later["as claimed"] > 0.9 > once["as claimed"]
    assert later["undecided"] < once["undecided"]
    assert of_one(part, met_before, "none", first=first, most=40)["as claimed"] < 0.025


def test_the_binomial_law_of_shares():
    part = Part("share", "", "r", "draws", bar=0.9, interval="share",
                truths={"stated": 0.95, "none": 0.5, "opposite": 0.0})  # fmt: skip
    exact = sum(stats.binom.pmf(k, 90, 0.95) for k in range(91) if stats.beta.ppf(0.025, k, 91 - k) > 0.9)
    found = of_one(part, Interval(0.3, 0.2, 0.4, 30), "stated", sizes={"draws": 3.0})
    assert found["as claimed"] == pytest.approx(exact, abs=0.03)


CROSSED = replace(EFFECT, units="seeds", interval="crossed")


@pytest.mark.parametrize(
    ("freedom", "half", "times", "error", "after"),
    [
        (2.0, 4.3, 1.0, 4.3 / 4.302653, 2.0),  # all of the variance is of the three seeds
        (2.0, 4.3, 3.0, 4.3 / 4.302653 / 3**0.5, 8.0),
        (1e6, 0.9, 9.0, 0.9 / 1.959964, 1e6),  # next to none is
        (8.0, 2.0, 2.0, 2.0 / 2.306004 * 0.75**0.5, 45.0),  # half of it is: 0.5 / 2 + 0.5; 8 * 5 / 2 * (2 * 0.75)^2
    ],
)
def test_more_seeds_narrow_what_comes_of_seeds(freedom, half, times, error, after):
    exact = stats.nct.sf(stats.t.ppf(0.975, after), after, (2.0 - 1.0) / error)
    found = of_one(CROSSED, Interval(0.0, -half, half, 3, freedom=freedom), "stated", sizes={"seeds": times})
    assert found["as claimed"] == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize(("seed_sd", "user_sd"), [(0.9, 1.0), (0.5, 9.0)])
def test_seeds_and_users_are_drawn_by_the_law_that_their_interval_has(seed_sd, user_sd):
    """What 20 runs of 24 seeds tell about runs of six, against many runs of six."""
    rng = np.random.default_rng(0)

    def drawn(seeds: int) -> Interval:
        return crossed_interval(2 + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, user_sd, (1, 1000)))

    seen = np.mean([CROSSED.judge(drawn(6)) == "as claimed" for _ in range(1000)])
    told = [of_one(CROSSED, drawn(24), "stated", sizes={"seeds": 6 / 24})["as claimed"] for _ in range(20)]
    assert 0.1 < seen < 0.9
    assert np.mean(told) == pytest.approx(seen, abs=0.1)


def test_two_runs_agree_as_often_as_both_have_the_same_outcome():
    """Where the truth is the bar itself, 2.5 % of the intervals lie above it, 2.5 % below, and the others are open."""
    far, at = (of_one(EFFECT, Interval(e, e - 0.5, e + 0.5, 9), FOUND) for e in (9.0, 1.0))
    assert far["right"] == far["as claimed"] == 1
    assert at["right"] == pytest.approx(0.025**2 + 0.95**2 + 0.025**2, abs=0.02)


def test_without_a_finding_the_declared_spread_counts():
    part = Part("gain", "%", "noise", "worlds", sesoi=1.0, truths=EFFECT.truths, spread=0.01)
    unbounded = Interval(0.0, -np.inf, np.inf, 1)
    assert of_one(part, unbounded, "stated")["right"] == 1
    assert of_one(EFFECT, unbounded, "stated")["right"] < 0.9
