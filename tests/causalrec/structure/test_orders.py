"""EqVar, the oracle and the sorts: an order, then least squares."""

import numpy as np
import pytest
from hypothesis import given

from causalrec.errors import InputError
from causalrec.structure import Problems, threshold
from causalrec.structure.registry import load
from causalrec.structure.regression import regress_on_predecessors
from synth.graphs import draw_dag, topological_order
from synth.scm import draw_scm
from synth.scoring import shd
from tests.closeness import agree, rounding
from tests.strategies import covariances, linear_scms

pytestmark = pytest.mark.numeric


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@given(covariances())
def test_regression_is_the_least_squares_of_each_row(S):
    order = np.stack([np.random.default_rng(i).permutation(S.shape[1]) for i in range(len(S))])
    W = regress_on_predecessors(S, order)
    bound = rounding(S, W)
    for problem in range(len(S)):
        for place, i in enumerate(order[problem]):
            before = order[problem, :place]
            expected = np.zeros(S.shape[1])
            expected[before] = np.linalg.solve(S[problem][np.ix_(before, before)], S[problem][before, i])
            assert np.allclose(W[problem, i], expected, rtol=0, atol=bound[problem].item())


def test_a_duplicate_explains_nothing_further():
    x, e = rng().standard_normal((2, 1000))
    problems = Problems.from_samples(np.stack([x, x, 2 * x + e], axis=1), order=np.array([0, 1, 2]))
    W = load("oracle").fit(problems, rng()).W[0]
    assert W[1, 0] == pytest.approx(1)
    assert W[2, 0] == pytest.approx(2, abs=0.1)
    assert W[2, 1] == 0


@given(linear_scms(equal_variances=True))
def test_eqvar_recovers_b_from_the_population(scm):
    fits = load("eqvar").fit(Problems(scm.covariance[None]), rng())
    assert agree(fits.W, scm.B[None], scm.covariance[None])
    place = np.argsort(fits.order[0])
    assert all(place[j] < place[i] for i, j in np.argwhere(scm.B))


@given(linear_scms())
def test_the_oracle_recovers_b_for_any_variances(scm):
    order = topological_order(scm.B != 0)
    W = load("oracle").fit(Problems(scm.covariance[None], order=order[None]), rng()).W
    assert agree(W, scm.B[None], scm.covariance[None])


def test_the_oracle_needs_an_order():
    with pytest.raises(InputError, match="no order"):
        load("oracle").fit(Problems(np.eye(2)[None]), rng())


def test_eqvar_refuses_another_refit():
    with pytest.raises(InputError, match="least_squares"):
        load("eqvar", refit="lasso")


def test_sorts_order_by_what_they_say():
    S = np.array([[[4.0, 1.0, 0.1], [1.0, 1.0, 0.0], [0.1, 0.0, 2.0]]])
    assert load("variance_sort").fit(Problems(S), rng()).order.tolist() == [[1, 2, 0]]
    r2 = 1 - 1 / (S[0].diagonal() * np.linalg.inv(S[0]).diagonal())
    assert load("r2_sort").fit(Problems(S), rng()).order[0].tolist() == np.argsort(r2).tolist()


def test_random_orders_are_uniform_and_the_generators():
    problems = Problems(np.tile(np.eye(3), (6000, 1, 1)))
    orders = load("random_order").fit(problems, np.random.default_rng(1)).order
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert abs(counts - 1000).max() < 150
    assert np.array_equal(orders, load("random_order").fit(problems, np.random.default_rng(1)).order)


def test_eqvar_median_shd_is_zero_on_er2():
    distances = []
    for seed in range(30):
        draw = np.random.default_rng([20, seed])
        scm = draw_scm(draw, draw_dag("er", draw, 20, 2))
        W = load("eqvar").fit(Problems.from_samples(scm.sample(draw, 1000)), draw).W[0]
        distances.append(shd(scm.B != 0, threshold(W) != 0))
    assert np.median(distances) == 0


def test_bottom_up_is_the_order_by_downdates_of_a_linear_kernel():
    X, ridge = rng().standard_normal((30, 6)) @ rng().standard_normal((6, 6)), 2.0
    inverse, left, last_first = np.linalg.inv(X @ X.T + ridge * np.eye(30)), list(range(6)), []
    while left:
        share = {j: X[:, j] @ inverse @ X[:, j] for j in left}
        last = max(left, key=lambda j: share[j] / (1 - share[j]))  # the residual of j on the others, over the ridge
        update = inverse @ X[:, last]
        inverse += np.outer(update, update) / (1 - share[last])
        left.remove(last)
        last_first.append(last)
    S = (X.T @ X + ridge * np.eye(6)) / 30
    assert load("eqvar", direction="bottom_up").fit(Problems(S[None]), rng()).order[0].tolist() == last_first[::-1]
