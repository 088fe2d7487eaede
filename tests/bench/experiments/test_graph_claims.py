"""The table of graph claims: who is in it and where, what is shared, and how its gains are paired."""

import sys
from dataclasses import replace

import pytest

from bench.experiments import check_used
from bench.experiments.model import graph_claims
from bench.experiments.model.graph_claims import COLUMNS, SEQ2CAUSE
from bench.judge.intervals import t_interval
from bench.methods import causal
from bench.plan.presets import PRESETS
from bench.plan.scores import gain, ranked
from bench.plan.setup import OWN, make_setup
from bench.runners.graph_claims import FITTED, PARTS, TRUE, TWIN
from tests.bench.made_up import bare, claimed, dataset, failed, made_up, with_data

MINE = """
class Causal:
    def fit(self, train, num_items, generator): ...
    def scores(self, histories): ...
    def graph(self): ...
    def fix(self, weights): ...
    def twin(self): ...

class Plain:
    def fit(self, train, num_items, generator): ...
    def scores(self, histories): ...
"""
NAME = "graphs_of_a_user:Causal"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A setup with a causal recommender of a user's and one that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "graphs_of_a_user.py").write_text(MINE)
    names = (NAME, "graphs_of_a_user:Plain")
    yield replace(bare(), recommenders=make_setup(PRESETS["smoke"], 0, recommenders=names).recommenders)
    sys.modules.pop("graphs_of_a_user", None)


def told(setup, results):
    (found,) = graph_claims.tables(setup, results)
    return {(row[0], row[1]): dict(zip(COLUMNS, row, strict=True)) for row in found.rows}


def test_members_share_the_true_graph_and_the_twin_and_hour_stays_small():
    cells = graph_claims.plan(bare("hour"))
    asked = [(c.params["model"], c.params["part"]) for c in cells]
    assert len(cells) == 12
    assert set(asked) == {("causalrec", part) for part in PARTS} | {("lift_sasrec", FITTED)}
    assert sum(c.cost for c in cells) < 150
    assert {c.params["dataset"]["fresh"] for c in cells} == {PRESETS["hour"].control.fresh}


def test_real_data_are_asked_where_the_preset_has_the_time_or_a_user_brings_a_causal_recommender(mine):
    assert graph_claims.plan(with_data("hour")) == graph_claims.plan(bare("hour"))
    standard = graph_claims.plan(with_data("standard", ("ml-100k",)))
    real = [c for c in standard if c.params["dataset"]["name"] == "ml-100k"]
    assert len(real) == 3 * PRESETS["standard"].real.seeds
    assert not any(c.params["part"] == TRUE or "fresh" in c.params["dataset"] for c in real)
    found = {"ml-100k": dataset("ml-100k"), OWN: dataset(OWN)}
    places = {(c.params["model"], c.params["dataset"]["name"]) for c in graph_claims.plan(replace(mine, found=found))}
    assert places == {(m, n) for m in ("causalrec", "lift_sasrec", NAME) for n in ("behaviour", *found)}


def test_only_causal_recommenders_are_asked_with_parts_of_their_own_and_the_hash_of_their_source(mine):
    cells = [c for c in graph_claims.plan(mine) if c.params["model"] not in causal.MEMBERS]
    assert {(c.params["model"], c.params["part"]) for c in cells} == {(NAME, part) for part in PARTS}
    assert all(len(c.params["identity"]) == 64 for c in cells)
    check_used(replace(mine, recommenders=(NAME,)), ("graph_claims",))


def test_seq2cause_is_there_where_its_interpreter_is_in_worlds_alone():
    setup = replace(with_data("standard"), seq2cause="0.1.9")
    cells = [c for c in graph_claims.plan(setup) if c.params["model"] == SEQ2CAUSE]
    assert {(c.params["dataset"]["name"], c.params["part"], c.params["seq2cause"]) for c in cells} == {
        ("behaviour", FITTED, "0.1.9")
    }
    newer = graph_claims.plan(replace(setup, seq2cause="0.2"))
    assert {c.key for c in cells}.isdisjoint(c.key for c in newer)
    assert not [c for c in graph_claims.plan(with_data("standard")) if c.params["model"] == SEQ2CAUSE]


def test_gains_are_over_the_twin_paired_by_world():
    setup = bare()
    quality = {FITTED: 0.5, TRUE: 0.7, TWIN: 0.4}
    results = [claimed(c, quality[c.params["part"]]) for c in graph_claims.plan(setup)]
    row = told(setup, results)["behaviour", "CausalRec"]
    by_part = {part: [r for r in results if r.params["part"] == part and r.params["model"] == "causalrec"]
               for part in PARTS}  # fmt: skip
    for column, part in (("gain of the true graph, %", TRUE), ("gain over its twin, %", FITTED)):
        ours, theirs = (ranked(setup, "behaviour", by_part[of]) for of in (part, TWIN))
        assert row[column] == gain("behaviour", ours, theirs).scaled(100)
    assert row["AUPRC of its graph"].estimate == 0.5
    assert row["edges per item"] == 60 / 300
    assert row["causes follow popularity"] == t_interval([0.5] * 3)
    assert row["share of the best possible"] == pytest.approx(row["NDCG@10"].estimate / 0.8)


@pytest.mark.parametrize("part", [FITTED, TWIN])
def test_a_world_that_failed_leaves_no_gain_and_keeps_the_rest(part):
    setup = bare()
    results = [made_up(c) for c in graph_claims.plan(setup)]
    results = [failed(r.cell) if r.params["part"] == part and r.params["seed"] == 1 else r for r in results]
    row = told(setup, results)["behaviour", "CausalRec"]
    assert (row["gain of the true graph, %"] is None) == (part == TWIN)
    assert row["gain over its twin, %"] is None
    assert row["AUPRC of its graph"].n == (2 if part == FITTED else 3)


def test_real_data_have_no_truth_to_compare_with():
    setup = with_data("standard", ("ml-100k",))
    row = told(setup, [made_up(c) for c in graph_claims.plan(setup)])["ml-100k", "CausalRec"]
    assert row["gain of the true graph, %"] is None
    assert row["AUPRC of its graph"] is None
    assert row["share of the best possible"] is None
    assert row["gain over its twin, %"] is not None
    assert row["edges per item"] == 60 / 200
