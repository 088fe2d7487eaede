"""The report of a run, as a browser would read it: whole, by itself, true to run.json, and safe with any text."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import reproduce
from bench.cells.fingerprint import ROOT
from bench.experiments.model.readings import QUESTIONS
from bench.judge.claims import Claim, Finding, Gate, Register, headline, judge, read_register
from bench.judge.intervals import Interval
from bench.judge.severity import severity
from bench.plan.presets import PRESETS
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.report.page import PAPER, prose, render, sentence, write_report
from bench.report.pictures import common_bar, inline, own_bar
from bench.report.run_files import Part, RunFile, read_run
from bench.report.write import write
from bench.show.console import duration
from bench.show.figures import Curves, Panel, Series
from bench.show.tables import Table, format_value
from bench.show.verdicts import questions_table, verdict_table
from tests.bench.toy_cells import toy
from tests.strategies import intervals, parts

REFERENCE = ROOT / "results" / "reference" / "hour"
IDS = tuple(read_register().claims)
HOSTILE = '<script>alert("1")</script>&amp;\'><img src=x onerror=y>'
VOID = ("br", "link", "meta")  # elements without an end tag
GATES = {"positive_control": Gate(True, "it gains 7 %")}
ESTIMATE = Interval(0.12345, 0.1009, 0.145, 5, 0.9)
SHARE = Interval(0.25, 0.1, 0.4, 60)


class Page(HTMLParser):
    """A page read tag by tag: every tag with its attributes, the text within each id, rows of cells by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[tuple[str, str]] = []
        self.text: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag not in VOID:
            self.open.append((tag, named.get("id", "")))
        for place in self.places:
            if tag == "tr":
                self.rows.setdefault(place, []).append([])
            if tag in ("th", "td"):
                self.rows[place][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for place in self.places:
            self.text[place] = self.text.get(place, "") + data
            if {"th", "td"} & {tag for tag, _ in self.open}:
                self.rows[place][-1][-1] += data

    @property
    def places(self) -> list[str]:
        return ["", *(place for _, place in self.open if place)]

    def all(self, key: str) -> list[str]:
        return [named[key] for _, named in self.tags if key in named]


def made_up(text: str = "ml-100k") -> reproduce.Run:
    """A run of two experiments, one failed cell, one missing dataset; `text` stands wherever a run holds text."""
    found = [
        Finding("equal-variance-identifies", "rate", ESTIMATE, text, text),
        Finding("layernorm-identifies", "on_v", SHARE, "", "60 draws"),
        Finding("layernorm-identifies", "on_z", None, "", text, f"no row: {text}"),
    ]
    gaps = {"layernorm-identifies": f"left out: {text}", "cubic-cost": "the clock is too coarse"}
    register = read_register()
    verdicts = judge(register, found, gaps, {"layernorm-identifies": f"since {text} is so"})
    chances = severity(register, found, draws=20)
    failures = (Result(toy(1), None, None),)
    table = Table("first", text, (text, "n"), ((text, 1), ("b", ESTIMATE)), text)
    tables = (
        table, Table("second", "Second", ("x",), ((None,),)), reproduce.failure_table(failures),
        questions_table(verdicts, GATES), verdict_table(verdicts, chances, "How to `read`."),
    )  # fmt: skip
    figure = Curves("first", text, "x", "y", (Panel(text, (Series("s", (1.0, 2.0), (1.0, 2.0)),)),))
    return reproduce.Run(
        setup=Setup(PRESETS["smoke"], 3, "cpu", missing={text: f"{text} is not there"}),
        experiments=("recovery", "layernorm"),
        tables=tables,
        details=(Table("every", "Every cell", ("x",), ((1,),)),),
        figures=(figure,),
        verdicts=tuple(verdicts),
        failures=failures,
        cells=7,
        made_by={"first": "recovery", "every": "recovery", "second": "layernorm"},
        gates=GATES,
        register=register,
        chances=tuple(chances),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("run")
    write(made_up(), place)
    return place


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The committed run."""
    place = tmp_path_factory.mktemp("reference") / "hour"
    shutil.copytree(REFERENCE, place)
    write_report(place)
    return place


def page(place: Path) -> Page:
    return Page((place / "report.html").read_text())


# The page by itself


@pytest.mark.parametrize("which", ["folder", "reference"])
def test_it_is_whole_and_every_link_has_its_target(which, request):
    place = request.getfixturevalue(which)
    read = page(place)
    assert read.open == []
    ids, links = read.all("id"), read.all("href")
    assert len(set(ids)) == len(ids)
    inside = {link[1:] for link in links if link.startswith("#")}
    assert {f"claim-{name}" for name in IDS} < inside <= set(ids)
    assert all(link.startswith(("#", "data:", PAPER)) for link in links)
    held = {named["download"]: unquote_to_bytes(named["href"].partition(",")[2])
            for _, named in read.tags if "download" in named}  # fmt: skip
    assert held == {f"{path.parent.name}-{path.name}": path.read_bytes() for path in place.rglob("*.csv")}


@pytest.mark.parametrize("which", ["folder", "reference"])
def test_it_loads_nothing(which, request):
    text = (request.getfixturevalue(which) / "report.html").read_text()
    read = Page(text)
    assert not {"img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in read.tags}
    assert read.all("src") == []
    away = [(tag, named["href"]) for tag, named in read.tags if "://" in named.get("href", "")]
    assert away == [("a", PAPER)]
    assert set(re.findall(r"url\(.|@import|srcset", text)) <= {"url(#"}
    (policy,) = [named["content"] for _, named in read.tags if "http-equiv" in named]
    assert policy.startswith("default-src 'none'; ")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; " in policy


def test_equal_runs_give_equal_bytes_and_the_command_makes_them_anew(folder, tmp_path, call):
    before = (folder / "report.html").read_bytes()
    write(made_up(), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    (tmp_path / "report.html").unlink()
    assert call("report", tmp_path) == (0, "", f"report in {tmp_path / 'report.html'}\n")
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


# What it says


def test_every_claim_stands_among_those_of_its_kind_and_in_its_section(folder):
    read = page(folder)
    claims = read_register().claims
    listed = re.findall(r'<strong><a href="#claim-([^"]+)"', (folder / "report.html").read_text())
    assert listed == [name for kind in ("test", "theory", "check") for name in IDS if claims[name].kind == kind]
    assert "Of 4 claims of theory: 2 not above the bar, 2 not run." in read.text[""]
    assert "Graphs recovered exactly: 15 of 60 draws [0.10, 0.40], asked above 0.5." in read.text[
        "claim-layernorm-identifies"
    ]
    for name, claim in claims.items():
        told = read.text[f"claim-{name}"]
        for said in (claim.statement, claim.kind, claim.source, claim.tier, claim.right_if, claim.rule):
            assert said.replace("`", "") in told
        assert f"python cli.py run {claim.experiment} --preset smoke --seed 3" in told
        assert told.count("not part of this run") == len(set(claim.gates) - set(GATES))
        assert told.count("passed: ") == len(set(claim.gates) & set(GATES))


def test_three_questions_about_the_graph_come_after_the_verdicts(folder):
    found = page(folder)
    assert [row[:2] for row in found.rows["questions"][1:]] == [
        ["Can a correct graph help?", "yes"],
        ["Does the discovery block deliver one?", "not run"],
        ["Is there a gain on real data?", "not run"],
    ]
    ids = [named["id"] for _, named in found.tags if "id" in named]
    assert ids.index("verdicts") < ids.index("questions") < ids.index("claims")
    assert json.loads((folder / "run.json").read_text())["gates"] == {"positive_control": True}
    shut = questions_table(judge(read_register(), [], {}), {"positive_control": Gate(False, "it gains nothing")})
    assert shut.rows[0] == ("Can a correct graph help?", "not seen", "it gains nothing")


def test_a_claim_shows_what_its_experiment_made_and_nothing_else(folder):
    text = (folder / "report.html").read_text()
    for name, expected in (
        ("equal-variance-identifies", ["#experiment-recovery", "figures-first.csv"]),
        ("layernorm-identifies", ["#experiment-layernorm"]),
        ("cubic-cost", ["#not-run"]),
    ):
        (section,) = re.findall(rf'<section id="claim-{name}">(.*?)</section>', text, re.DOTALL)
        links = [named.get("download", named["href"]) for _, named in Page(section).tags if "href" in named]
        assert [link for link in links if not link.startswith("#svg-")] == expected


def test_figures_stand_where_their_claim_does(reference):
    text = (reference / "report.html").read_text()
    for claim, figures in (
        ("alpha-window", ["alpha"]), ("lambda-saturates", ["lambda"]), ("false-edges-hurt", ["false_edges"]),
        ("boost-beats-filter", []), ("cubic-cost", ["cost"]), ("equal-variance-identifies", ["recovery_rate_by_n",
         "recovery_shd_by_n"]),
    ):  # fmt: skip
        (section,) = re.findall(rf'<section id="claim-{claim}">(.*?)</section>', text, re.DOTALL)
        assert re.findall(r'<figure id="figure-([^"]+)"', section) == figures
    assert '<figure id="figure-attribution"' in text


def test_the_interval_shown_is_that_of_run_json_with_its_unit(folder, reference):
    shown = page(folder).rows["claim-layernorm-identifies"]
    beside = "graphs recovered exactly (beside)"
    assert [[" ".join(cell.split()) for cell in row] for row in shown[1:3]] == [
        ["graphs recovered exactly", "0.5", "15 of 60 draws [0.10, 0.40]", "above 0.5", "✕ not above the bar",
         "60 draws"],
        [beside, "", "–", "above 0.5", "○ not testable here", "no row: ml-100k; ml-100k"],
    ]  # fmt: skip
    read, count = page(reference), 0
    told = json.loads((reference / "run.json").read_text())
    for verdict in told["verdicts"]:
        rows = read.rows.get(f"claim-{verdict['claim']}", [[]])[1:]
        for row, finding in zip(rows, verdict["findings"], strict=True):
            part = told["register"]["claims"][verdict["claim"]]["parts"][finding["part"]]
            estimate = finding["estimate"]
            assert row[0].startswith(part["measure"])
            assert finding["where"] in row[0]
            assert row[4].endswith(f" {finding['outcome']}")
            assert finding["rests_on"] in row[5]
            assert finding["blocked"] in row[5]
            if estimate and part["interval"] != "share":
                assert row[2] == f"{format_value(Interval(**estimate))} {part['unit']}".strip()
            count += 1
    assert count > 30


def test_every_table_and_figure_stands_in_it(reference):
    read = page(reference)
    for table in json.loads((reference / "run.json").read_text())["tables"]:
        if table["name"] != "questions":
            rows = read.rows[f"table-{table['name']}"]
            assert rows[0] == table["columns"]
            assert len(rows) == 1 + len(table["rows"])
    shown = set(re.findall(r'<figure id="figure-([^"]+)"', (reference / "report.html").read_text()))
    assert shown == {path.stem for path in (reference / "figures").glob("*.svg")} - {"claims"}
    assert "Share of graphs recovered exactly" in read.text["figure-limits"]
    assert read.tags.count(("td", {"data-head": "model"})) > 20


def test_each_open_reading_has_a_section_with_what_was_measured_of_it(folder, reference):
    text = (reference / "report.html").read_text()
    (section,) = re.findall(r'<section id="readings">(.*?)<section id="failures">', text, re.DOTALL)
    assert re.findall(r"<summary>(.*?)</summary>", section) == [question for question, _, _ in QUESTIONS]
    rows = {row[0]: row for row in page(reference).rows["readings"]}
    table = next(t for t in json.loads((reference / "run.json").read_text())["tables"] if t["name"] == "readings")
    (free,) = (row for row in table["rows"] if row[0] == "W free")
    assert rows["W free"][1] == format_value(Interval(**free[table["columns"].index("AUPRC")]))
    assert "table: no LayerNorm on V; LayerNorm on Z." in section
    bare = page(folder).text["readings"]
    assert "This run compares no other reading." in bare
    assert "Default: on the values V." in bare


def test_what_failed_or_was_not_run_says_so(folder, reference):
    read = page(folder)
    left = read.text["not-run"]
    assert "cubic-cost: not run: the clock is too coarse" in left
    assert "layernorm-identifies: left out: ml-100k" in left
    assert "ml-100k, dataset: ml-100k is not there" in left
    assert "since ml-100k is so" in read.text["claim-layernorm-identifies"]
    assert "○ not run" in read.text["claim-cubic-cost"]
    assert read.text[""].count("the clock is too coarse") == 2, "once for readers, once in the table of verdicts"
    assert "python cli.py run recommend" in read.text["claim-beats-rivals"]
    assert read.rows["table-failures"][1][1] == "not run"
    assert "7 cells, 1 of which failed" in read.text[""]
    cells = json.loads((reference / "run.json").read_text())["cells"]
    assert f"None: all {cells} cells ended well." in page(reference).text["failures"]


def test_readings_are_pointed_to_where_there_are_any(folder, reference):
    assert "on the default reading" in page(folder).text["readings"]
    assert "compares no other reading" in page(folder).text["readings"]
    assert "Every reading of CausalRec in the behaviour world" in page(reference).text["readings"]


def test_a_file_without_tables_lists_no_failures_and_links_no_files(folder, tmp_path):
    told = json.loads((folder / "run.json").read_text())
    del told["verdicts"][0]
    told |= {"figures": [], "failed": 2, "tables": [], "environment": {}}
    (tmp_path / "run.json").write_text(json.dumps(told))
    write_report(tmp_path)
    read = page(tmp_path)
    assert [place for place in read.all("id") if place.startswith("claim-")] == [f"claim-{name}" for name in IDS[1:]]
    assert "2 of 7 cells; this run's file does not list them" in read.text["failures"]
    assert read.all("download") == []


def test_a_claim_of_another_version_is_told_by_the_files_own_register(folder, tmp_path):
    told = json.loads((folder / "run.json").read_text())
    claims = told["register"]["claims"]
    claims["of-another-version"] = claims["cubic-cost"] | {"id": "of-another-version", "statement": "It was so"}
    told["verdicts"][0] |= {"claim": "of-another-version", "findings": []}
    told |= {"figures": []}
    (tmp_path / "run.json").write_text(json.dumps(told))
    write_report(tmp_path)
    assert "It was so" in page(tmp_path).text["claim-of-another-version"]


def test_a_bound_that_is_null_was_infinite(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    told = json.loads((folder / "run.json").read_text())
    told["tables"][0]["rows"][1][1] |= {"low": None, "high": None}
    (tmp_path / "run.json").write_text(json.dumps(told))
    write_report(tmp_path)
    read = page(tmp_path)
    assert read.rows["table-first"][2] == ["b", "0.123 [−∞, ∞]"]


def test_a_run_comes_back_from_its_file_as_it_was(folder):
    run, read = made_up(), read_run(folder)
    assert (read.preset, read.seed, read.device, read.experiments) == ("smoke", 3, "cpu", run.experiments)
    assert (read.cells, read.failed, read.missing) == (7, 1, run.setup.missing)
    assert (read.verdicts, read.register, read.headline) == (run.verdicts, run.register, headline(run.verdicts))
    told = json.loads((folder / "run.json").read_text())["register"]["claims"]["cubic-cost"]
    assert set(told) == set(Claim.__dataclass_fields__)  # with what the register leaves to its defaults
    assert tuple(read.tables.values()) == run.tables
    assert [part for part in read.parts if part.kind != "table"] == [
        Part("detail", "every", "Every cell", "recovery", "tables/every.csv"),
        Part("figure", "first", "ml-100k", "recovery", "figures/first.csv"),
    ]
    assert [part.experiment for part in read.parts[:4]] == ["recovery", "layernorm", "", ""]


# Any text


def outside_pictures(read: Page) -> list[str]:
    """The tags of a page, without those that a longer text needs more of in a figure."""
    return [tag for tag, _ in read.tags if tag not in ("g", "text", "tspan")]


def test_text_with_markup_is_text(folder, tmp_path):
    write(made_up(HOSTILE), tmp_path)
    read, harmless = page(tmp_path), page(folder)
    assert outside_pictures(read) == outside_pictures(harmless)
    assert not [key for _, named in read.tags for key in named if key.startswith("on")]
    assert read.rows["table-first"][:2] == [[HOSTILE, "n"], [HOSTILE, "1"]]
    assert HOSTILE in read.rows["claim-equal-variance-identifies"][1][0]
    assert f"{HOSTILE}, dataset: {HOSTILE} is not there" in read.text["not-run"]
    assert HOSTILE in read.text["figure-first"]
    assert HOSTILE in read.all("data-head")


MARKUP = st.lists(st.sampled_from(["<b>", "</p>", "&lt;", "&", "<!--", '"', "'", "x y"])).map("".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


def one_table(text: str) -> Page:
    """The page of a run with one table, all of whose texts are `text`."""
    table = Table("given", "", (f"a {text}", "n"), ((f"x {text}", 1),), f"n {text}")
    part = Part("table", "given", f"t {text}", "recovery", None, table)
    return Page(render(RunFile(
        path=Path("run.json"), preset=text, seed=0, device="cpu", cells=1, failed=0, experiments=(), headline=text,
        register=Register({}, {}, ""), code="", asked={}, verdicts=(), parts=(part,), datasets={}, provenance={},
        missing={}, environment={"cpu": text},
    )))  # fmt: skip


PLAIN = one_table("plain")


@given(MARKUP | TEXT)
def test_the_page_gives_back_the_text_it_was_given(text):
    text = text.replace("`", "")
    read = one_table(text)
    cells = [" ".join(f"{mark} {text}".split()) for mark in "ax"]
    assert read.rows["table-given"] == [[cells[0], "n"], [cells[1], "1"]]
    shown = read.text["table-given"]
    assert shown.startswith(f"t {text}")
    assert f"n {text}" in shown
    assert " ".join(f"a {text}".split()) in read.all("data-head")
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in PLAIN.tags]


def test_columns_of_numbers_align_right_and_backticks_mark_code():
    inside = PLAIN.tags[PLAIN.tags.index(("details", {"id": "table-given"})) :]
    cells = [(tag, named.get("class")) for tag, named in inside if tag in ("th", "td")]
    assert cells[:4] == [("th", None), ("th", "number"), ("td", None), ("td", "number")]
    assert prose("a <b> `c & d` e") == "a &lt;b&gt; <code>c &amp; d</code> e"


def test_a_sentence_has_a_capital_and_one_full_stop():
    assert [sentence(text) for text in ("a b", "A.", "")] == ["A b.", "A.", "."]


def test_the_run_tells_how_it_was_made(reference):
    made = dict(page(reference).rows["made"][1:])
    told = json.loads((reference / "run.json").read_text())["made"]
    wanted = (told["command"], told["version"] or "–", told["started"])
    assert (made["command"], made["version"], made["started"]) == wanted
    assert made["took"] == duration(told["duration_s"])


# Pictures

SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 200 100">
<style>* { fill: red }</style><title>t</title><script>alert(1)</script><defs><path id="a" d="M 1.23456 2"/></defs>
<g onclick="x()" id="unused"><use xlink:href="#a"/><use href="http://x/#a"/><image href="data:x"/><rect
style="fill: url(http://x)" fill="#f0f0f0" clip-path="url(#a)"/><text
 x="1">a &lt;b&gt; <tspan>c</tspan> d</text></g></svg>"""


def test_of_a_picture_only_shapes_and_text_are_taken_over():
    picture = inline(SVG.encode(), "p")
    assert picture.title == "t"
    assert str(picture.markup) == (
        '<svg viewBox="0 0 200 100" width="300"><defs><path id="svg-p-0" d="M 1.23 2"></path></defs>'
        '<g><use href="#svg-p-0"></use><use></use><rect fill="#f0f0f0" clip-path="url(#svg-p-0)"></rect>'
        '<text x="1">a &lt;b&gt; <tspan>c</tspan> d</text></g></svg>'
    )


DEEP = b'<svg viewBox="0 0 1 1">' + b"<g>" * 3000 + b"</g>" * 3000 + b"</svg>"


@pytest.mark.parametrize("content", [b"", b"no", b"<svg/>", b'<svg viewBox="0 0 a b"/>', DEEP])
def test_what_is_no_picture_is_refused(folder, tmp_path, call, content):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "figures" / "first.svg").write_bytes(content)
    code, _, err = call("report", tmp_path)
    assert code == 2
    assert re.fullmatch(r"error: .*figure 'first': .*first.svg is (no SVG|nested too deep).*\n", err)


@given(parts(), intervals())
def test_a_bar_lies_on_its_line_and_its_zone_is_where_the_interval_meets_the_claim(part, found):
    for bar in (own_bar(part, found), common_bar(part, found)):
        if bar is not None:
            assert all(0 <= at <= 100 for at in (bar.low, bar.middle, bar.high, bar.least, *bar.zone))
            assert bar.low <= bar.middle <= bar.high
    drawn = own_bar(part, found)
    met = part.judge(found) in ("as claimed", "smaller than claimed")
    if met:
        assert drawn.zone[0] <= drawn.low <= drawn.high <= drawn.zone[1]
        common = common_bar(part, found)
        assert common is None or common.low >= 50


def test_text_that_is_no_unicode_is_written_all_the_same(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    told = json.loads((folder / "run.json").read_text())
    told["tables"][0]["note"] = "half \ud800"
    (tmp_path / "run.json").write_text(json.dumps(told))
    write_report(tmp_path)
    assert r"half \ud800" in page(tmp_path).text["table-first"]


# A wrong folder


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ([{"name": "gone", "title": "t", "experiment": "x"}], "figure 'gone': .*gone.svg cannot be read"),
        (7, "figures expected `array`, got `int`"),
    ],
)
def test_a_wrong_run_json_is_refused_in_one_line(folder, tmp_path, call, figures, why):
    told = json.loads((folder / "run.json").read_text()) | {"figures": figures}
    (tmp_path / "run.json").write_text(json.dumps(told))
    code, out, err = call("report", tmp_path)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: {tmp_path}/run\.json: {why}.*\n", err)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path, call):
    for place in (tmp_path, tmp_path / "nowhere"):
        told = f"error: {place}/run.json: there is no such file; name a folder that `reproduce` or `run` wrote\n"
        assert call("report", place) == (2, "", told)
    assert list(tmp_path.iterdir()) == []
