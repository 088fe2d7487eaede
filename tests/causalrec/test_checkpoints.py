"""Checkpoints: whatever the epoch that is cut, the end is the same to the bit; whatever is wrong is refused whole."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from causalrec.attention import Boost
from causalrec.checkpoints import CheckpointFile, Snapshot
from causalrec.errors import InputError
from causalrec.interactions import Split, from_rows, leave_one_out
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.rivals.bert4rec import BERT4Rec, BERT4RecOptions
from causalrec.rivals.fpmc import FPMC, FPMCOptions
from causalrec.rivals.gru4rec import GRU4Rec, GRU4RecOptions
from causalrec.rivals.hstu import HSTU, HSTUOptions
from causalrec.rivals.tisasrec import TiSASRec, TiSASRecOptions
from causalrec.training import Progress, TrainingOptions, train

ITEMS, EPOCHS = 9, 6
SIZES = {"length": 6, "width": 8, "dropout": 0.2}
KINDS = {
    "sasrec": lambda g: SASRec(SASRecOptions(ITEMS, **SIZES, loss="bce"), g),
    # A rho that grows and unused parameters without moments are part of what must come back.
    "causalrec": lambda g: CausalRec(CausalRecOptions(ITEMS, **SIZES, boost=Boost(), delta=0.0, tau=0.05), g),
    "causalrec unboosted": lambda g: CausalRec(CausalRecOptions(ITEMS, **SIZES, boost=Boost(alpha=0.0), beta=0.0), g),
    # Three epochs under the first multipliers, so that it counts how many have passed.
    "causalrec converged": lambda g: CausalRec(
        CausalRecOptions(ITEMS, **SIZES, boost=Boost(), delta=0.0, tau=0.05, raise_rho="converged", graph_rate=3.0), g
    ),
    "gru4rec": lambda g: GRU4Rec(GRU4RecOptions(ITEMS, **SIZES, hidden=8), g),
    "bert4rec": lambda g: BERT4Rec(BERT4RecOptions(ITEMS, **SIZES), g),
    "hstu": lambda g: HSTU(HSTUOptions(ITEMS, **SIZES, times="query"), g),
    "tisasrec": lambda g: TiSASRec(TiSASRecOptions(ITEMS, **SIZES, span=8), g),
}
ALL = (*KINDS, "fpmc")
# A rate at which the best epoch is neither the first nor the last.
TRAINING = TrainingOptions(epochs=EPOCHS, batch=16, learning_rate=0.025, schedule="constant", patience=3)


class Cut(Exception):
    pass


class Held:
    """A checkpoint in memory, as copies; the training is cut when it saves for the `cut`-th time."""

    def __init__(self, cut: int = 0, late: bool = True) -> None:
        self.snapshot: Snapshot | None = None
        self.cut, self.late, self.saves, self.refused = cut, late, 0, []

    def load(self) -> Snapshot | None:
        return self.snapshot

    def save(self, snapshot: Snapshot) -> None:
        self.saves += 1
        if self.saves == self.cut and not self.late:
            raise Cut
        self.snapshot = Snapshot({name: value.clone() for name, value in snapshot.tensors.items()}, snapshot.texts)
        if self.saves == self.cut:
            raise Cut

    def refuse(self, why: str) -> None:
        self.refused.append(why)


def walks() -> Split:
    """Users who mostly walk round a ring of items, an action a time unit."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 9, size=40)
    rows = [1 + (rng.integers(ITEMS) + np.cumsum(np.where(rng.random(n) < 0.7, 1, 3))) % ITEMS for n in lengths]
    made = from_rows(rows, num_items=ITEMS)
    return leave_one_out(replace(made, times=np.concatenate([np.arange(n, dtype=np.float64) for n in lengths])))


SPLIT = walks()


def run(kind: str, checkpoint=None, training=TRAINING) -> tuple[Progress, dict[str, torch.Tensor]]:
    """How training went, and every number that it leaves behind: parameters, buffers and what the generators draw."""
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    shuffle = np.random.default_rng(3)
    if kind == "fpmc":
        fpmc = FPMC(SPLIT, FPMCOptions(width=8), training, generators[0], checkpoint)
        progress, values = fpmc.progress, {"user": fpmc.user, "last": fpmc.last, "item": fpmc.item}
    else:
        model = KINDS[kind](generators[0])
        progress = train(model, SPLIT, training, shuffle=shuffle, dropout=generators[1], checkpoint=checkpoint)
        values = model.state_dict()
    drawn = {f"drawn {n}": torch.rand(3, generator=generator) for n, generator in enumerate(generators)}
    return progress, {**values, **drawn, "drawn": torch.from_numpy(shuffle.random(3))}


def assert_equal(resumed, whole) -> None:
    assert resumed[0] == whole[0]
    assert resumed[1].keys() == whole[1].keys()
    for name, value in whole[1].items():
        assert torch.equal(resumed[1][name], value), name


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((kind, {}) for kind in ALL),
        ("causalrec", {"patience": None}),
        ("fpmc", {"patience": None, "schedule": "decay"}),
        ("sasrec", {"optimiser": "muon", "schedule": "decay", "learning_rate": 0.02, "validate_every": 2}),
    ],
)
def test_cut_at_any_epoch_a_training_ends_at_the_same_bits(kind, changes):
    training = replace(TRAINING, **changes)
    whole = run(kind, training=training)
    assert whole[0].epoch >= 3
    for epoch in range(1, whole[0].epoch + 1):
        held = Held(cut=epoch)
        with pytest.raises(Cut):
            run(kind, held, training)
        assert_equal(run(kind, held, training), whole)
        assert (held.saves, held.refused) == (whole[0].epoch, [])


@pytest.mark.parametrize("kind", ALL)
def test_a_training_cut_again_and_again_before_it_could_save_ends_at_the_same_bits(kind):
    whole, held, last = run(kind), Held(), None
    for _ in range(whole[0].epoch):
        held.cut, held.late = held.saves + 2, False
        try:
            last = run(kind, held)
        except Cut:
            continue
    assert last is not None
    assert_equal(last, whole)


def cut_at(epoch: int, kind: str) -> Snapshot:
    held = Held(cut=epoch)
    with pytest.raises(Cut):
        run(kind, held)
    assert held.snapshot is not None
    return held.snapshot


def test_each_part_of_the_state_changes_the_end_where_it_is_lost():
    """So that the tests above would see it."""
    whole, early, late = run("causalrec"), cut_at(1, "causalrec"), cut_at(5, "causalrec")
    assert 1 < whole[0].best_epoch < 5 < whole[0].epoch
    moments = [f"optimiser.0.0.{moment}" for moment in ("exp_avg", "exp_avg_sq", "step")]
    for part in ("model.multipliers", "model.item.weight", *moments, "dropout", "best.item.weight", "shuffle"):
        held = Held()
        if part == "shuffle":
            held.snapshot = Snapshot(late.tensors, {**late.texts, part: early.texts[part]})
        else:
            held.snapshot = Snapshot({**late.tensors, part: early.tensors[part]}, late.texts)
        progress, values = run("causalrec", held)
        assert held.refused == []
        assert progress.trace[:5] == whole[0].trace[:5]
        same_end = all(torch.equal(values[name], value) for name, value in whole[1].items())
        assert not (same_end and progress.trace == whole[0].trace), part


def without(tensors: dict, name: str) -> dict:
    assert name in tensors
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize("kind", ["sasrec", "fpmc"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t, s, item: (t | {f"model.{item}": t[f"model.{item}"][:-1]}, s), r"model\.item.* has shape"),
        (lambda t, s, item: (t | {"optimiser.0.0.exp_avg": torch.zeros(3, 3)}, s), r"exp_avg has shape \(3, 3\)"),
        (lambda t, s, item: (t | {f"model.{item}": t[f"model.{item}"].double()}, s), r"dtype torch\.float64"),
        (lambda t, s, item: ({n: v[:, :4] if v.ndim == 2 else v for n, v in t.items()}, s), "has shape"),
        (lambda t, s, item: (t | {"odd": torch.zeros(1)}, s), "odd"),
        (lambda t, s, item: (without(t, f"model.{item}"), s), "parameters are missing"),
        (lambda t, s, item: (without(t, f"best.{item}"), s), "parameters are missing"),
        (lambda t, s, item: (without(t, "optimiser.0.0.step"), s), "moments are missing"),
        (lambda t, s, item: (without(t, "dropout"), s), "dropout"),
        (lambda t, s, item: (t | {"dropout": t["dropout"] * 0 + 255}, s), "mt19937"),
        (lambda t, s, item: (t, s | {"progress": s["progress"].replace('"epoch": 2', '"epoch": 9')}), "do not agree"),
        (lambda t, s, item: (t, s | {"progress": "[" * 100_000}), "recursion"),
        (lambda t, s, item: (t, s | {"identity": "x"}), "belongs to another model"),
    ],
)
def test_a_state_that_is_none_of_this_training_is_refused_whole_and_training_begins_anew(kind, change, why):
    found, held = cut_at(2, kind), Held()
    item = "item" if kind == "fpmc" else "item.weight"
    held.snapshot = Snapshot(*change(dict(found.tensors), dict(found.texts), item))
    assert_equal(run(kind, held), run(kind))
    (told,) = held.refused
    assert re.search(why, told), told


def test_a_shuffle_that_is_none_is_refused():
    found, held = cut_at(2, "sasrec"), Held()
    held.snapshot = Snapshot(found.tensors, {**found.texts, "shuffle": "{}"})
    assert_equal(run("sasrec", held), run("sasrec"))
    assert len(held.refused) == 1


# The file


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
SNAPSHOTS = st.builds(
    Snapshot,
    st.dictionaries(NAMES, ARRAYS.map(torch.from_numpy), max_size=4),
    st.dictionaries(NAMES.filter(lambda name: name != "sha256"), st.text(max_size=20), max_size=3),
)


def same(a: Snapshot, b: Snapshot) -> bool:
    if dict(a.texts) != dict(b.texts) or a.tensors.keys() != b.tensors.keys():
        return False
    pairs = ((a.tensors[name].numpy(), b.tensors[name].numpy()) for name in a.tensors)
    return all((x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()) for x, y in pairs)


@given(snapshot=SNAPSHOTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_file_was_given_it_gives_back_and_leaves_nothing_beside_it(tmp_path, snapshot):
    file = CheckpointFile(tmp_path / "c.safetensors")
    file.save(snapshot)
    assert same(file.load(), snapshot)
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_a_byte_changed_or_cut_is_refused(tmp_path, data):
    file = CheckpointFile(tmp_path / "c.safetensors")
    snapshot = Snapshot({"a": torch.arange(6.0), "b": torch.ones(2, 2)}, {"progress": "{}"})
    file.save(snapshot)
    whole = file.path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        file.path.write_bytes(whole[:place])
    else:
        flip = data.draw(st.integers(1, 255))
        file.path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
    try:
        found = file.load()
    except InputError as error:
        assert "remove it to train anew" in str(error)  # noqa: PT017
    else:  # one blank for another between the header's words
        assert same(found, snapshot)
        assert place < len(whole) - 40


def test_a_bit_of_a_weight_that_turned_is_noticed(tmp_path):
    file = CheckpointFile(tmp_path / "c.safetensors")
    file.save(Snapshot({"a": torch.arange(6.0)}, {}))
    with safe_open(file.path, "pt") as opened:
        texts = opened.metadata()
    tensors = load_file(file.path)
    tensors["a"][3] = -3.0
    save_file(tensors, file.path, texts)
    with pytest.raises(InputError, match="its checksum does not match"):
        file.load()


def test_no_file_is_no_state(tmp_path):
    assert CheckpointFile(tmp_path / "c.safetensors").load() is None


def test_a_file_that_cannot_be_written_is_a_typed_error_and_the_last_one_stays(tmp_path, monkeypatch):
    file = CheckpointFile(tmp_path / "c.safetensors")
    file.save(Snapshot({"a": torch.zeros(1)}, {}))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("causalrec.checkpoints.os.fsync", full)
        with pytest.raises(InputError, match=r"cannot be written .*No space left"):
            file.save(Snapshot({"a": torch.ones(1)}, {}))
    assert file.load().tensors["a"].item() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]
    with pytest.raises(InputError, match="cannot be written"):
        CheckpointFile(tmp_path / "none" / "c.safetensors").save(Snapshot({}, {}))


@pytest.mark.parametrize("kind", ["causalrec unboosted", "fpmc"])
def test_a_training_cut_and_kept_in_a_file_ends_at_the_same_bits(kind, tmp_path: Path):
    whole = run(kind)
    path = tmp_path / "c.safetensors"
    run(kind, CheckpointFile(path), replace(TRAINING, epochs=2))
    assert_equal(run(kind, CheckpointFile(path)), whole)
    texts = CheckpointFile(path).load().texts
    assert json.loads(texts["progress"])["epoch"] == whole[0].epoch
