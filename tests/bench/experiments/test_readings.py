"""The comparison of readings: what it plans, that every reading runs, what its tables say; graphs that are given."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.experiments.model import readings
from bench.experiments.model.readings import DEFAULT, FEW, IN_WORLDS, LAST, QUESTIONS, READINGS
from bench.judge.intervals import t_interval
from bench.plan import tuning
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import World
from bench.runners import execute
from bench.runners.given import draw_relation, strongest
from bench.runners.recommender import _at_positions
from causalrec.discovery import Graph
from causalrec.interactions import from_rows
from causalrec.model import CausalRec, CausalRecOptions
from synth.behaviour import draw_world
from synth.behaviour_controls import lift, onehot_regression
from synth.scoring import average_precision
from tests.bench.made_up import bare, failed, made_up, model, plan_all, with_data

TINY = World(items=20, users=60, length=8, width=8, epochs=1, fresh=40)
ALL = replace(PRESETS["hour"], all_readings=True, sweep=TINY, sweep_seeds=3)
SETUP = Setup(ALL, 0, "cpu")


def cell(title, seed=0):
    return readings.reading_cells(SETUP, title)[seed]


@pytest.mark.parametrize("title", READINGS)
def test_every_reading_runs_and_gives_what_the_table_reads(title):
    outcome = execute(cell(title))
    made = made_up(cell(title))
    assert made.metrics.keys() <= outcome.metrics.keys()
    assert outcome.metrics["skipped_steps"] == 0
    assert np.isfinite(outcome.metrics["h_max"])
    assert 0 <= outcome.metrics["auprc_positions"] <= 1
    item_level = "item_graph" in outcome.arrays
    assert item_level == (cell(title).params["options"].get("source") not in (
        "contextual", "closed_form", "inner_solve"))  # fmt: skip
    for name in ("auprc_w", "orientation_w", "parent_w"):
        assert (outcome.metrics[name] is not None) == item_level
    assert outcome.metrics["auprc_lift"] is not None


def test_the_true_graph_finds_itself_and_pointers_lie_on_it():
    true, random = (execute(cell(title)).metrics for title in ("R true", "R random, as many edges"))
    assert [true[name] for name in ("auprc_w", "orientation_w", "parent_w", "precision", "recall")] == [1.0] * 5
    assert true["auprc_positions"] > 2 * random["auprc_positions"]


def test_auprc_at_positions_is_of_the_pairs_in_order_of_every_user():
    world = draw_world(np.random.default_rng(0), 20)
    behaviour = world.sample(np.random.default_rng(1), 30, 7)

    class Pairs(CausalRec):
        def graph(self, items):
            weights = items[:, :, None] * 100.0 + items[:, None, :]
            return Graph(items, None, weights, None, self.options)

    found = _at_positions(Pairs(CausalRecOptions(20, length=9, width=4), torch.Generator()), behaviour)
    truth, scores = [], []
    for user in range(30):
        for t in range(5):
            for past in range(t):
                truth.append(behaviour.pointers[user, t] == past)
                scores.append(behaviour.items[user, t] * 100.0 + behaviour.items[user, past])
    assert found == pytest.approx(average_precision(np.array(truth), np.array(scores)))


# Plans and tables


def test_few_readings_are_planned_but_where_a_preset_says_so():
    assert {r.name for r in PRESETS.values() if r.all_readings} == {"standard", "paper"}
    few = replace(ALL, all_readings=False)
    assert len(readings.plan(Setup(few, 0, "cpu"))) == 2 * 3 * len(FEW)
    assert len(readings.plan(SETUP)) == 2 * 3 * len(READINGS)
    assert set(FEW) < set(READINGS)


def test_real_readings_are_the_tuned_setting_with_one_change():
    setup = with_data(replace(ALL, real=replace(ALL.real, seeds=2)), ("beauty", "ml-100k"))
    cells = [c for c in plan_all("readings", setup) if c.params["dataset"]["name"] != "behaviour"]
    assert {c.params["dataset"]["name"] for c in cells} == {"ml-100k"}
    tuned = tuning.tuning_cells(setup, "ml-100k", "causalrec")
    tuned += tuning.finals(setup, [made_up(c) for c in tuned], "ml-100k", "causalrec")
    best = [r.params for r in tuning.chosen(setup, [made_up(c) for c in tuned], "ml-100k", "causalrec")]
    assert [p["seed"] for p in best] == [0, 1]
    assert cells[: len(tuned)] == tuned
    titles = {*FEW, "R of lift, as many edges"} - {*IN_WORLDS}
    assert len(cells) == len(tuned) + 2 * len(titles)
    for c in cells[len(tuned):]:
        own = best[c.params["seed"]]
        assert c.params["training"] == own["training"]
        changed = {name: of for name, of in c.params["options"].items() if own["options"].get(name) != of}
        assert any(changed == readings._around(own["options"], READINGS[title][0]) for title in titles)
        assert ("relation" in c.params) == (changed.get("source") == "fixed")
        assert c.params.get("relation", {}).get("edges", 400) == 400
    assert [c for c in plan_all("readings", bare(ALL)) if c.params["dataset"]["name"] != "behaviour"] == []


def test_a_reading_with_an_alpha_keeps_the_rest_of_the_chosen_boost():
    options = {"boost": {"mode": "raw", "alpha": 10.0}, "fit": "full"}
    assert readings._around(options, {"fit": "none", "alpha": 1e4}) == {
        "fit": "none", "boost": {"mode": "raw", "alpha": 1e4},
    }  # fmt: skip
    assert readings._around(options, {"mode": "filter"}) == {"boost": {"mode": "filter", "alpha": 10.0}}
    assert readings._around(options, {"fit": "none"}) == {"fit": "none"}


def test_the_joint_reading_has_no_fit_and_lets_l_rec_reach_w_in_few_readings_as_in_all():
    joint = {title: READINGS[title][0] for title in READINGS if title.startswith("joint")}
    assert {of["relation"] for of in joint.values()} == {"soft", "straight_through"}
    assert {of.get("alpha", 1.0) for of in joint.values() if of["relation"] == "soft"} == {1.0, 1e2, 1e4, 1e8}
    assert {of["fit"] for of in joint.values()} == {"none"}
    assert len({*joint} & {*FEW}) == 2
    options = cell("joint: no fit, R soft, alpha 1e8").params["options"]
    assert options["boost"] == {"mode": "renorm", "alpha": 1e8}
    assert "alpha" not in options


def row(table, title):
    found = dict(zip((r[0] for r in table.rows), table.rows, strict=True))[title]
    return dict(zip(table.columns, found, strict=True))


def test_the_table_pairs_each_reading_with_its_own_default():
    results = []
    for title, worth in ((DEFAULT, 0.5), ("W free", 0.6), (LAST, 0.2), ("bidirectional discovery", 0.4)):
        for seed in range(3):
            auprc = worth + 0.1 * seed
            results.append(model(cell(title, seed), auprc_w=auprc, h_max=worth, h_mean=0.1, density=0.25))
    results[1] = failed(results[1].cell)
    table, _ = readings.tables(SETUP, results)
    free, both = row(table, "W free"), row(table, "bidirectional discovery")
    assert free["AUPRC"] == t_interval([0.6, 0.7, 0.8])
    assert free["change in AUPRC"].estimate == pytest.approx(0.1)
    assert free["change in AUPRC"].n == 2  # the world in which the default failed has no pair
    assert both["change in AUPRC"].estimate == pytest.approx(0.2)
    assert (both["largest h"], both["density of R"].estimate) == (0.4, pytest.approx(0.25))
    assert row(table, DEFAULT)["change in AUPRC"] is None
    assert row(table, LAST)["change in AUPRC"] is None
    assert row(table, "side branch")["AUPRC"] is None
    assert row(table, "lift (score)")["AUPRC"].estimate == 0.5
    assert row(table, "lift (score)")["NDCG@10"] is None


def test_what_a_reading_has_not_is_missing_and_a_given_graph_is_not_scored():
    results = [model(cell("W from Z", seed), auprc_w=None, orientation_w=None) for seed in range(3)]
    results += [model(cell("R true", seed), auprc_w=1.0) for seed in range(3)]
    table, _ = readings.tables(SETUP, results)
    assert row(table, "W from Z")["AUPRC"] is None
    assert row(table, "W from Z")["NDCG@10"] is not None
    assert row(table, "R true")["AUPRC"] is None


def test_the_real_table_shows_what_ran():
    setup = with_data(ALL, ("ml-100k",))
    results = [made_up(c) for c in plan_all("readings", setup)]
    *worlds, real = readings.tables(setup, results)
    assert [table.name for table in worlds] == ["readings", "readings-persist"]
    assert row(real, "W free")["change in NDCG@10"].n == setup.preset.real.seeds
    assert row(real, readings.CHOSEN)["change in NDCG@10"] is None


# Graphs that are given


def drawn(how, truth=None, seed=0):
    rows = np.random.default_rng(3).integers(1, 13, (30, 9))
    return draw_relation(how, truth, from_rows(rows, num_items=12), np.random.default_rng(seed)), rows


def test_counted_graphs_are_the_strongest_pairs_of_their_control():
    for kind, score in (("lift", lift), ("regression", onehot_regression)):
        found, rows = drawn({"kind": kind, "edges": 9})
        scores = score(rows, 12)
        np.fill_diagonal(scores, -np.inf)
        assert found.sum() == 9
        assert scores[found].min() >= scores[~found].max()


def test_graphs_have_as_many_edges_as_the_truth_or_as_said():
    truth = np.random.default_rng(5).random((12, 12)) < 0.1
    np.fill_diagonal(truth, val=False)
    for kind in ("lift", "regression", "matched"):
        assert drawn({"kind": kind}, truth)[0].sum() == truth.sum()
        found = drawn({"kind": kind, "edges": 7})[0]
        assert found.sum() == 7
        assert not found.diagonal().any()
    assert (drawn({"kind": "matched", "edges": 7})[0] != drawn({"kind": "matched", "edges": 7}, seed=1)[0]).any()
    assert strongest(np.zeros((3, 3)), 100).sum() == 6


@pytest.mark.parametrize("kind", ["lift", "matched", "falsified", "oracle"])
def test_a_graph_that_cannot_be_made_is_refused(kind):
    with pytest.raises(InputError, match=f"{kind}.*cannot be made here"):
        drawn({"kind": kind})


def test_every_reading_answers_a_question_and_every_question_has_another_answer():
    answers = [title for _, _, titles in QUESTIONS for title in titles]
    given = {title for title, (_, relation) in READINGS.items() if relation is not None}
    assert set(answers) == set(READINGS) - given - {DEFAULT, LAST}
    assert all(titles for _, _, titles in QUESTIONS)
    assert len({question for question, _, _ in QUESTIONS}) == len(QUESTIONS)
