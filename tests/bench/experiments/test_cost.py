"""What h costs: what the runner times, the exponent by hand, and how it is judged."""

from dataclasses import replace

import numpy as np
import pytest

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.experiments.theory import cost
from bench.plan.presets import Cost
from bench.runners import cost as runner
from causalrec.acyclicity import FORMS
from tests.bench.made_up import FAILS, FIXED, HOLDS, UNCLEAR, Made, bare, find

NODES = (64, 256, 512, 1024)
SETUP = bare(replace(FIXED, cost=Cost(NODES, repeats=5)))
PART = "exponent of h and its gradient in n"


def timed(setup, power, noise=0.0):
    """Every form takes n^power, but for noise; a size under `LARGE` takes a minute, since it must not count."""
    rng = np.random.default_rng(0)
    made = []
    for cell in cost.plan(setup):
        nodes = np.array(cell.params["nodes"], dtype=float)
        seconds = 1e-9 * nodes**power * np.exp(noise * rng.standard_normal((cell.params["repeats"], len(nodes))))
        seconds[:, nodes < cost.LARGE] = 60.0
        made.append(Made(cell, {}, {"seconds": seconds}))
    return made


def test_the_exponent_is_that_of_the_large_sizes():
    [table] = cost.tables(SETUP, timed(SETUP, 2.7))
    assert [row[0] for row in table.rows] == list(cost.TITLES.values())
    for row in table.rows:
        assert row[-1].estimate == pytest.approx(2.7)
        assert row[1].estimate == pytest.approx(60_000)


@pytest.mark.parametrize(
    ("power", "noise", "outcome"), [(3, 0.01, HOLDS), (2, 0.01, FAILS), (4, 0.01, FAILS), (3.5, 0.5, UNCLEAR)]
)
def test_an_exponent_near_3_holds_and_a_square_or_a_fourth_power_fails(power, noise, outcome):
    [finding] = find("cost", SETUP, timed(SETUP, power, noise))
    assert (finding.claim, finding.part, finding.outcome) == ("cubic-cost", PART, outcome)


def test_small_sizes_test_nothing():
    setup = bare(replace(FIXED, cost=Cost((32, 256, 512), repeats=5)))
    [finding] = find("cost", setup, timed(setup, 3))
    assert (finding.outcome, finding.estimate) == (UNCLEAR, None)
    assert "nothing is tested" in finding.detail
    assert cost.tables(setup, timed(setup, 3))[0].rows[0][-1] is None


def test_a_form_that_failed_is_left_out_of_table_and_figure():
    results = timed(SETUP, 3)
    results[1].ok = False
    assert len(cost.tables(SETUP, results)[0].rows) == len(results) - 1
    [figure] = cost.figures(SETUP, results)
    assert len(figure.panels[0].series) == len(results) - 1
    assert cost.figures(SETUP, []) == []


@pytest.mark.parametrize("form", [*FORMS, runner.SERIES])
def test_every_form_is_timed_at_every_size(form, monkeypatch):
    monkeypatch.setattr(runner, "SHORTEST", 1e-4)
    cell = Cell("cost", {"form": form, "nodes": [3, 40], "repeats": 2, "root": 0}, ("bench.runners.cost:run",))
    seconds = runner.run(cell).arrays["seconds"]
    assert seconds.shape == (2, 2)
    assert (seconds > 0).all()
    assert np.median(seconds[:, 1]) < 1.0


def test_an_unknown_form_is_refused():
    cell = Cell("cost", {"form": "cubic", "nodes": [3], "repeats": 1, "root": 0}, ("bench.runners.cost:run",))
    with pytest.raises(InputError, match=r"'cubic' is unknown; choose one of exponential, .*series"):
        runner.run(cell)
