"""Learners by world and size: which cells there are, and what tables and figure make of them."""

import numpy as np

from bench.experiments.theory import sizes
from bench.methods import learners
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from tests.bench.made_up import failed, graphs

SETUP = Setup(PRESETS["smoke"], 0, "cpu")
STANDARD = Setup(PRESETS["standard"], 0, "cpu")


def test_slow_learners_end_where_a_graph_costs_too_much():
    largest = {}
    for cell in sizes.plan(STANDARD):
        p = cell.params
        largest[p["learner"]] = max(p["nodes"], largest.get(p["learner"], 0))
        assert learners.seconds(p["learner"], p["nodes"], p["samples"]) <= STANDARD.preset.sizes.most_seconds
    assert {largest[name] for name in ("eqvar", "eqvar_lasso", "r2_sort", "oracle_lasso")} == {1000}
    assert 200 <= largest["notears"] < 1000


def test_fewer_graphs_are_drawn_of_large_ones_never_too_few():
    drawn = [sizes.draws(STANDARD, nodes) for nodes in (20, 200, 1000)]
    assert drawn == sorted(drawn, reverse=True)
    assert drawn[0] == STANDARD.preset.sizes.draws
    assert drawn[-1] >= sizes.FEWEST


def test_a_row_per_world_and_size_a_curve_per_learner():
    cells = sizes.plan(SETUP)
    results = [failed(cells[0]), *(graphs(cell, np.full(cell.params["draws"], 4)) for cell in cells[1:])]
    (table,) = sizes.tables(SETUP, results)
    assert len(table.rows) == len(sizes.WORLDS) * len(SETUP.preset.sizes.nodes)
    assert table.rows[0][2] is None
    assert set(table.rows[1][2:]) == {4.0}
    (each,) = sizes.details(SETUP, results)
    assert len(each.rows) == len(cells) - 1
    (figure,) = sizes.figures(SETUP, results)
    assert [panel.title for panel in figure.panels] == list(sizes.WORLDS)
    assert sizes.tables(SETUP, [])[0].rows == ()
