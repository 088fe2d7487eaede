import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.acyclicity import FORMS, Exponential, LogDeterminant, Polynomial, is_acyclic, truncated_exponential
from causalrec.errors import InputError
from synth.graphs import is_dag
from tests.strategies import dags, digraphs, weighted

pytestmark = pytest.mark.numeric

EXACT_ZERO = [Exponential(), Polynomial()]
any_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def cycle(length: int, weight: float) -> torch.Tensor:
    return torch.roll(torch.eye(length, dtype=torch.float64), 1, 0) * weight


def within_domain(W: torch.Tensor) -> torch.Tensor:
    """W scaled so that the spectral radius of W∘W is at most 1/2, where all three forms are defined."""
    radius = torch.linalg.eigvals(W * W).abs().max()
    return W / (2 * radius).sqrt() if radius > 0.5 else W


def test_h_is_zero_exactly_on_dags_for_every_support_of_three_nodes():
    supports = np.array(list(product([False, True], repeat=9))).reshape(-1, 3, 3)
    acyclic = np.array([is_dag(support) for support in supports])
    W = torch.from_numpy(0.4 * supports)
    assert acyclic.sum() == 25
    for form in EXACT_ZERO:
        assert np.array_equal((form.value(W) == 0).numpy(), acyclic)
    assert np.array_equal((LogDeterminant().value(W).abs() < 1e-15).numpy(), acyclic)
    assert np.array_equal(is_acyclic(W).numpy(), acyclic)


@given(weighted(digraphs()))
def test_h_is_zero_exactly_on_dags(W):
    acyclic = bool(is_dag(W.numpy() != 0))
    assert bool(is_acyclic(W)) == acyclic
    for form in EXACT_ZERO:
        assert bool(form.value(W) == 0) == acyclic
        assert form.value(W) >= 0


@given(weighted(dags(), largest=30.0))
def test_a_dag_has_h_and_gradient_zero(W):
    assert is_acyclic(W)
    for form in EXACT_ZERO:
        h, gradient = form.value_and_gradient(W)
        assert h == 0
        assert not gradient.any()
    h, gradient = LogDeterminant().value_and_gradient(W / 20)
    assert h.abs() < 1e-12
    assert gradient.abs().max() < 1e-12


@any_form
@given(W=weighted(digraphs()), data=st.data())
def test_h_ignores_labels_direction_and_signs(form, W, data):
    W = within_domain(W)
    p = torch.tensor(data.draw(st.permutations(range(len(W)))))
    signs = torch.tensor(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=len(W), max_size=len(W))))
    h = form.value(W)
    for other in (W[p][:, p], W.T, W * signs):
        assert math.isclose(form.value(other), h, rel_tol=1e-12, abs_tol=1e-12)


@given(weighted(digraphs()))
def test_exponential_is_the_matrix_exponential(W):
    E = torch.matrix_exp(W * W)
    h, gradient = Exponential().value_and_gradient(W)
    assert math.isclose(h, E.trace() - len(W), rel_tol=1e-10, abs_tol=1e-12)
    assert torch.allclose(gradient, 2 * W * E.T, rtol=1e-10, atol=1e-12)


@any_form
@given(W=weighted(digraphs()))
def test_gradients_are_those_of_finite_differences(form, W):
    W = within_domain(W)
    h, gradient = form.value_and_gradient(W)
    assert torch.equal(h, form.value(W))
    nudges = 1e-5 * torch.eye(W.numel(), dtype=W.dtype).view(-1, *W.shape)
    differences = (form.value(W + nudges) - form.value(W - nudges)) / 2e-5
    assert torch.allclose(gradient.flatten(), differences, rtol=1e-6, atol=1e-7)


@given(st.integers(2, 8), st.floats(0.01, 1.5))
def test_a_cycle_cannot_hide(length, weight):
    W = cycle(length, weight)
    least = weight ** (2 * length) / math.factorial(length - 1)
    assert Exponential().value(W) >= least * (1 - 1e-12)
    assert LogDeterminant().value(W) >= least * (1 - 1e-12) - 1e-15
    assert not is_acyclic(W)


@pytest.mark.parametrize("weight", [0.001, 0.03, 0.5, 1.5])
def test_two_cycle_by_hand(weight):
    W, a = cycle(2, weight), weight**2
    assert math.isclose(Exponential().value(W), 4 * math.sinh(a / 2) ** 2, rel_tol=1e-12)
    assert math.isclose(Polynomial().value(W), a * a / 2, rel_tol=1e-12)
    assert math.isclose(truncated_exponential(W.float()), 4 * math.sinh(a / 2) ** 2, rel_tol=1e-5)
    expected = -math.log1p(-a * a) if a < 1 else math.inf
    assert math.isclose(LogDeterminant().value(W), expected, rel_tol=1e-12, abs_tol=1e-15)


def test_log_determinant_leaves_its_domain_openly():
    W = torch.stack([cycle(2, 1.1), cycle(2, 0.5)])
    h, gradient = LogDeterminant().value_and_gradient(W)
    assert h[0] == math.inf
    assert gradient[0].isnan().all()
    assert h[1] < 0.1
    assert gradient[1].isfinite().all()
    assert LogDeterminant(s=2.0).value(W).isfinite().all()
    # The edge itself, where the inverse is infinite, is outside; so is nothing of what stands beside it in a batch.
    edge = torch.stack([cycle(2, 1.0), cycle(2, 1.0) * 0])
    h, gradient = LogDeterminant().value_and_gradient(edge)
    assert h.tolist() == LogDeterminant().value(edge).tolist() == [math.inf, 0.0]
    assert gradient[0].isnan().all()
    assert not gradient[1].any()
    # A determinant above 0 does not make an M-matrix: two such cycles have one of (1 - 1.1⁴)².
    assert LogDeterminant().value(torch.block_diag(cycle(2, 1.1), cycle(2, 1.1))) == math.inf
    with pytest.raises(InputError, match="finite s > 0"):
        LogDeterminant(s=0.0)


def determinant_and_inverse(M: list[list[Fraction]]) -> tuple[Fraction, torch.Tensor]:
    """In exact arithmetic, by Gauss–Jordan elimination without pivoting."""
    n, determinant = len(M), Fraction(1)
    rows = [[*M[i], *(Fraction(int(i == j)) for j in range(n))] for i in range(n)]
    for k in range(n):
        determinant *= rows[k][k]
        rows[k] = [entry / rows[k][k] for entry in rows[k]]
        for i in set(range(n)) - {k}:
            rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return determinant, torch.tensor([[float(entry) for entry in row[n:]] for row in rows], dtype=torch.float64)


@pytest.mark.parametrize("s", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("gap", [1e-1, 1e-4, 1e-8])
def test_log_determinant_is_that_of_exact_arithmetic_up_to_the_edge_of_its_domain(s, gap):
    W = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    W *= ((1 - gap) * s / torch.linalg.eigvals(W * W).abs().max()).sqrt()
    P = [[Fraction(w) ** 2 for w in row] for row in W.tolist()]
    M = [[Fraction(s) * (i == j) - P[i][j] for j in range(6)] for i in range(6)]
    determinant, inverse = determinant_and_inverse(M)
    h, gradient = LogDeterminant(s).value_and_gradient(W)
    # The inverse has a condition number of about 1/gap, h the logarithm of it.
    assert math.isclose(h, 6 * math.log(s) - math.log(determinant), rel_tol=1e-14 / gap)
    assert torch.allclose(gradient, 2 * W * inverse.T, rtol=1e-13 / gap, atol=0)
    outside = W * math.sqrt((1 + gap) / (1 - gap))
    assert LogDeterminant(s).value(outside) == LogDeterminant(s).value_and_gradient(outside)[0] == math.inf


@pytest.mark.parametrize("nodes", [3, 10, 20, 50])
def test_log_determinant_of_a_problem_does_not_depend_on_its_batch(nodes):
    batch = torch.rand(20, nodes, nodes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch /= 2 * nodes**0.5
    h, gradient = LogDeterminant(0.7).value_and_gradient(batch)
    assert h.isfinite().all()
    # LU is backward stable to nε: log det and the inverse change by no more than that times the condition number.
    rounding = nodes * 2.0**-50 * torch.linalg.cond(0.7 * torch.eye(nodes) - batch.square())
    slack = rounding[:, None, None] * gradient.abs().amax((1, 2), keepdim=True)
    for part in (slice(0, 1), slice(3, 5), slice(11, 20)):
        one_h, one_gradient = LogDeterminant(0.7).value_and_gradient(batch[part])
        assert ((one_h - h[part]).abs() <= rounding[part]).all()
        assert ((one_gradient - gradient[part]).abs() <= slack[part]).all()
        assert ((LogDeterminant(0.7).value(batch[part]) - h[part]).abs() <= rounding[part]).all()


@given(weighted(digraphs()), st.floats(1e-3, 1.0))
def test_float32_series_agrees_with_float64(W, scale):
    W32 = (W * scale).float().requires_grad_()
    h, gradient = Exponential().value_and_gradient(W32.detach().double())
    series = truncated_exponential(W32)
    series.backward()
    series = series.detach()
    assert series.dtype == torch.float32
    assert math.isclose(series, h, rel_tol=1e-5)
    assert torch.allclose(W32.grad.double(), gradient, rtol=1e-5, atol=0)


def test_float32_series_on_a_recommender_batch():
    W = torch.rand(16, 50, 50, generator=torch.Generator().manual_seed(0))
    W = W * (W > 0.6) * 0.5 * (1 - torch.eye(50))
    assert torch.allclose(truncated_exponential(W).double(), Exponential().value(W.double()), rtol=1e-5, atol=0)


@any_form
@given(W=weighted(digraphs(nodes=5)))
def test_a_batch_gives_what_each_gives_and_leaves_w_alone(form, W):
    batch = torch.stack([within_domain(W), 0.1 * W, torch.zeros_like(W)]).view(3, 1, 5, 5)
    before = batch.clone()
    h, gradient = form.value_and_gradient(batch)
    assert h.shape == (3, 1)
    assert gradient.shape == batch.shape
    for i in range(3):
        one_h, one_gradient = form.value_and_gradient(batch[i, 0])
        assert torch.allclose(one_h, h[i, 0], rtol=1e-10, atol=1e-14)
        assert torch.allclose(one_gradient, gradient[i, 0], rtol=1e-10, atol=1e-14)
    assert torch.equal(batch, before)


@any_form
def test_one_node_and_self_loops(form):
    assert form.value(torch.zeros(1, 1, dtype=torch.float64)) == 0
    assert form.value(torch.full((1, 1), 0.5, dtype=torch.float64)) > 0
    assert is_acyclic(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    assert not is_acyclic(torch.tensor([[0.5]]))


@any_form
def test_gradient_of_a_self_loop_by_hand(form):
    h, gradient = form.value_and_gradient(torch.full((1, 1), 0.5, dtype=torch.float64))
    a = 0.25
    expected = {
        "Exponential": (math.expm1(a), math.exp(a)),
        "LogDeterminant": (-math.log1p(-a), 1 / (1 - a)),
        "Polynomial": (a, 1.0),
    }[type(form).__name__]
    assert (h.item(), gradient.item()) == pytest.approx(expected, rel=1e-12)


@any_form
def test_of_no_matrix_there_is_no_h(form):
    W = torch.zeros(0, 3, 3, dtype=torch.float64)
    h, gradient = form.value_and_gradient(W)
    assert form.value(W).shape == h.shape == is_acyclic(W).shape == truncated_exponential(W).shape == (0,)
    assert gradient.shape == (0, 3, 3)
    assert is_acyclic(torch.zeros(2, 0, 3, 3)).shape == (2, 0)


@any_form
@given(weighted(digraphs(nodes=4)), st.integers(0, 3), st.integers(0, 3))
def test_what_is_not_a_number_never_passes_for_a_dag(form, W, effect, cause):
    W[effect, cause] = W[cause, effect] = math.nan
    assert not form.value(W).isfinite()
    assert not form.value_and_gradient(W)[0].isfinite()
    assert not truncated_exponential(W.float()).isfinite()
    assert not is_acyclic(W)


@any_form
@given(weighted(digraphs()), st.floats(0.1, 0.9))
def test_h_grows_with_every_weight(form, W, factor):
    W = within_domain(W)
    h, gradient = form.value_and_gradient(W)
    assert form.value(W * factor) <= h + 1e-12
    assert (gradient * W >= -1e-12).all()


@given(weighted(digraphs()))
def test_a_cycle_anywhere_is_a_cycle_of_the_whole(W):
    """h of blocks is the sum of theirs; an edge from one to the other closes no cycle and adds nothing."""
    whole = torch.block_diag(W, W)
    whole[len(W), 0] = 0.7
    assert is_acyclic(whole) == is_acyclic(W)
    assert math.isclose(Exponential().value(whole), 2 * Exponential().value(W), rel_tol=1e-9, abs_tol=1e-14)


@pytest.mark.parametrize("s", [-1.0, math.inf, math.nan])
def test_an_s_without_meaning_is_refused(s):
    with pytest.raises(InputError, match=f"^LogDeterminant got s = {s}; give a finite s > 0"):
        LogDeterminant(s)


def test_what_is_refused_is_named():
    for refuse in (is_acyclic, truncated_exponential, Exponential().value):
        for shape in ((0, 0), (2, 3), (3,), (3, 2, 3)):
            with pytest.raises(InputError, match=rf"^W has shape \({shape[0]}.*; give square matrices"):
                refuse(torch.zeros(shape))
    with pytest.raises(InputError, match=r"^W is torch\.int32; give float64"):
        truncated_exponential(torch.zeros(2, 2).int())


@pytest.mark.parametrize("W", [torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3), torch.zeros(2, 2).int()])
@any_form
def test_refuses_what_is_not_square_or_not_float(form, W):
    with pytest.raises(InputError, match=r"give square matrices|give float64"):
        form.value(W)


@pytest.mark.parametrize("weight", [30.0, 1e10, 1e100, 1e154])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_cycle_beyond_the_range_of_the_exponential_is_not_finite(weight, dtype):
    largest = weight if dtype is torch.float64 else min(weight, 1e18)
    W = torch.tensor([[0.0, largest], [largest, 0.0]], dtype=dtype)
    assert not Exponential().value(W).isfinite()
    assert not truncated_exponential(W).isfinite()


@given(st.integers(0, 2**32), st.sampled_from([torch.float64, torch.float32]))
def test_the_exponential_of_a_matrix_has_the_same_bits_alone_and_in_a_batch(seed, dtype):
    """However unlike their norms are, and so the squarings they want. At 5 nodes torch multiplies without a BLAS, whose
    sums might depend on the size of the batch."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.tensor([1e-6, 0.05, 0.7, 3.0, 0.0, 1.5], dtype=dtype)[:, None, None]
    W = scales * torch.rand(6, 5, 5, dtype=dtype, generator=generator)
    h, gradient = Exponential().value_and_gradient(W)
    for k in range(6):
        alone, slope = Exponential().value_and_gradient(W[k])
        assert torch.equal(h[k], alone)
        assert torch.equal(gradient[k], slope)


def test_h_of_a_large_batch_is_that_of_each_matrix():
    W = torch.randn(7, 200, 200, generator=torch.Generator().manual_seed(0)) * 0.02
    W[3] *= 20  # one that needs squarings among others that do not
    h = truncated_exponential(W.requires_grad_())
    alone = [truncated_exponential(one) for one in W]
    torch.testing.assert_close(h, torch.stack(alone), rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(h.sum(), W)
    expected = torch.cat([torch.autograd.grad(one, W, retain_graph=True)[0][[k]] for k, one in enumerate(alone)])
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
