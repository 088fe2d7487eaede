from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synth.errors import InputError
from synth.graphs import is_dag, relabel
from synth.scoring import (
    best_threshold_shd,
    cpdag,
    cpdag_shd,
    edge_auprc,
    f1,
    fdr,
    order_accuracy,
    orientation_accuracy,
    parent_is_row_maximum,
    shd,
    tpr,
)
from tests.strategies import dags, digraphs

NODES = 5
REVERSAL = st.sampled_from([1, 2])


def graph(nodes, *edges):
    """From (cause, effect) pairs."""
    G = np.zeros((nodes, nodes), dtype=bool)
    for cause, effect in edges:
        G[effect, cause] = True
    return G


@given(digraphs(NODES), digraphs(NODES), REVERSAL)
def test_shd_is_symmetric_and_zero_only_on_itself(T, E, cost):
    assert shd(T, E, cost) == shd(E, T, cost)
    assert shd(T, T, cost) == 0
    assert (shd(T, E, cost) == 0) == (T == E).all()


@given(digraphs(NODES), digraphs(NODES), digraphs(NODES), REVERSAL)
def test_shd_obeys_the_triangle_inequality(T, E, via, cost):
    assert shd(T, E, cost) <= shd(T, via, cost) + shd(via, E, cost)


@given(dags(NODES), dags(NODES), st.permutations(range(NODES)))
def test_metrics_do_not_depend_on_labels(T, E, labels):
    for metric in (shd, tpr, fdr, f1):
        assert metric(T, E) == metric(relabel(T, labels), relabel(E, labels))


@given(dags())
def test_shd_to_the_transpose_counts_edges(T):
    assert shd(T, T.T) == T.sum()
    assert shd(T, T.T, reversal_cost=2) == 2 * T.sum()


@given(hnp.arrays(np.bool_, (3, 2, NODES, NODES)), digraphs(NODES))
def test_batches_are_each_alone(batch, T):
    for metric in (shd, tpr, fdr, f1):
        alone = [[metric(T, E) for E in row] for row in batch]
        np.testing.assert_array_equal(metric(T, batch), alone)


def test_decided_edges_by_hand():
    truth = graph(4, (0, 1), (1, 2), (2, 3))
    estimate = graph(4, (0, 1), (2, 1), (0, 3))
    # 0 -> 1 found; 1 -> 2 turned; 2 -> 3 missed; 0 -> 3 made up.
    assert shd(truth, estimate) == 3
    assert shd(truth, estimate, reversal_cost=2) == 4
    assert tpr(truth, estimate) == pytest.approx(1 / 3)
    assert fdr(truth, estimate) == pytest.approx(2 / 3)
    assert f1(truth, estimate) == pytest.approx(1 / 3)


def test_empty_graphs():
    empty, full = graph(3), graph(3, (0, 1))
    assert (tpr(empty, full), fdr(full, empty), f1(empty, empty)) == (1, 0, 1)
    assert order_accuracy(empty, [0, 1, 2]) is None
    scores = np.zeros((3, 3))
    assert [metric(empty, scores) for metric in (edge_auprc, orientation_accuracy, parent_is_row_maximum)] == [None] * 3


def test_order_accuracy_by_hand():
    truth = graph(4, (0, 1), (1, 2), (2, 3))
    assert order_accuracy(truth, [0, 1, 2, 3]) == 1
    assert order_accuracy(truth, [3, 2, 1, 0]) == 0
    assert order_accuracy(truth, [2, 0, 1, 3]) == pytest.approx(2 / 3)
    assert order_accuracy(graph(3, (0, 1)), [1, 2, 0]) == 0
    with pytest.raises(InputError, match="permutation"):
        order_accuracy(truth, [0, 1, 2, 2])


def test_average_precision_by_hand():
    truth = graph(3, (0, 1), (0, 2))
    # Row = effect. Ranked: 0 -> 1 (true), 1 -> 0, then 0 -> 2 (true) tied with 1 -> 2, then the rest.
    scores = np.array([[99, 4, 1], [5, 99, 0], [2, 2, 99]])
    assert edge_auprc(truth, scores) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 4)
    assert edge_auprc(truth, truth.astype(float)) == 1


@given(dags(NODES), st.permutations(range(NODES * NODES)))
def test_average_precision_without_ties_is_mean_precision_at_hits(T, ranks):
    scores = np.array(ranks, dtype=float).reshape(NODES, NODES)
    pairs = sorted(((s, T[i, j]) for (i, j), s in np.ndenumerate(scores) if i != j), reverse=True)
    hits = np.array([hit for _, hit in pairs])
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    expected = precision[hits].mean() if hits.any() else None
    assert edge_auprc(T, scores) == pytest.approx(expected)
    assert edge_auprc(T, np.exp(scores / 5)) == edge_auprc(T, scores)


@given(dags(NODES), st.floats(-5, 5))
def test_constant_scores_are_worth_nothing(T, value):
    scores = np.full((NODES, NODES), value)
    if T.any():
        assert edge_auprc(T, scores) == pytest.approx(T.sum() / (NODES * (NODES - 1)))
        assert orientation_accuracy(T, scores) == 0.5
        assert parent_is_row_maximum(T, scores) == pytest.approx(
            np.mean([row.sum() / (NODES - 1) for row in T if row.any()])
        )


@given(dags(NODES), hnp.arrays(np.float64, (NODES, NODES), elements=st.integers(-3, 3)))
def test_orientation_turns_with_the_scores(T, scores):
    if T.any():
        assert orientation_accuracy(T, scores) + orientation_accuracy(T, scores.T) == pytest.approx(1)


def test_orientation_and_row_maximum_by_hand():
    truth = graph(4, (0, 1), (0, 2), (1, 2), (2, 3))
    scores = np.array([[9, 3, 0, 0], [2, 9, 1, 0], [4, 1, 9, 5], [0, 0, 5, 9]])
    # 0 -> 1: 2 < 3. 0 -> 2: 4 > 0. 1 -> 2: 1 = 1. 2 -> 3: 5 = 5.
    assert orientation_accuracy(truth, scores) == pytest.approx((0 + 1 + 0.5 + 0.5) / 4)
    # Highest in its row: of 1 it is 0 (true), of 2 it is 3 (false), of 3 it is 2 (true).
    assert parent_is_row_maximum(truth, scores) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shd(graph(3), graph(4)), "truth has 3 nodes, estimate 4"),
        (lambda: shd(graph(3), graph(3), reversal_cost=3), "expected 1"),
        (lambda: shd(graph(3), np.zeros((3, 3))), "estimate: got"),
        (lambda: edge_auprc(graph(3), np.full((3, 3), np.nan)), "NaN"),
        (lambda: edge_auprc(graph(3), np.zeros((4, 4))), "scores"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def all_dags(nodes):
    pairs = list(combinations(range(nodes), 2))
    for marks in product(range(3), repeat=len(pairs)):
        G = graph(nodes, *((i, j)[:: 3 - 2 * mark] for (i, j), mark in zip(pairs, marks, strict=True) if mark))
        if is_dag(G):
            yield G


def independences(G, rng):
    """Which partial correlations vanish under random weights: Markov equivalence, seen without graph theory."""
    nodes = len(G)
    mixing = np.linalg.inv(np.eye(nodes) - G * rng.uniform(0.5, 2, G.shape) * rng.choice([-1, 1], G.shape))
    S = mixing @ mixing.T
    found = []
    for i, j in combinations(range(nodes), 2):
        rest = [k for k in range(nodes) if k not in (i, j)]
        for given_ in chain.from_iterable(combinations(rest, size) for size in range(len(rest) + 1)):
            precision = np.linalg.inv(S[np.ix_([i, j, *given_], [i, j, *given_])])
            found.append(abs(precision[0, 1]) < 1e-9 * np.sqrt(precision[0, 0] * precision[1, 1]))
    return tuple(found)


@pytest.mark.parametrize(("nodes", "graphs", "classes"), [(2, 3, 2), (3, 25, 11), (4, 543, 185)])
def test_cpdag_is_the_union_of_its_equivalence_class(nodes, graphs, classes):
    # The counts of DAGs and of classes are Robinson's and Gillispie & Perlman's.
    rng, found = np.random.default_rng(0), {}
    for G in all_dags(nodes):
        found.setdefault(independences(G, rng), []).append(G)
    assert sum(map(len, found.values())) == graphs
    assert len(found) == classes
    for members in found.values():
        np.testing.assert_array_equal(cpdag(np.stack(members)), np.broadcast_to(np.any(members, 0), np.shape(members)))


def test_cpdag_by_hand():
    line, collider = graph(3, (0, 1), (1, 2)), graph(3, (0, 1), (2, 1))
    np.testing.assert_array_equal(cpdag(line), line | line.T)
    np.testing.assert_array_equal(cpdag(collider), collider)
    # The truth of causal-learn's test of PC (tests/TestPC.py), whose CPDAG takes each of Meek's rules 1 to 3.
    truth = graph(5, (0, 1), (0, 3), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4))
    undirected = graph(5, (0, 1), (1, 2), (1, 0), (2, 1))
    np.testing.assert_array_equal(cpdag(truth), graph(5, (0, 3), (1, 3), (2, 3), (2, 4), (3, 4)) | undirected)
    with pytest.raises(InputError, match="cyclic"):
        cpdag(graph(2, (0, 1), (1, 0)))


@given(dags(NODES), st.permutations(range(NODES)))
def test_cpdag_keeps_the_skeleton_and_only_true_directions(G, labels):
    C = cpdag(G)
    np.testing.assert_array_equal(C | C.T, G | G.T)
    assert (C & G == G).all()
    np.testing.assert_array_equal(cpdag(relabel(G, labels)), relabel(C, labels))


@given(dags(NODES), dags(NODES), digraphs(NODES))
def test_cpdag_shd_counts_pairs(T, E, C):
    assert cpdag_shd(T, E) == shd(T, E)
    assert cpdag_shd(T, C) == cpdag_shd(C, T) == sum((T | T.T)[p] != (C | C.T)[p] or T[p] != C[p] or T.T[p] != C.T[p]
                                                     for p in combinations(range(NODES), 2))  # fmt: skip
    assert cpdag_shd(C, C) == 0


def test_undirected_edge_is_one_error_whatever_the_truth():
    both = graph(2, (0, 1), (1, 0))
    assert [cpdag_shd(T, both) for T in (graph(2), graph(2, (0, 1)), graph(2, (1, 0)), both)] == [1, 1, 1, 0]


@given(dags(NODES), hnp.arrays(np.float64, (NODES, NODES), elements=st.integers(-4, 4)))
def test_best_threshold_is_the_least_over_all_that_leave_a_dag(T, W):
    np.fill_diagonal(W, 0)
    kept = [np.abs(W) >= tau for tau in (1, 2, 3, 4, 5)]
    assert best_threshold_shd(T, W) == min(shd(T, E) for E in kept if is_dag(E))


def test_best_threshold_by_hand():
    truth = graph(3, (0, 1), (1, 2))
    W = np.zeros((3, 3))
    W[1, 0], W[2, 1], W[2, 0], W[0, 1] = 0.9, 0.1, 0.05, 0.02
    assert best_threshold_shd(truth, W) == 0
    assert shd(truth, np.abs(W) >= 0.3) == 1
    np.testing.assert_array_equal(best_threshold_shd(truth, np.stack([W, 0 * W])), [0, 2])
