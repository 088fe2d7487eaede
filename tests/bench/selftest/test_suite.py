"""The self-test: every fault is caught, what is not caught or fails by itself is said, and no fault stays behind."""

import inspect
import sys

import pytest

from bench.cells.fingerprint import FIRST_PARTY
from bench.selftest import suite as selftest
from bench.selftest.checks import Measured, constant_scores_earn_no_hit, ndcg_by_hand, shd_by_hand
from bench.selftest.faults import FAULTS, Fault
from causalrec import ranking

CHEAP = {
    "ties rank optimistically": "constant scores earn no hit",
    "NDCG is divided by the ideal of ten relevant items": "ndcg by hand",
    "SHD counts a reversal twice": "shd by hand",
    "SHD is always 0": "shd by hand",
}
CHECKS = (constant_scores_earn_no_hit, ndcg_by_hand, shd_by_hand)
HARMLESS = Fault("NDCG as it is", ranking, "ndcg", lambda ndcg: lambda ranks, k=10: ndcg(ranks, k))
BROKEN = Fault("NDCG takes no k", ranking, "ndcg", lambda ndcg: lambda: ndcg)


def some(*names):
    return [fault for fault in FAULTS if fault.name in names]


def names_of_the_suite() -> dict:
    """What every name in the suite's modules, and in the classes of these, refers to."""
    held = {}
    for title, module in list(sys.modules.items()):
        if title.partition(".")[0] in FIRST_PARTY:
            for name, value in vars(module).items():
                held[title, name] = value
                if isinstance(value, type) and value.__module__.partition(".")[0] in FIRST_PARTY:
                    held |= {(title, name, attribute): entry for attribute, entry in vars(value).items()}
    return {place: value for place, value in held.items() if inspect.isroutine(value) or isinstance(value, type)}


def changed(before) -> list:
    after = names_of_the_suite()
    return [place for place, value in before.items() if after.get(place) is not value]


@pytest.mark.parametrize("check", selftest.CHECKS, ids=selftest.name_of)
def test_every_check_holds_on_the_suite_as_it_is(check):
    told = selftest._ask(check)
    assert (told.outcome, bool(told.measured)) == ("holds", True), told
    assert inspect.getdoc(check)


def test_a_few_faults_are_caught_each_by_its_check_and_none_stays_behind():
    before, steps = names_of_the_suite(), []
    (checks, faults), sound = selftest.run(CHECKS, some(*CHEAP), steps.append)
    assert sound
    assert [row[3] for row in checks.rows] == ["holds"] * 3
    assert {row[0]: row[2] for row in faults.rows if row[0]} == CHEAP
    assert faults.rows[0][1:] == ("causalrec.ranking.expected_rank", "constant scores earn no hit", "rank 1, HR@5 1")
    assert steps[0] == "3 checks on the suite as it is: all hold"
    assert steps[1] == "fault 1/4, ties rank optimistically: constant scores earn no hit"
    assert len(steps) == 5
    assert changed(before) == []


@pytest.mark.slow
def test_every_fault_is_caught_and_none_stays_behind():
    before = names_of_the_suite()
    (checks, faults), sound = selftest.run()
    assert sound, faults
    assert {row[0] for row in faults.rows} == {"", *(fault.name for fault in FAULTS)}
    useful = {row[2] for row in faults.rows}
    assert {row[0] for row in checks.rows} == useful, "a check that no fault fails may be one that cannot fail"
    assert changed(before) == []


def test_faults_and_checks_have_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({selftest.name_of(check) for check in selftest.CHECKS}) == len(selftest.CHECKS)


def test_a_fault_that_no_check_notices_is_told():
    (_, faults), sound = selftest.run(CHECKS, [HARMLESS, *some("SHD is always 0")])
    assert not sound
    assert faults.rows[0] == ("NDCG as it is", "causalrec.ranking.ndcg", "NOTHING", "every check holds")
    assert faults.rows[1][2] == "shd by hand"
    assert "1 caught, 1 missed" in faults.note


def test_a_check_that_crashes_has_caught_nothing():
    (_, faults), sound = selftest.run(CHECKS, [BROKEN])
    assert not sound
    assert faults.rows[0][2] == "NOTHING"
    assert faults.rows[0][3].startswith("ndcg by hand crashed, TypeError: ")


def test_a_refusal_of_the_suite_is_a_catch():
    from causalrec.errors import InputError

    def refuse(*_):
        raise InputError("no such thing")

    (_, faults), sound = selftest.run(CHECKS, [Fault("refused", ranking, "ndcg", lambda _: refuse)])
    assert sound
    assert faults.rows[0][2:] == ("ndcg by hand", "refused: no such thing")


def wrong() -> Measured:
    """Two and two are five."""
    return Measured(2 + 2 == 5, "4")


def crash() -> Measured:
    """One can divide by nothing."""
    return Measured(1 / 0 > 0, "")


@pytest.mark.parametrize(("check", "row"), [
    (wrong, ("wrong", "Two and two are five.", "4", "fails")),
    (crash, ("crash", "One can divide by nothing.", "ZeroDivisionError: division by zero", "crashed")),
])  # fmt: skip
def test_a_check_that_does_not_hold_by_itself_is_told_and_no_fault_is_tried(check, row):
    def never(_):
        raise AssertionError

    steps = []
    tables, sound = selftest.run([shd_by_hand, check], [Fault("never", ranking, "ndcg", never)], steps.append)
    assert not sound
    assert len(tables) == 1
    assert tables[0].rows[1] == row
    assert f"Without any fault these do not hold: {row[0]}. None of the 1 faults was tried" in tables[0].note
    assert steps == ["2 checks on the suite as it is: 1 do not hold"]
