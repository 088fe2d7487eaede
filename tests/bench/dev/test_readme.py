"""What README and docs say of committed runs is what these runs found."""

import pytest

from bench.dev.readme import PAGES, PLACE, fill, main
from bench.errors import InputError
from bench.judge.claims import read_register
from bench.report.run_files import REFERENCE, read_run

README, RESULTS, ARTIFACT = (page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_marked_is_its_references(page):
    text = page.read_text(encoding="utf-8")
    assert fill(text) == text


def test_every_page_has_its_marks_and_they_are_filled():
    marked = [found for text in (README, RESULTS, ARTIFACT) for found in PLACE.findall(text)]
    assert [(kind, run, table) for _, kind, run, table, _ in marked] == [
        ("headline", "hour", ""), ("claims", "hour", ""), ("headline", "hour", ""), ("table", "hour", ""),
        ("table", "hour", "readings"), ("table", "hour", "attribution"), ("table", "hour", "misses"),
        ("table", "hour", "sizes"), ("table", "hour", "confidence"), ("artifact", "hour", ""),
    ]  # fmt: skip
    assert all(len(said) > 50 for *_, said in marked)


def test_the_headline_is_the_runs():
    run = read_run(REFERENCE / "hour")
    assert " ".join(fill("<!-- headline: hour -->\n").splitlines()[1:]) == run.headline


def test_every_claim_has_one_row_in_readme_and_artifact_appendix():
    run, register = read_run(REFERENCE / "hour"), read_register()
    rows = [line.split(" | ") for line in fill("<!-- claims: hour -->\n").splitlines()[3:]]
    assert [row[2] for row in rows] == [f"**{verdict.judgement}**" for verdict in run.verdicts]
    rows = [line.split(" | ") for line in fill("<!-- artifact: hour -->\n").splitlines()[3:]]
    assert [row[0] for row in rows] == [f"| `{name}`" for name in run.by_claim]
    for claim, row in zip(register.claims.values(), rows, strict=True):
        alone = f"`python cli.py run {claim.experiment} --preset hour`"
        assert row[1] == ("`python cli.py reproduce --preset hour`" if claim.gates else alone)
        assert row[4].startswith(f"**{run.by_claim[claim.id].judgement}**: ")
        assert int(row[3].partition(" ")[0]) >= 1


def test_a_figure_changed_by_hand_is_put_right(tmp_path):
    changed = README.replace(" 39 of 40 draws", " 40 of 40 draws")
    assert changed != README
    path = tmp_path / "README.md"
    path.write_text(changed, encoding="utf-8")
    main([path])
    assert path.read_text(encoding="utf-8") == README


def test_a_run_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"none-such.*there is no such file"):
        fill("<!-- table: none-such -->\n| a |\n")


def test_one_table_of_a_run_stands_whole_and_another_is_refused():
    filled = fill("<!-- table: hour/cost -->\n")
    assert filled.count("\n| ") == len(read_run(REFERENCE / "hour").tables["cost"].rows) + 2
    with pytest.raises(InputError, match=r"there is no table costs; there are .*cost, "):
        fill("<!-- table: hour/costs -->\n")
