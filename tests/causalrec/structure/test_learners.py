"""What every learner of the registry must hold, and what the protocol refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from causalrec.acyclicity import Exponential, is_acyclic
from causalrec.errors import InputError
from causalrec.structure import Problems, threshold, threshold_to_dag
from causalrec.structure.registry import learners, load
from tests.closeness import agree
from tests.strategies import covariances, dags, digraphs, weighted

pytestmark = pytest.mark.numeric

every_learner = pytest.mark.parametrize("name", learners())
NO_DAG_PROMISED = ("attention_closed", "attention_free")  # nothing makes them acyclic, or nothing to the end
QUICK = {"attention_free": {"steps": 20, "periods": 3}}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def weighted_h(learner) -> float:
    """The h at which a learner stops that has it in its equations, 1 for the others."""
    return getattr(learner, "tolerance", 1.0)


def ordered(S: np.ndarray) -> Problems:
    return Problems(S, samples=60, order=np.tile(np.arange(S.shape[1]), (len(S), 1)))


@every_learner
@settings(max_examples=10)
@given(S=covariances())
def test_every_learner_returns_graphs_whose_h_is_zero(name, S):
    before = S.copy()
    fits = load(name, **QUICK.get(name, {})).fit(ordered(S), rng())
    assert fits.W.shape == S.shape
    assert fits.W.dtype == np.float64
    assert (fits.iterations > 0).all()
    assert np.allclose(fits.h, Exponential().value(torch.from_numpy(fits.W)), rtol=1e-9, atol=0)
    assert not fits.W.diagonal(axis1=1, axis2=2).any()
    assert np.array_equal(S, before)
    if name not in NO_DAG_PROMISED:
        assert fits.converged.all()
        assert (fits.h <= 1e-8).all()
        assert is_acyclic(torch.from_numpy(threshold(fits.W))).all()


@pytest.mark.parametrize("name", [name for name in learners() if name != "random_order"])
@settings(max_examples=10)
@given(S=covariances())
def test_a_problem_learns_the_same_alone(name, S):
    learner = load(name, **QUICK.get(name, {}))
    together = learner.fit(ordered(S), rng()).W
    alone = np.concatenate([learner.fit(ordered(S[i : i + 1]), rng()).W for i in range(len(S))])
    assert agree(together, alone, S, weighted_h(learner))


@pytest.mark.parametrize("name", ["attention_closed", "attention_free", "eqvar", "notears", "r2_sort", "variance_sort"])
@settings(max_examples=10)
@given(S=covariances(1))
def test_labels_do_not_matter(name, S):
    p = np.arange(S.shape[1])[::-1]
    if name == "r2_sort" and len(p) == 2:
        return  # two variables always tie in R²
    learner = load(name, **QUICK.get(name, {}))
    W = learner.fit(Problems(S), rng()).W
    relabelled = learner.fit(Problems(S[:, p][:, :, p]), rng()).W
    assert agree(relabelled, W[:, p][:, :, p], S[:, p][:, :, p], weighted_h(learner))


@every_learner
def test_one_node_and_more_variables_than_samples(name):
    learner = load(name, **QUICK.get(name, {}))
    one = learner.fit(Problems(np.ones((2, 1, 1)), order=np.zeros((2, 1), dtype=int)), rng())
    assert not one.W.any()
    assert one.converged.all()
    X = rng().standard_normal((4, 7))
    fits = learner.fit(Problems.from_samples(X, order=np.arange(7)), rng())
    assert np.isfinite(fits.W).all()
    assert fits.converged.all() or name in NO_DAG_PROMISED


def test_registry_answers_plainly():
    with pytest.raises(InputError, match="'pc'; choose one of " + ", ".join(learners())):
        load("pc")
    with pytest.raises(InputError, match=r"no option lambda1; its options: sparsity, acyclicity"):
        load("notears", lambda1=0.1)
    assert load("notears", sparsity=0.1).sparsity == 0.1
    for name in learners():
        assert load(name).name == name


def bad(S: np.ndarray, where: tuple[int, ...], value: float) -> np.ndarray:
    S = S.copy()
    S[where] = value
    return S


GOOD = np.stack([np.eye(3), np.eye(3)])


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (bad(GOOD, (1, 0, 2), np.nan), "problem 1, column 2 has covariances that are not finite"),
        (np.zeros((1, 2, 3)), "shape"),
        (np.zeros((1, 0, 0)), "shape"),
        (np.eye(3), "shape"),
        (bad(GOOD, (1, 2, 2), 0.0), "problem 1, column 2 has variance 0"),
        (bad(GOOD, (0, 1, 2), 0.5), "problem 0, column 1 has an asymmetric"),
        (np.stack([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]), "problem 1 has a covariance that is not positive"),
    ],
)
def test_covariances_that_are_none_are_refused(covariance, message):
    with pytest.raises(InputError, match=message):
        Problems(covariance)


def test_samples_that_make_no_covariance_are_refused():
    X = rng().standard_normal((2, 5, 3))
    for where, value, message in [
        ((1, 2, 0), np.nan, "problem 1, column 0 has values that are not finite"),
        ((1, slice(None), 2), 7.0, "problem 1, column 2 has one constant value"),
    ]:
        with pytest.raises(InputError, match=message):
            Problems.from_samples(bad(X, where, value))
    with pytest.raises(InputError, match="1 row"):
        Problems.from_samples(X[:, :1])
    with pytest.raises(InputError, match="shape"):
        Problems.from_samples(np.zeros(4))
    with pytest.raises(InputError, match="two or more"):
        Problems(GOOD, samples=1)
    with pytest.raises(InputError, match="permutation"):
        Problems(GOOD, order=np.array([[0, 1, 1], [0, 1, 2]]))


def test_covariance_of_samples_is_about_the_mean_and_leaves_them_alone():
    X = rng().standard_normal((2, 50, 3)) + 5
    before = X.copy()
    problems = Problems.from_samples(X)
    expected = np.stack([np.cov(x, rowvar=False, bias=True) for x in X])
    assert np.allclose(problems.covariance, expected, rtol=1e-12)
    assert problems.samples == 50
    assert np.array_equal(X, before)
    assert np.array_equal(Problems.from_samples(X[1]).covariance[0], problems.covariance[1])


@given(weighted(digraphs()))
def test_threshold_to_dag_ends_in_a_dag(W):
    kept = threshold(W.numpy(), 0.3)
    assert np.array_equal(kept != 0, np.abs(W.numpy()) >= 0.3)
    dag, removed = threshold_to_dag(W.numpy(), 0.3)
    assert is_acyclic(torch.from_numpy(dag))
    assert removed == (kept != 0).sum() - (dag != 0).sum()
    assert np.array_equal(dag[dag != 0], kept[dag != 0])
    assert (removed == 0) == bool(is_acyclic(torch.from_numpy(kept)))


@given(weighted(dags()))
def test_threshold_to_dag_takes_nothing_from_a_dag(W):
    before = W.clone()
    dag, removed = threshold_to_dag(W.numpy(), 0.0)
    assert np.array_equal(dag, before.numpy())
    assert removed == 0


def test_threshold_to_dag_removes_the_weakest_edge_of_each_cycle():
    W = np.zeros((2, 4, 4))
    W[0, 1, 0], W[0, 0, 1], W[0, 2, 1] = 0.9, -0.5, 0.31  # the weaker 0.31 is on no cycle
    dag, removed = threshold_to_dag(W)
    assert removed.tolist() == [1, 0]
    assert dag[0, 0, 1] == 0
    assert dag[0, 1, 0] == 0.9
    assert dag[0, 2, 1] == 0.31
    assert W[0, 0, 1] == -0.5
