"""The doctor: what it says of machine, data and results folder, and when it says that no run could start."""

import shutil
from collections import namedtuple

import pytest

from bench import doctor
from bench.cells.provenance import provenance

Usage = namedtuple("Usage", "total used free")


def judgements(tables) -> dict[str, str]:
    return {row[0]: row[2] for row in tables[0].rows}


def test_a_good_machine_is_healthy_and_fully_told(tmp_path):
    tables, healthy = doctor.examine(tmp_path, tmp_path / "runs")
    assert healthy
    told = {row[0]: row[1] for row in tables[0].rows}
    assert told.keys() >= provenance().keys()
    assert told["torch"] == provenance()["torch"]
    assert set(judgements(tables).values()) <= {"ok", "ok; no GPU, the paper preset would take days"}
    assert {row[1] for row in tables[1].rows} == {"missing"}
    assert str(tmp_path) in tables[1].title
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "healthy"), [(2**30, True), (2**30 - 1, False)])
def test_a_full_disk_is_not_healthy(tmp_path, monkeypatch, free, healthy):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - free, free))
    tables, well = doctor.examine(tmp_path, tmp_path / "runs")
    assert well == healthy
    assert judgements(tables)["results"] == ("ok" if healthy else "less than 1 GiB free")


def test_a_results_folder_that_cannot_be_written_is_not_healthy(tmp_path):
    (tmp_path / "runs").write_text("a file")
    for out in (tmp_path / "runs", tmp_path / "runs" / "below"):
        tables, healthy = doctor.examine(tmp_path, out)
        assert not healthy
        assert "Not a directory; choose another results folder" in judgements(tables)["results"]


def test_data_that_is_there_is_told(tmp_path):
    path = tmp_path / "ml-100k" / "u.data"
    path.parent.mkdir()
    path.write_text("not even a rating")
    tables, healthy = doctor.examine(tmp_path, tmp_path / "runs")
    assert healthy
    assert tables[1].rows[0][:4] == ("ml-100k", "present", "ml-100k/u.data", 17)
