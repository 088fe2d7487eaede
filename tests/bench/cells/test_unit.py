import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.cells.fingerprint import ROOT, fingerprint
from bench.cells.streams import derive_seed, generator, torch_generator
from bench.cells.unit import Cell, canonical, plain
from bench.errors import InputError
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
        {"experiment": "other"}, {"params": {"n": 2}}, {"params": {"n": 1.0}}, {"params": {"n": True}},
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
    with pytest.raises(InputError, match=words):
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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "bench/__init__.py": "",
        "bench/one.py": "import numpy\nfrom synth import scm\ndef f():\n"
        "    import causalrec.model as m\n    from .near import g\n",
        "bench/near.py": "from bench import one\n",
        "bench/apart.py": "",
        "synth/__init__.py": "",
        "synth/scm.py": "from synth.graphs import family\n",
        "synth/graphs.py": "",
        "causalrec/__init__.py": "",
        "causalrec/model/__init__.py": "from . import layers\n",
        "causalrec/model/layers.py": "from ..deep import x\n",
        "causalrec/deep.py": "",
    }
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("bench/one.py", True), ("bench/near.py", True), ("synth/scm.py", True), ("synth/graphs.py", True),
        ("synth/__init__.py", True), ("bench/__init__.py", True), ("causalrec/__init__.py", True),
        ("causalrec/model/__init__.py", True), ("causalrec/model/layers.py", True), ("causalrec/deep.py", True),
        ("bench/apart.py", False),
    ],
)  # fmt: skip
def test_fingerprint_follows_exactly_the_static_first_party_imports(tree, changed, counts):
    before = fingerprint(("bench.one",), tree)
    with (tree / changed).open("a") as file:
        file.write("# one more line\n")
    fingerprint.cache_clear()
    assert (fingerprint(("bench.one",), tree) != before) is counts


def test_fingerprint_counts_the_packages_around_a_module_that_imports_nothing(tree):
    before = fingerprint(("bench.apart",), tree)
    (tree / "bench/__init__.py").write_text("# changed\n")
    fingerprint.cache_clear()
    assert fingerprint(("bench.apart",), tree) != before


def test_fingerprint_refuses_what_it_cannot_read(tree):
    with pytest.raises(InputError, match=r"'bench\.none' is not in"):
        fingerprint(("bench.none",), tree)
    with pytest.raises(InputError, match="'numpy' is not in"):
        fingerprint(("numpy",), tree)
    (tree / "bench/apart.py").write_text("def (\n")
    with pytest.raises(InputError, match=r"apart\.py, line 1"):
        fingerprint(("bench.apart",), tree)


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
        "from bench.cells.unit import *\n"
        "a = dict(part='world', root=0, seed=3)\n"
        "print(derive_seed(**a).entropy, generator(**a).integers(10**9))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.split() == [str(derive_seed(**axes).entropy), str(generator(**axes).integers(10**9))]
    first = torch.rand(3, generator=torch_generator(**axes))
    assert torch.equal(first, torch.rand(3, generator=torch_generator(**axes)))
    assert not torch.equal(first, torch.rand(3, generator=torch_generator(**axes | {"seed": 4})))
