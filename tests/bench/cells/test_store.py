import errno
import hashlib
import io
import json
import os
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bench.cells import store as store_module
from bench.cells.files import StoreError
from bench.cells.record import Record, pack
from bench.cells.store import Store
from bench.errors import InputError
from causalrec.errors import InputError as FormError
from causalrec.methods.canonical import digest
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
    reason = "the key is not the hash" if change == "foreign" else "the checksum does not match"
    assert told[0].startswith(f"{path.name}: {reason}")
    assert path.name in told[0]


def test_a_resealed_edit_is_caught_by_the_key_the_status_and_the_schema(tmp_path):
    store = Store(tmp_path)
    edits = {
        "the key is not the hash of the record's own cell fields": {"cell": toy(1).fields},
        "status invalid enum value 'splendid'": {"status": "splendid"},
        "its fields are not those of a record": {"more": 1},
    }
    for reason, edit in edits.items():
        store.put(record())
        path = only(tmp_path / "records", "*.json")
        reseal(path, edit)
        assert store.get(toy(0)) is None, edit
        assert store.quarantined[-1].startswith(f"{path.name}: {reason}; moved to {tmp_path / 'quarantine'}")


def test_records_of_an_earlier_version_stay_and_are_said_once(tmp_path):
    store = Store(tmp_path)
    for number in range(3):
        store.put(record(number))
    for path in tmp_path.glob("records/??/*.json"):
        reseal(path, {"schema": 1})
    told = []
    store = Store(tmp_path, on_quarantine=told.append)
    assert list(store.records()) == []
    assert store.get(toy(0)) is None
    (line,) = told
    assert line.startswith(f"{tmp_path}: an earlier version of the suite wrote records here, under other keys")
    assert len(list(tmp_path.glob("records/??/*.json"))) == 3
    assert store.put(record(0)).ok
    assert store.get(toy(0)).ok


def reseal(path: Path, edit: dict) -> None:
    body = json.loads(path.read_bytes()) | edit
    del body["sha256"]
    path.write_text(json.dumps(body | {"sha256": digest(body)}))


def trap():
    raise AssertionError("unpickled")


class Payload:
    def __reduce__(self):
        return trap, ()


def test_arrays_that_would_run_code_are_never_unpickled(tmp_path):
    """Objects in a `.npz` that its record vouches for: the trap would end the test if they were loaded."""
    store = Store(tmp_path)
    key = store.put(record()).key
    buffer = io.BytesIO()
    np.savez(buffer, w=np.array([Payload()], dtype=object))
    hashed = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = only(tmp_path, "*.json")
    path.with_name(f"{key}-{hashed[:16]}.npz").write_bytes(buffer.getvalue())
    reseal(path, {"arrays_sha256": hashed})
    found = store.get(toy(0))  # the bytes are those that it vouches for; they are not yet opened
    assert found is not None
    with pytest.raises(StoreError, match=r"holds no arrays .*delete it"):
        store.arrays(found)
    assert list(store.records(opened=True)) == []
    assert len(store.quarantined) == 1


def test_what_cannot_be_quarantined_is_a_typed_error(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(record())
    only(tmp_path, "*.json").write_text("{")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    with pytest.raises(StoreError, match=rf"^{tmp_path}/quarantine/.*json: no; choose another"):
        store.get(toy(0))


def test_a_bad_record_that_another_reader_quarantined_first_is_passed_over(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(record())
    only(tmp_path, "*.json").write_text("{")

    def gone(path: Path, _: Path) -> None:
        path.unlink()
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(Path, "replace", gone)
    assert store.get(toy(0)) is None
    assert len(store.quarantined) == 1


def test_missing_arrays_are_a_reason_for_quarantine(tmp_path):
    store = Store(tmp_path)
    stored = store.put(record(), {"w": np.eye(2)})
    only(tmp_path, "*.npz").unlink()
    with pytest.raises(StoreError, match="npz"):
        store.arrays(stored)
    assert store.get(toy(0)) is None


def test_what_cannot_be_read_back_safely_is_refused(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(FormError, match=r"record\.metrics\.h is nan"):
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


def test_a_failure_that_did_not_see_the_success_does_not_replace_it(tmp_path, monkeypatch):
    """Another run's success comes between the look for one and the writing of the failure."""
    store, write = Store(tmp_path), store_module.write_file

    def late(path: Path, content: bytes, mode: int) -> None:
        monkeypatch.setattr(store_module, "write_file", write)
        Store(tmp_path).put(record(metrics={"shd": 1}))
        write(path, content, mode)

    monkeypatch.setattr(store_module, "write_file", late)
    store.put(record(status="timed_out"))
    assert store.get(toy(0)).metrics == {"shd": 1}
    assert [found.status for found in store.records()] == ["ok"]
    assert list(store.keys()) == [toy(0).key]
    names = {path.name for path in tmp_path.glob("records/??/*")}
    assert names == {f"{toy(0).key}.json", f"{toy(0).key}.failed.json"}


def test_a_failure_leaves_no_file_where_there_is_a_success(tmp_path):
    store = Store(tmp_path)
    for status in ("failed", "ok", "failed"):
        store.put(record(status=status))
    assert only(tmp_path, "*.json").name == f"{toy(0).key}.json"


@pytest.mark.parametrize("parts", [("ok", "failed"), ("failed", "ok")])
def test_folders_copied_together_keep_the_success(tmp_path, parts):
    for status in parts:
        Store(tmp_path / status).put(record(status=status), {"w": np.eye(2)})
        shutil.copytree(tmp_path / status, tmp_path / "whole", dirs_exist_ok=True)
    whole = Store(tmp_path / "whole")
    assert whole.get(toy(0)).ok
    assert [found.status for found in whole.records(opened=True)] == ["ok"]


def test_a_success_that_takes_the_place_of_a_failure_while_it_is_looked_for_is_found(tmp_path, monkeypatch):
    store, looks, load = Store(tmp_path), [], Store._load
    store.put(record(status="failed"))

    def look(self, path, opened=False):
        found = load(self, path, opened)
        if not looks:
            Store(tmp_path).put(record())
        looks.append(path)
        return found

    monkeypatch.setattr(Store, "_load", look)
    assert store.get(toy(0)).ok


def test_a_failure_under_the_name_of_a_success_as_stores_had_it_is_read_until_there_is_another(tmp_path):
    store = Store(tmp_path)
    store.put(record(status="failed", wall_s=1.0))
    path = only(tmp_path, "*.json")
    path.rename(path.with_name(f"{toy(0).key}.json"))
    assert store.get(toy(0)).wall_s == 1.0
    assert [found.key for found in store.records()] == [toy(0).key]
    store.put(record(status="failed", wall_s=2.0))
    assert store.get(toy(0)).wall_s == 2.0
    assert [found.wall_s for found in store.records()] == [2.0]
    store.put(record(wall_s=3.0))
    assert store.get(toy(0)).wall_s == 3.0


def test_a_record_that_cannot_be_read_is_a_typed_error_and_stays(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(record())

    def refuse(path, flags):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"cannot be read \(Permission denied\)"):
        store.get(toy(0))
    assert only(tmp_path, "*.json").exists()
    assert store.quarantined == []


def test_a_folder_in_the_place_of_a_record_is_set_aside(tmp_path):
    store = Store(tmp_path)
    path = tmp_path / "records" / toy(0).key[:2] / f"{toy(0).key}.json"
    path.mkdir(parents=True)
    assert store.get(toy(0)) is None
    assert "is no regular file" in store.quarantined[0]
    assert store.put(record()).ok


def test_arrays_of_another_record_are_refused(tmp_path):
    store = Store(tmp_path)
    stored = store.put(record(), {"w": np.eye(2)})
    only(tmp_path, "*.npz").write_bytes(pack({"w": np.eye(3)}))
    with pytest.raises(StoreError, match="not the arrays its record was written with; delete it"):
        store.arrays(stored)


@given(metrics=json_objects(), arrays=named_arrays(), seed=st.integers(0, 99))
def test_equal_records_make_equal_bytes_whatever_the_order(tmp_path_factory, metrics, arrays, seed):
    order = random.Random(seed)

    def written(names, values):
        store = Store(tmp_path_factory.mktemp("bytes"))
        store.put(record(metrics={name: metrics[name] for name in names}), {name: arrays[name] for name in values})
        return {path.name: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}

    shuffled = (order.sample(sorted(names), len(names)) for names in (metrics, arrays))
    assert written(metrics, arrays) == written(*shuffled)


@given(named_arrays(), named_arrays())
def test_different_arrays_make_different_bytes(left, right):
    def content(arrays):
        return {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()}

    assert (pack(left) == pack(right)) == (content(left) == content(right))


def test_what_a_record_says_of_its_arrays_is_what_was_written(tmp_path):
    store = Store(tmp_path)
    assert store.put(record(arrays_sha256="0" * 64)).arrays_sha256 is None
    stored = store.put(record(), {"w": np.eye(2)})
    assert stored.arrays_sha256 == hashlib.sha256(only(tmp_path, "*.npz").read_bytes()).hexdigest()
    assert only(tmp_path, "*.npz").name == f"{stored.key}-{stored.arrays_sha256[:16]}.npz"


def test_a_file_is_written_beside_its_place_under_a_name_that_sweep_knows(tmp_path, monkeypatch):
    store, seen = Store(tmp_path), []
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(tmp_path.rglob("*.tmp")))
    stored = store.put(record())
    assert [path.parent for path in seen] == [tmp_path / "records" / stored.key[:2]]
    assert seen[0].name.startswith(stored.key[:16])
    assert not seen[0].exists()


def test_records_come_by_key_and_a_folder_can_be_opened_again(tmp_path):
    keys = [Store(tmp_path / "new" / "runs").put(record(number)).key for number in range(6)]
    assert [found.key for found in Store(tmp_path / "new" / "runs").records()] == sorted(keys)


class StoreAgainstADict(RuleBasedStateMachine):
    """Any series of records, damages and reopenings against what a dict would hold."""

    @initialize()
    def open(self):
        self.place = tempfile.TemporaryDirectory()
        self.store, self.held, self.damaged = Store(self.place.name), {}, 0

    numbers, names = st.integers(0, 2), st.none() | st.sampled_from("ab")

    @rule(number=numbers, status=st.sampled_from(["ok", "failed", "timed_out"]), value=st.integers(0, 9), name=names)
    def put(self, number, status, value, name):
        before = self.held.get(number)
        wanted = before if status != "ok" and before and before[0] == "ok" else (status, value, name)
        arrays = {name: np.full(3, value)} if name else None
        stored = self.store.put(record(number, status=status, metrics={"value": value}), arrays)
        self.held[number] = wanted
        assert (stored.status, stored.metrics["value"]) == wanted[:2]

    @rule(number=numbers)
    def damage(self, number):
        if number in self.held:
            key = toy(number).key
            kind = "" if self.held[number][0] == "ok" else ".failed"
            path = self.store.folder / "records" / key[:2] / f"{key}{kind}.json"
            path.write_bytes(path.read_bytes()[:-9])
            del self.held[number]
            self.damaged += 1
            assert self.store.get(toy(number)) is None

    @rule()
    def reopen(self):
        self.store = Store(self.place.name)

    @rule()
    def sweep(self):
        self.store.sweep()
        assert self.store.unreferenced() == []

    @invariant()
    def agrees(self):
        found = {number: self.store.get(toy(number)) for number in range(3)}
        assert {number for number, record in found.items() if record} == set(self.held)
        for number, (status, value, name) in self.held.items():
            assert (found[number].status, found[number].metrics["value"]) == (status, value)
            assert {key: array.tolist() for key, array in self.store.arrays(found[number]).items()} == (
                {name: [value] * 3} if name else {}
            )
        assert sorted(record.key for record in self.store.records()) == sorted(toy(n).key for n in self.held)
        assert len(list(self.store.folder.glob("quarantine/*"))) == self.damaged

    def teardown(self):
        self.place.cleanup()


# A step is several files: a quarter of the profile's examples.
StoreAgainstADict.TestCase.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=10)
TestStoreAgainstADict = StoreAgainstADict.TestCase


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_a_typed_error_and_leaves_nothing_half_written(tmp_path, monkeypatch, call):
    store = Store(tmp_path)
    store.put(record(1, metrics={"shd": 7}))
    before = sorted(tmp_path.rglob("*"))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    for number in (0, 1):
        with pytest.raises(StoreError, match=rf"{toy(number).key}\.json: cannot be written \(No space left"):
            store.put(record(number, metrics={"shd": 8}))
    monkeypatch.undo()
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [p for p in before if p.is_file()]
    assert store.get(toy(1)).metrics == {"shd": 7}


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another place"):
        Store(tmp_path / "file" / "runs")


def test_a_folder_that_cannot_be_written_is_found_before_anything_runs(tmp_path, monkeypatch):
    asked = []

    def refuse(**where):
        asked.append(where)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreError, match=f"^{tmp_path}: Permission denied; choose another place"):
        Store(tmp_path)
    assert asked == [{"dir": tmp_path}]


def test_sweep_removes_a_link_that_leads_nowhere_by_its_own_age(tmp_path):
    store = Store(tmp_path)
    store.put(record())
    young, old = (only(tmp_path, "*.json").parent / name for name in ("young.tmp", "old.tmp"))
    for link in (young, old):
        link.symlink_to("nowhere")
    os.utime(old, (0, 0), follow_symlinks=False)
    store.sweep()
    assert [link.is_symlink() for link in (young, old)] == [True, False]


def test_sweep_says_what_it_cannot_remove(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(record())
    path = only(tmp_path, "*.json").parent / "old.tmp"
    path.touch()
    os.utime(path, (0, 0))
    monkeypatch.setattr(Path, "unlink", lambda _, **more: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
    with pytest.raises(StoreError, match=r"old\.tmp: no"):
        store.sweep()


def test_arrays_that_no_record_names_are_found_once_no_writer_can_still_name_them(tmp_path):
    store = Store(tmp_path)
    store.put(record(), {"w": np.eye(2)})
    first = only(tmp_path, "*.npz")
    store.put(record(), {"w": np.eye(3)})
    second = next(path for path in tmp_path.rglob("*.npz") if path != first)
    assert store.unreferenced() == []
    for path, age in ((first, 3590), (second, 7200)):
        os.utime(path, (time.time() - age, time.time() - age))
    assert store.unreferenced() == []
    os.utime(first, (time.time() - 3610, time.time() - 3610))
    assert store.unreferenced() == [first]
    others = [first.with_name(f"{name}.npz") for name in "cba"]
    for path in others:
        path.touch()
        os.utime(path, (0, 0))
    assert store.unreferenced() == sorted([first, *others])


def test_arrays_of_a_failure_that_a_success_hides_are_not_loose(tmp_path):
    store = Store(tmp_path)
    store.put(record(status="failed"), {"w": np.eye(2)})
    failed = only(tmp_path, "*.json")
    content = failed.read_bytes()
    store.put(record(), {"w": np.eye(3)})
    failed.write_bytes(content)
    for path in tmp_path.rglob("*.npz"):
        os.utime(path, (0, 0))
    assert store.unreferenced() == []


def test_sweep_removes_only_what_was_left_behind_long_ago(tmp_path):
    store = Store(tmp_path)
    store.put(record())
    folder = only(tmp_path, "*.json").parent
    for name, age in (("old.tmp", 3610), ("new.tmp", 3590)):
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
