"""The map of the limits: what it plans, where it says that recovery stops, and the rate beside it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.experiments.theory import limits
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import Limits
from bench.show.figures import Grid, figure_table
from tests.bench.made_up import graphs

MAP = Limits(draws=40, nodes=(5, 10, 20), samples=(100, 1000, 10_000), densities=(1, 2), ratios=(1.0, 16.0))
SETUP = Setup(replace(PRESETS["smoke"], limits=MAP), 0, "cpu")


def results(rate, q=2):
    """Made-up results with a share rate(learner, density, nodes, ratio, n) of right graphs; None is exact."""
    made = []
    for cell in limits.plan(SETUP):
        p = cell.params
        wrong = p["draws"] - round(p["draws"] * rate(p["learner"], p["edges"], p["nodes"], p["ratio"], p["samples"]))
        r = graphs(cell, shd=3 * (np.arange(p["draws"]) < wrong))
        made.append(replace_arrays(r, max_parents=np.full(p["draws"], q)))
    return made


def replace_arrays(r, **arrays):
    r.arrays = {**r.arrays, **arrays}
    return r


def test_complete_graphs_are_left_out():
    planned = {(cell.params["edges"], cell.params["nodes"]) for cell in limits.plan(SETUP)}
    assert planned == {(1, 5), (1, 10), (1, 20), (2, 10), (2, 20)}


def test_the_n_at_one_half_is_interpolated_in_log_n():
    found = results(lambda *at: {100: 0.0, 1000: 1.0, 10_000: 1.0, None: 1.0}[at[-1]])
    (table,) = limits.tables(SETUP, found)
    cells = {row[5] for row in table.rows}
    assert len(cells) == 1
    text = cells.pop()
    assert text.startswith("316 [")
    low, high = (float(x) for x in text.split("[")[1].rstrip("]").split(","))
    assert 100 < low < 316 < high < 1000


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, "not by 10000"), (1.0, "100 or less"), (0.25, "not by 10000"), (0.75, "100 or less")]
)
def test_what_is_not_crossed_is_said(rate, text):
    (table,) = limits.tables(SETUP, results(lambda *_: rate))
    assert {row[5] for row in table.rows} == {text}
    assert "could not be fitted" in table.note


def test_rates_that_fall_with_n_are_pooled_before_a_side_is_told():
    """0.6, 0.3 and 0.45 rise nowhere: pooled they are 0.45."""
    (table,) = limits.tables(SETUP, results(lambda *at: {100: 0.6, 1000: 0.3, 10_000: 0.45, None: 1.0}[at[-1]]))
    assert {row[5] for row in table.rows} == {"not by 10000"}


def test_failed_draws_are_told_beside_the_map():
    found = results(lambda *_: 1.0)
    assert "failed on" not in limits.tables(SETUP, found)[0].note
    found[0].metrics["failures"] = 7
    told = f"empty graph: EqVar, lasso refit on 7 of {40 * len(found) // 2}."
    assert limits.tables(SETUP, found)[0].note.endswith(told)
    assert limits.details(SETUP, found)[0].note.endswith(told)


def test_the_constant_is_that_of_the_oracle_on_the_sparsest_graphs():
    """An oracle that follows n = 30 q log(d/q) gives c near 30; what EqVar does is not asked."""

    def rate(learner, density, nodes, ratio, n):
        if learner == "eqvar_lasso" or density == 2 or ratio > 1:
            return 0.0
        if n is None:
            return 1.0
        centre = 30 * limits.minimax_rate(nodes, 2)
        return 1 / (1 + math.exp(-2 * math.log(n / centre)))

    found = results(rate)
    assert limits.constant(SETUP, found) == pytest.approx(30, rel=0.3)
    (table,) = limits.tables(SETUP, found)
    assert table.rows[0][4] == pytest.approx(limits.constant(SETUP, found) * 2 * math.log(5 / 2))


def test_the_rate_by_hand():
    assert limits.minimax_rate(20, 2) == pytest.approx(2 * math.log(10))
    assert limits.minimax_rate(20, 0.5) == pytest.approx(math.log(20))


def test_without_a_constant_the_map_has_no_line_and_says_so():
    (figure,) = limits.figures(SETUP, results(lambda *_: 1.0))
    assert not any(panel.marks for panel in figure.panels)
    assert "could not be fitted" in figure.note


def test_the_map_holds_every_cell_once_and_a_line_for_the_rate():
    found = results(lambda *at: {100: 0.0, 1000: 1.0, 10_000: 1.0, None: 1.0}[at[-1]])
    (figure,) = limits.figures(SETUP, found)
    assert "Clopper-Pearson" in figure.note
    assert isinstance(figure, Grid)
    assert len(figure.panels) == 2 * 2 * 2
    sampled = sum(r.params["samples"] is not None for r in found)
    assert sum(np.isfinite(panel.values).sum() for panel in figure.panels) == sampled
    assert all(len(panel.marks) == 1 for panel in figure.panels)
    assert len(figure_table(figure).rows) == 8 * (9 + 3)


def test_nothing_run_makes_an_empty_map():
    assert limits.tables(SETUP, [])[0].rows == ()
    assert len(limits.figures(SETUP, [])) == 1
    assert limits.details(SETUP, [])[0].rows == ()
