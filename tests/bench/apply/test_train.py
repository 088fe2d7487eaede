"""A user's own data: trained, saved, ranked and asked again; and whatever is wrong with the files is told as such."""

import csv
import json
import os
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save_file

from bench.apply.saved import check_out, evaluate, read_users, recommend, recommend_users
from bench.apply.train import BEGUN, CHECKPOINT, train
from bench.cells.files import write_frame
from bench.cells.unit import Cell
from bench.datasets.load import file_sha256
from bench.errors import INPUT_ERRORS, InputError
from bench.methods.options import build, names, parse
from bench.methods.recommenders import NEURAL
from bench.runners import execute
from bench.text import printable
from causalrec.checkpoints import CheckpointFile, Snapshot
from causalrec.errors import InputError as CausalInputError
from causalrec.methods import saved as model_files
from causalrec.methods.recommenders import OFFERED
from causalrec.methods.saved import DESCRIPTION, PARAMETERS, USERS
from causalrec.model import CausalRecOptions, SASRecOptions
from tests.strategies import damages, ids

ITEMS, USERS_MADE = 12, 30
COLUMNS = {"user": "user", "item": "item", "time": "when"}
SMALL = ("width=8", "length=8")
FAST = {"epochs": 2, "batch": 8, "learning_rate": 1e-2, "schedule": "constant", "patience": 5}


def walks(seed: int = 0, users: int = USERS_MADE, prefix: str = "u") -> dict[str, list[str]]:
    """Users who mostly step to the next item of a ring, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    rows = {}
    for user in range(users):
        steps = np.where(rng.random(rng.integers(6, 12)) < 0.9, 1, rng.integers(ITEMS))
        rows[f"{prefix}{user}"] = [f"i{k}" for k in (rng.integers(ITEMS) + np.cumsum(steps)) % ITEMS]
    return rows


def write(path: Path, rows: dict[str, list[str]]) -> str:
    lines = [f"{user},{item},{at}" for user, row in rows.items() for at, item in enumerate(row)]
    path.write_text("user,item,when\n" + "\n".join(lines) + "\n")
    return str(path)


def learn(data: str, out: Path, name: str = "sasrec", words=SMALL, asked=COLUMNS, training=FAST, **more):
    return train(data, name, out, asked, words=words, training=training, device="cpu", **more)


def test_figures(report) -> list[dict]:
    return [told for told in report.document()["figures"] if told["part"] == "test"]


test_figures.__test__ = False


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("data") / "walks.csv", walks())


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    learn(data, out)
    return out


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def describe(folder: Path, **changes) -> None:
    """Write `model.json` anew with changes, and with the hashes of the files as they are now."""
    told = json.loads((folder / DESCRIPTION).read_text())
    told["sha256"] = {file: file_sha256(folder / file) for file in (PARAMETERS, USERS)}
    (folder / DESCRIPTION).write_text(json.dumps(told | changes))


# Training and what is saved


@pytest.mark.parametrize("name", OFFERED)
def test_every_model_is_trained_saved_and_ranks_the_same_again(name, data, tmp_path):
    neural = name in NEURAL
    report = learn(data, tmp_path / "m", name, words=SMALL[: 2 if neural else name == "fpmc"])
    assert ("epochs" in report.about) == (OFFERED[name].options_of is not None)
    assert list(report.beside) == list(dict.fromkeys([name, "popularity", "markov", "item_knn"]))
    rule = next(iter(report.beside.values())).seen
    assert report.beside[name] == next(f for f in report.figures if (f.part, f.seen) == ("test", rule))
    assert {told["part"] for told in report.document()["figures"]} == {"validation", "test"}
    again = evaluate(tmp_path / "m", data, {}, device="cpu")
    assert test_figures(again) == test_figures(report)
    assert again.about["same_data"]
    assert (again.about["asked"], again.about["left_out"]) == (USERS_MADE, 0)
    assert json.loads(json.dumps(again.document(), allow_nan=False)) == again.document()
    found = recommend(tmp_path / "m", data=data, user="u3", k=4, device="cpu")
    assert len(found.items) == 4


def test_what_is_saved_says_what_it_is_and_names_nobody(trained, data):
    told = json.loads((trained / DESCRIPTION).read_text())
    assert told["model"] == "sasrec"
    assert told["options"] == asdict(SASRecOptions(ITEMS, width=8, length=8))
    assert sorted(told["items"]) == sorted({item for row in walks().values() for item in row})
    assert told["data"]["file_sha256"] == file_sha256(Path(data))
    assert told["preparation"] == COLUMNS | {
        "repeats": "kept", "user_core": 5, "item_core": 5, "split": "leave_one_out", "format": "table",
        "delimiter": None,
    }  # fmt: skip
    assert told["training"]["learning_rate"] == 1e-2
    assert {"commit", "torch", "numpy"} <= set(told["made_with"])
    assert '"u3"' not in (trained / DESCRIPTION).read_text()
    assert {file.name for file in trained.iterdir()} == {PARAMETERS, USERS, DESCRIPTION, CHECKPOINT, BEGUN}


def test_training_a_named_dataset_gives_the_numbers_of_the_runner(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "ml-100k"
    folder.mkdir(parents=True)
    rows = [f"{u}\t{(u * 3 + k) % 9 + 1}\t3\t{k}\n" for u in range(1, 21) for k in range(7)]
    (folder / "u.data").write_text("".join(rows))
    report = learn("ml-100k", tmp_path / "m", asked={}, data_dir=tmp_path / "data", seed=4)
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path / "data"))
    p = report.about["data"]
    dataset = {"name": "ml-100k", **{key: p[key] for key in ("repeats", "user_core", "item_core")}}
    options = {key: value for key, value in report.about["options"].items() if key != "items"}
    params = {
        "dataset": dataset | {"split": "leave_one_out"}, "model": "sasrec", "options": options,
        "training": dict(report.about["training"]), "seed": 0, "root": 4,
    }  # fmt: skip
    metrics = execute(Cell("recommender", params, ("bench.runners.recommender:run",), data=p["content_hash"])).metrics
    told = {(f.part, f.seen): f for f in report.figures}
    for part, short in (("validation", "valid"), ("test", "test")):
        for seen in ("kept", "filtered"):
            assert told[part, seen].hr10.estimate == metrics[f"{short}_hr10_{seen}"]
            assert told[part, seen].ndcg10.estimate == metrics[f"{short}_ndcg10_{seen}"]


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_training_gives_what_one_never_interrupted_gives(data, tmp_path, stop):
    training = FAST | {"epochs": 4}
    whole = learn(data, tmp_path / "whole", "causalrec", training=training)

    def interrupt(progress) -> None:
        if progress.epoch == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(data, tmp_path / "parts", "causalrec", training=training, on_epoch=interrupt)
    assert not (tmp_path / "parts" / DESCRIPTION).exists()
    with pytest.raises(InputError, match=r"holds training\.json, checkpoint\.safetensors; go on with --resume"):
        learn(data, tmp_path / "parts", "causalrec", training=training)
    for _ in range(2):  # to the end, and once more with nothing left to do
        resumed = learn(data, tmp_path / "parts", "causalrec", training=training, resume=True)
        assert resumed.document() == whole.document()
        assert (tmp_path / "parts" / PARAMETERS).read_bytes() == (tmp_path / "whole" / PARAMETERS).read_bytes()


def test_resuming_takes_more_epochs_and_nothing_else(data, tmp_path):
    out = tmp_path / "m"
    learn(data, out)
    more = learn(data, out, training=FAST | {"epochs": 3}, resume=True)
    assert more.about["epochs"] == 3
    other = write(tmp_path / "other.csv", walks(1))
    for change, told in (
        ({"words": ("width=16", "length=8")}, "options"),
        ({"seed": 1}, "seed"),
        ({"name": "causalrec"}, "model, options"),
        ({"training": FAST | {"batch": 9}}, "training"),
        ({"asked": COLUMNS | {"split": "temporal"}}, "split"),
        ({"data": other}, "content_hash"),
    ):
        with pytest.raises(InputError, match=f"what was begun there differs in {told}; ask for that"):
            learn(**{"data": data, "out": out, "resume": True} | change)


def test_a_damaged_checkpoint_is_told(data, copy):
    whole = (copy / CHECKPOINT).read_bytes()
    file = CheckpointFile(copy / CHECKPOINT)
    found = file.load()
    tensors, texts = dict(found.tensors), dict(found.texts)
    wide = {"optimiser.0.0.exp_avg": torch.zeros(3, 3)}
    for content, why in (
        (whole[:1000], "cannot be read"),
        (pickle.dumps({"model": 1}), "cannot be read"),
        (whole.replace(b"identity", b"identitx"), "its checksum does not match"),
        (({"dropout": tensors["dropout"]}, texts), "is damaged"),
        ((tensors | wide, texts), r"is damaged \(optimiser.0.0.exp_avg has shape \(3, 3\)"),
        ((tensors | {"odd": torch.zeros(1)}, texts), "is damaged"),
        (({key: t for key, t in tensors.items() if key != "best.item.weight"}, texts), "is damaged"),
        ((tensors, texts | {"shuffle": "{}"}), "is damaged"),
        ((tensors, texts | {"progress": '{"epoch": 9, "best": 1}'}), "is damaged"),
        ((tensors, texts | {"identity": "x"}), "belongs to another model"),
    ):
        if isinstance(content, bytes):
            (copy / CHECKPOINT).write_bytes(content)
        else:
            file.save(Snapshot(*content))
        with pytest.raises(INPUT_ERRORS, match=f"{why}.*remove it to train anew"):
            learn(data, copy, resume=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "own"}, "'own' is none that is trained here; choose one of popularity, item_knn, "),
        ({"name": "popularity"}, "popularity has no option width; its options: none"),
        ({"name": "ease", "words": ("decay=much",)}, "ease: option decay is 'much'; give a number"),
        ({"name": "ease", "words": ("decay=0.5",), "resume": True}, "ease is made in one go, so there is nothing"),
        ({"name": "fpmc", "words": ("width=100000000000",)}, r"fpmc on 12 items would take about .* lower width"),
        ({"words": ("depth=3",)}, "sasrec has no option depth; its options: length, width"),
        ({"name": "causalrec", "words": ("source=fixed", "beta=0")}, "source = fixed takes a given W"),
        ({"name": "hstu", "words": ("times=query",)}, "hstu: times = query tells the model when its targets happen"),
        ({"name": "hstu", "words": ("times=last",), "asked": {}}, "hstu needs the time of every action; name its col"),
        ({"words": ("width=many",)}, "option width is 'many'; give a whole number"),
        ({"words": ("width",)}, "write key=value"),
        ({"words": ("width=8", "width=9")}, "width is given twice"),
        ({"words": ("items=9",)}, "has no option items"),
        ({"words": ("width=0",)}, "width = 0; expected at least 1"),
        ({"words": ("dropout=nan",)}, "option dropout is 'nan'; give a number"),
        ({"training": {"learning_rate": 0.0}}, "learning_rate"),
        ({"training": {"learning_rate": 1e31}}, r"learning_rate = 1e\+31.*at most 1e\+30"),
        ({"training": {"batch": 10**12}}, "batch = 1000000000000; expected 1 to 2147483647"),
        ({"words": ("width=99999999999999999999",)}, "width = 99999999999999999999; expected 1 to 16777216"),
        ({"words": ("width=1000000",)}, r"width = 1000000: training would take about 178,8.* are free; lower width"),
        ({"words": ("length=100000000",)}, "length = 100000000; expected 1 to 16777216"),
        ({"words": ("layers=1000",)}, "layers = 1000; expected 1 to 100"),
        ({"words": ("dropout=0.9999999",)}, "dropout = 0.9999999; expected a share"),
        ({"words": ("normalised=-1",)}, "normalised = -1; expected at least 0"),
        ({"name": "tisasrec", "words": ("span=1000000000000",)}, "span = 1000000000000; expected 1 to 16777216"),
        ({"name": "gru4rec", "words": ("hidden=10000000",)}, "hidden = 10000000: training would take about"),
        ({"name": "causalrec", "words": ("graph_rate=1e7",)}, r"graph_rate = 10000000\.0; expected above 0 to 1e\+06"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"asked": {"user": "who"}}, "column 'who' is not in the header"),
        ({"asked": {"split": "temporal"}}, "times"),
        ({"asked": {"user_core": 99}}, "nothing is left"),
        ({"data": "none.csv"}, "there is no such file"),
        ({"data": "ml-9"}, "there is no dataset 'ml-9'; choose from"),
    ],
)
def test_wrong_input_writes_nothing(data, tmp_path, change, told):
    with pytest.raises(INPUT_ERRORS, match=told):
        learn(**{"data": data, "out": tmp_path / "m"} | change)
    assert not (tmp_path / "m").exists()


@given(st.lists(ids(","), min_size=5, max_size=5, unique=True), st.sampled_from(["table", "pairs"]))
@settings(max_examples=3, deadline=None)
def test_any_id_survives_reading_training_and_asking(tmp_path_factory, labels, form):
    folder = tmp_path_factory.mktemp("ids")
    file = folder / "own.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("user", "item")] * (form == "table"))
        writer.writerows((user, labels[(u + k) % 5]) for u, user in enumerate(labels) for k in range(4))
    asked = {"format": form, "delimiter": "comma", "user_core": 1, "item_core": 1}
    learn(str(file), folder / "m", asked=asked, training={**FAST, "epochs": 1})
    told = recommend(folder / "m", data=str(file), user=labels[2], k=9, seen="kept", device="cpu")
    assert {item for item, _, _ in told.items} == set(labels)
    assert told.actions == 4


def test_how_a_file_was_read_is_remembered(tmp_path):
    rows = [f"u{u};i{(u + k) % 9};{(9 - k) * 10**9}\n" for u in range(20) for k in range(6)]
    file, pairs = tmp_path / "own.txt", tmp_path / "pairs.txt"
    file.write_text("who;when_not;item;time\n" + "".join(row.replace(";", ";0;", 1) for row in rows))
    learn(str(file), tmp_path / "m", asked={"user": "who", "item_core": 1})
    told = json.loads((tmp_path / "m" / DESCRIPTION).read_text())["preparation"]
    assert {name: told[name] for name in ("user", "item", "time", "format", "delimiter")} == {
        "user": "who", "item": "item", "time": "time", "format": "table", "delimiter": None,
    }  # fmt: skip
    assert evaluate(tmp_path / "m", str(file), {}, device="cpu").about["same_data"]
    pairs.write_text("".join(" ".join(row.split(";")[:2]) + "\n" for row in rows))
    assert recommend(tmp_path / "m", data=str(pairs), user="u3", asked={"format": "pairs"}, device="cpu").actions == 6


def test_a_split_that_cannot_be_made_is_told_with_one_that_can(tmp_path):
    file = tmp_path / "own.csv"
    rows = [f"u{u},i{k},{10 * u + k}\n" for u in range(20) for k in range(6)]
    rows += [f"v{v},i1,{999 + v}\n" for v in range(20)]
    file.write_text("user,item,time\n" + "".join(rows))
    told = r"no user has an action after the test cut and one before it, at time \d+; split by leave_one_out instead"
    with pytest.raises(INPUT_ERRORS, match=told):
        learn(str(file), tmp_path / "m", asked={"split": "temporal", "user_core": 1, "item_core": 1})


def test_memory_is_held_against_what_is_free(data, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.apply.demand.free_bytes", lambda: 2.0**20)
    for change, told in (
        ({"words": ("length=4096", "width=8")}, "length = 4096"),
        ({"words": ("width=8", "length=8"), "name": "tisasrec"}, "12 items"),
        ({"words": ("width=8", "length=8", "layers=100")}, "layers = 100"),
    ):
        with pytest.raises(InputError, match=f"{told}: training would take about .* GiB of memory, and 0.0 GiB are"):
            learn(**{"data": data, "out": tmp_path / "m"} | change)
    monkeypatch.setattr("bench.apply.demand.free_bytes", lambda: float("inf"))
    learn(data, tmp_path / "m", words=("width=8", "length=4096"))


@pytest.mark.parametrize("loss", ["bce", "gbce", "sampled"])
def test_a_loss_without_negatives_is_refused_before_anything_is_written(tmp_path, loss):
    one = write(tmp_path / "one.csv", {f"u{k}": ["x"] * 4 for k in range(5)})
    asked = COLUMNS | {"user_core": 1, "item_core": 1}
    told = f"loss = {loss} has no negative to draw: there is 1 item; train on more items, or choose loss = full"
    with pytest.raises(INPUT_ERRORS, match=told):
        learn(one, tmp_path / "m", words=(f"loss={loss}",), asked=asked)
    assert not (tmp_path / "m").exists()
    learn(one, tmp_path / "m", asked=asked)
    two = write(tmp_path / "two.csv", {f"u{k}": ["x", "y"] * 3 for k in range(5)})
    if loss == "bce":
        with pytest.raises(INPUT_ERRORS, match="no negative to draw: 5 of 5 rows have all 2 items"):
            learn(two, tmp_path / "n", words=(f"loss={loss}",), asked=asked)
    else:
        learn(two, tmp_path / "n", words=(f"loss={loss}", *SMALL), asked=asked)


@pytest.mark.parametrize("there", [None, "empty", "full"])
def test_a_training_that_teaches_nothing_leaves_the_folder_as_it_was(data, tmp_path, there):
    out = tmp_path / "deep" / "m"
    if there:
        out.mkdir(parents=True)
    if there == "full":
        (out / "notes").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    steep = FAST | {"learning_rate": 1e30, "patience": None, "epochs": 4}
    with pytest.raises(INPUT_ERRORS, match=r"lower the learning rate|with a lower learning rate"):
        learn(data, out, training=steep)
    assert sorted(tmp_path.rglob("*")) == before
    learn(data, out)


def test_nothing_is_written_before_an_epoch_has_ended(data, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("causalrec.training._train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            learn(data, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    learn(data, tmp_path / "m")


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_keeps_the_last_epoch_that_was_written(data, tmp_path, monkeypatch, full_at):
    saved = []

    def save(self, snapshot):
        saved.append(1)
        if len(saved) == full_at:
            raise CausalInputError("checkpoint cannot be written (no space); free space there")
        return real(self, snapshot)

    real = CheckpointFile.save
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFile, "save", save)
        with pytest.raises(InputError, match="no space"):
            learn(data, tmp_path / "m")
    assert (tmp_path / "m").exists() == (full_at == 2)
    learn(data, tmp_path / "m", resume=full_at == 2)


def test_names_that_are_no_utf8_are_written_escaped(data, tmp_path):
    named = Path(shutil.copy(data, tmp_path / os.fsdecode(b"caf\xe9\x1b.csv")))
    out = tmp_path / os.fsdecode(b"m\xe9\n")
    report = learn(str(named), out)
    assert "caf\\udce9\\x1b.csv" in report.tables()[0].title
    assert evaluate(out, str(named), {}, device="cpu").about["same_data"]
    assert recommend(out, history=["i1,i2"], device="cpu").items
    for file in (DESCRIPTION, BEGUN):
        json.loads((out / file).read_bytes().decode())
    learn(str(named), out, resume=True, training=FAST | {"epochs": 3})


def test_a_model_that_needs_times_says_so_before_it_writes(data, tmp_path):
    timed = [name for name, entry in OFFERED.items() if getattr(entry.kind, "needs_times", False)]
    assert timed
    for name in timed:
        with pytest.raises(InputError, match=f"{name} needs the time of every action; name its column with --time"):
            learn(data, tmp_path / "m", name, asked={})
    assert not (tmp_path / "m").exists()


def test_a_place_that_cannot_take_a_model_is_refused(data, trained, tmp_path):
    (tmp_path / "file").write_text("")
    for out, told in ((tmp_path / "file", "is no folder"), (tmp_path / "file" / "m", "cannot be made|is no folder")):
        with pytest.raises(InputError, match=told):
            learn(data, out)
    before = {file.name: file.read_bytes() for file in trained.iterdir()}
    with pytest.raises(InputError, match=r"holds model\.json, training\.json, checkpoint\.safetensors"):
        learn(data, trained)
    assert {file.name: file.read_bytes() for file in trained.iterdir()} == before


# What is held out


def test_later_actions_and_new_users_are_asked(trained, tmp_path):
    rows = {user: [*row, "i3"] for user, row in walks().items()} | walks(5, 4, "new")
    report = evaluate(trained, write(tmp_path / "later.csv", rows), {}, device="cpu")
    assert not report.about["same_data"]
    counts = {key: report.about[key] for key in ("asked", "asked_known", "left_out", "actions_skipped")}
    assert counts == {"asked": USERS_MADE + 4, "asked_known": USERS_MADE, "left_out": 0, "actions_skipped": 0}


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_was_trained_on_or_stopped_by_is_no_test(trained, tmp_path, cut):
    rows = {user: row[:-cut] for user, row in walks().items()}
    asked = {"user_core": 1, "item_core": 1}
    with pytest.raises(InputError, match=f"of all {USERS_MADE} users the action asked by leave_one_out is one that"):
        evaluate(trained, write(tmp_path / "cut.csv", rows), asked, device="cpu")
    rows |= walks(5, 4, "new")
    report = evaluate(trained, write(tmp_path / "cut.csv", rows), asked, device="cpu")
    assert (report.about["asked"], report.about["left_out"]) == (4, USERS_MADE)
    assert f"{USERS_MADE} users left out" in report.note


def test_users_of_one_name_whose_rows_differ_are_left_out(trained, tmp_path):
    rows = walks()
    rows["u0"] = ["i1", *rows["u0"]]
    report = evaluate(trained, write(tmp_path / "other.csv", rows), {}, device="cpu")
    assert (report.about["asked"], report.about["left_out"]) == (USERS_MADE - 1, 1)


def test_another_split_of_the_same_data_asks_only_what_training_did_not_see(trained, data, tmp_path):
    """The last actions after the cut are also those that leave-one-out holds out; of all last actions, training of a
    temporal split has seen those up to its first cut."""
    rows = walks()
    report = evaluate(trained, data, {"split": "temporal"}, device="cpu")
    assert report.about["same_data"]
    cut = float(report.about["split"].split("test after ")[1].split(" ")[0])
    assert report.about["asked"] == sum(len(row) - 1 > cut for row in rows.values()) < len(rows)
    assert report.about["left_out"] == 0
    learn(data, tmp_path / "m", asked=COLUMNS | {"split": "temporal"})
    report = evaluate(tmp_path / "m", data, {"split": "leave_one_out"}, device="cpu")
    asked, left_out = report.about["asked"], report.about["left_out"]
    assert asked + left_out == len(rows)
    assert min(asked, left_out) > 0


def test_unknown_items_are_an_error_or_are_skipped_and_counted(trained, tmp_path):
    rows = {user: [*row, "new", "i3"] if user in ("u1", "u2") else row for user, row in walks().items()}
    file, asked = write(tmp_path / "more.csv", rows), {"item_core": 1}
    with pytest.raises(InputError, match=r"1 items \('new'\) are unknown to the model, in 2 of .*--skip-unknown"):
        evaluate(trained, file, asked, device="cpu")
    report = evaluate(trained, file, asked, skip_unknown=True, device="cpu")
    assert report.about["actions_skipped"] == 2
    assert (report.about["asked"], report.about["left_out"]) == (USERS_MADE, 0)
    strange = write(tmp_path / "none.csv", {user: [f"x{item}" for item in row] for user, row in walks().items()})
    with pytest.raises(INPUT_ERRORS, match="no user has 3 actions"):
        evaluate(trained, strange, {}, skip_unknown=True, device="cpu")


# Recommendations


def test_a_user_and_the_same_history_get_the_same_items(trained, data):
    row = walks()["u3"]
    for seen in ("kept", "filtered"):
        asked = recommend(trained, data=data, user="u3", k=ITEMS, seen=seen, device="cpu")
        typed = recommend(trained, history=row, k=ITEMS, seen=seen, device="cpu")
        assert [item for item, _, _ in asked.items] == [item for item, _, _ in typed.items]
        assert [score for *_, score in asked.items] == pytest.approx([score for *_, score in typed.items])
        scores = [score for *_, score in asked.items]
        assert scores == sorted(scores, reverse=True)
        left = {item for item, *_ in asked.items}
        assert left == {f"i{k}" for k in range(ITEMS)} - (set(row) if seen == "filtered" else set())
    assert recommend(trained, history=row, device="cpu").seen == "kept"  # users of these data repeat items


def test_a_history_with_unknown_items(trained):
    with pytest.raises(InputError, match=r"--history: 1 items \('zz'\) are unknown to the model; leave them out with"):
        recommend(trained, history=["i1,zz"], device="cpu")
    assert recommend(trained, history=["i1, zz"], skip_unknown=True, device="cpu").actions == 1
    with pytest.raises(InputError, match="the history is empty"):
        recommend(trained, history=["zz"], skip_unknown=True, device="cpu")


ODD = ("Matrix, The (1999)", "Se7en", "  padded", '12" vinyl', "Zo\u00eb", "-5", "[PAD]", "nan", "a", "b", "a,b", "x,y")


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """A model of items whose ids hold commas, blanks and quotes."""
    folder = tmp_path_factory.mktemp("odd")
    with (folder / "odd.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("user", "item", "when"))
        rows.writerows((f"u{user}", ODD[(user + at) % len(ODD)], at) for user in range(20) for at in range(8))
    learn(str(folder / "odd.csv"), folder / "m")
    return folder / "m"


@given(st.lists(st.sampled_from(ODD), min_size=2, max_size=6))
def test_every_id_can_be_named_to_the_letter(odd, tmp_path_factory, labels):
    file = tmp_path_factory.mktemp("ids") / "ids.txt"
    one = recommend(odd, history=labels, k=99, device="cpu")
    for end in ("\n", "\r\n"):
        file.write_bytes("".join(label + end for label in labels).encode())
        assert recommend(odd, history_file=file, k=10**20, device="cpu").items == one.items
    assert one.actions == len(labels)


def test_a_single_text_is_an_id_or_split_at_its_commas(odd, tmp_path):
    for label in ("Matrix, The (1999)", "  padded", "x,y"):
        assert recommend(odd, history=[label], device="cpu").actions == 1
    assert recommend(odd, history=["a, b,nan"], device="cpu").actions == 3
    with pytest.raises(InputError, match=r"--history 'a,b': is one item and, split at its commas, 2 items; give --hi"):
        recommend(odd, history=["a,b"], device="cpu")
    with pytest.raises(InputError, match=r"1 items \('padded'\) are unknown to the model; near: '  padded'; leave"):
        recommend(odd, history=["padded"], device="cpu")
    with pytest.raises(InputError, match=r"2 items \('se7en', '\[pad\]'\) .* near: 'Se7en', '\[PAD\]'; leave"):
        recommend(odd, history=["se7en", "[pad]"], device="cpu")
    (tmp_path / "latin").write_bytes(b"Zo\xeb\n")
    for path, told in ((tmp_path / "latin", "is no UTF-8 text"), (tmp_path / "none", "no such file")):
        with pytest.raises(InputError, match=told):
            recommend(odd, history_file=path, device="cpu")
    with pytest.raises(InputError, match="say whose history"):
        recommend(odd, history=["a"], history_file=tmp_path / "latin", device="cpu")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "say whose history"),
        ({"user": "u1"}, "say whose history"),
        ({"user": "u1", "history": ["i1"]}, "say whose history"),
        ({"user": "nobody", "data": "DATA"}, "user 'nobody' is not among its 30 users with repeats kept, 5/5"),
        ({"history": [""]}, r"--history: 1 items \(''\) are unknown"),
        ({"history": ["i1"], "seen": "maybe"}, "seen must be one of kept, filtered, got 'maybe'"),
    ],
)
def test_wrong_questions(trained, data, asked, told):
    with pytest.raises(InputError, match=told):
        recommend(trained, **{key: data if value == "DATA" else value for key, value in asked.items()}, device="cpu")


def test_titles_stand_beside_ids_where_the_dataset_has_them(tmp_path):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    rows = [f"{u}\t{(u * 3 + k) % 9 + 1}\t3\t{k}\n" for u in range(1, 21) for k in range(7)]
    (folder / "u.data").write_text("".join(rows))
    learn("ml-100k", tmp_path / "m", asked={}, data_dir=tmp_path)
    asked = {"history": ["1,2,3"], "device": "cpu", "data_dir": tmp_path, "k": 2}
    assert {title for _, title, _ in recommend(tmp_path / "m", **asked).items} == {None}
    films = [f"{k}|Film \x1b{k} (1990)|01-Jan-1990||" + "|0" * 19 + "\n" for k in range(1, 10)]
    (folder / "u.item").write_text("".join(films))
    found = recommend(tmp_path / "m", **asked)
    assert [title for _, title, _ in found.items] == [f"Film \x1b{item} (1990)" for item, *_ in found.items]
    assert found.table().columns == ("rank", "item", "title", "score")
    assert found.table().rows[0][2].startswith("Film \\x1b")


def test_what_cannot_be_printed_is_escaped():
    assert printable("a\x1b[2J\né\ud800") == "a\\x1b[2J\\né\\ud800"


def test_all_users_some_and_one_get_the_same_items(trained, data, tmp_path):
    every = recommend_users(trained, data, k=4, device="cpu")
    assert list(every.rows["user"].unique()) == list(walks())
    for user in ("u3", "u7"):
        one = recommend(trained, data=data, user=user, k=4, device="cpu").items
        mine = every.rows[every.rows["user"] == user]
        assert list(mine["item"]) == [item for item, _, _ in one]
        assert list(mine["rank"]) == [1, 2, 3, 4]
        assert list(mine["score"]) == pytest.approx([score for *_, score in one], abs=1e-6)  # float32
    (tmp_path / "users.txt").write_text("u7\nu3\nu7\n")
    named = read_users((), str(tmp_path / "users.txt"))
    assert (named, read_users((), "all"), read_users(["u7", "u3"], None)) == (["u7", "u3"], None, ["u7", "u3"])
    some = recommend_users(trained, data, named, k=4, device="cpu")
    assert some.document(None)["rows"][0].keys() == {"user", "rank", "item", "score"}
    assert list(some.rows["item"]) == [i for u in named for i in every.rows["item"][every.rows["user"] == u]]
    with pytest.raises(InputError, match=r"2 users \('x', 'y'\) are not among its 30 users"):
        recommend_users(trained, data, ["x", "u3", "y"], device="cpu")
    with pytest.raises(InputError, match="--user and --users are both given"):
        read_users(["u3"], "all")


def test_users_of_whom_the_model_knows_nothing_are_left_out_and_counted(trained, tmp_path):
    later = write(tmp_path / "later.csv", walks() | {"new": ["zz"] * 6})
    found = recommend_users(trained, later, skip_unknown=True, device="cpu")
    assert (found.users, found.left_out) == (USERS_MADE, 1)
    assert "new" not in set(found.rows["user"])
    with pytest.raises(InputError, match="all histories are empty"):
        recommend_users(trained, later, ["new"], skip_unknown=True, device="cpu")


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_ids_are_written_to_the_letter(odd, tmp_path, kind):
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    rows = recommend_users(odd, str(odd.parent / "odd.csv"), k=3, device="cpu").rows.assign(item="=1+1\r, \"a\"")
    write_frame(tmp_path / f"r{kind}", rows)
    if kind == ".csv":
        with (tmp_path / "r.csv").open(newline="") as file:
            read = list(csv.DictReader(file))
        assert [row["item"] for row in read] == list(rows["item"])
        assert [float(row["score"]) for row in read] == list(rows["score"])
    else:
        assert pd.read_parquet(tmp_path / "r.parquet").equals(rows)


def test_places_where_recommendations_cannot_go_are_refused_first(data, tmp_path):
    for out, told in ((tmp_path / "r.txt", "as .csv or .parquet"), (tmp_path / "no" / "r.csv", "make the folder"),
                      (Path(data), "is the file of the users")):  # fmt: skip
        with pytest.raises(InputError, match=told):
            check_out(out, data)


def test_fpmc_knows_nobody_by_a_typed_history(data, tmp_path):
    rows = {str(k): row for k, row in enumerate(walks().values())}
    learn(write(tmp_path / "own.csv", rows), tmp_path / "m", "fpmc", words=())
    assert (tmp_path / "m" / DESCRIPTION).exists()
    typed = recommend(tmp_path / "m", history=rows["0"], device="cpu", seen="kept")
    named = recommend(tmp_path / "m", data=str(tmp_path / "own.csv"), user="0", device="cpu", seen="kept")
    assert [score for *_, score in typed.items] != [score for *_, score in named.items]


def test_what_is_lost_to_the_cores_is_told_with_loss_and_choice(tmp_path):
    file = write(tmp_path / "own.csv", walks() | {"rare": ["zz", "i1"]})
    for name, words, told in (
        ("sasrec", SMALL, "Loss: cross-entropy, softmax over all items. Seed 0; trained 2 epochs; the model is that"),
        ("popularity", (), "Loss: none, it is counted. Seed 0; the model has no setting, and no metric selects."),
        ("markov", (), "selected among 3 settings by NDCG@10 on validation"),
        ("fpmc", ("loss=full",), "Loss: cross-entropy, softmax over all items."),
    ):
        report = learn(file, tmp_path / name, name, words=words)
        assert told in report.note
        assert "30 users of 31, 12 items of 13, " in report.note
        assert report.document()["beside"][0]["model"] == name
    assert "selected by NDCG@10 on validation" in learn(file, tmp_path / "patient").note
    never = learn(file, tmp_path / "never", training=FAST | {"patience": None}).note
    assert "of epoch 2, the last, and no metric selects" in never


# Hostile files


def use(folder: Path, data: str) -> None:
    """All that reads a model; an error of input is fine, any other is not."""
    try:
        evaluate(folder, data, {}, device="cpu")
        recommend(folder, history=["i1,i2"], device="cpu")
    except INPUT_ERRORS as error:
        assert len(str(error)) < 1500  # noqa: PT017, an error may come or not


@given(st.data())
def test_a_damaged_description_is_an_input_error_or_harmless(trained, data, tmp_path_factory, draw):
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("hostile") / "m"))
    damaged = draw.draw(damages((folder / DESCRIPTION).read_text()))
    (folder / DESCRIPTION).write_text(damaged, encoding="utf-8", errors="surrogatepass")
    use(folder, data)


@given(st.sampled_from([PARAMETERS, USERS, DESCRIPTION]), st.binary(max_size=64), st.integers(0, 300), st.booleans())
def test_damaged_bytes_are_an_input_error_or_harmless(trained, data, tmp_path_factory, file, junk, at, cut):
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("hostile") / "m"))
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[:at] + junk + (b"" if cut else whole[at + len(junk) :]))
    if file != DESCRIPTION:
        describe(folder)
    use(folder, data)



@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"item.weight": torch.zeros(3, 8)}, r"item\.weight has shape \[3, 8\]; expected \[13, 8\]"),
        ({"item.weight": torch.zeros(13, 8, dtype=torch.float64)}, r"item\.weight must be numbers of torch\.float32"),
        ({"item.weight": torch.full((13, 8), torch.nan)}, r"item\.weight must be numbers of torch\.float32"),
        ({"extra": torch.zeros(1)}, "tensors are missing or too many: 'extra'"),
        ({"item.weight": None}, r"tensors are missing or too many: 'item\.weight'"),
        ({"item.weight": torch.full((13, 8), 3e38)}, "finite"),
    ],
)
def test_parameters_that_do_not_fit_are_told(copy, changes, told):
    tensors = load((copy / PARAMETERS).read_bytes()) | changes
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, copy / PARAMETERS)
    describe(copy)
    with pytest.raises(INPUT_ERRORS, match=told):
        recommend(copy, history=["i1,i2"], device="cpu")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "other"}, "format is 'other'"),
        ({"model": "../sasrec"}, r"model '\.\./sasrec' is unknown; expected one of popularity"),
        ({"items": ["i1", "i1"]}, "items must be different texts"),
        ({"items": [1, 2]}, "items must be different texts"),
        ({"items": ["a"]}, "options say 12 items and there are 1 item ids"),
        ({"options": {"items": 12, "width": 2**21}}, "options ask for more than"),
        ({"options": {"items": 12, "layers": 100}}, "options ask for more than"),
        ({"options": {"items": 12, "width": 2**20, "length": 2**20}}, "has shape"),
        ({"options": {"items": 12, "width": "8"}}, "options.width is '8'; expected a whole number"),
        ({"options": {"items": 12, "width": True}}, "options.width is True; expected a whole number"),
        ({"options": {"items": 12, "depth": 1}}, "options has no option 'depth'"),
        ({"options": {"width": 8}}, "options lacks items"),
        ({"preparation": {"user": "u"}}, "preparation lacks item"),
        ({"sha256": {}}, r"is not the file that .*model\.json was written with"),
        ({"sha256": None}, "sha256 is None; expected an object"),
        ({"seen": "both"}, "seen 'both' is unknown; expected one of kept, filtered"),
        ({"dataset": 3}, "dataset is 3; expected a word"),
    ],
)
def test_a_description_that_does_not_fit_is_told(copy, changes, told):
    describe(copy, **changes)
    with pytest.raises(INPUT_ERRORS, match=told):
        model_files.load(copy, "cpu")


def test_users_that_do_not_fit_a_pickle_and_missing_files_are_told(copy):
    good = load((copy / USERS).read_bytes())
    for tensors in ({"user": good["user"]}, good | {"row": good["row"][1:]}, good | {"row": good["row"].double()}):
        save_file(tensors, copy / USERS)
        describe(copy)
        with pytest.raises(INPUT_ERRORS, match=r"users\.safetensors: (expected|user, length and row)"):
            model_files.load(copy, "cpu")
    (copy / USERS).write_bytes(pickle.dumps(good))
    describe(copy)
    with pytest.raises(INPUT_ERRORS, match="cannot be read as safetensors"):
        model_files.load(copy, "cpu")
    for file in (PARAMETERS, DESCRIPTION):
        (copy / file).unlink()
        with pytest.raises(INPUT_ERRORS, match="there is no such file; name the folder that `train` wrote"):
            model_files.load(copy, "cpu")


# Options


@pytest.mark.parametrize("name", [name for name, entry in OFFERED.items() if entry.options_of])
def test_options_come_back_from_json(name):
    kind = OFFERED[name].options_of
    options = kind(9) if name in NEURAL else kind()
    assert build(kind, json.loads(json.dumps(asdict(options))), name) == options
    assert "items" not in names(kind, ("items",))
    for key, value in asdict(options).items():
        if isinstance(value, int | float) and key != "items":
            word = f"{key}={str(value).lower()}"
            sized = {"items": 9} if name in NEURAL else {}
            assert build(kind, parse(name, kind, [word], ("items",)) | sized, name) == options


def test_options_within_options_and_of_several_types():
    words = ["boost.alpha=2", "boost.mode=raw", "negatives=none", "layers=3", "boosted_layers=1,2", "beta=0"]
    options = build(CausalRecOptions, parse("causalrec", CausalRecOptions, words) | {"items": 9}, "causalrec")
    assert (options.boost.alpha, options.boost.mode, options.negatives) == (2.0, "raw", None)
    assert (options.boosted_layers, options.beta) == ((1, 2), 0.0)
    with pytest.raises(InputError, match=r"option boost\.alpha is 'x'; give a number"):
        parse("causalrec", CausalRecOptions, ["boost.alpha=x"])
