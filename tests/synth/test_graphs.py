import re
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synth.errors import InputError
from synth.graphs import (
    FAMILIES,
    as_adjacency,
    draw_dag,
    is_dag,
    phone_cable,
    relabel,
    topological_order,
)
from tests.strategies import dags, digraphs, generators


@given(generators(), st.sampled_from(sorted(FAMILIES)), st.integers(1, 30), st.integers(1, 6))
def test_every_family_gives_dags(rng, family, nodes, edges_per_node):
    G = draw_dag(family, rng, nodes, edges_per_node)
    assert G.shape == (nodes, nodes)
    assert G.dtype == bool
    assert is_dag(G)


@pytest.mark.parametrize("family", FAMILIES)
def test_same_generator_state_same_draw(family):
    first, second = (draw_dag(family, np.random.default_rng(3), 20, 2) for _ in range(2))
    assert (first == second).all()
    assert (first != draw_dag(family, np.random.default_rng(4), 20, 2)).any()


@pytest.mark.parametrize(
    ("family", "nodes", "edges_per_node", "expected"),
    [
        ("er", 20, 2, 40),
        ("er", 20, 0.5, 10),
        ("er", 5, 4, 10),
        ("layered", 30, 2, 60),
        ("layered", 4, 4, 4),
        ("bipartite", 20, 2, 40),
        ("chain", 20, 2, 19),
        ("sf", 20, 1, 19),
        ("sf", 20, 4, 4 * 20 - 10),
        ("sf", 3, 4, 3),
    ],
)
def test_expected_number_of_edges(family, nodes, edges_per_node, expected):
    rng = np.random.default_rng(0)
    counts = np.array([draw_dag(family, rng, nodes, edges_per_node).sum() for _ in range(400)])
    # An edge is a Bernoulli draw: the mean of 400 graphs lies within 4 standard errors, or exactly.
    assert abs(counts.mean() - expected) <= 4 * counts.std() / 20


def test_labels_say_nothing_about_the_order():
    rng = np.random.default_rng(0)
    below = np.mean([np.tril(draw_dag("er", rng, 10, 2)).sum() for _ in range(400)])
    assert below == pytest.approx(10, abs=0.8)


def test_scale_free_hubs_are_effects():
    G = draw_dag("sf", np.random.default_rng(0), 200, 2)
    causes, effects = G.sum(axis=1), G.sum(axis=0)
    assert effects.max() == 2
    assert causes.max() > 15


def longest_path(G):
    reach = np.eye(len(G), dtype=bool)
    for length in range(len(G)):
        reach = reach @ G
        if not reach.any():
            return length
    raise AssertionError("a path longer than the graph")


@pytest.mark.parametrize(("family", "longest"), [("bipartite", 1), ("layered", 4), ("chain", 24)])
def test_depth_of_families(family, longest):
    assert longest_path(draw_dag(family, np.random.default_rng(0), 25, 4)) == longest


@pytest.mark.parametrize(("nodes", "layers"), [(5, [3, 2]), (7, [4, 3])])
def test_the_first_layer_is_that_of_the_causes(nodes, layers):
    """Of an odd number of nodes the first of two layers has one more; all pairs are drawn, so its nodes are sources."""
    G = draw_dag("bipartite", np.random.default_rng(0), nodes, nodes)
    assert [(~G.any(axis=1)).sum(), (~G.any(axis=0)).sum()] == layers


def test_two_edges_a_node_unless_told_otherwise():
    drawn = draw_dag("er", np.random.default_rng(5), 30)
    assert (drawn == draw_dag("er", np.random.default_rng(5), 30, edges_per_node=2)).all()


def test_edges_are_drawn_one_by_one():
    """The number of edges varies as a binomial's does, 190 pairs at 40/190, and not as all or nothing."""
    rng = np.random.default_rng(0)
    counts = [draw_dag("er", rng, 20, 2).sum() for _ in range(400)]
    assert np.std(counts) == pytest.approx(np.sqrt(40 * (1 - 40 / 190)), rel=0.15)


def test_one_allowed_pair_is_drawn_as_often_as_asked():
    rng = np.random.default_rng(0)
    assert np.mean([draw_dag("er", rng, 2, 0.25).any() for _ in range(600)]) == pytest.approx(0.5, abs=0.08)


def test_newcomers_choose_hosts_by_degree():
    """All three newcomers choose node 0: the first must, the second at 1 of 2, the third at 2 of 4."""
    rng = np.random.default_rng(0)
    stars = [draw_dag("sf", rng, 4, 1).sum(axis=1).max() == 3 for _ in range(2000)]
    assert np.mean(stars) == pytest.approx(1 / 4, abs=0.04)


def test_phone_causes_cable_and_case():
    assert phone_cable().dtype == bool
    assert np.argwhere(phone_cable()).tolist() == [[1, 0], [2, 0]]


@given(digraphs())
def test_a_dag_is_a_nilpotent_adjacency(G):
    assert is_dag(G) == (not np.linalg.matrix_power(G.astype(int), len(G)).any())
    assert (is_dag(np.stack([G, G & False])) == [is_dag(G), True]).all()


@given(digraphs())
def test_order_puts_causes_first_or_names_a_cycle(G):
    if is_dag(G):
        position = np.argsort(topological_order(G))
        effect, cause = np.nonzero(G)
        assert (position[cause] < position[effect]).all()
    else:
        with pytest.raises(InputError, match="cyclic") as error:
            topological_order(G)
        cycle = [int(node) for node in re.findall(r"\d+", str(error.value))]
        assert cycle[0] == cycle[-1]
        assert len(cycle) - 1 == len(set(cycle))
        assert all(G[effect, cause] for cause, effect in pairwise(cycle))


@given(dags())
def test_order_is_the_first_of_all_orders(G):
    """That of least first index, then least second, as networkx finds it."""
    graph = nx.DiGraph([(int(cause), int(effect)) for effect, cause in np.argwhere(G)])
    graph.add_nodes_from(range(len(G)))
    order = topological_order(G)
    assert order.dtype == np.int64
    assert order.tolist() == list(nx.lexicographical_topological_sort(graph))


@given(digraphs(), st.data())
def test_a_part_of_a_dag_and_a_dag_turned_round_are_dags(G, data):
    kept = data.draw(hnp.arrays(np.bool_, G.shape))
    assert is_dag(G) == is_dag(G.T)
    assert is_dag(G & kept) >= is_dag(G)


@given(dags(), st.data())
def test_an_edge_closes_a_cycle_exactly_where_there_is_a_path_back(G, data):
    cause, effect = (data.draw(st.integers(0, len(G) - 1)) for _ in range(2))
    assume(cause != effect)
    paths = sum(np.linalg.matrix_power(G.astype(int), length) for length in range(len(G)))
    closed = G.copy()
    closed[effect, cause] = True
    assert is_dag(closed) == (paths[cause, effect] == 0)


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 4), st.just(4), st.just(4))))
def test_each_graph_of_a_batch_is_judged_alone(batch):
    assert is_dag(batch).tolist() == [bool(is_dag(G)) for G in batch]
    assert is_dag(batch[:, None]).tolist() == is_dag(batch)[:, None].tolist()


@given(generators(), st.integers(1, 30), st.integers(1, 6))
def test_scale_free_graphs_have_their_number_of_edges(rng, nodes, m):
    G = draw_dag("sf", rng, nodes, m)
    start = min(nodes, m + 1)
    assert G.sum() == start * (start - 1) // 2 + (nodes - start) * m


@given(generators(), st.integers(2, 30))
def test_layers_are_met_one_after_another(rng, nodes):
    """No edge skips a layer: every path between two nodes has the same length."""
    G = draw_dag("layered", rng, nodes, nodes)
    reach, lengths = np.eye(nodes, dtype=bool), np.zeros((nodes, nodes), dtype=int)
    for _ in range(nodes):
        lengths += reach
        reach = reach @ G
    assert lengths.max() <= 1


@given(digraphs(), st.data())
def test_renaming_twice_is_renaming_by_the_product_and_can_be_undone(G, data):
    first, second = (np.array(data.draw(st.permutations(range(len(G))))) for _ in range(2))
    renamed = relabel(G, first)
    np.testing.assert_array_equal(relabel(renamed, second), relabel(G, second[first]))
    np.testing.assert_array_equal(relabel(renamed, np.argsort(first)), G)


def test_named_cycle_by_hand():
    G = np.zeros((4, 4), dtype=bool)
    G[1, 0] = G[2, 1] = G[0, 2] = G[3, 2] = True
    with pytest.raises(InputError, match=re.escape("(0 -> 1 -> 2 -> 0)")):
        topological_order(G)


def test_order_takes_the_smallest_free_index():
    assert topological_order(np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=bool)).tolist() == [1, 2, 0]


@given(dags(nodes=6), st.permutations(range(6)))
def test_relabel_renames_nodes(G, labels):
    renamed = relabel(G, labels)
    assert {(labels[i], labels[j]) for i, j in np.argwhere(G)} == {(i, j) for i, j in np.argwhere(renamed)}


@pytest.mark.parametrize(
    ("family", "nodes", "edges_per_node", "message"),
    [
        ("erdos", 5, 2, "'erdos'; expected one of er, sf"),
        ("er", 0, 2, "nodes: got 0"),
        ("er", 5, -1, "edges_per_node: got -1"),
        ("er", 5, np.nan, "edges_per_node: got nan"),
        ("er", 5, np.inf, "edges_per_node: got inf"),
        ("sf", 5, 1.5, "whole number"),
        ("sf", 5, 0, "whole number"),
    ],
)
def test_bad_input(family, nodes, edges_per_node, message):
    with pytest.raises(InputError, match=message):
        draw_dag(family, np.random.default_rng(0), nodes, edges_per_node)


def test_a_cycle_is_named_among_the_nodes_not_yet_placed():
    """Node 0, placed first, is a cause of the cycle and not part of it; the walk never goes there."""
    G = np.zeros((3, 3), dtype=bool)
    G[1, 0] = G[2, 1] = G[1, 2] = True
    with pytest.raises(InputError, match=re.escape("(2 -> 1 -> 2)") + "|" + re.escape("(1 -> 2 -> 1)")):
        topological_order(G)


def test_what_is_checked_is_named():
    assert as_adjacency([[True]]).tolist() == [[True]]
    with pytest.raises(InputError, match=r"^graph: got shape \(1,\)"):
        as_adjacency([True])
    with pytest.raises(InputError, match=r"^truth: got .* truth\[i, j\] = True"):
        as_adjacency([True], "truth")


@pytest.mark.parametrize(
    "graph", [np.zeros((2, 3), bool), np.zeros((2, 2)), np.zeros(4, bool), np.zeros((3, 2, 3), bool)]
)
def test_not_an_adjacency(graph):
    with pytest.raises(InputError, match="expected a bool array of shape"):
        is_dag(graph)
