"""Bars and power: outcomes by hand, and that the differences said to be seen are seen as often as said."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.judge.bars import MOST, Bar, detectable, power_words
from bench.judge.claims import held
from bench.judge.intervals import Interval, t_interval

ABOVE_0, UNDER_2 = Bar(holds=0.0, fails=0.0), Bar(holds=2.0, fails=2.0, large=False)


def interval(estimate, half, n=9):
    return Interval(estimate, estimate - half, estimate + half, n)


@pytest.mark.parametrize(
    ("bar", "estimate", "outcome"),
    [
        (ABOVE_0, 2.0, "holds"), (ABOVE_0, -2.0, "fails"), (ABOVE_0, 0.5, "unclear"),
        (UNDER_2, 0.5, "holds"), (UNDER_2, 4.0, "fails"), (UNDER_2, 2.5, "unclear"),
        (Bar(holds=0.0, fails=5.0), 2.0, "holds"), (Bar(holds=0.0, fails=5.0), -0.5, "fails"),
        (Bar(holds=0.0, fails=-5.0, large=False), -2.0, "holds"), (Bar(0.0, -5.0, large=False), 2.0, "fails"),
    ],
)  # fmt: skip
def test_outcomes_of_an_interval_of_half_width_1(bar, estimate, outcome):
    assert bar.judge(interval(estimate, 1.0)) == outcome


def test_a_bar_that_could_never_be_told_is_refused():
    with pytest.raises(InputError, match="could never be told"):
        Bar(holds=1.0, fails=0.0)
    with pytest.raises(InputError, match="could never be told"):
        Bar(holds=0.0, fails=1.0, large=False)


@given(st.floats(-3, 3), st.floats(0.01, 3), st.sampled_from([ABOVE_0, UNDER_2, Bar(0.0, 1.0), Bar(0.0, -1.0, False)]))
def test_that_many_units_settle_it_and_fewer_do_not(estimate, half, bar):
    found = interval(estimate, half)
    needed = bar.units_needed(found)
    if needed is None:
        assert bar.holds == bar.fails == pytest.approx(estimate)
        return
    assert needed >= found.n
    assume(needed < 10**12)  # beyond, the root of a count is no longer exact

    def outcome(n):
        return bar.judge(interval(estimate, half * (found.n / n) ** 0.5, n))

    assert outcome(needed + 1) != "unclear"
    if needed > found.n + 1:
        assert outcome(needed - 1) == "unclear"


def test_widths_beyond_all_bounds_need_many_units():
    assert ABOVE_0.units_needed(interval(1e-9, 1e304)) > MOST
    assert "more than" in power_words(interval(1e-9, 1e304), ABOVE_0, "seeds")


def test_a_difference_said_to_be_detectable_is_detected_that_often():
    """80 % of 4,000 samples of 40 whose true mean is what such an interval is said to see; the normal approximation."""
    rng = np.random.default_rng(0)
    half = np.mean([t_interval(rng.standard_normal(40)).half_width for _ in range(300)])
    seen = detectable(interval(0.0, half, 40))
    found = np.mean([t_interval(seen + rng.standard_normal(40)).above(0) for _ in range(4000)])
    assert 0.77 < found < 0.83


def test_the_words():
    open_still = "80 % power to see 1.4; about 36 worlds would settle it"
    assert power_words(interval(0.5, 1.0), ABOVE_0, "worlds") == open_still
    assert power_words(interval(0.5, 1.0), ABOVE_0) == "80 % power to see 1.4"
    assert power_words(interval(3.0, 1.0), ABOVE_0, "worlds") == "80 % power to see 1.4"
    assert f"more than {MOST:,} seeds" in power_words(interval(0.01, 1.0), ABOVE_0, "seeds")
    assert power_words(interval(0.5, float("inf"), 1), ABOVE_0, "seeds") == "one unit says nothing of the spread"
    assert power_words(interval(0.5, 0.0), ABOVE_0, "seeds") == "no spread at all"


def test_a_finding_held_against_a_bar_has_its_outcome_and_says_what_it_could_see():
    finding = held("c", "part", interval(0.5, 1.0), ABOVE_0, "5 worlds", "worlds")
    assert (finding.claim, finding.part, finding.outcome) == ("c", "part", "unclear")
    assert finding.detail == "5 worlds; 80 % power to see 1.4; about 36 worlds would settle it"
