"""The timing suite of recommenders: its floor by hand, and what it says where RecTools is missing."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from bench.dev.speed_recommend import build, faster, floor_flops, rectools
from bench.dev.timing import Goal
from causalrec.interactions import from_rows, leave_one_out
from causalrec.methods.recipes import TRAINING
from causalrec.optimisers import Muon


def test_the_floor_counts_three_products_of_the_head_and_of_the_blocks():
    head, body = 2 * 64 * 7 * 5, 2 * (12 * 64**2 * 5 + 2 * 64 * (2**2 + 3**2))
    assert floor_flops(5, np.array([2, 3]), 7) == 3 * (head + body)


def test_an_interpreter_without_rectools_is_named_so():
    if find_spec("rectools"):
        pytest.skip("RecTools is installed here")
    split = leave_one_out(from_rows([[1, 2, 3, 4]], num_items=4))
    assert rectools(sys.executable, split, "SASRecModel", 5, "full", 1) == "not installed"


def test_the_rival_is_the_faster_of_those_that_ran():
    slow, fast = {"step": 2.0}, {"step": 1.0}
    assert faster({"one": slow, "other": fast}) == ("other", fast)
    assert faster({"one": slow, "other": "failed: no word"}) == ("one", slow)
    assert faster({"one": "not installed", "other": "not installed"}) is None


def test_what_is_timed_is_trained_as_the_suite_trains():
    optimisers = build("sasrec", 7, 5).optimisers
    assert [type(one) for one in optimisers] == [torch.optim.AdamW, Muon][: 1 + (TRAINING["optimiser"] == "muon")]


def test_a_goal_says_whether_it_is_reached():
    assert Goal(2.0).judge(3.0) == "at least 2: reached"
    assert Goal(2.0, most=True).judge(3.0) == "at most 2: not reached"
