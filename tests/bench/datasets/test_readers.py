"""Readers: what each published form means, and the message for every way a file can be wrong."""

import csv
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.datasets import blocks, readers
from bench.errors import InputError
from causalrec.interactions import Interactions
from tests.strategies import action_rows, ids, number_ids, text_ids

Reader = Callable[[Path], Interactions]
Row = tuple[str, str, int]
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
read_headed = partial(readers.read_table, user="user", item="item", time="time")
read_untimed_inter = partial(readers.read_table, user="user_id", item="item_id")


def utc(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%a %b %d %H:%M:%S +0000 %Y")


FORMS: dict[str, tuple[str, Reader, Callable[[Row], str], str, bool]] = {
    "u.data": ("u.data", readers.read_movielens_100k, lambda row: f"{row[0]}\t{row[1]}\t3\t{row[2]}", "", True),
    "ratings.dat": ("r.dat", readers.read_movielens_1m, lambda row: f"{row[0]}::{row[1]}::5::{row[2]}", "", True),
    "sasrec": ("s.txt", readers.read_user_item, lambda row: f"{row[0]} {row[1]}", "", False),
    "tsmc2014": (
        "t.txt",
        readers.read_foursquare,
        lambda row: f"{row[0]}\t{row[1]}\t4bf5\tCafé\t40.7\t-74.0\t-240\t{utc(row[2])}",
        "",
        True,
    ),
    "kgrec": ("k.csv", readers.read_kgrec, lambda row: f"{row[0]}\t{row[1]}\t1", "", False),
    "csv": ("c.csv", read_headed, lambda row: f"{row[2]},{row[1]},x,{row[0]}", "time,item,other,user\n", True),
    "tsv": ("c.tsv", read_headed, lambda row: f"{row[0]}\t{row[1]}\t{row[2]}", "user\titem\ttime\n", True),
    "recbole": (
        "r.inter",
        partial(read_untimed_inter, time="timestamp"),
        lambda row: f"{row[0]}\t{row[1]}\t4.0\t{row[2]}.0",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
        True,
    ),
    "recbole without times": (
        "r.inter",
        read_untimed_inter,
        lambda row: f"{row[0]}\t{row[1]}",
        "user_id:token\titem_id:token\n",
        False,
    ),
}
forms = pytest.mark.parametrize("form", FORMS)


def write(folder: Path, form: str, rows: list[Row]) -> Path:
    file, _, line, header, _ = FORMS[form]
    path = folder / file
    encoding = "latin-1" if form == "tsmc2014" else "utf-8"
    path.write_bytes((header + "".join(line(row) + "\n" for row in rows)).encode(encoding))
    return path


def rows_of(read: Interactions) -> list[tuple[str, str]]:
    pairs = zip(read.users.tolist(), read.items.tolist(), strict=True)
    return [(read.user_labels[user], read.item_labels[item]) for user, item in pairs]


@forms
@same_folder
@given(data=st.data())
def test_what_is_written_is_read(form: str, data: st.DataObject, tmp_path: Path) -> None:
    ids = text_ids() if form in {"csv", "tsv", "recbole", "recbole without times"} else number_ids()
    rows = data.draw(action_rows(ids))
    path = write(tmp_path, form, rows)
    _, read, _, _, timed = FORMS[form]
    expected = [row[:2] for row in rows]
    whole = read(path)
    assert rows_of(whole) == expected
    assert (None if whole.times is None else whole.times.tolist()) == ([row[2] for row in rows] if timed else None)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert rows_of(read(path)) == expected


@same_folder
@given(st.dictionaries(number_ids(), st.lists(number_ids(), min_size=1, max_size=5), min_size=1, max_size=5))
def test_lists_are_read(tmp_path: Path, lists: dict[str, list[str]]) -> None:
    path = tmp_path / "lists.txt"
    path.write_text("".join(f"{user} {' '.join(items)}\n" for user, items in lists.items()))
    read = readers.read_lists(path)
    assert rows_of(read) == [(user, item) for user, items in lists.items() for item in items]
    assert read.times is None


@same_folder
@given(action_rows(ids()))
def test_quoted_csv_is_read(tmp_path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("user", "item", "time"), *rows])
    path = tmp_path / "quoted.csv"
    path.write_text(text.getvalue(), newline="")
    read = read_headed(path)
    assert rows_of(read) == [row[:2] for row in rows]


@forms
@same_folder
@example(junk=b"\n" * 3)
@example(junk=b"1\t2\t3\t4\n")
@example(junk=b'user\titem\ttime\n"\n')
@given(junk=st.one_of(st.binary(max_size=60), st.text("0123456789\t ,:\"\n.-naéuserit", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(form: str, junk: bytes, tmp_path: Path) -> None:
    file, read, _, header, _ = FORMS[form]
    for content in (junk, header.encode() + junk, header.encode() + junk + b"\n"):
        (tmp_path / file).write_bytes(content)
        for reader in (read, readers.read_lists):
            try:
                assert len(reader(tmp_path / file)) > 0
            except InputError:
                continue


WHOLE: list[Row] = [("1", "7", 874795795), ("2", "8", 874795796), ("1", "9", 874795797)]


@forms
@same_folder
@given(data=st.data())
def test_blocks_of_any_size_read_alike(form: str, data: st.DataObject, tmp_path: Path) -> None:
    """Whole files and files with a fault: the same interactions, or refused either way."""
    ids = text_ids() if form in {"csv", "tsv", "recbole", "recbole without times"} else number_ids()
    path = write(tmp_path, form, data.draw(action_rows(ids)))
    read, whole = FORMS[form][1], path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    broken = whole[:at] + data.draw(st.sampled_from([b"", b"", b"\n", b"\t", b"x", b"\xff", b"\r"])) + whole[at:]
    path.write_bytes(broken.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n"]))))
    at_once = told(read, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", data.draw(st.integers(4, 80)))
        assert told(read, path) == at_once


@same_folder
@given(
    rows=action_rows(st.text('a," u', min_size=1, max_size=6)),
    note=st.text('a,"\n u', max_size=6),
    block=st.integers(4, 60),
    count=st.integers(2, 4),
)
def test_quoted_blocks_of_any_size_read_alike(
    tmp_path: Path, rows: list[Row], note: str, block: int, count: int
) -> None:
    path = tmp_path / "quoted.csv"
    with path.open("w", newline="") as file:
        table = [("user", "item", "time", "note"), *((*row, note) for row in rows), ("u", '"', 1, "")]
        csv.writer(file, lineterminator="\n").writerows(table)
    assert told(read_headed, path) is not None
    at_once = told(read_headed, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        patch.setattr(blocks, "QUOTED_ROWS", count)
        assert told(read_headed, path) == at_once


@same_folder
@given(lists=st.lists(st.lists(number_ids(), min_size=1, max_size=5), min_size=1, max_size=5), block=st.integers(4, 40))
def test_lists_in_blocks_of_any_size_read_alike(tmp_path: Path, lists: list[list[str]], block: int) -> None:
    path = tmp_path / "lists.txt"
    path.write_text("".join(" ".join(row) + "\n" for row in lists))
    at_once = told(readers.read_lists, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        assert told(readers.read_lists, path) == at_once


def told(read: Reader, path: Path) -> object:
    """What a reader makes of a file, as plain data; None where it refuses it."""
    try:
        found = read(path)
    except InputError:
        return None
    times = None if found.times is None else found.times.tolist()
    return found.users.tolist(), found.items.tolist(), times, found.user_labels, found.item_labels


LINE_2 = {
    "u.data": [
        (b"2\t8\t3\t874795796\t", "5 columns; expected 4"),
        (b"2\t8\t3", "3 columns; expected 4 with a tab"),
        (b"", "1 columns"),
        (b"x\t8\t3\t1", "the user is 'x'; expected a whole number"),
        (b"-2\t8\t3\t1", "the user is '-2'"),
        (b"2\t08\t3\t1", "the item is '08'"),
        (b"2\t\t3\t1", "the item is ''"),
        (b"2\t8\t6\t1", "the rating is '6'"),
        (b"2\t8\t3\tnan", "the time is 'nan'; expected a finite number"),
        (b"2\t8\t3\tinf", "the time is 'inf'"),
        (b"2\t8\t3\t1e999", "the time is '1e999'"),
        (b"2\t8\t3\t1_0", "the time is '1_0'"),
        ("2\t8\t3\t٣".encode(), "the time is '٣'"),
        (b"2\t8\t3\t1\r2", "a carriage return"),
        (b"2\t8\0\t3\t1", "a NUL byte"),
        (b"2\t8\t3\t\xff", "byte 0xff is not utf-8"),
        (b'"2\t8\t3\t1', "the user is '\"2'"),
        (b"2\t8\t3\t" + b"1" * (1 << 20), "the line has 1048583 bytes; expected at most 1048576"),
    ],
    "ratings.dat": [(b"2::8::5", "3 columns"), (b"2\t8::5::1", "a tab"), (b"2:::8::5::1", "the item is ':8'")],
    "sasrec": [
        (b"2  8", "3 columns; expected 2 with one space"),
        (b"2 8 ", "3 columns"),
        (b"2 -8", "the item is '-8'"),
        (b" ", "the user is ''"),
    ],
    "tsmc2014": [
        (b"2\tv\tc\tBar\t1\t2\t3", "7 columns; expected 8"),
        (b"2\tv\tc\tBar\t1\t2\t3\t2012-04-03", "expected a UTC time such as"),
        (b"2\tv\tc\tBar\t1\t2\t3\tTue Apr 31 18:00:09 +0000 2012", "a date and time that exist"),
        (b"2\tv\tc\tBar\t1\t2\t3\tTue Apr 03 18:00:09 +0900 2012", "expected a UTC time"),
        (b"2\t\tc\tBar\t1\t2\t3\tTue Apr 03 18:00:09 +0000 2012", "the item is ''; expected an id"),
    ],
    "kgrec": [(b"2\t8\t2", "the third column is '2'; expected 1"), (b"2,8,1", "1 columns")],
    "csv": [(b"1,8,x", "there are 3 columns; expected 4"), (b"later,8,x,2", "the time is 'later'")],
    "recbole": [(b"2\t8\t1.0\tnan", "the time is 'nan'")],
}


@pytest.mark.parametrize("block", [blocks.BLOCK, 24])
@pytest.mark.parametrize(("form", "line", "message"), [(form, *case) for form in LINE_2 for case in LINE_2[form]])
def test_a_bad_line_is_named(
    form: str, line: bytes, message: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", max(block, len(line) + 1))
    path = write(tmp_path, form, WHOLE)
    lines = path.read_bytes().split(b"\n")
    at = 1 + bool(FORMS[form][3])
    lines[at] = line
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InputError) as caught:
        FORMS[form][1](path)
    assert str(caught.value).startswith(f"{path}, line {at + 1}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@forms
def test_a_file_cut_short_is_refused(form: str, tmp_path: Path) -> None:
    path = write(tmp_path, form, WHOLE)
    path.write_bytes(path.read_bytes()[:-2])
    lines = 3 + bool(FORMS[form][3])
    with pytest.raises(InputError, match=f"line {lines}: the last line has no line end; the file may be cut short"):
        FORMS[form][1](path)


@forms
def test_no_file_no_rows_and_folders_are_refused(form: str, tmp_path: Path) -> None:
    file, read, _, header, _ = FORMS[form]
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / file)
    (tmp_path / file).mkdir()
    with pytest.raises(InputError, match="not a file"):
        read(tmp_path / file)
    (tmp_path / file).rmdir()
    (tmp_path / file).write_text(header)
    with pytest.raises(InputError, match="no rows" if header else "the file is empty"):
        read(tmp_path / file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "u.data", WHOLE)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        readers.read_movielens_100k(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2 3\n4\n", "line 2: there is one column"),
        ("1 2 3\n4 5  6\n", "line 2: an item is ''"),
        ("1 2 3\n\n4 5\n", "line 2: there is one column"),
        ("1 2 3\n4 5\n1 6\n", "line 3: user '1' has a second line"),
        ("1 2 3\n4 5 x\n", "line 2: an item is 'x'"),
        (" 1 2\n", "line 1: the user is ''"),
    ],
)
def test_bad_lists_are_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        readers.read_lists(tmp_path / "l.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item,when\n1,2,3\n", "line 1: column 'time' is not in the header; the columns are 'user, item, when'"),
        ("user,item,time,user\n1,2,3,4\n", "column 'user' is twice in the header"),
        ('user,item,time\n"1",2,3\n"a\nb",4\n', "line 3: there are 2 columns; expected 3"),
        ('user,item,time\n"1",2,3\n"a\nb",4,x\n', "line 3: the time is 'x'"),
        ('user,item,time\n"1"x,2,3\n', "line 2: quoted fields are broken"),
        ('user,item,time\n"1,2,3\n', "line 2: quoted fields are broken"),
        ('"user",item,time\n', "a header and no rows"),
    ],
)
def test_bad_tables_are_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_headed(tmp_path / "t.csv")


def test_an_official_check_in_has_its_time(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    line = "470\t49bbd6c0f964a520f4531fe3\t4bf58dd8d48988d127951735\tArts & Crafts Store\t40.719810375488535\t"
    path.write_text(line + "-74.00258103213994\t-240\tTue Apr 03 18:00:09 +0000 2012\n")
    read = readers.read_foursquare(path)
    assert rows_of(read) == [("470", "49bbd6c0f964a520f4531fe3")]
    assert read.times is not None
    assert read.times.tolist() == [datetime(2012, 4, 3, 18, 0, 9, tzinfo=UTC).timestamp()]
