"""Two makes or precisions of one model: what is compared, what is said of it, and that RecTools is asked rightly."""

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import InputError
from bench.experiments.model import agreement
from bench.judge.intervals import Interval
from bench.methods import interpreters
from bench.methods import rectools as peer_recommenders
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup, make_setup
from bench.plan.sizes import World
from bench.runners import execute
from causalrec.interactions import from_rows, leave_one_out
from tests.bench.made_up import FIXED, model, with_data

WITH_PEER = replace(with_data(replace(FIXED, real=replace(FIXED.real, agreement=("ml-100k",)))), rectools="9.9")

# Stands for an interpreter with RecTools: it answers what is asked of it by vectors that name the last item.
FAKE = """#!{python}
import json, sys
import numpy as np

if sys.argv[1] == "-c":
    print("9.9")
    sys.exit()
assert sys.argv[1] == "-P" and sys.argv[3] == "train"
rows, out, options = np.load(sys.argv[4]), sys.argv[5], json.loads(sys.argv[6])
if options["epochs"] == 13:
    sys.exit("no luck")
items = np.eye(options["items"])
items[-1] = np.nan
last = rows["history"][rows["offsets"][1:] - 1] - 1
np.savez(out, items=items, histories=np.eye(options["items"])[last])
with open({log!r}, "w") as file:
    json.dump({{**options, "users": rows["users"].tolist(), "trained": rows["items"].tolist()}}, file)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Path:
    """An interpreter that passes for one with RecTools; the file that tells what it was asked."""
    log, path = tmp_path / "asked.json", tmp_path / "python"
    path.write_text(FAKE.format(python=sys.executable, log=str(log)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(peer_recommenders.PEER.variable, str(path))
    interpreters._version.cache_clear()
    return log


def table(setup: Setup, results) -> dict[tuple[str, str], dict[str, object]]:
    [found] = agreement.tables(setup, results)
    return {(row[0], row[1]): dict(zip(found.columns, row, strict=True)) for row in found.rows}


def results(setup: Setup, **quality: float) -> list:
    """Every cell of a model has the quality given for `model` or `model_precision`; users are lucky alike."""

    def of(cell) -> float:
        name, precision = cell.params["model"], cell.params["training"].get("precision", "float32")
        return quality.get(f"{name}_{precision}", quality.get(name, 0.5))

    return [model(cell, of(cell)) for cell in agreement.plan(setup)]


def test_equal_sides_are_the_same_and_unequal_ones_differ():
    found = table(WITH_PEER, results(WITH_PEER, rectools_sasrec=0.3, sasrec_bf16=0.51))
    for name in ("behaviour", "ml-100k"):
        said = {title: row["says"] for (data, title), row in found.items() if data == name}
        causal = {"CausalRec: bf16, float32": "the same"} if name == "behaviour" else {}
        assert said == {
            "SASRec: ours, RecTools'": "different",
            "BERT4Rec: ours, RecTools'": "the same",
            "SASRec: bf16, float32": "the same",
            **causal,
        }
    assert found["behaviour", "SASRec: ours, RecTools'"]["difference, %"].low > 20


def test_the_words_follow_the_interval():
    def words(low: float, high: float) -> str:
        return agreement._words(Interval((low + high) / 2, low, high, 5))

    assert words(-0.01, 0.04) == "the same"
    assert words(0.01, 0.04) == "the same"
    assert words(-0.06, 0.04) == "within noise"
    assert words(0.01, 0.2) == "differs, by how much is open"
    assert words(0.06, 0.2) == words(-0.2, -0.06) == "different"
    assert agreement._words(None) == "nothing to compare"


def test_without_rectools_its_pairs_are_left_out_and_the_note_says_so():
    setup = replace(WITH_PEER, rectools=None)
    assert {title for _, title in table(setup, results(setup))} == {"SASRec: bf16, float32", "CausalRec: bf16, float32"}
    assert "RecTools not run" in agreement.tables(setup, [])[0].note
    assert "RecTools 9.9" in agreement.tables(WITH_PEER, [])[0].note


def test_a_side_with_a_seed_missing_makes_no_row():
    assert table(WITH_PEER, results(WITH_PEER)[1:]).keys() < table(WITH_PEER, results(WITH_PEER)).keys()


def test_the_version_of_rectools_is_part_of_its_cells_alone():
    one, two = (agreement.plan(replace(WITH_PEER, rectools=version)) for version in ("1", "2"))
    for a, b in zip(one, two, strict=True):
        assert (a.key != b.key) == a.params["model"].startswith("rectools_")


def test_a_peer_gets_training_rows_alone_and_its_vectors_are_ranked(fake):
    world = World(items=12, users=30, length=8, width=8, epochs=1)
    smoke = replace(PRESETS["smoke"], sweep=world)
    setup = make_setup(smoke, 0)
    assert setup.rectools == "9.9"
    [cell, *_] = [cell for cell in agreement.plan(setup) if cell.params["model"] == "rectools_bert4rec"]
    outcome = execute(cell)
    asked = json.loads(fake.read_text())
    assert {name: asked[name] for name in ("model", "items", "length", "width", "epochs", "batch")} == {
        "model": "bert4rec", "items": 12, "length": 8, "width": 8, "epochs": 1, "batch": 64,
    }  # fmt: skip
    assert len(asked["trained"]) == 30 * 6
    assert outcome.arrays["test_kept"].shape == (30,)
    assert outcome.metrics["fit_cpu_s"] > 0.01  # that of the other process


def test_scores_are_those_of_the_history_asked_for_and_unknown_items_come_last(fake):
    split = leave_one_out(from_rows([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]], num_items=5))
    options, training = {"length": 5, "width": 4}, {"epochs": 1, "batch": 2, "learning_rate": 1e-3}
    score = peer_recommenders.RecTools("rectools_sasrec", split, options, training, seed=1)
    for part, last in ((split.validation, [3, 3]), (split.test, [4, 2])):
        scores = score(part.history, slice(0, 2))
        assert scores.argmax(1).tolist() == [item - 1 for item in last]
        assert (scores[:, -1] < scores[:, :-1].min(1).values).all()
        assert score(part.history, slice(1, 2)).tolist() == scores[1:].tolist()
    assert json.loads(fake.read_text())["seed"] == 1


def test_an_interpreter_that_does_not_serve_is_an_input_error(fake, monkeypatch, tmp_path):
    split = leave_one_out(from_rows([[1, 2, 3, 4]], num_items=4))
    with pytest.raises(RuntimeError, match="RecTools: no luck"):
        peer_recommenders.RecTools("rectools_sasrec", split, {}, {"epochs": 13, "batch": 2, "learning_rate": 1}, 0)
    monkeypatch.setenv(peer_recommenders.PEER.variable, str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"No such file.*name a Python"):
        peer_recommenders.PEER.version()
    monkeypatch.setenv(peer_recommenders.PEER.variable, "false")
    with pytest.raises(InputError, match="without a word"):
        peer_recommenders.PEER.version()
    monkeypatch.delenv(peer_recommenders.PEER.variable)
    assert peer_recommenders.PEER.version() is None
    with pytest.raises(InputError, match="needs RecTools"):
        peer_recommenders.RecTools("rectools_sasrec", split, {}, {}, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", peer_recommenders.MODELS)
def test_rectools_learns_a_ring_of_items(name):
    """Needs $CAUSALREC_RECTOOLS: the products of what the script writes rank as the model does."""
    if not os.environ.get(peer_recommenders.PEER.variable):
        pytest.skip(f"${peer_recommenders.PEER.variable} names no interpreter with RecTools")
    rows = [[1 + (start + step) % 9 for step in range(8)] for start in range(9) for _ in range(8)]
    split = leave_one_out(from_rows(rows, num_items=9))
    options, training = {"length": 6, "width": 16, "dropout": 0.1}, {"epochs": 150, "batch": 8, "learning_rate": 0.01}
    score = peer_recommenders.RecTools(name, split, options, training, seed=0)
    found = score(split.test.history, slice(0, len(rows))).argmax(1) + 1
    assert np.mean(found.numpy() == [row[-1] for row in rows]) > 0.9
