"""What h costs: what the runner times, the exponent by hand, and how it is judged."""

from dataclasses import replace

import numpy as np
import pytest

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.experiments.theory import cost
from bench.judge.claims import BLOCKED
from bench.plan.sizes import Cost
from bench.runners import cost as runner
from causalrec.acyclicity import FORMS
from tests.bench.made_up import BELOW, CLAIMED, FIXED, OPEN, Made, bare, find, judged

NODES = (64, 256, 512, 1024)
SETUP = bare(replace(FIXED, cost=Cost(NODES, repeats=5)))


def timed(setup, power, noise=0.0):
    """Every form takes n^power, but for noise; a size under `LARGE` takes a minute, since it must not count."""
    rng = np.random.default_rng(0)
    made = []
    for cell in cost.plan(setup):
        nodes = np.array(cell.params["nodes"], dtype=float)
        seconds = 1e-9 * nodes**power * np.exp(noise * rng.standard_normal(len(nodes)))
        seconds[nodes < cost.LARGE] = 60.0
        made.append(Made(cell, {}, {"seconds": seconds}))
    return made


def test_every_repeat_of_every_form_is_a_cell_of_its_own():
    asked = {(cell.params["form"], cell.params["repeat"]) for cell in cost.plan(SETUP)}
    assert len(cost.plan(SETUP)) == len(asked) == 5 * len(cost.TITLES)


def test_the_exponent_is_that_of_the_large_sizes():
    [table] = cost.tables(SETUP, timed(SETUP, 2.7))
    assert [row[0] for row in table.rows] == list(cost.TITLES.values())
    for row in table.rows:
        assert row[-1].estimate == pytest.approx(2.7)
        assert row[1].estimate == pytest.approx(60_000)


@pytest.mark.parametrize(
    ("power", "noise", "outcome"), [(3, 0.01, CLAIMED), (2, 0.01, CLAIMED), (4, 0.01, BELOW), (3.5, 0.5, OPEN)]
)
def test_only_an_exponent_above_3_speaks_against_an_upper_bound(power, noise, outcome):
    [finding] = find("cost", SETUP, timed(SETUP, power, noise))
    assert (finding.claim, finding.title, finding.outcome) == ("cubic-cost", "exponent", outcome)
    assert finding.estimate.n == 5
    assert judged("cost", SETUP, timed(SETUP, power, noise))["cubic-cost"].judgement == outcome


def test_too_few_large_sizes_test_nothing():
    setup = bare(replace(FIXED, cost=Cost((32, 256, 512), repeats=5)))
    [finding] = find("cost", setup, timed(setup, 3))
    assert (finding.outcome, finding.estimate) == (BLOCKED, None)
    assert finding.blocked == "n of 256 and more: 256, 512; an exponent needs 3 sizes"
    assert cost.tables(setup, timed(setup, 3))[0].rows[0][-1] is None


def test_a_form_that_failed_is_left_out_of_table_and_figure_and_a_repeat_of_its_form():
    results = timed(SETUP, 3)
    for r in results:
        if r.params["form"] == cost.SERIES or (r.params["form"], r.params["repeat"]) == (cost.JUDGED, 2):
            r.record = None
    assert [row[-1].n for row in cost.tables(SETUP, results)[0].rows] == [4, 5, 5]
    [figure] = cost.figures(SETUP, results)
    assert len(figure.panels[0].series) == 3
    (cubic,) = figure.panels[0].guides
    assert np.diff(np.log(cubic.y)) / np.diff(np.log(cubic.x)) == pytest.approx(3)
    assert cubic.y[-1] == max(series.y[-1] for series in figure.panels[0].series)
    assert cost.figures(SETUP, []) == []


@pytest.mark.parametrize("form", [*FORMS, runner.SERIES])
def test_every_form_is_timed_at_every_size(form, monkeypatch):
    monkeypatch.setattr(runner, "SHORTEST", 1e-4)
    cell = Cell("cost", {"form": form, "nodes": [3, 40], "repeat": 1, "root": 0}, ("bench.runners.cost:run",))
    seconds = runner.run(cell).arrays["seconds"]
    assert seconds.shape == (2,)
    assert (seconds > 0).all()
    assert seconds[1] < 1.0


def test_an_unknown_form_is_refused():
    cell = Cell("cost", {"form": "cubic", "nodes": [3], "repeat": 0, "root": 0}, ("bench.runners.cost:run",))
    with pytest.raises(InputError, match=r"'cubic' is unknown; choose one of exponential, .*series"):
        runner.run(cell)
