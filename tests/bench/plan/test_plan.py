"""Presets, setups and plans: what would run, from what data."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cells.record import Record
from bench.cells.store import Store
from bench.errors import InputError
from bench.experiments import EXPERIMENTS, of_preset
from bench.methods.recommenders import NEURAL
from bench.plan.presets import PRESETS, find_preset, narrow
from bench.plan.results import collect, select, stacked
from bench.plan.setup import OWN, Preparation, Setup, make_setup
from bench.plan.table import plan_table
from bench.reproduce import plan_cells
from bench.show.console import duration
from causalrec.errors import InputError as ModelInputError
from tests.bench.made_up import dataset, graphs

HOURS = 3600.0
BUDGET = {"smoke": 1.6 / 60, "quick": 6 / 60, "hour": 30 / 60, "standard": 8.0, "paper": 24.0 * 30}


def bare(name: str, root: int = 0) -> Setup:
    return Setup(PRESETS[name], root, "cpu")


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def ratings(tmp_path, monkeypatch) -> Path:
    """A folder with an ml-100k of 30 users and 12 items, all of whom stay in the 5-core."""
    monkeypatch.setenv("CAUSALREC_DATA", "elsewhere")
    monkeypatch.setenv("CAUSALREC_OWN_FILE", "")
    rows = [f"{user}\t{1 + (user * step) % 12}\t3\t{step}\n" for user in range(1, 31) for step in range(1, 9)]
    put(tmp_path / "data" / "ml-100k" / "u.data", "".join(rows))
    return tmp_path / "data"


def test_presets_are_named_and_grow():
    assert list(PRESETS) == ["smoke", "quick", "hour", "standard", "paper"]
    for name, preset in PRESETS.items():
        assert find_preset(name) is preset
        assert preset.name == name
        assert preset.real.seeds >= 2
        assert 1.0 in preset.structure.ratios
        assert 1.0 in preset.alphas
        assert len(preset.sparsities) >= 2
    with pytest.raises(InputError, match="preset 'big' is unknown; choose one of smoke, quick, hour, standard, paper"):
        find_preset("big")


def test_a_preset_is_narrowed_to_what_is_named_and_says_so():
    standard = PRESETS["standard"]
    assert narrow(standard) is standard
    found = narrow(standard, ("beauty", "beauty"), ("tisasrec", "sasrec"))
    assert (found.real.datasets, found.real.rivals) == (("beauty",), ("sasrec", "tisasrec"))
    assert replace(found, real=standard.real, about=standard.about) == standard
    assert found.about.startswith(standard.about)
    assert "here on beauty against sasrec, tisasrec alone" in found.about
    assert narrow(standard, rivals=("gru4rec",)).real.datasets == standard.real.datasets
    assert (found.real.seeds_by, narrow(standard, seeds=6).real.seeds_by) == (standard.real.seeds_by, {})
    assert narrow(standard, None).real.datasets == ()
    assert "on a file of your own" in narrow(standard, None).about
    more = narrow(standard, seeds=6, trials=4)
    assert (more.real.seeds, more.real.trials, more.real.datasets) == (6, 4, standard.real.datasets)
    assert more.about.endswith("alone, 6 seeds, 4 trials")


def test_trials_grow_with_the_presets_and_are_no_more_than_there_are_settings():
    trials = [preset.real.trials for preset in PRESETS.values()]
    assert trials == sorted(trials) == [1, 1, 2, 4, 20]
    for preset in PRESETS.values():
        assert len(preset.real.dropouts) * len(preset.real.learning_rates) >= preset.real.trials


def totals(setup: Setup) -> tuple[int, float]:
    planned = plan_cells(setup, of_preset(setup.preset.name))
    cells = {cell.key: cell for cells in planned.values() for cell in cells}
    return len(cells), sum(cell.cost for cell in cells.values())


def test_each_preset_is_larger_than_the_one_before_and_within_its_time():
    """Costs are of one core; presets promise times on two, the recommenders on real data apart."""
    sizes = {name: totals(bare(name)) for name in PRESETS}
    for before, after in (("smoke", "quick"), ("quick", "hour"), ("hour", "standard"), ("standard", "paper")):
        assert sizes[before][0] <= sizes[after][0]
        assert sizes[before][1] < sizes[after][1]
    for name, hours in BUDGET.items():
        assert sizes[name][1] / 2 < hours * HOURS, name
    assert sizes["smoke"][0] > 50


def test_data_adds_cells_and_only_to_experiments_on_recommenders():
    with_data = replace(bare("hour"), found={"ml-100k": dataset("ml-100k")})
    more = {name: len(set(cells)) for name, cells in plan_cells(with_data, EXPERIMENTS).items()}
    less = {name: len(set(cells)) for name, cells in plan_cells(bare("hour"), EXPERIMENTS).items()}
    real = PRESETS["hour"].real
    assert more.pop("recommend") - less.pop("recommend") == (1 + 3 + 3 + 6 + 6) + 4 * real.seeds * real.trials
    tuned = {"acyclicity", "ablation", "audit", "graph_view", "multiverse"}
    assert {name for name in more if more[name] != less[name]} <= tuned


def test_the_plan_table_counts_cells_once_and_knows_what_is_there(tmp_path):
    setup = bare("smoke")
    planned = plan_cells(setup, ("recommend", "discovery", "acyclicity"))
    table = plan_table(setup, planned, None, 2)
    rows = {row[0]: row[1:] for row in table.rows}
    worlds = setup.preset.world_seeds
    models = 2 * 9 + 1  # each on shuffled histories too, but the best possible
    assert rows["recommend"][:3] == (models * worlds, models * worlds, 0)
    assert rows["discovery"][:3] == (worlds, 0, 0)
    assert rows["acyclicity"][:3] == (1 + 3 * worlds, 1 + 2 * worlds, 0)  # without h and without L_DAG as well

    store = Store(tmp_path)
    first, second = planned["recommend"][:2]
    store.put(Record(first.key, first.fields, "ok"))
    store.put(Record(second.key, second.fields, "failed"))
    there = {row[0]: row[3] for row in plan_table(setup, planned, store, 2).rows}
    assert there == {"recommend": 1, "discovery": 0, "acyclicity": 0}


def test_more_workers_take_less_time_and_what_is_missing_is_said():
    setup = replace(bare("standard"), missing={"beauty": "Amazon Beauty is not there"})
    planned = plan_cells(setup, ("recovery", "layernorm"))
    seconds = sum(cell.cost for cells in planned.values() for cell in cells)
    notes = [plan_table(setup, planned, None, jobs).note for jobs in (1, 100)]
    assert f"About {duration(seconds)} on 1 workers" in notes[0]
    assert f"About {duration(seconds / 100)} on 100 workers" in notes[1]
    assert all("Datasets found: none; Amazon Beauty is not there." in note for note in notes)


def test_noise_on_initial_weights_is_planned_for_neural_models_where_it_is_asked_for():
    for size in (0.0, 1e-6):
        cells = plan_cells(replace(bare("smoke"), perturb=size), ("recommend",))["recommend"]
        planned = {(cell.params["model"] in NEURAL, cell.params.get("perturb")) for cell in cells}
        assert planned == {(False, None), (True, size or None)}


# Setups


def test_a_setup_reads_what_is_there_and_says_what_is_not(ratings):
    setup = make_setup(PRESETS["quick"], 3, ratings)
    assert setup.root == 3
    assert list(setup.found) == ["ml-100k"]
    assert setup.found["ml-100k"].statistics["users"] == 30
    assert list(setup.missing) == ["foursquare-nyc"]
    assert str(ratings / "foursquare-nyc") in setup.missing["foursquare-nyc"]
    assert os.environ["CAUSALREC_DATA"] == str(ratings.resolve())


def test_a_preset_without_data_reads_none(ratings):
    put(ratings / "ml-100k" / "u.data", "broken\n")
    assert make_setup(PRESETS["smoke"], 0, ratings).found == {}
    with pytest.raises(InputError, match=r"u\.data, line 1: there are 1 columns"):
        make_setup(PRESETS["quick"], 0, ratings)


def test_repeats_overrides_every_default_and_is_checked_even_where_nothing_is_read(ratings):
    kept = make_setup(PRESETS["quick"], 0, ratings, preparation=Preparation(repeats="kept")).found["ml-100k"]
    assert kept.repeats == "kept"
    for preset in ("quick", "smoke"):
        with pytest.raises(InputError, match="repeats must be one of kept, dropped, got 'maybe'"):
            make_setup(PRESETS[preset], 0, ratings, preparation=Preparation(repeats="maybe"))


def test_an_own_file_is_read_beside_the_presets_data(ratings, tmp_path):
    rows = [f"u{user},i{item},{item}" for user in range(6) for item in range(5)]
    own = put(tmp_path / "own.csv", "who,what,at\n" + "\n".join(rows) + "\n")
    place = {"path": str(own), "user": "who", "item": "what", "time": "at"}
    setup = make_setup(PRESETS["quick"], 0, ratings, own=place)
    assert list(setup.found) == ["ml-100k", OWN]
    assert setup.found[OWN].statistics["users"] == 6
    with pytest.raises(InputError, match=r"own\.csv, line 1: column 'when' is not in the header"):
        make_setup(PRESETS["quick"], 0, ratings, own=place | {"time": "when"})


def test_cores_and_the_split_are_the_users(ratings):
    asked = Preparation(user_core=8, item_core=2, split="temporal")
    setup = make_setup(PRESETS["quick"], 0, ratings, preparation=asked)
    assert (setup.found["ml-100k"].user_core, setup.found["ml-100k"].item_core, setup.split) == (8, 2, "temporal")
    cells = plan_cells(setup, ("recommend",))["recommend"]
    datasets = [cell.params["dataset"] for cell in cells if cell.params["dataset"]["name"] == "ml-100k"]
    assert {(d["user_core"], d["item_core"], d["split"]) for d in datasets} == {(8, 2, "temporal")}
    cells = plan_cells(setup, ("acyclicity",))["acyclicity"]
    assert {c.params["dataset"]["split"] for c in cells if c.data} == {"temporal"}
    with pytest.raises(InputError, match="split must be one of leave_one_out, temporal, got 'random'"):
        Preparation(split="random")
    with pytest.raises(InputError, match="item_core must be at least 1, got 0"):
        Preparation(item_core=0)


def test_data_without_times_is_left_out_of_a_temporal_split(ratings, tmp_path):
    put(ratings / "beauty" / "s3rec.txt", "".join(f"{user} 1 2 3 4 5\n" for user in range(6)))
    preset = replace(PRESETS["quick"], real=replace(PRESETS["quick"].real, datasets=("ml-100k", "beauty")))
    setup = make_setup(preset, 0, ratings, preparation=Preparation(split="temporal"))
    assert list(setup.found) == ["ml-100k"]
    assert setup.missing["beauty"].startswith("beauty/s3rec.txt has no times, which the temporal split needs")
    assert list(make_setup(preset, 0, ratings).found) == ["ml-100k", "beauty"]
    rows = "".join(f"u{user},i{item}\n" for user in range(6) for item in range(5))
    own = {"path": str(put(tmp_path / "own.csv", "user,item\n" + rows)), "user": "user", "item": "item", "time": None}
    with pytest.raises(InputError, match=r"own\.csv has no times"):
        make_setup(preset, 0, ratings, preparation=Preparation(split="temporal"), own=own)


def test_the_device_is_checked(ratings):
    assert make_setup(PRESETS["smoke"], 0, ratings, device="cpu").device == "cpu"
    with pytest.raises(ModelInputError, match="device 'tpu' is not available here"):
        make_setup(PRESETS["smoke"], 0, ratings, device="tpu")


# Results


def test_results_come_in_the_order_of_the_cells_and_only_of_those_that_ran(tmp_path):
    cells = plan_cells(bare("smoke"), ("layernorm",))["layernorm"]
    store = Store(tmp_path)
    store.put(Record(cells[1].key, cells[1].fields, "ok", {"exact": 7}), {"shd": graphs(cells[1]).arrays["shd"]})
    store.put(Record(cells[2].key, cells[2].fields, "timed_out"))
    results = collect(cells, store)
    assert [r.cell for r in results] == cells
    assert [r.ok for r in results[:4]] == [False, True, False, False]
    assert results[0].metrics == {}
    assert results[0].arrays == {}
    assert results[1].metrics == {"exact": 7}
    (only,) = select(results, learner="eqvar")
    assert only is results[1]
    assert select(results, learner="notears") == []
    assert stacked([only, only], "shd").shape == (2 * cells[1].params["draws"],)
