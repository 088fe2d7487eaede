import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.cells.fingerprint import ROOT
from bench.cells.unit import Cell
from bench.errors import InputError
from causalrec.errors import InputError as FormError
from causalrec.methods.canonical import canonical, plain
from causalrec.methods.streams import derive_seed, generator, torch_generator
from tests.strategies import json_objects, json_values


def cell(params: dict[str, Any] | None = None, **more: Any) -> Cell:
    return Cell("recovery", params or {}, ("bench.errors",), **more)


@given(json_values())
def test_canonical_json_round_trips_and_is_a_fixed_point(value):
    text = canonical(value)
    assert json.loads(text) == plain(value)
    assert canonical(json.loads(text)) == text


@given(json_objects(), st.randoms(use_true_random=False))
def test_key_ignores_the_order_of_parameters_and_the_scheduling_fields(params, random):
    names = list(params)
    random.shuffle(names)
    shuffled = cell({name: params[name] for name in names}, cost=9.0, timeout=2.0, label="shown", device="cpu:0")
    assert cell(params).key == shuffled.key
    assert cell(params) == shuffled


@given(json_objects(), json_objects())
def test_keys_are_equal_only_for_equal_canonical_parameters(params, others):
    assert (cell(params).key == cell(others).key) == (canonical(params) == canonical(others))


@pytest.mark.parametrize(
    "change",
    [
        {"runner": "other"}, {"params": {"n": 2}}, {"params": {"n": 1.0}}, {"params": {"n": True}},
        {"params": {"n": "1"}}, {"params": {"n": [1]}}, {"code": ("bench.cells.unit",)}, {"data": "abc"},
        {"dtype": "float32"}, {"device": "cuda:1"}, {"threads": 2},
    ],
)  # fmt: skip
def test_key_changes_with_whatever_may_change_the_result(change):
    base = cell({"n": 1})
    assert replace(base, **change).key != base.key


def test_numpy_scalars_and_tuples_are_what_they_hold():
    assert canonical({"a": np.int64(3), "b": (np.float64(0.5), np.bool_(True))}) == '{"a":3,"b":[0.5,true]}'
    assert canonical(0.1 + 0.2) == "0.30000000000000004"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"x": {"y": float("nan")}}, "params.x.y is nan"), ([1, float("inf")], r"params\[1\] is inf"),
        ({1: 2}, "keys must be str"), ({"x": {1, 2}}, "params.x is of type set"), (np.float64("nan"), "is nan"),
        (np.zeros(2), "of type ndarray"),
    ],
)  # fmt: skip
def test_values_without_a_canonical_form_are_refused_by_name(value, words):
    with pytest.raises(FormError, match=words):
        canonical(value)


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"cost": 0.0}, {"timeout": float("nan")}])
def test_scheduling_fields_are_checked(wrong):
    with pytest.raises(InputError, match="recovery"):
        cell(**wrong)


def test_a_cell_does_not_follow_its_callers_later_changes():
    params = {"nodes": [1, 2]}
    made = cell(params)
    params["nodes"].append(3)
    assert made.params == {"nodes": [1, 2]}


@given(json_objects(), st.integers(0, 2**64))
def test_streams_depend_on_the_named_axes_alone(axes, root):
    axes = {f"axis_{index}": value for index, value in enumerate(axes.values())}
    turned = dict(reversed(axes.items()))
    assert derive_seed(root=root, **axes).entropy == derive_seed(root=root, **turned).entropy
    assert derive_seed(root=root, **axes).entropy != derive_seed(root=root, **axes, more=1).entropy
    assert derive_seed(root=root, **axes).entropy != derive_seed(root=root + 1, **axes).entropy


def test_streams_are_pinned_and_the_same_in_another_process():
    axes = {"root": 0, "seed": 3, "part": "world"}
    program = (
        "from causalrec.methods.streams import *\n"
        "a = dict(part='world', root=0, seed=3)\n"
        "print(derive_seed(**a).entropy, generator(**a).integers(10**9))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.split() == [str(derive_seed(**axes).entropy), str(generator(**axes).integers(10**9))]
    first = torch.rand(3, generator=torch_generator(**axes))
    assert torch.equal(first, torch.rand(3, generator=torch_generator(**axes)))
    assert not torch.equal(first, torch.rand(3, generator=torch_generator(**axes | {"seed": 4})))
