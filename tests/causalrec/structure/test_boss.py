"""BOSS: the same search as without its trees, the class of its DAG, and what must not matter to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.graph import learn_graph
from causalrec.structure import Fits, Problems
from causalrec.structure.boss import Boss, _Tree, equivalence_class
from synth.graphs import draw_dag, topological_order
from synth.scm import draw_scm
from synth.scoring import cpdag
from tests.strategies import dags

pytestmark = pytest.mark.numeric


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def samples(seed: int, nodes: int, rows: int = 200) -> np.ndarray:
    """Rows of a sparse SCM of unequal variances."""
    generator = rng(seed)
    scm = draw_scm(generator, draw_dag("er", generator, nodes, 1.5), profile="random", ratio=9)
    return scm.sample(generator, rows)


def fit(X: np.ndarray, **options: object) -> Fits:
    return Boss(**options).fit(Problems.from_samples(X), rng())


def grow_shrink(S: np.ndarray, j: int, before: list[int], charge: float) -> tuple[float, list[int]]:
    """Score and parents of j among its predecessors, each set of parents regressed on afresh."""

    def score(parents: list[int]) -> float:
        beta = np.linalg.solve(S[np.ix_(parents, parents)], S[parents, j])
        return -0.5 * np.log(S[j, j] - S[j, parents] @ beta) - charge * len(parents)

    parents: list[int] = []
    while options := [i for i in before if i not in parents]:
        best = max(options, key=lambda i: score([*parents, i]))
        if score([*parents, best]) <= score(parents):
            break
        parents = [*parents, best]
    while parents:
        best = max(parents, key=lambda i: score([k for k in parents if k != i]))
        rest = [k for k in parents if k != best]
        if score(rest) <= score(parents):
            break
        parents = rest
    return score(parents), parents


def search(X: np.ndarray, penalty: float) -> tuple[list[int], np.ndarray]:
    """The order and the DAG of BOSS without any cache, every place of every variable scored afresh."""
    s, n = X.shape
    R, charge = np.corrcoef(X.T), penalty * np.log(s) / s

    def score(order: list[int]) -> float:
        return sum(grow_shrink(R, j, order[:k], charge)[0] for k, j in enumerate(order))

    order = np.argsort((1 - 1 / np.linalg.inv(R).diagonal()).round(9), kind="stable").tolist()
    moved = True
    while moved:
        moved = False
        for j in order:
            rest = [i for i in order if i != j]
            scores = np.array([score([*rest[:k], j, *rest[k:]]) for k in range(n)])
            if scores.max() > score(order) + 1e-10:
                best = int(np.argmax(scores >= scores.max() - 1e-10))
                order, moved = [*rest[:best], j, *rest[best:]], True
    graph = np.zeros((n, n), dtype=bool)
    for k, j in enumerate(order):
        graph[j, grow_shrink(R, j, order[:k], charge)[1]] = True
    return order, graph


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31), nodes=st.integers(2, 6), penalty=st.sampled_from([0.25, 1.0, 2.0]))
def test_it_is_the_search_without_trees(seed, nodes, penalty):
    X = samples(seed, nodes)
    order, graph = search(X, penalty)
    fits = fit(X, penalty=penalty, orient="dag")
    assert fits.order[0].tolist() == order
    assert ((fits.W[0] != 0) == graph).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_a_leaf_knows_what_would_change_it(seed):
    tree = _Tree(np.corrcoef(samples(seed, 10).T), 0, 0.01)
    place = rng(seed).permutation(10).tolist()
    for limit in range(11):
        leaf = tree.find(place, limit)
        for i in range(1, 10):
            turned = [*place[:i], -1 if place[i] >= limit else 10, *place[i + 1 :]]
            assert (tree.find(turned, limit) is not leaf) == (i in leaf.touched)


@given(dags())
def test_the_class_of_a_dag_is_its_cpdag(graph):
    found = equivalence_class([np.flatnonzero(row).tolist() for row in graph], topological_order(graph))
    assert (found == cpdag(graph)).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), nodes=st.integers(3, 8))
def test_units_and_labels_do_not_matter(seed, nodes):
    X = samples(seed, nodes)
    fits, p = fit(X), rng(seed).permutation(nodes)
    rescaled = fit(X * rng(seed).uniform(1e-3, 1e3, nodes))
    relabelled = fit(X[:, p])
    assert (rescaled.cpdag == fits.cpdag).all()
    assert (relabelled.cpdag[0] == fits.cpdag[0][np.ix_(p, p)]).all()
    assert np.allclose([rescaled.trace["score"], relabelled.trace["score"]], fits.trace["score"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_restarts_find_the_class_from_the_exact_covariance(seed):
    """One search alone ends in a local optimum on five of these, with an edge too many."""
    scm = draw_scm(rng(seed), draw_dag("er", rng(seed), 6, 1.5), profile="random", ratio=16)
    fits = Boss(restarts=20).fit(Problems(scm.covariance[None]), rng())
    assert (fits.cpdag[0] == cpdag(scm.graph)).all()


def test_w_is_least_squares_on_the_parents_and_the_class_keeps_what_it_directs():
    X = np.stack([samples(seed, 8) for seed in range(5)])
    problems = Problems.from_samples(X)
    dag, directed = (Boss(orient=orient).fit(problems, rng()) for orient in ("dag", "class"))
    both = directed.cpdag & directed.cpdag.mT
    assert both.any()
    assert (both <= ((dag.W != 0) | (dag.W != 0).mT)).all()
    assert (np.where(both, 0, dag.W) == directed.W).all()
    assert dag.cpdag is None
    assert directed.order is None
    for S, W in zip(problems.covariance, dag.W, strict=True):
        for j, row in enumerate(W):
            parents = np.flatnonzero(row)
            assert np.allclose(S[j, parents], row @ S[:, parents], rtol=1e-9)


def test_restarts_are_repeated_and_no_problem_sees_another():
    X = np.stack([samples(seed, 9, 100) for seed in range(6)])
    learner, problems = Boss(restarts=4, penalty=0.5), Problems.from_samples(X)
    fits = learner.fit(problems, rng())
    assert (fits.W == learner.fit(problems, rng()).W).all()
    for p, one in enumerate(X):
        assert (fit(one, restarts=4, penalty=0.5).W[0] == fits.W[p]).all()
    once = Boss(penalty=0.5).fit(problems, rng()).trace["score"]
    assert (fits.trace["score"] >= once).all()
    assert (fits.trace["score"] > once + 1e-6).any()


def test_a_user_is_told_of_directions_that_are_open():
    x = rng().standard_normal(500)
    graph = learn_graph(np.stack([x, x + rng(1).standard_normal(500)], axis=1), "boss")
    assert graph.undirected == ((0, 1),)
    assert not graph.W.any()
    assert any("1 edges have no direction" in warning for warning in graph.warnings)


def test_a_duplicate_is_no_parent_beside_its_double():
    x, e = rng().standard_normal((2, 1000))
    W = fit(np.stack([x, x, 2 * x + e], axis=1), orient="dag").W[0]
    assert (W != 0).sum() == 2
    assert np.isfinite(W).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 0.0}, "penalty is 0.0; give a number above 0"),
        ({"penalty": float("nan")}, "penalty is nan"),
        ({"restarts": 0}, "restarts is 0; give 1 or more"),
        ({"orient": "pdag"}, "orient is 'pdag'; choose class or dag"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Boss(**options)
