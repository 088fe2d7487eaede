"""The phone–cable example: the world's truth, what the runner scores, and that table and picture say what was found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cells.unit import Cell
from bench.experiments.model import example
from bench.judge.intervals import t_interval
from bench.runners import execute
from bench.runners.example import CABLE, CASE, ITEMS, PHONE, make_world
from bench.show.figures import Link
from synth.behaviour_controls import lift
from tests.bench.made_up import bare, failed, find, shown

TINY = {"users": 40, "length": 8, "options": {"length": 8, "width": 4}, "training": {"epochs": 1, "patience": None}}
PARAMS = {**TINY, "seed": 0, "root": 0}
PLACE = {name: index for index, name in enumerate(ITEMS)}


def cell(**changes) -> Cell:
    return Cell("example", PARAMS | changes, ("bench.runners.example:run",))


@pytest.fixture(scope="module")
def scores() -> list[dict[str, np.ndarray]]:
    """Of three worlds large enough to tell; the model is hardly trained."""
    sizes = {"users": 300, "length": 20, "options": {"length": 20, "width": 4}}
    return [execute(cell(**sizes, seed=seed)).arrays for seed in range(3)]


# The world


def test_the_phone_causes_cable_and_case_and_nothing_else_causes_anything():
    world = make_world()
    edges = {(ITEMS[cause], ITEMS[effect]) for effect, cause in np.argwhere(world.graph)}
    assert edges == {("phone", "cable"), ("phone", "case")}
    assert world.exogenous_law.sum() == pytest.approx(1)
    after = world.step_distribution(np.array([[PHONE, CABLE], [CASE, CABLE]]), np.zeros(2, dtype=int))
    np.testing.assert_allclose(after[0, [CABLE - 1, CASE - 1]], 0.7 / 2 + 0.3 * 0.02)
    np.testing.assert_allclose(after[1], world.popularity)


@given(st.integers(0, 2**32))
def test_lift_is_symmetric_in_time(seed):
    """Read backwards, every pair is counted the other way round."""
    items = make_world().sample(np.random.default_rng(seed), 20, 12).items
    np.testing.assert_allclose(lift(items[:, ::-1], len(ITEMS)), lift(items, len(ITEMS)).T, rtol=1e-12)


# The runner


def test_lift_links_cable_and_case_and_the_regression_does_not(scores):
    """Unless it weighs the past otherwise than the world does."""
    for found in scores:
        truth = found["truth"]
        assert set(found) == {"truth", "lift", "regression", "regression_decayed", "w"}
        assert {(matrix.shape, matrix.dtype) for matrix in found.values()} == {((6, 6), np.dtype(np.float64))}
        np.testing.assert_allclose(truth[[CABLE - 1, CASE - 1], PHONE - 1], 0.35)
        assert np.count_nonzero(truth) == 2
        for cause, effect in example.FALSE:
            assert found["lift"][effect - 1, cause - 1] > 1.4
            assert (
                abs(found["regression"][effect - 1, cause - 1])
                < 0.05
                < found["regression_decayed"][effect - 1, cause - 1]
            )
        for cause, effect in example.TRUE:
            assert found["lift"][effect - 1, cause - 1] > 3
            assert found["regression"][effect - 1, cause - 1] > 0.2


def test_a_result_repeats_and_seeds_differ():
    one, again, other = (execute(cell(seed=seed)) for seed in (0, 0, 1))
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name])
        assert (name == "truth") == np.array_equal(values, other.arrays[name])
    assert one.metrics == {"steps": 40 * 6}


def test_made_up_results_have_the_runners_names():
    outcome, made = execute(cell()), shown(cell())
    assert made.arrays.keys() == outcome.arrays.keys()
    assert made.metrics.keys() == outcome.metrics.keys()


# What is told


def results() -> list:
    return [shown(planned) for planned in example.plan(bare())]


def test_the_table_has_each_pair_in_its_row():
    made = results()
    (table,) = example.tables(bare(), made)
    rows = {row[:2]: row[2:] for row in table.rows}
    assert len(rows) == len(table.rows) == 6
    for (cause, effect), row in rows.items():
        i, j = PLACE[effect], PLACE[cause]
        assert row[0] == pytest.approx(0.35 if cause == "phone" else 0)
        for found, name in zip(row[1:5], ("lift", "regression", "regression_decayed", "w"), strict=True):
            expected = t_interval([r.arrays[name][i, j] for r in made])
            assert (found.estimate, found.low, found.high) == (expected.estimate, expected.low, expected.high)
        assert row[5] == (len(made) if cause == "phone" else 0)
    assert len(example.details(bare(), made)[0].rows) == 30
    assert find("example", bare(), made) == []


def test_the_picture_shows_what_was_computed_and_dashes_what_is_not_told_from_none():
    made = results()
    (figure,) = example.figures(bare(), made)
    assert figure.nodes == ("phone", "cable", "case")
    truth, lifts, regression, _, w = (panel.links for panel in figure.panels)
    assert truth == (Link(0, 1, pytest.approx(0.35)), Link(0, 2, pytest.approx(0.35)))
    assert [link[:2] for link in map(ends, w)] == [(0, 1), (0, 2)]
    assert {(1, 2, False), (2, 1, False)} <= set(map(ends, lifts))
    for link in regression:
        values = [r.arrays["regression"][link.effect, link.cause] for r in made]
        assert link.weight == pytest.approx(np.mean(values))
        assert link.faint == (t_interval(values).low <= 0)
    assert {(0, 1, False), (0, 2, False)} <= set(map(ends, regression))
    assert all(ends(link)[:2] not in {(1, 2), (2, 1)} or link.faint for link in regression)


def ends(link: Link) -> tuple[int, int, bool]:
    return link.cause, link.effect, link.faint


def test_the_caption_says_of_w_what_w_does():
    """Where W links the cable to the case, the words and the picture say so."""
    made = results()
    quiet = example.tables(bare(), made)[0].note
    assert "lift links them, 2." in quiet
    assert "W of CausalRec is not told from no link" in quiet
    assert "edge (W >= 0.3) in 0 of 5 worlds, and both true edges in 5" in quiet
    for r in made:
        r.arrays["w"][CASE - 1, CABLE - 1] = 0.4 + 0.01 * r.params["seed"]
    (table,), (figure,) = example.tables(bare(), made), example.figures(bare(), made)
    assert figure.note == table.note
    assert "W of CausalRec links them, 0.42" in table.note
    assert "edge (W >= 0.3) in 5 of 5 worlds" in table.note
    assert (1, 2, False) in set(map(ends, figure.panels[4].links))


def test_one_world_is_not_told_from_none_and_no_world_is_nothing():
    made = results()
    (figure,) = example.figures(bare(), [made[0], *(failed(r.cell) for r in made[1:])])
    assert all(link.faint for panel in figure.panels[1:] for link in panel.links)
    assert not any(link.faint for link in figure.panels[0].links)
    assert example.figures(bare(), [])[0].panels == ()
    assert example.tables(bare(), [])[0].rows == ()
