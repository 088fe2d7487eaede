"""A run's records kept as archives: judged, checked and gone on from as if they had stayed where they were."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import reproduce
from bench.cells.archives import archives_in
from bench.cells.fingerprint import ROOT
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.errors import InputError
from bench.methods.recommenders import TRAINED
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.report import spot_check as checking
from bench.report.evidence import go_on, pack_run
from bench.report.rejudge import judge_folder
from bench.report.run_files import REFERENCE
from bench.report.spot_check import DIFFERS, SAME, spot_check
from bench.report.write import Made, write
from tests.bench.made_up import FIXED, made_up, model, with_data
from tests.bench.report.here import run_here

SMOKE = PRESETS["smoke"]
SMALL = replace(SMOKE, misses=replace(SMOKE.misses, draws=4, nodes=5))


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Path:
    """A results folder with the records of one small run, and a record that no run needs."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduce, "run_cells", run_here)
        run = reproduce.walk(Setup(SMALL, 3, "cpu"), ("misses",), Store(out), jobs=1)
    write(replace(run, figures=()), out / "smoke-seed3", Made("as it was called", "then", 9.0, {}))
    other, *_ = cells(seed=4)
    Store(out).put(Record(other.key, other.fields, "ok"))
    return out


@pytest.fixture
def ran(walked, tmp_path, monkeypatch) -> Path:
    """A copy of it, and the suite as that run found it."""
    monkeypatch.setitem(PRESETS, "smoke", SMALL)
    for module in (checking, reproduce):
        monkeypatch.setattr(module, "run_cells", run_here)
    monkeypatch.setenv("CAUSALREC_DATA", "nowhere")
    return shutil.copytree(walked, tmp_path / "runs")


def cells(seed: int) -> list[Cell]:
    return reproduce.plan_cells(Setup(SMALL, seed, "cpu"), ("misses",))["misses"]


def needed(run: Path) -> int:
    return json.loads((run / "run.json").read_text())["cells"]


def test_packed_records_are_judged_and_checked_as_they_were(ran, tmp_path, call):
    kept, count = tmp_path / "kept", needed(ran / "smoke-seed3")
    code, out, err = call("results", "pack", ran / "smoke-seed3", kept / "smoke")
    assert (code, out) == (0, "")
    assert err.startswith(f"{count} records in 1 archives of ")
    assert sorted(path.name for path in (kept / "smoke").iterdir()) == ["misses.tar.xz", "run.json"]
    assert len(list(Store(ran).keys())) == count + 1
    shutil.rmtree(ran)
    for folder in (kept, kept / "smoke"):
        answer = judge_folder(folder)
        assert answer.tables == []  # no claim rests on it
        assert answer.messages == [f"judged {count} cells of {kept / 'smoke' / 'run.json'}, 0 without a record"]
    checks = spot_check(kept, cells=2)
    assert [row[1] for row in checks.tables[0].rows] == [SAME] * 2
    assert checks.messages == [f"2 of 2 cells as recorded, of {count} that have a record"]


def test_a_run_goes_on_from_a_copy_of_the_archives(ran, tmp_path, call, monkeypatch):
    pack_run(ran / "smoke-seed3", tmp_path / "mine" / "kept")

    def refuse(cells, store, *_, **__):
        assert all(store.get(cell) is not None for cell in cells), "a cell runs"

    monkeypatch.setattr(reproduce, "run_cells", refuse)
    arguments = ("run", "misses", "--preset", "smoke", "--seed", 3, "--out", tmp_path / "mine")
    code, _, err = call(*arguments)
    assert code == 0
    count = needed(ran / "smoke-seed3")
    assert f"{count} records unpacked from the archives in {tmp_path / 'mine'}" in err
    assert "unpacked" not in call(*arguments)[2]


def test_records_of_other_code_are_judged_and_with_any_code_not_made_again(ran, call, monkeypatch):
    count, asked = needed(ran / "smoke-seed3"), ("run", "misses", "--preset", "smoke", "--seed", 3, "--out", ran)
    failed, *_ = cells(seed=5)
    Store(ran).put(Record(failed.key, failed.fields, "failed", error={"type": "E", "message": "m", "traceback": "t"}))
    monkeypatch.setattr("bench.cells.unit.fingerprint", lambda _: "of other code")

    def missing_only(cells, store, *_, **__):
        run_here([cell for cell in cells if store.get(cell) is None], store)

    monkeypatch.setattr(reproduce, "run_cells", missing_only)
    told = f"{count} records were made by other code than today's"
    assert judge_folder(ran).messages[0].endswith(f"; {told}")
    code, _, err = call(*asked, "--any-code")
    assert (code, told in err, len(list(Store(ran).keys()))) == (0, True, count + 2)
    code, _, err = call(*asked)
    assert (code, "other code" in err, len(list(Store(ran).keys()))) == (0, False, 2 * count + 2)
    assert judge_folder(ran).messages[0].endswith(", 0 without a record")


def test_a_record_that_was_kept_without_arrays_is_checked_by_its_metrics(ran):
    store = Store(ran)
    for record in list(store.records()):
        if store.arrays(record):
            store.put(record, {})
    assert [row[1] for row in spot_check(ran, cells=2).tables[0].rows] == [SAME] * 2
    for record in list(store.records()):
        store.put(replace(record, metrics=dict.fromkeys(record.metrics, 1e9)))
    assert [row[1] for row in spot_check(ran, cells=2).tables[0].rows] == [DIFFERS] * 2


def test_of_beaten_trials_only_the_arrays_that_something_reads_are_kept(tmp_path, monkeypatch):
    """Every table and verdict is as it was with all of them."""
    preset = replace(FIXED, real=replace(FIXED.real, shortened=2))
    monkeypatch.setitem(PRESETS, "fixed", preset)

    def put(cells, store, *_, **__):
        for cell in cells:
            made = made_up(cell) if cell.runner != "recommender" else model(cell, **better(cell))
            store.put(Record(cell.key, cell.fields, "ok", dict(made.metrics)), made.arrays)

    def better(cell: Cell) -> dict[str, float]:
        return {"valid": cell.params["options"]["dropout"]} if "dropout" in cell.params["options"] else {}

    monkeypatch.setattr(reproduce, "run_cells", put)
    before = tmp_path / "before"
    run = reproduce.walk(with_data(preset, ("ml-100k",)), ("recommend", "multiverse"), Store(before), jobs=1)
    write(replace(run, figures=()), before / "fixed-seed0", Made("as it was called", "then", 9.0, {}))
    pack_run(before / "fixed-seed0", tmp_path / "kept" / "fixed-seed0")
    go_on(tmp_path / "kept")
    was, now = Store(before), Store(tmp_path / "kept")
    lost = dict[str, list[set[str]]]()
    for record in was.records():
        kept, arrays = now.load(record.key), was.arrays(record)
        assert replace(kept, arrays_sha256=record.arrays_sha256) == record
        if (names := now.arrays(kept).keys()) != arrays.keys():
            assert "refit" not in record.params["dataset"]
            lost.setdefault(record.params["model"], []).append({*names})
    ranks = {"test_kept", "test_filtered"}
    # On each of three seeds two short trials and the leading one at full length, of which one is chosen.
    assert {kind: lost[kind] for kind in TRAINED if kind in lost} == {
        "sasrec": [set()] * 6, "sasrec_uniform": [set()] * 6, "causalrec": [ranks] * 6, "causalrec_off": [ranks] * 6,
    }  # fmt: skip
    assert judge_folder(tmp_path / "kept").document == judge_folder(before).document


def test_a_run_that_is_out_of_time_is_written_kept_and_gone_on_from(ran, tmp_path, call, monkeypatch):
    """Cells beyond the first have no time, whatever the clock says."""
    def first_only(cells, store, *more, until, **named):
        assert 0 < until - time.monotonic() <= 3600
        run_here(cells[:1], store)

    monkeypatch.setattr(reproduce, "run_cells", first_only)
    asked = ("run", "misses", "--preset", "smoke", "--seed", 5, "--hours", 1)
    code, _, err = call(*asked, "--out", tmp_path / "mine")
    count = needed(tmp_path / "mine" / "smoke-seed5-misses")
    assert code == 3
    assert f"{count} cells, 0 failed; report: " in err
    assert f"{count - 1} cells were not started within 1 hours; the same command goes on" in err
    told = pack_run(tmp_path / "mine" / "smoke-seed5-misses", tmp_path / "kept" / "smoke")
    assert told.startswith("1 records in 1 archives of ")
    assert told.endswith(f"; {count - 1} cells have none")
    monkeypatch.setattr(reproduce, "run_cells", run_here)
    code, _, err = call(*asked, "--out", tmp_path / "kept")
    assert code == 0
    assert "1 records unpacked" in err
    assert "not started" not in err
    for wrong in (0, -1, "nan"):
        assert call(*asked[:-1], wrong, "--out", tmp_path)[0] == 2


def test_packing_again_replaces_what_was_there_and_in_place_too(ran, tmp_path):
    pack_run(ran / "smoke-seed3", tmp_path / "kept")
    before = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    (tmp_path / "kept" / "old.tar.xz").touch()
    pack_run(ran / "smoke-seed3", tmp_path / "kept")
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == before
    pack_run(tmp_path / "kept", tmp_path / "kept")
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == before


def test_cells_without_a_record_are_counted_and_a_run_without_any_is_refused(ran, tmp_path):
    gone, *_ = cells(seed=3)
    (ran / "records" / gone.key[:2] / f"{gone.key}.json").unlink()
    assert pack_run(ran / "smoke-seed3", tmp_path / "kept").endswith("; 1 cells have none")
    shutil.rmtree(ran / "records")
    (ran / "records").mkdir()
    with pytest.raises(InputError, match="no cell of the run has a record"):
        pack_run(ran / "smoke-seed3", tmp_path / "none")
    assert archives_in(tmp_path / "none") == []


def test_several_runs_are_not_packed_as_one(ran, tmp_path):
    shutil.copytree(ran / "smoke-seed3", ran / "again")
    with pytest.raises(InputError, match="holds 2 runs; name the folder of one"):
        pack_run(ran, tmp_path / "kept")


def test_a_results_folder_without_archives_is_left_alone(tmp_path):
    assert go_on(tmp_path / "nowhere") == 0
    assert not (tmp_path / "nowhere").exists()


def test_cells_on_data_that_are_not_here_are_left_out_and_told(ran, tmp_path, monkeypatch):
    real = checking.restored

    def elsewhere(run):
        return replace(real(run), found={"ml-100k": None})

    planned = checking.all_cells

    def on_data(*asked):
        first, *rest = planned(*asked)
        return [replace(first, params=dict(first.params) | {"dataset": {"name": "ml-100k"}}), *rest]

    monkeypatch.setattr(checking, "restored", elsewhere)
    monkeypatch.setattr(checking, "all_cells", on_data)
    monkeypatch.setattr(checking.Evidence, "get", lambda self, _: next(iter(self.records())))
    monkeypatch.setattr(checking, "_compare", lambda cell, *_: checking.Check(cell, SAME))
    answer = spot_check(ran, cells=1)
    assert answer.messages[0].endswith("; 1 on data that are not here were left out")


# What is committed


KEPT = ROOT / "results" / "evidence"


def test_the_committed_evidence_is_small_enough_and_every_run_in_it_has_archives():
    files = [path for path in KEPT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60 * 2**20
    runs = [path.parent for path in files if path.name == "run.json"]
    assert runs
    assert all(archives_in(run) for run in runs)


@pytest.mark.slow
def test_the_committed_evidence_gives_the_committed_verdicts(monkeypatch):
    """But for the claim that titles of films decide, which are not here."""
    monkeypatch.setenv("CAUSALREC_DATA", "nowhere")
    told = judge_folder(KEPT / "hour").document
    found = {verdict["claim"]: (verdict["verdict"], verdict["findings"]) for verdict in told["verdicts"]}
    kept = json.loads((REFERENCE / "hour" / "run.json").read_text())
    for verdict in kept["verdicts"]:
        if verdict["claim"] != "graph-is-not-popularity":
            assert found[verdict["claim"]] == (verdict["verdict"], verdict["findings"])
