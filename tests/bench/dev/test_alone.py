"""One change at a time: every change is one, and a run that is known is not done again."""

import pytest

from bench.dev import alone
from bench.dev.alone import CHANGES, options_of
from bench.dev.frontier import read
from bench.methods.options import build
from causalrec.interactions import from_rows, leave_one_out
from causalrec.methods.recipes import TRAINING
from causalrec.model import SASRecOptions
from causalrec.training import TrainingOptions


@pytest.mark.parametrize("own", [{}, {"loss": "sampled", "negatives": 512}])
def test_every_change_is_one_that_the_model_or_the_training_takes(own):
    seen = []
    for change, (_, training) in CHANGES.items():
        options = build(SASRecOptions, {**options_of(change, own), "items": 1000}, "sasrec")
        seen.append((options, build(TrainingOptions, {**TRAINING, **training}, "training")))
    assert all(one != other for place, one in enumerate(seen) for other in seen[:place])


def test_a_run_is_a_row_of_validation_and_is_done_once(tmp_path, monkeypatch, capsys):
    split = leave_one_out(from_rows([[1 + (user + step) % 9 for step in range(8)] for user in range(30)], num_items=9))
    monkeypatch.setattr(alone, "load", lambda *_: type("Loaded", (), {"sequences": None}))
    monkeypatch.setattr(alone, "make_split", lambda *_: split)
    path = tmp_path / "alone.csv"
    asked = ["--data", "ml-1m", "--epochs", "1", "--change", "the recipe", "batch 64", "--out", str(path)]
    monkeypatch.setattr("sys.argv", ["alone", *asked])
    alone.main()
    rows = read(path)
    assert [(row["change"], row["data"], row["epochs"], row["seed"]) for row in rows] == [
        ("the recipe", "ml-1m", "1", "0"), ("batch 64", "ml-1m", "1", "0"),
    ]  # fmt: skip
    assert all(0 <= float(row["ndcg10_filtered"]) <= 1 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 2
    alone.main()
    assert (read(path), capsys.readouterr().out) == (rows, "")
