from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.structure import Problems, threshold
from causalrec.structure.golem import EqualVariances, UnequalVariances
from causalrec.structure.registry import load
from synth.graphs import draw_dag
from synth.scm import draw_scm, sample_many
from synth.scoring import shd
from tests.closeness import agree, assert_only_the_problem_matters
from tests.strategies import covariances, digraphs, weighted

pytestmark = pytest.mark.numeric

TOLERANCE = 1e-8  # of h
NAMES = ["dagma", "golem_ev", "golem_nv"]
every = pytest.mark.parametrize("name", NAMES)
both = pytest.mark.parametrize("loss", [EqualVariances(), UnequalVariances()], ids=["equal", "unequal"])


def fit(name: str, S: np.ndarray, **options):
    return load(name, **options).fit(Problems(S), np.random.default_rng())


def worlds(nodes: int, count: int, seed: int, **options):
    rngs = [np.random.default_rng([seed, i]) for i in range(count)]
    scms = [draw_scm(rng, draw_dag("er", rng, nodes, 2), **options) for rng in rngs]
    return scms, rngs


def direct(W: torch.Tensor, S: torch.Tensor, equal: bool) -> torch.Tensor:
    A = torch.eye(len(W), dtype=W.dtype) - W
    omega = A @ S @ A.T
    fit = len(W) / 2 * (omega.trace() / len(W)).log() if equal else 0.5 * omega.diagonal().log().sum()
    return fit - A.det().abs().log()


@both
@settings(max_examples=25)
@given(W=weighted(digraphs(nodes=4)), seed=st.integers(0, 999))
def test_likelihood_and_gradient_are_those_of_autograd(loss, W, seed):
    W = 0.3 * W
    X = np.random.default_rng(seed).standard_normal((30, 4))
    S = torch.from_numpy(X.T @ X / 30)
    V = W.clone().requires_grad_()
    expected = direct(V, S, isinstance(loss, EqualVariances))
    expected.backward()
    gradient, hessian = loss.derivatives(W[None], S[None])
    rows = hessian.dense()
    assert torch.allclose(loss.value(W[None], S[None])[0], expected.detach(), rtol=1e-10, atol=1e-12)
    assert torch.allclose(gradient[0], V.grad, rtol=1e-8, atol=1e-8 * (1 + V.grad.abs().max().item()))
    assert (torch.linalg.eigvalsh(rows) > -1e-9 * rows.abs().max()).all()


@both
def test_a_singular_residual_operator_is_infinitely_bad(loss):
    W = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    assert loss.value(W, torch.tensor([[[1.0, 0.5], [0.5, 1.0]]], dtype=torch.float64))[0] == torch.inf


@every
@settings(max_examples=5)
@given(S=covariances())
def test_h_is_small_and_labels_and_company_do_not_matter(name, S):
    assert_only_the_problem_matters(partial(fit, name), S, TOLERANCE)


@every
@pytest.mark.parametrize(
    "B", [[[0, 0], [1.0, 0]], [[0, 0, 0], [1.5, 0, 0], [0, -1.0, 0]], [[0, 0, 0], [0, 0, 0], [1.0, 0.8, 0]]]
)
def test_two_and_three_nodes(name, B):
    B = np.array(B)
    A = np.linalg.inv(np.eye(len(B)) - B)
    W = fit(name, (A @ A.T)[None], sparsity=1e-3).W[0]
    assert np.allclose(W, B, rtol=0, atol=0.02)


@every
def test_it_recovers_ten_nodes_from_their_exact_covariance(name):
    scms, _ = worlds(10, 5, seed=41)
    fits = fit(name, np.stack([scm.covariance for scm in scms]))
    truth = np.stack([scm.B for scm in scms])
    assert fits.converged.all()
    assert np.median(shd(truth != 0, threshold(fits.W) != 0)) == 0


def test_golem_does_not_see_the_unit_of_measurement():
    scms, rngs = worlds(8, 3, seed=42)
    S = Problems.from_samples(sample_many(scms, rngs, 500)).covariance
    for name in ("golem_ev", "golem_nv"):
        assert agree(fit(name, S).W, fit(name, 1e4 * S).W, S, TOLERANCE)


def test_the_equal_variance_likelihood_beats_least_squares():
    scms, rngs = worlds(20, 24, seed=43)
    S = Problems.from_samples(sample_many(scms, rngs, 1000)).covariance
    truth = np.stack([scm.B for scm in scms]) != 0
    distance = {name: shd(truth, threshold(fit(name, S).W) != 0) for name in ("dagma", "golem_ev")}
    assert np.median(distance["dagma"]) <= 1
    assert np.median(distance["golem_ev"]) == 0
    assert distance["golem_ev"].mean() < distance["dagma"].mean()


@every
def test_singular_covariances_end(name):
    x = np.random.default_rng(44).standard_normal((50, 3))
    twice = np.column_stack([x, x[:, 0]])
    few = np.random.default_rng(45).standard_normal((5, 12))
    for rows in (twice, few):
        fits = load(name).fit(Problems.from_samples(rows), np.random.default_rng())
        assert np.isfinite(fits.W).all()
        assert (fits.h <= 1e-8).all()


def test_the_central_path_falls():
    scms, rngs = worlds(8, 3, seed=46)
    fits = load("dagma", mu=0.5, decrease=0.5).fit(Problems.from_samples(sample_many(scms, rngs, 500)), rngs[0])
    mu = fits.trace["mu"]
    assert np.allclose(mu[:, 0], 0.5 ** np.arange(2, len(mu) + 2))
    assert (fits.iterations > len(mu) / 2).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dagma", {"decrease": 1.0}, "decrease < 1"),
        ("dagma", {"mu": 0.0}, "mu > 0"),
        ("golem_ev", {"penalty": -1.0}, "λ₂ ≥ 0"),
        ("golem_nv", {"sparsity": 0.0}, "above 0"),
        ("golem_nv", {"start_sparsity": 0.0}, "above 0"),
        ("dagma", {"s": 1.5}, "0 < s ≤ 1"),
    ],
)
def test_refuses_options_that_make_no_problem(name, options, message):
    with pytest.raises(InputError, match=message):
        load(name, **options)
