"""Runners: shared draws, exact repeats, known answers, and what no result may depend on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from bench.cells.unit import Cell, Outcome
from bench.datasets.load import load, load_own
from bench.errors import InputError
from bench.experiments.theory.graphs import plan_cell
from bench.experiments.theory.layernorm import VIEWS
from bench.experiments.theory.recovery import LEARNERS
from bench.judge.intervals import paired_difference
from bench.methods import learners
from bench.methods.recommenders import CONTROLS, TIMED, TRAINED
from bench.plan import recommender_cells
from bench.plan.presets import PRESETS, lasting
from bench.plan.setup import OWN, Setup
from bench.plan.sizes import World
from bench.runners import execute, recommender, structure, worlds
from causalrec.interactions import from_rows
from causalrec.model import CausalRec, CausalRecOptions
from causalrec.ranking import ndcg
from causalrec.structure import Fits
from causalrec.structure.eqvar import EqVar
from synth.errors import InputError as WorldInputError
from synth.graphs import is_dag
from synth.scoring import cpdag
from tests.bench.made_up import graphs, model

SMOKE = Setup(PRESETS["smoke"], 0, "cpu")
TIMELESS = [*CONTROLS, *(name for name in TRAINED if name not in TIMED), "best_possible"]
WORLD = World(items=20, users=400, length=8, width=8, epochs=2)


def equal(a, b) -> None:
    """Same metrics, times apart, and same arrays to the bit."""
    first, second = ({k: v for k, v in o.metrics.items() if k != "fit_cpu_s"} for o in (a, b))
    assert first == second
    assert a.arrays.keys() == b.arrays.keys()
    for name in a.arrays:
        np.testing.assert_array_equal(a.arrays[name], b.arrays[name], err_msg=name)


# Structure


VIOLATED = (
    {"kind": "standardised"},
    {"kind": "iscm"},
    {"kind": "rescaled", "spread": 9.0},
    {"kind": "confounded", "latents": 2, "children": 3},
    {"kind": "correlated", "share": 0.6},
    {"kind": "nonlinear", "mechanism": "sine"},
    *({"kind": "layernorm", "placement": placement} for placement in ("raw", "exogenous", "mixed")),
    {"kind": "layernorm", "placement": "exogenous", "affine": 0.5, "sequences": 3},
)


def graph_cell(learner="eqvar", family="er", edges=2, nodes=8, samples=None, draws=6, **changes) -> Cell:
    return plan_cell(SMOKE, learner, family, edges, nodes, samples, draws=draws, **changes)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_gives_what_experiments_read(learner):
    outcome, made = execute(graph_cell(learner)), graphs(graph_cell(learner))
    assert made.metrics.keys() <= outcome.metrics.keys()
    assert made.arrays.keys() <= outcome.arrays.keys()
    assert {len(a) for name, a in outcome.arrays.items() if not name.startswith("trace_")} == {6}
    assert {a.shape[1:] for name, a in outcome.arrays.items() if name.startswith("trace_")} <= {(6,)}
    assert outcome.metrics["exact"] == (outcome.arrays["shd"] == 0).sum()


@pytest.fixture
def seen(monkeypatch) -> list:
    """The problems and true graphs that learners meet."""
    met = []
    load_learner, count = learners.load, structure.shd

    class Spy:
        def __init__(self, learner):
            self.learner = learner

        def fit(self, problems, generator):
            met.append([problems.covariance, problems.order])
            return self.learner.fit(problems, generator)

    def shd(truth, found, **more):
        met[-1].append(truth)
        return count(truth, found, **more)

    monkeypatch.setattr(learners, "load", lambda name, **options: Spy(load_learner(name, **options)))
    monkeypatch.setattr(structure, "shd", shd)
    return met


def test_all_learners_meet_the_same_graphs_and_samples(seen):
    for learner in LEARNERS:
        execute(graph_cell(learner, samples=50))
    assert len(seen) == len(LEARNERS)
    for other in seen[1:]:
        for mine, theirs in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_profiles_ratios_samples_and_views_share_graphs_and_weights_draw_by_draw(seen):
    changes = [{}, {"samples": 50}, {"profile": "rising", "ratio": 4.0}, {"profile": "falling", "ratio": 64.0}]
    changes += [{"samples": 50, "violation": violation} for violation in VIOLATED]
    for change in changes:
        execute(graph_cell(**change))
    for _, orders, truth, _ in seen:
        np.testing.assert_array_equal(truth, seen[0][2])
        np.testing.assert_array_equal(orders, seen[0][1])
    for draw in range(3):
        scms = [worlds.draw_world(graph_cell(**change).params, draw) for change in changes]
        rescaled = ("iscm", "rescaled")
        same = [
            scm.B for scm, change in zip(scms, changes, strict=True)
            if (change.get("violation") or {}).get("kind") not in rescaled
        ]  # fmt: skip
        assert len(same) == len(changes) - len(rescaled)
        assert all((B == scms[0].B).all() for B in same)
        assert (scms[2].noise_scale != scms[0].noise_scale).any()


@pytest.mark.parametrize("violation", [None, *VIOLATED])
def test_rows_and_covariance_are_of_the_same_data(violation):
    p = graph_cell(samples=50, violation=violation).params
    problems = worlds.observe(p, [worlds.draw_world(p, draw) for draw in range(3)], rows=True)
    assert problems.samples == problems.rows.shape[1] == 50 * (violation or {}).get("sequences", 1)
    for rows, covariance in zip(problems.rows, problems.covariance, strict=True):
        np.testing.assert_allclose(np.cov(rows.T, bias=True), covariance, atol=1e-9 * covariance.max())
    without = worlds.observe(p, [worlds.draw_world(p, draw) for draw in range(3)])
    assert without.rows is None
    np.testing.assert_array_equal(without.covariance, problems.covariance)


UNIT = [
    ({"kind": "standardised"}, 50),
    ({"kind": "standardised"}, None),
    ({"kind": "iscm"}, None),
    ({"kind": "layernorm", "placement": "mixed"}, 50),
    ({"kind": "layernorm", "placement": "mixed", "sequences": 4}, 50),
    ({"kind": "layernorm", "placement": "mixed"}, None),
]


@pytest.mark.parametrize(("violation", "samples"), UNIT)
def test_what_has_variance_1_by_construction_has_it_to_the_bit(violation, samples):
    """Whoever sorts by variance must find ties, not rounding, nor LayerNorm's eps, which leaves a root least."""
    p = graph_cell(samples=samples, violation=violation).params
    drawn = [worlds.draw_world(p, draw) for draw in range(100)]
    problems = worlds.observe(p, drawn)
    assert (np.diagonal(problems.covariance, axis1=1, axis2=2) == 1).all()
    first = EqVar().fit(problems, np.random.default_rng(0)).order[:, 0]
    assert (first == 0).all(), "ties go to the lowest index, and labels are random"


@pytest.mark.parametrize("violation", VIOLATED)
def test_a_violations_exact_covariance_is_used_where_there_is_one(violation):
    cell = graph_cell(violation=violation)
    if violation["kind"] == "nonlinear":
        with pytest.raises(WorldInputError, match="give a number of samples"):
            execute(cell)
    else:
        world = worlds.draw_world(cell.params, 1)
        np.testing.assert_allclose(worlds.observe(cell.params, [world]).covariance[0], world.covariance, rtol=1e-12)


def test_a_stronger_violation_is_more_of_the_same():
    def drawn(**knobs):
        return worlds.draw_world(graph_cell(violation=knobs).params, 0)

    mild, strong = (np.log(drawn(kind="rescaled", spread=spread).noise_scale) for spread in (4.0, 16.0))
    np.testing.assert_allclose(strong, 2 * mild)
    few, many = (drawn(kind="confounded", latents=latents, children=3).loadings for latents in (1, 4))
    np.testing.assert_array_equal(many[:, :1], few)


def test_weights_without_sign_are_the_same_weights_all_positive():
    plain, positive = (worlds.draw_world(graph_cell(signed=signed).params, 0).B for signed in (True, False))
    np.testing.assert_array_equal(positive, np.abs(plain))


def test_draws_sizes_and_seeds_differ(seen):
    for cell in (graph_cell(samples=50), graph_cell(samples=50, root=1), graph_cell(samples=50, edges=1)):
        execute(cell)
    assert len({part[0][draw].tobytes() for part in seen for draw in range(6)}) == 18
    assert not (seen[0][2] == seen[1][2]).all()


@pytest.mark.parametrize("learner", ["eqvar", "notears", "random_order"])
def test_a_result_does_not_depend_on_what_ran_before(learner):
    cell = graph_cell(learner, samples=40)
    alone = execute(cell)
    np.random.default_rng(0)
    execute(graph_cell("random_order", samples=30, root=9))
    equal(execute(cell), alone)


@pytest.mark.parametrize("learner", ["eqvar", "notears", "oracle"])
def test_a_draw_does_not_depend_on_how_many_there_are(learner):
    few, many = (execute(graph_cell(learner, samples=40, draws=draws)) for draws in (2, 5))
    for name in ("shd", "true_edges", "tpr", "varsortability", "h"):
        np.testing.assert_array_equal(few.arrays[name], many.arrays[name][:2])


@pytest.mark.parametrize(("family", "edges"), [("er", 1), ("er", 4), ("sf", 2), ("chain", 1), ("layered", 2)])
@pytest.mark.parametrize("nodes", [10, 20])
def test_equal_variances_are_identified_exactly(family, edges, nodes):
    outcome = execute(graph_cell(family=family, edges=edges, nodes=nodes, draws=20))
    assert (outcome.arrays["shd"] == 0).all()
    assert outcome.metrics["exact"] == 20
    assert (outcome.arrays["order_accuracy"] == 1).all()


def test_unequal_variances_and_standardising_break_it_and_the_known_order_does_not_care():
    falling = {"profile": "falling", "ratio": 256.0, "draws": 20}
    assert execute(graph_cell(**falling)).arrays["shd"].mean() > 3
    assert (execute(graph_cell("oracle", **falling)).arrays["shd"] == 0).all()
    standardised = execute(graph_cell(violation={"kind": "standardised"}, draws=20))
    assert standardised.arrays["shd"].mean() > 3
    assert (standardised.arrays["varsortability"] == 0.5).all()
    assert execute(graph_cell(draws=20)).arrays["varsortability"].mean() > 0.9


def test_layernorm_on_the_exogenous_rows_undoes_any_profile_and_on_mixed_rows_the_order():
    def run(place, ratio):
        profile = "equal" if ratio == 1 else "random"
        seen = {"kind": "layernorm", "placement": place}
        return execute(graph_cell(samples=1024, violation=seen, ratio=ratio, profile=profile, draws=10)).arrays

    views = {(place, ratio): run(place, ratio) for _, place, ratio in VIEWS}
    assert views["raw", 1.0]["shd"].mean() < 1
    np.testing.assert_array_equal(views["exogenous", 1.0]["shd"], views["exogenous", 100.0]["shd"])
    assert views["exogenous", 1.0]["shd"].mean() < 1
    assert views["raw", 100.0]["shd"].mean() > 3
    assert views["mixed", 1.0]["shd"].mean() > 3
    assert (views["mixed", 1.0]["order_accuracy"] < 1).any()


@pytest.mark.parametrize("learner", LEARNERS)
def test_fewer_samples_than_nodes_is_a_hard_problem_and_not_a_failure(learner):
    outcome = execute(graph_cell(learner, nodes=10, samples=8))
    assert np.isnan(outcome.arrays["r2_sortability"]).all()
    assert not np.isnan(outcome.arrays["varsortability"]).any()


def test_more_samples_recover_more():
    rates = [execute(graph_cell(nodes=10, samples=n, draws=40)).metrics["exact"] for n in (20, 200, 5000)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1] == 40


def fixed(monkeypatch, **found):
    """A learner that returns what is given, as a function of the true graphs of the six draws."""
    truth = np.stack([worlds.draw_world(graph_cell().params, draw).graph for draw in range(6)])

    class Fixed:
        def fit(self, problems, generator):
            zeros = np.zeros(6)
            return Fits(**{"W": np.zeros(truth.shape), "h": zeros, "converged": zeros == 0,
                           "iterations": zeros.astype(int) - 1} | {k: v(truth) for k, v in found.items()})  # fmt: skip

    monkeypatch.setattr(learners, "load", lambda name, **options: Fixed())
    return truth


def test_a_failed_draw_is_the_empty_graph_and_is_counted(monkeypatch):
    truth = fixed(monkeypatch, W=lambda truth: truth * np.arange(6)[:, None, None].clip(0, 1),
                  errors=lambda truth: ("Singular: no", *5 * ("",)))  # fmt: skip
    outcome = execute(graph_cell())
    np.testing.assert_array_equal(outcome.arrays["shd"], [truth[0].sum(), 0, 0, 0, 0, 0])
    assert (outcome.metrics["failures"], outcome.metrics["first_failure"]) == (1, "Singular: no")
    np.testing.assert_array_equal(np.isnan(outcome.arrays["order_accuracy"]), outcome.arrays["failed"])
    assert outcome.metrics["median_iterations"] is None


def test_a_learner_that_always_fails_fails_the_cell(monkeypatch):
    fixed(monkeypatch, errors=lambda truth: 6 * ("Singular: no",))
    with pytest.raises(structure.LearnerFailed, match="all of 6 draws, first with: Singular: no"):
        execute(graph_cell())


def test_an_equivalence_class_is_never_scored_by_a_lucky_orientation(monkeypatch):
    truth = fixed(monkeypatch, W=cpdag_directions, cpdag=cpdag)
    arrays = execute(graph_cell()).arrays
    undirected = (cpdag(truth) & cpdag(truth).mT).sum((1, 2)) // 2
    assert undirected.sum() > 0
    for name in ("shd", "shd_rev2", "shd_best"):
        np.testing.assert_array_equal(arrays[name], undirected)
    np.testing.assert_allclose(arrays["tpr"], 1 - undirected / truth.sum((1, 2)))
    assert (arrays["cpdag_shd"] == 0).all()
    assert (arrays["fdr"] == 0).all()
    assert np.isnan(arrays["order_accuracy"]).all()
    fixed(monkeypatch, cpdag=lambda truth: truth.mT)
    arrays = execute(graph_cell()).arrays
    np.testing.assert_array_equal(arrays["shd"], truth.sum((1, 2)))
    np.testing.assert_array_equal(arrays["shd_rev2"], 2 * truth.sum((1, 2)))


def cpdag_directions(truth):
    return (cpdag(truth) & ~cpdag(truth).mT).astype(float)


def test_cycles_are_told_before_and_after_the_threshold(monkeypatch):
    fixed(monkeypatch, W=lambda truth: np.stack([W + size * W.T for W, size in zip(
        truth.astype(float), (0, 1e-9, 1e-3, 0.29, 0.3, 0.5), strict=True)]))  # fmt: skip
    outcome = execute(graph_cell())
    np.testing.assert_array_equal(outcome.arrays["cyclic"], [False, False, True, True, True, True])
    np.testing.assert_array_equal(outcome.arrays["cyclic_thresholded"], [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(outcome.arrays["removed_edges"] > 0, outcome.arrays["cyclic_thresholded"])
    assert (outcome.arrays["shd"] == 0).all()


def test_the_best_threshold_finds_what_0_3_misses(monkeypatch):
    truth = fixed(monkeypatch, W=lambda truth: truth * 0.2)
    arrays = execute(graph_cell()).arrays
    np.testing.assert_array_equal(arrays["shd"], truth.sum((1, 2)))
    assert (arrays["shd_best"] == 0).all()


def test_wrong_names_are_refused():
    with pytest.raises(InputError, match=r"no learner is called 'magic'; choose one of .*eqvar"):
        graph_cell("magic")
    with pytest.raises(WorldInputError, match="family: got 'ring'; expected one of er"):
        execute(graph_cell(family="ring"))
    with pytest.raises(WorldInputError, match="placement: got 'under'"):
        execute(graph_cell(samples=50, violation={"kind": "layernorm", "placement": "under"}))
    with pytest.raises(InputError, match="no runner is called 'nothing'; choose one of attribution"):
        execute(replace(graph_cell(), runner="nothing"))


# Recommenders in the behaviour world


def world_cell(name: str, seed: int = 0, world: World = WORLD, setup: Setup = SMOKE, **changes) -> Cell:
    return recommender_cells.world_cells(setup, world, seed + 1, name, **changes)[seed]


@pytest.fixture(scope="module")
def tried() -> dict:
    return {name: execute(world_cell(name)) for name in TIMELESS}


@pytest.mark.parametrize("name", TIMELESS)
def test_every_model_gives_what_experiments_read(tried, name):
    made = model(world_cell(name))
    assert made.metrics.keys() <= tried[name].metrics.keys()
    assert made.arrays.keys() <= tried[name].arrays.keys()
    arrays = tried[name].arrays
    assert all(arrays[f"{part}_{seen}"].shape == (400,) for part in ("valid", "test") for seen in ("kept", "filtered"))
    assert tried[name].metrics["test_ndcg10_kept"] == pytest.approx(ndcg(arrays["test_kept"]).mean())
    assert "test_u100" not in arrays


@pytest.mark.parametrize("name", [name for name in TIMELESS if name != "best_possible"])
def test_no_model_beats_the_best_possible(tried, name):
    best, mine = (ndcg(tried[which].arrays["test_kept"]) for which in ("best_possible", name))
    assert paired_difference(best, mine).high > 0
    if name == "popularity":
        assert paired_difference(best, mine).low > 0


@pytest.mark.parametrize("name", ["causalrec", "sasrec", "sasrec_gbce", "fpmc", "item_knn"])
def test_a_second_run_is_equal_to_the_bit_whatever_ran_between(tried, name):
    execute(world_cell("sasrec", seed=1, world=replace(WORLD, users=50, epochs=1)))
    equal(execute(world_cell(name)), tried[name])


def test_models_of_a_seed_share_the_world_and_seeds_do_not(tried):
    """The best possible ranks are those of the world alone; a hidden change of it would change them."""
    other = execute(world_cell("best_possible", seed=1))
    assert (other.arrays["test_kept"] != tried["best_possible"].arrays["test_kept"]).any()
    again = execute(world_cell("best_possible", world=replace(WORLD, epochs=9, width=32)))
    equal(again, tried["best_possible"])


def test_without_boost_and_penalty_causalrec_trains_like_sasrec_with_layernorm_on_values(tried):
    """Initial weights and batches are drawn by seed alone: the first epoch's loss tells the models apart only there."""
    plain = execute(world_cell("causalrec", alpha=0.0, beta=0.0))
    cell = world_cell("sasrec")
    normalised = replace(cell, params=dict(cell.params) | {"options": cell.params["options"] | {"normalised": 1}})
    twin = execute(normalised)
    np.testing.assert_array_equal(plain.arrays["trace_recommendation"], twin.arrays["trace_recommendation"])
    np.testing.assert_array_equal(plain.arrays["test_kept"], twin.arrays["test_kept"])


@pytest.mark.parametrize("size", [1e-6, 1e-3])
def test_noise_on_initial_weights_is_as_large_as_said_and_the_same_again(size):
    def noisy():
        net = CausalRec(CausalRecOptions(30, length=5, width=8), torch.Generator().manual_seed(4))
        before = torch.cat([weights.detach().double().flatten() for weights in net.parameters()])
        recommender._perturb(net, size, torch.Generator().manual_seed(5))
        return before, torch.cat([weights.detach().double().flatten() for weights in net.parameters()])

    (before, after), (_, again) = noisy(), noisy()
    change = (after / before - 1)[before != 0]
    assert float(change.std()) == pytest.approx(size, rel=0.1)
    assert float(change.abs().max()) < 6 * size
    assert torch.equal(after, again)
    assert (after == 0).sum() == (before == 0).sum()


@pytest.mark.parametrize("name", ["causalrec", "sasrec"])
def test_a_run_from_noisy_weights_differs_by_little_and_is_the_same_again(name):
    plain, none, noisy, again = (
        execute(replace(cell, params=dict(cell.params) | more))
        for more in ({}, {"perturb": 0.0}, {"perturb": 1e-4}, {"perturb": 1e-4})
        for cell in [world_cell(name, world=replace(WORLD, users=60, epochs=1))]
    )
    equal(none, plain)
    equal(again, noisy)
    (mine,), (theirs,) = (found.arrays["trace_recommendation"] for found in (noisy, plain))
    assert 0 < abs(mine / theirs - 1) < 1e-4


def test_the_audit_follows_the_threshold_down_to_an_empty_graph():
    small = replace(WORLD, users=60, epochs=1)
    dense, sparse, none = (execute(world_cell("causalrec", world=small, tau=tau)).metrics for tau in (0.0, 0.1, 1e6))
    assert 1 > dense["density"] > sparse["density"] > 0
    assert dense["empty_rows"] < sparse["empty_rows"] < 1
    assert dense["cyclic_share"] > sparse["cyclic_share"]
    assert (none["density"], none["empty_rows"], none["cyclic_share"]) == (0.0, 1.0, 0.0)
    assert none["precision"] is None
    assert none["recall"] == 0.0


def test_the_audit_by_brute_force():
    """Every pair of every history, one by one; W at a pair of positions is W of its items."""
    history = from_rows([[3, 1, 4, 1, 5, 2], [2, 6], [5, 5, 3], [4]], num_items=6)
    options = CausalRecOptions(6, length=5, width=8, delta=0.0, tau=0.1)
    net = CausalRec(options, torch.Generator().manual_seed(4)).eval()
    W, h, cyclic, pairs, edges, rows, empty = net.item_graph().double().numpy(), [], 0, 0, 0, 0, 0
    for user in range(4):
        items = history.row(user)[-5:]
        full = np.array([[0.0 if a == b else W[a - 1, b - 1] for b in items] for a in items])
        h.append(np.trace(scipy.linalg.expm(full**2)) - len(items))
        cyclic += not is_dag(full >= 0.1)
        for i in range(len(items)):
            past = [j for j in range(i) if items[j] != items[i]]
            found = [j for j in past if full[i, j] >= 0.1]
            pairs, edges = pairs + len(past), edges + len(found)
            rows, empty = rows + bool(past), empty + bool(past and not found)
    assert 0 < edges < pairs
    assert cyclic > 0
    assert 0 < empty < rows
    audit = recommender._audit(net, history)
    assert audit["h_mean"] == pytest.approx(np.mean(h), rel=1e-5)
    assert audit["h_max"] == pytest.approx(np.max(h), rel=1e-5)
    assert (audit["cyclic_share"], audit["density"], audit["empty_rows"]) == (cyclic / 4, edges / pairs, empty / rows)


def test_the_audit_of_an_exploded_graph_is_the_largest_number():
    """Two histories: in one W is huge both ways, so that h overflows; in the other there is one item, and no W."""
    net = CausalRec(CausalRecOptions(6, length=5, width=8, delta=0.0, tau=0.1), torch.Generator().manual_seed(4)).eval()
    with torch.no_grad():
        net.discovery.effect.weight.mul_(1e4)
    audit = recommender._audit(net, from_rows([[3, 1, 4, 1, 5, 2], [4]], num_items=6))
    most = float(torch.finfo(torch.float32).max)
    assert (audit["h_max"], audit["h_mean"]) == (most, most / 2)


def test_the_best_possible_ranks_by_the_worlds_own_law(tried):
    """Of each user's segment, after the user's whole history; ties share their rank."""
    cell = world_cell("best_possible")
    world, behaviour, _ = recommender.read_data(cell.params, None)
    assert len(set(behaviour.segments)) > 1
    law = world.step_distribution(behaviour.items[:, :-1], behaviour.segments)
    own = np.take_along_axis(law, behaviour.items[:, -1:] - 1, axis=1)
    rank = (law > own).sum(1) + ((law == own).sum(1) + 1) / 2
    np.testing.assert_array_equal(tried["best_possible"].arrays["test_kept"], rank)


@pytest.fixture(scope="module")
def asked_afresh():
    """By model, a world whose causes persist, asked of users that nobody trained on as well."""
    world = lasting(replace(WORLD, items=60, length=12, epochs=4, fresh=1500))
    return {
        name: execute(world_cell(name, world=world)) for name in ("best_possible", "best_without_r", "sasrec", "ease")
    }


@pytest.mark.parametrize("part", ["fresh", "shift"])
def test_no_model_beats_the_best_possible_for_fresh_users(asked_afresh, part):
    best, blind, *models = (ndcg(found.arrays[f"{part}_kept"]) for found in asked_afresh.values())
    assert paired_difference(best, blind).low > 0  # what R is worth at most
    for mine in models:
        assert len(mine) == 1500
        assert paired_difference(best, mine).low > 0


def test_fresh_users_are_of_the_same_world_and_no_one_that_was_trained_on(asked_afresh):
    cell = world_cell("sasrec", world=lasting(replace(WORLD, items=60, length=12, epochs=4)))
    equal(execute(cell), Outcome(
        {k: v for k, v in asked_afresh["sasrec"].metrics.items() if not k.startswith(("fresh", "shift"))},
        {k: v for k, v in asked_afresh["sasrec"].arrays.items() if not k.startswith(("fresh", "shift"))},
    ))  # fmt: skip
    arrays = asked_afresh["best_possible"].arrays
    assert not np.array_equal(arrays["fresh_kept"], arrays["shift_kept"])


def test_where_causes_are_drawn_anew_the_best_ranking_ignores_them():
    world = replace(WORLD, fresh=500)
    best, blind = (execute(world_cell(name, world=world)) for name in ("best_possible", "best_without_r"))
    for part in ("test", "fresh", "shift"):
        np.testing.assert_array_equal(best.arrays[f"{part}_kept"], blind.arrays[f"{part}_kept"])


def test_the_share_of_rankings_that_the_boost_changes():
    small = replace(WORLD, users=60, epochs=1)
    made = {alpha: execute(world_cell("causalrec", world=small, alpha=alpha, tau=0.01)) for alpha in (0.0, 1e-8, 100.0)}
    moved = {alpha: found.metrics["moved_rankings"] for alpha, found in made.items()}
    assert moved[0.0] == 0
    assert moved[1e-8] < 0.1 < moved[100.0] <= 1
    empty = execute(world_cell("causalrec", world=small, alpha=100.0, tau=1e6))
    assert empty.metrics["moved_rankings"] == 0


def test_one_hot_regression_and_lift_see_the_graph_that_chance_does_not(tried):
    metrics = tried["causalrec"].metrics
    assert metrics["auprc_regression"] > 3 * metrics["auprc_random"]
    assert metrics["auprc_lift"] > 2 * metrics["auprc_random"]


def test_effects_that_attention_implies_are_of_the_inverse_and_between_0_and_1():
    """A = (I − B)⁻¹Λ of a known B, scaled as causal attention is; sizes without bound, such as 1e30, are cut to 1."""
    B = np.tril(np.random.default_rng(0).normal(size=(5, 5)), -1)
    B[4, 0] = 1e30
    attention = np.linalg.inv(np.eye(5) - B) @ np.diag([1.0, 2.0, 0.5, 1.0, 3.0])
    found = recommender._implied(torch.from_numpy(attention)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, np.abs(B) / (1 + np.abs(B)), atol=1e-9)
    none = recommender._implied(torch.zeros(1, 1, 3, 3, dtype=torch.float64))
    assert ((none >= 0) & (none <= 1)).all()


def test_unknown_models_are_refused():
    cell = world_cell("sasrec")
    with pytest.raises(InputError, match="no recommender is called 'magic'; choose one of popularity"):
        execute(replace(cell, params=dict(cell.params) | {"model": "magic"}))


# Recommenders on data

HAND = {
    1: [1, 1, 1, 2, 4, 2],
    2: [1, 2, 2, 3, 5, 1],
    3: [3, 1, 6, 7],
    4: [8, 9, 10, 11, 12, 1],
}


def write(folder: Path, rows: dict[int, list[int]]) -> Path:
    path = folder / "ml-100k" / "u.data"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{u}\t{i}\t3\t{100 + t}\n" for u, row in rows.items() for t, i in enumerate(row)))
    return path


def data_cell(folder: Path, name: str, options=None, training=None, core: int = 1, seed: int = 0) -> Cell:
    """A cell on the ml-100k of a folder, all of whose users and items stay."""
    found = load("ml-100k", folder, repeats="kept", user_core=core, item_core=core).provenance
    setup = replace(SMOKE, found={"ml-100k": found})
    return recommender_cells.plan_cell(
        setup, recommender_cells.real_dataset(setup, "ml-100k"), name, options or {}, training or {}, seed
    )


def neural_cell(folder: Path, name: str, patience: int | None = 2, seed: int = 0) -> Cell:
    training = {"epochs": 2, "patience": patience, "batch": 8, "learning_rate": 3e-3, "seen": "kept"}
    return data_cell(folder, name, recommender_cells.model_options(name, 6, 8, 0.2), training, seed=seed)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path))
    return tmp_path


def test_popularity_by_hand(folder):
    """Counted in training are item 1 five times, 2 three times, 3 twice, 8 to 11 once; the targets are 2, 1, 7, 1."""
    write(folder, HAND)
    outcome = execute(data_cell(folder, "popularity"))
    np.testing.assert_array_equal(outcome.arrays["test_kept"], [2, 1, 7 + 3, 1])
    np.testing.assert_array_equal(outcome.arrays["test_filtered"], [np.inf, np.inf, 5 + 2.5, 1])
    assert outcome.metrics["test_hr10_kept"] == 1.0
    assert outcome.metrics["test_hr10_filtered"] == 0.5
    assert outcome.metrics["test_ndcg10_kept"] == pytest.approx((1 / np.log2(3) + 1 + 1 / np.log2(11) + 1) / 4)
    assert outcome.metrics["test_ndcg10_filtered"] == pytest.approx((1 / np.log2(8.5) + 1) / 4)
    assert outcome.metrics["test_mrr_filtered"] == pytest.approx((1 / 7.5 + 1) / 4)
    np.testing.assert_array_equal(outcome.arrays["valid_kept"], [7 + 3, 7 + 3, 7 + 3, 7 + 3])


def test_a_large_catalogue_is_also_ranked_against_100_negatives(folder):
    rows = {user: [1 + (user * 7 + step) % 120 for step in range(8)] for user in range(1, 121)}
    write(folder, rows)
    outcome = execute(data_cell(folder, "popularity"))
    assert outcome.arrays["test_u100"].shape == (120,)
    assert outcome.arrays["test_u100"].max() <= 101
    equal(execute(data_cell(folder, "popularity")), outcome)


def random_rows(seed: int = 0, users: int = 40, items: int = 15, length: int = 9) -> dict[int, list[int]]:
    rng = np.random.default_rng(seed)
    rows = {user: rng.integers(1, items + 1, length).tolist() for user in range(1, users + 1)}
    rows[users + 1] = [*range(1, items + 1), 1, 1]  # so that every item occurs in training
    return rows


def deal(rows: dict[int, list[int]], position: int) -> dict[int, list[int]]:
    """The same rows with the items at one position dealt anew among the users."""
    items = np.random.default_rng(1).permutation([row[position] for row in rows.values()]).tolist()
    changed = {user: list(row) for user, row in rows.items()}
    for (_, row), item in zip(changed.items(), items, strict=True):
        row[position] = item
    return changed


@pytest.mark.parametrize("name", ["causalrec", "sasrec"])
def test_canary_test_items_reach_neither_training_nor_validation(folder, name):
    write(folder, random_rows())
    before = execute(neural_cell(folder, name))
    write(folder, deal(random_rows(), -1))
    after = execute(neural_cell(folder, name))
    part = {array for array in before.arrays if array.startswith(("trace_", "valid_"))}
    assert {"trace_validation", "trace_recommendation", "valid_kept"} <= part
    for array in part:
        np.testing.assert_array_equal(before.arrays[array], after.arrays[array], err_msg=array)
    for metric, value in before.metrics.items():
        if metric.startswith("valid_") or metric in ("epochs", "best_epoch"):
            assert value == after.metrics[metric]
    assert (before.arrays["test_kept"] != after.arrays["test_kept"]).any()


@pytest.mark.parametrize("name", ["causalrec", "sasrec"])
def test_canary_validation_items_do_not_reach_training(folder, name):
    traces = {}
    for which, position in (("as it is", None), ("valid", -2), ("train", -4)):
        write(folder, random_rows() if position is None else deal(random_rows(), position))
        traces[which] = execute(neural_cell(folder, name, patience=None)).arrays["trace_recommendation"]
    np.testing.assert_array_equal(traces["as it is"], traces["valid"])
    assert (traces["as it is"] != traces["train"]).all()


@pytest.mark.parametrize(("name", "options"), [("popularity", {}), ("item_knn", {"window": 5})])
def test_canary_test_items_do_not_reach_the_controls(folder, name, options):
    write(folder, random_rows())
    before = execute(data_cell(folder, name, options))
    write(folder, deal(random_rows(), -1))
    after = execute(data_cell(folder, name, options))
    np.testing.assert_array_equal(before.arrays["valid_kept"], after.arrays["valid_kept"])
    assert (before.arrays["test_kept"] != after.arrays["test_kept"]).any()


def test_the_temporal_split_asks_only_about_what_comes_after_all_training(folder):
    """Half of the users act early and are never asked, and what is asked is an action of the last tenth."""
    early = {user: [1 + (user + step) % 6 for step in range(10)] for user in range(1, 21)}
    path = write(folder, early | {user: [1 + (user * step) % 6 for step in range(40)] for user in range(21, 31)})
    found = load("ml-100k", folder, repeats="kept", user_core=1, item_core=1).provenance
    setup = replace(SMOKE, found={"ml-100k": found}, split="temporal")
    cell = recommender_cells.plan_cell(setup, recommender_cells.real_dataset(setup, "ml-100k"), "popularity", {}, {}, 0)
    arrays = execute(cell).arrays
    assert len(path.read_text().splitlines()) == 600
    assert len(arrays["test_kept"]) == len(arrays["valid_kept"]) == 10
    assert len(execute(data_cell(folder, "popularity")).arrays["test_kept"]) == 30


def shuffled(cell: Cell) -> Cell:
    return replace(cell, params=cell.params | {"dataset": cell.params["dataset"] | {"order": "shuffled"}})


def test_shuffled_histories_ask_the_same_and_cost_what_knows_order_alone(folder):
    """Each user walks a ring: the last item tells the next, while a count of items tells as much in any order."""
    write(folder, {user: [1 + (user + step) % 12 for step in range(10)] for user in range(1, 61)})
    for name, options, loses in (("markov", {"window": 1}, True), ("popularity", {}, False)):
        cell = data_cell(folder, name, options)
        plain, mixed = (execute(each).metrics for each in (cell, shuffled(cell)))
        assert (mixed["test_ndcg10_kept"] < plain["test_ndcg10_kept"] - 0.1) == loses, name
        assert mixed["test_ndcg10_kept"] == plain["test_ndcg10_kept"] or loses


def test_a_shuffled_world_is_the_same_world():
    world = replace(SMOKE.preset.world, items=12, users=60, length=8)
    (cell,) = recommender_cells.world_cells(SMOKE, world, 1, "popularity")
    equal(execute(cell), execute(shuffled(cell)))


def test_a_dataset_that_changed_after_planning_is_refused(folder):
    write(folder, random_rows())
    cell = data_cell(folder, "popularity")
    execute(cell)
    write(folder, deal(random_rows(), -1))
    with pytest.raises(InputError, match=r"ml-100k: ml-100k/u\.data changed since the plan was made; start again"):
        execute(cell)
    shutil.rmtree(folder / "ml-100k")
    with pytest.raises(InputError, match="is not there"):
        execute(cell)


def test_preparation_is_the_cells_and_not_the_defaults(folder):
    write(folder, HAND | {5: [1, 2]})
    whole, core = (execute(data_cell(folder, "popularity", core=core)) for core in (1, 2))
    assert whole.arrays["test_kept"].shape == (4,)
    assert (core.arrays["test_kept"] <= 3).all()


def test_an_own_file_is_read_where_the_plan_found_it(folder, tmp_path, monkeypatch):
    write(folder, HAND)
    own = tmp_path / "own.csv"
    own.write_text("u,i,t\n" + "".join(f"{u},{i},{t}\n" for u, row in HAND.items() for t, i in enumerate(row)))
    place = {"path": str(own), "user": "u", "item": "i", "time": "t"}
    monkeypatch.setenv("CAUSALREC_OWN_FILE", json.dumps(place))
    found = load_own(own, user="u", item="i", time="t", user_core=1, item_core=1).provenance
    setup = replace(SMOKE, found={OWN: found})
    cell = recommender_cells.plan_cell(setup, recommender_cells.real_dataset(setup, OWN), "popularity", {}, {}, 0)
    equal(execute(cell), execute(data_cell(folder, "popularity")))
    own.write_text(own.read_text() + "1,1,99\n")
    with pytest.raises(InputError, match=r"own file: .*own\.csv changed since the plan was made"):
        execute(cell)


def test_the_best_possible_is_known_in_the_behaviour_world_alone(folder):
    write(folder, HAND)
    with pytest.raises(InputError, match="known only in the behaviour world"):
        execute(data_cell(folder, "best_possible"))
