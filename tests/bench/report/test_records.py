"""What lies in a results folder: listed, shown, verified, tidied without loss, exported without a digit lost."""

import io
import os
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cells.record import Record
from bench.cells.store import Store
from bench.engine.shards import Shard, read_shard
from bench.errors import InputError
from bench.report import records
from tests.bench.toy_cells import toy


def put(store: Store, number: int, status: str = "ok", **metrics) -> Record:
    cell = toy(number)
    error = None if status == "ok" else {"type": "ValueError", "message": "=1+1", "traceback": ""}
    arrays = {"values": np.arange(number + 1.0)} if status == "ok" else None
    return store.put(Record(cell.key, cell.fields, status, metrics, cpu_s=0.1 + number, error=error), arrays)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "runs")
    put(made, 0, mean=0.1 + 0.2, told="=SUM(A1)", nested={"a": [1, 2], "b": None})
    put(made, 1, mean=1e-300)
    put(made, 2, "failed")
    return made


def test_records_are_counted_by_runner_and_status_and_listed_by_runner(store):
    assert records.list_table(store).rows == (("toy", "failed", 1, 2.1), ("toy", "ok", 2, pytest.approx(1.2)))
    listed = records.list_table(store, "toy")
    assert {row[0] for row in listed.rows} == {toy(number).key[:12] for number in range(3)}
    assert any('"number":2' in row[3] for row in listed.rows)
    with pytest.raises(InputError, match="no record is of runner 'recommender'; there are records of toy"):
        records.list_table(store, "recommender")


def test_a_record_is_found_by_the_digits_that_tell_it_from_others(store):
    record = records.find(store, toy(1).key[:12])
    about, metrics, arrays = (dict(table.rows) if len(table.columns) == 2 else table.rows
                              for table in records.show_tables(store, record))  # fmt: skip
    assert about["key"] == toy(1).key
    assert metrics == {"mean": "1e-300"}
    assert arrays == (("values", "float64", "2"),)
    assert ("message", "=1+1") in records.show_tables(store, records.find(store, toy(2).key))[0].rows
    for wrong, told in (("zz", "begins no key"), ("", "begins no key")):
        with pytest.raises(InputError, match=told):
            records.find(store, wrong)
    for number in range(3, 20):  # seventeen more keys of hexadecimal digits: two begin alike
        put(store, number)
    first = [toy(number).key[0] for number in range(20)]
    with pytest.raises(InputError, match=rf"begins {max(map(first.count, first))} keys \("):
        records.find(store, max(first, key=first.count))


def test_verify_sets_aside_what_is_damaged_and_says_so(store):
    table, sound = records.verify(store)
    assert sound
    assert table.note.startswith("3 records hold; 0 do not")
    (path,) = (store.folder / "records").glob(f"??/{toy(1).key}.json")
    path.write_text(path.read_text().replace("1e-300", "2e-300"))
    table, sound = records.verify(Store(store.folder))
    assert not sound
    assert "the checksum does not match" in table.rows[0][0]
    assert "2 records hold; 1 do not, and were set aside" in table.note
    assert "1 damaged ones lie in quarantine/" in records.list_table(Store(store.folder)).note


def test_tidying_removes_what_no_record_names_and_nothing_else(store):
    whole = {path for path in store.folder.rglob("*") if path.is_file()}
    old, young = (next(iter((store.folder / "records").glob("??"))) / f"{name}-0.npz" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x" * 2**20)
    os.utime(old, (0, time.time() - 7200))
    assert records.tidy(store, delete=False).rows == (("old-0.npz", 1.0),)
    assert old.exists()
    assert "1 files removed" in records.tidy(store, delete=True).note
    assert {path for path in store.folder.rglob("*") if path.is_file()} == whole | {young}
    assert records.tidy(store, delete=True).rows == ()


def test_tidying_passes_over_a_checkpoint_whose_cell_ends_meanwhile(store, monkeypatch):
    path = store.checkpoint_path(toy(0).key)
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (0, time.time() - 2 * 86400))
    listed = store.unreferenced

    def end() -> list:
        loose = listed()
        assert loose == [path]
        store.drop_checkpoint(toy(0).key)
        return loose

    monkeypatch.setattr(store, "unreferenced", end)
    assert records.tidy(store, delete=True).rows == ()


def test_an_export_has_a_row_a_record_and_every_digit(store, tmp_path):
    file = tmp_path / "all.csv"
    assert records.export(store, file) == 3
    frame = pd.read_csv(file).set_index("key")
    assert frame.loc[toy(0).key, "metrics.mean"] == 0.1 + 0.2
    assert frame.loc[toy(1).key, "metrics.mean"] == 1e-300
    assert frame.loc[toy(0).key, "metrics.told"] == "'=SUM(A1)"
    assert frame.loc[toy(0).key, "metrics.nested.a"] == "[1, 2]"
    assert frame.loc[toy(2).key, "error"] == "ValueError: =1+1"
    assert set(frame["params.number"]) == {0, 1, 2}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_no_unicode_is_escaped_in_an_export(store, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    put(store, 3, **{"\udcff": "\udcfe", "listed": ["\udcfd"]})
    file = tmp_path / f"\udcff.{ending}"
    assert records.export(store, file) == 4
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    frame = read(io.BytesIO(file.read_bytes())).set_index("key")
    assert frame.loc[toy(3).key, r"metrics.\udcff"] == r"\udcfe"


def test_parquet_keeps_types(store, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    file = tmp_path / "all.parquet"
    assert records.export(store, file) == 3
    frame = pd.read_parquet(file).set_index("key")
    assert frame.loc[toy(1).key, "metrics.mean"] == 1e-300
    assert frame.loc[toy(0).key, "metrics.told"] == "=SUM(A1)"


def test_an_export_refuses_other_endings_and_places(store, tmp_path):
    with pytest.raises(InputError, match=r"all\.xlsx: its ending must be one of \.csv, \.parquet"):
        records.export(store, tmp_path / "all.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        records.export(store, tmp_path / "none" / "all.csv")


def test_looking_makes_no_folder(tmp_path):
    with pytest.raises(InputError, match="there are no records"):
        records.open_store(tmp_path / "none")
    assert not (tmp_path / "none").exists()


# Shards


@given(st.integers(1, 7), st.lists(st.integers(0, 50), max_size=30), st.randoms(use_true_random=False))
def test_shards_part_the_cells_and_do_not_depend_on_what_else_is_planned(count, numbers, random):
    cells = [toy(number) for number in numbers]
    shares = [Shard(index, count).of(cells) for index in range(1, count + 1)]
    assert sorted(cell.key for share in shares for cell in share) == sorted({cell.key for cell in cells})
    some = random.sample(cells, len(cells) // 2)
    for index, share in enumerate(shares, start=1):
        assert {cell.key for cell in Shard(index, count).of(some)} == {c.key for c in some} & {c.key for c in share}


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/ 2", "²/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="give i/n, such as 1/4"):
        read_shard(text)


def test_a_shard_is_read():
    assert read_shard("2/4") == Shard(2, 4)
