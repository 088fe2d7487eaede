import numpy as np
import pytest

from causalrec.structure import Problems
from causalrec.structure.registry import load
from tests.closeness import agree, rounding

pytestmark = pytest.mark.numeric

H = 1e-8  # where the learners that have h in their equations stop


def near_copies(gap: float) -> np.ndarray:
    """The covariance of X, a copy of X with noise of variance `gap`, and their sum with noise 1: κ is about 10/gap."""
    A = np.array([[1.0, 0, 0], [1, np.sqrt(gap), 0], [2, np.sqrt(gap), 1]])
    return (A @ A.T)[None]


def regressions(S: np.ndarray, order: list[int]) -> np.ndarray:
    """Each variable on those before it, of columns solved in the given order."""
    W = np.zeros_like(S)
    for i in range(1, S.shape[1]):
        before = [j for j in order if j < i]
        W[0, i, before] = np.linalg.solve(S[0][np.ix_(before, before)], S[0][before, i])
    return W


@pytest.mark.parametrize("gap", [1.0, 1e-2, 1e-4, 1e-6])
def test_the_bound_holds_for_rounding_and_grows_with_the_condition_number(gap):
    S = near_copies(gap)
    W, again = regressions(S, [0, 1, 2]), regressions(S, [2, 1, 0])
    assert agree(W, again, S)
    assert agree(W, W, S)
    assert rounding(S, W).item() == pytest.approx(rounding(np.eye(3)[None], W).item() * np.linalg.cond(S)[0])


@pytest.mark.parametrize("gap", [1.0, 1e-2, 1e-4, 1e-6])
def test_a_wrong_w_is_outside_however_ill_conditioned_the_problem_is(gap):
    S = near_copies(gap)
    W = regressions(S, [0, 1, 2])
    for wrong in (W.swapaxes(1, 2), np.zeros_like(W), W + 1e-4 * np.tril(np.ones((3, 3)), -1)):
        assert not agree(W, wrong, S)
    assert not agree(W, regressions(S * (1 + 1e-3 * np.eye(3)), [0, 1, 2]), S)  # a ridge that nobody asked for
    assert not agree(W, np.full_like(W, np.nan), S)


def test_another_problem_of_the_batch_and_another_sparsity_are_outside_also_where_h_is_weighted():
    X = np.random.default_rng(0).standard_normal((3, 60, 4)) @ np.tril(np.ones((4, 4)))
    problems = Problems.from_samples(X)
    S, learn = problems.covariance, lambda **options: load("dagma", **options).fit(problems, np.random.default_rng()).W
    assert agree(learn(), learn(), S, H)
    assert not agree(learn(), np.roll(learn(), 1, axis=0), S, H)
    assert not agree(learn(), learn(sparsity=0.02 + 1e-4), S, H)


def test_problems_too_ill_conditioned_for_a_promise_are_refused():
    for S, tolerance in ((near_copies(1e-12), 1.0), (near_copies(1e-6), 1e-12), (np.ones((1, 3, 3)), 1.0)):
        with pytest.raises(ValueError, match="better conditioned"):
            agree(np.zeros_like(S), np.zeros_like(S), S, tolerance)
