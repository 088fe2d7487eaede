"""A user's own file: numbers read to the bit or one typed error with its line, and what is told of the graph."""

import contextlib
import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.apply.learn import check_out, document, edges, learn, list_methods, parse_options, tables, write_matrix
from bench.apply.meanings import meanings
from bench.apply.observed import DELIMITERS, Observed, read
from bench.apply.plot import write_plot
from bench.errors import INPUT_ERRORS, InputError
from bench.methods.learners import ENTRIES, load
from bench.methods.options import names as names_of
from bench.show.tables import to_text
from causalrec.structure import Fits, Problems
from tests.strategies import column_names, generators, hostile_files, sample_matrices

B = np.array([[0, 0, 0, 0], [1.5, 0, 0, 0], [0.9, -0.8, 0, 0], [0, 0, 1.2, 0]])
NAMES = ["rain", "sprinkler", "wet", "slip"]


def draw(rows: int = 400, seed: int = 0) -> np.ndarray:
    """Samples of B, equal variances: x = B x + u."""
    return np.linalg.solve(np.eye(4) - B, np.random.default_rng(seed).normal(size=(4, rows))).T


def put(folder: Path, text: str | bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(values: np.ndarray, names: list[str] | None = None, separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([*([names] if names else []), *np.asarray(values).tolist()])
    return text.getvalue()


def saved(folder: Path, array: np.ndarray, name: str = "x.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


# Reading


@given(st.data(), sample_matrices())
def test_columns_that_are_named_are_read_as_if_they_were_the_file(tmp_path_factory, data, X):
    folder = tmp_path_factory.mktemp("files")
    names = [f"v{k}" for k in range(X.shape[1])]
    kept = sorted(data.draw(st.sets(st.sampled_from(range(len(names))), min_size=1)))
    rest = [names[k] for k in range(len(names)) if k not in kept]
    path, wanted = put(folder, table(X, names)), [names[k] for k in kept]
    named = [",".join(wanted)] if data.draw(st.booleans()) else wanted[::-1]
    for how in ({"columns": named}, {"drop": rest}):
        observed = read(path, header=True, **how)
        assert observed.names == tuple(wanted)
        assert np.array_equal(observed.problems.rows[0], X[:, kept])
    by_place = read(saved(folder, X), columns=[f"x{k}" for k in kept])
    assert np.array_equal(by_place.problems.rows[0], X[:, kept])


def test_text_and_constants_can_be_left_out_and_unknown_columns_are_told(tmp_path):
    path = put(tmp_path, "day,a,b,one\nmon,1,5,1\ntue,2,3,1\nwed,4,4,1\n")
    assert read(path, drop=["day,one"]).names == ("a", "b")
    assert "2 of 4 columns taken" in read(path, columns=["b", "a"]).read_as
    for how, told in (
        ({"columns": ["a,c"]}, "--columns names 'c', and the columns are 'day', 'a', 'b', 'one'"),
        ({"drop": ["c"]}, "--drop names 'c'"),
        ({"drop": ["day,a,b,one"]}, "--drop names all 4 columns; keep one or more"),
        ({"drop": ["day"], "columns": ["a"]}, "--columns and --drop are both given"),
    ):
        with pytest.raises(InputError, match=told):
            read(path, **how)
    commas = put(tmp_path, '"a,b",a,b\n1,2,5\n3,5,4\n9,1,1\n')
    with pytest.raises(InputError, match="--drop 'a,b' is one column and, split at its commas, several"):
        read(commas, drop=["a,b"])


def test_a_covariance_loses_the_rows_of_the_columns_that_are_left_out(tmp_path):
    S = np.cov(draw().T)
    path = put(tmp_path, table(S, NAMES))
    assert np.array_equal(read(path, covariance=True, drop=["sprinkler"]).covariance, S[np.ix_([0, 2, 3], [0, 2, 3])])
    crooked = S + np.triu(np.ones((4, 4)), 3)
    with pytest.raises(InputError, match="line 2: the covariance of 'rain' and 'slip'"):
        read(put(tmp_path, table(crooked, NAMES)), covariance=True, columns=["rain", "slip"])
    with pytest.raises(InputError, match="has 3 rows and 4 columns; a covariance is square"):
        read(put(tmp_path, table(S[:3], NAMES)), covariance=True, drop=["slip"])


def test_standardized_variables_have_the_correlations_as_covariance(tmp_path):
    X = draw() * [1, 20, 300, 0.1] + 7
    samples = read(put(tmp_path, table(X, NAMES)), standardize=True)
    exact = read(put(tmp_path, table(np.cov(X.T), NAMES), "s.csv"), covariance=True, standardize=True)
    for observed in (samples, exact):
        assert observed.covariance == pytest.approx(np.corrcoef(X.T))
        assert observed.read_as.endswith("standardized: mean 0 and variance 1")

@given(st.data(), sample_matrices())
def test_numbers_and_names_come_back_to_the_bit(tmp_path_factory, data, X):
    folder = tmp_path_factory.mktemp("files")
    delimiter = data.draw(st.sampled_from(list(DELIMITERS)))
    names = data.draw(st.none() | column_names(X.shape[1]))
    text = table(X, names, DELIMITERS[delimiter])
    text = data.draw(st.sampled_from(["", "\ufeff"])) + text.replace("\n", data.draw(st.sampled_from(["\n", "\r\n"])))
    observed = read(put(folder, text), delimiter=data.draw(st.just(delimiter)), header=names is not None)
    rows = observed.problems.rows
    assert np.array_equal(rows[0], X)
    assert observed.names == (tuple(names) if names else tuple(f"x{i}" for i in range(X.shape[1])))
    from_npy = read(saved(folder, X))
    assert np.array_equal(from_npy.problems.rows[0], X)


@given(st.data(), sample_matrices())
def test_header_and_delimiter_that_are_found_are_those_that_are_there(tmp_path_factory, data, X):
    folder = tmp_path_factory.mktemp("files")
    delimiter = data.draw(st.sampled_from(list(DELIMITERS)))
    names = data.draw(st.none() | st.just([f"v{i}" for i in range(X.shape[1])]))
    observed = read(put(folder, table(X, names, DELIMITERS[delimiter])))
    assert np.array_equal(observed.problems.rows[0], X)
    assert ("names from line 1 (it holds no number)" in observed.read_as) == (names is not None)
    if X.shape[1] > 1:
        why = "line 1 holds no comma, tab or semicolon" if delimiter == "blank" else "the only one in line 1"
        assert f"separated by {delimiter} ({why})" in observed.read_as


@settings(max_examples=150)
@given(hostile_files(), st.booleans(), st.sampled_from(["x.csv", "x.npy"]), st.sampled_from([None, True, False]))
def test_any_bytes_are_numbers_or_a_typed_error(tmp_path_factory, data, covariance, name, header):
    path = put(tmp_path_factory.mktemp("files"), data, name)
    told, observed = "", None
    try:
        observed = read(path, covariance=covariance, header=header)
    except InputError as error:
        told = str(error)
    assert path.read_bytes() == data
    if observed is None:
        assert str(path) in told
        assert told.isprintable()
    else:
        assert np.isfinite(observed.covariance).all()
        assert len(observed.names) == len(observed.covariance)
        assert np.isfinite(learn(observed, "eqvar").graph).all()


@given(st.data(), sample_matrices(), st.sampled_from(["", "NA", "nan", "x", "1,5", "inf", "1_0", "0x3"]), st.booleans())
def test_a_bad_field_is_named_by_line_and_column(tmp_path_factory, data, X, bad, named):
    folder = tmp_path_factory.mktemp("files")
    rows = [[repr(value) for value in row] for row in X.tolist()]
    i, j = data.draw(st.integers(int(not named), len(X) - 1)), data.draw(st.integers(0, X.shape[1] - 1))
    rows[i][j] = bad
    names = [f"v{k}" for k in range(X.shape[1])]
    lines = [names] * named + rows
    path = put(folder, "".join("\t".join(row) + "\n" for row in lines))
    column = f"'v{j}'" if named else f"{j + 1}"
    told = "is empty" if X.shape[1] == 1 and not bad else f"column {column} is {bad!r}"
    if told == "is empty" and i == len(X) - 1:
        assert len(X) == 2 or len(read(path, header=named).problems.rows[0]) == len(X) - 1
        return
    with pytest.raises(InputError) as error:
        read(path, header=named)
    assert str(error.value).startswith(f"{path}, line {i + 1 + named}: {told}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x.csv: the file is empty"),
        ("\n", "line 1: is empty"),
        ("a,b\n", "there is a header and no rows"),
        ("a,b\n1,2\n", "has one row of numbers"),
        ("a,b\n1,2\n3\n", "line 3: has 1 columns; expected 2, as in line 1"),
        ("7,2\n3,4,5\n", "line 2: has 3 columns; expected 2"),
        ("7,2\n\n3,4\n", "line 2: is empty"),
        ("a,b\n1,2\n3,\n", "line 3: column 'b' is ''; drop or impute what is missing first"),
        ("a,b\n1,2\n3,nan\n", "line 3: column 'b' is 'nan'; drop or impute"),
        ("a,b\n1,2\n3,four\n", "line 3: column 'b' is 'four'; expected a number$"),
        ("a;b\n1;2\n3;4,5\n", "line 3: column 'b' is '4,5'; expected a number, with a point for decimals"),
        ("1;2,5\n", "line 1: holds comma and semicolon; say which separates: --delimiter comma or semicolon"),
        ("a,1\n2,3\n", "line 1: holds both 'a' and '1': names or numbers.; say --header if it"),
        ("0,1,2\n4,5,1\n", "line 1: counts the columns, which may be names or numbers; say --header"),
        ("1,2\n4,5\n", "line 1: counts the columns"),
        (",a\n0,1\n1,5\n", "line 1: column 1 has no name .pandas writes its index so: use to_csv.index=False"),
        ("a,a\n1,2\n3,5\n", "line 1: columns 1 and 2 are both 'a'; rename one"),
        ("a,\x1b[2J\n1,2\n3,5\n", r"line 1: the name '.x1b\[2J' holds a character that cannot be shown"),
        ('a,"b\nc"\n1,2\n', "line 1: quotes are broken"),
        ("a,b\n1,1e999\n2,3\n", "line 2: column 'b' is '1e999'; too large for float64"),
        ("a,b\n1,2\n1,3\n", "column 'a' is 1 in every row; drop it"),
        ("a,b,c\n1,2,1\n2,7,2\n", "columns 'a' and 'c' are equal; drop one of them"),
        ("a,b\n0,2\n-0,7\n0,1\n", "column 'a' is 0 in every row"),
        ("a,b\n1,1e-120\n2,2e-120\n", "the variance of column 'b' is .*; rescale the column"),
        (b"a,b\n1,2\n\xff,4\n", "line 3: byte 0xff is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_is_no_table_of_samples_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(InputError, match=told) as error:
        read(put(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((0, 3)), "has shape .0, 3. and dtype float64; give numbers .samples, variables."),
        (np.zeros((3, 0)), "has shape .3, 0."),
        (np.zeros(3), "has shape .3,."),
        (np.zeros((2, 2, 2)), "has shape .2, 2, 2."),
        (np.ones((2, 2), dtype=complex), "dtype complex128"),
        (np.array([["a", "b"], ["c", "d"]]), "dtype <U1"),
        (np.array([[1.0, 2], [3, np.nan], [5, 6]]), "row 1: column 1 is nan; drop or impute it first"),
        (np.array([[1.0, 2], [3, np.inf]]), "row 1: column 1 is inf"),
        (np.array([[1, {}], [2, 3]], dtype=object), "cannot be read as numbers .Object arrays cannot be loaded"),
    ],
)
def test_what_is_no_array_of_samples_is_told(tmp_path, array, told):
    with pytest.raises(InputError, match=told):
        read(saved(tmp_path, array))


def test_what_is_no_npy_file_is_told_and_nothing_is_unpickled(tmp_path):
    with pytest.raises(InputError, match="cannot be unpacked"):
        read(put(tmp_path, b"PK\x03\x04", "x.npy"))
    for data in (b"\x80\x04cposix\nsystem\n", b"1,2\n"):
        with pytest.raises(InputError, match=r"is no \.npy file"):
            read(put(tmp_path, data, "x.npy"))
    whole = saved(tmp_path, draw()).read_bytes()
    with pytest.raises(InputError, match="cannot be read as numbers"):
        read(put(tmp_path, whole[:-8], "cut.npy"))
    with pytest.raises(InputError, match="has neither header nor delimiter"):
        read(tmp_path / "x.npy", header=True)
    for path in (tmp_path / "none.csv", tmp_path / "none.npy"):
        with pytest.raises(InputError, match="there is no such file; check the path"):
            read(path)
    with pytest.raises(InputError, match="this is not a file; name the data file itself"):
        read(tmp_path)


def test_whole_numbers_are_accepted_and_one_column_is_one_node(tmp_path):
    whole = np.array([[1, 5], [2, 9], [4, 4]])
    assert np.array_equal(read(saved(tmp_path, whole)).problems.rows[0], whole)
    assert np.array_equal(read(put(tmp_path, table(whole, ["a", "b"]))).problems.rows[0], whole)
    one = learn(read(put(tmp_path, "a\n1\n2\n4\n")))
    assert "one column (line 1 holds no comma, tab, semicolon or blank)" in one.observed.read_as
    assert one.graph.shape == (1, 1)
    assert edges(one) == []


def test_an_ambiguous_first_line_is_read_as_told(tmp_path):
    path = put(tmp_path, "0,1\n4,5\n7,7\n")
    assert read(path, header=True).names == ("0", "1")
    assert "names from line 1 (as told)" in read(path, header=True).read_as
    assert read(path, header=False).problems.samples == 3
    both = put(tmp_path, '"a;b",c\n1,2\n3,5\n')
    assert read(both).names == ("a;b", "c")
    mixed = put(tmp_path, "a;b,c\n1,2\n3,5\n")
    assert read(mixed, delimiter="comma").names == ("a;b", "c")
    with pytest.raises(InputError, match="--delimiter is 'space'; choose one of comma, tab, semicolon"):
        read(mixed, delimiter="space")


def shaped(text: str, form: str) -> bytes:
    """The text as a file of this form holds it."""
    data = text.encode()
    if form == "gzip":
        return gzip.compress(data)
    if form == "zip":
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("inner.csv", data)
        return content.getvalue()
    return data


@given(st.data(), sample_matrices())
def test_equal_numbers_in_any_form_are_equal(tmp_path_factory, data, X):
    folder = tmp_path_factory.mktemp("files")
    separator = data.draw(st.sampled_from([",", "\t", ";", " ", "   ", ", ", " \t "]))
    names = data.draw(st.none() | st.just([f"v{i}" for i in range(X.shape[1])]))
    rows = [*([names] if names else []), *([repr(value) for value in row] for row in X.tolist())]
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    edge = data.draw(st.sampled_from(["", " ", "  "]))
    text = data.draw(st.sampled_from(["", "\ufeff"])) + "".join(edge + separator.join(row) + edge + end for row in rows)
    text = text.removesuffix(end) + data.draw(st.sampled_from(["", end, end + end, end + " " + end]))
    path = put(folder, shaped(text, data.draw(st.sampled_from(["plain", "gzip", "zip"]))), "x.csv.gz")
    blank = separator.strip(" ") in ("", "\t") and separator != "\t"
    observed = read(path, header=bool(names), delimiter="blank" if blank else None)
    array = folder / "x.npy"
    np.save(array, X)
    other = read(array)
    assert observed.names == (tuple(names) if names else other.names)
    assert np.array_equal(observed.problems.rows, other.problems.rows)
    assert np.array_equal(observed.covariance, other.covariance)
    ended = text.rstrip(" ").endswith(end)
    told = [warning.replace("'v", "'x") for warning in observed.warnings]
    assert told[int(not ended) :] == list(other.warnings)
    assert ended or "does not end with a line end" in told[0]


def test_what_numpy_writes_is_read_as_numpy_reads_it(tmp_path):
    X = draw()
    np.savetxt(tmp_path / "x.txt", X)
    plain = read(tmp_path / "x.txt")
    assert np.array_equal(plain.problems.rows[0], X)
    assert "separated by blank (line 1 holds no comma, tab or semicolon)" in plain.read_as
    for delimiter in (" ", ","):
        np.savetxt(tmp_path / "x.txt.gz", X, header=delimiter.join(NAMES), delimiter=delimiter)
        observed = read(tmp_path / "x.txt.gz")
        assert observed.names == tuple(NAMES)
        assert "names from line 1 (it holds no number, after #)" in observed.read_as
        assert np.array_equal(observed.problems.rows[0], X)
    np.savez(tmp_path / "x.npz", X)
    assert np.array_equal(read(tmp_path / "x.npz").problems.rows[0], X)


def test_blanks_separate_where_no_other_delimiter_stands(tmp_path):
    assert read(put(tmp_path, 'a  "b c"\td\n1 2   3\n4\t5 7\n'), delimiter="blank").names == ("a", "b c", "d")
    assert read(put(tmp_path, "wet grass,slip\n1,2\n3,5\n")).names == ("wet grass", "slip")
    assert read(put(tmp_path, "wet grass\n1\n3\n")).names == ("wet grass",)
    assert read(put(tmp_path, " a , b\n 1 , 2\n3,5 \n")).names == ("a", "b")
    for text in ("1,5 2,5\n3,5 4,0\n", "1 2,3 4\n5 6,7 9\n"):
        with pytest.raises(InputError, match="holds comma and blank; say which separates: --delimiter comma or blank"):
            read(put(tmp_path, text))
    with pytest.raises(InputError, match="holds tab and blank; say which separates: --delimiter tab or blank"):
        read(put(tmp_path, "1\t2 3\n4\t5 7\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1999,2000,2001\n0.5,1.5,2.5\n0.1,0.7,0.2\n", "line 1: holds whole numbers, as no other line does: names or"),
        ("7157 672 675\n0.5 1.5 2.5\n0.1 0.7 0.2\n", "holds whole numbers, as no other line does"),
        ("2000\n0.5\n0.1\n", "holds whole numbers, as no other line does"),
        ("1999,2000,2001\n5,3,9\n1,7,2\n", "holds whole numbers that rise evenly, as in no other line"),
        ("3,2,1\n5,3,9\n1,7,2\n", "holds whole numbers that fall evenly, as in no other line"),
        ("400.5,401.5\n0.1,0.2\n0.3,0.5\n0.2,0.1\n0.4,0.3\n", "is far off the range of all other lines, in every"),
        ("1999.0,2000.0\n1,2\n3,5\n2,1\n4,3\n", "is far off the range of all other lines, in every column"),
    ],
)
def test_a_first_line_of_numbers_that_may_be_names_is_asked_about(tmp_path, text, told):
    path = put(tmp_path, text)
    advice = "; say --header if it holds names, --no-header if it holds numbers"
    with pytest.raises(InputError, match=f"{told}.*{advice}"):
        read(path)
    assert read(path, header=False).problems.samples == text.count("\n")
    assert read(path, header=True).problems.samples == text.count("\n") - 1


@given(generators())
def test_samples_are_never_asked_about(tmp_path_factory, rng):
    folder = tmp_path_factory.mktemp("files")
    shape = int(rng.integers(10, 40)), int(rng.integers(2, 5))
    for X, form in ((rng.normal(size=shape), "%.18e"), (rng.poisson(5, shape), "%d"), (rng.normal(size=shape), "%.2g")):
        np.savetxt(folder / "x.txt", X, form)
        try:
            read(folder / "x.txt")
        except InputError as error:
            assert "counts the columns" in str(error) or "every row" in str(error) or "are equal" in str(error)  # noqa: PT017


def test_the_size_of_a_covariance_says_whether_its_first_line_holds_names(tmp_path):
    assert read(put(tmp_path, "1,2\n2,9\n"), covariance=True).names == ("x0", "x1")
    with pytest.raises(InputError, match="line 1: makes one row more than there are columns: names or numbers"):
        read(put(tmp_path, "7,2\n2,9\n9,50\n"), covariance=True)


def test_ends_of_files(tmp_path):
    assert read(put(tmp_path, "a,b\n1,2\n3,5\n\n  \n\n")).problems.samples == 2
    assert "does not end with a line end: if it was cut" in read(put(tmp_path, "a,b\n1,2\n3,5")).warnings[0]
    for text, told in (
        ("a,b\n1,2\n3", "line 3: has 1 columns and no line end; expected 2, as in line 1: the file was cut"),
        ("a,b\n1,2\n3,", "line 3: column 'b' is ''; drop or impute .*; the line has no end: if the file was cut short"),
        ("a,b\n1,2\n3,1e", "column 'b' is '1e'; expected a number; the line has no end: if the file was cut short"),
        ("a,b\n1,2\n\n3,5\n", "line 3: is empty; delete the line"),
    ):
        with pytest.raises(InputError, match=told):
            read(put(tmp_path, text))


def test_what_is_no_utf8_or_no_single_file_is_named(tmp_path):
    for encoding in ("utf-16", "utf-32", "utf-16-le"):
        told = f"the text is {encoding.upper().removesuffix('-LE')}; save the file as UTF-8"
        with pytest.raises(InputError, match=told):
            read(put(tmp_path, "a,b\n1,2\n".encode(encoding)))
    with pytest.raises(InputError, match="line 3: there is a NUL byte, as in UTF-16; save it as UTF-8"):
        read(put(tmp_path, b"a,b\n1,2\n3,\0\n"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "2")
    with pytest.raises(InputError, match="the zip holds 2 files"):
        read(put(tmp_path, content.getvalue()))
    with pytest.raises(InputError, match="cannot be unpacked"):
        read(put(tmp_path, gzip.compress(b"a,b\n1,2\n3,5\n")[:-6]))


def test_a_column_that_labels_the_rows_is_to_be_deleted(tmp_path):
    for text, told in (
        ("id,a,b\nr1,1,2\nr2,3,7\n", "line 2: column 'id' is 'r1'; expected a number, and no row has one there: if it"),
        ("day,a\n2020-01-01,2\n2020-01-02,3\n", "column 'day' is '2020-01-01'; expected a number, and no row has"),
        ("r1,1,2\nr2,3,7\n", "holds both 'r1' and '1': names or numbers.; say --header .*, or delete column 1 if it"),
        ('"a" "b"\n"1" 1.5 2.5\n"2" 3 1\n', "line 2: has 3 columns; expected 2, .*use row.names=FALSE"),
    ):
        with pytest.raises(InputError, match=told):
            read(put(tmp_path, text))
    with pytest.raises(InputError, match=r"line 1: columns 1 and 2 are both 'a'; rename one"):
        read(put(tmp_path, "a, a\n1,2\n3,5\n"))
    with pytest.raises(InputError) as error:
        read(put(tmp_path, f"{'n' * 500},b\n1,2\nx,5\n"))
    assert len(str(error.value)) < len(str(tmp_path)) + 180


# Covariances


def test_a_covariance_gives_the_graph_of_its_samples(tmp_path):
    X = draw()
    S = np.cov(X, rowvar=False, bias=True)
    of_rows = learn(read(saved(tmp_path, X)))
    of_covariance = learn(read(saved(tmp_path, S, "s.npy"), covariance=True, samples=len(X)))
    assert of_covariance.graph == pytest.approx(of_rows.graph, abs=1e-4)
    assert of_covariance.diagnostics["samples"] == 400
    exact = read(saved(tmp_path, S, "s.npy"), covariance=True)
    assert "exact: no --samples were given" in exact.read_as
    assert learn(exact, "eqvar").diagnostics["samples"] == "exact covariance"


def test_the_covariance_that_pandas_writes_is_read_with_its_names(tmp_path):
    frame = pd.DataFrame(draw(), columns=NAMES).cov()
    frame.to_csv(tmp_path / "s.csv")
    observed = read(tmp_path / "s.csv", covariance=True, samples=400)
    assert observed.names == tuple(NAMES)
    assert observed.covariance == pytest.approx(frame.to_numpy(), rel=1e-12)
    assert "names repeated in the first column" in observed.read_as


@pytest.mark.parametrize(
    ("S", "told"),
    [
        ([[1.0, 0.5]], "has 1 rows and 2 columns; a covariance is square"),
        ([[2.0, 0.5], [0.4, 3]], "line 2: the covariance of 'a' and 'b' is 0.5, that of 'b' and 'a' 0.4"),
        ([[2.0, 3], [3, 2.5]], "is not positive semidefinite .least eigenvalue of its correlations -0.34"),
        ([[2.0, 0], [0, 0]], "line 3: the variance of 'b' is 0; drop what does not vary"),
        ([[2.0, 0], [0, -1]], "line 3: the variance of 'b' is -1"),
        ([[2.0, 2], [2, 2]], "columns 'a' and 'b' are equal"),
    ],
)
def test_what_is_no_covariance_is_told(tmp_path, S, told):
    with pytest.raises(InputError, match=told):
        read(put(tmp_path, table(np.array(S), ["a", "b"])), covariance=True)


def test_samples_belong_to_a_covariance(tmp_path):
    path = put(tmp_path, table(np.eye(2) + 1, ["a", "b"]))
    with pytest.raises(InputError, match="--samples goes with --covariance"):
        read(path, samples=10)
    with pytest.raises(InputError, match="--samples is 1; a covariance needs two or more"):
        read(path, covariance=True, samples=1)
    with pytest.raises(INPUT_ERRORS, match=r"learns from samples|needs samples"):
        learn(read(path, covariance=True), "math:sqrt")


# Warnings


def warned(folder: Path, X: np.ndarray, **how: object) -> str:
    return "\n".join(read(saved(folder, X), **how).warnings)


def test_doubts_are_told_and_good_data_raise_none(tmp_path):
    X = draw()
    assert warned(tmp_path, X) == ""
    for ddof in (0, 1):
        assert "the data look standardised" in warned(tmp_path, (X - X.mean(0)) / X.std(0, ddof=ddof))
    assert "the variance of 'x2' is 1e+06 times" not in warned(tmp_path, X)
    assert "units may differ" in warned(tmp_path, X * [1, 1, 1000, 1])
    for scale in (0.01, 100):
        assert "far from 1: a sparsity, as of notears, is in units of the noise" in warned(tmp_path, X * scale)
    assert "fewer samples (3) than variables (4): the covariance is singular" in warned(tmp_path, X[:3])
    assert "few samples (39) for 4 variables" in warned(tmp_path, X[:39])
    assert warned(tmp_path, X[:40]) == ""
    copy = np.column_stack([X, X[:, 0] + 1e-3 * X[:, 3]])
    assert "columns 'x0' and 'x4' are nearly copies (correlation " in warned(tmp_path, copy)
    assert "column 'x4' counts the rows" in warned(tmp_path, np.column_stack([X, np.arange(len(X))]))
    assert "does not end with a line end" in "".join(read(put(tmp_path, table(X)[:-1])).warnings)


@pytest.mark.parametrize("column", [
    np.arange(400) * 10, np.arange(400)[::-1] * 2.5 + 7, 1.6e9 + 3600 * np.arange(400), 0.1 * np.arange(400),
    np.array([20200101 + k + 100 * (k // 28) - 28 * (k // 28) for k in range(336)] + [20300101 + k for k in range(64)]),
])  # fmt: skip
def test_an_index_or_a_time_is_warned_of(tmp_path, column):
    told = warned(tmp_path, np.column_stack([column, draw()]))
    assert "column 'x0' " in told
    assert "if it is an index or a time and no variable, delete the column" in told
    assert "index" not in warned(tmp_path, np.column_stack([np.random.default_rng(0).permutation(column), draw()]))


def depending(names: str, told: str) -> bool:
    return f"columns {names} depend on each other exactly" in told


def test_columns_that_depend_exactly_are_named(tmp_path):
    X = draw()
    a, b, c, d = X.T
    for made, names in (
        ([a, b, c, d, a + b + c], "'x0', 'x1', 'x2' and 'x4'"),
        ([a, b, c, d, 1e6 - 3e4 * b], "'x1' and 'x4'"),
        ([a, b, c, d, 7 + a / 3 - 40 * d], "'x0', 'x3' and 'x4'"),
        ([a, b, c, d, np.round(a + b, 5)], "'x0', 'x1' and 'x4'"),
    ):
        Y = np.column_stack(made)
        told = warned(tmp_path, Y)
        assert depending(names, told)
        assert told.count("depend on each other exactly") == 1
        assert "likelihoods of golem_nv and exact_unequal have no maximum; drop one" in told
        S = np.cov(Y, rowvar=False)
        assert depending(names, warned(tmp_path, S, covariance=True))
        assert depending(names, warned(tmp_path, S, covariance=True, samples=400))
        noisy = Y + 1e-3 * Y.std(0) * np.random.default_rng(1).normal(size=Y.shape)
        assert "exactly" not in warned(tmp_path, noisy)
    dummies = np.eye(3)[np.random.default_rng(0).integers(3, size=400)]
    assert depending("'x4', 'x5' and 'x6'", warned(tmp_path, np.column_stack([X, dummies])))
    several = np.column_stack([X] + [X[:, [0]] * (k + 2) for k in range(8)])
    told = warned(tmp_path, several)
    assert "3 more sets of columns depend on each other exactly" in told
    for seed in range(5):
        few = np.random.default_rng(seed).normal(size=(20, 30))
        few[:, 3] = few[:, 0] - 2 * few[:, 1]
        few[:, 25] = few[:, 7] + few[:, 8] - few[:, 9]
        told = warned(tmp_path, few)
        assert depending("'x0', 'x1' and 'x3'", told)
        assert depending("'x7', 'x8', 'x9' and 'x25'", told)
        assert told.count("exactly") == 2
        assert "fewer samples (20) than variables (30): the covariance is singular" in told
    assert "no more samples (4) than variables (4): the covariance is singular" in warned(tmp_path, X[:4])
    assert "exactly" not in warned(tmp_path, X[:4])


@given(generators())
def test_a_sum_of_some_columns_is_found_among_others_and_noise_is_not(tmp_path_factory, rng):
    folder = tmp_path_factory.mktemp("files")
    n, parts = int(rng.integers(4, 12)), int(rng.integers(2, 4))
    X = rng.normal(size=(60, n)) * 10.0 ** rng.integers(-3, 4, n)
    chosen = sorted(rng.choice(n - 1, parts, replace=False).tolist())
    assert "exactly" not in warned(folder, X)
    X[:, -1] = (X[:, chosen] / X[:, chosen].std(0)).sum(1) + rng.normal()
    names = [f"'x{i}'" for i in [*chosen, n - 1]]
    assert depending(f"{', '.join(names[:-1])} and {names[-1]}", warned(folder, X))


# Learning


@given(generators())
@settings(max_examples=10)
def test_the_graph_learned_is_a_dag_of_the_method_and_the_array_is_left_alone(rng):
    X = draw(seed=int(rng.integers(2**31)))
    problems = Problems.from_samples(X)
    before = problems.covariance.copy()
    observed = observed_of(problems)
    learned = learn(observed, "eqvar", threshold=0.3)
    assert (problems.covariance == before).all()
    assert learned.diagnostics["nodes on a cycle after it"] == 0
    assert ((learned.graph == 0) | (np.abs(learned.graph) >= 0.3)).all()
    dense = learned.found.fits.W[0]
    assert (np.where(np.abs(dense) < 0.3, 0, dense) == learned.graph).all()


def observed_of(problems: Problems):
    return Observed(problems, tuple(NAMES), "made up", ())


def test_a_known_graph_comes_out_in_our_convention_with_its_diagnostics(tmp_path):
    learned = learn(read(put(tmp_path, table(draw(), NAMES))))
    assert ((learned.graph != 0) == (B != 0)).all()
    assert learned.graph == pytest.approx(B, abs=0.15)
    found = edges(learned)
    assert found[0][:2] == ("rain", "sprinkler")
    assert [abs(weight) for *_, weight in found] == sorted((abs(weight) for *_, weight in found), reverse=True)
    told = learned.diagnostics
    assert told["samples"] == 400
    assert (told["edges"], told["variables"], told["converged"]) == (4, 4, "yes")
    assert told["edges removed for acyclicity"] == told["nodes on a cycle after it"] == 0
    assert 0 <= told["varsortability of the graph"] <= 1
    assert 0 <= told["h of W before the threshold"] <= 1e-8
    shown = "".join(map(to_text, tables(learned)))
    assert "rain" in shown
    assert "Read as 400 samples (rows) of 4 variables (columns), separated by comma" in shown
    held = json.loads(json.dumps(document(learned), allow_nan=False))
    assert held["names"] == NAMES
    assert held["W"] == learned.graph.tolist()
    assert held["edges"][0] == dict(zip(("cause", "effect", "weight"), found[0], strict=True))


def test_the_same_seed_gives_the_same_graph_and_another_may_not():
    observed = observed_of(Problems.from_samples(draw()))
    graphs = [learn(observed, "random_order", seed=seed, threshold=0.01).graph for seed in (0, 0, 1, 2, 3)]
    assert np.array_equal(graphs[0], graphs[1])
    assert any(not np.array_equal(graphs[0], other) for other in graphs[2:])


class Made:
    """A learner that returns what a test wants told."""

    def __init__(self, **parts: object) -> None:
        W = np.zeros((1, 4, 4))
        W[0, 0, 1] = W[0, 1, 0] = 0.5
        W[0, 1, 2] = 0.1
        fits = {"W": W, "h": np.ones(1), "converged": np.ones(1, bool), "iterations": np.array([7])}
        self.fits = Fits(**(fits | parts))

    def fit(self, problems, generator) -> Fits:
        return self.fits


def made(monkeypatch, **parts: object):
    monkeypatch.setattr("bench.apply.learn.load", lambda name, **options: Made(**parts))
    return learn(observed_of(Problems.from_samples(draw())), "made")


def test_cycles_are_counted_and_cut(monkeypatch):
    told = made(monkeypatch).diagnostics
    assert told["nodes on a cycle before the threshold"] == told["nodes on a cycle after it"] == 2
    assert (told["edges removed for acyclicity"], told["edges"]) == (1, 1)


def test_what_did_not_converge_failed_or_is_undirected_is_told(monkeypatch):
    stopped = made(monkeypatch, converged=np.zeros(1, bool), iterations=np.array([-1]))
    assert "made did not converge" in stopped.warnings[0]
    assert (stopped.diagnostics["converged"], stopped.diagnostics["iterations"]) == ("no", "not told")
    with pytest.raises(INPUT_ERRORS, match="made failed: no luck"):
        made(monkeypatch, errors=("no luck",))
    with pytest.raises(INPUT_ERRORS, match="made left float64 on these data"):
        made(monkeypatch, h=np.array([np.inf]))
    for error in (OverflowError("int too big"), torch.linalg.LinAlgError("singular\nmatrix")):
        monkeypatch.setattr(Made, "fit", Mock(side_effect=error))
        told = r"made left float64 on these data; .* \((int too big|singular matrix)\)"
        with pytest.raises(INPUT_ERRORS, match=told):
            made(monkeypatch)
    monkeypatch.undo()
    both = np.zeros((1, 4, 4), dtype=bool)
    both[0, 0, 3] = both[0, 3, 0] = both[0, 1, 2] = True
    open_edges = made(monkeypatch, cpdag=both)
    assert open_edges.undirected == ((0, 3),)
    assert document(open_edges)["undirected"] == [["rain", "slip"]]
    assert "1 edges have no direction" in open_edges.warnings[0]
    assert tables(open_edges)[-1].rows == (("rain", "slip"),)


def test_r2_of_a_singular_covariance_is_said_to_be_none():
    problems = Problems.from_samples(draw(rows=3))
    told = learn(observed_of(problems), "eqvar").diagnostics
    assert told["R2-sortability of the graph"] == "none: the covariance is singular"


def test_options_have_the_types_of_the_learners_own():
    assert parse_options("notears", ["sparsity=1", "outer=5", "acyclicity=exponential"]) == {
        "sparsity": 1.0, "outer": 5, "acyclicity": "exponential",
    }  # fmt: skip
    assert parse_options("peer.dagma:x", []) == {}
    for given_, told in (
        (["sparsity"], "write key=value"), (["=1"], "write key=value"), (["outer=1", "outer=2"], "each key once"),
        (["outer=1.5"], "option outer is '1.5'; give a whole number"), (["sparsity=x"], "'x'; give a number"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told):
            parse_options("notears", given_)
    observed = observed_of(Problems.from_samples(draw()))
    for method, options, told in (
        ("notears", {"sparsity": -1.0}, "must be above 0"),
        ("notears", {"sparsity": np.inf}, "must be above 0 and finite"),
        ("golem_nv", {"start_sparsity": np.inf}, "give a finite λ₁"),
        ("notears", {"foo": "1"}, "notears has no option foo"),
        ("nope", {}, "no learner is called 'nope'"), ("oracle", {}, "needs the true causal order, which no file"),
        ("oracle_lasso", {}, "needs the true causal order"),
    ):  # fmt: skip
        with pytest.raises(INPUT_ERRORS, match=told):
            learn(observed, method, options)
    for threshold in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="--threshold is"):
            learn(observed, "eqvar", threshold=threshold)


FEW = {"outer": "2", "inner": "3", "steps": "2", "periods": "2"}  # steps, where none are drawn
AWKWARD = (
    "0", "-1", "1", "2", "0.3", "5e-324", "1e-308", "1e308", "-1e308", "nan", "inf", "-9223372036854775809", "true",
    "none", "x", "", "cuda:99", "least_squares", "root", "exponential", "signed", "bic", "time", "unequal",
)  # fmt: skip


@settings(max_examples=60)
@given(st.data(), generators())
def test_no_options_on_no_numbers_end_in_a_traceback(data, rng):
    method = data.draw(st.sampled_from([name for name in ENTRIES if not name.startswith("peer.")]))
    rows, n = data.draw(st.sampled_from([2, 3, 20])), data.draw(st.integers(1, 4))
    X = rng.normal(size=(rows, n)) * 10.0 ** data.draw(st.sampled_from([-45, -20, 0, 0, 20, 45]))
    if data.draw(st.booleans()) and n > 1:
        X[:, -1] = X[:, :-1].sum(1)
    keys = names_of(type(load(method)), ("name", "function"))
    given_ = {key: data.draw(st.sampled_from(AWKWARD)) for key in keys if data.draw(st.booleans())}
    words = [f"{key}={value}" for key, value in ({k: FEW[k] for k in keys if k in FEW} | given_).items()]
    threshold = data.draw(st.sampled_from([0.3, 0.0, 1e308, float("nan"), -1.0]))
    seed = data.draw(st.sampled_from([0, 2**63, 10**30]))
    with contextlib.suppress(*INPUT_ERRORS):
        options = parse_options(method, words)
        observed = Observed(Problems.from_samples(X), tuple(f"x{i}" for i in range(n)), "made up", ())
        learned = learn(observed, method, options, threshold, seed)
        assert np.isfinite(learned.graph).all()
        json.dumps(document(learned), allow_nan=False)
        tables(learned)


# Writing


class Mine:
    """An estimator of a user's own: every variable on those before it."""

    def fit(self, X):
        self.adjacency_matrix_ = np.tril(np.cov(X.T), -1)
        return self


def test_an_estimator_of_the_users_own_is_a_method(tmp_path):
    observed = read(put(tmp_path, table(draw(), NAMES)))
    learned = learn(observed, f"{__name__}:Mine", time_limit=60)
    assert learned.graph == pytest.approx(np.where(np.abs(W := np.tril(np.cov(draw().T), -1)) >= 0.3, W, 0))
    assert tables(learned)[0].rows[-2] == (
        "converged", "yes", f"As far as {__name__}:Mine tells; a W without an error counts as a yes.",
    )  # fmt: skip


@pytest.mark.parametrize("method", [*ENTRIES, "mine:learner"])
def test_every_learner_has_a_sentence_per_diagnostic(method):
    told = meanings(method, {})
    named = set(document(learn(read_of(draw()), "eqvar"))["diagnostics"])
    assert set(told) < named
    assert method in told["converged"]
    assert all(text.endswith(".") and len(text) < 200 for text in told.values())


STAY = "edges that stay when standardised"
UNIT_FREE = [name for name in ENTRIES if "by construction" in meanings(name, {})[STAY]]


@pytest.mark.parametrize("method", [*UNIT_FREE, "eqvar", "variance_sort", "notears"])
def test_what_is_said_of_units_holds_for_the_learner(method):
    if method.startswith("peer.") and not ENTRIES[method].kind.available():
        pytest.skip("not installed")
    found = learn(read_of(draw(200) * [5, 1, 2, 0.3]), method, threshold=0.01).diagnostics[STAY]
    assert (found == 1) == (method in UNIT_FREE)


def test_what_equal_variances_mean_for_a_learner_is_told():
    name, p = "ratio of residual variances", "p of equal residual variances"
    for method, says in (
        ("eqvar_bic", "assumes a true ratio of 1"), ("dagma", "by least squares"), ("golem_nv", "does not assume 1"),
        ("exact_unequal", "does not assume 1"), ("r2_sort", "does not assume 1"), ("my.module:fit", "your learner"),
    ):  # fmt: skip
        told = meanings(method, {})
        assert says in told[name]
        assert ("speaks against the order" in told[p]) == (method in ("eqvar_bic", "dagma"))
        assert ("allows for the first" in told[p]) != ("speaks against the order" in told[p])
        assert ("eqvar disagrees" in told["margin of the order"]) == (method != "eqvar_bic")
    assert "does not assume 1" in meanings("peer.golem", {"equal_variances": False})[name]


def test_an_exact_covariance_has_a_ratio_and_a_margin_and_no_test(tmp_path):
    A = np.linalg.inv(np.eye(4) - B)
    learned = learn(read(put(tmp_path, table(A @ A.T, NAMES)), covariance=True), "eqvar")
    told = document(learned)["diagnostics"]
    assert told["ratio of residual variances"] == pytest.approx(1)
    assert told["margin of the order"] == pytest.approx(1 + 0.8**2)  # wet, of which only sprinkler is not chosen
    empty = ("p of equal residual variances", "ratio at least (95 %)", "margin in standard errors")
    assert [told[name] for name in empty] == [None] * 3
    sampled = learn(read(put(tmp_path, table(A @ A.T, NAMES)), covariance=True, samples=400), "eqvar").diagnostics
    assert sampled["p of equal residual variances"] > 0.99
    assert sampled["margin in standard errors"] > 3


def test_whether_a_learner_uses_the_units_is_told():
    for method, used in (("notears", True), ("exact", True), ("exact_unequal", False), ("r2_sort", False)):
        assert ("may then have decided" in meanings(method, {})["varsortability of the graph"]) == used
    assert "may then have" not in meanings("exact", {"score": "unequal"})["varsortability of the graph"]
    assert "so 1 is no evidence" in meanings("variance_sort", {})["varsortability of the graph"]


def test_the_list_names_every_learner_that_a_file_can_be_given_to():
    listed = {row[0]: row[1:] for row in list_methods().rows}
    assert set(listed) == set(ENTRIES) - {"oracle", "oracle_lasso"}
    assert listed["eqvar_bic"][0].endswith("(refit = bic)")
    assert listed["eqvar"][1] == "direction, refit"


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_graph_is_drawn_small_and_large(tmp_path, kind, start):
    rng = np.random.default_rng(0)
    for X in (draw(), rng.normal(size=(100, 21)), rng.normal(size=(100, 1))):
        path = tmp_path / f"graph.{kind.upper()}"
        write_plot(path, learn(read_of(X), "eqvar"))
        first = path.read_bytes()
        write_plot(path, learn(read_of(X), "eqvar"))
        assert first.startswith(start)
        assert path.read_bytes() == first


def read_of(X: np.ndarray) -> Observed:
    names = tuple(f"$v_{k}<&" for k in range(X.shape[1]))
    return Observed(Problems.from_samples(X), names, "drawn", ())


@pytest.mark.parametrize("transpose", [False, True])
def test_what_is_written_is_w_with_its_names(tmp_path, transpose):
    learned = learn(read(put(tmp_path, table(draw(), NAMES))), "eqvar")
    W = learned.graph.T if transpose else learned.graph
    write_matrix(tmp_path / "W.csv", learned, transpose)
    frame = pd.read_csv(tmp_path / "W.csv", index_col=0)
    assert frame.index.name == ("cause \\ effect" if transpose else "effect \\ cause")
    assert list(frame.columns) == list(frame.index) == NAMES
    assert np.array_equal(frame.to_numpy(), W)
    write_matrix(tmp_path / "W.npy", learned, transpose)
    assert np.array_equal(np.load(tmp_path / "W.npy", allow_pickle=False), W)


def test_places_where_w_cannot_go_are_refused_first(tmp_path):
    source = put(tmp_path, table(draw(), NAMES))
    for out, told in ((tmp_path / "W.txt", "W is written as .csv or .npy"), (source, "is the file that W is learned")):
        with pytest.raises(InputError, match=told):
            check_out(out, source)
    check_out(tmp_path / "W.csv", source, tmp_path / "G.graphml")
    for graphml, told in ((source, "is the file that W is learned"), (tmp_path / "W.csv", "are one file")):
        with pytest.raises(InputError, match=told):
            check_out(tmp_path / "W.csv", source, graphml)
    for plot, told in ((tmp_path / "g.jpg", "as .svg, .png, .pdf; end its name so"), (source, "a picture is written")):
        with pytest.raises(InputError, match=told):
            check_out(tmp_path / "W.csv", source, plot=plot)
    with pytest.raises(InputError, match="--graphml and --plot are one file"):
        check_out(tmp_path / "W.csv", source, tmp_path / "g.svg", tmp_path / "g.svg")
    with pytest.raises(InputError, match="cannot be written"):
        write_matrix(tmp_path / "none" / "W.csv", learn(read(source), "eqvar"))


def test_a_npy_header_that_no_tokenizer_ends_is_refused(tmp_path):
    """Found by fuzzing: NumPy's parser of old headers lets `tokenize.TokenError` through."""
    whole = saved(tmp_path, np.eye(3)).read_bytes()
    with pytest.raises(InputError, match="cannot be read as numbers"):
        read(put(tmp_path, whole.replace(b"), }", b"(, }"), "x.npy"))


def test_a_limit_changes_nothing_of_what_is_learned_in_time(tmp_path):
    observed = read(put(tmp_path, table(draw(), NAMES)))
    plain, limited = learn(observed, "notears"), learn(observed, "notears", time_limit=60)
    assert document(limited) == document(plain)


def test_what_cannot_fit_into_memory_is_refused_first(monkeypatch):
    observed = observed_of(Problems.from_samples(draw()))
    monkeypatch.setattr("causalrec.graph._memory", lambda: 1000.0)
    with pytest.raises(INPUT_ERRORS, match=r"notears on 4 variables needs .* GiB of memory or more"):
        learn(observed, "notears")
    assert learn(observed, "eqvar").graph.shape == (4, 4)
    monkeypatch.setattr(Made, "fit", Mock(side_effect=MemoryError))
    with pytest.raises(INPUT_ERRORS, match="made on 4 variables needs more memory than there is; take fewer variables"):
        made(monkeypatch)
