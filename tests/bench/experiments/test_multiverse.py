"""The multiverse: what it plans and pairs, and what it says of the best specification."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from bench.experiments import find as find_experiment
from bench.experiments.model import multiverse, readings
from bench.experiments.model.multiverse import ONLY_R, TWIN
from bench.experiments.model.readings import DEFAULT, FEW, LAST, READINGS
from bench.plan.presets import CAUSES, PRESETS
from bench.plan.tuning import tuning_cells
from bench.reproduce import _read
from bench.show.figures import Curves, Forest
from bench.show.tables import format_value
from tests.bench.made_up import FIXED, Made, bare, failed, made_up, model, plan_all, with_data

ALL = bare(replace(PRESETS["hour"], all_readings=True, sweep_seeds=3))
SETUP = with_data(replace(FIXED, real=replace(FIXED.real, seeds=3, trials=4, learning_rates=(2e-3,))), ("ml-100k",))
LEARNED = [title for title in FEW if READINGS[title][1] is None]


def off(cell):
    return cell.params["options"]["boost"]["alpha"] == 0


def noisy(cell, gain=0.0, seed_sd=0.01, user_sd=0.3, users=400, **metrics):
    """A run whose ranks give about the same NDCG to the same user, with noise of the seed and of the model."""
    own = np.random.default_rng([17, cell.params["seed"], zlib.crc32(cell.label.encode())])
    common = np.random.default_rng(18).normal(size=users)
    worth = 0.4 + 0.2 * common + gain + seed_sd * own.normal() + user_sd * own.normal(size=users)
    ranks = np.where(worth > 0.4, 1.0, 50.0)
    found = model(cell, **metrics)
    arrays = {name: ranks if name.startswith(("test_", "fresh_")) else of for name, of in found.arrays.items()}
    return Made(cell, found.metrics, arrays)


def row(table, place=0):
    return dict(zip(table.columns, table.rows[place], strict=True))


def test_readings_and_trials_are_those_of_the_other_experiments_and_every_one_has_a_partner():
    cells = multiverse.plan(SETUP)
    for causes in CAUSES:
        assert {c for title in LEARNED for c in readings.reading_cells(SETUP, title, causes)} < set(cells)
    assert {c for name in ("causalrec", TWIN) for c in tuning_cells(SETUP, "ml-100k", name)} < set(cells)
    assert not any("relation" in c.params for c in cells)
    made = [made_up(c) for c in cells]
    in_worlds = [multiverse._in_worlds(SETUP, made, causes) for causes in CAUSES]
    for found in (*in_worlds, multiverse._tried(SETUP, made, "ml-100k")):
        for s in found:
            for run, plain in zip(s.runs, s.partners, strict=True):
                assert off(plain.cell)
                assert not off(run.cell)
                assert run.params["seed"] == plain.params["seed"]
                assert run.params["options"]["dropout"] == plain.params["options"]["dropout"]
                assert run.params["training"] == plain.params["training"]
    assert [sum(len(s.runs) for s in found) for found in in_worlds] == [3 * len(LEARNED)] * 2
    assert sum(len(s.runs) for s in multiverse._tried(SETUP, made, "ml-100k")) == 3 * 4


def test_readings_that_differ_only_in_what_r_changes_share_a_partner():
    partners = {title: multiverse._partner_cells(ALL, title, "persist")[0] for title in multiverse._titles(ALL)}
    for title in ("raw boost", "filter", "R soft", "R top 1 of a row", "one head boosted"):
        assert partners[title] == partners[DEFAULT]
    assert partners["R relative to all of W"] == partners[LAST] != partners[DEFAULT]
    assert partners["no h"] != partners[DEFAULT]
    for title, partner in partners.items():
        options = partner.params["options"]
        assert options["boost"] == {"mode": "renorm", "alpha": 0.0}
        kept = {name: value for name, value in READINGS[title][0].items() if name not in (*ONLY_R, "alpha")}
        assert {name: options.get(name) for name in kept} == kept
    assert len(multiverse.plan(ALL)) == 2 * 3 * (len(partners) + len({p.key for p in partners.values()}))


@pytest.mark.parametrize("data", ["behaviour, causes drawn anew", "ml-100k"])
def test_a_planted_gain_is_told_and_the_others_are_not_above_it(data):
    in_worlds = data in multiverse.WORLDS
    lucky = readings.reading_cells(SETUP, DEFAULT) if in_worlds else tuning_cells(SETUP, data, "causalrec")[:1]
    results = [
        noisy(cell, 0.5 * (cell in lucky), empty_rows=0.1 if cell in lucky else 0.9) for cell in multiverse.plan(SETUP)
    ]
    (summary,), (every,) = multiverse.tables(SETUP, results), multiverse.details(SETUP, results)
    at = [r[0] for r in summary.rows].index(data)
    said = row(summary, at)
    assert said["its gain in NDCG@10, %"].estimate > said["at least, %"] > 5
    assert said["p of no gain"] < 0.05
    assert said["so"] == f"some reading gains at least {format_value(said['at least, %'])} %"
    rows = [dict(zip(every.columns, r, strict=True)) for r in every.rows if r[0] == data]
    assert said["specifications"] == len(rows)
    assert (rows[0]["reading"], rows[0]["empty rows of R"]) == (said["the best"], pytest.approx(0.1))
    gains = [r["gain in NDCG@10, %"].estimate for r in rows]
    assert gains == sorted(gains, reverse=True)
    assert rows[0]["alpha"] == lucky[0].params["options"]["boost"]["alpha"]
    assert said["the best"] == DEFAULT or not in_worlds
    reason = multiverse.reasons(SETUP, results)["booster-matters"]
    place = f"In worlds of {data}" if in_worlds else "On ml-100k"
    assert f"{place}, {said['so']} (best: {said['the best']}, " in reason


def test_without_a_gain_it_says_how_much_no_reading_reaches():
    results = [noisy(cell) for cell in multiverse.plan(SETUP)]
    (summary,) = multiverse.tables(SETUP, results)
    for place in (0, 1, 2):
        said = row(summary, place)
        assert said["at least, %"] <= 0 < said["at most, %"]
        assert said["p of no gain"] > 0.05
        assert said["so"] == (
            f"no reading of {said['specifications']} gains as much as {format_value(said['at most, %'])} %"
        )


def test_what_did_not_run_is_left_out_and_noise_that_nothing_tells_is_said():
    results = [noisy(cell) for cell in multiverse.plan(SETUP)]
    twins = tuning_cells(SETUP, "ml-100k", TWIN)
    alone = [r if r.cell not in twins or r.params["seed"] == 1 else failed(r.cell) for r in results]
    (summary,), (every,) = multiverse.tables(SETUP, alone), multiverse.details(SETUP, alone)
    said = row(summary, 2)
    assert (said["at least, %"], said["at most, %"], said["p of no gain"]) == (None, None, None)
    assert said["so"].startswith("not known: no setting ran on two seeds")
    assert said["its gain in NDCG@10, %"].bounded
    assert len(every.rows) == 2 * len(LEARNED) + 4
    one = [r if r.params["seed"] == 1 else failed(r.cell) for r in results]
    (summary,) = multiverse.tables(SETUP, one)
    assert not row(summary)["its gain in NDCG@10, %"].bounded
    assert row(summary)["at least, %"] is None
    nothing = [failed(r.cell) for r in results]
    assert multiverse.tables(SETUP, nothing)[0].rows == ()
    assert multiverse.figures(SETUP, nothing) == []
    assert multiverse.reasons(SETUP, nothing) == {}


def test_its_reason_stands_beside_those_of_other_experiments():
    results = [made_up(cell) for cell in plan_all("positive_control", SETUP)]
    both = {"positive_control": results, "multiverse": [noisy(cell) for cell in multiverse.plan(SETUP)]}
    (told,) = [verdict.why for verdict in _read(SETUP, both).verdicts if verdict.claim.id == "booster-matters"]
    for name, found in both.items():
        assert find_experiment(name).reasons(SETUP, found)["booster-matters"] in told


def test_the_curve_falls_and_shows_where_r_is_alive():
    half = [noisy(c, empty_rows=0.1 if k % 2 else 0.9) for k, c in enumerate(multiverse.plan(SETUP))]
    curve, names = multiverse.figures(SETUP, half)
    assert isinstance(curve, Curves)
    assert [panel.title for panel in curve.panels] == [*multiverse.WORLDS, "ml-100k"]
    for panel in curve.panels:
        both = np.array([s.y for s in panel.series])
        assert (np.isnan(both).sum(0) == len(both) - 1).all()
        shown = np.nansum(both, 0)
        assert (np.diff(shown) <= 0).all()
    assert len(curve.panels[-1].series) == 2
    assert isinstance(names, Forest)
    assert set(names.rows) == set(LEARNED)
