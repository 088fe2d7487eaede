"""Replacing a function of the suite: under all of its names, in classes, and never for longer than asked."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

import bench.plan.scores
import causalrec.ranking
import causalrec.training
import synth.scm
from bench.errors import InputError
from bench.selftest.patching import replaced
from causalrec.discovery import DiscoveryBlock
from causalrec.lagrangian import Lagrangian
from causalrec.structure import Problems

NDCG = causalrec.ranking.ndcg


def constant(_):
    return lambda ranks, k=10: np.full(len(ranks), 7.0)


def test_every_module_that_has_a_name_for_it_is_reached_and_gets_it_back():
    with replaced(causalrec.ranking, "ndcg", constant):
        names = [causalrec.ranking.ndcg, causalrec.training.ndcg, bench.plan.scores.ndcg]
        assert all(name(np.ones(1))[0] == 7 for name in names)
    assert causalrec.ranking.ndcg is causalrec.training.ndcg is bench.plan.scores.ndcg is NDCG


def test_a_name_that_is_another_one_s_own_is_reached(monkeypatch):
    module = ModuleType("synth.other")
    module.gain = NDCG
    monkeypatch.setitem(sys.modules, "synth.other", module)
    with replaced(causalrec.ranking, "ndcg", constant):
        assert module.gain is causalrec.ranking.ndcg is not NDCG
    assert module.gain is NDCG


def test_a_module_first_imported_meanwhile_is_put_right_too(monkeypatch):
    module = ModuleType("bench.late")
    with replaced(causalrec.ranking, "ndcg", constant):
        module.ndcg = causalrec.ranking.ndcg
        monkeypatch.setitem(sys.modules, "bench.late", module)
    assert module.ndcg is NDCG


def test_what_is_not_the_suite_s_is_left_alone(monkeypatch):
    module = ModuleType("benchmarks")
    module.ndcg = NDCG
    monkeypatch.setitem(sys.modules, "benchmarks", module)
    with replaced(causalrec.ranking, "ndcg", constant):
        assert module.ndcg is NDCG


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_inside_puts_everything_back(error):
    update = vars(Lagrangian)["update"]

    def broken():
        with (
            replaced(causalrec.ranking, "ndcg", constant),
            replaced(Lagrangian, "update", lambda _: lambda self, h: self),
        ):
            assert Lagrangian().update(1.0) == Lagrangian()
            raise error

    with pytest.raises(error):
        broken()
    assert causalrec.ranking.ndcg is causalrec.training.ndcg is NDCG
    assert vars(Lagrangian)["update"] is update
    assert Lagrangian().update(1.0) != Lagrangian()


def test_an_error_in_making_the_substitute_changes_nothing():
    with pytest.raises(ZeroDivisionError), replaced(causalrec.ranking, "ndcg", lambda _: 1 / 0):
        pass
    assert causalrec.ranking.ndcg is causalrec.training.ndcg is NDCG


def test_properties_and_class_methods_come_back_as_they_were():
    held = {"mixing": vars(synth.scm.LinearSCM)["mixing"], "from_samples": vars(Problems)["from_samples"]}
    scm = synth.scm.LinearSCM(np.array([[0.0, 0.0], [2.0, 0.0]]), np.ones(2))
    with (
        replaced(synth.scm.LinearSCM, "mixing", lambda mixing: property(lambda self: mixing.func(self).T)),
        replaced(Problems, "from_samples", lambda _: classmethod(lambda cls, S: cls(S[None]))),
    ):
        assert scm.mixing.tolist() == [[1, 2], [0, 1]]
        assert Problems.from_samples(np.eye(3)).covariance.shape == (1, 3, 3)
    assert vars(synth.scm.LinearSCM)["mixing"] is held["mixing"]
    assert vars(Problems)["from_samples"] is held["from_samples"]
    assert scm.mixing.tolist() == [[1, 0], [2, 1]]


def test_one_inside_the_other_unwinds_in_order():
    with replaced(causalrec.ranking, "ndcg", constant):
        outer = causalrec.ranking.ndcg
        with replaced(causalrec.ranking, "ndcg", lambda held: lambda ranks, k=10: 2 * held(ranks, k)):
            assert causalrec.training.ndcg(np.ones(1))[0] == 14
        assert causalrec.training.ndcg is outer
    assert causalrec.training.ndcg is NDCG


@pytest.mark.parametrize(
    ("owner", "name", "make", "told"),
    [
        (causalrec.ranking, "ndgc", constant, r"there is no causalrec\.ranking\.ndgc"),
        (causalrec.ranking.Ranks, "ndcg", constant, r"there is no causalrec\.ranking\.Ranks\.ndcg"),
        (DiscoveryBlock, "exogenous", constant, "there is no"),  # Block defines it
        (json, "dumps", constant, r"there is no json\.dumps; give a function, class or method that the suite defines"),
        (causalrec.training, "MEGABATCH", constant, "is a int; only functions and classes are replaced"),
        (causalrec.ranking, "ndcg", lambda _: causalrec.ranking.hit_rate, "wrap it in a new function"),
        (causalrec.ranking, "ndcg", lambda held: held, "wrap it in a new function"),
    ],
)
def test_what_could_not_be_put_back_is_refused(owner, name, make, told):
    with pytest.raises(InputError, match=told), replaced(owner, name, make):
        pass
    assert causalrec.ranking.ndcg is NDCG
    assert causalrec.ranking.hit_rate is causalrec.training.rank_targets.__globals__["hit_rate"]
