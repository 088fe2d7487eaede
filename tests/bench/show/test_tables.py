import csv
import io
import json

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from bench.engine.progress import Progress
from bench.engine.run import Event
from bench.errors import InputError
from bench.judge.intervals import Interval
from bench.report.run_files import read_run, reference_of
from bench.show.console import duration, print_message, print_table
from bench.show.tables import Table, format_value, to_csv, to_dict, to_markdown, to_rich, to_text
from tests.bench.toy_cells import toy

INTERVAL = Interval(0.12345, 0.1009, 0.145, 5)
TABLE = Table(
    "recovery", "Recovery", ("learner", "nodes", "SHD"),
    (("eqvar", 20, INTERVAL), ("notears | λ=0.1", 20, None)), "Median of 10 draws.",
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (INTERVAL, "0.123 [0.101, 0.145]"), (None, "–"), (0.0, "0.000"), (3, "3"), (1234.5678, "1234.568"),
        (1e-8, "1e-08"), (123456.0, "1.23e+05"), (float("nan"), "–"), (-0.25, "-0.250"), ("a", "a"),
        (Interval(1.0, -float("inf"), float("inf"), 1), "1.000 [−∞, ∞]"),
    ],
)  # fmt: skip
def test_values_as_people_read_them(value, text):
    assert format_value(value) == text


def test_text_and_markdown_are_pinned():
    assert to_text(TABLE) == (
        "Recovery\n\n"
        "learner          nodes                   SHD\n"
        "───────────────  ─────  ────────────────────\n"
        "eqvar               20  0.123 [0.101, 0.145]\n"
        "notears | λ=0.1     20                     –\n\n"
        "Median of 10 draws.\n"
    )
    assert to_markdown(TABLE) == (
        "**Recovery**\n\n"
        "| learner | nodes | SHD |\n"
        "| --- | ---: | ---: |\n"
        "| eqvar | 20 | 0.123 [0.101, 0.145] |\n"
        "| notears \\| λ=0.1 | 20 | – |\n\n"
        "Median of 10 draws.\n"
    )


def test_csv_keeps_every_digit_and_spreads_intervals():
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == ["learner", "nodes", "SHD", "SHD low", "SHD high"]
    assert rows[1] == ["eqvar", "20", "0.12345", "0.1009", "0.145"]
    assert rows[2] == ["notears | λ=0.1", "20", "", "", ""]


@given(st.lists(st.tuples(st.text(max_size=8), st.floats() | st.integers() | st.none()), max_size=4))
def test_no_text_in_a_csv_is_a_formula_and_no_number_is_touched(rows):
    table = Table("t", "T", ("=text", "number"), tuple(rows))
    read = list(csv.reader(io.StringIO(to_csv(table), newline="")))
    assert read[0] == ["'=text", "number"]
    for (text, number), (shown, digits) in zip(rows, read[1:], strict=True):
        assert shown in (text, f"'{text}")
        assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert digits == ("" if number is None else repr(number))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_neutralised(start):
    text = f"{start}1+1"
    assert to_csv(Table("t", "T", (text,), ())).lstrip('"').startswith("'")


def test_dict_is_strict_json():
    table = Table("t", "T", ("x",), ((Interval(1.0, -float("inf"), 2.0, 1),), (float("nan"),), ("a",)))
    assert json.loads(json.dumps(to_dict(table), allow_nan=False))["rows"] == [
        [{"estimate": 1.0, "low": None, "high": 2.0, "n": 1, "level": 0.95}], [None], ["a"],
    ]  # fmt: skip


def test_a_row_of_the_wrong_length_is_named():
    with pytest.raises(InputError, match="'t', row 1: 1 values for 2 columns"):
        Table("t", "T", ("a", "b"), ((1, 2), (1,)))


def test_an_empty_table_renders():
    table = Table("t", "T", ("a",), ())
    assert "a" in to_text(table)
    assert "a" in to_markdown(table)
    assert to_csv(table) == "a\r\n"


def test_rich_shows_markup_as_it_stands():
    stream = io.StringIO()
    rich.console.Console(file=stream, width=100).print(to_rich(Table("t", "T", ("[red]a",), (("[/x] b",),))))
    assert "[red]a" in stream.getvalue()
    assert "[/x] b" in stream.getvalue()


def in_terminal(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    rich.console.Console(file=stream, width=width).print(to_rich(table, width))
    return stream.getvalue().split("\n")


WORDS = st.lists(st.text("abcdé", min_size=1, max_size=9), min_size=1, max_size=3).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12, unique_by=lambda column: column[0]))
def test_a_terminal_of_80_columns_shows_whole_words_or_says_what_it_left_out(columns):
    heads, row = zip(*((f"{head}{at}", value) for at, (head, value) in enumerate(columns)), strict=True)
    lines = in_terminal(Table("t", "T", heads, (row,)), 80)
    assert max(map(len, lines)) <= 80
    shown, _, left = " ".join(" ".join(lines).split()).partition("Too wide for 80 columns; left out: ")
    missing = left.removesuffix(".").split(", ") if left else []
    kept = len(heads) - len(missing)
    assert list(heads[kept:]) == missing
    assert {word for head in heads[:kept] for word in head.split()} <= set(shown.split())
    assert {word for value in row[:kept] for word in value.split()} <= set(shown.split())
    needed = [max(map(len, f"{head} {value}".split())) + 2 for head, value in zip(heads, row, strict=True)]
    assert sum(needed[: kept + 1]) - 2 > 80 or not missing  # one more would not have fitted


def test_every_table_of_the_reference_fits_80_columns():
    wide = [name for name, table in read_run(reference_of("hour")).tables.items()
            if max(map(len, in_terminal(table, 80))) > 80]  # fmt: skip
    assert wide == []


def test_a_pipe_gets_full_width_and_no_colour():
    stream = io.StringIO()
    wide = Table("t", "T", ("a", "b"), (("x" * 300, "y" * 300),))
    print_table(wide, stream)
    assert "x" * 300 + "  " + "y" * 300 in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_colour", [True, False])
def test_a_terminal_gets_a_live_line_and_no_colour_where_not_wanted(monkeypatch, no_colour):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    cell = toy(1)
    with Progress([cell], 1, stream) as progress:
        progress(Event(cell, "failed", 1.0, "ValueError: refused"))
    print_table(TABLE, stream)
    assert "failed: toy: ValueError: refused" in stream.getvalue()
    assert "0.123 [0.101, 0.145]" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue() if no_colour else True


def test_progress_in_a_pipe_is_a_line_now_and_then_with_a_scaled_estimate():
    now, stream = [0.0], io.StringIO()
    cells = [toy(number, cost=10.0) for number in range(6)]
    with Progress(cells, 2, stream, clock=lambda: now[0]) as progress:
        progress(Event(cells[0], "cached"))
        progress(Event(cells[1], "started"))
        assert progress.seconds_left == 25  # five cells of 10 s over two workers
        now[0] = 20.0
        progress(Event(cells[1], "ok", 20.0))
        assert progress.seconds_left == 40  # four of 10 s that take twice as long
        assert stream.getvalue() == ""
        now[0] = 31.0
        progress(Event(cells[2], "ok", 20.0))
        assert stream.getvalue() == "3/6 cells, 1 cached, 2 done, about 30 s left\n"
        progress(Event(cells[3], "timed_out", 5.0, "stopped after 5.0 s"))
        assert stream.getvalue().splitlines()[-1] == "timed out: toy: stopped after 5.0 s"
    assert stream.getvalue().splitlines()[-1].startswith("4/6 cells, 1 cached, 2 done, 1 failed")


def test_durations_and_messages(capsys):
    assert [duration(seconds) for seconds in (0.4, 89, 700, 7500)] == ["0 s", "89 s", "12 min", "2 h 05 min"]
    print_message("where, what")
    assert capsys.readouterr() == ("", "where, what\n")
