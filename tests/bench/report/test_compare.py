"""Two runs side by side: what counts as equal, what is told of numbers, and files that no run wrote."""

import json
import math
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.judge.intervals import Interval
from bench.report import claim_card as cards
from bench.report import run_files
from bench.report.claim_card import claim_card
from bench.report.compare import ABSENT, KINDS, Comparison, compare, compatible, count_values
from bench.report.run_files import RunFile, read_run, reference_of
from bench.show.tables import Table, to_dict, to_text
from bench.text import short
from tests.strategies import damages, intervals, runs

HASH = "ab" * 32


def interval(estimate: float, low: float | None, high: float | None, level: float = 0.95) -> dict:
    return {"estimate": estimate, "low": low, "high": high, "n": 5, "level": level}


def said(claim: str, verdict: str, *findings: tuple) -> dict:
    """A verdict on a claim of `REGISTER`; of each finding part, outcome, estimate and where."""
    made = [
        {"part": part, "where": "".join(where), "outcome": outcome, "estimate": estimate, "rests_on": "5 worlds"}
        | {"unit": "%", "blocked": "" if estimate else "no edge"}
        for part, outcome, estimate, *where in findings
    ]  # fmt: skip
    return {"claim": claim, "verdict": verdict, "findings": made, "note": "", "why": ""}


def declared(name: str, experiment: str) -> dict:
    claim = {
        "id": name, "kind": "test", "statement": "It is so", "source": "Sec. 1", "tier": "synthetic",
        "experiment": experiment, "right_if": "It is", "rule": "It must be so",
    }  # fmt: skip
    size = {"measure": "the size", "unit": "%", "reason": "it matters", "sesoi": 0.5}
    return claim | {"parts": {"size": size, "other": size, "beside": size | {"essential": False}}}


CLAIMS = {"equal-variance-identifies": "recovery", "beats-rivals": "recommend", "cubic-cost": "cost"}
RUN = {
    "preset": "smoke",
    "seed": 0,
    "device": "cpu",
    "cells": 7,
    "failed": 0,
    "experiments": ["recovery", "recommend", "cost"],
    "headline": "Of 3 tests: 3 run.",
    "asked": {},
    "register": {
        "sha256": HASH, "code_sha256": HASH, "gates": {}, "claims": {n: declared(n, e) for n, e in CLAIMS.items()},
    },
    "gates": {},
    "verdicts": [
        said("equal-variance-identifies", "as claimed", ("size", "as claimed", interval(1.0, 0.8, 1.2)),
             ("beside", "opposite", interval(-3.0, -4.0, -2.0))),
        said("beats-rivals", "no effect", ("size", "no effect", interval(0.0, -0.5, 0.5), "ml-100k"),
             ("other", "not testable here", None)),
        said("cubic-cost", "not run"),
    ],
    "tables": [
        {
            "name": "recovery",
            "title": "Recovery",
            "columns": ["graphs", "n", "EqVar", "CPU s"],
            "rows": [["ER", 30, interval(0.5, 0.4, 0.6), 1.5], ["ER", 100, interval(0.9, 0.8, 1.0), None]],
            "note": "",
        },
        {"name": "verdicts", "title": "Verdicts", "columns": ["claim"], "rows": [["beats-rivals"]], "note": ""},
    ],
    "details": [],
    "figures": [],
    "datasets": {"ml-100k": {"file_sha256": HASH, "content_hash": HASH, "repeats": "kept", "statistics": {"users": 9}}},
    "missing": {},
    "environment": {"commit": "0" * 40, "dirty": False, "torch": "2.13.0", "cores": 2, "gpu": None},
}  # fmt: skip


@pytest.fixture
def read(tmp_path) -> Callable[[dict], RunFile]:
    def write(document: dict) -> RunFile:
        (tmp_path / "run.json").write_text(json.dumps(document))
        return read_run(tmp_path)

    return write


def changed(edit: Callable[[dict], object]) -> dict:
    document = deepcopy(RUN)
    edit(document)
    return document


def table(found: Comparison, name: str) -> list[dict]:
    (one,) = [table for table in found.tables if table.name == f"compared_{name}"]
    return [dict(zip(one.columns, row, strict=True)) for row in one.rows]


def note(found: Comparison, name: str) -> str:
    (one,) = [table for table in found.tables if table.name == f"compared_{name}"]
    return one.note


# Verdicts


def test_equal_runs_agree(read):
    found = compare(read(RUN), read(RUN))
    assert (found.differing, found.within_noise, found.compared) == ((), (), 2)
    assert [tuple(row.values()) for row in table(found, "verdicts")] == [
        ("equal-variance-identifies", "as claimed", "as claimed", "yes"),
        ("beats-rivals", "no effect", "no effect", "yes"),
        ("cubic-cost", "not run", "not run", "not run"),
    ]
    assert "equal for 2 of the 2 claims" in note(found, "verdicts")
    assert table(found, "made_with") == []
    assert note(found, "made_with") == "Nothing that the files tell differs."
    assert found.tables[0].name == "compared_verdicts"


def other_verdict(*sizes: dict | None) -> dict:
    """The run with another verdict on `beats-rivals`, whose essential findings have these estimates."""
    told = [("size", "undecided", sizes[0], "ml-100k"), ("other", "not testable here", *(sizes[1:] or [None]))]
    return changed(lambda d: d["verdicts"].__setitem__(1, said("beats-rivals", "undecided", *told)))


@pytest.mark.parametrize(
    ("sizes", "equal"),
    [
        ([interval(0.4, -0.1, 0.9)], "within noise"),
        ([interval(0.4, 0.1, 0.7)], "no"),  # the reference's estimate does not lie in it
        ([interval(0.6, -0.1, 1.3)], "no"),  # it does not lie in the reference's
        ([interval(0.4, -0.1, 0.9), interval(0.0, -1.0, 1.0)], "no"),  # in the reference a gate left this out
        ([None], "no"),
    ],
)
def test_another_verdict_is_named_with_both_and_is_within_noise_where_estimates_lie_in_each_others(read, sizes, equal):
    one, reference = read(other_verdict(*sizes)), read(RUN)
    for found, told in (
        (compare(one, reference), "beats-rivals is undecided, in the reference no effect"),
        (compare(reference, one), "beats-rivals is no effect, in the reference undecided"),
    ):
        assert (found.differing, found.within_noise) == (((told,), ()) if equal == "no" else ((), (told,)))
        assert [row["equal"] for row in table(found, "verdicts")] == ["yes", equal, "not run"]
        assert "equal for 1 of the 2 claims" in note(found, "verdicts")


def test_what_stands_beside_does_not_put_a_verdict_beyond_noise(read):
    def edit(document: dict) -> None:
        document["verdicts"][0].update(verdict="undecided")
        document["verdicts"][0]["findings"][1].update(estimate=interval(3.0, 2.0, 4.0))

    assert compare(read(changed(edit)), read(RUN)).differing == ()


def test_verdicts_that_rest_on_no_finding_differ_beyond_noise(read):
    one, two = (read(changed(lambda d, w=w: d["verdicts"][2].update(verdict=w))) for w in ("as claimed", "opposite"))
    assert compare(one, two).differing == ("cubic-cost is as claimed, in the reference opposite",)


def test_times_are_shown_as_ratios(read):
    def edit(document: dict) -> None:
        document["tables"][0]["rows"][0][3] = 4.5
        document["made"] = {"duration_s": 10.0}

    plain, slow = read(changed(lambda d: d.update(made={"duration_s": 4.0}))), read(changed(edit))
    rows = [tuple(row.values()) for row in table(compare(slow, plain), "times")]
    assert rows == [("the whole run", "duration", 1, 2.5), ("recovery", "CPU s", 1, 3.0)]
    assert table(compare(read(RUN), read(RUN)), "times") == [
        {"table": "recovery", "column": "CPU s", "rows": 1, "ratio": 1.0}
    ]


def test_runs_judged_by_different_registers_are_compared_only_where_that_is_asked_for(read):
    def edit(document: dict) -> None:
        document["register"]["sha256"] = "cd" * 32
        document["register"]["claims"]["beats-rivals"]["parts"]["size"]["sesoi"] = 0.1

    other, mine = read(changed(edit)), read(RUN)
    for one, two in ((other, mine), (mine, other)):
        with pytest.raises(InputError, match=r"was judged by register (ab|cd){6}, .* by (ab|cd){6}; judge the records"):
            compare(one, two)
    found = compare(other, mine, across_registers=True)
    assert found.compared == 2
    assert {tuple(row.values()) for row in table(found, "made_with")} == {("register", "cd" * 6, "ab" * 6)}


def test_a_claim_in_one_run_only_differs(read):
    found = compare(read(changed(lambda d: d["verdicts"].pop(0))), read(RUN))
    assert found.differing == ("equal-variance-identifies is not there, in the reference as claimed",)
    assert table(found, "verdicts")[-1]["run"] is None


@pytest.mark.parametrize(
    ("experiments", "told"),
    [(["recommend"], "not asked"), (["recovery"], "not run"), (["variance", "recovery"], "not run"), ([], "not asked")],
)
def test_a_claim_that_one_run_was_not_asked_for_or_did_not_run_is_not_compared(read, experiments, told):
    def edit(document: dict) -> None:
        document["verdicts"][0].update(verdict="not run", findings=[])
        document["experiments"] = experiments

    one, whole = read(changed(edit)), read(RUN)
    for found in (compare(one, whole), compare(whole, one)):
        assert found.differing == ()
        assert table(found, "verdicts")[0]["equal"] == told


# Findings


def finding(found: Comparison, part: str) -> dict:
    (row,) = [row for row in table(found, "findings") if row["part"] == part]
    return row


@pytest.mark.parametrize(
    ("estimate", "inside", "around", "zero"),
    [
        (interval(1.1, 0.9, 1.3), "yes", "yes", "yes"),
        (interval(1.2, 1.1, 1.3), "yes", "no", "yes"),  # the bound itself is inside; 0.2 <= sqrt(0.1² + 0.2²)
        (interval(1.25, 0.9, 1.6), "no", "yes", "yes"),
        (interval(1.4, 1.2, 1.6), "no", "no", "no"),  # 0.4 > sqrt(0.2² + 0.2²)
        (interval(1.25, 1.05, 1.5), "no", "no", "yes"),  # 0.25 <= sqrt(0.2² + 0.2²)
        (interval(1.4, None, None), "no", "yes", None),
        (interval(1.1, 0.9, 1.3, 0.99), "yes", "yes", None),
        (None, None, None, None),
    ],
)
def test_estimates_against_intervals(read, estimate, inside, around, zero):
    def edit(document: dict) -> None:
        document["seed"] = 1
        document["verdicts"][0]["findings"][0]["estimate"] = estimate

    found = compare(read(changed(edit)), read(RUN))
    row = finding(found, "size")
    told = (row["inside the reference's"], row["reference's inside"], row["difference may be 0"])
    assert told == (inside, around, zero)
    assert found.differing == ()
    assert "half-widths in quadrature" in note(found, "findings")
    assert "assumes independent runs" in note(found, "findings")


def test_runs_of_one_seed_are_not_taken_as_independent(read):
    found = compare(read(RUN), read(RUN))
    assert finding(found, "size")["difference may be 0"] is None
    assert "Both runs have seed 0" in note(found, "findings")


def test_a_finding_in_one_run_only_is_a_row_that_says_so(read):
    new = said("", "", ("size", "opposite", interval(-2, -3, -1), "new"))["findings"]
    more = changed(lambda d: d["verdicts"][1]["findings"].extend(new))
    here, there = compare(read(more), read(RUN)), compare(read(RUN), read(more))
    for found, outcomes in ((here, ("opposite", ABSENT)), (there, (ABSENT, "opposite"))):
        row = finding(found, "size, new")
        assert (row["outcome"], row["in the reference"]) == outcomes
    assert here.differing == there.differing == ()


@given(intervals(), intervals())
def test_whether_a_difference_may_be_zero_is_symmetric_and_itself_it_may(a, b):
    assert compatible(a, b) == compatible(b, a)
    assert compatible(a, a) in (True, None)
    if compatible(a, b) is False:
        assert a.high < b.estimate or b.high < a.estimate


def test_of_a_lopsided_interval_the_half_that_faces_the_other_counts():
    wide_below = Interval(1.0, 0.0, 1.0, 5)
    assert compatible(wide_below, Interval(0.2, 0.1, 0.3, 5))
    assert not compatible(wide_below, Interval(1.8, 1.7, 1.9, 5))


# Numbers of tables


def counts(here: dict, there: dict, read: Callable) -> dict[str, int]:
    (row,) = [row for row in table(compare(read(here), read(there)), "tables") if row["table"] == "recovery"]
    return {kind: row[kind] for kind in KINDS if row[kind]}


def test_numbers_outside_each_others_intervals_are_counted(read):
    def edit(document: dict) -> None:
        rows = document["tables"][0]["rows"]
        rows[0][2] = interval(0.65, 0.61, 0.7)  # neither estimate in the other's interval
        rows[1][2] = interval(0.7, 0.5, 0.95)  # the other's estimate lies in it, its own not in the other's
        rows[0][3] = 1.6

    assert counts(RUN, RUN, read) == {"agree": 2, "no interval: equal": 1}
    assert counts(changed(edit), RUN, read) == {"agree": 1, "differ": 1, "other": 1}
    assert counts(changed(lambda d: d["tables"][0]["rows"][0].__setitem__(3, 1.5 + 1e-13)), RUN, read) == {
        "agree": 2, "no interval: equal": 1
    }  # fmt: skip


def test_rows_columns_and_tables_of_one_run_only_are_counted(read):
    assert counts(changed(lambda d: d["tables"][0]["rows"].pop()), RUN, read) == {
        "agree": 1, "no interval: equal": 1, "only in the reference": 1
    }  # fmt: skip
    assert counts(RUN, changed(lambda d: d["tables"][0]["rows"].pop(0)), read) == {"agree": 1, "only in the run": 2}
    renamed = changed(lambda d: d["tables"][0]["columns"].__setitem__(2, "EqVar 2"))
    assert counts(renamed, RUN, read) == {"no interval: equal": 1, "only in the run": 2, "only in the reference": 2}
    assert counts(changed(lambda d: d["tables"].pop(0)), RUN, read) == {"only in the reference": 3}
    reordered = changed(lambda d: d["tables"][0]["rows"].reverse())
    assert counts(reordered, RUN, read) == counts(RUN, RUN, read)


def test_verdicts_and_failures_are_told_elsewhere(read):
    assert [row["table"] for row in table(compare(read(RUN), read(RUN)), "tables")] == ["recovery"]


def test_rows_that_nothing_tells_apart_are_all_counted():
    twice, once = Table("t", "", ("k", "v"), (("a", 1), ("a", 2))), Table("t", "", ("k",), (("a",),))
    assert count_values(twice, once) == {"only in the run": 2}


def test_a_column_that_tells_no_rows_apart_is_no_key():
    """The density of a drawn world differs from seed to seed, between two columns that name the row."""
    def made(density: str) -> Table:
        rows = [("behaviour", density, variant, 0.5) for variant in ("boost", "filter")]
        return Table("ablation", "", ("data", "density", "variant", "HR"), tuple(rows))

    assert count_values(made("0.25"), made("0.26")) == {"no interval: equal": 2, "other": 2}


# What they were made with


def test_what_differs_in_the_making_is_listed(read):
    def edit(document: dict) -> None:
        document |= {"preset": "quick", "seed": 3, "missing": {"beauty": "sought"}}
        document["environment"] |= {"torch": "2.14.0", "gpu": "H100", "dirty": True}
        document["datasets"]["ml-100k"] |= {"file_sha256": "cd" * 32, "repeats": "dropped"}
        document["datasets"]["ml-1m"] = {"content_hash": HASH}

    found = compare(read(changed(edit)), read(RUN))
    assert {tuple(row.values()) for row in table(found, "made_with")} == {
        ("preset", "quick", "smoke"), ("seed", 3, 0), ("missing data", "beauty", None), ("torch", "2.14.0", "2.13.0"),
        ("gpu", "H100", None), ("dirty", "True", "False"), ("ml-100k: file_sha256", "cd" * 6, "ab" * 6),
        ("ml-100k: repeats", "dropped", "kept"), ("ml-1m", "there", None), ("ml-1m: content_hash", "ab" * 6, None),
    }  # fmt: skip
    for name in ("made_with", "tables", "findings"):
        assert "The presets differ (quick, smoke), and with them sizes" in note(found, name)
        assert "presets differ" not in note(compare(read(RUN), read(RUN)), name)


# Any two runs


@given(runs(), st.integers(0, 3))
def test_a_run_agrees_with_itself(run, seed):
    found = compare(run, replace(run, seed=seed))
    assert found.differing == ()
    assert all(row["equal"] == ("yes" if row["run"] != "not run" else "not run") for row in table(found, "verdicts"))
    assert {(row["inside the reference's"], row["reference's inside"]) for row in table(found, "findings")} <= {
        ("yes", "yes"), (None, None)
    }  # fmt: skip
    assert all(row["difference may be 0"] in ("yes", None) for row in table(found, "findings"))
    assert all(row[kind] == 0 for row in table(found, "tables") for kind in (KINDS[1], *KINDS[3:]))


@given(runs(), runs())
def test_what_is_called_equal_is_symmetric(a, b):
    here, there = compare(a, b), compare(b, a)
    assert {text.partition(" ")[0] for text in here.differing} == {text.partition(" ")[0] for text in there.differing}
    assert here.compared == there.compared

    def told(found: Comparison, name: str, key: str, *columns: str) -> set[tuple]:
        return {(row[key], *(row[column] for column in columns)) for row in table(found, name)}

    assert told(here, "verdicts", "claim", "equal") == told(there, "verdicts", "claim", "equal")
    mirrored = (*KINDS[:4], KINDS[5], KINDS[4])
    assert told(here, "tables", "table", *KINDS) == told(there, "tables", "table", *mirrored)
    both = ("inside the reference's", "reference's inside", "difference may be 0")
    assert told(here, "findings", "part", "claim", *both) == told(
        there, "findings", "part", "claim", both[1], both[0], both[2]
    )
    for found in (*here.tables, *there.tables):
        assert to_text(found)
        json.dumps(to_dict(found), allow_nan=False)


# Files that no run wrote


def put_in(value: object, *place: str | int) -> Callable[[dict], None]:
    """Put a value in the place of another, at any depth; after the last of a list it is added."""

    def edit(document: dict) -> None:
        inside = document
        for key in place[:-1]:
            inside = inside[key]
        if isinstance(inside, list) and place[-1] == len(inside):
            inside.append(value)
        else:
            inside[place[-1]] = value

    return edit


VERDICT, FINDING, TABLE = ("verdicts", 0), ("verdicts", 0, "findings", 0), ("tables", 0)
CLAIM = ("register", "claims", "cubic-cost")
PART = (*CLAIM, "parts", "size")
TWICE = {"name": "one", "title": "One"}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d.pop("cells"), "missing required field `cells`"),
        (lambda d: d.pop("register"), "missing required field `register`"),
        (put_in(3, "tables"), "tables expected `array`, got `int`"),
        (put_in(True, "seed"), "seed expected `int`, got `bool`"),
        (put_in("0", "seed"), "seed expected `int`, got `str`"),
        (put_in([1], "experiments"), r"experiments\[0\] expected `str`, got `int`"),
        (put_in(1, *VERDICT), r"verdicts\[0\] expected `object`, got `int`"),
        (put_in("great", *VERDICT, "verdict"), r"verdicts\[0\].verdict invalid enum value 'great'"),
        (put_in(RUN["verdicts"][0], "verdicts", 3), "verdicts: 'equal-variance-identifies' is there twice"),
        (put_in("\x1b[2J", *VERDICT, "claim"), r"verdicts\[0\].claim expected `str` matching"),
        (put_in("a" * 101, *VERDICT, "claim"), r"claim expected `str` matching regex .*\{0,99\}"),
        (put_in("new", *VERDICT, "claim"), "verdict on 'new': its register lacks the claim or a part of it"),
        (put_in("new", *FINDING, "part"), "verdict on 'equal-.*': its register lacks the claim or a part of it"),
        (put_in(RUN["verdicts"][0]["findings"][0], *VERDICT, "findings", 2), "findings: 'size, ' is there twice"),
        (put_in([], *FINDING, "outcome"), r"verdicts\[0\].findings\[0\].outcome expected `str`, got `array`"),
        (put_in("holds", *FINDING, "outcome"), r"findings\[0\].outcome invalid enum value 'holds'"),
        (put_in(1.5, *FINDING, "estimate"), r"estimate expected `object . null`, got `float`"),
        (put_in({"low": 1}, *FINDING, "estimate"), "missing required field `estimate`"),
        (put_in(interval(1, 3, 2), *FINDING, "estimate"), "from low 3.0 to high 2.0"),
        (put_in(interval(1, 0, 2, 1), *FINDING, "estimate"), "level expected `float` < 1.0"),
        (put_in(10**400, *FINDING, "estimate", "n"), "estimate.n expected `int` <= 9223372036854775807"),
        (put_in("other", *CLAIM, "id"), "claim 'cubic-cost' has id 'other', .*; expected its own id"),
        (put_in("cost; rm", *CLAIM, "experiment"), "has id 'cubic-cost', experiment 'cost; rm'; expected"),
        (put_in("proof", *CLAIM, "kind"), r"kind invalid enum value 'proof'"),
        (put_in({}, *CLAIM, "parts"), "no part is essential; one at least has to decide"),
        (put_in(-1, *PART, "sesoi"), "sesoi must be above 0"),
        (put_in(10**400, *PART, "sesoi"), "sesoi number out of range"),
        (put_in("\x1b", *TABLE, "name"), r"tables\[0\].name expected `str` matching"),
        (put_in("a b", *TABLE, "experiment"), r"tables\[0\].experiment expected `str` matching"),
        (put_in(None, *TABLE, "note"), r"tables\[0\].note expected `str`, got `null`"),
        (put_in("xy", *TABLE, "columns"), r"tables\[0\].columns expected `array`, got `str`"),
        (put_in("EqVar", *TABLE, "columns", 3), "columns of table 'recovery': 'EqVar' is there twice"),
        (put_in([1], *TABLE, "rows", 0), "table 'recovery' needs rows of 4 values"),
        (put_in([], *TABLE, "rows", 0, 0), r"tables\[0\].rows\[0\]\[0\] expected .*, got `array`"),
        (put_in(RUN["tables"][0], "tables", 2), "tables: 'recovery' is there twice"),
        (put_in([TWICE, TWICE], "details"), "details: 'one' is there twice"),
        (put_in([{"name": "../first", "title": "t"}], "figures"), r"figures\[0\].name expected `str` matching"),
        (put_in({"a": "b", "c": None}, "missing"), r"missing expected `str`, got `null`"),
        (put_in([], "missing"), r"missing expected `object`, got `array`"),
        (put_in({"a": 0.5}, "environment"), r"environment expected `bool . int . str . null`, got `float`"),
        (put_in([], "environment"), r"environment expected `object`, got `array`"),
        (put_in({"\x1b[2J": 3}, "datasets"), r"datasets expected `object`, got `int`"),
    ],
)
def test_a_file_of_which_one_field_is_wrong_is_refused_in_one_line(tmp_path, edit, told):
    is_refused(tmp_path, json.dumps(changed(edit)), told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "is a list; expected an object"),
        ('{"seed": NaN}', "NaN is no JSON"),
        ('{"seed": Infinity}', "Infinity is no JSON"),
        ("{}", "missing required field `preset`"),
        ("x" * 10_000_000, "cannot be read as JSON"),
        ('{"a": ' * 10**5 + "1" + "}" * 10**5, "cannot be read as JSON"),
        (json.dumps(RUN).replace("1.5", "1e999"), r"tables\[0\].rows\[0\]\[3\] expected `float` <= 1.79.*"),
        (json.dumps(RUN).replace('"sesoi": 0.5', '"sesoi": 1e999'), "its figures must be finite numbers"),
    ],
)
def test_a_file_that_no_run_wrote_is_refused_in_one_line(tmp_path, text, told):
    is_refused(tmp_path, text, told)


def is_refused(folder: Path, text: str, told: str) -> None:
    (folder / "run.json").write_text(text)
    for place in (folder, folder / "run.json"):
        with pytest.raises(InputError, match=told) as refused:
            read_run(place)
        line = str(refused.value)
        assert line.startswith(f"{folder / 'run.json'}: ")
        assert line.isprintable()
        assert len(line) < len(str(folder)) + 400


def test_a_file_that_is_too_large_not_text_or_not_there_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"run\.json: there is no such file; name a folder"):
        read_run(tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"run\.json: cannot be read as JSON"):
        read_run(tmp_path)
    monkeypatch.setattr(run_files, "LARGEST", 10)
    for text in (json.dumps(RUN), "x" * 11):  # what is too large is not parsed to begin with
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json: is larger than 10 bytes; expected a run's document"):
            read_run(tmp_path)


def test_what_is_nested_too_deep_to_be_shown_is_told_all_the_same():
    deep: list = []
    for _ in range(10**5):
        deep = [deep]
    assert short(deep) == "a list nested too deep"
    assert short({"a": "b" * 99}) == "{'a': '" + "b" * 70 + "..."


def attempt(place: Path) -> RunFile | str:
    try:
        return read_run(place)
    except InputError as error:
        return str(error)


@given(damages(json.dumps(RUN)))
def test_a_damaged_file_is_refused_or_can_be_compared(text):
    with TemporaryDirectory() as folder:
        place = Path(folder) / "run.json"
        place.write_text(text)
        run = attempt(place)
        if isinstance(run, str):
            assert run.isprintable()
            return
        place.write_text(json.dumps(RUN))
        for found in (compare(run, read_run(place)), compare(read_run(place), run)):
            for one in found.tables:
                assert "\x1b" not in to_text(one)


def test_what_a_terminal_would_obey_is_escaped_wherever_it_stands(read):
    odd = "\x1b[2J\ud800"

    def edit(document: dict) -> None:
        document["verdicts"][0]["findings"][0].update(where=odd)
        document["verdicts"][1].update(note=odd, why=odd)
        document["verdicts"][1]["findings"][0].update(rests_on=odd, blocked=odd)
        document["register"]["claims"]["cubic-cost"].update(statement=odd, rule=odd)
        document["tables"][0].update(title=odd, note=odd, columns=[odd, "n", "EqVar", "CPU s"])
        document["tables"][0]["rows"][0][0] = odd
        document["environment"].update({odd: odd})
        document["missing"] = {odd: odd}
        document["datasets"] = {odd: {odd: odd}}
        document.update(preset=odd, device=odd, experiments=[odd], headline=odd)

    run = read(changed(edit))
    found = compare(run, read(RUN))
    shown = "".join(map(to_text, found.tables))
    assert shown.count(r"\x1b[2J\ud800") > 10
    assert not set("\x1b\ud800") & set(shown + "".join(found.differing))
    told = repr(vars(run))  # where a backslash within a text is two
    assert told.count(r"\\x1b[2J\\ud800") > 20
    assert not any(escape in told.replace(r"\\", "") for escape in (r"\x1b", r"\ud800"))


def test_an_unbounded_interval_is_read_as_one(read):
    edit = changed(lambda d: d["verdicts"][0]["findings"][0].update(estimate=interval(1, None, None)))
    first, _ = read(edit).by_claim["equal-variance-identifies"].findings
    assert first.estimate == Interval(1, -math.inf, math.inf, 5)


# The committed run of a preset


def test_every_reference_agrees_with_itself_in_every_value():
    place = reference_of("hour")
    run = read_run(place)
    found = compare(run, run)
    assert (found.differing, found.within_noise, found.compared) == ((), (), len(run.verdicts))
    assert len(table(found, "findings")) == sum(len(verdict.findings) for verdict in run.verdicts) > 30
    assert len(table(found, "tables")) == len(run.tables) - 1
    assert sum(row["agree"] for row in table(found, "tables")) > 1000


@pytest.mark.parametrize("preset", ["smoke", "../reference/hour", "", "."])
def test_a_preset_without_a_reference_is_refused(preset):
    with pytest.raises(InputError, match=r"there is no reference of preset .*, only of .*quick.*; name the run"):
        reference_of(preset)


# A claim on a page


@pytest.fixture
def out(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(cards, "REFERENCE", tmp_path / "reference")
    return tmp_path / "runs"


def put(folder: Path, document: dict | str, age: int) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(document if isinstance(document, str) else json.dumps(document))
    os.utime(folder / "run.json", (10**9 - age, 10**9 - age))


def card(out: Path, claim: str = "beats-rivals") -> tuple[dict, list[str]]:
    tables, unread = claim_card(claim, "smoke", out)
    return {str(what): told for what, told in tables[0].rows} | {"tables": tables}, unread


def test_the_last_verdict_is_of_the_newest_run_that_judged_the_claim(out):
    not_run = changed(lambda d: d["verdicts"][1].update(verdict="not run", findings=[]))
    put(out / "newest", not_run, 0)
    put(out / "of another preset", RUN | {"preset": "quick"}, 1)
    put(out / "damaged", "{", 2)
    put(out / "right", changed(lambda d: d["verdicts"][1].update(verdict="undecided")), 3)
    put(out / "older", RUN, 4)
    put(out.parent / "reference" / "smoke", RUN, 0)
    told, unread = card(out)
    assert (told["last verdict"], told["of the run"]) == ("undecided", str(out / "right" / "run.json"))
    assert told["tables"][1].rows == (
        ("size, ml-100k", "no effect", "0.00 [-0.50, 0.50] %", "5 worlds"),
        ("other", "not testable here", "–", "no edge; 5 worlds"),
    )
    assert len(unread) == 1
    assert unread[0].startswith(f"passed over: {out / 'damaged' / 'run.json'}: cannot be read as JSON")


def test_without_a_run_of_ones_own_it_is_the_references(out):
    put(out.parent / "reference" / "smoke", RUN, 0)
    told, _ = card(out)
    assert (told["last verdict"], told["of the run"]) == (
        "no effect", str(out.parent / "reference" / "smoke" / "run.json")
    )  # fmt: skip


def test_a_claim_behind_a_gate_is_remade_by_the_run_of_everything(out):
    assert card(out, "booster-matters")[0]["command"] == "python cli.py reproduce --preset smoke"
    assert card(out, "beats-rivals")[0]["command"] == "python cli.py run recommend --preset smoke"


def test_without_any_run_the_card_says_so_and_what_would_make_one(out):
    told, unread = card(out)
    assert str(told["last verdict"]).startswith(f"none: no run of smoke in {out} or ")
    assert unread == []
    assert len(told["tables"]) == 1
    assert told["command"] == "python cli.py run recommend --preset smoke"
    assert told["data here"] == "behaviour"
    assert told["left out here"] == "preset smoke uses no real data"
    assert "on " in str(told["time"])
    assert told["the paper is right if"].startswith("CausalRec gains 7.21 % HR@10 and 8.65 % NDCG@10")
    assert told["part: mean gain in NDCG@10 over the best rival"].startswith("above 1 %, 8.65 % claimed: 1 % is less")
    mattering, _ = card(out, "booster-matters")
    assert mattering["gates"] == "positive_control"
    assert mattering["beside: gain in NDCG@10 over the twin at alpha = 0"] == "above 1 %: as for the mean"
