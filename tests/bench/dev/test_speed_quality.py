"""Quality for a budget of CPU time."""

import json

import numpy as np
import pytest

from bench.dev import speed_quality
from bench.dev.speed_quality import GOALS, epoch_seconds, quality, words
from causalrec.interactions import from_rows, leave_one_out
from causalrec.ranking import rank_targets
from causalrec.training import TrainingOptions

SPLIT = leave_one_out(from_rows([[1 + (user + step) % 5 for step in range(8)] for user in range(64)], num_items=5))
SIZES, HOW = {"length": 6, "width": 8}, {"batch": 8, "learning_rate": 0.01}


def test_the_budget_decides_the_epochs_and_both_rules_for_seen_items_are_reported(capsys, monkeypatch):
    monkeypatch.setattr(speed_quality, "epoch_seconds", lambda *_: 2.0)
    found = quality(SPLIT, "sasrec", SIZES, HOW, budget=7.0, seed=0)
    assert (found["epochs"], found["training"]["epochs"]) == (3, 3)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert found["filtered"] != found["kept"]
    again = quality(SPLIT, "sasrec", SIZES, HOW, budget=7.0, seed=0, quiet=True)
    assert capsys.readouterr().out == ""
    assert found | {"cpu_s": 0} == again | {"cpu_s": 0}
    longer = quality(SPLIT, "sasrec", SIZES, HOW | {"epochs": 40}, budget=7.0, seed=0, quiet=True)
    assert longer["epochs"] == 40
    assert longer["kept"]["ndcg10"] > max(0.6, found["kept"]["ndcg10"])


@pytest.mark.parametrize(("choose", "ranked"), [(True, "validation"), (False, "test")])
def test_what_is_ranked_was_not_trained_on_and_what_was_before_it_is(monkeypatch, choose, ranked):
    seen = {}
    monkeypatch.setattr(speed_quality, "fit", lambda model, split, *_, **__: seen.update(train=split.train))
    monkeypatch.setattr(
        speed_quality, "rank_targets", lambda score, targets: seen.update(asked=targets) or rank_targets(score, targets)
    )
    found = quality(SPLIT, "sasrec", SIZES, HOW | {"epochs": 1}, 1.0, 0, choose, quiet=True)
    assert (found["ranked"], seen["asked"]) == (ranked, getattr(SPLIT, ranked))
    assert np.array_equal(seen["train"].items, seen["asked"].history.items)


def test_an_epoch_is_timed_on_a_part_of_the_users(monkeypatch):
    made = []

    def seconds(call):
        call()
        return 1.0

    def fit(model, split, training, root, axes):
        made.append((len(split.train), training.epochs))

    monkeypatch.setattr(speed_quality, "cpu_seconds", seconds)
    monkeypatch.setattr(speed_quality, "fit", fit)
    model = type("Model", (), {"options": type("Options", (), {"length": 6})})()
    assert epoch_seconds(model, SPLIT, TrainingOptions(epochs=9)) == 16.0
    assert made == [(4, 1)]


@pytest.mark.parametrize("spent", [599.0, 601.0])
def test_a_goal_is_judged_only_within_its_time(spent):
    found = {"data": "ml-1m", "model": "sasrec", "split": "leave_one_out", "ranked": "test", "epochs": 3}
    found |= {"cpu_s": spent}
    found |= {"filtered": {"hr10": 0.32, "ndcg10": 0.18}, "kept": {"hr10": 0.2, "ndcg10": 0.1}}
    told = "\n".join(words(found))
    assert ("reached" in told) == (spent <= GOALS["ml-1m"][2])
    assert told.count("not reached") == (spent <= GOALS["ml-1m"][2])


@pytest.mark.real_data
def test_one_json_document(capsys, monkeypatch, real):
    asked = ["--data", "ml-100k", "--data-dir", str(real), "--option", "width=8", "--train", "epochs=1", "--json"]
    monkeypatch.setattr("sys.argv", ["speed_quality", *asked])
    speed_quality.main()
    found = json.loads(capsys.readouterr().out)
    assert {"filtered", "kept", "cpu_s"} <= found.keys()
    assert set(found["filtered"]) == set(found["kept"]) == {"hr10", "ndcg10"}
