"""The GPU's script on the CPU: every part runs, samenesses hold, and a part that breaks is a row."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from bench.dev import device_check
from bench.dev.device_check import REDUCED, Bench, check, main, result_table

SMALL = replace(
    REDUCED, graphs_notears=(2, 5), graphs_eqvar=(4, 5), nodes=(5,), users=40, items=30, length=8, widths=(8,), steps=1,
    lengths=(6,), catalogue=400, ranked=40, epochs=1, product=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Bench:
    return check("cpu", SMALL)


def test_every_part_runs_and_what_must_be_the_same_is(found):
    assert all(row.figure is not None for row in found.rows), [row for row in found.rows if row.figure is None]
    same = [row for row in found.rows if row.holds is not None]
    assert len(same) == 8  # two of NOTEARS, two each of SASRec and CausalRec, two of boosted attention
    assert all(row.holds for row in same)
    assert all(row.figure == 0 for row in same if row.unit == "relative")  # the CPU beside itself


def test_a_cpu_reaches_no_goal_of_a_gpu(found):
    goals = [row for row in found.rows if row.beside.startswith("goal")]
    assert goals
    assert all(row.holds is None for row in goals)
    assert "say nothing about a GPU" in result_table(found, "a CPU").note


def test_a_part_that_breaks_is_a_row_and_the_others_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["device_check", "--cpu", str(tmp_path / "out")])

    def broken(_: Bench) -> None:
        raise RuntimeError("CUDA error: out of luck")

    def sound(b: Bench) -> None:
        b.add("one", 1.0, "s")

    monkeypatch.setattr(device_check, "PARTS", (broken, sound))
    assert main() == 1
    told = json.loads((tmp_path / "out" / "device_check.json").read_text())
    assert [row["what"] for row in told["rows"]] == ["broken", "one"]
    assert "RuntimeError: CUDA error: out of luck" in capsys.readouterr().out


def test_plain_and_fused_attention_differ_where_the_relation_does(found):
    del found
    q, k, v = torch.randn(3, 1, 1, 4, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 4, 4)
    relation = torch.ones(1, 4, 4, dtype=torch.bool).tril(-1)
    boosted, bare = (device_check._attend_plainly(q, k, v, mask, r) for r in (relation, torch.zeros_like(relation)))
    assert not torch.allclose(boosted, bare)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_agrees_with_the_cpu():
    assert all(row.holds is not False for row in check("cuda", SMALL).rows if row.unit in ("relative", "share"))
