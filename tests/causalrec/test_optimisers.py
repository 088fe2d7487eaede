"""The learning rate in the course of training, and Muon against its definition and against PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.optimisers import Group, Muon, clip, make_optimisers, orthogonal, rate
from causalrec.training import take_step


def test_the_schedule_by_hand():
    shares = (0.005, 0.01, 0.02, 0.3, 0.5, 0.75, 0.9, 1.0)
    assert [rate(share, "decay") for share in shares] == pytest.approx([0.25, 0.5, 1, 1, 1, 0.5, 0.2, 0])
    assert {rate(share, "constant") for share in shares} == {1.0}


@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_the_rate_never_rises_after_its_warm_up(one, other):
    early, late = sorted((one, other))
    assert 0 <= rate(late, "decay") <= 1
    assert early < 0.02 or rate(late, "decay") <= rate(early, "decay")


SHAPES = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6))


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(-1, 1, width=16))))
def test_orthogonal_keeps_the_singular_vectors_and_brings_large_singular_values_near_one(matrices):
    found = orthogonal(torch.from_numpy(matrices))
    u, s, v = torch.linalg.svd(torch.from_numpy(matrices), full_matrices=False)
    inside = u.mT @ found @ v.mT
    largest = s[:, :1].clamp(min=1e-3)
    for each, size in zip(inside, s / largest, strict=True):
        strong = size > 0.3
        diagonal = each.diagonal()[strong]
        assert ((diagonal > 0.6) & (diagonal < 1.3)).all() or not strong[0] or s.amax() < 1e-2
    assert found.shape == matrices.shape


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5)])
def test_muon_steps_as_pytorch_does(shape):
    """PyTorch works in bfloat16, so that a step agrees to about a hundredth."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    one = Muon([ours], lr=0.1, weight_decay=0.05)
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        gradient = torch.randn(shape, generator=generator)
        ours.grad, theirs.grad = gradient, gradient.clone()
        one.step()
        other.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved
    assert moved > 0.1


def test_matrices_of_one_shape_are_moved_as_each_would_be_alone():
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(4, 6, generator=generator) for _ in range(3)]
    gradients = [torch.randn(4, 6, generator=generator) for _ in range(3)]

    def moved(places):
        parameters = [torch.nn.Parameter(starts[place].clone()) for place in places]
        for parameter, place in zip(parameters, places, strict=True):
            parameter.grad = gradients[place]
        Muon(parameters, lr=0.1).step()
        return [parameter.detach() for parameter in parameters]

    for place, together in enumerate(moved([0, 1, 2])):
        torch.testing.assert_close(moved([place])[0], together, rtol=1e-5, atol=1e-6)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3), min_size=1, max_size=3), st.floats(0.1, 10))
def test_each_group_is_clipped_apart(gradients, largest):
    parameters = [torch.nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    assert clip([Group([parameter]) for parameter in parameters], largest)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        before = np.array(gradient)
        after = before * min(1.0, largest / max(np.linalg.norm(before), 1e-9))
        np.testing.assert_allclose(parameter.grad.numpy(), after, rtol=1e-3, atol=1e-5)


def test_a_gradient_that_is_not_finite_is_told_whatever_its_group():
    good, bad, none = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    good.grad, bad.grad = torch.ones(2), torch.tensor([1.0, torch.inf])
    assert clip([Group([good]), Group([none])], 5.0)
    assert not clip([Group([good]), Group([bad])], 5.0)


def test_each_group_has_its_own_rate():
    slow, fast = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    made = make_optimisers([Group([slow]), Group([fast], 4.0)], [], "adam", 9.0)
    slow.grad, fast.grad = torch.ones(1), torch.ones(1)
    take_step(made, 0.1)
    assert (slow.item(), fast.item()) == pytest.approx((-0.1, -0.4))


def test_each_parameter_has_one_optimiser():
    vector, matrix = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.eye(3))
    for kind, expected in (("adam", [[vector, matrix]]), ("muon", [[vector], [matrix]])):
        made = make_optimisers([Group([vector, matrix])], [matrix], kind, 0.1, 0.2)
        held = [[p for group in o.param_groups for p in group["params"]] for o in made]
        assert [[id(p) for p in group] for group in held] == [[id(p) for p in group] for group in expected]
        assert all(group["weight_decay"] == 0.2 for o in made for group in o.param_groups)
