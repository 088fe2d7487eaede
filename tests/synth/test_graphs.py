import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import InputError
from synth.graphs import FAMILIES, collider, draw_dag, fork, is_dag, phone_cable, relabel, topological_order
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
    length = 0
    reach = np.eye(len(G), dtype=bool)
    while (reach := reach @ G).any():
        length += 1
    return length


@pytest.mark.parametrize(("family", "longest"), [("bipartite", 1), ("layered", 4), ("chain", 24)])
def test_depth_of_families(family, longest):
    assert longest_path(draw_dag(family, np.random.default_rng(0), 25, 4)) == longest


def test_motifs():
    assert np.argwhere(fork()).tolist() == [[1, 0], [2, 0]]
    assert np.argwhere(collider()).tolist() == [[2, 0], [2, 1]]
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
        ("sf", 5, 1.5, "whole number"),
        ("sf", 5, 0, "whole number"),
    ],
)
def test_bad_input(family, nodes, edges_per_node, message):
    with pytest.raises(InputError, match=message):
        draw_dag(family, np.random.default_rng(0), nodes, edges_per_node)


@pytest.mark.parametrize("graph", [np.zeros((2, 3), dtype=bool), np.zeros((2, 2)), np.zeros(4, dtype=bool)])
def test_not_an_adjacency(graph):
    with pytest.raises(InputError, match="expected a bool array of shape"):
        is_dag(graph)
