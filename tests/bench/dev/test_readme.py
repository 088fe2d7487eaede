"""The README's tables are those of the committed runs."""

import pytest

from bench.dev.readme import PLACE, README, fill, main
from bench.errors import InputError
from bench.report.run_files import REFERENCE, read_run


def test_every_marked_table_is_its_references():
    text = README.read_text(encoding="utf-8")
    assert fill(text) == text
    assert {(run, table) for _, run, table, _ in PLACE.findall(text)} == {("quick", ""), ("quick", "readings")}
    assert all(rows.count("\n") > 5 for *_, rows in PLACE.findall(text))


def test_a_figure_changed_by_hand_is_put_right(tmp_path):
    text = README.read_text(encoding="utf-8")
    changed = text.replace("| 39 of 40 draws", "| 40 of 40 draws")
    assert changed != text
    path = tmp_path / "README.md"
    path.write_text(changed, encoding="utf-8")
    main(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_table_of_no_run_is_refused():
    with pytest.raises(InputError, match=r"none-such.*there is no such file"):
        fill("<!-- table: none-such -->\n| a |\n")


def test_one_table_of_a_run_stands_whole_and_another_is_refused():
    filled = fill("<!-- table: quick/cost -->\n")
    assert filled.count("\n| ") == len(read_run(REFERENCE / "quick").tables["cost"].rows) + 2
    with pytest.raises(InputError, match=r"there is no table costs; there are .*cost, "):
        fill("<!-- table: quick/costs -->\n")
