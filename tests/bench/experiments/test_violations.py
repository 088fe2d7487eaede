"""Violations by degrees: which cells stand behind a row, and what is lost to order and what to estimation."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.experiments import EXPERIMENTS
from bench.experiments.theory import violations
from bench.experiments.theory.violations import DATA, RATIO, WORLDS
from bench.plan.setup import Setup
from bench.runners.worlds import draw_world
from causalrec.methods.canonical import digest
from tests.bench.made_up import Made, bare, failed, graphs

SHD = {"eqvar": 5, "notears": 5, "r2_sort": 9, "oracle": 2, "oracle_lasso": 1}


def made_of(setup: Setup, score: Callable[[int, int], int]) -> list[Made]:
    """Made-up results by a number for each world planned, 0 for the plain one, and the learner's value of `SHD`."""
    cells = violations.plan(setup)
    worlds = [digest([cell.params["violation"], cell.params["ratio"]]) for cell in cells]
    number = {world: k for k, world in enumerate(dict.fromkeys(worlds))}
    return [graphs(cell, score(number[w], SHD[cell.params["learner"]])) for cell, w in zip(cells, worlds, strict=True)]


def test_no_strength_is_one_world_for_all_and_ratios_are_the_cells_of_variance():
    setup = bare("hour")
    cells = violations.plan(setup)
    plain = [cell for cell in cells if cell.params["violation"] is None and cell.params["ratio"] == 1]
    assert {cell.params["learner"] for cell in plain} == set(SHD)
    assert len(plain) == len(SHD)
    shared = set(EXPERIMENTS["variance"].plan(setup)) & set(cells)
    assert len(shared) == (len(SHD) - 1) * len(setup.preset.structure.ratios)  # the lasso's known order is here alone


def test_each_row_shows_its_own_cells():
    setup = bare("hour")
    (table,) = violations.tables(setup, made_of(setup, lambda world, shd: 100 * world + shd))
    assert len(table.rows) == 5 * len((RATIO, *WORLDS, *DATA))
    seen = set()
    for row in table.rows:
        eqvar, notears, r2_sort, oracle, lasso, *lost = (interval.estimate for interval in row[3:])
        base = oracle - 2
        assert (eqvar, notears, r2_sort, lasso) == (base + 5, base + 5, base + 9, base + 1)
        assert lost == [3, 4, 7]  # beyond least squares, the lasso, least squares
        assert (base == 0) == (float(row[2]) == (1 if row[0] == RATIO.title else 0))
        assert base == 0 or base not in seen
        seen.add(base)


def test_what_is_lost_to_order_is_paired_by_draw():
    setup = bare("smoke")
    luck = np.arange(40) % 7
    made = [graphs(cell, shd=luck + SHD[cell.params["learner"]]) for cell in violations.plan(setup)]
    row = violations.tables(setup, made)[0].rows[0]
    assert row[3].half_width > 0
    assert [(lost.low, lost.high) for lost in row[-3:]] == [(3, 3), (4, 4), (7, 7)]
    made = [failed(r.cell) if r.params["learner"] == "oracle" else r for r in made]
    assert [lost and lost.estimate for lost in violations.tables(setup, made)[0].rows[0][-3:]] == [None, 4, None]


def test_a_panel_for_every_kind_with_the_known_order_in_it():
    setup = bare("hour")
    worlds, data = violations.figures(setup, made_of(setup, lambda world, _: world))
    assert (len(worlds.panels), len(data.panels)) == (len(WORLDS), len(DATA))
    for panel in (*worlds.panels, *data.panels):
        assert len(panel.series) == len(SHD)
        assert all(series.y[0] == 0 and min(series.y[1:]) > 0 for series in panel.series)


@pytest.mark.parametrize("preset", ["smoke", "standard"])
def test_every_world_planned_can_be_drawn(preset):
    cells = [cell for cell in violations.plan(bare(preset)) if cell.params["learner"] == "eqvar"]
    for cell in cells:
        rows = draw_world(cell.params, 0).sample(np.random.default_rng(0), violations.SAMPLES)
        assert rows.shape == (violations.SAMPLES, cell.params["nodes"])
        assert np.isfinite(rows).all()
        assert rows.std(axis=0).min() > 0
