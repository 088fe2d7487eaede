"""What people see of a run: events counted once, messages kept, downloads told."""

import io

from hypothesis import given
from hypothesis import strategies as st

from bench.engine.progress import LINE_EVERY_SECONDS, Progress
from bench.engine.run import Event
from bench.show.console import transfer
from tests.bench.toy_cells import toy


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(
    st.lists(st.sampled_from(["ok", "failed", "timed_out", "out_of_memory", "cached"]), min_size=1, max_size=8),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_every_cell_is_counted_once_and_the_last_line_says_all(ends, jobs, waiting):
    cells = [toy(number, cost=2.0) for number in range(len(ends) + waiting)]
    stream = io.StringIO()
    with Progress([*cells, *cells], jobs, stream, clock=lambda: 0.0) as progress:
        for cell, end in zip(cells, ends, strict=False):
            progress(Event(cell, "started"))
            progress(Event(cell, end, 2.0, "" if end in ("ok", "cached") else "why"))
        assert progress.seconds_left == waiting * 2.0 / jobs
    lines = stream.getvalue().splitlines()
    last = lines[-1]
    assert last.startswith(f"{len(ends)}/{len(cells)} cells")
    done, cached = ends.count("ok"), ends.count("cached")
    for count, what in ((done, "done"), (cached, "cached"), (len(ends) - done - cached, "failed")):
        assert (f", {count} {what}" in last) == (count > 0)
    assert ("left" in last) == (waiting > 0)
    assert len(lines) == 1 + len(ends) - done - cached


def test_no_cells_no_line():
    stream = io.StringIO()
    with Progress([], 1, stream):
        pass
    assert stream.getvalue() == ""


def test_a_pipe_hears_at_most_a_line_every_half_minute():
    now, stream = [0.0], io.StringIO()
    cells = [toy(number) for number in range(100)]
    with Progress(cells, 1, stream, clock=lambda: now[0]) as progress:
        for cell in cells:
            now[0] += 1.0
            progress(Event(cell, "ok", 1.0))
    assert len(stream.getvalue().splitlines()) == 100 // int(LINE_EVERY_SECONDS) + 1


def test_a_download_in_a_pipe_is_one_line_at_its_end():
    stream = io.StringIO()
    with transfer("ml-100k", stream) as show:
        show(2**20, None)
        show(5 * 2**20, 5 * 2**20)
        assert stream.getvalue() == ""
    assert stream.getvalue() == "ml-100k: 5.0 MiB received\n"


def test_a_download_in_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with transfer("ml-100k", stream) as show:
        show(2**20, 2**21)
    assert "ml-100k" in stream.getvalue()
    assert stream.getvalue().endswith("ml-100k: 1.0 MiB received\n")


def test_what_is_planned_later_counts_towards_the_time_left_and_the_running_cell_is_named():
    first, more = [toy(number, cost=2.0) for number in range(2)], [toy(9, cost=3.0)]
    stream = io.StringIO()
    with Progress(first, 1, stream, clock=lambda: 0.0, later=4.0) as progress:
        assert progress.seconds_left == 8.0
        progress(Event(first[0], "started"))
        assert str(progress).endswith(f"; now {first[0].label or first[0].runner}")
        progress(Event(first[0], "ok", 4.0))  # twice the expected time
        assert progress.seconds_left == 2 * (2.0 + 4.0)
        progress.add([*first, *more])
        assert progress.seconds_left == 2 * (2.0 + 3.0 + 1.0)
        progress.complete()
        assert progress.seconds_left == 2 * (2.0 + 3.0)
        assert str(progress).startswith("1/3 cells, 1 done")
