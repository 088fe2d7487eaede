"""Graphs for other tools: what NetworkX holds and what GraphML gives back, whatever the names."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.apply.graphml import CONVENTION, to_networkx, write_graphml
from bench.errors import InputError
from tests.strategies import digraphs, generators, node_names


def test_an_edge_runs_from_cause_to_effect():
    W = np.array([[0, 0, 0], [2.5, 0, 0], [0, -0.5, 0]])
    graph = to_networkx(W, ["rain", "wet", "slip"])
    assert list(graph) == ["rain", "wet", "slip"]
    assert list(graph.edges(data="weight")) == [("rain", "wet", 2.5), ("wet", "slip", -0.5)]
    assert graph.graph["convention"] == "edge cause -> effect; weight = W[effect, cause]"
    assert list(to_networkx(np.zeros((2, 2)))) == ["x0", "x1"]


@given(st.data(), digraphs(), generators())
def test_graphml_gives_back_nodes_edges_and_weights_to_the_bit(tmp_path_factory, data, graph, rng):
    W = np.where(graph, rng.normal(size=graph.shape), 0.0)
    names = data.draw(node_names(len(W)))
    path = tmp_path_factory.mktemp("graphs") / "g.graphml"
    write_graphml(path, W, names)
    back = nx.read_graphml(path)
    assert list(back) == list(names)
    assert {(a, b): w for a, b, w in back.edges(data="weight")} == {
        (names[j], names[i]): W[i, j] for i, j in np.argwhere(W)
    }
    assert back.graph["convention"] == CONVENTION


@pytest.mark.parametrize("name", ["a\0b", "\x1b[2J", "\ud800", "\uffff", "\x0b"])
def test_names_that_xml_cannot_hold_are_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(InputError, match="holds a character that XML cannot; rename it"):
        write_graphml(tmp_path / "g.graphml", np.zeros((2, 2)), ["a", name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("W", "names", "told"),
    [
        (np.zeros((2, 3)), None, "W has shape .2, 3.; give a square matrix"),
        (np.full((2, 2), np.nan), None, "of finite numbers"),
        (np.zeros((2, 2)), ["a"], "1 names for 2 nodes"),
        (np.zeros((2, 2)), ["a", "a"], "all different"),
        (np.zeros((2, 2)), ["a", ""], "none of them empty"),
    ],
)
def test_what_is_no_graph_is_refused(W, names, told):
    with pytest.raises(InputError, match=told):
        to_networkx(W, names)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "none" / "g.graphml", tmp_path / "taken"):
        with pytest.raises(InputError, match="cannot be written"):
            write_graphml(path, np.zeros((1, 1)))
    assert list(tmp_path.rglob("*")) == [tmp_path / "taken"]


def test_the_callers_array_is_left_alone():
    W = np.array([[0, 0], [1, 0]])
    before = W.copy()
    to_networkx(W)
    assert np.array_equal(W, before)
    assert W.dtype == before.dtype
