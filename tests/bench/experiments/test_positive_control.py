"""The positive control: what it plans, when it asks for more worlds, what opens the gate, and which claims need it."""

import pytest

from bench.experiments import EXPERIMENTS
from bench.experiments.model import positive_control as control
from bench.judge.claims import read_register
from tests.bench.made_up import bare, failed, judged, model

SETUP = bare()
FIRST, MOST = SETUP.preset.control_worlds
GATED = ("booster-matters", "boost-beats-filter", "alpha-window", "false-edges-hurt")


def ran(true=0.7, none=0.5, true_anew=None, none_anew=0.5, cells=None, luck=0):
    """Results of the cells, by default the first ones; `true_anew` is by default as good as none, to the user."""
    made = []
    for cell in control.plan(SETUP) if cells is None else cells:
        p = cell.params
        boosted, persists = bool(p["options"].get("boost", {}).get("alpha")), p["dataset"]["knobs"]["persistence"] > 0
        qualities = (none, true) if persists else (none_anew, none_anew if true_anew is None else true_anew)
        made.append(model(cell, qualities[boosted], luck=luck * boosted))
    return made


def gate(results):
    return control.gates(SETUP, results)["positive_control"]


def worlds(cells, persistence):
    return {cell.params["seed"] for cell in cells if cell.params["dataset"]["knobs"]["persistence"] == persistence}


def test_all_graphs_run_where_causes_persist_and_the_true_one_where_they_do_not():
    cells = control.plan(SETUP)
    assert worlds(cells, 0.9) == worlds(cells, 0.0) == set(range(FIRST))
    kinds = {True: set(), False: set()}
    for cell in cells:
        how = cell.params.get("relation", {"kind": cell.params["model"]})["kind"]
        kinds[cell.params["dataset"]["knobs"]["persistence"] > 0].add(how)
    assert kinds[True] == {
        "falsified", "regression", "matched", "position_matched", "causalrec", "best_possible", "best_without_r",
    }  # fmt: skip
    assert kinds[False] == {"falsified", "best_possible", "best_without_r"}


@pytest.mark.parametrize(
    ("qualities", "passed"),
    [
        ({}, True),
        ({"true": 0.5}, False),
        ({"true": 0.3}, False),
        ({"true_anew": 0.6}, True),
        ({"true_anew": 0.7}, False),
        ({"true_anew": 0.8}, False),
        ({"true": 0.505, "luck": 1}, False),
    ],
)
def test_the_gate_opens_where_the_true_graph_gains_by_design_and_nowhere_else(qualities, passed):
    assert gate(ran(**qualities)).passed == passed


def test_a_run_without_results_opens_no_gate():
    assert not gate([]).passed
    assert not gate([failed(cell) for cell in control.plan(SETUP)]).passed


def test_worlds_are_added_only_while_something_is_undecided():
    assert control.refine(SETUP, ran()) == []
    assert control.refine(SETUP, ran(true=0.3)) == []  # decided, against
    unclear = ran(true=0.51, luck=1)
    more = control.refine(SETUP, unclear)
    assert worlds(more, 0.9) == set(range(FIRST, FIRST + control.STEP))
    assert worlds(more, 0.0)  # there too, since luck differs
    planned = {r.cell for r in unclear}
    assert planned.isdisjoint(more)


def test_worlds_without_help_are_added_while_the_gain_is_not_seen_to_be_larger():
    alike = ran(true_anew=0.69, luck=1)
    more = control.refine(SETUP, alike)
    assert worlds(more, 0.0) == worlds(more, 0.9) == set(range(FIRST, FIRST + control.STEP))
    assert control.refine(SETUP, ran(true_anew=0.9)) == []  # decided, against


def test_worlds_are_added_up_to_the_cap():
    results = ran(true=0.5)  # no difference at all, so never decided
    while more := [cell for cell in control.refine(SETUP, results) if cell not in {r.cell for r in results}]:
        results += ran(true=0.5, cells=more)
    assert worlds([r.cell for r in results], 0.9) == set(range(MOST))
    assert worlds([r.cell for r in results], 0.0) == set(range(MOST))


def test_the_table_has_each_graph_in_law_and_under_shift_and_says_how_it_came_out():
    (table,) = control.tables(SETUP, ran())
    rows = {row[:3]: row for row in table.rows}
    gain = rows["0.9", "in law", control.TRUE][6]
    assert gain.low > 0
    assert rows["0.9", "in law", control.NONE][6] is None
    assert rows["0", "under shift", control.TRUE][6].estimate == 0
    assert rows["0.9", "in law", "best possible"][5] == 1
    assert "they are." in table.note
    assert "they are not." in control.tables(SETUP, ran(true=0.5))[0].note
    (figure,) = control.figures(SETUP, ran())
    assert {series.label for series in figure.panels[0].series} == {"in law", "under shift"}
    assert control.figures(SETUP, []) == []


def test_claims_on_the_boost_wait_for_the_gate():
    assert tuple(name for name, claim in read_register().claims.items() if "positive_control" in claim.gates) == GATED
    found = judged("ablation", SETUP, [])
    assert found["false-edges-hurt"].judgement == "not run"
    assert set(EXPERIMENTS["positive_control"].reasons(SETUP, ran())) == set(GATED)
