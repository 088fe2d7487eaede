"""A user's own file: numbers read to the bit or one typed error with its line, and what is told of the graph."""

import csv
import io
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.apply.learn import check_out, diagnostics, document, edges, learn, parse_options, tables, write_matrix
from bench.apply.observed import DELIMITERS, read
from bench.errors import INPUT_ERRORS, InputError
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
        assert f"separated by {delimiter} (the only one in line 1)" in observed.read_as


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
    for data in (b"PK\x03\x04", b"\x80\x04cposix\nsystem\n", b"1,2\n"):
        with pytest.raises(InputError, match=r"is no \.npy file"):
            read(put(tmp_path, data, "x.npy"))
    whole = saved(tmp_path, draw()).read_bytes()
    with pytest.raises(InputError, match="cannot be read as numbers"):
        read(put(tmp_path, whole[:-8], "cut.npy"))
    with pytest.raises(InputError, match="has neither header nor delimiter"):
        read(tmp_path / "x.npy", header=True)
    for path in (tmp_path, tmp_path / "none.csv", tmp_path / "none.npy"):
        with pytest.raises(InputError, match=r"cannot be read .*; check the path"):
            read(path)


def test_whole_numbers_are_accepted_and_one_column_is_one_node(tmp_path):
    whole = np.array([[1, 5], [2, 9], [4, 4]])
    assert np.array_equal(read(saved(tmp_path, whole)).problems.rows[0], whole)
    assert np.array_equal(read(put(tmp_path, table(whole, ["a", "b"]))).problems.rows[0], whole)
    one = learn(read(put(tmp_path, "a\n1\n2\n4\n")))
    assert "one column (line 1 holds no comma, tab or semicolon)" in one.observed.read_as
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


# Covariances


def test_a_covariance_gives_the_graph_of_its_samples(tmp_path):
    X = draw()
    S = np.cov(X, rowvar=False, bias=True)
    of_rows = learn(read(saved(tmp_path, X)))
    of_covariance = learn(read(saved(tmp_path, S, "s.npy"), covariance=True, samples=len(X)))
    assert of_covariance.graph == pytest.approx(of_rows.graph, abs=1e-4)
    assert diagnostics(of_covariance)["samples"] == 400
    exact = read(saved(tmp_path, S, "s.npy"), covariance=True)
    assert "exact: no --samples were given" in exact.read_as
    assert diagnostics(learn(exact, "eqvar"))["samples"] == "exact covariance"


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
    assert diagnostics(learned)["nodes on a cycle after it"] == 0
    assert ((learned.graph == 0) | (np.abs(learned.graph) >= 0.3)).all()
    assert (np.where(np.abs(learned.dense) < 0.3, 0, learned.dense) == learned.graph).all()


def observed_of(problems: Problems):
    from bench.apply.observed import Observed

    return Observed(problems, tuple(NAMES), "made up", ())


def test_a_known_graph_comes_out_in_our_convention_with_its_diagnostics(tmp_path):
    learned = learn(read(put(tmp_path, table(draw(), NAMES))))
    assert ((learned.graph != 0) == (B != 0)).all()
    assert learned.graph == pytest.approx(B, abs=0.15)
    found = edges(learned)
    assert found[0][:2] == ("rain", "sprinkler")
    assert [abs(weight) for *_, weight in found] == sorted((abs(weight) for *_, weight in found), reverse=True)
    told = diagnostics(learned)
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
    told = diagnostics(made(monkeypatch))
    assert told["nodes on a cycle before the threshold"] == told["nodes on a cycle after it"] == 2
    assert (told["edges removed for acyclicity"], told["edges"]) == (1, 1)


def test_what_did_not_converge_failed_or_is_undirected_is_told(monkeypatch):
    stopped = made(monkeypatch, converged=np.zeros(1, bool), iterations=np.array([-1]))
    assert "made did not converge" in stopped.warnings[0]
    assert (diagnostics(stopped)["converged"], diagnostics(stopped)["iterations"]) == ("no", "not told")
    with pytest.raises(InputError, match="made failed: no luck"):
        made(monkeypatch, errors=("no luck",))
    with pytest.raises(InputError, match="made left float64 on these data"):
        made(monkeypatch, h=np.array([np.inf]))
    for error in (OverflowError("int too big"), torch.linalg.LinAlgError("singular\nmatrix")):
        monkeypatch.setattr(Made, "fit", Mock(side_effect=error))
        with pytest.raises(InputError, match=r"made left float64 on these data; .* \((int too big|singular matrix)\)"):
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
    told = diagnostics(learn(observed_of(problems), "eqvar"))
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


# Writing


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
    with pytest.raises(InputError, match="cannot be written"):
        write_matrix(tmp_path / "none" / "W.csv", learn(read(source), "eqvar"))


def test_a_npy_header_that_no_tokenizer_ends_is_refused(tmp_path):
    """Found by fuzzing: NumPy's parser of old headers lets `tokenize.TokenError` through."""
    whole = saved(tmp_path, np.eye(3)).read_bytes()
    with pytest.raises(InputError, match="cannot be read as numbers"):
        read(put(tmp_path, whole.replace(b"), }", b"(, }"), "x.npy"))
