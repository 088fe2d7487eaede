"""A recommender of the user's own beside ours: the same data, ranking and records; its faults are its cell's alone."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cells.fingerprint import reach
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.engine.run import run_cells
from bench.errors import InputError
from bench.experiments import check_used
from bench.experiments.model import recommend
from bench.methods import user_recommender as own_recommender
from bench.plan import recommender_cells
from bench.plan.presets import PRESETS
from bench.plan.results import collect
from bench.plan.setup import Setup, make_setup
from bench.plan.sizes import World
from bench.runners import execute
from causalrec.interactions import from_rows
from causalrec.ranking import NonFiniteScores

WORLD = World(items=12, users=40, length=8, width=8, epochs=1)
SMOKE = Setup(replace(PRESETS["smoke"], world=WORLD), 0, "cpu")

# Stands for what a user writes: one that works, and one for each thing that can be wrong.
MINE = """
import numpy as np

print("loading")

class Popular:
    def fit(self, train, num_items, generator):
        print("fitting")
        self.counts = np.bincount(np.concatenate(train), minlength=num_items + 1)[1:]
        for row in train:
            row[:] = 0

    def scores(self, histories):
        for row in histories:
            row[:] = 0
        return np.tile(self.counts, (len(histories), 1))

class Drawn:
    def fit(self, train, num_items, generator):
        self.items, self.generator = num_items, generator

    def scores(self, histories):
        return self.generator.random((len(histories), self.items))

class Raises(Popular):
    def fit(self, train, num_items, generator):
        raise RuntimeError("no\\nluck")

class Wide(Popular):
    def scores(self, histories):
        return np.zeros((len(histories), 99))

class Words(Drawn):
    def scores(self, histories):
        return [["w"] * self.items for _ in histories]

class Infinite(Drawn):
    def scores(self, histories):
        return np.full((len(histories), self.items), np.inf)

class Needs(Popular):
    def __init__(self, size):
        pass

class NoScores:
    def fit(self, train, num_items, generator):
        pass

class Score(NoScores):
    def score(self, histories):
        pass

def function(train):
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch) -> str:
    """A module of a user's own in the current folder; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(MINE)
    return name


def world_cell(model: str, seed: int = 0) -> Cell:
    return recommender_cells.world_cells(SMOKE, WORLD, seed + 1, model)[seed]


def test_it_gets_what_ours_get_and_is_ranked_as_ours_are(mine, capsys):
    ours, theirs = execute(world_cell("popularity")), execute(world_cell(f"{mine}:Popular"))
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in ours.arrays.items():
        assert np.array_equal(array, theirs.arrays[name])
    out, err = capsys.readouterr()
    assert out == ""
    assert "fitting" in err


def test_it_gets_training_rows_alone_as_copies():
    seen = []

    class Spy:
        def fit(self, train, num_items, generator):
            seen.append(([row.tolist() for row in train], num_items, train[0].dtype))
            train[0][:] = 9

        def scores(self, histories):
            histories[0][:] = 9
            return np.zeros((len(histories), 3))

    sequences = from_rows([[1, 2, 3], [], [2]], num_items=3)
    sys.modules["spied"] = type(sys)("spied")
    sys.modules["spied"].Spy = Spy
    score = own_recommender.UserScorer("spied:Spy", sequences, np.random.default_rng(0))
    assert score(sequences, slice(1, 9)).shape == (2, 3)
    assert seen == [([[1, 2, 3], [], [2]], 3, np.int64)]
    assert sequences.items.tolist() == [1, 2, 3, 2]


def test_its_randomness_is_of_the_seed_alone(mine):
    first, again, other = (execute(world_cell(f"{mine}:Drawn", seed)).arrays["test_kept"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("Raises", RuntimeError, "no\nluck"),
        ("Wide", InputError, r"Wide: scores returned shape \(\d+, 99\) and dtype float64; return numbers of shape"),
        ("Words", InputError, r"dtype <U1; return numbers of shape \(\d+, 12\), one row a history, one column an item"),
        ("Infinite", NonFiniteScores, "are not all finite"),
        ("Needs", TypeError, "size"),
    ],
)
def test_what_it_does_wrong_is_told(mine, name, error, told):
    with pytest.raises(error, match=told):
        execute(world_cell(f"{mine}:{name}"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{}:Nothing", "has no class Nothing"),
        ("{}:function", "has no class function"),
        ("{}:NoScores", "NoScores has no method scores; a recommender has fit"),
        ("{}:Score", "Score has no method scores; .*; rename its method score to scores"),
        ("{}", "does not name a Class; write package.module:Class"),
        ("{}:", "does not name a Class"),
        ("../{}:Popular", "does not name a Class"),
        ("nowhere_at_all:Popular", "nowhere_at_all cannot be imported from .*ModuleNotFoundError"),
        ("builtins:dict", "the module has no file"),
    ],
)
def test_what_is_no_recommender_is_refused_before_anything_runs(mine, name, told):
    with pytest.raises(InputError, match=told):
        make_setup(PRESETS["smoke"], 0, recommenders=(name.format(mine),))


def test_editing_the_source_makes_new_cells_and_no_other_models_cells(mine):
    name = f"{mine}:Popular"
    before, ours = world_cell(name), world_cell("popularity")
    assert before.params["identity"] == hashlib.sha256(Path(f"{mine}.py").read_bytes()).hexdigest()
    assert "identity" not in ours.params
    own = ("bench.methods.user_recommender", "UserScorer")
    assert own in reach(before.code)
    assert own not in reach(ours.code)
    Path(f"{mine}.py").write_text(MINE + "# edited\n")
    assert world_cell(name).key != before.key
    assert world_cell("popularity").key == ours.key


def test_it_runs_on_all_data_and_seeds_untuned_and_only_where_it_is_used(mine):
    name = f"{mine}:Popular"
    rows = "user,item\n" + "".join(f"u{u},i{(u + k) % 7}\n" for u in range(14) for k in range(6))
    Path("own.csv").write_text(rows)
    own = {"path": "own.csv", "user": "user", "item": "item", "time": None}
    setup = replace(make_setup(SMOKE.preset, 0, device="cpu", own=own, recommenders=(name, name)))
    assert setup.recommenders == (name,)
    beside = replace(setup, preset=replace(setup.preset, real=replace(setup.preset.real, datasets=("beauty",))))
    alone = [cell for cell in recommend.plan(setup) if cell.params["model"] == name]
    assert [c.params["dataset"]["name"] for c in alone] == ["own file", "own file"]  # without a world
    setup = beside
    cells = [cell for cell in recommend.plan(setup) if cell.params["model"] == name]
    found = [(c.params["dataset"]["name"], c.params["seed"]) for c in cells if "order" not in c.params["dataset"]]
    assert len(cells) == len(found) + 2  # the worlds are shuffled too
    assert sorted(found) == [("behaviour", 0), ("behaviour", 1), ("own file", 0), ("own file", 1)]
    without = recommend.plan(replace(setup, recommenders=()))
    assert {cell.key for cell in recommend.plan(setup)} - {cell.key for cell in without} == {c.key for c in cells}
    check_used(setup, ("recommend",))
    told = f"recovery would not use --recommender {name}; experiments that use it: recommend"
    with pytest.raises(InputError, match=told):
        check_used(replace(setup, found={}), ("recovery",))


def test_workers_find_it_tables_show_it_and_its_failure_is_a_record(mine, tmp_path):
    good, bad = f"{mine}:Popular", f"{mine}:Raises"
    setup = replace(SMOKE, recommenders=make_setup(SMOKE.preset, 0, recommenders=(good, bad)).recommenders)
    cells = [cell for cell in recommend.plan(setup) if cell.params["model"] in (good, bad, "popularity")]
    store = Store(tmp_path / "runs")
    run_cells(cells, store, execute)
    failed = [store.get(cell) for cell in cells if cell.params["model"] == bad]
    assert [record.error["type"] for record in failed] == ["RuntimeError"] * len(failed)
    results = collect(cells, store)
    table = recommend.tables(setup, results)[0]
    rows = {row[1]: row for row in table.rows}
    assert good in rows
    assert bad not in rows
    assert json.dumps([str(value) for value in rows[good][2:6]]) == json.dumps(
        [str(value) for value in rows["popularity (control)"][2:6]]
    )
    assert good in {row[1] for row in recommend.details(setup, results)[0].rows}
    assert "popularity (control)" in rows
