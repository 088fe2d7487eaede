"""Sparse refits along an order, and EqVar from the effects up."""

from itertools import combinations, takewhile

import numpy as np
import pytest
from hypothesis import given, settings

from causalrec.errors import InputError
from causalrec.structure import Problems, threshold
from causalrec.structure.eqvar import bottom_up
from causalrec.structure.registry import load
from causalrec.structure.sparse import refit_along
from synth.graphs import draw_dag, topological_order
from synth.scm import draw_scm
from synth.scoring import shd
from tests.closeness import agree, rounding
from tests.strategies import covariances, dags, generators, linear_scms

pytestmark = pytest.mark.numeric

SPARSE = ["bic", "lasso_bic"]
REFITTING = ["eqvar", "oracle", "r2_sort", "random_order", "variance_sort"]
sparse = pytest.mark.parametrize("refit", SPARSE)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def any_order(S: np.ndarray) -> np.ndarray:
    return np.stack([np.random.default_rng(i).permutation(S.shape[1]) for i in range(len(S))])


def draw_problem(seed: int, family: str, nodes: int, density: float, samples: int) -> tuple[np.ndarray, Problems]:
    draw = np.random.default_rng([nodes, seed])
    scm = draw_scm(draw, draw_dag(family, draw, nodes, density))
    return scm.B, Problems.from_samples(scm.sample(draw, samples), order=scm.order)


def bic(S: np.ndarray, i: int, support: tuple[int, ...], samples: int) -> float:
    A = list(support)
    rss = S[i, i] - S[i, A] @ np.linalg.solve(S[np.ix_(A, A)], S[A, i])
    return samples * np.log(rss) + len(A) * np.log(samples)


@sparse
@pytest.mark.parametrize("samples", [None, 60])
@settings(max_examples=20)
@given(S=covariances())
def test_a_refit_is_least_squares_on_a_set_of_predecessors(refit, samples, S):
    before, order = S.copy(), any_order(S)
    W = refit_along(Problems(S, samples=samples), order, refit)
    bound = rounding(S, W)
    for problem in range(len(S)):
        for place, i in enumerate(order[problem]):
            A = np.flatnonzero(W[problem, i])
            assert set(A) <= set(order[problem, :place])
            expected = np.linalg.solve(S[problem][np.ix_(A, A)], S[problem][A, i])
            assert np.allclose(W[problem, i, A], expected, rtol=0, atol=bound[problem].item())
    assert np.array_equal(S, before)


@given(S=covariances(1))
def test_no_single_entry_or_exit_lowers_the_bic(S):
    order = any_order(S)
    W = refit_along(Problems(S, samples=60), order, "bic")[0]
    for place, i in enumerate(order[0]):
        A = set(np.flatnonzero(W[i]))
        neighbours = [tuple(A ^ {j}) for j in order[0, :place]]
        assert all(bic(S[0], i, B, 60) >= bic(S[0], i, tuple(A), 60) - 1e-8 for B in neighbours)


@pytest.mark.parametrize("samples", [7, 60])
@settings(max_examples=20)
@given(S=covariances(1))
def test_the_lasso_has_the_least_bic_of_its_path(samples, S):
    """Of all supports, in falling penalty up to the first above the limit, that solve the lasso by its subgradient."""
    n = S.shape[1]
    order = any_order(S)
    problems = Problems(S, samples=samples)
    W = refit_along(problems, order, "lasso_bic")[0]
    full = refit_along(problems, order, "least_squares")[0]
    scale = np.sqrt(S[0].diagonal())
    R = S[0] / scale[:, None] / scale
    limit = min(samples - 2, int(samples / np.log(samples)))
    for place, i in enumerate(order[0]):
        before = order[0, :place]
        w = 1 / np.abs(full[i, before] * scale[before] / scale[i]) if samples >= 2 * n else np.ones(place)
        supports = [list(A) for size in range(1, place + 1) for A in combinations(range(place), size)]
        starts = [largest_penalty(R[np.ix_(before, before)], R[before, i], w, A) for A in supports]
        path = [tuple(before[supports[k]]) for k in np.argsort(starts)[::-1] if starts[k] > 0]
        assert len(path) >= min(place, 1)
        allowed = [(), *takewhile(lambda A: len(A) <= limit, path)]
        least = min(bic(S[0], i, A, samples) for A in allowed)
        assert bic(S[0], i, tuple(np.flatnonzero(W[i])), samples) == pytest.approx(least, abs=1e-7)


def test_a_coefficient_that_changes_sign_leaves_the_lasso_on_its_way():
    # 2 = 0 + 1 + noise of variance 0.5 stands for both at first; 3 = 0 + 1.1 · 1 − 0.05 · 2 + noise of variance 0.01.
    B = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1.1, -0.05, 0]])
    A = np.linalg.inv(np.eye(4) - B)
    problems = Problems((A * [1, 1, 0.5, 0.01]) @ A.T[None], samples=7)  # under 2 · 4 samples: the plain lasso
    W = refit_along(problems, np.array([[0, 1, 2, 3]]), "lasso_bic")[0]
    assert W[3] == pytest.approx([0.95, 1.05, 0, 0])


def largest_penalty(G: np.ndarray, c: np.ndarray, w: np.ndarray, A: list[int]) -> float:
    """The upper end of the penalties at which the lasso has support A, whatever its signs; 0 where there are none."""
    out = [j for j in range(len(c)) if j not in A]
    M = np.linalg.inv(G[np.ix_(A, A)])
    ends = [0.0]
    for signs in np.ndindex(*[2] * len(A)):
        z = 2 * np.array(signs) - 1
        b, slope = M @ c[A], M @ (w[A] * z)
        # b z > λ slope z on A and |covariance + λ change| < λ w outside: all linear in λ
        covariance, change = c[out] - G[np.ix_(out, A)] @ b, G[np.ix_(out, A)] @ slope
        rates = np.concatenate([-slope * z, w[out] - change, w[out] + change])
        at_zero = np.concatenate([b * z, -covariance, covariance])
        low = max([0.0, *(-at_zero[rates > 0] / rates[rates > 0])])
        high = min([np.inf, *(at_zero[rates < 0] / -rates[rates < 0])])
        if high > low + 1e-9:
            ends.append(high)
    return max(ends)


@sparse
@given(scm=linear_scms())
def test_the_support_is_the_graphs_on_an_exact_covariance(refit, scm):
    order = topological_order(scm.graph)
    problems = Problems(scm.covariance[None], order=order[None])
    W = load("oracle", refit=refit).fit(problems, rng()).W[0]
    assert np.array_equal(W != 0, scm.graph)
    assert agree(W[None], scm.B[None], scm.covariance[None])


@sparse
@given(scm=linear_scms(equal_variances=True))
def test_with_many_samples_eqvar_recovers_b(refit, scm):
    W = load("eqvar", refit=refit).fit(Problems(scm.covariance[None], samples=10**9), rng()).W[0]
    assert np.array_equal(W != 0, scm.graph)
    assert agree(W[None], scm.B[None], scm.covariance[None])


@given(graph=dags(), generator=generators())
def test_bottom_up_recovers_the_population_where_the_other_criterion_would_not(graph, generator):
    scm = draw_scm(generator, graph)
    fits = load("eqvar", direction="bottom_up").fit(Problems(scm.covariance[None]), rng())
    assert agree(fits.W, scm.B[None], scm.covariance[None])
    place = np.argsort(fits.order[0])
    assert all(place[j] < place[i] for i, j in np.argwhere(scm.B))
    precision = np.linalg.inv(scm.covariance).diagonal()
    sinks = ~graph.any(0)
    assert np.allclose(precision[sinks], 1)
    assert (precision[~sinks] > 1.2).all()


def test_bottom_up_by_hand():
    # X1 = 2 X0, X2 = X1, noise 1: precisions 1 + 4, 1 + 1, 1; without X2, 1 + 4, 1.
    S = np.array([[1.0, 2.0, 2.0], [2.0, 5.0, 5.0], [2.0, 5.0, 6.0]])
    p = np.array([1, 2, 0])
    order, singular = bottom_up(np.stack([S, S[np.ix_(p, p)]]))
    assert order.tolist() == [[0, 1, 2], [2, 0, 1]]
    assert not singular.any()


def test_bottom_up_says_which_problem_is_singular():
    good, bad = rng().standard_normal((2, 50, 3))
    bad[:, 2] = 3 * bad[:, 0]
    problems = Problems.from_samples(np.stack([good, bad]))
    fits = load("eqvar", direction="bottom_up").fit(problems, rng())
    assert fits.converged.tolist() == [True, False]
    assert fits.errors[0] == ""
    assert "singular" in fits.errors[1]
    assert not fits.W[1].any()
    alone = load("eqvar", direction="bottom_up").fit(Problems.from_samples(good), rng())
    assert alone.errors is None
    assert agree(alone.W, fits.W[:1], problems.covariance[:1])


@sparse
@given(S=covariances(1))
def test_labels_do_not_matter(refit, S):
    p = np.arange(S.shape[1])[::-1]
    for direction in ("top_down", "bottom_up"):
        learner = load("eqvar", refit=refit, direction=direction)
        W = learner.fit(Problems(S, samples=60), rng()).W
        relabelled = learner.fit(Problems(S[:, p][:, :, p], samples=60), rng()).W
        assert agree(relabelled[:, p][:, :, p], W, S)


@sparse
@pytest.mark.parametrize("samples", [15, 1000])
def test_a_problem_is_refitted_the_same_alone(refit, samples, monkeypatch):
    problems = [draw_problem(seed, "sf", 12, 4, samples)[1] for seed in range(4)]
    together = Problems(np.concatenate([one.covariance for one in problems]), samples=samples)
    order = np.concatenate([one.order for one in problems])
    W = refit_along(together, order, refit)
    alone = np.concatenate([refit_along(one, one.order, refit) for one in problems])
    assert agree(W, alone, together.covariance)
    monkeypatch.setattr("causalrec.structure.sparse.CHUNK", 60)
    assert agree(refit_along(together, order, refit), W, together.covariance)


@sparse
def test_a_standardised_problem_has_the_same_support(refit):
    _, problem = draw_problem(0, "er", 15, 2, 500)
    scale = np.sqrt(problem.covariance.diagonal(axis1=1, axis2=2))
    standardised = Problems(problem.covariance / scale[:, :, None] / scale[:, None, :], samples=500)
    W = refit_along(problem, problem.order, refit)
    expected = W * scale[:, None, :] / scale[:, :, None]
    assert agree(refit_along(standardised, problem.order, refit), expected, problem.covariance)


@sparse
@pytest.mark.parametrize("name", REFITTING)
def test_every_order_takes_every_refit(name, refit):
    _, problem = draw_problem(1, "er", 10, 2, 300)
    fits = load(name, refit=refit).fit(problem, rng())
    assert np.array_equal(fits.W, refit_along(problem, fits.order, refit))
    assert np.count_nonzero(fits.W) < np.count_nonzero(load(name).fit(problem, rng()).W)


@sparse
@pytest.mark.parametrize("name", REFITTING)
def test_one_node_few_samples_duplicates_and_nearly_singular(name, refit):
    learner = load(name, refit=refit)
    one = learner.fit(Problems(np.ones((2, 1, 1)), samples=9, order=np.zeros((2, 1), dtype=int)), rng())
    assert not one.W.any()
    x, y, e = rng().standard_normal((3, 200))
    columns = {
        "n < d": rng().standard_normal((4, 7)),
        "two samples": rng().standard_normal((2, 3)),
        "duplicate": np.stack([x, x, 2 * x + e, y], axis=1),
        "nearly": np.stack([x, x + 1e-7 * e, x + 1e-5 * y + e, y], axis=1),
    }
    for X in columns.values():
        before = X.copy()
        fits = learner.fit(Problems.from_samples(X, order=np.arange(X.shape[1])), rng())
        assert np.isfinite(fits.W).all()
        assert (fits.W != 0).sum(2).max() <= max(0, len(X) - 2)
        assert np.array_equal(X, before)


@sparse
@pytest.mark.parametrize("samples", [None, 1000])
def test_a_duplicate_explains_nothing_further(refit, samples):
    S = np.array([[[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [2.0, 2.0, 5.0]]])
    W = refit_along(Problems(S, samples=samples), np.array([[0, 1, 2]]), refit)[0]
    assert W[2, 1] == 0
    assert W[2, 0] == pytest.approx(2)


def test_options_that_are_none_are_refused():
    for name in REFITTING:
        with pytest.raises(InputError, match=r"'lasso'; choose one of least_squares, lasso_bic, bic"):
            load(name, refit="lasso")
    with pytest.raises(InputError, match="choose top_down or bottom_up"):
        load("eqvar", direction="sideways")


@sparse
@pytest.mark.parametrize(("family", "density"), [("er", 1), ("er", 2), ("er", 4), ("sf", 4)])
def test_median_shd_is_zero_at_100_nodes(refit, family, density):
    distances = []
    for seed in range(5):
        B, problem = draw_problem(seed, family, 100, density, 1000)
        W = load("eqvar", refit=refit).fit(problem, rng()).W[0]
        distances.append(shd(B != 0, threshold(W) != 0))
    assert np.median(distances) == 0
