"""A cell that is cut goes on from its last checkpoint, to the same numbers, and leaves none behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.cells import checkpoint as cell_checkpoint
from bench.cells.checkpoint import CellCheckpoint, open_checkpoint
from bench.cells.provenance import provenance
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Outcome, checkpoint_at
from bench.engine.run import run_cells
from bench.engine.workers import Server
from bench.plan import recommender_cells
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import World
from bench.report import records
from bench.runners import execute
from causalrec.checkpoints import CheckpointFile, Snapshot
from tests.bench.hurried_runner import CUTS, HOW, NOTES
from tests.bench.hurried_runner import execute as execute_hurried

EPOCHS = 5
WORLD = World(items=12, users=60, length=8, width=8, epochs=EPOCHS)
CELLS = {
    model: recommender_cells.world_cells(Setup(PRESETS["smoke"], 0, "cpu"), WORLD, 1, model)[0]
    for model in ("sasrec", "causalrec", "fpmc")
}
CELL = CELLS["causalrec"]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    return tmp_path / "notes"


@pytest.fixture(scope="module")
def straight() -> Outcome:
    """What the cell gives without a checkpoint."""
    return execute(CELL)


def epochs_by_process(notes: Path) -> list[list[int]]:
    told: dict[str, list[int]] = {}
    for line in notes.read_text().splitlines():
        pid, epoch = line.split()
        told.setdefault(pid, []).append(int(epoch))
    return list(told.values())


def same(a: Outcome, b: Outcome) -> bool:
    """Same metrics, times apart, and same arrays to the bit."""
    first, second = ({name: value for name, value in o.metrics.items() if name != "fit_cpu_s"} for o in (a, b))
    arrays = ({name: (x.dtype, x.shape, x.tobytes()) for name, x in o.arrays.items()} for o in (a, b))
    return first == second and next(arrays) == next(arrays)


def assert_equal(store: Store, straight: Outcome) -> Record:
    record = store.get(CELL)
    assert record is not None
    assert record.ok, record.error
    assert same(Outcome(record.metrics, store.arrays(record)), straight)
    return record


def left(store: Store) -> list[Path]:
    return list(store.folder.glob("checkpoints/**/*"))


@pytest.mark.slow
def test_a_cell_whose_worker_is_killed_goes_on_in_the_next_one(store, notes, straight, monkeypatch):
    monkeypatch.setenv(CUTS, "4")
    monkeypatch.setenv(HOW, "kill")
    assert run_cells([CELL], store, execute_hurried).done == [CELL]
    assert epochs_by_process(notes) == [[1, 2, 3, 4], [4, 5]]
    assert assert_equal(store, straight).metrics["epochs"] == EPOCHS
    assert not (store.folder / "checkpoints").exists()


@pytest.mark.slow
def test_a_cell_that_was_given_up_goes_on_when_the_run_is_begun_again(store, notes, straight, monkeypatch):
    monkeypatch.setenv(CUTS, "3,4")
    monkeypatch.setenv(HOW, "kill")
    assert run_cells([CELL], store, execute_hurried).failed == [CELL]
    assert left(store)[-1] == store.checkpoint_path(CELL.key)
    assert records.verify(store)[1]
    assert records.list_table(store).note.startswith("1 records in")
    assert run_cells([CELL], store, execute_hurried).done == [CELL]
    assert epochs_by_process(notes) == [[1, 2, 3], [3], [3, 4, 5]]
    assert_equal(store, straight)
    assert left(store) == []


@pytest.mark.parametrize(("how", "status", "second"), [
    ("exhaust", "out_of_memory", [3, 4, 5]), ("raise", "failed", [1, 2, 3, 4, 5]),
])  # fmt: skip
def test_a_cell_out_of_memory_keeps_its_checkpoint_and_one_that_failed_does_not(
    store, notes, straight, monkeypatch, how, status, second
):
    monkeypatch.setenv(CUTS, "3")
    monkeypatch.setenv(HOW, how)
    server = Server(execute_hurried, store.folder, provenance())
    assert server.run(CELL, CELL.key)[0] == status
    assert (left(store) == []) == (how == "raise")
    assert server.run(CELL, CELL.key)[0] == "ok"
    assert epochs_by_process(notes) == [[1, 2, 3, *second]]
    assert_equal(store, straight)
    assert not (store.folder / "checkpoints").exists()


def cut(path: Path, notes: Path, monkeypatch, at: int = 4) -> CheckpointFile:
    """The checkpoint of a cell that was cut in this process in epoch `at`; `notes` is made empty."""
    monkeypatch.setenv(CUTS, str(at))
    monkeypatch.setenv(HOW, "raise")
    with checkpoint_at(path), pytest.raises(ValueError, match="cut"):
        execute_hurried(CELL)
    notes.unlink()
    monkeypatch.delenv(CUTS)
    return CheckpointFile(path)


def resume(path: Path, notes: Path):
    with checkpoint_at(path):
        outcome = execute_hurried(CELL)
    return outcome, *epochs_by_process(notes)


def test_the_time_that_was_spent_before_counts(tmp_path, notes, straight, monkeypatch):
    path = tmp_path / "a" / "b" / "c.safetensors"
    file = cut(path, notes, monkeypatch)
    found = file.load()
    spent = float(found.texts["cpu_s"])
    assert 0 < spent < straight.metrics["fit_cpu_s"] + 60
    file.save(Snapshot(found.tensors, {**found.texts, "cpu_s": repr(1000 + spent)}))
    outcome, epochs = resume(path, notes)
    assert epochs == [4, 5]
    assert 1000 + spent < outcome.metrics["fit_cpu_s"] < 1000 + spent + 60
    assert float(file.load().texts["cpu_s"]) > 1000 + spent
    assert same(outcome, straight)


@pytest.mark.parametrize("damage", ["cut", "bit", "pickle", "shapes", "untimed"])
def test_a_damaged_checkpoint_is_set_aside_and_the_cell_begins_anew(
    tmp_path, notes, straight, monkeypatch, capfd, damage
):
    path = tmp_path / "checkpoints" / "c.safetensors"
    file = cut(path, notes, monkeypatch)
    found, whole = file.load(), path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "bit":
        path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    elif damage == "pickle":
        torch.save(dict(found.tensors), path)
    elif damage == "shapes":
        file.save(Snapshot({name: value[..., :1] for name, value in found.tensors.items() if value.ndim}, found.texts))
    else:
        file.save(Snapshot(found.tensors, {name: text for name, text in found.texts.items() if name != "cpu_s"}))
    outcome, epochs = resume(path, notes)
    assert epochs == [1, 2, 3, 4, 5]
    assert same(outcome, straight)
    assert outcome.metrics["fit_cpu_s"] < 60
    (aside,) = path.parent.glob("*.damaged")
    told = capfd.readouterr().err
    assert f"; it is now {aside}, the cell begins anew" in told
    assert ("cannot be read" if damage in ("cut", "pickle") else "is damaged") in told


@pytest.mark.parametrize("model", CELLS)
def test_without_an_engine_there_is_no_checkpoint_and_with_one_the_numbers_are_the_same(tmp_path, notes, model):
    assert open_checkpoint() is None
    cell, path = CELLS[model], tmp_path / "c.safetensors"
    plain = execute(cell)
    with checkpoint_at(path):
        kept = execute_hurried(cell)
    assert open_checkpoint() is None
    assert path.exists()
    assert same(kept, plain)


def test_a_checkpoint_is_written_at_most_once_a_minute_and_less_often_where_it_is_slow(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    file, snapshot = CellCheckpoint(tmp_path / "c.safetensors"), Snapshot({"a": torch.zeros(1)}, {})

    def writes(at: float) -> bool:
        clock[0] = at
        file.path.unlink(missing_ok=True)
        file.save(snapshot)
        return file.path.exists()

    assert [writes(at) for at in (0, 59, 60, 61, 119, 120)] == [False, False, True, False, False, True]
    fsync = os.fsync

    def slow(handle: int) -> None:
        clock[0] += 10
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    assert [writes(at) for at in (180, 389, 390)] == [True, False, True]


def test_a_checkpoint_that_cannot_be_written_costs_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cell_checkpoint, "EVERY_S", 0.0)
    (tmp_path / "file").write_text("")
    CellCheckpoint(tmp_path / "file" / "c.safetensors").save(Snapshot({}, {}))
    assert capsys.readouterr().err.endswith("; the cell goes on without\n")
    (tmp_path / "c.safetensors").mkdir()
    CellCheckpoint(tmp_path / "c.safetensors").save(Snapshot({}, {}))
    assert "cannot be written" in capsys.readouterr().err


def test_workers_of_cells_without_torch_do_not_import_it():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, bench.engine.run; print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "False\n"
