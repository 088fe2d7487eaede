"""`learn --bootstrap`: what is asked for, told and put into the document."""

import json

import numpy as np
import pytest

from bench.apply import confidence, learn
from bench.apply.observed import read
from bench.errors import InputError
from causalrec.errors import InputError as ModelInputError

B = np.array([[0, 0, 0], [1.5, 0, 0], [0, -0.8, 0]])


def observed(folder, rows=200):
    X = np.linalg.solve(np.eye(3) - B, np.random.default_rng(0).normal(size=(3, rows))).T
    path = folder / "x.csv"
    np.savetxt(path, X, delimiter=",", header="rain,wet,slip", comments="")
    return read(path)


def learned(folder, method="eqvar", **how):
    return learn.learn(observed(folder), method, seed=1, resampling=confidence.Resampling(**how))


@pytest.mark.parametrize("calibrate", [0, 2])
def test_edges_are_told_with_how_sure_they_are(tmp_path, calibrate):
    found = learned(tmp_path, bootstrap=40, calibrate=calibrate)
    tables = {table.name: table for table in learn.tables(found)}
    shown = tables["bootstrap"]
    assert shown.columns[3] == ("probability" if calibrate else "frequency")
    assert [row[:2] for row in shown.rows] == [("rain", "wet"), ("wet", "slip")]
    assert all(row[3] > 0.6 and row[4] > 0.9 for row in shown.rows)
    assert ("Calibrated on 2 simulated worlds" if calibrate else "no probability") in shown.note
    told = json.loads(json.dumps(learn.document(found)["bootstrap"], allow_nan=False))
    assert (told["resamples"], told["kind"], told["failed"]) == (40, "bootstrap", 0)
    assert told["calibrated_on_worlds"] == calibrate
    assert [tuple(edge.values())[:5] for edge in told["edges"]] == [row[:5] for row in shown.rows]
    assert np.array(told["frequency"])[1, 0] == 1


def test_an_edge_that_the_graph_lacks_is_told_if_it_is_likely(tmp_path):
    found = learned(tmp_path, bootstrap=20)
    found.found.W[2, 1] = 0
    shown = confidence.table(found.found)
    assert shown.rows[1][:3] == ("wet", "slip", None)
    assert "1 without a weight: not in the graph, yet found in half of the resamples" in shown.note


def test_the_graph_is_the_same_and_nothing_is_told_without_resamples(tmp_path):
    plain, sure = learn.learn(observed(tmp_path), "eqvar", seed=1), learned(tmp_path, bootstrap=10, resample="halves")
    assert np.array_equal(plain.graph, sure.graph)
    assert learn.document(plain)["bootstrap"] is None
    assert "bootstrap" not in [table.name for table in learn.tables(plain)]
    with pytest.raises(InputError, match="has no confidence"):
        confidence.table(plain.found)


def test_a_limit_changes_nothing(tmp_path):
    here = learned(tmp_path, bootstrap=10)
    there = learn.learn(observed(tmp_path), "eqvar", seed=1, time_limit=100, resampling=confidence.Resampling(10))
    assert learn.document(here) == learn.document(there)


def test_resamples_of_a_covariance_are_refused_first(tmp_path):
    np.savetxt(tmp_path / "s.csv", np.eye(3), delimiter=",")
    with pytest.raises(InputError, match="the file holds a covariance; give the samples"):
        learn.learn(
            read(tmp_path / "s.csv", covariance=True, header=False), "eqvar", resampling=confidence.Resampling(10)
        )


def test_what_is_asked_for():
    assert confidence.asked_for(None, "bootstrap", 0) is None
    assert confidence.asked_for(8, "halves", 1) == confidence.Resampling(8, "halves", 1)
    assert confidence.Resampling(8, "halves", 1).words == "and on 8 resamples of the rows and of 1 worlds"
    with pytest.raises(InputError, match="say how many with --bootstrap"):
        confidence.asked_for(None, "halves", 0)
    with pytest.raises(InputError, match="say how many with --bootstrap"):
        confidence.asked_for(None, "bootstrap", 2)
    for given in ((0, "bootstrap", 0), (7, "halves", 0), (7, "third", 0), (7, "bootstrap", -1)):
        with pytest.raises(ModelInputError, match=r"give|choose"):
            confidence.asked_for(*given)
