"""The runner of graph claims: what its parts share, and what it says of graphs that are known."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.experiments.model import graph_claims
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import World
from bench.runners import execute
from bench.runners.graph_claims import FITTED, PARTS, TRUE, TWIN, on_cycle, popularity
from bench.runners.recommender import read_data
from synth.scoring import edge_auprc
from tests.bench.made_up import made_up

CONTROL = World(items=20, users=40, length=10, width=8, epochs=1, fresh=100, knobs={"persistence": 0.9})
SETUP = Setup(replace(PRESETS["smoke"], control=CONTROL), 0, "cpu")


def cell(part: str, model: str = "causalrec", seed: int = 0) -> Cell:
    found = graph_claims._cells(SETUP, "behaviour", model, part)[seed]
    return replace(found, params=found.params | {"model": model})


@pytest.fixture(scope="module")
def outcomes():
    return {part: execute(cell(part)) for part in PARTS}


def test_every_part_gives_what_the_table_reads(outcomes):
    for part, outcome in outcomes.items():
        made = made_up(cell(part))
        assert made.metrics.keys() <= outcome.metrics.keys()
        assert made.arrays.keys() == outcome.arrays.keys()
        assert outcome.arrays["fresh_kept"].shape == (100,)


def test_parts_rank_the_same_fresh_users_and_no_model_is_better_than_the_best(outcomes):
    levels = [outcome.metrics["fresh_ndcg10_kept"] for outcome in outcomes.values()]
    assert len(set(levels)) == 3
    assert max(levels) < outcomes[TWIN].metrics["best_ndcg10"]
    assert execute(cell(TWIN, seed=1)).metrics["best_ndcg10"] != outcomes[TWIN].metrics["best_ndcg10"]


def test_without_the_graph_that_it_finds_a_member_is_causalrec(outcomes):
    for part in (TRUE, TWIN):
        np.testing.assert_array_equal(
            execute(cell(part, "lift_sasrec")).arrays["fresh_kept"], outcomes[part].arrays["fresh_kept"]
        )


def test_the_graph_is_scored_against_the_worlds(monkeypatch):
    world, _, sequences = read_data(cell(FITTED).params, None)
    monkeypatch.setattr("bench.methods.causal.read_graph", lambda *_: csr_array(world.graph * -0.5))
    metrics = execute(cell(FITTED)).metrics
    assert metrics["auprc_w"] == 1.0  # strength is what counts, not the sign
    assert metrics["auprc_chance"] == pytest.approx(world.graph.sum() / (20 * 19))
    assert metrics["edges"] == world.graph.sum()
    assert metrics["on_cycle"] == 0.0
    monkeypatch.setattr("bench.methods.causal.read_graph", lambda *_: csr_array((20, 20)))
    empty = execute(cell(FITTED)).metrics
    assert empty["auprc_w"] == metrics["auprc_chance"]
    assert empty["on_cycle"] is None
    assert edge_auprc(world.graph, world.graph.T) < metrics["auprc_w"]
    assert len(sequences) == 40


def test_a_true_graph_that_nobody_knows_is_an_input_error(monkeypatch):
    asked = cell(TRUE)
    _, _, sequences = read_data(asked.params, None)
    monkeypatch.setattr("bench.runners.graph_claims.read_data", lambda *_: (None, None, sequences))
    with pytest.raises(InputError, match="known only in the behaviour world"):
        execute(asked)


SAYS = """
import numpy as np

print("loading")

class Says:
    def fit(self, train, num_items, generator):
        print("fitting")
        self.items, self.random = num_items, generator.random(num_items)

    def scores(self, histories):
        return np.tile(self.random, (len(histories), 1))

    def graph(self):
        print("graph")
        return np.eye(self.items, k=1)

    def fix(self, weights):
        print("fixing")

    def twin(self):
        print("twin")
        return Says()
"""


def test_what_a_users_class_prints_goes_to_stderr_and_its_parts_share_a_generator(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "says_of_a_user.py").write_text(SAYS)
    found = [execute(cell(part, "says_of_a_user:Says")) for part in PARTS]
    out, err = capsys.readouterr()
    assert out == ""
    assert all(word in err for word in ("loading", "fitting", "graph", "fixing", "twin"))
    for outcome in found[1:]:
        np.testing.assert_array_equal(outcome.arrays["fresh_kept"], found[0].arrays["fresh_kept"])
    assert found[0].metrics["edges"] == 19


def test_popularity_is_the_rank_correlation_of_columns_and_of_rows():
    counts = np.array([1, 2, 3, 4, 5])
    W = np.zeros((5, 5))
    W[0] = [0, 2, -3, 4, 5]
    assert popularity(csr_array(W), counts) == (pytest.approx(1.0), pytest.approx(-0.7071, abs=1e-4))
    assert popularity(csr_array((5, 5)), counts) == (0.0, 0.0)


def test_edges_on_a_cycle_are_counted_among_the_strongest():
    W = np.zeros((4, 4))
    W[1, 0], W[2, 1], W[0, 2], W[3, 0] = -0.9, 0.8, 0.7, 1.0  # 0 -> 1 -> 2 -> 0, and 3 hangs on it
    assert on_cycle(csr_array(W), 4) == 0.75
    assert on_cycle(csr_array(W), 3) == 0.0  # the weakest closes the cycle
    W = np.zeros((4, 4))
    W[1, 0], W[0, 1], W[3, 2] = -0.9, 0.8, 0.1
    assert on_cycle(csr_array(W), 2) == 1.0  # strength is what counts, not the sign
    assert on_cycle(csr_array((4, 4)), 3) is None
