"""The report of the committed run in a real browser, where one is installed."""

import shutil

import pytest

from bench.cells.fingerprint import ROOT
from bench.report.page import write_report
from tests.bench.report.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
OPEN = "document.querySelectorAll('details').forEach(each => each.open = true)"
# Of the visible elements, those that reach beyond the column; what a box scrolls counts as well, but for figures.
BEYOND = """[...document.querySelectorAll('main, main *')].filter(e => e.clientWidth && !e.closest('svg, figure') &&
    (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > document.documentElement.clientWidth + 1))
    .map(e => e.outerHTML.slice(0, 120))"""
LOST = """[...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute('href').slice(1))
    .filter(id => !document.getElementById(id))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    place = tmp_path_factory.mktemp("browsed") / "hour"
    shutil.copytree(ROOT / "results" / "reference" / "hour", place)
    return write_report(place)


@pytest.fixture(scope="module")
def browser(report, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(report)
        opened.run(OPEN)
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_its_column_and_no_link_or_script_fails(browser, width, scheme):
    browser.resize(width, scheme)
    wide, room = browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert (wide, room) == (width, width)
    assert browser.run(BEYOND) == []
    assert browser.run(LOST) == []
    assert browser.errors == []
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 28)"}[scheme]


def test_tables_are_sorted_by_the_head_that_is_pressed(browser):
    column = "[...document.querySelectorAll('#table-recommend tbody tr')].map(row => row.cells[4].textContent)"
    press = "document.querySelectorAll('#table-recommend thead button')[4].click()"
    before = browser.run(column)
    browser.run(press)
    rising = [float(text.split()[0]) for text in browser.run(column)]
    assert rising == sorted(float(text.split()[0]) for text in before) != [float(text.split()[0]) for text in before]
    browser.run(press)
    assert [float(text.split()[0]) for text in browser.run(column)] == rising[::-1]
    assert browser.errors == []


def test_no_other_script_runs(report, browser, tmp_path):
    text = report.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'run'</script></main>")
    (tmp_path / "other.html").write_text(text, encoding="utf-8")
    browser.open(tmp_path / "other.html")
    assert browser.run("document.title").startswith("CausalRec: hour")
    assert any("Content Security Policy" in error for error in browser.errors)
    browser.errors.clear()
