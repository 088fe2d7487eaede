"""What an interval comes to: six outcomes, of which every interval has one, and what a part must declare."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.judge.bars import AGAINST, FOR, MOST, ORDER, TRUTHS, Part, settle_words
from bench.judge.intervals import Interval

GAIN = Part("gain", "%", "noise", "worlds", sesoi=1.0, claimed=8.0)
PLAIN = replace(GAIN, claimed=None)
BOUND = Part("share", "", "noise", "draws", bar=0.9, truths={"stated": 1.0, "none": 0.5, "opposite": 0.0})
TURNED = {"as claimed": "opposite", "opposite": "as claimed", "no effect": "no effect"}
NUMBERS = st.integers(-9, 9).map(float) | st.floats(-9, 9)
ENDS = NUMBERS | st.sampled_from([-math.inf, math.inf])


@st.composite
def found(draw: st.DrawFn) -> Interval:
    """Intervals whose ends are often those of a bar, unbounded, or the same."""
    low, high = sorted(draw(st.tuples(ENDS, ENDS) | NUMBERS.map(lambda end: (end, end))))
    assume(low < math.inf and high > -math.inf)
    middle = (low + high) / 2
    return Interval(middle if math.isfinite(middle) else 0.0, low, high, 9)


@st.composite
def effects(draw: st.DrawFn, claimed: bool = True) -> Part:
    sesoi = draw(st.integers(1, 3).map(float) | st.floats(1e-3, 5))
    return replace(PLAIN, sesoi=sesoi, claimed=draw(st.sampled_from([None, sesoi, *[3 * sesoi] * claimed])))


def bounds() -> st.SearchStrategy[Part]:
    return st.builds(lambda bar, large: replace(BOUND, bar=bar, large=large), NUMBERS, st.booleans())


def around(at: float, half: float, n: int = 9) -> Interval:
    return Interval(at, at - half, at + half, n)


@given(effects(), found())
def test_every_interval_of_an_effect_meets_one_row_of_the_table_or_is_undecided(part, interval):
    low, high, sesoi, claimed = interval.low, interval.high, part.sesoi, part.claimed or part.sesoi
    rows = {
        "as claimed": low > sesoi and high >= claimed,
        "smaller than claimed": low > sesoi and high < claimed,
        "no effect": -sesoi <= low and high <= sesoi,
        "not above the bar": high <= sesoi and low < -sesoi <= high,
        "opposite": high < -sesoi,
    }
    met = [outcome for outcome, holds in rows.items() if holds]
    assert (met or ["undecided"]) == [part.judge(interval)]
    assert part.judge(interval) in part.reachable


@given(bounds(), found())
def test_of_a_bound_only_the_side_that_breaks_it_speaks_against_it(part, interval):
    clear, broken = (interval.low > part.bar, interval.high <= part.bar)
    if not part.large:
        clear, broken = (interval.high < part.bar, interval.low >= part.bar)
    assert not (clear and broken)
    expected = "as claimed" if clear else "not above the bar" if broken else "undecided"
    assert part.judge(interval) == expected
    assert expected in part.reachable
    assert replace(part, bar=-part.bar, large=not part.large).judge(interval.turned) == expected


@pytest.mark.parametrize(("low", "high", "outcome"), [
    (2, 9, "as claimed"), (1.5, 8, "as claimed"), (2, 7, "smaller than claimed"), (1.01, 1.02, "smaller than claimed"),
    (-1, 1, "no effect"), (0.2, 0.3, "no effect"), (1, 1, "no effect"), (-3, 1, "not above the bar"),
    (-3, -1, "not above the bar"), (-math.inf, 0, "not above the bar"), (-3, -1.01, "opposite"),
    (1, 9, "undecided"), (-0.5, 1.01, "undecided"), (-3, 3, "undecided"), (-math.inf, math.inf, "undecided"),
])  # fmt: skip
def test_the_table_by_hand(low, high, outcome):
    """Of a gain of 8 claimed, of which 1 is of interest."""
    interval = Interval(0.0, low, high, 9)
    assert GAIN.judge(interval) == outcome
    assert PLAIN.judge(interval) == {"smaller than claimed": "as claimed"}.get(outcome, outcome)


@given(effects() | bounds(), NUMBERS, st.floats(0, 0.99))
def test_a_narrow_enough_interval_off_the_bars_decides_as_its_true_value_does(part, truth, share):
    bars = (part.bar,) if part.sesoi is None else (part.sesoi, -part.sesoi, part.claimed or part.sesoi)
    distance = min(abs(truth - bar) for bar in bars)
    assume(distance > 1e-9)
    outcome = part.judge(around(truth, share * distance))
    assert outcome == part.judge(around(truth, 0.0)) != "undecided"
    assert (outcome == "not above the bar") == (part.bar is not None and outcome != "as claimed")


@given(effects(claimed=False), found())
def test_turning_the_sign_swaps_as_claimed_and_opposite(part, interval):
    before, after = part.judge(interval), part.judge(interval.turned)
    assert after == TURNED[before] if before in TURNED else after not in TURNED


def test_what_a_part_allows_and_asks():
    assert GAIN.reachable == ORDER
    assert PLAIN.reachable == replace(PLAIN, claimed=1.0).reachable == (ORDER[0], *ORDER[2:])
    assert (*FOR, "undecided", *AGAINST) == ORDER
    asked = [part.asked for part in (GAIN, PLAIN, BOUND, replace(BOUND, large=False))]
    assert asked == ["above 1 %, 8 % claimed", "above 1 %", "above 0.9", "below 0.9"]


def test_what_a_part_measures_under_each_truth():
    said = [[part.truth(which) for which in TRUTHS] for part in (GAIN, PLAIN, BOUND)]
    assert said == [[8, 0, -8], [2, 0, -2], [1, 0.5, 0]]


@pytest.mark.parametrize(("part", "change", "told"), [
    (GAIN, {"sesoi": None, "claimed": None}, "either sesoi"), (GAIN, {"bar": 1.0}, "either sesoi"),
    (GAIN, {"sesoi": 0.0}, "above 0"), (GAIN, {"sesoi": -1.0}, "above 0"), (GAIN, {"large": False}, "sign"),
    (GAIN, {"reason": ""}, "reason"), (GAIN, {"claimed": 0.5}, "not below sesoi"),
    (GAIN, {"claimed": math.inf}, "finite"), (GAIN, {"sesoi": math.nan}, "finite"), (GAIN, {"spread": 0.0}, "spread"),
    (GAIN, {"truths": {"stated": 1.0}}, "stated, none, opposite"), (BOUND, {"claimed": 1.0}, "claimed is of an effect"),
    (BOUND, {"truths": {}}, "stated, none, opposite"), (BOUND, {"bar": -math.inf}, "finite"),
    (BOUND, {"truths": {**BOUND.truths, "none": math.nan}}, "finite"),
    (BOUND, {"truths": {**BOUND.truths, "more": 2.0}}, "stated, none, opposite"),
])  # fmt: skip
def test_a_part_that_could_not_decide_is_refused(part, change, told):
    with pytest.raises(ValueError, match=told):
        replace(part, **change)


@given(effects() | bounds(), NUMBERS, st.floats(0.01, 9))
def test_so_many_units_settle_it_and_fewer_do_not(part, estimate, half):
    interval = around(estimate, half)
    assume(part.judge(interval) == "undecided")
    said = settle_words(part, interval)
    if not said.startswith("about"):
        assert said == "" or said == f"more than {MOST:,} {part.units} would settle it"
        return
    needed = int(said.split()[1].replace(",", ""))

    def outcome(n):
        return part.judge(around(estimate, half * math.sqrt(9 / n), n))

    assert outcome(needed + 1) != "undecided"
    assert needed <= 10 or outcome(needed - 1) == "undecided"


def test_what_would_settle_it_by_hand():
    assert settle_words(PLAIN, around(0.5, 1.0)) == "about 36 worlds would settle it"  # half the width: 4 times 9
    assert settle_words(PLAIN, around(-0.9, 2.0)) == "about 10 worlds would settle it"  # by the upper bar alone
    assert settle_words(PLAIN, around(0.99, 1.0)) == f"more than {MOST:,} worlds would settle it"
    assert settle_words(PLAIN, around(0.5, math.inf, 1)) == "one unit says nothing of the spread"
    for silent in (replace(PLAIN, units=""), replace(PLAIN, interval="crossed"), replace(PLAIN, sesoi=0.5)):
        assert settle_words(silent, around(0.5, 1.0)) == ""
