import errno
import json
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.store import Record, Store, StoreError, pack
from tests.bench.toy_cells import toy
from tests.strategies import json_objects, named_arrays


def record(number: int = 0, **more) -> Record:
    cell = toy(number)
    return Record(cell.key, cell.fields, **({"status": "ok"} | more))


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@given(metrics=json_objects(), arrays=named_arrays(), number=st.integers(0, 2**40))
def test_a_record_and_its_arrays_come_back_as_they_were_put(shared, metrics, arrays, number):
    cell = toy(number)
    put = shared.put(record(number, metrics=metrics, wall_s=0.5), arrays)
    got = shared.get(cell)
    assert got == put
    assert got.metrics == metrics
    back = shared.arrays(got)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_the_same_arrays_make_the_same_bytes_whatever_the_time(monkeypatch):
    arrays = {"b": np.arange(3), "a": np.eye(2)}
    first = pack(arrays)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert pack(dict(reversed(arrays.items()))) == first


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_or_flipped_files_are_quarantined_and_never_trusted(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("damaged"))
    store.put(record(metrics={"shd": 3, "f1": 0.25}), {"w": np.eye(2)})
    path = only(store.folder, data.draw(st.sampled_from(["*.json", "*.npz"])))
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        reread = bytes(content)
        harmless = path.suffix == ".json" and _same_json(reread, path.read_bytes())
    else:
        reread, harmless = bytes(content[:position]), False
    path.write_bytes(reread)
    got = store.get(toy(0))
    if harmless:  # white space between values, say
        assert got is not None
        return
    assert got is None
    assert len(store.quarantined) == 1
    assert len(list((store.folder / "quarantine").iterdir())) == 1
    assert store.get(toy(0)) is None
    assert list(store.records()) == []
    store.put(record(metrics={"shd": 4}), {"w": np.eye(2)})
    assert store.get(toy(0)).metrics == {"shd": 4}


def _same_json(left: bytes, right: bytes) -> bool:
    try:
        return json.dumps(json.loads(left)) == json.dumps(json.loads(right))
    except ValueError:
        return False


@pytest.mark.parametrize("change", ["metrics", "cell", "status", "schema", "foreign", "list"])
def test_edited_and_foreign_records_are_quarantined(tmp_path, change):
    told = []
    store = Store(tmp_path, on_quarantine=told.append)
    store.put(record())
    path = only(tmp_path, "*.json")
    body = json.loads(path.read_bytes())
    if change == "metrics":
        body["metrics"] = {"shd": 0}
    elif change == "cell":
        body["cell"]["params"]["number"] = 1
    elif change == "status":
        body["status"] = "splendid"
    elif change == "schema":
        del body["wall_s"]
    elif change == "foreign":
        other = Store(tmp_path / "other")
        other.put(record(1))
        body = json.loads(only(tmp_path / "other", "*.json").read_bytes())
    else:
        body = [body]
    path.write_text(json.dumps(body))
    assert store.get(toy(0)) is None
    assert told == store.quarantined
    assert path.name in told[0]


def test_a_resealed_edit_is_caught_by_the_key_the_status_and_the_schema(tmp_path):
    from bench.cell import digest

    store = Store(tmp_path)
    for edit in ({"cell": toy(1).fields}, {"status": "splendid"}, {"schema": 99}, {"more": 1}):
        store.put(record())
        path = only(tmp_path / "records", "*.json")
        body = json.loads(path.read_bytes()) | edit
        del body["sha256"]
        path.write_text(json.dumps(body | {"sha256": digest(body)}))
        assert store.get(toy(0)) is None, edit


def test_missing_arrays_are_a_reason_for_quarantine(tmp_path):
    store = Store(tmp_path)
    stored = store.put(record(), {"w": np.eye(2)})
    only(tmp_path, "*.npz").unlink()
    with pytest.raises(StoreError, match="npz"):
        store.arrays(stored)
    assert store.get(toy(0)) is None


def test_what_cannot_be_read_back_safely_is_refused(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(InputError, match=r"record\.metrics\.h is nan"):
        store.put(record(metrics={"h": float("nan")}))
    with pytest.raises(InputError, match="'w' holds Python objects"):
        store.put(record(), {"w": np.array([object()])})
    assert list(tmp_path.rglob("*.json")) == []


def test_a_failure_is_kept_but_never_replaces_a_success(tmp_path):
    store = Store(tmp_path)
    store.put(record(status="failed"))
    assert not store.get(toy(0)).ok
    store.put(record(metrics={"shd": 1}))
    assert store.put(record(status="timed_out")).ok
    assert store.get(toy(0)).metrics == {"shd": 1}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_a_typed_error_and_leaves_nothing_half_written(tmp_path, monkeypatch, call):
    store = Store(tmp_path)
    store.put(record(1, metrics={"shd": 7}))
    before = sorted(tmp_path.rglob("*"))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    for number in (0, 1):
        with pytest.raises(StoreError, match="No space left on device"):
            store.put(record(number, metrics={"shd": 8}))
    monkeypatch.undo()
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [p for p in before if p.is_file()]
    assert store.get(toy(1)).metrics == {"shd": 7}


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another results folder"):
        Store(tmp_path / "file" / "runs")


def test_sweep_removes_only_what_was_left_behind_long_ago(tmp_path):
    store = Store(tmp_path)
    store.put(record())
    folder = only(tmp_path, "*.json").parent
    for name, age in (("old.tmp", 7200), ("new.tmp", 0)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    store.sweep()
    assert sorted(path.suffix + path.stem[:3] for path in folder.iterdir())[1:] == [".tmpnew"]


def test_many_writers_of_the_same_cells_never_leave_a_record_that_cannot_be_trusted(tmp_path):
    stop = time.monotonic() + 0.7

    def write(seed: int) -> None:
        store, choose = Store(tmp_path), random.Random(seed)
        while time.monotonic() < stop:
            number = choose.randrange(3)
            store.put(record(number, metrics={"by": seed}), {"by": np.full(50, seed)})

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    store = Store(tmp_path)
    while any(writer.is_alive() for writer in writers):
        for found in store.records():
            assert (store.arrays(found)["by"] == found.metrics["by"]).all()
    assert store.quarantined == []
    assert len(list(store.records())) == 3
