"""A plan's time on a GPU rests on a run on one, and on nothing where there was none."""

import json
import os

import pytest

from bench.cell import Cell
from bench.errors import InputError
from bench.gpu_time import Card, gpu_words, read_card

CARD = Card("Made-up card", {"sasrec": 50.0, "causalrec": 25.0})
TOLD = {"device": "Made-up card", "cuda": True, "gains": {"sasrec": 50.0, "causalrec": 25.0}}


def cell(model: str, cost: float, patience: int | None = None, seed: int = 0) -> Cell:
    params = {"model": model, "seed": seed, "training": {"patience": patience}}
    return Cell("recommender", params, ("bench.cell",), cost=cost)


def test_training_is_on_the_card_and_the_rest_on_the_cpus():
    cells = [cell("sasrec", 36000.0), cell("causalrec", 36000.0), cell("ease", 1800.0 * (os.cpu_count() or 1))]
    told = gpu_words([*cells, *cells], seeds=3, trials=2, card=CARD)  # the same cells again count once
    assert "36 min of training on it" in told  # 36,000 / 50 + 36,000 / 25 seconds
    assert "30 min on" in told


def test_what_is_tuned_runs_on_more_seeds():
    told = gpu_words([cell("sasrec", 36000.0, patience=5)], seeds=3, trials=2, card=CARD)
    assert "24 min of training" in told  # as many trials as further seeds


def test_without_a_run_on_a_gpu_there_is_no_estimate(tmp_path):
    assert read_card(tmp_path / "GPU.json") is None
    assert "no estimate" in gpu_words([cell("sasrec", 36000.0)], 3, 2, None)


def test_a_run_on_a_gpu_is_read(tmp_path):
    (tmp_path / "GPU.json").write_text(json.dumps(TOLD))
    assert read_card(tmp_path / "GPU.json") == CARD


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cuda": False}, "is of a CPU"),
        ({"gains": {"sasrec": 50.0}}, "causalrec is None"),
        ({"gains": {"sasrec": 0.0, "causalrec": 1.0}}, "expected positive numbers"),
        ({"device": 3}, "device is 3"),
    ],
)
def test_anything_else_is_refused(tmp_path, changed, said):
    (tmp_path / "GPU.json").write_text(json.dumps(TOLD | changed))
    with pytest.raises(InputError, match=said):
        read_card(tmp_path / "GPU.json")


def test_what_the_device_check_writes_is_what_the_plan_reads(tmp_path, monkeypatch):
    from bench import device_check

    monkeypatch.setattr(device_check, "PARTS", (lambda b: b.gains.update(sasrec=2.0, causalrec=1.0),))
    device_check.main(["--cpu", str(tmp_path)])
    told = json.loads((tmp_path / "device_check.json").read_text())
    assert told["cuda"] is False
    (tmp_path / "GPU.json").write_text(json.dumps(told | {"cuda": True}))
    card = read_card(tmp_path / "GPU.json")
    assert card is not None
    assert card.gains == {"sasrec": 2.0, "causalrec": 1.0}
