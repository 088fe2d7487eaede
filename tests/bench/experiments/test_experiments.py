"""All experiments: what they plan, that any results can be read, and that failures show in verdicts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import reproduce
from bench.cells.store import Store
from bench.errors import InputError
from bench.experiments import EXPERIMENTS, of_preset
from bench.experiments import find as find_experiment
from bench.judge.bars import ORDER
from bench.judge.claims import BLOCKED, read_register
from bench.plan.presets import PRESETS
from bench.reproduce import rejudge
from bench.runners import RUNNERS
from bench.show.tables import Table, to_csv, to_text
from tests.bench.made_up import (
    CLAIMED,
    bare,
    failed,
    find,
    made_up,
    plan_all,
    with_data,
    write_films,
)

SETUPS = {"bare": bare, "with data": with_data}


@pytest.fixture(scope="module", autouse=True)
def films(tmp_path_factory):
    """Titles for the films of made-up data."""
    folder = tmp_path_factory.mktemp("data")
    write_films(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAUSALREC_DATA", str(folder))
        yield


def test_every_experiment_has_its_name_and_a_question():
    for name, experiment in EXPERIMENTS.items():
        assert find_experiment(name) is experiment
        assert experiment.name == name
        assert experiment.question.endswith("?")
        assert "\n" not in experiment.question
    assert len({experiment.question for experiment in EXPERIMENTS.values()}) == len(EXPERIMENTS)


def test_unknown_experiments_are_refused():
    with pytest.raises(InputError, match="experiment 'recovry' is unknown; choose one of recovery, sizes, variance"):
        find_experiment("recovry")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("data", SETUPS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_plans_are_plain_unique_and_told_apart(experiment, data, preset):
    setup = SETUPS[data](preset)
    cells = plan_all(experiment, setup)
    assert cells or (experiment == "graph_view" and not setup.found)
    assert len({cell.key for cell in cells}) == len(cells)
    assert len({cell.label for cell in cells}) == len(cells)
    for cell in cells:
        assert json.loads(json.dumps(cell.params, allow_nan=False)) == cell.params
        assert cell.params["root"] == setup.stream
        assert cell.runner in RUNNERS
        assert f"bench.runners.{cell.runner}:run" in cell.code
        assert cell.timeout == setup.preset.timeout
        assert cell.label
        assert "\n" not in cell.label
        if cell.runner == "recommender" and cell.params["dataset"]["name"] != "behaviour":
            assert cell.data == setup.found[cell.params["dataset"]["name"]].content_hash


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_root_seed_changes_every_key_and_nothing_else(experiment):
    one, two = (plan_all(experiment, replace(with_data(), root=root)) for root in (0, 1))
    assert not {cell.key for cell in one} & {cell.key for cell in two}
    tuned = ("recommend", "acyclicity", "ablation", "audit", "graph_view", "multiverse")
    if experiment not in tuned:  # whose trials are drawn from the seed
        assert [cell.label for cell in one] == [cell.label for cell in two]


@pytest.mark.parametrize("data", SETUPS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
@given(st.data())
def test_any_part_of_the_results_can_be_read(experiment, data, draw):
    """Tables, details and findings of none, of failures alone, and of any half."""
    setup = SETUPS[data]("smoke")
    cells = plan_all(experiment, setup)
    share = draw.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
    ran = np.random.default_rng(draw.draw(st.integers(0, 2**32))).random(len(cells)) < share
    results = [made_up(cell) if ok else failed(cell) for cell, ok in zip(cells, ran, strict=True)]
    asked = EXPERIMENTS[experiment]
    for part in (results, [], [r for r in results if r.ok]):
        tables = [*asked.tables(setup, part), *asked.details(setup, part)]
        assert all(isinstance(table, Table) and to_text(table) and to_csv(table) for table in tables)
        assert len({table.name for table in tables}) == len(tables)
        found = find(experiment, setup, part)
        assert all(f.outcome in (*ORDER, BLOCKED) for f in found)
        assert len({(f.claim, f.title) for f in found}) == len(found)
        asked.refine(setup, part)
        asked.figures(setup, part)
        asked.reasons(setup, part)
        if not any(r.ok for r in part):
            assert found == []


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_judges_all_claims_that_name_it_and_no_others(experiment):
    setup = with_data()
    results = [made_up(cell) for cell in plan_all(experiment, setup)]
    told = {finding.claim for finding in find(experiment, setup, results)}
    assert told == {claim.id for claim in read_register().claims.values() if claim.experiment == experiment}


@pytest.mark.parametrize("experiment", ["recovery", "discovery"])
def test_a_verdict_with_cells_that_failed_says_so(experiment):
    setup = bare()
    results = [made_up(cell) for cell in plan_all(experiment, setup)]
    less = [failed(results[0].cell), *results[1:]]
    before, after = (
        {verdict.claim.id: verdict for verdict in reproduce._read(setup, {experiment: part}).verdicts}
        for part in (results, less)
    )
    for claim in (claim.id for claim in read_register().claims.values() if claim.experiment == experiment):
        assert before[claim].judgement == CLAIMED
        assert after[claim].note.endswith(f"1 of the {len(results)} cells of {experiment} failed")


def test_what_was_left_out_what_failed_and_what_is_missing_are_sentences():
    setup = bare("smoke")
    broken = failed(plan_all("recommend", setup)[0])
    told = {
        len(results): reproduce._gaps("recommend", setup, results, read_register())["booster-matters"]
        for results in ([], [broken], [broken, replace(broken, record=None)])
    }
    assert told == {
        0: "preset smoke uses no real data",
        1: "preset smoke uses no real data. 1 of the 1 cells of recommend failed",
        2: "preset smoke uses no real data. 1 of the 2 cells of recommend failed. "
           "1 of the 2 cells of recommend are missing",
    }  # fmt: skip


def test_a_preset_may_leave_experiments_out_and_then_says_so_of_their_claims():
    assert [name for name in PRESETS if of_preset(name) == tuple(EXPERIMENTS)] == ["smoke", "hour", "standard", "paper"]
    with pytest.raises(InputError, match="preset 'big' is unknown"):
        of_preset("big")
    left_out = PRESETS["quick"].without
    assert set(of_preset("quick")) == set(EXPERIMENTS) - set(left_out)
    assert set(left_out) < set(EXPERIMENTS)
    store = Store(Path("none"))
    judged = rejudge(bare("quick"), ("cost",), store).verdicts
    told = {v.claim.id: v.note for v in judged if v.claim.experiment in left_out}
    assert set(told) == {"alpha-window", "lambda-saturates", "boost-beats-filter", "false-edges-hurt"}
    assert told["alpha-window"] == (
        "the preset quick leaves sensitivity out; `python cli.py reproduce --preset hour` runs it"
    )
    alone = {v.claim.id: v.note for v in rejudge(bare("quick"), ("sensitivity",), store).verdicts}
    assert "leaves" not in alone["alpha-window"]
    assert "leaves ablation out" in alone["false-edges-hurt"]


def test_the_larger_presets_draw_worlds_that_no_small_one_has():
    roots = {preset: replace(bare(preset), root=3).stream for preset in PRESETS}
    assert roots["smoke"] == roots["quick"] == roots["hour"] == 3
    assert roots["standard"] == roots["paper"] > 3
