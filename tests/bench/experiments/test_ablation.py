"""The ablation: given graphs as they are described, and each finding as its claim's rule says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.experiments import EXPERIMENTS
from bench.experiments.model import ablation
from bench.judge.claims import BLOCKED
from bench.plan.presets import PRESETS
from bench.runners import execute
from bench.runners.given import count_pairs, draw_relation, falsify
from causalrec.interactions import from_rows
from synth.behaviour import draw_world
from tests.bench.made_up import (
    BELOW,
    CLAIMED,
    NOTHING,
    OPEN,
    OPPOSITE,
    bare,
    failed,
    find,
    judged,
    model,
    outcomes,
    with_data,
)

ROWS = from_rows([[1, 2], [3, 4]], num_items=40)
MATCHED = {"kind": "position_matched"}


def graph(seed: int, items: int = 40) -> np.ndarray:
    return draw_world(np.random.default_rng(seed), items).graph


# Given graphs


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_false_edges_replace_true_ones_row_by_row(seed, share):
    truth = graph(seed)
    kept = truth.copy()
    found = falsify(truth, share, np.random.default_rng(seed))
    np.testing.assert_array_equal(truth, kept)
    np.testing.assert_array_equal(found.sum(1), truth.sum(1))
    assert (found & ~truth).sum() == round(share * truth.sum())
    assert not found.diagonal().any()
    assert (truth.any(0) >= found.any(0)).all()


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_more_of_the_same(seed, one, two):
    truth = graph(seed)
    less, more = (falsify(truth, share, np.random.default_rng(seed)) for share in sorted((one, two)))
    assert (truth & more <= truth & less).all()
    assert (less & ~truth <= more & ~truth).all()


def test_relations_by_their_description():
    rng, truth = np.random.default_rng(0), graph(3)
    random = draw_relation({"kind": "random", "density": 0.3}, None, ROWS, rng)
    assert not random.diagonal().any()
    assert random.sum() == pytest.approx(0.3 * 40 * 39, rel=0.15)
    np.testing.assert_array_equal(draw_relation({"kind": "falsified", "share": 0.0}, truth, ROWS, rng), truth)
    for how, known in (
        ({"kind": "falsified", "share": 0.5}, None), ({"kind": "position_matched"}, None), ({"kind": "magic"}, truth)
    ):
        with pytest.raises(InputError, match=r"relation .* cannot be made here"):
            draw_relation(how, known, ROWS, rng)


def test_pairs_are_counted_later_by_earlier():
    # 1 after 1 and after 2 in the first row, 2 after 1 in both.
    found = count_pairs(from_rows([[1, 2, 1], [1, 2]], num_items=3))
    np.testing.assert_array_equal(found, [[1, 1, 0], [2, 0, 0], [0, 0, 0]])


@given(st.integers(0, 10_000))
def test_a_position_matched_graph_relates_as_many_positions_by_no_true_edge(seed):
    rng = np.random.default_rng(seed)
    world = draw_world(rng, 60, decay=1.0, horizon=20, persistence=0.9)
    train = from_rows(list(world.sample(rng, 100, 15).items), num_items=60)
    found, again, other = (
        draw_relation({"kind": "position_matched"}, world.graph, train, np.random.default_rng(s)) for s in (0, 0, 1)
    )
    counts = count_pairs(train)
    assert found.sum() == world.graph.sum()
    assert not (found & (world.graph | np.eye(60, dtype=bool))).any()
    assert counts[found].sum() == pytest.approx(counts[world.graph].sum(), rel=0.02)
    np.testing.assert_array_equal(found, again)
    assert (found != other).any()


def test_position_matched_graphs_differ_among_pairs_that_never_occur():
    one, other = (
        draw_relation({"kind": "position_matched"}, graph(3), ROWS, np.random.default_rng(seed)) for seed in (0, 1)
    )
    assert (one & other).sum() < 0.3 * one.sum()


def test_a_row_that_every_cause_is_true_of_is_refused():
    truth = np.zeros((3, 3), dtype=bool)
    truth[2, :2] = truth[1, 0] = True
    with pytest.raises(InputError, match="has no false cause left among 2 causes"):
        falsify(truth, 1.0, np.random.default_rng(0))


def test_what_is_given_is_what_is_boosted_by():
    """The graph of the world has all its edges and no others; false ones lower what is found of them."""
    preset = PRESETS["smoke"]
    setup = replace(bare("smoke"), preset=replace(preset, sweep=replace(preset.sweep, users=60, epochs=1)))
    true, false = (execute(ablation._false_cells(setup, "renorm", share)[0]).metrics for share in (0.0, 1.0))
    assert (true["precision"], true["recall"], true["auprc_w"]) == (1.0, 1.0, 1.0)
    assert (false["precision"], false["recall"]) == (0.0, 0.0)


# Findings


def kind(cell) -> str:
    """What a cell is: "true", "false" or "random" by the R that is given, otherwise "filter", "boost" or "off"."""
    boost, relation = cell.params["options"]["boost"], cell.params.get("relation", {})
    if not boost["alpha"]:
        return "off"
    if relation.get("kind") == "falsified":
        return "false" if relation["share"] else "true"
    return {"position_matched": "false", "random": "random"}.get(
        relation.get("kind"), "filter" if boost["mode"] == "filter" else "boost"
    )


def ran(setup, quality, luck=lambda cell: 0, density=0.05, **more) -> list:
    """Every cell with its quality and luck, which are functions of the cell."""

    def made(cells):
        return [model(c, quality(c), luck=luck(c), data_density=density, **more) for c in cells]

    module = EXPERIMENTS["ablation"]
    first = made(module.plan(setup))
    return first + made(module.refine(setup, first))


def test_every_world_has_causes_that_persist_and_a_learned_graph_is_read_at_its_own_scale():
    for cell in EXPERIMENTS["ablation"].plan(bare()):
        assert cell.params["dataset"]["knobs"]["persistence"] > 0
        assert kind(cell) not in ("filter", "boost") or cell.params["options"]["tau"] == 0.03
    matched = [c for c in EXPERIMENTS["ablation"].plan(bare()) if c.params.get("relation") == MATCHED]
    boosts = [(c.params["options"]["boost"]["mode"], c.params["options"]["boost"]["alpha"]) for c in matched]
    assert set(boosts) == {(mode, 100.0) for mode in ablation.MODES}
    assert len(boosts) == 2 * bare().preset.sweep_seeds


@pytest.mark.parametrize(
    ("filtered", "boosted", "empty", "hurts", "does_not", "verdict"),
    [
        (0.4, 0.6, 0.4, CLAIMED, CLAIMED, CLAIMED),
        (0.6, 0.6, 0.4, NOTHING, CLAIMED, NOTHING),
        (0.7, 0.6, 0.4, OPPOSITE, CLAIMED, OPPOSITE),
        (0.4, 0.4, 0.4, CLAIMED, BELOW, BELOW),
        (0.595, 0.6, 0.4, OPEN, CLAIMED, OPEN),
        (0.4, 0.6, 0.6, BLOCKED, BLOCKED, BLOCKED),
    ],
)
def test_boost_beats_filter_part_by_part_on_each_dataset(filtered, boosted, empty, hurts, does_not, verdict):
    setup = with_data(names=("ml-100k", "ml-1m"))
    quality = {"filter": filtered, "boost": boosted}
    results = ran(setup, lambda cell: quality.get(kind(cell), 0.6), empty_rows=empty)
    expected = {
        f"{part}, {name}": outcome
        for name in ("behaviour", "ml-100k", "ml-1m")
        for part, outcome in (("filter_hurts", hurts), ("boost_does_not", does_not))
    }
    assert outcomes(find("ablation", setup, results), "boost-beats-filter") == expected
    assert judged("ablation", setup, results)["boost-beats-filter"].judgement == verdict


def test_sparse_data_are_shown_and_judge_nothing():
    setup = with_data(names=("beauty",))
    results = ran(setup, lambda cell: 0.5, density=0.0166)
    assert outcomes(find("ablation", setup, results), "boost-beats-filter") == {}
    shown = EXPERIMENTS["ablation"].tables(setup, results)[0]
    assert {row[2] for row in shown.rows if row[0] == "beauty"} == {
        "chosen", "alpha 0", "filter", "raw", "no graph", "random R",
    }  # fmt: skip


def test_a_filter_that_lacks_a_seed_is_left_out():
    setup = with_data(names=("ml-1m",))
    results = ran(setup, lambda cell: 0.5)
    lost = next(r for r in results if r.params["dataset"]["name"] == "ml-1m" and kind(r.cell) == "filter")
    less = [failed(r.cell) if r is lost else r for r in results]
    assert len(outcomes(find("ablation", setup, results), "boost-beats-filter")) == 4
    assert len(outcomes(find("ablation", setup, less), "boost-beats-filter")) == 2


def test_without_real_data_the_verdict_says_what_is_missing():
    setup = bare("hour")
    verdict = judged("ablation", setup, ran(setup, lambda cell: 0.6))["boost-beats-filter"]
    assert "preset hour runs no filter on real data. KGRec-music" in verdict.note


@pytest.mark.parametrize(
    ("false", "luck", "outcome"),
    [(0.3, 0, CLAIMED), (0.5, 0, NOTHING), (0.7, 0, OPPOSITE), (0.5, 1, OPEN), (0.53, 1, BELOW)],
)
def test_false_edges_hurt(false, luck, outcome):
    """Against no graph at all; the true one, however much it gains, does not tell."""
    setup, quality = bare(), {"false": false, "true": 0.9}
    results = ran(setup, lambda cell: quality.get(kind(cell), 0.5), lambda cell: luck * (kind(cell) == "false"))
    found = [f for f in find("ablation", setup, results) if f.claim == "false-edges-hurt"]
    assert [(f.title, f.outcome) for f in found] == [(f"loss, {mode}", outcome) for mode in ablation.MODES]
    assert judged("ablation", setup, results)["false-edges-hurt"].judgement == outcome


def test_each_boost_is_judged_by_its_own_false_graph_and_a_missing_world_ends_it():
    setup = bare()

    def quality(cell):
        return 0.3 if kind(cell) == "false" and cell.params["options"]["boost"]["mode"] == "raw" else 0.5

    results = ran(setup, quality)
    expected = {"loss, renorm": NOTHING, "loss, raw": CLAIMED}
    assert outcomes(find("ablation", setup, results), "false-edges-hurt") == expected
    lost = next(r for r in results if r.params.get("relation") == MATCHED and quality(r.cell) < 0.5)
    less = [failed(r.cell) if r is lost else r for r in results]
    assert outcomes(find("ablation", setup, less), "false-edges-hurt") == {"loss, renorm": NOTHING}


def test_gains_stand_against_the_right_baseline():
    """A given graph against no graph, a learned one against alpha 0."""
    setup = bare()

    def score(cell):
        p = cell.params
        none = not p["options"]["boost"]["alpha"]
        return (0.4 if none else 0.6) if "relation" in p else (0.2 if none else 0.3)

    module = EXPERIMENTS["ablation"]
    results = [model(cell, score(cell)) for cell in module.plan(setup)]
    gains = {row[2]: row[5] for row in module.tables(setup, results)[0].rows}
    assert gains["no graph"].estimate == pytest.approx(100, abs=25)
    assert gains["true R, raw, alpha 100"].estimate == pytest.approx(50, abs=15)
    assert gains["raw, alpha 1"].estimate == pytest.approx(50, abs=15)
    assert gains["alpha 0"] is None


def test_the_figure_draws_the_shares():
    setup = bare()
    (figure,) = EXPERIMENTS["ablation"].figures(setup, ran(setup, lambda cell: 0.5))
    assert {series.x for series in figure.panels[0].series} == {ablation.SHARES}
    assert EXPERIMENTS["ablation"].figures(setup, []) == []
