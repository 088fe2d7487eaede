"""Attribution: causes by construction, and what the table makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from bench.experiments.theory import attribution
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import Attribution
from bench.runners import execute
from bench.runners.attribution import CAUSES
from bench.show.tables import to_text

SETUP = Setup(replace(PRESETS["smoke"], attribution=Attribution(draws=12, nodes=6, samples=(1000,))), 0, "cpu")


def attribute(learner="eqvar", samples=1000, changes=None, **world):
    cell = attribution._cell(SETUP, "eqvar", samples, attribution.EQUAL | world)
    return execute(replace(cell, params=cell.params | {"learner": learner} | (changes or {})))


def causes(outcome) -> set[str]:
    return {CAUSES[index] for index in outcome.arrays["cause"]}


def test_many_samples_of_equal_variances_leave_nothing_to_explain():
    outcome = attribute(samples=100_000)
    assert causes(outcome) == {"right"}
    assert outcome.arrays["order_optimal"].all()


def test_few_samples_are_named():
    outcome = attribute(samples=15)
    assert "too few samples" in causes(outcome)
    assert causes(outcome) <= {"right", "too few samples"}
    assert outcome.arrays["right_on_exact"].all()


def test_a_learner_that_does_not_look_is_the_optimiser():
    outcome = attribute("random_order", samples=100_000)
    assert "the optimiser" in causes(outcome)
    assert causes(outcome) <= {"right", "the optimiser"}
    assert outcome.arrays["right_at_n"].all()


def test_variances_that_fall_are_not_identifiable_and_those_that_rise_are():
    falling = attribute(samples=100_000, profile="falling", ratio=64.0)
    assert "not identifiable by its score" in causes(falling)
    assert not falling.arrays["order_optimal"].all()
    rising = attribute(samples=100_000, profile="rising", ratio=4.0)
    assert rising.arrays["order_optimal"].all()
    assert causes(rising) == {"right"}


def test_an_l1_score_can_be_wrong_where_the_variances_are_equal():
    changes = {"options": {"sparsity": 1.0}, "score": {"score": "equal_l1", "sparsity": 1.0}}
    outcome = attribute("notears", samples=100_000, changes=changes)
    assert "not identifiable by its score" in causes(outcome)


@pytest.mark.parametrize("learner", attribution.SCORES)
def test_causes_exclude_each_other_and_follow_from_what_was_right(learner):
    cell = attribution._cell(SETUP, learner, 100, attribution.WORLDS["random, ratio 4"])
    outcome = execute(cell)
    a = outcome.arrays
    assert ((a["cause"] == 0) == a["right"]).all()
    assert ((a["cause"] == 1) == (~a["right"] & ~a["right_on_exact"])).all()
    assert ((a["cause"] == 2) == (~a["right"] & a["right_on_exact"] & ~a["right_at_n"])).all()
    assert sum(outcome.metrics[f"cause_{k}"] for k in range(len(CAUSES))) == outcome.metrics["draws"] == 12
    again = execute(cell)
    for name in a:
        np.testing.assert_array_equal(a[name], again.arrays[name])


def test_the_reasons_count_the_misses_of_the_worlds_that_a_claim_is_about():
    from tests.bench.made_up import attributed

    results = [attributed(cell, causes=[0] * 5 + [1] * 4 + [3] * 3) for cell in attribution.plan(SETUP)]
    told = attribution.reasons(SETUP, results)
    assert told.keys() == {"equal-variance-identifies", "unequal-variance-breaks"}
    missed = "NOTEARS misses 7 of 12 (4 not identifiable by its score, 3 the optimiser)"
    assert f"equal variances, n = 1000: {missed}" not in told["unequal-variance-breaks"]
    assert f"equal variances, n = 1000: {missed}" in told["equal-variance-identifies"]
    assert told["unequal-variance-breaks"].count(missed) == 4 + 1  # four profiles and the standardised world
    whole = [attributed(cell) for cell in attribution.plan(SETUP)]
    assert "NOTEARS misses 0 of 12;" in attribution.reasons(SETUP, whole)["unequal-variance-breaks"]
    assert attribution.reasons(SETUP, []) == {}


def test_worlds_share_their_graphs_and_the_table_has_a_row_for_each():
    from tests.bench.made_up import attributed

    cells = attribution.plan(SETUP)
    results = [attributed(cell, causes=np.arange(12) % 4) for cell in cells]
    (table,) = attribution.details(SETUP, results)
    assert len(table.rows) == len(cells) == len(attribution.WORLDS) * len(attribution.SCORES)
    assert {row[4:7] for row in table.rows} == {(3, 3, 3)}
    assert {row[3].estimate for row in table.rows} == {0.25}
    assert "standardised" in to_text(table)
    assert attribution.tables(SETUP, [])[0].rows == ()
    (shown,) = attribution.tables(two := replace(SETUP, preset=replace(
        SETUP.preset, attribution=replace(SETUP.preset.attribution, samples=(100, 1000)))), results)
    assert {row[1] for row in shown.rows} == {1000}
    (figure,) = attribution.figures(two, results)
    assert len(figure.panels) == len(attribution.WORLDS) * len(attribution.DRAWN)
    for panel in figure.panels:
        assert [series.label for series in panel.series] == list(CAUSES[1:])
        for series in panel.series:
            assert series.x == (100.0, 1000.0)
            assert np.isnan(series.y[0])
            assert series.y[1] == 0.25
