"""The chunked cross-entropy against PyTorch's."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from causalrec.losses import CHUNK, linear_cross_entropy


@given(st.sampled_from([1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 3]), st.integers(1, 30), st.integers(0, 2**31))
def test_chunks_give_the_loss_and_gradients_of_cross_entropy(rows, items, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, dtype=torch.float64, generator=generator).requires_grad_()
    item = torch.randn(items, 4, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randint(items, (rows,), generator=generator)
    ours = linear_cross_entropy(x, item, target) * 3
    theirs = functional.cross_entropy(x @ item.T, target) * 3
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for a, b in zip(torch.autograd.grad(ours, [x, item]), torch.autograd.grad(theirs, [x, item]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)


def test_large_logits_do_not_overflow():
    x, item = torch.full((2, 1), 1e3), torch.tensor([[1.0], [2.0]])
    assert torch.isfinite(linear_cross_entropy(x, item, torch.tensor([0, 1])))
