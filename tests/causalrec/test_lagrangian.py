import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.lagrangian import Lagrangian

residuals = st.lists(st.floats(0, 10), min_size=1, max_size=12)
batches = st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=1, max_size=12)


def test_the_rule_by_hand():
    state = Lagrangian(cap=50)
    seen = []
    for h in (0.4, 0.3, 0.05, 0.04, 0.03, 1e-8, 1e-9):
        state = state.update(h)
        seen.append((round(state.gamma, 10), state.rho, state.h_previous))
    assert seen == [
        (0.4, 1, 0.4),  # the first h has nothing to compare with: ρ stays
        (0.7, 10, 0.3),  # 0.3 > 0.4/4
        (1.2, 10, 0.05),  # 0.05 < 0.3/4
        (1.6, 50, 0.04),  # capped
        (3.1, 50, 0.03),
        (3.1, 50, 0.03),  # at the tolerance: frozen
        (3.1, 50, 0.03),
    ]


def test_penalty_and_its_slope():
    state = Lagrangian(gamma=2.0, rho=3.0)
    h = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    penalty = state.penalty(h)
    penalty.backward()
    assert penalty == 2 * 0.5 + 1.5 * 0.25
    assert h.grad == state.slope(0.5) == 3.5
    assert state.penalty(0.5) == 1.375


@given(batches)
def test_a_batch_follows_the_rule_of_each(rows):
    batch = Lagrangian()
    singles = [Lagrangian()] * 3
    for h in rows:
        batch = batch.update(torch.tensor(h, dtype=torch.float64))
        singles = [single.update(value) for single, value in zip(singles, h, strict=True)]
    for i, single in enumerate(singles):
        assert (single.gamma, single.rho, single.h_previous) == (batch.gamma[i], batch.rho[i], batch.h_previous[i])
        picked = batch.take(torch.tensor([i]))
        assert (picked.gamma, picked.rho) == (single.gamma, single.rho)


@given(residuals)
def test_rho_grows_within_its_cap_and_gamma_never_falls(rows):
    state = Lagrangian(cap=1e3)
    for h in rows:
        after = state.update(h)
        assert state.rho <= after.rho <= 1e3
        assert after.gamma >= state.gamma
        assert (after == state) if h <= state.tolerance else (after.h_previous == h)
        state = after


@pytest.mark.parametrize("h", [math.nan, math.inf, -0.1, torch.tensor([0.1, math.nan])])
def test_refuses_a_residual_that_is_not_finite_or_negative(h):
    with pytest.raises(InputError, match="finite h"):
        Lagrangian().update(h)


def test_refuses_foreign_settings():
    with pytest.raises(InputError, match="growth"):
        Lagrangian(growth=0.5)
