"""Networks: what is refused, what the table holds, which way arrows point, and that text stays apart and plain."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Outline

from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.show.drawing import draw, render, style
from bench.show.figures import Link, Links, Network, figure_table, make_links
from bench.show.layout import NOTHING, plain_text
from bench.show.network_drawing import MOST_LINES, NO_LINK
from tests.bench.show.test_figures import HOSTILE, INF, NAN, assert_disjoint, digests
from tests.strategies import network_figures

W = np.zeros((4, 4))
W[1, 0], W[3, 0], W[2, 3] = 0.5, 0.25, 1.0
NETWORK = Network(
    "net", "Who causes whom", "arrow from cause to effect", "items", ("phone", "cable", "case", "lonely $x$"),
    (make_links("learned", W, W < 0.3), make_links("none", 0 * W)), "interval reaches 0", "5 worlds; mean. " * 20,
)  # fmt: skip
LONG = replace(NETWORK, nodes=("a title that goes on and on " * 9, "W" * 99, "b", "c"))


# Data and its table


def test_links_go_from_the_column_to_the_row():
    """W[i, j] is the effect of j on i."""
    assert make_links("p", W, W < 0.3).links == (
        Link(cause=0, effect=1, weight=0.5), Link(cause=3, effect=2, weight=1.0),
        Link(cause=0, effect=3, weight=0.25, faint=True),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: make_links("p", np.zeros((2, 3))), r"'p': W has shape \(2, 3\)"),
        (lambda: replace(NETWORK, name="a/b"), "'a/b' becomes a file's"),
        (lambda: one(Link(0, 4, 1.0)), "'net', network 'p': a link from 0 to 4; give two of the nodes 0 to 3"),
        (lambda: one(Link(-1, 2, 1.0)), "from -1 to 2"),
        (lambda: one(Link(2, 2, 1.0)), "from 2 to 2"),
        (lambda: one(Link(0, 1, 1.0), Link(0, 1, 2.0)), "a link is given twice"),
        (lambda: one(Link(0, 1, NAN)), "weight nan; give finite ones above 0"),
        (lambda: one(Link(0, 1, INF)), "weight inf"),
        (lambda: one(Link(0, 1, 0.0)), "weight 0.0"),
        (lambda: replace(NETWORK, faint_label=""), "some links are faint; say in faint_label"),
    ],
)
def test_wrong_data_are_refused_with_what_was_given(make, said):
    with pytest.raises(InputError, match=said):
        make()


def one(*links: Link) -> Network:
    return replace(NETWORK, panels=(Links("p", links),))


@given(network_figures())
def test_the_table_holds_every_node_and_link(figure):
    left = iter(figure_table(figure).rows)
    for node in figure.nodes:
        assert next(left) == ("", node, None, None, None)
    for panel in figure.panels:
        for link in panel.links:
            line = "dashed" if link.faint else "solid"
            assert next(left) == (panel.title, figure.nodes[link.cause], figure.nodes[link.effect], link.weight, line)
    assert next(left, None) is None
    assert figure_table(NETWORK).note.endswith("Dashed: interval reaches 0.")


# Bytes

SCRIPT = "import tests.bench.show.test_network_drawing as t; print(*t.digests(t.NETWORK))"


def test_equal_data_give_equal_bytes_in_any_process(tmp_path):
    more = {"SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | more, cwd=tmp_path, capture_output=True,
                          check=True, text=True)  # fmt: skip
    assert done.stdout.split() == digests(NETWORK) == digests(NETWORK)


def test_other_data_give_other_bytes():
    turned = replace(NETWORK, panels=(make_links("learned", W.T, W.T < 0.3), NETWORK.panels[1]))
    solid = replace(NETWORK, panels=(make_links("learned", W), NETWORK.panels[1]))
    heavier = replace(NETWORK, panels=(make_links("learned", np.where(W == 0.5, 0.6, W), W < 0.3), NETWORK.panels[1]))
    figures = [NETWORK, turned, solid, heavier, replace(NETWORK, nodes=("a", *NETWORK.nodes[1:]))]
    svgs, pngs = zip(*map(digests, figures), strict=True)
    assert len(set(svgs)) == len(set(pngs)) == len(figures)


# What is drawn


def panels(figure: Network):
    with style("salt"):
        drawing = draw(figure)
        drawing.draw_without_rendering()
        return drawing.axes


def ends(arrow: FancyArrowPatch) -> tuple[float, float]:
    """Where an arrow starts and where its head is, in rows down."""
    outline = arrow.get_path()
    starts = np.flatnonzero(outline.codes == Outline.MOVETO)
    return float(outline.vertices[0, 1]), float(outline.vertices[starts[-1] :][:3, 1].mean())


def test_heads_are_at_the_effect_and_width_shade_and_dash_tell_the_weight():
    first, second = panels(NETWORK)
    assert not second.patches
    rows = first.get_yticks()
    arrows = {}
    for arrow in first.patches:
        found = tuple(int(np.abs(rows - y).argmin()) for y in ends(arrow))
        arrows[found] = arrow
        assert all(abs(rows[row] - y) < 0.1 for row, y in zip(found, ends(arrow), strict=True))
    assert set(arrows) == {(0, 1), (0, 3), (3, 2)}
    middle, faint, heavy = (arrows[pair] for pair in ((0, 1), (0, 3), (3, 2)))
    assert faint.get_linewidth() < middle.get_linewidth() < heavy.get_linewidth()
    assert sum(to_rgb(heavy.get_edgecolor()[:3])) < sum(to_rgb(middle.get_edgecolor()[:3]))
    assert [arrow.get_linestyle() == "-" for arrow in (middle, faint, heavy)] == [True, False, True]
    column = first.lines[0].get_xdata()[0]
    sides = [np.sign(arrow.get_path().vertices[1, 0] - column) for arrow in (middle, faint, heavy)]
    assert sides == [1, 1, -1], "down on the right, up on the left"
    assert sorted(text.get_text() for text in first.texts) == ["0.25", "0.50", "1.0"]


def test_what_has_no_link_is_grey_and_said():
    with_links, without = panels(replace(NETWORK, panels=(make_links("p", W * (W == 0.5)), NETWORK.panels[1])))
    assert [line.get_color() for line in with_links.lines] == ["black", "black", "white", "white"]
    assert [text.get_color() == "black" for text in with_links.get_yticklabels()] == [True, True, False, False]
    assert {line.get_color() for line in without.lines} == {"white"}
    assert [text.get_text() for text in without.texts] == [NO_LINK]
    assert NO_LINK not in [text.get_text() for text in with_links.texts]


@pytest.mark.parametrize("figure", [replace(NETWORK, panels=()), Network("f", "t", "x", "y", (), (Links("p", ()),))])
def test_nothing_run_is_said(figure):
    assert f">{NOTHING}</text>".encode() in render(figure)["svg"]
    assert_disjoint(figure)


def test_long_names_are_cut_with_a_mark_and_whole_in_the_table():
    labels = [text.get_text() for text in panels(LONG)[0].get_yticklabels()]
    assert all(label.count("\n") < MOST_LINES for label in labels)
    assert [label.endswith("…") for label in labels] == [True, True, False, False]
    assert figure_table(LONG).rows[0][1] == LONG.nodes[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_stands(text):
    figure = Network("f", text, text, text, (text, "b"), (Links(text, (Link(0, 1, 1.0, True),)),), text or "-", text)
    root = ET.fromstring(render(figure)["svg"])
    assert {element.tag.split("}")[1] for element in root.iter()} <= {
        "svg", "title", "metadata", "RDF", "Work", "defs", "style", "g", "path", "use", "rect", "clipPath", "text",
        "tspan", "description",
    }  # fmt: skip
    assert_disjoint(figure)
    if len(text) < 30:
        assert panels(figure)[0].get_yticklabels()[0].get_text() == plain_text(text)


@pytest.mark.parametrize("figure", [NETWORK, LONG, one(Link(3, 0, 123.4))])
def test_no_text_overlaps_or_leaves_the_page(figure):
    assert_disjoint(figure)


def test_weights_stand_apart_where_there_is_room():
    crowded = np.tril(np.full((8, 8), 0.5), -1) * (np.arange(8) < 2)
    (axes,) = panels(replace(NETWORK, nodes=tuple("abcdefgh"), panels=(make_links("p", crowded),)))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 13
    shared = [a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k]]
    assert sum(shared) <= 1


@settings(max_examples=12)
@given(network_figures())
def test_every_network_is_drawn(figure):
    svg, png = render(figure).values()
    assert ET.fromstring(svg).tag.endswith("svg")
    assert png.startswith(b"\x89PNG")
