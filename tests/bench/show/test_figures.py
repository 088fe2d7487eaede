"""Figures: what they hold is what their tables say, and equal data give equal bytes."""

import csv
import hashlib
import io
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from bench.cells.files import StoreError, write_file
from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.judge.intervals import Interval, clopper_pearson
from bench.methods import learners, recommenders
from bench.show.drawing import draw, render, render_paper, style, write_figure, write_paper_figures
from bench.show.figures import (
    NAN,
    Column,
    Curves,
    Figure,
    Forest,
    Grid,
    Map,
    Mark,
    Panel,
    Series,
    figure_table,
    make_series,
    position,
)
from bench.show.layout import PAPER, add_caption, plain_text
from bench.show.looks import LEARNERS, RECOMMENDERS, look, looks_of
from bench.show.tables import to_csv
from tests.strategies import curve_figures, forest_figures, grid_figures

INF = float("inf")
NOTE = "40 draws each of ER1, ER2 and SF2, taken together; weights ±U(0.5, 2); 95 % Clopper-Pearson intervals. " * 3
SAMPLES = (30, 100, 300, 1000, 3000, 10_000)
NAMES = ("EqVar", "NOTEARS", "variance sort (control)", "R2 sort (control)", "random order (control)", "oracle")
RISING = tuple(
    make_series(name, [(n, clopper_pearson(min(40, 6 * i + j), 40)) for j, n in enumerate(SAMPLES)])
    for i, name in enumerate(NAMES)
)
CURVES = Curves(
    "rate", "Share of graphs recovered exactly under equal variances, by the number of samples and of nodes",
    "samples n", "exact-recovery rate",
    tuple(Panel(f"{d} nodes", RISING, ((2 * d, "n = 2 d"),), ((0.5, "one half"),)) for d in (10, 20, 50, 100)),
    log_x=True, y_range=(0.0, 1.0), note=NOTE,
)  # fmt: skip
VALUES = ((0.0, 0.25, 1.0), (NAN, 0.5, 0.75))
GRID = Grid(
    "limits", "Where recovery stops", "samples n", "nodes d", ("30", "100", "1000"), ("10", "20"),
    (
        Map("ER1", VALUES, ((0.0, 0.2, 0.9), (NAN, 0.4, 0.7)), ((0.1, 0.3, 1.0), (NAN, 0.6, 0.8)),
            (Mark("n = k log(d/k)", (0.5, NAN), (0.0, 1.0)),)),
        Map("ER2", VALUES),
    ),
    "exact-recovery rate", NOTE,
)  # fmt: skip


FOREST = Forest(
    "forest", "NDCG@10 by model", "NDCG@10", ("popularity (control)", "SASRec", "CausalRec, alpha 0"),
    (
        Column("ml-100k", (Interval(0.04, 0.03, 0.05, 3), Interval(0.09, 0.07, 0.11, 3), None), 0.0),
        Column("a dataset whose name takes more than one line of the panel", (None, Interval(0.5, -INF, 0.7, 3), None)),
    ),
    NOTE,
)  # fmt: skip


def one(series: Series, **changes) -> Curves:
    return replace(Curves("one", "One", "x", "y", (Panel("p", (series,)),)), **changes)


def rows(figure: Figure) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(figure_table(figure)), newline="")))


# Data and its table


def number(value: float | None) -> float:
    return NAN if value is None else value


@given(curve_figures())
def test_the_table_holds_every_point_rule_and_level(figure):
    left = iter(figure_table(figure).rows)
    for panel in figure.panels:
        for s in panel.series:
            for k, (x, y) in enumerate(zip(s.x, s.y, strict=True)):
                title, label, *numbers = next(left)
                assert (title, label) == (panel.title, s.label)
                expected = (x, y, *((s.low[k], s.high[k]) if s.low else (NAN, NAN)))
                np.testing.assert_array_equal([number(value) for value in numbers], expected)
        for x, label in panel.rules:
            assert next(left) == (panel.title, label, x, None, None, None)
        for y, label in panel.levels:
            assert next(left) == (panel.title, label, None, y, None, None)
    assert next(left, None) is None


@given(forest_figures())
def test_the_table_holds_every_interval(figure):
    table = figure_table(figure)
    assert table.columns[:2] == ("panel", "row")
    pairs = ((panel, zip(figure.rows, panel.intervals, strict=True)) for panel in figure.panels)
    expected = [(panel.title, row, i) for panel, cells in pairs for row, i in cells]
    assert len(table.rows) == len(expected)
    for row, (title, label, i) in zip(table.rows, expected, strict=True):
        assert row == (title, label, *((i.estimate, i.low, i.high) if i else (None,) * 3))


@given(grid_figures())
def test_the_table_holds_every_cell_and_mark(figure):
    left = iter(figure_table(figure).rows)
    for panel in figure.panels:
        for (i, y), (j, x) in product(enumerate(figure.y_ticks), enumerate(figure.x_ticks)):
            title, line, *ticks, value, low, high = next(left)
            assert (title, line, ticks) == (panel.title, "", [y, x])
            bounds = (panel.low[i][j], panel.high[i][j]) if panel.low else (NAN, NAN)
            np.testing.assert_array_equal([number(each) for each in (value, low, high)], (panel.values[i][j], *bounds))
        for mark in panel.marks:
            for x, y in zip(mark.x, mark.y, strict=True):
                title, line, *numbers = next(left)
                assert (title, line) == (panel.title, mark.label)
                np.testing.assert_array_equal([number(each) for each in numbers], (y, x, NAN, NAN, NAN))
    assert next(left, None) is None


def test_the_csv_has_units_in_its_head_and_every_digit():
    first, *_, last = rows(CURVES)
    interval = clopper_pearson(0, 40)
    assert first == {
        "panel": "10 nodes", "series": "EqVar", "samples n": "30.0", "exact-recovery rate": "0.0", "low": "0.0",
        "high": repr(interval.high),
    }  # fmt: skip
    assert (last["series"], last["samples n"], last["exact-recovery rate"]) == ("one half", "", "0.5")
    assert "position in cells" in figure_table(GRID).note
    assert figure_table(replace(GRID, panels=GRID.panels[1:])).note == NOTE


def test_series_are_made_of_intervals_and_gaps():
    made = make_series("a", [(1, Interval(0.5, 0.25, 1.0, 9)), (2, None)])
    assert (made.x, made.y[0], made.low[0], made.high[0]) == ((1.0, 2.0), 0.5, 0.25, 1.0)
    assert all(math.isnan(part[1]) for part in (made.y, made.low, made.high))
    assert make_series("a", []) == Series("a", (), ())


def test_positions_among_ticks_go_by_logarithms():
    assert position(100, (10, 100, 1000)) == 1
    assert position(10**2.25, (10, 100, 1000)) == pytest.approx(1.25)
    assert position(10, (10,)) == 0
    assert all(math.isnan(position(value, (10, 100))) for value in (-1, 0, 9.99, 100.1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Series("a", (1, 2), (1,)), r"'a': x, y, low and high have \[2, 1, 0, 0\] entries"),
        (lambda: Series("a", (1, 2), (1, 2), (0, 0)), r"\[2, 2, 2, 0\] entries"),
        (lambda: Series("a", (1, INF), (1, 2)), "x is .*finite"),
        (lambda: one(Series("a", (0, 1), (1, 2)), log_x=True), "'one': x has a value <= 0"),
        (lambda: one(Series("a", (0, 1), (0, 2)), log_y=True), "'one': y has a value <= 0"),
        (lambda: one(Series("a", (1,), (1,)), log_y=True, y_range=(0.0, 1.0)), "y has a value <= 0"),
        (lambda: replace(CURVES, panels=(Panel("p", (), ((0.0, "n = k log(d/k)"),)),)), "x has a value <= 0"),
        (lambda: replace(CURVES, panels=(Panel("p", (), (), ((NAN, "half"),)),)), "levels at .nan.; give finite"),
        (lambda: one(Series("a", (1,), (1,)), name="../up"), "'../up' becomes a file's"),
        (lambda: replace(GRID, name=""), "'' becomes a file's"),
        (lambda: replace(FOREST, name="a/b"), "'a/b' becomes a file's"),
        (lambda: replace(FOREST, rows=("a",)), "'forest', panel 'ml-100k': 3 intervals for 1 rows"),
        (lambda: replace(FOREST, rows=("a",), panels=(Column("p", (Interval(NAN, 0, 1, 2),)),)), "'p': an estimate is"),
        (lambda: replace(GRID, y_ticks=("1",)), r"'limits', map 'ER1': rows of \[3, 3\] values for ticks of \[3\]"),
        (lambda: replace(GRID, panels=(Map("m", VALUES, VALUES[:1]),)), "map 'm': rows of"),
        (lambda: replace(GRID, panels=(Map("m", ((0, 1, 1.01), (0, 0, 0))),)), r"outside \[0, 1\]"),
    ],
)  # fmt: skip
def test_wrong_data_are_refused_with_what_was_given(make, said):
    with pytest.raises(InputError, match=said):
        make()


# Bytes


def digests(figure: Figure) -> list[str]:
    return [hashlib.sha256(content).hexdigest() for content in render(figure).values()]


SCRIPT = """import sys, tests.bench.show.test_figures as t
print(*t.digests(t.CURVES), *t.digests(t.GRID), *t.digests(t.FOREST))
assert 'matplotlib.pyplot' not in sys.modules
"""


def test_equal_data_give_equal_bytes_in_any_process_and_under_any_settings(tmp_path):
    """A matplotlibrc of the user's, a date from outside and another hash seed change nothing."""
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.grid: True\nsavefig.dpi: 30\nsvg.fonttype: none\n")
    here = [*digests(CURVES), *digests(GRID), *digests(FOREST)]
    assert here == [*digests(CURVES), *digests(GRID), *digests(FOREST)]
    more = {"MATPLOTLIBRC": str(tmp_path), "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | more, cwd=tmp_path, capture_output=True,
                          check=True, text=True)  # fmt: skip
    assert done.stdout.split() == here


def test_other_data_give_other_bytes():
    moved = replace(RISING[0], y=(0.02, *RISING[0].y[1:]))
    wider = replace(RISING[0], high=(0.2, *RISING[0].high[1:]))
    base = one(RISING[0])
    figures = [base, one(moved), one(wider), replace(base, note="n"), replace(base, title="t"), GRID,
               replace(GRID, panels=GRID.panels[::-1]), replace(GRID, panels=(Map("ER2", VALUES),))]  # fmt: skip
    svgs, pngs = zip(*map(digests, figures), strict=True)
    assert len(set(svgs)) == len(set(pngs)) == len(figures)


def test_matplotlibs_settings_are_left_as_they_were():
    with mpl.rc_context({"font.size": 13.0, "text.parse_math": True, "lines.linewidth": 7.0}):
        render(one(RISING[0]))
        assert [mpl.rcParams[name] for name in ("font.size", "text.parse_math", "lines.linewidth")] == [13, True, 7]


def test_no_address_is_loaded_and_no_date_or_version_told():
    for figure in (CURVES, GRID):
        svg, png = render(figure).values()
        text = svg.decode()
        names = set(re.findall(r'xmlns(?::\w+)?="([^"]+)"', text))
        assert set(re.findall(r"\w+://[^\"'\s<>)]+", text)) == names
        assert all(name.startswith("#") for name in re.findall(r"(?:href=\"|url\()([^\")]+)", text))
        assert not re.search(r"<!DOCTYPE|<image|<style[^>]*>[^<]*@import|<script|[Mm]atplotlib v|<dc:date", text)
        assert ET.fromstring(svg).find("{http://www.w3.org/2000/svg}title").text == figure.title
        assert png.startswith(b"\x89PNG")
        assert not re.search(rb"tEXt|iTXt|tIME|atplotlib", png)


HOSTILE = (
    r"$\frac{1}{", "$x$ & <b>y</b> --> <!-- ]]> 'a' \"b\"", "tab\tnew\nline\x00\x1b[31m\ud800", "_" * 150,
    "中文 مرحبا 🙂", "", "</svg><script>alert(1)</script>", "%d {0} \\", "W" * 40 + " x" * 40,
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_stands(text):
    series = (Series(text, (1, 2), (1, 2)), Series("b", (1, 2), (2, 1)))
    curves = Curves("f", text, text, text, (Panel(text, series, ((1.5, text),)),), note=text)
    grid = Grid("f", text, text, text, (text,), (text, "b"),
                (Map(text, ((1,), (0,)), (), (), (Mark(text, (0,), (1,)),)),), text, text)  # fmt: skip
    for figure in (curves, grid):
        root = ET.fromstring(render(figure)["svg"])
        assert root.find("{http://www.w3.org/2000/svg}title").text in (plain_text(text), None if not text else "-")
        assert {element.tag.split("}")[1] for element in root.iter()} <= {
            "svg", "title", "metadata", "RDF", "Work", "defs", "style", "g", "path", "use", "rect", "clipPath",
            "pattern", "text", "tspan", "description",
        }  # fmt: skip
        assert_disjoint(figure)


# What is drawn


def assert_disjoint(figure: Figure, paper: bool = False) -> None:
    """All text outside the panels lies apart from other text and from the panels, and the picture cuts nothing off."""
    with style("salt"):
        drawing = draw(figure, paper)
        if not paper:
            add_caption(drawing, figure)
        renderer = FigureCanvasAgg(drawing).get_renderer()
        drawing.draw(renderer)
        boxes = [text.get_window_extent(renderer) for text in drawing.texts if text.get_text()]
        boxes += [legend.get_window_extent(renderer) for legend in drawing.legends]
        for axes in drawing.axes:
            boxes.append(axes._left_title.get_window_extent(renderer))
            if axes.axison:
                boxes.append(axes.get_window_extent(renderer))
                boxes += [box for axis in (axes.xaxis, axes.yaxis) if (box := axis.get_tightbbox(renderer))]
        boxes = [Bbox.from_extents(b.x0 + 1, b.y0 + 1, b.x1 - 1, b.y1 - 1) for b in boxes if min(b.size) > 2]
        for a, b in combinations(boxes, 2):
            assert not a.overlaps(b), (a, b)
        page = drawing.get_tightbbox(renderer)
        assert not paper or (page.x0 > -0.02 and page.x1 < PAPER + 0.02)
    picture = np.asarray(Image.open(io.BytesIO(render(figure)["png"])).convert("L"))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


WIDE = Grid("wide", "T", "x", "y", tuple(f"{10 * 2**k} things" for k in range(9)), ("a rather long tick", "b"),
            (Map("m", ((0.5,) * 9,) * 2),) * 3)  # fmt: skip
MANY = one(Series("s", (1, 2), (1, 2)), panels=(Panel("p", tuple(
    Series(f"learner number {k}", (30, 1000), (k, 1e5 * k)) for k in range(1, 25))),))  # fmt: skip


@pytest.mark.parametrize("figure", [CURVES, GRID, FOREST, WIDE, MANY, one(RISING[0])])
def test_no_text_overlaps_or_leaves_the_page(figure):
    assert_disjoint(figure)


@settings(max_examples=12)
@given(curve_figures() | grid_figures() | forest_figures())
def test_every_figure_is_drawn(figure):
    svg, png = render(figure).values()
    assert ET.fromstring(svg).tag.endswith("svg")
    assert png.startswith(b"\x89PNG")


def drawn(figure: Figure):
    with style("salt"):
        return draw(figure)


def test_a_gap_stays_a_gap_and_an_infinite_bound_ends_at_the_edge():
    figure = one(Series("a", (1, 2, 3, 4), (1, NAN, 3, 4), (0, NAN, -INF, 3), (2, NAN, INF, 5)))
    (axes,) = drawn(figure).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), (1, NAN, 3, 4))
    low, high = axes.get_ylim()
    assert (low, high) == pytest.approx((-0.25, 5.25))
    bars = [segment[:, 1] for segment in axes.collections[0].get_segments() if len(segment)]
    np.testing.assert_allclose(bars, [(0, 2), (low, high), (3, 5)])
    render(figure)


def test_a_forest_has_its_first_row_on_top_and_an_open_bound_at_the_edge():
    first, second = drawn(FOREST).axes
    assert [text.get_text() for text in first.get_yticklabels()] == list(FOREST.rows)
    assert first.get_ylim() == (2.5, -0.5)
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in first.lines if line.get_marker() != "None"]
    assert marks == [(0.04, 0), (0.09, 1)]
    [level] = [line for line in first.lines if line.get_marker() == "None"]
    assert list(level.get_xdata()) == [0.0, 0.0]
    [bar] = [segments for collection in second.collections if len(segments := collection.get_segments())]
    assert bar[0][:, 0].tolist() == pytest.approx([second.get_xlim()[0], 0.7])


def test_panels_share_axes_and_a_label_has_one_look():
    drawing = drawn(CURVES)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in drawing.axes}) == 1
    looks = looks_of([*NAMES, "n = 2 d"])
    for axes in drawing.axes:
        assert [line.get_color() for line in axes.lines[:6]] == [looks[name]["color"] for name in NAMES]
    shown = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert shown == [*NAMES, "n = 2 d", "one half"]


def test_seventy_curves_look_different_in_grey():
    assert len({(look(place)["marker"], str(look(place)["linestyle"])) for place in range(70)}) == 70


def test_every_method_has_a_look_of_its_own_and_the_same_in_every_figure():
    for entries, titles in ((learners.ENTRIES, LEARNERS), (recommenders.ENTRIES, RECOMMENDERS)):
        assert {entry.title for entry in entries.values()} <= set(titles)
        assert len(set(titles)) == len(titles)
    alone, among = looks_of(["SASRec"]), looks_of(["another", "SASRec", "CausalRec", "a third"])
    assert alone["SASRec"] == among["SASRec"]
    assert len({str(each) for each in among.values()}) == 4
    row = replace(FOREST, rows=("SASRec", "x", "y"))
    assert [line.get_marker() for line in drawn(row).axes[0].lines][1:] == [alone["SASRec"]["marker"], "o"]


@given(st.lists(st.sampled_from(LEARNERS) | st.text(max_size=3), max_size=12))
def test_labels_of_a_figure_look_different(labels):
    looks = looks_of(labels)
    assert set(looks) == set(labels)
    assert len({str(each) for each in looks.values()}) == len(looks)


def test_the_map_shows_shares_bounds_and_what_was_not_run():
    first, second, _ = drawn(GRID).axes
    texts = [text.get_text() for text in first.texts]
    assert texts == ["0.00", "0.00–0.10", "0.25", "0.20–0.30", "1.00", "0.90–1.00", "–", "0.50", "0.40–0.60", "0.75",
                     "0.70–0.80"]  # fmt: skip
    assert [text.get_text() for text in second.texts] == ["0.00", "0.25", "1.00", "–", "0.50", "0.75"]
    colours = {text.get_text(): text.get_color() for text in second.texts}
    assert (colours["0.00"], colours["1.00"]) == ("white", "black")


@pytest.mark.parametrize(
    "figure",
    [
        replace(CURVES, panels=()), replace(CURVES, panels=(Panel("p", ()),)),
        one(Series("a", (1,), (NAN,), (NAN,), (NAN,)), log_y=True), one(Series("a", (), ())), replace(GRID, panels=()),
        replace(GRID, panels=(Map("m", ((NAN,) * 3,) * 2),)), Grid("g", "t", "x", "y", (), (), (Map("m", ()),)),
        replace(FOREST, panels=()), replace(FOREST, panels=(Column("p", (None,) * 3),)),
    ],
)  # fmt: skip
def test_nothing_run_is_said(figure):
    assert b">nothing was run</text>" in render(figure)["svg"]
    assert_disjoint(figure)


def test_a_panel_where_nothing_was_run_says_so_beside_one_that_was():
    assert b">nothing was run</text>" in render(replace(CURVES, panels=(CURVES.panels[0], Panel("p", ()))))["svg"]
    assert b">nothing was run</text>" not in render(CURVES)["svg"]


def test_panels_with_axes_of_their_own_show_a_fall_that_a_shared_axis_hides():
    panels = (Panel("a", (Series("s", (1, 2), (0.5, 0.9)),)), Panel("b", (Series("s", (1, 2), (0.02, 0.01)),)))
    shared, free = (drawn(replace(CURVES, panels=panels, y_range=None, free_y=own)).axes for own in (False, True))
    assert shared[0].get_ylim() == shared[1].get_ylim()
    assert free[1].get_ylim() == pytest.approx((0.0095, 0.0205))
    assert [bool(axes.yaxis.get_tick_params()["labelleft"]) for axes in free] == [True, True]


def test_a_guide_is_a_line_without_points_that_the_table_and_the_legend_name():
    guide = Series("slope 3", (1, 10), (1, 1000))
    figure = one(RISING[0], panels=(Panel("p", (Series("s", (1, 10), (1, 800)),), guides=(guide,)),), log_y=True)
    drawing = drawn(figure)
    assert drawing.axes[0].lines[-1].get_marker() == "None"
    assert list(drawing.axes[0].lines[-1].get_ydata()) == [1, 1000]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["s", "slope 3"]
    assert figure_table(figure).rows[-1] == ("p", "slope 3", 10.0, 1000.0, None, None)


def test_what_lies_beyond_the_limits_of_a_forest_ends_at_the_edge_as_an_arrow():
    column = Column("p", (Interval(9.0, 8, 10, 3), Interval(-9.0, -10, 0.5, 3), Interval(0.0, -1, 1, 3)), 0.0, (-2, 2))
    (axes,) = drawn(replace(FOREST, panels=(column,))).axes
    marks = [(line.get_marker(), line.get_xdata()[0]) for line in axes.lines if line.get_marker() != "None"]
    assert [mark for mark, _ in marks][:2] == [">", "<"]
    assert [at for _, at in marks] == [2, -2, 0]
    assert axes.get_xlim() == (-2, 2)


# For a paper


@pytest.mark.parametrize("figure", [CURVES, GRID, FOREST, one(RISING[0]), replace(CURVES, free_y=True, y_range=None)])
def test_a_paper_form_is_a_column_wide_without_title_in_type_that_can_be_read(figure):
    with style("salt"):
        drawing = draw(figure, paper=True)
        texts = [text for text in drawing.findobj(Text) if text.get_text() and text.get_visible()]
        assert drawing.get_size_inches()[0] == pytest.approx(PAPER)
        assert min(text.get_fontsize() for text in texts) >= 7
        assert figure.title not in {text.get_text() for text in texts}
    assert_disjoint(figure, paper=True)
    pdf = render_paper(figure)
    assert pdf == render_paper(figure)
    assert pdf.startswith(b"%PDF")
    assert not re.search(rb"CreationDate|atplotlib", pdf)
    (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)
    assert float(width) == pytest.approx(72 * PAPER, abs=0.1)


# Files


def test_a_figure_for_a_paper_is_one_pdf(tmp_path):
    assert write_paper_figures((GRID, FOREST), tmp_path) == [tmp_path / "limits.pdf", tmp_path / "forest.pdf"]
    assert (tmp_path / "limits.pdf").read_bytes() == render_paper(GRID)


def test_a_figure_is_two_files_and_leaves_no_other(tmp_path):
    folder = tmp_path / "new" / "figures"
    assert write_figure(GRID, folder) == [folder / "limits.svg", folder / "limits.png"]
    assert [path.read_bytes() for path in sorted(folder.iterdir(), reverse=True)] == list(render(GRID).values())


def test_a_write_that_fails_is_typed_and_leaves_what_was_there(tmp_path, monkeypatch):
    write_file(tmp_path / "a.svg", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match=r"\(No space left on device\); choose another place, free space"):
            write_file(tmp_path / "a.svg", b"new")
    assert (tmp_path / "a.svg").read_bytes() == b"old"
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "a.svg"))):
        write_figure(GRID, tmp_path / "a.svg")


def test_matplotlib_is_imported_only_to_draw():
    modules = ["cli", "bench.reproduce", "bench.show.figures", "bench.experiments"]
    code = f"import sys, {', '.join(modules)}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
