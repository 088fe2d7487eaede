"""The measurements at size, small: every one does what it says; the whole script runs; bounds are held against."""

import sys

import pytest

from bench.dev import scale
from bench.dev.scale import MEASURES, Measure, Taken, run, scale_table
from bench.engine.memory import peak_mb

SMALL = 0.0003  # 7,500 ratings, 300 items, 30 cells


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of each maker, filled once."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale.os, "fsync", scale.os.fsync)  # which a maker replaces
        for make in {measure.make for measure in MEASURES.values()} - {None}:
            folders[make] = tmp_path_factory.mktemp(make.__name__)
            make(SMALL, folders[make])
    return folders


SAID = {
    "read": "actions of 50 users", "rank": "256 users among 300 items, kept and filtered",
    "infer": "10 of 300 items", "plan": "30 cells, records there", "resume": "30 cells, none left to run",
    "ls": "30 records", "ls-runner": "30 records", "show": "1 of 30 records", "verify": "30 records hold",
    "export": "30 records, 0 MiB",
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURES)
def test_each_measure_does_its_work_and_says_how_much(name, made, tmp_path):
    measure = MEASURES[name]
    assert SAID[name] in measure.do(SMALL, made.get(measure.make, tmp_path))


def test_ratings_have_the_sizes_asked_for_and_the_owners_form(tmp_path):
    scale.write_ratings(0.001, tmp_path)
    lines = (tmp_path / "ratings.csv").read_text().splitlines()
    assert lines[0] == "userId,movieId,rating,timestamp"
    rows = [line.split(",") for line in lines[1:]]
    users = [int(row[0]) for row in rows]
    assert users == sorted(users)
    assert len(set(users)) == 163
    assert min(map(users.count, set(users))) >= 20
    assert len(rows) == 25_000
    assert {float(row[2]) for row in rows} <= {half / 2 for half in range(1, 11)}


def test_a_bound_is_kept_or_not():
    measure = Measure("w", lambda *_: "", cpu_s=100, peak_mib=50)
    taken = [Taken("s", 1.0, cpu, peak) for cpu, peak in ((9, 50), (100, 50), (101, 50), (1, 51), (1, float("nan")))]
    rows = scale_table([(measure, took) for took in taken], 1.0).rows
    assert [row[-1] for row in rows] == ["yes", "yes", "NO", "NO", "yes"]
    assert scale_table([(measure, taken[1])], 0.5).rows[0][-1] == "NO"


def test_the_peak_is_this_process_s():
    held = bytearray(b"x" * (1 << 20))
    assert 10 < len(held) / 2**20 + (peak_mb() or 0) < 1 << 20


@pytest.mark.slow
def test_the_script_runs_small_each_measure_in_a_process_of_its_own(tmp_path):
    taken = list(run(tuple(MEASURES), SMALL, tmp_path))
    assert [measure for measure, _ in taken] == list(MEASURES.values())
    assert all(SAID[name] in took.size for name, (_, took) in zip(MEASURES, taken, strict=True))


@pytest.mark.parametrize("words", [["none"], ["rank", "--scale", "0"]])
def test_wrong_words_are_refused(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale", *words])
    with pytest.raises(SystemExit, match="2"):
        scale.main()
    assert "choose among" in (told := capsys.readouterr().err) or "above 0" in told


def test_the_table_is_printed_and_a_bound_broken_is_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale", "rank"])
    monkeypatch.setattr(scale, "apart", lambda *_: Taken("big", 1.0, 1e9, 9.0))
    assert scale.main() == 1
    assert "ranking a full catalogue" in capsys.readouterr().out
