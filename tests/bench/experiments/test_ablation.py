"""The ablation: given graphs as they are described, and each finding as its claim's rule says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.experiments import EXPERIMENTS
from bench.experiments.model import ablation
from bench.plan.presets import PRESETS
from bench.runners import execute
from bench.runners.given import count_pairs, draw_relation, falsify
from causalrec.interactions import from_rows
from synth.behaviour import draw_world
from tests.bench.made_up import FAILS, HOLDS, UNCLEAR, bare, failed, find, judged, model, outcomes, with_data

ROWS = from_rows([[1, 2], [3, 4]], num_items=40)


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


def ran(setup, quality, luck=lambda title: 0, density=0.05, names=("filter", "raw", "random")) -> list:
    """Every cell with the quality of its kind: `alpha 0`, `filter`, `boost`, or a share of false edges."""

    def kind(cell):
        p = cell.params
        if p.get("relation", {}).get("kind") == "falsified" and p["options"]["boost"]["alpha"]:
            return p["relation"]["share"]
        boost = p["options"]["boost"]
        return "filter" if boost["mode"] == "filter" else "boost" if boost["alpha"] else "alpha 0"

    def made(cells):
        return [model(c, quality(kind(c)), luck=luck(kind(c)), data_density=density) for c in cells]

    module = EXPERIMENTS["ablation"]
    first = made(module.plan(setup))
    return first + made(module.refine(setup, first))


PARTS = ("filtering hurts", "boosting does not", "the boost beats the filter")


@pytest.mark.parametrize(
    ("filtered", "boosted", "expected"),
    [
        (0.4, 0.6, (HOLDS, HOLDS, HOLDS)),
        (0.6, 0.6, (FAILS, HOLDS, UNCLEAR)),
        (0.7, 0.6, (FAILS, HOLDS, FAILS)),
        (0.4, 0.4, (HOLDS, FAILS, UNCLEAR)),
        (0.595, 0.6, (UNCLEAR, HOLDS, UNCLEAR)),
    ],
)
def test_boost_beats_filter_part_by_part_on_each_dataset(filtered, boosted, expected):
    setup = with_data(names=("ml-100k", "ml-1m"))
    results = ran(setup, lambda kind: {"filter": filtered, "boost": boosted}.get(kind, 0.6))
    found = outcomes(find("ablation", setup, results), "boost-beats-filter")
    for name in ("ml-100k", "ml-1m"):
        assert tuple(found[f"{part}, {name}"] for part in PARTS) == expected
    assert len(found) == 9


def test_sparse_data_are_shown_and_judge_nothing():
    setup = with_data(names=("beauty",))
    results = ran(setup, lambda kind: 0.5, density=0.0166)
    assert outcomes(find("ablation", setup, results), "boost-beats-filter") == {}
    shown = EXPERIMENTS["ablation"].tables(setup, results)[0]
    assert {row[2] for row in shown.rows if row[0] == "beauty"} == {
        "chosen", "alpha 0", "filter", "raw", "no graph", "random R",
    }  # fmt: skip


def test_a_filter_that_lacks_a_seed_is_left_out():
    setup = with_data(names=("ml-1m",))
    results = ran(setup, lambda kind: 0.5)
    lost = next(r for r in results if r.params["dataset"]["name"] == "ml-1m" and "filter" in str(r.params["options"]))
    less = [failed(r.cell) if r is lost else r for r in results]
    assert len(outcomes(find("ablation", setup, results), "boost-beats-filter")) == 6
    assert len(outcomes(find("ablation", setup, less), "boost-beats-filter")) == 3


def test_without_real_data_the_verdict_says_what_is_missing():
    setup = bare("quick")
    verdict = judged("ablation", setup, ran(setup, lambda kind: {"filter": 0.3}.get(kind, 0.6)))["boost-beats-filter"]
    assert verdict.judgement == "partly"
    assert "preset quick runs no filter on real data. KGRec-music" in verdict.note


@pytest.mark.parametrize(
    ("slope", "luck", "outcome"), [(-0.3, 0, HOLDS), (0.0, 0, FAILS), (0.3, 0, FAILS), (0.0, 1, UNCLEAR)]
)
def test_false_edges_hurt(slope, luck, outcome):
    setup = bare()

    def share(kind):
        return kind if isinstance(kind, float) else 0.0

    results = ran(setup, lambda kind: 0.5 + slope * share(kind), lambda kind: luck * round(8 * share(kind)))
    found = [f for f in find("ablation", setup, results) if f.claim == "false-edges-hurt"]
    assert [f.outcome for f in found] == [outcome, outcome]
    if not luck:
        assert all(f.estimate.estimate == pytest.approx(slope / 0.5, abs=0.15) for f in found)
    assert "with no graph" in found[0].detail


def test_each_boost_has_its_own_slope_and_a_missing_share_ends_it():
    setup = bare()
    results = ran(setup, lambda kind: 0.5)
    lost = next(r for r in results if r.params.get("relation") == {"kind": "falsified", "share": 0.5})
    mode = lost.params["options"]["boost"]["mode"]
    less = [failed(r.cell) if r is lost else r for r in results]
    found = outcomes(find("ablation", setup, less), "false-edges-hurt")
    assert list(found) == [f"{other}, alpha 100" for other in ablation.MODES if other != mode]


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
    (figure,) = EXPERIMENTS["ablation"].figures(setup, ran(setup, lambda kind: 0.5))
    assert {series.x for series in figure.panels[0].series} == {ablation.SHARES}
    assert EXPERIMENTS["ablation"].figures(setup, []) == []
