"""Files made to do harm: a typed error or harmless, in bounded memory, and nothing touched outside their folder."""

import csv
import gzip
import hashlib
import io
import json
import os
import struct
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save as safetensors_of

from bench.cells.files import StoreError, write_file
from bench.cells.record import Record, pack, unpack
from bench.cells.store import Store
from bench.datasets import blocks, download, readers
from bench.datasets.load import load, load_own
from bench.errors import INPUT_ERRORS, InputError
from bench.judge.claims import read_register
from bench.report import records
from bench.report.write import write
from bench.show.tables import FORMULA_STARTS, Table, to_markdown
from causalrec.interactions import drop_repeats
from causalrec.methods.canonical import digest
from causalrec.methods.saved import PARAMETERS
from causalrec.methods.saved import load as load_model
from tests.bench.toy_cells import toy
from tests.robustness.fuzz import targets

HEADER = b"user,item,time\n"


def put_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def own(path: Path, content: bytes):
    path.write_bytes(content)
    return readers.read_table(path, user="user", item="item", time="time")


# Tables of actions


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEADER.decode().encode("utf-16"), "the text is UTF-16; save the file as UTF-8"),
        (HEADER + "é,1,1\n".encode("latin-1"), "line 2: byte 0xe9 is not utf-8"),
        (HEADER + b"\xed\xa0\x80,1,1\n", "line 2: byte 0xed is not utf-8"),
        (HEADER + b"u\0,1,1\n", "line 2: there is a NUL byte"),
        (HEADER + b"u,i,NaN\n", "line 2: the time is 'NaN'; expected a finite number"),
        (HEADER + b"u,i,\n", "line 2: the time is ''"),
        (HEADER + b"u,i,1\n" + b"u,i," + b"9" * (10 << 20) + b"\n", "line 3: the line has 10485765 bytes"),
        (HEADER + b"u" * (40 << 20), "line 2: the line has over 1048576 bytes"),
        (gzip.compress(HEADER + b"u,i,1\n" * 1000)[:-9], "cannot be unpacked"),
        (gzip.compress(bytes(1 << 28), 1), "line 1: the line has over 1048576 bytes"),
    ],
    ids=["utf-16", "latin-1", "surrogate", "nul", "nan", "no time", "10 MB", "40 MB, no end", "cut gzip", "bomb"],
)
def test_a_table_that_is_none_is_refused_by_line(content, told, tmp_path):
    tracemalloc.start()
    with pytest.raises(InputError, match=told):
        load_own(put_file(tmp_path / "a.csv", content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * blocks.BLOCK


def test_ids_of_any_size_are_text_and_no_number_of_a_published_file_overflows(tmp_path):
    big = str(2**63)
    read = own(tmp_path / "a.csv", HEADER + f"{big},-{big},1e300\n".encode())
    assert (read.user_labels, read.item_labels, read.times.tolist()) == ((big,), (f"-{big}",), [1e300])
    (tmp_path / "u.data").write_text(f"{big}\t1\t3\t1\n")
    with pytest.raises(InputError, match="line 1: the user is '9223372036854775808'; expected a whole number"):
        readers.read_movielens_100k(tmp_path / "u.data")


def test_rows_that_stand_twice_are_kept_and_dropped_where_asked(tmp_path):
    read = own(tmp_path / "a.csv", b"\xef\xbb\xbf" + (HEADER + b"u,i,1\n" * 3 + b"u,j,0\n").replace(b"\n", b"\r\n"))
    assert len(read) == 4
    assert len(drop_repeats(read)) == 2


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match="this is not a file"):
        readers.read_table(tmp_path / "a.csv", user="user", item="item")
    os.mkfifo(tmp_path / "model.json")
    with pytest.raises(INPUT_ERRORS, match="there is no such file"):
        load_model(tmp_path, "cpu")


# Archives


@pytest.fixture
def outside(tmp_path) -> Path:
    """A folder with a file that must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    os.utime(folder / "mine", (0, time.time() - 7200))
    return folder


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["mine"] and (outside / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["ml-100k.zip.part", "ml-100k"])
def test_a_download_writes_through_no_link(name, outside, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / name).symlink_to(outside / "mine" if name.endswith("part") else outside)
    with pytest.raises(InputError, match="is a symbolic link, and nothing is written through one"):
        download.get("ml-100k", data)
    assert untouched(outside)


def test_data_that_is_there_is_read_through_a_link(outside, tmp_path):
    (outside / "ml-100k").mkdir()
    (outside / "ml-100k" / "u.data").write_text("1\t2\t3\t4\n")
    (tmp_path / "data").symlink_to(outside)
    assert load("ml-100k", tmp_path / "data", user_core=1, item_core=1).provenance.statistics["actions"] == 1


def test_an_archive_that_points_before_its_start_is_broken_and_removed(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("ml-1m/ratings.dat", "1::1::1::1\n")
    cut = content.getvalue()
    part = tmp_path / "part"
    part.write_bytes(cut[20:])
    place = download.Archive("https://owner", None, 1 << 20, 1 << 20, {"ml-1m/ratings.dat": "ml-1m/ratings.dat"})
    with pytest.raises(InputError, match="the archive is broken"):
        download.unpack(part, place, download.find("ml-1m"), tmp_path / "out")
    assert not part.exists()


# Results folders


def put(store: Store, number: int = 0) -> Record:
    cell = toy(number)
    return store.put(Record(cell.key, cell.fields, "ok"), {"w": np.eye(2)})


@pytest.mark.parametrize("link", ["records", "records/??", "quarantine"])
def test_a_store_writes_moves_and_removes_nothing_through_a_link(link, outside, tmp_path):
    folder = tmp_path / "runs"
    key = toy(0).key
    place = folder / link.replace("??", key[:2])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    for name in ("old.tmp", f"{key}-0.npz", f"{key}.json"):
        (outside / name).write_text("{}")
        os.utime(outside / name, (0, time.time() - 7200))
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    if link == "quarantine":
        (folder / "records" / key[:2]).mkdir(parents=True)
        (folder / "records" / key[:2] / f"{key}.json").write_text("{}")
    asked = [
        lambda: Store(folder).get(toy(0)),
        lambda: put(Store(folder)),
        lambda: Store(folder).sweep(),
        lambda: records.tidy(Store(folder), delete=True),
    ]
    for ask in asked if link != "quarantine" else asked[:1]:
        with pytest.raises(StoreError, match="is a symbolic link, which is not followed"):
            ask()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


def test_a_record_and_arrays_that_are_links_are_set_aside_and_what_they_lead_to_stays(outside, tmp_path):
    store = Store(tmp_path / "runs")
    for ending in ("json", "npz"):
        put(store)
        (path,) = (store.folder / "records").glob(f"??/*.{ending}")
        moved = outside / path.name
        path.replace(moved)
        path.symlink_to(moved)
        assert store.get(toy(0)) is None
        assert moved.exists()
        moved.unlink()
    assert untouched(outside)
    assert all("symbolic link" in line for line in store.quarantined)
    assert len(store.quarantined) == 2


def test_a_pipe_or_a_folder_in_the_place_of_a_record_is_set_aside_without_waiting(tmp_path):
    store = Store(tmp_path)
    put(store)
    (path,) = tmp_path.glob("records/??/*.json")
    path.unlink()
    os.mkfifo(path)
    assert store.get(toy(0)) is None
    path.mkdir()
    assert store.get(toy(0)) is None
    assert len(store.quarantined) == 2


def resealed(store: Store, packed: bytes) -> Record:
    """A record made by hand for these bytes as its arrays, hashes and all."""
    record = put(store)
    (path,) = (store.folder / "records").glob("??/*.json")
    hashed = hashlib.sha256(packed).hexdigest()
    body = json.loads(path.read_text()) | {"arrays_sha256": hashed}
    del body["sha256"]
    path.write_text(json.dumps(body | {"sha256": digest(body)}))
    path.with_name(f"{record.key}-{hashed[:16]}.npz").write_bytes(packed)
    return replace(record, arrays_sha256=hashed)


def npy(header: str, content: bytes = b"") -> bytes:
    padded = (header + " " * (-(len(header) + 11) % 64) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def zipped(content: bytes, kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as made:
        made.writestr("w.npy", content)
    return buffer.getvalue()


BOMB = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({8 << 20},), }}", bytes(64 << 20))


HUGE = zipped(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }"))


@pytest.mark.parametrize(
    "packed",
    [
        b"no zip",
        zipped(BOMB, zipfile.ZIP_DEFLATED),
        HUGE,
        zipped(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n")),
        zipped(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }")),
        zipped(npy("[" * 3000)),
        pack({"w": np.eye(2)})[:-30],
    ],
    ids=["no zip", "bomb", "huge shape", "pickle", "negative shape", "nested header", "cut"],
)
def test_arrays_resealed_by_hand_are_a_typed_error_and_fail_verification(packed, tmp_path):
    store = Store(tmp_path)
    record = resealed(store, packed)
    tracemalloc.start()
    with pytest.raises(StoreError, match="holds no arrays"):
        store.arrays(record)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20 or packed == HUGE  # whose numbers are asked for, and not one is touched
    _, sound = records.verify(store)
    assert not sound
    assert store.get(toy(0)) is None


def test_whole_arrays_come_back_from_their_bytes():
    arrays = {"w": np.eye(2), "s": np.array(["é"])}
    assert {name: array.tolist() for name, array in unpack(pack(arrays)).items()} == {
        name: array.tolist() for name, array in arrays.items()
    }


@pytest.mark.parametrize("key", ["../..", "*", "??", "/", "é", "0" * 65, "\0", "[0-9]"])
def test_a_key_that_is_none_finds_nothing(key, tmp_path):
    put(store := Store(tmp_path))
    with pytest.raises(InputError, match="begins no key"):
        records.find(store, key)


def test_files_are_not_written_through_a_link_in_the_place_of_their_temporary(outside, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / "a.json").write_text("new")
    (tmp_path / "a-0000000000000000.tmp").symlink_to(outside / "mine")
    with pytest.raises(StoreError, match="File exists"):
        write_file(tmp_path / "a.json", b"newer")
    assert (tmp_path / "a.json").read_text() == "new"
    assert untouched(outside)


@pytest.mark.parametrize("place", ["run", "run/tables", "run/figures"])
def test_a_run_is_not_written_through_a_link(place, outside, tmp_path):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to(outside)
    with pytest.raises(StoreError, match="is a symbolic link"):
        write(None, tmp_path / "run")  # refused before the run is looked at
    assert untouched(outside)


# What programs would run


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_exported_cell_or_column_is_a_formula(start, tmp_path):
    store = Store(tmp_path / "runs")
    cell = toy(0)
    error = {"type": f"{start}cmd", "message": "x", "traceback": ""}
    metrics = {"told": f"{start}cmd|' /C calc'!A0", f"{start}name": 1, "later": f"x\r{start}cmd"}
    store.put(Record(cell.key, cell.fields, "failed", metrics, error=error, provenance={"commit": f"{start}x"}))
    records.export(store, tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    texts = [text for row in rows for text in row]
    assert not [text for text in texts if text.startswith(FORMULA_STARTS)]
    assert f"'{start}cmd|' /C calc'!A0" in texts
    assert f"'{start}cmd: x" in texts
    assert f"x\r{start}cmd" in texts
    assert len(rows) == 2


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil/x.png)"])
def test_markdown_holds_no_tag_and_no_link_of_a_title(text):
    shown = to_markdown(Table("t", text, ("item", text), ((text, 1),), text))
    assert "<script" not in shown.replace("\\<", "")
    assert "](" not in shown


# Registers and models


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{a=" * 5000,
        "a = " + "9" * 5000,
        "a = 1e999",
        "[a]\nstatement = 1979-05-27",
        "[a]\nmargin = nan",
        "[a]\nparts = 3",
        "[a.parts]\nb = 3",
        "[a.parts.b]\nsesoi = nan",
        "gates = 3",
        "[gates.a]\nwhat = 'x'\nreason = 'x'\nleast = 'x'",
        "\0",
    ],
)
def test_a_register_of_wrong_types_is_refused(text, tmp_path):
    (tmp_path / "claims.toml").write_text(text)
    with pytest.raises(InputError, match=r"claims\.toml"):
        read_register(tmp_path / "claims.toml")


MODEL = next(target for target in targets() if target.file == PARAMETERS)


def header_of(content: bytes) -> dict:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def safetensors_with(header: dict, content: bytes) -> bytes:
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + content


def changed(**change: object) -> bytes:
    """The model's parameters with the first tensor told otherwise."""
    whole = MODEL.whole[0]
    (length,) = struct.unpack("<Q", whole[:8])
    header = header_of(whole)
    name = next(name for name in header if name != "__metadata__")
    return safetensors_with(header | {name: header[name] | change}, whole[8 + length :])


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63 - 1) + b"{}",
        struct.pack("<Q", 100_000_001) + b"{" * 100,
        struct.pack("<Q", 5) + b"{}",
        changed(shape=[2**40, 2**40]),
        changed(shape=[2**31]),
        changed(shape=[-1]),
        changed(data_offsets=[0, 2**62]),
        changed(data_offsets=[16, 0]),
        changed(dtype="F16"),
        changed(dtype="O8"),
        safetensors_of({"other": np.zeros(3)}),
        struct.pack("<Q", 6000) + b'{"a":' * 1200,
    ],
    ids=[
        "header of 2^63", "header over 100 MB", "header past the end", "2^80 numbers", "2^31 numbers", "negative shape",
        "offset past the end", "offsets backwards", "other type", "pickle type", "other tensors", "nested",
    ],
)  # fmt: skip
def test_parameters_told_falsely_are_refused(content, tmp_path):
    MODEL.keep(tmp_path)
    (tmp_path / PARAMETERS).write_bytes(content)
    MODEL.sealed(tmp_path)
    before = torch.get_default_dtype()
    with pytest.raises(INPUT_ERRORS):
        load_model(tmp_path, "cpu")
    assert torch.get_default_dtype() == before
