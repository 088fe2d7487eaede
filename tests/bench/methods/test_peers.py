"""The field's learners behind our protocol, and their authors' examples through ours.

What needs a peer is skipped where it is not installed. Examples are redrawn from what their authors say of them.
"""

import logging
import os
import random
import sys
import warnings
from importlib import metadata

import numpy as np
import pytest
import torch

from bench.errors import INPUT_ERRORS, InputError
from bench.methods import learners, peers
from bench.methods.learners import ENTRIES
from bench.methods.peers import Found, Peer
from causalrec.structure import Problems, registry, threshold
from synth.graphs import topological_order
from synth.scoring import cpdag, shd

PEERS = tuple(name for name in ENTRIES if name.startswith("peer."))
QUICK = {"peer.golem": {"iterations": 1500}}
CLASSES = ("peer.pc", "peer.ges", "peer.boss")
ALL = [
    pytest.param(name, marks=pytest.mark.skipif(not ENTRIES[name].kind.available(), reason=f"{name} is not installed"))
    for name in PEERS
]
COLLIDER = np.array([[0, 0, 0], [0, 0, 0], [0.8, -0.6, 0]])
CHAIN = np.array([[0, 0, 0], [0.8, 0, 0], [0, -0.6, 0]])


def rows(B, samples, rng, noise="uniform"):
    """X = BX + E, noise of variance 1; rows are samples."""
    size = (samples, len(B))
    E = rng.uniform(-(3**0.5), 3**0.5, size) if noise == "uniform" else rng.standard_normal(size)
    return E @ np.linalg.inv(np.eye(len(B)) - B).T


def fit(name, X, **options):
    return learners.load(name, **QUICK.get(name, {}) | options).fit(Problems.from_samples(X), np.random.default_rng(0))


# The adapter, without any peer


def test_names_and_options_are_checked():
    assert all(name.startswith("peer.") for name in PEERS)
    with pytest.raises(InputError, match=r"no learner is called 'peer\.magic'; choose one of .*peer\.dagma"):
        learners.load("peer.magic")
    with pytest.raises(INPUT_ERRORS, match=r"peer\.pc has no option tau; its options: alpha"):
        learners.load("peer.pc", tau=1)


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_peer_says_how_to_install_it(name, monkeypatch):
    def version(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    assert not ENTRIES[name].kind.available()
    for call in (learners.load, learners.identity):
        with pytest.raises(InputError, match=r'is not installed; run: pip install -e "\.\[peers\]"'):
            call(name)


class Odd(Peer):
    """Fails on the first problem, is not finite on the second, and meddles with everything."""

    name, package = "peer.odd", "odd"

    def __init__(self):
        self.draws = []

    def learn(self, rows, seed):
        warnings.warn("look", stacklevel=1)
        sys.stdout.write("hello")
        sys.stderr.write("hello")
        logging.getLogger().addHandler(logging.NullHandler())
        os.environ["PYTHONHASHSEED"] = "1"
        self.draws.append((random.random(), np.random.rand(), float(torch.rand(1)), seed))  # noqa: NPY002
        rows[:] = 0
        if len(self.draws) == 1:
            raise ZeroDivisionError("no")
        return Found(np.full((3, 3), np.nan) if len(self.draws) == 2 else COLLIDER, order=[1, 0, 2])


def test_a_failure_is_a_result_and_nothing_leaks(capsys, monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    rng = np.random.default_rng(0)
    problems = Problems.from_samples(np.stack([rows(COLLIDER, 50, rng) for _ in range(3)]))
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),  # noqa: NPY002
              logging.getLogger().handlers[:])  # fmt: skip
    odd = Odd()
    fits = odd.fit(problems, np.random.default_rng(5))
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),  # noqa: NPY002
             logging.getLogger().handlers[:])  # fmt: skip
    assert before == after
    assert "PYTHONHASHSEED" not in os.environ
    assert capsys.readouterr() == ("", "")
    assert fits.errors == ("ZeroDivisionError: no", "FloatingPointError: returned weights that are not finite", "")
    assert fits.converged.tolist() == [False, False, True]
    np.testing.assert_array_equal(fits.W, np.stack([0 * COLLIDER, 0 * COLLIDER, COLLIDER]))
    assert fits.order.tolist() == [[0, 1, 2], [0, 1, 2], [1, 0, 2]]
    assert fits.cpdag is None
    assert len(set(odd.draws)) == 3
    again = Odd()
    again.fit(problems, np.random.default_rng(5))
    assert again.draws == odd.draws


def test_peers_need_samples():
    with pytest.raises(InputError, match=r"peer\.odd needs samples"):
        Odd().fit(Problems(np.eye(3)[None]), np.random.default_rng(0))


def test_ends_of_edges_are_read_as_causal_learn_writes_them():
    # "G.graph[j, i] = 1 and G.graph[i, j] = -1 indicates i --> j": 0 -> 1, 1 -- 2, 0 <-> 2.
    found = peers._class_of(np.array([[0, -1, 1], [1, 0, -1], [1, -1, 0]]))
    assert np.argwhere(found.W).tolist() == [[1, 0]]
    assert np.argwhere(found.cpdag).tolist() == [[0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]


# The peers themselves


@pytest.mark.parametrize("name", ALL)
def test_directions_are_ours(name):
    X = rows(COLLIDER, 3000, np.random.default_rng(1))
    kept, problems = X.copy(), Problems.from_samples(X)
    fits = fit(name, X)
    np.testing.assert_array_equal(X, kept)
    np.testing.assert_array_equal(problems.rows[0], kept)
    assert fits.errors == ("",)
    if name in CLASSES:
        np.testing.assert_array_equal(fits.cpdag[0], COLLIDER != 0)
        np.testing.assert_array_equal(fits.W[0], COLLIDER != 0)
    else:
        np.testing.assert_allclose(fits.W[0], COLLIDER, atol=0.15)
        assert fits.cpdag is None
    assert learners.identity(name).split()[0] in ("dagma", "gcastle", "lingam", "causal-learn")


@pytest.mark.parametrize("name", [param for param in ALL if param.values[0] in CLASSES])
def test_a_chain_has_no_direction_to_find(name):
    fits = fit(name, rows(CHAIN, 3000, np.random.default_rng(1)))
    np.testing.assert_array_equal(fits.cpdag[0], cpdag(CHAIN != 0))
    assert not fits.W.any()


@pytest.mark.parametrize("name", ALL)
def test_a_result_does_not_depend_on_what_ran_before(name):
    X = rows(CHAIN, 300, np.random.default_rng(2))
    few = {"iterations": 50} if name == "peer.golem" else {}
    first, _, second = (fit(name, data, **few) for data in (X, 5 * X[:, ::-1], X))
    np.testing.assert_array_equal(first.W, second.W)


def test_dagma_finds_its_authors_example_and_so_do_ours():
    """The authors' notebook (dagma_test.ipynb): seed 1, ER, 20 nodes and edges, 500 samples; they print SHD 0."""
    utils = pytest.importorskip("dagma.utils")
    with peers._contained(1):
        utils.set_random_seed(1)
        G = utils.simulate_dag(20, 20, "ER")
        X = utils.simulate_linear_sem(utils.simulate_parameter(G), 500, "gauss")
    truth = G.T != 0  # theirs has the cause in the row
    problems = Problems.from_samples(X)
    for learner in (learners.load("peer.dagma"), registry.load("eqvar"), registry.load("notears")):
        assert shd(truth, threshold(learner.fit(problems, np.random.default_rng(0)).W[0]) != 0) == 0, learner


# The authors' examples, redrawn, through ours


@pytest.mark.parametrize("learner", ["eqvar", "notears"])
def test_six_variables_of_the_lingam_tutorial(learner):
    """x3 -> x0, x2; x0, x2 -> x1, x4; x0 -> x5; errors U(0, 1), 1,000 samples: the graph and B that it prints."""
    B = np.zeros((6, 6))
    B[0, 3], B[2, 3], B[1, 0], B[1, 2], B[5, 0], B[4, 0], B[4, 2] = 3, 6, 3, 2, 4, 8, -1
    E = np.random.default_rng(100).uniform(size=(1000, 6))
    X = E @ np.linalg.inv(np.eye(6) - B).T
    options = {"sparsity": 0.02 / 12} if learner == "notears" else {}  # in units of the errors' variance
    fits = registry.load(learner, **options).fit(Problems.from_samples(X), np.random.default_rng(0))
    assert shd(B != 0, threshold(fits.W[0]) != 0) == 0
    if learner == "eqvar":  # an L1 term shrinks 3.0 x3 to 2.3 x3 + 0.1 x2: x2 varies more, and so is cheaper
        np.testing.assert_allclose(fits.W[0], B, atol=0.3)


@pytest.mark.parametrize("learner", ["eqvar", "notears"])
def test_four_variables_of_lingams_own_test(learner):
    """x0 -> x1 -> x3, x2 alone, weights 2 and 4, errors U(0, 1): B[1, 0] > 1.5, B[3, 1] > 3.5, the rest near 0."""
    B = np.zeros((4, 4))
    B[1, 0], B[3, 1] = 2, 4
    X = np.random.default_rng(1).uniform(size=(1000, 4)) @ np.linalg.inv(np.eye(4) - B).T
    options = {"sparsity": 0.02 / 12} if learner == "notears" else {}
    fits = registry.load(learner, **options).fit(Problems.from_samples(X), np.random.default_rng(0))
    W = threshold(fits.W[0])
    assert W[1, 0] > 1.5
    assert W[3, 1] > 3.5
    np.testing.assert_array_equal(W != 0, B != 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learner", ["eqvar", "notears"])
def test_five_variables_of_causal_learns_test_of_pc(learner, seed):
    """Weights of magnitude U(0.5, 0.9), half of them negative, Gaussian errors of variance 1, 10,000 samples.

    PC is to find the CPDAG; on equal variances ours find the DAG, hence that CPDAG.
    """
    rng = np.random.default_rng(seed)
    truth = np.zeros((5, 5), dtype=bool)
    for cause, effect in ((0, 1), (0, 3), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)):
        truth[effect, cause] = True
    B = truth * rng.uniform(0.5, 0.9, (5, 5)) * rng.choice([-1, 1], (5, 5))
    problems = Problems.from_samples(rows(B, 10_000, rng, "gaussian"))
    fits = registry.load(learner).fit(problems, rng)
    found = threshold(fits.W[0]) != 0
    np.testing.assert_array_equal(found, truth)
    assert topological_order(found).tolist() == [0, 1, 2, 3, 4]
