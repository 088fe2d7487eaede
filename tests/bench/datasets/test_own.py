"""A user's own file: what is found out is told, what could be two things is refused, and ids and times are kept."""

import csv
import gzip
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.datasets import blocks
from bench.datasets.load import load_own
from bench.datasets.own import DELIMITERS, FileForm, read_own
from bench.errors import InputError
from causalrec.interactions import Interactions, check_leaks, global_temporal, to_sequences
from tests.strategies import LINE_ENDS, action_rows, ids

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
HEADER = "user,item,time\n"
BIG = 2**62


def read(folder: Path, content: str | bytes, **form: str | None):
    path = folder / "own"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_own(path, FileForm(**form))


def times(folder: Path, *texts: str):
    """The times of a column, their units per second and what is told of them."""
    own = read(folder, "user\titem\ttime\n" + "".join(f"u\ti\t{text}\n" for text in texts))
    return own.interactions.times.tolist(), own.interactions.per_second, own.order


def pairs_of(found: Interactions) -> list[tuple[str, str]]:
    pairs = zip(found.users.tolist(), found.items.tolist(), strict=True)
    return [(found.user_labels[user], found.item_labels[item]) for user, item in pairs]


def plain(found: Interactions) -> object:
    times = None if found.times is None else found.times.tolist()
    return found.users.tolist(), found.items.tolist(), times, found.user_labels, found.item_labels


def refused(folder: Path, content: str | bytes, told: str, **form: str | None) -> None:
    with pytest.raises(InputError) as caught:
        read(folder, content, **form)
    assert told in str(caught.value)


# Ids


@same_folder
@given(st.sampled_from(LINE_ENDS), st.sampled_from(["user", "item"]))
def test_an_id_with_a_line_end_is_refused_also_from_a_quoted_field(tmp_path, end, role):
    row = {"user": "u", "item": "i"} | {role: f"a{end}b"}
    for content in (f'user,item\n"{row["user"]}","{row["item"]}"\n', f"user\titem\n{row['user']}\t{row['item']}\n"):
        with pytest.raises(InputError, match=r"own, line [23]: .*(no line end|a carriage return|columns; expected)"):
            read(tmp_path, content)


def test_a_table_with_tabs_has_no_quotes(tmp_path):
    rows = [("u0", '"Live'), ("u0", 'Tour"'), ("u1", '"Heroes"'), ("u1", "Heroes"), ("u1", '""')]
    content = "user\titem\n" + "".join(f"{user}\t{item}\n" for user, item in rows)
    assert pairs_of(read(tmp_path, content).interactions) == rows


@pytest.mark.parametrize("form", ["lists", "pairs"])
@pytest.mark.parametrize("name", DELIMITERS)
@same_folder
@given(data=st.data())
def test_any_ids_are_read_from_files_without_header(form, name, data, tmp_path):
    sep = DELIMITERS[name]
    rows = data.draw(action_rows(ids('\t":' + sep)))
    if form == "lists":
        rows = list({user: (user, item, 0) for user, item, _ in rows}.values())
    content = "".join(f"{user}{sep}{item}\n" for user, item, _ in rows)
    assert pairs_of(read(tmp_path, content, format=form, delimiter=name).interactions) == [row[:2] for row in rows]


# One content in several forms


def tables(rows: list[tuple[str, str, int]]) -> dict[str, bytes]:
    """Files that hold the same actions."""
    made = {}
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        for sep in ",;":
            text = io.StringIO()
            writer = csv.writer(text, delimiter=sep, quoting=quoting, lineterminator="\n")
            writer.writerows([("user_id", "item_id", "timestamp"), *rows])
            made[f"{sep}{quoting}"] = text.getvalue().encode()
    for sep, types in (("\t", ""), ("\t", ":token"), (" ", ""), ("::", "")):
        lines = [("user_id" + types, "item_id" + types, "timestamp" + types.replace("token", "float")), *rows]
        made[sep + types] = "".join(sep.join(map(str, line)) + "\n" for line in lines).encode()
    whole = made["\t"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tsv", whole)
        archive.writestr("__MACOSX/._a.tsv", b"\0")
    return made | {
        "mark": b"\xef\xbb\xbf" + whole, "crlf": whole.replace(b"\n", b"\r\n"), "no end": whole[:-1],
        "empty end": whole + b"\n\r\n", "gzip": gzip.compress(whole), "zip": buffer.getvalue(),
    }  # fmt: skip


@same_folder
@given(rows=action_rows(ids('\t": ')), block=st.sampled_from([16, 1 << 24]))
def test_equal_files_in_different_forms_give_the_same_actions(tmp_path, rows, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        found = {form: plain(read(tmp_path, content).interactions) for form, content in tables(rows).items()}
    assert len({repr(actions) for actions in found.values()}) == 1, found
    assert found["gzip"][2] == [row[2] for row in rows]


def test_what_was_found_is_told_and_reads_another_file_the_same_way(tmp_path):
    own = read(tmp_path, '"User-ID";"ISBN";"Book-Rating"\n"u0";"Café";"5"\n')
    assert own.told == "table separated by semicolon (found), users from 'User-ID', items from 'ISBN'"
    assert own.order == "file order (no column is named as times are)"
    assert own.form == FileForm("User-ID", "ISBN", None, "table", None)
    own = read(tmp_path, "user_id:token\titem_id:token\ttimestamp:float\nu\tj\t2\nu\ti\t1.5\n")
    assert own.form == FileForm("user_id", "item_id", "timestamp", "table", None)
    assert own.order == "'timestamp': numbers, as seconds; ties keep file order"
    again = read(tmp_path, "timestamp,item_id,user_id\n1,j,u\n", **vars(own.form)).interactions
    assert (again.user_labels, again.item_labels) == (("u",), ("j",))
    untimed = read(tmp_path, "user,item,time\nu,i,x\n", time="none")
    assert (untimed.interactions.times, untimed.order, untimed.form.time) == (None, "file order, as told", "none")
    named = read(tmp_path, "a,user_id:token,time\nu,i,1\n", user="a", item="user_id:token", delimiter="comma")
    assert named.told.startswith("table separated by comma (as told), users from 'a', items from 'user_id'")


def test_blanks_around_names_of_columns_are_told_and_those_of_ids_kept(tmp_path):
    own = read(tmp_path, "user, item, time\nu0, Café, 1007\nu0,Café,1006\n")
    assert pairs_of(own.interactions) == [("u0", " Café"), ("u0", "Café")]
    assert own.interactions.times.tolist() == [1007, 1006]
    assert own.told.endswith("; blanks around names of columns left out (' item', ' time'), those of ids kept")


def test_a_missing_last_line_end_is_told_and_a_cut_row_refused(tmp_path):
    own = read(tmp_path, HEADER + "u,i,1\nu,j,2")
    assert own.told.endswith("; the last line has no line end: if the file was cut short, that line is not whole")
    assert len(own.interactions) == 2
    refused(tmp_path, HEADER + "u,i,1\nu,j", "own, line 3: there are 2 columns; expected 3 with ',' between")
    refused(tmp_path, HEADER + 'u,i,1\nu,"j', "own, line 3: quoted fields are broken")


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("block", [8, 1 << 24])
def test_empty_lines_are_no_rows_at_the_end_and_refused_before_it(quote, block, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    rows = HEADER + f"{quote}u{quote},i,1\n"
    assert len(read(tmp_path, rows + "\n" * 40).interactions) == 1 if block > 8 else True
    assert len(read(tmp_path, rows + "\n\n").interactions) == 1
    refused(tmp_path, rows + "\n\nu,j,2\n", "own, line 3: there are")
    refused(tmp_path, "\n" + rows, "own, line 1: the line is empty")
    refused(tmp_path, "\n\n", "there are only empty lines")
    if block == 8:
        refused(tmp_path, rows + "\n" * 40, "own, line 3: the line is empty; delete it and those after it")


@pytest.mark.parametrize(
    ("content", "form", "told"),
    [
        ("who,what\na,b\n", {}, "line 1: no column is named as users are; name it with --user (recommend: --user-co"),
        ("who,what\na,b\n", {"user": "who"}, "no column is named as items are; name it with --item"),
        ("who,what\na,b\n", {"user": "x"}, "column 'x' is not in the header; the columns are 'who, what'"),
        ("user,user_id,item\na,b,c\n", {}, "columns 'user' and 'user_id' may each be the users; say which with --user"),
        ("user,item,date,time\na,b,1,1\n", {}, "columns 'date' and 'time' may each be the times; say which with"),
        ("user,item\na,b\n", {"user": "user", "item": "user"}, "must name three different columns, got 'user, user'"),
        ("user\na\n", {}, "line 1: there is one column, 'user'; expected two or more with tab, double-colon"),
        ("user\titem\ta,user,item\n", {}, "columns may be separated by tab or comma; say which: --delimiter tab or"),
        ("u i,j\n", {"format": "pairs"}, "columns may be separated by comma or blank; say which: --delimiter comma or"),
        ("u i,j\n", {"format": "lists"}, "columns may be separated by comma or blank; say which: --delimiter comma or"),
        ("user,item\nu,i\n", {"format": "pairs"}, "line 1: this is a header; leave out --format pairs"),
        ("u i\nu\n", {"format": "pairs"}, "line 2: there are 1 columns; expected 2 with one space between"),
        ("u i\nu\n", {"format": "lists"}, "line 2: there is one column; expected `user item item ...`"),
        ('u,"i, j"\n', {"format": "lists", "delimiter": "comma"}, "line 1: there is a quote, and lists have no quoted"),
        ("u i\n", {"format": "csv"}, "--format is 'csv'; choose one of table, pairs, lists"),
        ("u i\n", {"delimiter": "|"}, "--delimiter is '|'; choose one of tab, double-colon, semicolon, comma, blank"),
        ("u i\n", {"format": "pairs", "user": "u"}, "--format pairs has no names of columns; leave out --user, --item"),
        ("u:::i\n", {"format": "pairs", "delimiter": "double-colon"}, "line 1: there is ':::', of which any two may"),
        ("user,item\n", {}, "there is a header and no rows"),
    ],
)
def test_what_could_be_two_things_or_is_none_is_refused(content, form, told, tmp_path):
    refused(tmp_path, content, told, **form)


# Times


@same_folder
@example([2**63 - 1, -(2**63), BIG, BIG + 1, -BIG, -BIG + 1, 2**53, 2**53 + 1])
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8))
def test_any_whole_number_of_64_bits_is_kept_exactly(tmp_path, numbers):
    found, per_second, order = times(tmp_path, *map(str, numbers))
    if "dates" not in order:
        assert (found, per_second) == (numbers, 1)


@pytest.mark.parametrize("middle", [-BIG, 0, BIG])
def test_order_ties_cuts_and_leak_checks_are_exact_at_the_ends(middle, tmp_path):
    rows = [(u, k, middle - k - (u % 2)) for u in range(6) for k in range(6)]
    content = HEADER + "".join(f"u{u},i{k},{time}\n" for u, k, time in rows)
    sequences = to_sequences(read(tmp_path, content).interactions)
    assert sequences.row(0).tolist() == [6, 5, 4, 3, 2, 1]
    assert sequences.statistics()["ties_share"] == 0
    split = global_temporal(sequences, 0.5)
    first, second = split.cuts
    assert second == sorted(row[2] for row in rows)[17]
    for u in range(6):
        assert len(split.train.row(u)) == sum(time <= first for user, _, time in rows if user == u)
    check_leaks(split, sequences)


@same_folder
@given(
    st.datetimes(*(datetime(year, 1, 1) for year in (1700, 2200))),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    st.sampled_from(["", "Z", "+02:00", "-0930", " +05"]),
)
def test_iso_times_equal_those_of_pandas(tmp_path, when, form, offset):
    text = when.strftime(form) + (offset if "%H" in form else "")
    (found,), per_second, order = times(tmp_path, text)
    assert found * (10**9 // per_second) == pd.Timestamp(pd.to_datetime(text, utc=True)).as_unit("ns").value
    assert ("without an offset, taken as UTC" in order) == (offset == "" or "%H" not in form)


@pytest.mark.parametrize(
    ("texts", "seconds", "told"),
    [
        (["20200101", "19700102"], [1577836800, 86400], "dates YYYYMMDD, taken as UTC, as seconds since 1970"),
        (["20200101100000"], [1577872800], "dates YYYYMMDDhhmmss, taken as UTC, as seconds since 1970"),
        (["20200101100000123"], [1577872800.123], "dates YYYYMMDDhhmmssSSS, taken as UTC, as nanoseconds since 1970"),
        (["20200101", "20201301"], [20200101, 20201301], "whole numbers, as seconds"),
        (["20200101", "5"], [20200101, 5], "whole numbers, as seconds"),
        (["1577872800"], [1577872800], "whole numbers, as seconds"),
        (["1e3", "2.5"], [1000, 2.5], "numbers, as seconds"),
        (["2020-01-01", "2020-01-01 10:00"], [1577836800, 1577872800], "ISO 8601 without an offset, taken as UTC"),
        (["2020-01-01T10:00:00Z"], [1577872800], "ISO 8601 with an offset, as seconds since 1970"),
    ],
)
def test_what_times_were_read_as_is_told(texts, seconds, told, tmp_path):
    found, per_second, order = times(tmp_path, *texts)
    assert [time / per_second for time in found] == seconds
    assert order.startswith(f"'time': {told}")


@pytest.mark.parametrize("block", [12, 1 << 24])
@pytest.mark.parametrize(
    ("texts", "line", "told"),
    [
        (["1", "2020-01-01"], 3, "'2020-01-01', a date without an offset, but '1' in line 2 is a number; write all"),
        (["2020-01-01T10:00Z", "2020-01-01T10:00"], 3, "a date without an offset, but '2020-01-01T10:00Z' in line 2"),
        (["2020-01-01", "01/02/2020"], 3, "'01/02/2020'; expected a finite number or a date such as 2020-01-31"),
        (["2020-02-30"], 2, "'2020-02-30'; expected a date and time that exist, 1678 to 2261"),
        (["2020-01-01T25:00:00"], 2, "expected a date and time that exist"),
        (["1066-10-14"], 2, "expected a date and time that exist, 1678 to 2261"),
        (["20200101", "20200101100000"], 3, "a date of another length than '20200101' in line 2; write all"),
        (["9223372036854775809"], 2, "'9223372036854775809', which float64 does not hold exactly; write all times"),
        (["0.5", "9007199254740993"], 3, "'9007199254740993', which float64 does not hold exactly beside '0.5' in"),
        (["9007199254740993", "0.5"], 2, "'9007199254740993', which float64 does not hold exactly beside '0.5' in"),
        (["1577872800.123456789"], 2, "which float64 does not hold exactly"),
        (["1", ""], 3, "the time is ''"),
        (["1e999"], 2, "the time is '1e999'; expected a finite number"),
        (["٣"], 2, "the time is '٣'"),
    ],
)
def test_times_that_are_mixed_ambiguous_or_not_held_are_refused(texts, line, told, block, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    rows = "".join(f"u\ti\t{text}\n" for text in texts)
    refused(tmp_path, f"user\titem\ttime\n{rows}", f"own, line {line}: the time is ")
    refused(tmp_path, f"user\titem\ttime\n{rows}", told)


def test_decimals_with_all_digits_of_a_float_are_kept(tmp_path):
    numbers = [0.1, 1577872800.1234567, 2.0**60, 1e300, np.nextafter(1.0, 2)]
    for write in (repr, "{:.17g}".format, "{:.25e}".format):
        assert times(tmp_path, "0.5", *map(write, map(float, numbers)))[0] == [0.5, *numbers]


def test_dates_and_the_seconds_they_stand_for_are_the_same_data(tmp_path):
    stamps = [1577872800, 1577872801, 1583020799]
    iso = [datetime.fromtimestamp(stamp, UTC).isoformat() for stamp in stamps]
    hashes = set()
    for number, texts in enumerate((map(str, stamps), map("{}.0".format, stamps), iso)):
        path = tmp_path / f"{number}.csv"
        path.write_text(HEADER + "".join(f"u{k},i,{text}\n" for k, text in enumerate(texts)))
        hashes.add(load_own(path, user_core=1, item_core=1).provenance.content_hash)
    assert len(hashes) == 1
