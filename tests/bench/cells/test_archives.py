"""Records in archives: what comes out is what went in, and what is no record stays out."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cells import archives
from bench.cells.archives import archives_in, pack, unpack
from bench.cells.files import StoreError
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.errors import InputError
from tests.bench.toy_cells import toy

KEY = "ab" * 32


def filled(folder: Path) -> Store:
    """A store with successes, with and without arrays, and a failure."""
    store = Store(folder)
    for number in range(3):
        cell = toy(number)
        arrays = {"rank": np.arange(number), "w": np.full((2, 2), 0.5)} if number else None
        store.put(Record(cell.key, cell.fields, "ok", {"ndcg": number / 7}), arrays)
    cell = toy(3)
    store.put(Record(cell.key, cell.fields, "failed", error={"type": "E", "message": "no"}))
    for model in ("sasrec", "mine:Last"):
        cell = Cell("recommender", {"model": model, "dataset": {"name": "ml-1m"}}, ("bench.runners.recommender:run",))
        store.put(Record(cell.key, cell.fields, "ok"))
    return store


def of(store: Store) -> Iterator[tuple[Store, Record]]:
    return ((store, record) for record in store.records())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as written:
        for about, data in members:
            about.size = len(data) if about.isreg() else 0
            written.addfile(about, io.BytesIO(data))
    return path.parent


def test_records_come_out_as_they_went_in_and_archives_are_the_same_whenever_made(tmp_path):
    store = filled(tmp_path / "then")
    written = pack(of(store), tmp_path / "kept")
    assert [path.name for path in written] == [
        "recommender-ml-1m-mine-Last.tar.xz", "recommender-ml-1m-sasrec.tar.xz", "toy.tar.xz"
    ]  # fmt: skip
    again = pack(reversed(list(of(store))), tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    assert unpack(tmp_path / "kept", tmp_path / "now") == 6
    assert files(tmp_path / "now") == files(tmp_path / "then")
    assert unpack(tmp_path / "kept", tmp_path / "now") == 0
    assert list(Store(tmp_path / "now").records(opened=True)) == list(store.records())


def test_archives_of_before_go_and_other_files_stay(tmp_path):
    store = filled(tmp_path / "then")
    pack(of(store), tmp_path / "kept")
    (tmp_path / "kept" / "run.json").touch()
    pack([(s, record) for s, record in of(store) if record.cell["runner"] == "toy"], tmp_path / "kept")
    assert sorted(files(tmp_path / "kept")) == ["run.json", "toy.tar.xz"]


def test_what_a_store_has_already_stays(tmp_path):
    store = filled(tmp_path / "then")
    pack(of(store), tmp_path / "kept")
    (key, *_), now = store.keys(), tmp_path / "now"
    (now / "records" / key[:2]).mkdir(parents=True)
    path = now / "records" / key[:2] / f"{key}.json"
    path.write_text("mine")
    assert unpack(tmp_path / "kept", now) == 5
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", [
    "../records/ab/x.json", f"/records/ab/{KEY}.json", f"records/cd/{KEY}.json", f"records/ab/{KEY}.sh",
    f"records/ab/../ab/{KEY}.json", f"records/ab/{KEY}.json\n",
])  # fmt: skip
def test_a_file_of_another_name_is_refused(tmp_path, name):
    place = archive(tmp_path / "toy.tar.xz", (tarfile.TarInfo(name), b"{}"))
    with pytest.raises(InputError, match=r"toy\.tar\.xz: holds .*, which is no record"):
        unpack(place, tmp_path / "now")
    assert not (tmp_path / "now").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_refused(tmp_path, kind):
    about = tarfile.TarInfo(f"records/ab/{KEY}.json")
    about.type, about.linkname = kind, "/etc/passwd"
    place = archive(tmp_path / "toy.tar.xz", (about, b""))
    with pytest.raises(InputError, match="which is no record"):
        unpack(place, tmp_path / "now")


def test_more_than_a_store_reads_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 1000)
    members = [(tarfile.TarInfo(f"records/ab/{KEY[:-1]}{digit}.json"), b"0" * 400) for digit in "123"]
    place = archive(tmp_path / "toy.tar.xz", *members)
    with pytest.raises(InputError, match="which is no record"):
        unpack(place, tmp_path / "now")


def test_nothing_is_written_through_a_link(tmp_path):
    store = filled(tmp_path / "then")
    pack(of(store), tmp_path / "kept")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "now").mkdir()
    (tmp_path / "now" / "records").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is a symbolic link"):
        unpack(tmp_path / "kept", tmp_path / "now")
    assert files(tmp_path / "elsewhere") == {}


@given(st.data())
def test_a_damaged_archive_is_refused_or_its_records_are_whole(data):
    with TemporaryDirectory() as place:
        there = Path(place)
        store = filled(there / "then")
        path, *_ = reversed(pack(of(store), there / "kept"))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            del content[at:]
        path.write_bytes(content)
        told = ""
        try:
            unpack(there / "kept", there / "now")
        except InputError as error:
            told = str(error)
        assert not told or (told.startswith(str(path)) and told.isprintable())
        for record in Store(there / "now").records(opened=True):
            assert record == store.load(record.key)


def test_a_folder_without_archives_has_none(tmp_path):
    assert archives_in(tmp_path / "nowhere") == []
    assert unpack(tmp_path / "nowhere", tmp_path / "now") == 0
