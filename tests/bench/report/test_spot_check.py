"""A few cells run again: what is the same, what may differ where, and what must not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import reproduce
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.errors import InputError
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.report import spot_check as module
from bench.report.rejudge import Evidence
from bench.report.spot_check import DIFFERS, ROUNDED, SAME, WITHIN, spot_check
from bench.report.write import Made, write
from tests.bench.report.here import run_here

SMOKE = PRESETS["smoke"]
SMALL = replace(
    SMOKE, structure=replace(SMOKE.structure, draws=4, nodes=(5,), samples=(20,), ratios=(1.0, 4.0), stress_nodes=5)
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A results folder with the records of one small run."""
    monkeypatch.setitem(PRESETS, "smoke", SMALL)
    monkeypatch.setattr(module, "run_cells", run_here)
    monkeypatch.setattr(reproduce, "run_cells", run_here)
    run = reproduce.walk(Setup(SMALL, 3, "cpu"), ("misses",), Store(tmp_path), jobs=1)
    write(replace(run, figures=()), tmp_path / "smoke-seed3", Made("as it was called", "then", 9.0, {}))
    return tmp_path


def alter(place: Path, change, **provenance) -> int:
    """Write every record anew with changed metrics, as if made elsewhere; return how many there are."""
    store = Store(place)
    records = list(store.records())
    for record in records:
        arrays = store.arrays(record)
        facts = {**record.provenance, **provenance}
        store.put(replace(record, metrics=change(dict(record.metrics)), provenance=facts), arrays)
    return len(records)


def outcomes(answer) -> list[str]:
    return [row[1] for row in answer.tables[0].rows]


def test_cells_come_out_as_recorded_and_a_seed_picks_the_same_ones(folder, call):
    count = len(list(Store(folder).records()))
    every = spot_check(folder, cells=count + 5)
    assert outcomes(every) == [SAME] * count
    told = f"{count} of {count} cells as recorded, of {count} that have a record"
    assert (every.exit_code, *every.messages) == (0, told)
    code, told, _ = call("spot-check", folder, "--cells", 2, "--seed", 7)
    assert code == 0
    assert told == call("spot-check", folder, "--cells", 2, "--seed", 7)[1]
    assert told.count(SAME) == 2


def test_a_record_that_says_something_else_is_found(folder):
    alter(folder, lambda metrics: metrics | {"cause_0": metrics["cause_0"] + 1})
    answer = spot_check(folder, cells=3)
    assert outcomes(answer) == [DIFFERS] * 3
    assert {row[2] for row in answer.tables[0].rows} == {"cause_0"}
    assert answer.exit_code == 1


def test_times_are_not_compared(folder):
    alter(folder, lambda metrics: metrics | {"fit_cpu_s": 1e6})
    assert outcomes(spot_check(folder, cells=2)) == [SAME] * 2


def test_elsewhere_rounding_may_differ_and_more_may_not(folder, monkeypatch):
    alter(folder, lambda metrics: metrics, cpu="another")
    before = module._numbers
    for shake, expected in ((1e-9, ROUNDED), (1e-3, DIFFERS)):

        def shaken(record, arrays, shake=shake):
            told = before(record, arrays)
            return told | {"draws": told["draws"] * (1 + (record.provenance["cpu"] == "another") * shake)}

        monkeypatch.setattr(module, "_numbers", shaken)
        assert outcomes(spot_check(folder, cells=2)) == [expected] * 2


def made(place: Path, seed: int, ndcg: float, cpu: str) -> tuple[Cell, Record]:
    """Put the record of a trained model into a store."""
    cell = Cell("recommender", {"model": "sasrec", "seed": seed}, ("bench.runners.recommender:run",))
    ranks = {"test_filtered": np.array([seed, ndcg])}
    record = Record(cell.key, cell.fields, "ok", {"ndcg10": ndcg, "epochs": 3}, provenance={"cpu": cpu})
    return cell, Store(place).put(record, ranks)


@pytest.mark.parametrize(("ndcg", "cpu", "expected"), [
    (0.103, "another", WITHIN), (0.15, "another", DIFFERS), (0.103, "this one", DIFFERS), (0.1, "another", SAME),
])  # fmt: skip
def test_a_trained_model_is_held_against_the_spread_of_its_seeds(tmp_path, ndcg, cpu, expected):
    then, now = tmp_path / "then", tmp_path / "now"
    cell, record = made(then, 0, 0.1, "this one")
    for seed, value in ((1, 0.102), (2, 0.098)):
        made(then, seed, value, "this one")
    made(now, 0, ndcg, cpu)
    check = module._compare(cell, record, Evidence(then), Store(now))
    assert check.outcome == expected
    assert check.moved == (("cpu",) if cpu == "another" else ())


def test_a_cell_that_fails_now_is_no_check(tmp_path):
    then, now = tmp_path / "then", tmp_path / "now"
    cell, record = made(then, 0, 0.1, "this one")
    Store(now).put(Record(cell.key, cell.fields, "failed", error={"type": "E", "message": "no memory"}))
    assert module._compare(cell, record, Evidence(then), Store(now)).outcome == "failed: no memory"


def test_nothing_to_check_is_refused(folder):
    with pytest.raises(InputError, match="--cells is 0; give at least 1"):
        spot_check(folder, cells=0)
    for path in (folder / "records").rglob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="no cell that could run here has a record"):
        spot_check(folder)
