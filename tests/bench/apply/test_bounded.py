"""A computation that takes long says so, ends at its limit, and leaves neither thread nor process behind."""

import math
import multiprocessing
import os
import threading
import time

import pytest

from bench.apply.bounded import told, within
from bench.errors import InputError


def test_a_line_comes_every_few_seconds_and_the_thread_ends():
    said, before = [], threading.active_count()
    with told("slow", said.append, every=0.02):
        time.sleep(0.2)
    assert len(said) >= 2
    assert said[0] == "slow: 0 s so far"
    assert threading.active_count() == before
    count = len(said)
    with pytest.raises(KeyboardInterrupt), told("slow", said.append):
        raise KeyboardInterrupt
    assert (len(said), threading.active_count()) == (count, before)


def test_a_closed_stream_ends_the_lines_and_nothing_else():
    tried = []

    def say(line: str) -> None:
        tried.append(line)
        raise BrokenPipeError

    with told("slow", say, every=0.01):
        time.sleep(0.5)
    assert len(tried) == 1


def test_a_function_returns_and_raises_as_it_would_here():
    other = within(60, "quick", "wait", print, os.getpid)
    assert other != os.getpid()
    with pytest.raises(ValueError, match="math domain error"):
        within(60, "quick", "wait", print, math.sqrt, -1)


@pytest.mark.parametrize(
    ("seconds", "function", "argument", "told_"),
    [
        (0.2, time.sleep, 60, r"slow: ended after --time-limit 0\.2 s without a result; give it longer, or hurry"),
        (60, os._exit, 3, r"slow: its process ended with exit code 3 \(-9: memory ran out\); hurry"),
        (0, time.sleep, 0, "--time-limit is 0; give seconds above 0, at most 1e.06"),
        (math.nan, time.sleep, 0, "--time-limit is nan"),
        (math.inf, time.sleep, 0, "--time-limit is inf"),
        (1e300, time.sleep, 0, r"--time-limit is 1e\+300"),
    ],
)
def test_what_has_no_result_in_time_is_told_and_ended(seconds, function, argument, told_):
    with pytest.raises(InputError, match=told_):
        within(seconds, "slow", "hurry", print, function, argument)
    assert not multiprocessing.active_children()
