"""The experiment on calibration: what it plans, its error by hand, its figure; and its runner."""

import numpy as np
import pytest

from bench.experiments.theory import confidence
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.runners import execute
from bench.runners.confidence import NothingResampled
from bench.runners.worlds import draw_world
from bench.show.figures import Curves
from tests.bench.made_up import failed as lost
from tests.bench.made_up import resampled

SETUP = Setup(PRESETS["smoke"], 0, "cpu")


def binned(result, draws):
    """Put (count, sum, hits) of the last bin, one triple per draw, into a made-up result."""
    frequency = np.zeros((len(draws), 3, 10))
    frequency[:, :, 9] = draws
    result.arrays = {**result.arrays, "frequency": frequency, "never": np.tile([15.0, 3.0], (len(draws), 1))}
    return result


def test_every_world_learner_and_n_is_one_cell():
    cells = confidence.plan(Setup(PRESETS["hour"], 0, "cpu"))
    assert len(cells) == 4 * 2 * 2
    assert {cell.runner for cell in cells} == {"confidence"}
    assert sum(cell.cost for cell in cells) < 60


def test_the_error_by_hand():
    """Draws of 5 pairs at 1, of which 4 and 2 are true: 0.4; beside 15 at 0, of which 3 are true: (4 + 6) / 40."""
    made = binned(resampled(confidence.plan(SETUP)[0]), [(5, 5, 4), (5, 5, 2)])
    found, every = confidence.errors(made, "frequency")
    assert found.estimate == pytest.approx(0.4)
    assert found.low == 0
    assert every == pytest.approx((4 + 6) / 40)


def test_draws_alike_leave_no_interval():
    made = binned(resampled(confidence.plan(SETUP)[0]), [(5, 5, 4)] * 3)
    found, _ = confidence.errors(made, "frequency")
    assert (found.low, found.estimate, found.high) == pytest.approx((0.2, 0.2, 0.2))


def test_cells_that_are_missing_failed_or_found_nothing_have_no_row():
    first, second, *rest = confidence.plan(SETUP)
    nothing = binned(resampled(second), [(0, 0, 0)] * 2)
    results = [lost(first), nothing, *map(resampled, rest)]
    (table,) = confidence.tables(SETUP, results)
    assert [row[0] for row in table.rows] == list(confidence.WORLDS)[2:]
    (figure,) = confidence.figures(SETUP, results)
    assert len(figure.panels) == 2
    assert confidence.figures(SETUP, []) == []
    assert confidence.tables(SETUP, [])[0].rows == ()


def test_the_figure_holds_every_bin_with_pairs_and_the_diagonal():
    (figure,) = confidence.figures(SETUP, [resampled(cell) for cell in confidence.plan(SETUP)])
    assert isinstance(figure, Curves)
    assert len(figure.panels) == 4
    for panel in figure.panels:
        assert [series.label for series in panel.series] == ["frequency, n = 100", "calibrated, n = 100"]
        assert panel.series[0].x == pytest.approx(np.arange(0.05, 1, 0.1))
        assert panel.guides[0].y == (0, 1)


def test_the_runner_bins_every_pair_once():
    cell = confidence.plan(SETUP)[2]
    assert cell.params["violation"] == {"kind": "standardised"}
    outcome = execute(cell)
    draws, nodes = cell.params["draws"], cell.params["nodes"]
    edges = [draw_world(cell.params, draw).graph.sum() for draw in range(draws)]
    for kind in confidence.KINDS:
        count, total, hits = outcome.arrays[kind].swapaxes(0, 1)
        assert (count.sum(1) + outcome.arrays["never"][:, 0] == nodes * (nodes - 1)).all()
        assert (hits.sum(1) + outcome.arrays["never"][:, 1] == edges).all()
        assert (total <= count + 1e-12).all()
    assert outcome.metrics["draws"] == draws
    assert outcome.metrics["failures"] == outcome.metrics["failed_resamples"] == 0


def test_calibrated_edges_are_nearer_the_truth_where_variances_are_equal():
    outcome = execute(confidence.plan(SETUP)[0])
    made = resampled(confidence.plan(SETUP)[0])
    made.arrays = outcome.arrays
    plain, calibrated = (confidence.errors(made, kind)[0].estimate for kind in confidence.KINDS)
    assert calibrated < plain


def test_a_learner_that_always_fails_fails_the_cell(monkeypatch):
    from bench.runners import confidence as runner

    def fails(*_args, **_options):
        raise runner.InputError("all failed")

    monkeypatch.setattr(runner, "edge_confidence", fails)
    with pytest.raises(NothingResampled, match="failed on all of 5 draws, first with: all failed"):
        execute(confidence.plan(SETUP)[0])
