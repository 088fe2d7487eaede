"""The chunked cross-entropy against PyTorch's."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from causalrec.losses import CHUNKS, linear_cross_entropy

pytestmark = pytest.mark.numeric

CHUNK = CHUNKS["cpu"]


ROWS = st.sampled_from([1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 3])


@given(ROWS, st.integers(1, 30), st.sampled_from([1, 30]), st.integers(0, 2**31))
def test_chunks_give_the_loss_and_gradients_of_cross_entropy(rows, items, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(rows, 4, dtype=torch.float64, generator=generator) * scale).requires_grad_()
    item = torch.randn(items, 4, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randint(items, (rows,), generator=generator)
    ours = linear_cross_entropy(x, item, target) * 3
    theirs = functional.cross_entropy(x @ item.T, target) * 3
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for a, b in zip(torch.autograd.grad(ours, [x, item]), torch.autograd.grad(theirs, [x, item]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14 * scale**2)


def test_large_logits_do_not_overflow():
    x, item = torch.full((2, 1), 1e3), torch.tensor([[1.0], [2.0]])
    assert torch.isfinite(linear_cross_entropy(x, item, torch.tensor([0, 1])))


def test_the_gradient_is_the_slope_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    x, item = (torch.randn(rows, 3, dtype=torch.float64, generator=generator).requires_grad_() for rows in (6, 5))
    target = torch.randint(5, (6,), generator=generator)
    assert torch.autograd.gradcheck(lambda a, b: linear_cross_entropy(a, b, target), (x, item))


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_bfloat16_products_stay_close_to_float32(scale):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(CHUNK + 9, 16, generator=generator) * scale).requires_grad_()
    item = (torch.randn(40, 16, generator=generator) * 0.25).requires_grad_()
    target = torch.randint(40, (len(x),), generator=generator)
    results = []
    for products in (None, torch.bfloat16):
        loss = linear_cross_entropy(x, item, target, products)
        assert loss.dtype == torch.float32
        results.append((loss.detach(), *torch.autograd.grad(loss, [x, item])))
    for exact, close in zip(*results, strict=True):
        assert 0 < (close - exact).norm() < 0.02 * exact.norm()


def test_an_overwhelming_item_makes_no_denormal_weights():
    """A softmax far below e^-40 is cut off at it; left as a denormal it would slow the products 60 times."""
    x, item = torch.full((1, 1), 90.0), torch.tensor([[1.0], [0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(linear_cross_entropy(x, item, torch.tensor([0])), item)
    assert float(gradient[1, 0]) == pytest.approx(90 * math.exp(-40), rel=1e-5)
