"""Attention read as an SCM: the closed form and its vacuity, and the discovery block's objective with W free."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from causalrec.acyclicity import Exponential, truncated_exponential
from causalrec.discovery import fit_error
from causalrec.errors import InputError
from causalrec.lagrangian import Lagrangian
from causalrec.structure import Problems, threshold_to_dag
from causalrec.structure.attention import AttentionClosed, AttentionFree, implied_scm
from causalrec.structure.registry import load
from synth.graphs import draw_dag
from synth.scm import LinearSCM, draw_scm
from tests.strategies import covariances, generators, linear_scms, softmax_attentions


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def worlds(nodes: int = 8, draws: int = 6, signed: bool = True) -> tuple[Problems, list[LinearSCM]]:
    """Exact covariances of ER2 graphs with equal variances, and the order."""
    made = [np.random.default_rng([7, nodes, draw]) for draw in range(draws)]
    scms = [draw_scm(r, draw_dag("er", r, nodes, 2), signed=signed) for r in made]
    return Problems(np.stack([s.covariance for s in scms]), order=np.stack([s.order for s in scms])), scms


# The correspondence


@pytest.mark.numeric
@given(linear_scms())
def test_an_scm_comes_back_from_its_own_mixing(scm):
    A = scm.mixing * scm.noise_scale
    B, scale = implied_scm(A)
    tolerance = 1e-10 * np.linalg.cond(A)
    np.testing.assert_allclose(B, scm.B, atol=tolerance)
    np.testing.assert_allclose(scale, scm.noise_scale, rtol=tolerance)


@pytest.mark.numeric
@given(softmax_attentions())
def test_attention_comes_back_from_the_scm_it_implies(A):
    before = A.copy()
    B, scale = implied_scm(A)
    assert not B.diagonal().any()
    assert np.abs(np.triu(B)).max() < 1e-12
    np.testing.assert_allclose(np.linalg.solve(np.eye(len(A)) - B, np.diag(scale)), A, atol=1e-10)
    np.testing.assert_allclose(scale, A.diagonal(), rtol=1e-10)
    assert np.array_equal(A, before)


@pytest.mark.numeric
@given(softmax_attentions(causal=False))
def test_full_attention_comes_back_too_though_no_dag_stands_behind_it(A):
    assume(np.linalg.cond(A) < 1e4 and np.abs(np.linalg.inv(A).diagonal()).min() > 1e-2)
    B, scale = implied_scm(A)
    np.testing.assert_allclose(np.linalg.solve(np.eye(len(A)) - B, np.diag(scale)), A, atol=1e-10)


def test_the_correspondence_by_hand():
    """z0 = v0, z1 = z0/2 + v1/2: row 1 of A is (1/2, 1/2)."""
    B, scale = implied_scm([[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_array_equal(B, [[0, 0], [0.5, 0]])
    np.testing.assert_array_equal(scale, [1, 0.5])


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (np.full((3, 3), 1 / 3), "singular to working precision"),
        ([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.2, 0.25, 0.55]], "singular to working precision"),
        ([[1.0, 0.0], [1.0, 1e-13]], None),
        ([[0.0, 1.0], [1.0, 0.0]], r"0 at \[0, 0\]"),
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones((0, 0)), r"shape \(0, 0\)"),
        ([[1.0, np.nan], [0.0, 1.0]], "finite"),
    ],
)
def test_attention_that_implies_no_scm_is_refused(attention, message):
    if message is None:
        assert implied_scm(attention)[0][1, 0] == pytest.approx(1)
        return
    with pytest.raises(InputError, match=message):
        implied_scm(attention)


# Vacuity


@given(softmax_attentions())
def test_equal_noise_leaves_no_softmax_attention_but_the_identity(A):
    """The noise of row i is Λ_ii = 1 − Σ_j B_ij; a root has 1; equal to it everywhere means that nothing is mixed."""
    B, scale = implied_scm(A)
    np.testing.assert_allclose(scale, 1 - B.sum(1), atol=1e-8)
    assert scale[0] == 1
    assert (np.ptp(scale) < 1e-12) == np.allclose(A, np.eye(len(A)), atol=1e-12)


@given(linear_scms(equal_variances=True))
def test_an_scm_of_equal_variances_is_no_softmax_attention_unless_it_is_empty(scm):
    """A = λ(I − B)⁻¹: the row of a root sums to λ, so λ = 1 if every row sums to 1."""
    stochastic = (scm.mixing >= 0).all() and np.allclose(scm.mixing.sum(1), 1)
    assert stochastic == (not scm.B.any())


def test_with_cycles_equal_noise_leaves_other_attentions():
    """So the vacuity rests on B being a DAG."""
    A = 0.6 * np.eye(3) + 0.4 * np.roll(np.eye(3), 1, axis=0)
    B, scale = implied_scm(A)
    assert np.ptp(scale) < 1e-12
    assert np.abs(B).max() > 0.3
    assert (np.linalg.matrix_power(B != 0, 3).diagonal() != 0).all()


@given(softmax_attentions())
def test_variance_is_largest_at_the_rows_that_attend_to_themselves_alone(A):
    variance = np.square(A).sum(1)
    assert variance[0] == 1
    assert (variance <= 1 + 1e-12).all()
    alone = A.diagonal() > 1 - 1e-12
    np.testing.assert_array_equal(variance > 1 - 1e-12, alone)


# The closed form as a learner


def test_the_root_along_the_order_is_the_oracle_and_without_it_is_not():
    problems, scms = worlds()
    truth = np.stack([scm.B for scm in scms])
    fits = AttentionClosed("root", "time").fit(problems, rng())
    np.testing.assert_allclose(fits.W, truth, atol=1e-8)
    assert (fits.h == 0).all()
    symmetric = AttentionClosed("root").fit(problems, rng())
    assert symmetric.converged.all()
    for S, W in zip(problems.covariance, symmetric.W, strict=True):
        np.testing.assert_allclose(W, implied_scm(scipy.linalg.sqrtm(S))[0], atol=1e-8)
    assert np.abs(symmetric.W - truth).max() > 0.3
    assert (symmetric.h > 0.01).all()


@pytest.mark.parametrize("mask", ["full", "time"])
def test_softmax_attention_of_the_tokens_is_inverted(mask):
    problems, _ = worlds(draws=2)
    learner = AttentionClosed(mask=mask, temperature=0.5)
    fits = learner.fit(problems, rng())
    for S, order, W in zip(problems.covariance, problems.order, fits.W, strict=True):
        score = S / np.sqrt(np.outer(S.diagonal(), S.diagonal())) / 0.5
        if mask == "time":
            position = np.argsort(order)
            score[position[:, None] < position[None, :]] = -np.inf
        A = torch.softmax(torch.from_numpy(score), -1).numpy()
        np.testing.assert_allclose(W, implied_scm(A)[0], atol=1e-10)


def test_softmax_attention_does_not_recover_graphs_nor_know_the_direction():
    """Its missing edges are all of them: the SHD is near the number of edges."""
    problems, scms = worlds(10, 12)
    truth = np.stack([scm.graph for scm in scms])
    for mask in ("full", "time"):
        found = threshold_to_dag(load("attention_closed", mask=mask).fit(problems, rng()).W)[0] != 0
        assert (found & truth).sum() < 0.3 * truth.sum()
    W = np.abs(load("attention_closed").fit(problems, rng()).W)
    assert (W[truth] > W.mT[truth]).mean() < 0.6


def test_a_problem_without_a_closed_form_fails_alone():
    S = np.stack([np.eye(3), [[1.0, 1.0, 0.2], [1.0, 1.0, 0.2], [0.2, 0.2, 1.0]], np.eye(3)])
    for mixing, mask in [("softmax", "full"), ("root", "full"), ("root", "time")]:
        fits = AttentionClosed(mixing, mask).fit(Problems(S, order=np.tile(np.arange(3), (3, 1))), rng())
        assert fits.errors[0] == fits.errors[2] == ""
        assert "singular" in fits.errors[1]
        assert fits.converged.tolist() == [True, False, True]
        assert not fits.W[1].any()


@settings(max_examples=20)
@given(S=covariances(2), mixing=st.sampled_from(["softmax", "root"]))
def test_without_an_order_every_effect_is_mutual(S, mixing):
    """A full attention of tokens on themselves is symmetric but for the scale of its rows: no DAG can come of it."""
    W = AttentionClosed(mixing).fit(Problems(S), rng()).W
    mutual = W * W.mT
    assert (mutual > -1e-9).all()
    assert (mutual <= 1 + 1e-9).all()
    np.testing.assert_array_equal(np.abs(W) > 1e-9, np.abs(W.mT) > 1e-9)


# W free


@settings(max_examples=15)
@given(S=covariances(2), generator=generators(), relu=st.booleans())
def test_the_gradient_is_that_of_the_blocks_own_terms(S, generator, relu):
    """L_fit from rows, |W|_1/n and h as `causalrec.discovery` has them, differentiated by autograd."""
    n = S.shape[1]
    learner = AttentionFree("relu" if relu else "signed", sparsity=0.1)
    state = Lagrangian(torch.tensor([0.5, 2.0]), torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0]))
    M = torch.tensor(generator.uniform(-0.6, 0.6, S.shape) * (1 - np.eye(n)), requires_grad=True)
    W = torch.relu(M - learner.delta) if relu else M * 1
    root = torch.linalg.cholesky(torch.from_numpy(S))
    rows = torch.cat([root, -root], -1) * n**0.5  # centred, covariance S over the 2n features
    residual = rows - W @ rows
    fit = 0.5 * residual.square().mean((1, 2))
    loss = fit + 0.1 * W.abs().sum((1, 2)) / n + state.penalty(truncated_exponential(W))
    (expected,) = torch.autograd.grad(loss.sum(), M)
    found = learner._gradient(M.detach(), torch.from_numpy(S), state)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    earlier = fit_error(W.tril(-1), rows, torch.ones(len(S), n, dtype=torch.bool))
    torch.testing.assert_close(0.5 * (rows - W.tril(-1) @ rows).square().mean((1, 2)), earlier)


def test_signed_weights_come_near_notears_and_nonnegative_ones_miss_what_is_negative():
    problems, scms = worlds(6, 3)
    truth = np.stack([scm.B for scm in scms])
    signed, relu = (AttentionFree(sign).fit(problems, rng()).W for sign in ("signed", "relu"))
    assert ((np.abs(signed) >= 0.3) == (truth != 0)).mean() > 0.95
    assert (relu >= 0).all()
    assert ((np.abs(relu) >= 0.3) == (truth != 0)).mean() < 0.9
    assert (signed < 0).any()


def test_along_the_order_there_is_nothing_to_constrain():
    problems, scms = worlds(6, 3, signed=False)
    graphs = np.stack([scm.graph for scm in scms])
    position = np.argsort(problems.order, axis=1)
    for sign in ("relu", "signed"):
        fits = AttentionFree(sign, "time").fit(problems, rng())
        assert not fits.W[position[:, :, None] <= position[:, None, :]].any()
        assert (fits.h == 0).all()
        assert fits.converged.all()
        assert (fits.trace["rho"] == 1).all()
        assert ((np.abs(fits.W) >= 0.3) == graphs).mean() > 0.95


def test_the_trace_follows_each_problem_and_ends_at_its_h():
    problems, _ = worlds(6, 3)
    fits = AttentionFree("signed", steps=50, periods=4).fit(problems, rng())
    assert {name: path.shape for name, path in fits.trace.items()} == dict.fromkeys(("h", "rho", "gamma"), (4, 3))
    np.testing.assert_array_equal(fits.trace["h"][-1], fits.h)
    np.testing.assert_allclose(fits.h, Exponential().value(torch.from_numpy(fits.W)), rtol=1e-12)
    assert (np.diff(fits.trace["gamma"], axis=0) >= 0).all()
    assert fits.iterations.tolist() == [200] * 3
    again = AttentionFree("signed", steps=50, periods=4).fit(problems, rng())
    np.testing.assert_array_equal(again.W, fits.W)


def test_an_effect_that_falls_to_delta_is_not_revived():
    """Two tokens of correlation −0.9: no nonnegative weight helps, both stay exactly 0."""
    fits = AttentionFree(steps=200, periods=2).fit(Problems([[[1.0, -0.9], [-0.9, 1.0]]]), rng())
    assert not fits.W.any()
    assert (fits.h == 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("attention_closed", {"mixing": "cosine"}, "mixing is 'cosine'; choose one of softmax, root"),
        ("attention_closed", {"mask": "causal"}, "mask is 'causal'; choose one of full, time"),
        ("attention_closed", {"temperature": 0.0}, "temperature is 0.0"),
        ("attention_free", {"sign": "positive"}, "sign is 'positive'; choose one of relu, signed"),
        ("attention_free", {"mask": "past"}, "mask is 'past'"),
        ("attention_free", {"delta": -0.1}, "delta"),
        ("attention_free", {"steps": 0}, "steps"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        load(name, **options)


@pytest.mark.parametrize("name", ["attention_closed", "attention_free"])
def test_the_time_mask_needs_an_order(name):
    with pytest.raises(InputError, match="mask time needs an order"):
        load(name, mask="time").fit(Problems(np.eye(2)[None]), rng())
