"""Why NOTEARS misses identifiable graphs: the certificate by hand, and what the tables count."""

import numpy as np
import pytest

from bench.experiments.theory import misses
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.runners import execute
from bench.runners.misses import CAUSES, penalised_loss
from causalrec.structure import Fits, registry
from tests.bench.made_up import failed, missed

SETUP = Setup(PRESETS["smoke"], 0, "cpu")
# x -> y with weight 2 and unit noises.
PAIR = np.array([[1.0, 2.0], [2.0, 5.0]])
FORWARD, BACKWARD = (np.array(edges, dtype=bool) for edges in ([[0, 0], [1, 0]], [[0, 1], [0, 0]]))


def test_the_loss_of_a_graph_by_hand():
    """One parent: w = (s_xy - lambda) / s_xx, shrunk, and never across 0."""
    assert penalised_loss(PAIR, FORWARD, 0.1) == pytest.approx(0.5 * (1 + 5 - 1.9**2 * 1 - 2 * 0.1 * 1.9) + 0.1 * 1.9)
    assert penalised_loss(PAIR, np.zeros((2, 2), dtype=bool), 0.1) == pytest.approx(3)
    assert penalised_loss(PAIR, FORWARD, 10.0) == pytest.approx(3)
    assert penalised_loss(PAIR, FORWARD, 0.02) < penalised_loss(PAIR, BACKWARD, 0.02)


def test_several_parents_meet_the_conditions_of_an_optimum():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))
    S, graph = X.T @ X / 50, np.zeros((6, 6), dtype=bool)
    graph[5, :5] = True
    least = penalised_loss(S, graph, 0.3)
    for _ in range(200):
        w = np.zeros(6)
        w[:5] = rng.standard_normal(5)
        A = np.append(-w[:5], 1.0)
        assert 0.5 * (A @ S @ A + S.trace() - S[5, 5]) + 0.3 * np.abs(w).sum() >= least - 1e-9


def learned(monkeypatch, change):
    """One cell, run with a learner that returns `change` of the truth."""
    cell = misses.plan(SETUP)[0]

    def fit(self, problems, generator):
        W = change(registry.load("oracle").fit(problems, generator).W)
        m = len(W)
        return Fits(W, np.zeros(m), np.ones(m, dtype=bool), np.ones(m, dtype=np.int64))

    monkeypatch.setattr("causalrec.structure.notears.Notears.fit", fit)
    return execute(cell).arrays


def test_the_truth_is_right_and_small_weights_are_the_thresholds_fault(monkeypatch):
    assert (learned(monkeypatch, lambda W: W)["cause"] == 0).all()
    found = learned(monkeypatch, lambda W: 0.1 * W)
    assert set(found["cause"]) <= {0, 1}
    assert (found["cause"][found["shd"] > 0] == 1).all()
    assert (found["cause"] == 1).any()


def test_an_order_turned_round_is_a_local_optimum(monkeypatch):
    found = learned(monkeypatch, lambda W: W.transpose(0, 2, 1))
    wrong = found["shd"] > 0
    assert (found["cause"][wrong] == 3).all()
    assert (found["gap"][wrong] > 0).all()
    assert wrong.any()


def test_the_penalty_is_to_blame_where_the_score_prefers_what_was_found(monkeypatch):
    """With lambda so large that an edge does not pay, the empty graph has the least loss."""
    monkeypatch.setattr(misses, "SPARSITY", 1e6)
    found = learned(monkeypatch, np.zeros_like)
    assert (found["cause"][found["shd"] > 0] == 2).all()


def test_rows_count_causes_and_list_every_miss():
    cells = misses.plan(SETUP)
    results = [missed(cells[0], [0, 1, 2, 3, 3]), failed(cells[1]), *map(missed, cells[2:])]
    (table,), (each,) = misses.tables(SETUP, results), misses.details(SETUP, results)
    assert len(table.rows) == len(misses.CHANGES) - 1
    assert table.rows[0][3:6] == (1, 1, 2)
    assert [row[2] for row in each.rows] == [CAUSES[1], CAUSES[2], CAUSES[3], CAUSES[3]]
