from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.structure import Problems, threshold
from causalrec.structure.colide import Concomitant
from causalrec.structure.registry import load
from synth.graphs import draw_dag
from synth.scm import draw_scm, sample_many
from synth.scoring import shd
from tests.closeness import agree, assert_only_the_problem_matters
from tests.strategies import digraphs, weighted

pytestmark = pytest.mark.numeric

TOLERANCE = 1e-8  # of h
every = pytest.mark.parametrize("name", ["colide_ev", "colide_nv"])
both = pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])


def fit(name: str, S: np.ndarray, **options):
    return load(name, **options).fit(Problems(S), np.random.default_rng())


def worlds(nodes: int, count: int, seed: int, **options):
    rngs = [np.random.default_rng([seed, i]) for i in range(count)]
    scms = [draw_scm(rng, draw_dag("er", rng, nodes, 2), **options) for rng in rngs]
    S = Problems.from_samples(sample_many(scms, rngs, 1000)).covariance
    return np.stack([scm.graph for scm in scms]), S


def sample_covariance(seed: int, nodes: int = 4) -> torch.Tensor:
    X = np.random.default_rng(seed).standard_normal((30, nodes))
    return torch.from_numpy(X.T @ X / 30)


def published(W: torch.Tensor, S: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The score of the paper at deviations sigma (n,), all the same for the equal-variance score."""
    A = torch.eye(len(W), dtype=W.dtype) - W
    return torch.trace(torch.diag(1 / sigma) @ A @ S @ A.T) / 2 + sigma.sum() / 2


def deviations(W: torch.Tensor, S: torch.Tensor, equal: bool) -> torch.Tensor:
    A = torch.eye(len(W), dtype=W.dtype) - W
    v = (A @ S @ A.T).diagonal()
    return (v.mean().expand_as(v) if equal else v).sqrt()


@both
@pytest.mark.parametrize("least", [1e-3, 10.0])  # 10: every σ is at its bound
@settings(max_examples=20)
@given(W=weighted(digraphs(nodes=4)), seed=st.integers(0, 999))
def test_the_loss_is_the_published_score_at_its_best_deviations(equal, least, W, seed):
    S = sample_covariance(seed)
    V = (0.3 * W).requires_grad_()
    before = S.diagonal().mean().expand(4) if equal else S.diagonal()
    sigma = torch.maximum(deviations(V, S, equal), least * before.sqrt())
    expected = published(V, S, sigma)
    expected.backward()
    loss = Concomitant(equal, least)
    W, S = V.detach()[None], S[None]
    gradient, hessian = loss.derivatives(W, S)
    rows = hessian.dense()
    assert torch.allclose(loss.value(W, S)[0], expected.detach(), rtol=1e-10)
    assert torch.allclose(gradient[0], V.grad, rtol=1e-8, atol=1e-8)
    assert rows.shape == (1, 4, 4, 4)
    assert (torch.linalg.eigvalsh(rows) > 0).all()
    for factor in (0.9, 1.1):
        other = torch.maximum(factor * sigma.detach(), least * before.sqrt())
        assert published(W[0], S[0], other) >= loss.value(W, S)[0] * (1 - 1e-12)


@both
@settings(max_examples=20)
@given(W=weighted(digraphs(nodes=4)), seed=st.integers(0, 999))
def test_its_quadratic_bounds_it_from_above(equal, W, seed):
    loss, S = Concomitant(equal, 1e-3), sample_covariance(seed)[None]
    W, step = 0.3 * W[None], torch.from_numpy(np.random.default_rng(seed).standard_normal((1, 4, 4)))
    gradient, hessian = loss.derivatives(W, S)
    rows = hessian.dense()
    bound = loss.value(W, S) + (gradient * step).sum() + 0.5 * torch.einsum("mij,mijk,mik->", step, rows, step)
    assert loss.value(W + step, S) <= bound * (1 + 1e-12)


@settings(max_examples=20)
@given(W=weighted(digraphs(nodes=4)), seed=st.integers(0, 999))
def test_unequal_is_at_most_equal_and_the_same_where_residuals_are_equal(W, seed):
    S, W = sample_covariance(seed), 0.3 * W
    equal, unequal = (Concomitant(flag, 1e-9) for flag in (True, False))
    assert unequal.value(W[None], S[None]) <= equal.value(W[None], S[None]) * (1 + 1e-12)
    A = torch.linalg.inv(torch.eye(4, dtype=W.dtype) - 0.1 * W)
    same = (3 * A @ A.T)[None]
    assert torch.allclose(unequal.value(0.1 * W[None], same), equal.value(0.1 * W[None], same), rtol=1e-10)


@every
def test_a_common_factor_is_one_of_lambda_and_mu(name):
    _, S = worlds(5, 3, seed=51, profile="random", ratio=4.0)
    assert agree(fit(name, S).W, fit(name, 1e4 * S, sparsity=5.0, mu=0.01).W, S, TOLERANCE)
    assert not agree(fit(name, S).W, fit(name, 1e4 * S).W, S, TOLERANCE)


@every
def test_h_is_small_and_labels_and_company_do_not_matter(name):
    _, S = worlds(7, 3, seed=52, profile="random", ratio=4.0)
    assert fit(name, S).converged.all()
    assert_only_the_problem_matters(partial(fit, name), S, TOLERANCE)


@every
@pytest.mark.parametrize(
    "B", [[[0, 0], [1.0, 0]], [[0, 0, 0], [1.5, 0, 0], [0, -1.0, 0]], [[0, 0, 0], [0, 0, 0], [1.0, 0.8, 0]]]
)
def test_two_and_three_nodes(name, B):
    B = np.array(B)
    A = np.linalg.inv(np.eye(len(B)) - B)
    assert np.allclose(fit(name, (A @ A.T)[None], sparsity=1e-3).W[0], B, rtol=0, atol=0.02)


def test_twenty_nodes_from_samples():
    truth, S = worlds(20, 8, seed=53)
    distance = {name: np.median(shd(truth, threshold(fit(name, S).W) != 0)) for name in ("colide_ev", "colide_nv")}
    assert distance["colide_ev"] <= 1
    assert distance["colide_nv"] <= 6


@every
def test_singular_covariances_end(name):
    x = np.random.default_rng(54).standard_normal((50, 3))
    twice = np.column_stack([x, x[:, 0]])
    few = np.random.default_rng(55).standard_normal((5, 12))
    for rows in (twice, few):
        fits = load(name).fit(Problems.from_samples(rows), np.random.default_rng())
        assert np.isfinite(fits.W).all()
        assert (fits.h <= TOLERANCE).all()


@every
@pytest.mark.parametrize("options", [{"decrease": 1.0}, {"mu": 0.0}, {"mu": np.inf}, {"least": 0.0}, {"least": np.nan}])
def test_refuses_options_that_make_no_problem(name, options):
    with pytest.raises(InputError, match=f"{next(iter(options))} = "):
        load(name, **options)
