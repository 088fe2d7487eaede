"""What the store finds in its folder: other people's files, links, checkpoints, what changes while it is read."""

import errno
import hashlib
import io
import json
import os
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.cells import store
from bench.cells.files import StoreError, read_file, write_file
from bench.cells.record import Record, pack, unpack
from bench.cells.store import Store
from bench.errors import InputError
from bench.report import records
from causalrec.methods.canonical import digest, plain
from tests.bench.toy_cells import toy

CELL = toy(0)


@pytest.fixture
def kept(tmp_path) -> Store:
    return Store(tmp_path)


def put(kept: Store, number: int = 0, **more) -> Record:
    cell = toy(number)
    return kept.put(Record(cell.key, cell.fields, "ok"), **more)


def touch(path: Path, days: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (0, time.time() - days * 86400))
    return path


def forge(kept: Store, content: bytes, status: str = "ok") -> Record:
    """A record, put beside arrays that are these bytes, whose hashes all agree."""
    stored = kept.put(Record(CELL.key, CELL.fields, status), {"w": np.eye(2)})
    hashed = hashlib.sha256(content).hexdigest()
    place = kept.folder / "records" / CELL.key[:2]
    (place / f"{CELL.key}-{hashed[:16]}.npz").write_bytes(content)
    body = plain(vars(stored) | {"arrays_sha256": hashed}, "record")
    name = f"{CELL.key}.json" if stored.ok else f"{CELL.key}.failed.json"
    (place / name).write_text(json.dumps(body | {"sha256": digest(body)}))
    return Record(**body)


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "no")


# Arrays that were made by someone else


def test_bytes_that_are_no_arrays_are_told_with_their_place_and_why(kept):
    forged = forge(kept, b"these are no arrays")
    place = kept.folder / "records" / CELL.key[:2] / f"{CELL.key}-{forged.arrays_sha256[:16]}.npz"
    told = f"{place}: holds no arrays (BadZipFile: File is not a zip file); delete it and run the cell again"
    with pytest.raises(StoreError, match=f"^{re.escape(told)}$"):
        kept.arrays(forged)


def test_what_is_told_of_bad_arrays_is_of_bounded_length(kept):
    packed = io.BytesIO()
    header = b"{'" + b"x" * 300 + b"': 1}"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(StoreError) as caught:
        kept.arrays(forge(kept, packed.getvalue()))
    (why,) = re.findall(r"holds no arrays \((.*)\); delete", str(caught.value))
    assert len(why) == 200
    assert why.startswith("ValueError: ")


def test_a_forged_record_is_listed_until_its_arrays_are_opened(kept):
    forged = forge(kept, b"these are no arrays")
    assert list(kept.records()) == [forged]
    assert kept.load(CELL.key) == forged == kept.get(CELL)
    assert list(kept.records(opened=True)) == []
    assert "holds no arrays" in kept.quarantined[0]
    put(kept, arrays={"w": np.eye(2)})
    assert len(list(kept.records(opened=True))) == 1


def test_a_forged_failure_is_listed_until_its_arrays_are_opened(kept):
    forged = forge(kept, b"these are no arrays", status="timed_out")
    assert list(kept.records()) == [forged]
    assert list(kept.records(opened=True)) == []
    assert "holds no arrays" in kept.quarantined[0]


def test_looking_for_loose_arrays_opens_none(kept):
    forge(kept, b"these are no arrays")
    assert kept.unreferenced() == []
    assert kept.quarantined == []


def test_arrays_that_cannot_be_read_are_told_with_their_record(kept, monkeypatch):
    stored = put(kept, arrays={"w": np.eye(2)})
    monkeypatch.setattr(os, "open", refuse)
    place = kept.folder / "records" / CELL.key[:2] / f"{CELL.key}.json"
    with pytest.raises(StoreError, match=f"^{re.escape(str(place))}: no; choose another"):
        kept.arrays(stored)


# What a record may hold


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": "fine"}, "status invalid enum value 'fine'"),
        ({"wall_s": "x"}, "wall_s expected `float`, got `str`"),
        ({"error": {}}, "error lacks a type or a message"),
    ],
)
def test_what_would_not_be_read_back_is_not_written(kept, wrong, told):
    with pytest.raises(InputError, match=f"^{re.escape(told)}$"):
        kept.put(Record(CELL.key, CELL.fields, **({"status": "failed"} | wrong)))
    assert list(kept.keys()) == []


def test_what_a_record_may_just_hold(kept):
    told = Record(CELL.key, CELL.fields, "failed", cpu_s=2.0**60, error={"type": "E", "message": ""})
    assert kept.put(told) == kept.get(CELL) == told


class Runs:
    def __reduce__(self):
        return print, ("arrays were unpickled",)


def test_unpacking_runs_no_code(capsys):
    packed = io.BytesIO()
    np.savez(packed, w=np.array([Runs()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        unpack(packed.getvalue())
    assert capsys.readouterr().out == ""


def test_arrays_larger_than_their_file_are_not_unpacked():
    packed = io.BytesIO()
    np.savez_compressed(packed, w=np.zeros(100_000))
    with pytest.raises(InputError, match=r"^its members are larger than the file$"):
        unpack(packed.getvalue())
    np.testing.assert_array_equal(unpack(pack({"w": np.zeros(100)}))["w"], np.zeros(100))


# Keys and folders


def test_keys_are_those_of_records_under_a_prefix_in_order(kept):
    keys = sorted(put(kept, number).key for number in range(40))
    touch(kept.folder / "records" / keys[0][:2] / f"{keys[0]}.txt")
    touch(kept.folder / "records" / keys[0][:3] / f"{'a' * 64}.json")
    assert list(kept.keys()) == keys == [record.key for record in kept.records()]
    for length in (1, 2, 3, 64):
        prefix = keys[7][:length]
        assert list(kept.keys(prefix)) == [key for key in keys if key.startswith(prefix)]
    assert list(kept.keys("no such")) == []
    assert [kept.load(key).key for key in keys] == keys
    assert kept.load("0" * 64) is None


@pytest.mark.parametrize("at", ["records", "records/ab", "quarantine"])
def test_a_folder_that_cannot_be_listed_is_named(kept, monkeypatch, at):
    for folder in ("records/ab", "quarantine"):
        (kept.folder / folder).mkdir()
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: refuse() if path == kept.folder / at else listed(path))
    with pytest.raises(StoreError, match=f"^{re.escape(str(kept.folder / at))}: no; choose another"):
        list(kept.keys() if at != "quarantine" else kept.unreferenced())


def test_a_folder_that_goes_while_it_is_listed_holds_nothing(kept, monkeypatch):
    put(kept)
    (kept.folder / "records" / "00").mkdir()
    listed = Path.iterdir

    def go(path: Path):
        if path.name == "00":
            path.rmdir()
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", go)
    assert list(kept.keys()) == [CELL.key]


@pytest.mark.parametrize("at", ["records", "checkpoints", "checkpoints/key"])
def test_a_link_in_the_place_of_a_folder_is_refused_by_name(tmp_path, at):
    folder = tmp_path / "runs" / at.replace("key", CELL.key[:2])
    folder.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    told = f"{folder}: is a symbolic link, which is not followed; put the folder itself in its place"
    with pytest.raises(StoreError, match=f"^{re.escape(told)}$"):
        Store(tmp_path / "runs").checkpoint_path(CELL.key)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("ending", ["json", "npz"])
def test_what_the_system_cannot_read_is_no_verdict_on_the_record(kept, monkeypatch, number, ending):
    stored = put(kept, arrays={"w": np.eye(2)})
    opened = os.open

    def fail(path, *more):
        if str(path).endswith(ending):
            raise OSError(number, os.strerror(number))
        return opened(path, *more)

    asked = [lambda: kept.get(CELL), lambda: list(kept.records()), lambda: list(kept.records(opened=True))]
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        for ask in asked if ending == "json" else [*asked, lambda: kept.arrays(stored)]:
            with pytest.raises(StoreError, match=re.escape(os.strerror(number))):
                ask()
    assert kept.get(CELL) == stored
    assert kept.quarantined == []


def test_the_arrays_of_a_record_that_was_set_aside_are_not_loose(kept):
    stored, other = put(kept, arrays={"w": np.eye(2)}), put(kept, 1, arrays={"w": np.eye(3)})
    for record in (stored, other):
        for path in kept.folder.glob(f"records/??/{record.key}*"):
            os.utime(path, (0, 0))
            if path.suffix == ".json":
                path.write_text("{") if record is stored else path.unlink()
    assert [path.name[:64] for path in kept.unreferenced()] == [other.key]
    assert len(kept.quarantined) == 1
    records.tidy(kept, delete=True)
    assert [path.name[:64] for path in kept.folder.glob("records/??/*")] == [stored.key]


WRONG = [
    {"cell": "x"}, {"cell": {"a": 1}}, {"cell": {"runner": 1, "params": {}}},
    {"cell": {"runner": "toy", "params": []}}, {"status": ["ok"]}, {"metrics": [1]}, {"wall_s": "x"},
    {"wall_s": None}, {"cpu_s": True}, {"cpu_s": 10**400}, {"peak_memory_mb": "x"}, {"error": 5}, {"error": {}},
    {"error": {"type": "a"}}, {"error": {"type": "a", "message": 1}}, {"provenance": None}, {"arrays_sha256": 5},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_sealed_record_of_wrong_types_is_set_aside_and_cannot_be_put(kept, wrong):
    (name,) = wrong
    body = plain(vars(Record(CELL.key, CELL.fields, "failed")) | wrong)
    body["key"] = digest(body["cell"])
    place = kept.folder / "records" / body["key"][:2] / f"{body['key']}.json"
    place.parent.mkdir()
    place.write_text(json.dumps(body | {"sha256": digest(body)}))
    assert kept.load(body["key"]) is None
    (line,) = kept.quarantined
    assert line.startswith(f"{place.name}: {name} ")
    if name != "arrays_sha256":  # which it gives itself
        with pytest.raises(InputError, match=f"^{name} "):
            kept.put(Record(**body))


def test_whole_numbers_of_seconds_and_every_text_of_an_error_are_right(kept):
    told = {"type": "a", "message": "", "traceback": "b"}
    kept.put(Record(CELL.key, CELL.fields, "failed", wall_s=1, cpu_s=2, peak_memory_mb=3, error=told))
    assert kept.get(CELL).error == told


def test_a_link_in_the_place_of_a_record_is_set_aside(kept, tmp_path):
    put(kept)
    path = kept.folder / "records" / CELL.key[:2] / f"{CELL.key}.json"
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert kept.get(CELL) is None
    assert f"{path}: is a symbolic link, which is not followed; moved to" in kept.quarantined[0]
    assert moved.exists()


# What is read


def test_a_file_is_read_up_to_its_largest_size(kept, monkeypatch):
    put(kept)
    size = (kept.folder / "records" / CELL.key[:2] / f"{CELL.key}.json").stat().st_size
    monkeypatch.setattr(store, "LARGEST", size)
    assert kept.get(CELL) is not None
    monkeypatch.setattr(store, "LARGEST", size - 1)
    assert kept.get(CELL) is None
    assert f"no regular file of at most {size - 1} bytes" in kept.quarantined[0]


def test_a_file_is_read_whole_and_one_that_grows_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    found = path.stat()
    assert read_file(path, 10) == b"0123456789"
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((*found[:6], 8, *found[7:])))
    assert read_file(path, 10) == b"01234567"


# Writing


def test_writers_of_one_file_do_not_meet(tmp_path, monkeypatch):
    """Another writes the same file while this one is between its first byte and its rename."""
    path, synced = tmp_path / "a.json", os.fsync

    def meet(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", synced)
        write_file(path, b"other")
        assert path.read_bytes() == b"other"
        synced(handle)

    monkeypatch.setattr(os, "fsync", meet)
    write_file(path, b"this")
    assert path.read_bytes() == b"this"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_published_has_the_permissions_of_the_umask_and_records_are_their_owners(kept, tmp_path):
    before = os.umask(0o026)
    try:
        write_file(tmp_path / "table.csv", b"")
        put(kept, arrays={"w": np.eye(2)})
    finally:
        os.umask(before)
    assert (tmp_path / "table.csv").stat().st_mode & 0o777 == 0o640
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("records/??/*")} == {0o600}


# Checkpoints and what killed writers leave


def test_a_checkpoint_lies_under_its_key(kept):
    place = kept.folder / "checkpoints" / CELL.key[:2] / f"{CELL.key}.safetensors"
    assert kept.checkpoint_path(CELL.key) == place


def test_dropping_takes_the_checkpoint_and_what_writers_left_and_nothing_else(kept):
    path = touch(kept.checkpoint_path(CELL.key))
    touch(path.with_name(f"{CELL.key}-abc.tmp"))
    others = {touch(path.with_name(name)) for name in (f"{CELL.key}.1.damaged", f"{'f' * 64}-abc.tmp")}
    kept.drop_checkpoint(CELL.key)
    assert set(path.parent.iterdir()) == others
    lone = touch(kept.checkpoint_path("0" * 64))
    kept.drop_checkpoint("0" * 64)
    assert not lone.parent.exists()
    kept.drop_checkpoint("1" * 64)
    for other in others:
        other.unlink()
    kept.drop_checkpoint(CELL.key)
    assert not (kept.folder / "checkpoints").exists()


def test_a_checkpoint_that_cannot_be_dropped_is_named(kept, monkeypatch):
    path = touch(kept.checkpoint_path(CELL.key))
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=f"^{re.escape(str(path))}: no; choose another"):
        kept.drop_checkpoint(CELL.key)


def test_what_nobody_finishes_is_listed_after_a_day_and_swept_after_a_week(kept):
    kept.put(Record(CELL.key, CELL.fields, "timed_out"))
    ages = {"young": 0.9, "old": 1.1, "older": 6.9, "stale": 7.1, "aside": 7.1}
    paths = {name: touch(kept.checkpoint_path(name * 8), days) for name, days in ages.items()}
    paths["aside"] = paths["aside"].rename(paths["aside"].with_suffix(".1.damaged"))
    torn, tearing = (
        touch(kept.checkpoint_path("torn" * 8).with_suffix(f".{name}.tmp"), seconds / 86400)
        for name, seconds in (("old", 3610), ("new", 3590))
    )
    assert kept.unreferenced() == sorted([paths["old"], paths["older"], paths["stale"], paths["aside"]])
    table = records.tidy(kept, delete=False)
    assert {row[0] for row in table.rows} == {paths["old"].name, paths["older"].name}
    assert [paths[name].exists() for name in ages] == [True, True, True, False, False]
    assert [torn.exists(), tearing.exists()] == [False, True]
    records.tidy(kept, delete=True)
    assert [paths[name].exists() for name in ages] == [True, False, False, False, False]
    assert kept.get(CELL).status == "timed_out"


def test_what_another_process_removed_first_is_passed_over(kept, monkeypatch):
    touch(kept.folder / "records" / "ab" / "old.tmp", 1)

    def remove_first(path: Path, _: float) -> bool:
        path.unlink()
        return True

    assert not store._is_older(kept.folder / "none", 0)
    monkeypatch.setattr(store, "_is_older", remove_first)
    kept.sweep()
    assert list((kept.folder / "records" / "ab").iterdir()) == []
