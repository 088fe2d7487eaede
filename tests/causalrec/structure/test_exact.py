"""The exact search over orders, against brute force, published facts and the conditions of an optimum."""

from functools import cache
from itertools import chain, combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.structure import Problems, exact, threshold, threshold_to_dag
from causalrec.structure.exact import Exact
from causalrec.structure.registry import load
from synth.graphs import draw_dag
from synth.scm import LinearSCM, draw_scm
from tests.closeness import agree, rounding
from tests.strategies import covariances, dags, generators, linear_scms, weighted

SCORES = ("equal", "equal_l1", "unequal")
every_score = pytest.mark.parametrize("score", SCORES)
SPARSITY = 0.05


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def search(score: str) -> Exact:
    return Exact(score, sparsity=SPARSITY)


def score_of(penalised: Exact, problems: Problems, W: np.ndarray) -> np.ndarray:
    """The score (m,) of graphs W (m, n, n) with the weights as they are; every weight other than 0 is an edge."""
    S = problems.covariance
    residual = np.eye(S.shape[1]) - W
    variance = ((residual @ S) * residual).sum(2)
    if penalised.score == "equal":
        return variance.sum(1)
    if penalised.score == "equal_l1":
        return 0.5 * variance.sum(1) + penalised.sparsity * np.abs(W).sum((1, 2))
    likelihood = 0.5 * np.log(np.maximum(variance, exact._rounding(S))).sum(1)
    return likelihood + exact._penalty(problems.samples) * np.count_nonzero(W, axis=(1, 2))


def least_squares(S: np.ndarray, j: int, given: tuple[int, ...]) -> np.ndarray:
    w = np.zeros(len(S))
    w[list(given)] = np.linalg.solve(S[np.ix_(given, given)], S[list(given), j]) if given else ()
    return w


def variance(S: np.ndarray, j: int, w: np.ndarray) -> float:
    return S[j, j] - 2 * w @ S[j] + w @ S @ w


def lasso(S: np.ndarray, j: int, given: tuple[int, ...]) -> np.ndarray:
    """Coordinate descent, one problem and one coordinate at a time."""
    w = np.zeros(len(S))
    for _ in range(20_000):
        before = w.copy()
        for k in given:
            rest = S[j, k] - w @ S[k] + w[k] * S[k, k]
            w[k] = np.sign(rest) * max(abs(rest) - SPARSITY, 0) / S[k, k]
        if np.abs(w - before).max() < 1e-13:
            break
    return w


def subsets(given: tuple[int, ...]):
    return chain.from_iterable(combinations(given, size) for size in range(len(given) + 1))


def brute(score: str, S: np.ndarray, samples: int, orders=None) -> float:
    """The least score over all permutations, each node's part recomputed from its definition."""
    n = len(S)

    @cache
    def part(j: int, given: tuple[int, ...]) -> float:
        if score == "equal":
            return variance(S, j, least_squares(S, j, given))
        if score == "equal_l1":
            w = lasso(S, j, given)
            return variance(S, j, w) / 2 + SPARSITY * np.abs(w).sum()
        return min(
            np.log(variance(S, j, least_squares(S, j, chosen))) / 2 + np.log(samples) / (2 * samples) * len(chosen)
            for chosen in subsets(given)
        )

    return min(
        sum(part(j, tuple(sorted(order[:place]))) for place, j in enumerate(order))
        for order in orders or permutations(range(n))
    )


@every_score
@settings(max_examples=12, deadline=None)
@given(S=covariances(2))
def test_the_optimum_is_that_of_all_permutations(score, S):
    problems = Problems(S, samples=60)
    fits = search(score).fit(problems, rng())
    assert fits.converged.all()
    for p in range(len(S)):
        assert fits.trace["score"][0, p] == pytest.approx(brute(score, S[p], 60), rel=1e-9, abs=1e-9)
    assert np.allclose(score_of(search(score), problems, fits.W), fits.trace["score"][0], rtol=1e-9, atol=1e-9)


@every_score
def test_six_nodes_against_all_720_orders(score):
    scm = draw_scm(rng(), draw_dag("er", rng(), 6, 2), profile="random", ratio=9)
    problems = Problems.from_samples(scm.sample(rng(), 80))
    optimum = search(score).fit(problems, rng()).trace["score"][0, 0]
    assert optimum == pytest.approx(brute(score, problems.covariance[0], 80), rel=1e-9)


@every_score
@settings(max_examples=12, deadline=None)
@given(S=covariances(1), graph=dags(5))
def test_the_score_given_a_graph_is_the_least_of_its_orders(score, S, graph):
    n = S.shape[1]
    graph = graph[:n, :n]
    agreeing = [
        order for order in permutations(range(n)) if all(order.index(j) < order.index(i) for i, j in np.argwhere(graph))
    ]
    given = search(score).score_given(Problems(S, samples=60), graph[None])[0]
    assert given == pytest.approx(brute(score, S[0], 60, agreeing), rel=1e-9, abs=1e-9)


@every_score
@given(S=covariances(2), weights=st.data())
def test_no_dag_scores_less(score, S, weights):
    problems = Problems(S, samples=60)
    W = weights.draw(weighted(dags(S.shape[1]))).numpy()
    W = np.stack([W, W])
    optimum = search(score).fit(problems, rng()).trace["score"][0]
    assert (optimum <= search(score).score_given(problems, W) + 1e-9).all()
    assert (search(score).score_given(problems, W) <= score_of(search(score), problems, W) + 1e-9).all()


@every_score
@given(S=covariances(2))
def test_w_runs_along_the_order_which_reaches_the_optimum(score, S):
    problems = Problems(S, samples=60)
    fits = search(score).fit(problems, rng())
    orders = np.take_along_axis(np.take_along_axis(fits.W, fits.order[:, :, None], 1), fits.order[:, None], 2)
    assert not np.triu(orders).any()
    place = np.argsort(fits.order, axis=1)
    along = search(score).score_given(problems, place[:, :, None] > place[:, None, :])
    assert np.allclose(along, fits.trace["score"][0], rtol=0, atol=1e-9)


@given(covariances(2))
def test_the_penalised_optimum_meets_the_kkt_conditions(S):
    fits = search("equal_l1").fit(Problems(S), rng())
    gradient = fits.W @ S - S
    scale = np.sqrt(S.diagonal(axis1=1, axis2=2))
    slack = 1e-8 * scale[:, :, None] * scale[:, None, :]
    place = np.argsort(fits.order, axis=1)
    allowed = place[:, :, None] > place[:, None, :]
    edge = fits.W != 0
    assert (np.abs(gradient + SPARSITY * np.sign(fits.W))[edge] <= slack[edge]).all()
    assert (np.abs(gradient) <= SPARSITY + slack)[allowed & ~edge].all()


def test_a_penalty_above_every_covariance_leaves_no_edge():
    S = np.array([[[2.0, 0.5], [0.5, 1.0]]])
    fits = Exact("equal_l1", sparsity=0.6).fit(Problems(S), rng())
    assert not fits.W.any()
    assert fits.trace["score"][0, 0] == pytest.approx(1.5)
    # One edge 0 → 1 of weight w: ½(2 + 1 − w + 2w²) + 0.1w, least at w = (0.5 − 0.1)/2.
    fits = Exact("equal_l1", sparsity=0.1).fit(Problems(S), rng())
    forward, backward = 1.5 - 0.4**2 / (2 * 2), 1.5 - 0.4**2 / (2 * 1)
    assert fits.trace["score"][0, 0] == pytest.approx(min(forward, backward))
    assert fits.W[0].tolist() == [[0, pytest.approx(0.4)], [0, 0]]


def test_an_edge_enters_as_soon_as_a_covariance_passes_the_penalty():
    for excess, edges in [(-1e-7, 0), (1e-7, 1)]:
        S = np.array([[[1.0, SPARSITY + excess], [SPARSITY + excess, 1.0]]])
        assert np.count_nonzero(search("equal_l1").fit(Problems(S), rng()).W) == edges


def test_a_lasso_that_does_not_end_is_said_not_to_have_converged(monkeypatch):
    S = np.array([[[2.0, 0.5], [0.5, 1.0]], np.eye(2)])
    monkeypatch.setattr(exact, "_STEPS", 0)
    assert not search("equal_l1").fit(Problems(S), rng()).converged.any()


def test_nearly_collinear_variables_still_meet_the_kkt_conditions():
    draw = rng()
    X = 1e-4 * draw.standard_normal((1000, 12)) + draw.standard_normal((1000, 1))
    assert Exact("equal_l1").fit(Problems.from_samples(X), draw).converged.all()


@given(covariances(1))
def test_the_optimum_rises_with_the_penalty(S):
    problems = Problems(S)
    scores = [Exact("equal_l1", sparsity=s).fit(problems, rng()).trace["score"][0, 0] for s in (1e-9, 0.01, 0.1, 1.0)]
    assert all(low <= high + 1e-9 for low, high in pairwise(scores))
    unpenalised = Exact().fit(problems, rng()).trace["score"][0, 0]
    assert scores[0] == pytest.approx(unpenalised / 2, abs=1e-6)


@pytest.mark.numeric
@given(linear_scms(equal_variances=True))
def test_equal_variances_make_the_truth_the_population_optimum(scm):
    problems = Problems(scm.covariance[None])
    fits = Exact().fit(problems, rng())
    assert agree(fits.W, scm.B[None], scm.covariance[None])
    assert fits.trace["score"][0, 0] == pytest.approx(scm.nodes * scm.noise_scale[0] ** 2, rel=1e-8)
    assert Exact().score_given(problems, scm.B[None])[0] == pytest.approx(fits.trace["score"][0, 0], rel=1e-8)
    least: list[int] = []  # of the orders of the truth, which tie
    while len(least) < scm.nodes:
        least.append(min(i for i in range(scm.nodes) if i not in least and {*np.flatnonzero(scm.B[i])} <= {*least}))
    assert fits.order[0].tolist() == least


def test_equal_variances_at_fourteen_nodes():
    scm = draw_scm(rng(), draw_dag("er", rng(), 14, 2))
    population = Problems(scm.covariance[None])
    assert agree(Exact().fit(population, rng()).W, scm.B[None], population.covariance)
    sampled = Problems.from_samples(scm.sample(rng(), 2000))
    for score in ("equal", "equal_l1"):
        fits = Exact(score).fit(sampled, rng())
        assert fits.converged.all()
        assert np.array_equal(threshold(fits.W[0]) != 0, scm.B != 0)


def test_a_sparse_refit_goes_along_the_optimal_order():
    scm = draw_scm(rng(), draw_dag("er", rng(), 10, 2))
    problems = Problems.from_samples(scm.sample(rng(), 1000))
    fits = Exact(refit="lasso_bic").fit(problems, rng())
    assert np.array_equal(threshold(fits.W[0]) != 0, scm.B != 0)
    assert np.count_nonzero(fits.W) < 10 * 9 / 2
    along = Problems(problems.covariance, problems.samples, fits.order)
    assert np.array_equal(fits.W, load("oracle", refit="lasso_bic").fit(along, rng()).W)
    assert np.array_equal(fits.order, Exact().fit(problems, rng()).order)


def test_unequal_variances_make_the_wrong_order_optimal():
    # 0 → 1 of weight ½, variances 4 and ¼: 4.25 along the truth, 1.25 + 0.8 against it.
    S = LinearSCM(np.array([[0, 0], [0.5, 0]]), np.array([2.0, 0.5])).covariance[None]
    fits = Exact().fit(Problems(S), rng())
    assert fits.order.tolist() == [[1, 0]]
    assert fits.trace["score"][0, 0] == pytest.approx(2.05)
    assert Exact().score_given(Problems(S), [[[0, 0], [1, 0]]])[0] == pytest.approx(4.25)


def test_two_standardised_nodes_tie_and_the_lowest_goes_first():
    problems = Problems(np.array([[[1.0, 0.6], [0.6, 1.0]]]), samples=100)
    for score in SCORES:
        forward = search(score).score_given(problems, [[[0, 0], [1, 0]]])
        backward = search(score).score_given(problems, [[[0, 1], [0, 0]]])
        assert forward == pytest.approx(backward)
        fits = search(score).fit(problems, rng())
        assert fits.order.tolist() == [[0, 1]]
        assert fits.W[0, 1, 0] != 0
        assert fits.W[0, 0, 1] == 0


def test_ties_that_rounding_breaks_still_go_to_the_lowest():
    X = rng().standard_normal((200, 30, 2))
    orders = Exact("unequal").fit(Problems.from_samples(X), rng()).order
    assert orders.tolist() == [[0, 1]] * 200


@pytest.mark.numeric
@given(linear_scms(), generators())
def test_the_population_likelihood_is_the_truths_and_no_graph_is_larger(scm, generator):
    problems = Problems(scm.covariance[None])
    fits = Exact("unequal").fit(problems, generator)
    assert np.count_nonzero(fits.W) <= np.count_nonzero(scm.B)
    # No graph has a larger likelihood, and that of the truth costs 1e-8 an edge. Scores within 1e-10 are equal, and
    # each of n conditional variances has the rounding of W.
    slack = 1e-10 + scm.nodes * rounding(problems.covariance, fits.W).item()
    penalty = fits.trace["score"][0, 0] - np.log(scm.noise_scale).sum()
    assert -slack <= penalty <= 1e-8 * np.count_nonzero(scm.B) + slack


def test_a_collider_is_oriented_and_a_chain_is_not():
    chain_ = LinearSCM(np.array([[0, 0, 0], [0, 0, 0.8], [0.8, 0, 0]]), np.array([1.0, 3, 0.5]))  # 0 → 2 → 1
    collider = LinearSCM(np.array([[0, 0.8, 0.8], [0, 0, 0], [0, 0, 0]]), np.array([1.0, 3, 0.5]))  # 1 → 0 ← 2
    fits = Exact("unequal").fit(Problems(np.stack([chain_.covariance, collider.covariance])), rng())
    skeleton = (fits.W != 0) | (fits.W != 0).mT
    assert skeleton[0].tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert np.allclose(fits.W[1], collider.B, rtol=0, atol=1e-9)
    reverse = (chain_.B != 0).T
    assert Exact("unequal").score_given(Problems(chain_.covariance[None]), reverse[None])[0] == pytest.approx(
        fits.trace["score"][0, 0], abs=1e-12
    )


def test_bic_drops_edges_that_explain_little_and_more_samples_bring_them_back():
    S = LinearSCM(np.array([[0, 0], [0.1, 0]]), np.ones(2)).covariance[None]
    # ½ log(1.01) = 0.004975 lies between log(m)/(2m) at 100 (0.023) and at 1,000 (0.0035).
    edges = [np.count_nonzero(Exact("unequal").fit(Problems(S, samples=m), rng()).W) for m in (100, 1000, None)]
    assert edges == [0, 1, 1]


@pytest.mark.numeric
@every_score
@given(S=covariances(1))
def test_labels_do_not_matter(score, S):
    p = np.arange(S.shape[1])[::-1]
    fits = search(score).fit(Problems(S, samples=60), rng())
    relabelled = search(score).fit(Problems(S[:, p][:, :, p], samples=60), rng())
    assert relabelled.trace["score"] == pytest.approx(fits.trace["score"], abs=1e-9)
    if score == "equal":  # the others have equivalent optima, among which the lowest labels decide
        assert agree(relabelled.W[:, p][:, :, p], fits.W, S)


@given(covariances(2))
def test_searches_for_the_same_score_never_do_better(S):
    problems = Problems(S)
    place = np.argsort(load("eqvar").fit(problems, rng()).order, axis=1)
    assert np.all(
        Exact().score_given(problems, place[:, :, None] > place[:, None, :])
        >= Exact().fit(problems, rng()).trace["score"][0] - 1e-9
    )


def test_notears_is_held_against_its_optimum():
    # Its W has h ≤ 1e-8, not 0: reverse entries of about 1e-4 buy a score under that of any DAG. Its order does not.
    slack, gap = [], []
    penalised = Exact("equal_l1")
    for seed in range(10):
        draw = np.random.default_rng([10, seed])
        scm = draw_scm(draw, draw_dag("er", draw, 10, 2))
        problems = Problems.from_samples(scm.sample(draw, 500))
        W = load("notears").fit(problems, draw).W
        optimum = penalised.fit(problems, draw).trace["score"][0]
        slack.append((score_of(penalised, problems, W) - optimum).item())
        gap.append((penalised.score_given(problems, threshold_to_dag(W)[0]) - optimum).item())
    assert min(gap) > -1e-12
    assert np.median(gap) < 1e-12
    assert min(slack) > -2e-3


@every_score
def test_singular_covariances_have_an_optimum(score):
    few = rng().standard_normal((4, 7))
    copies = rng().standard_normal((50, 4))
    copies[:, 1], copies[:, 3] = copies[:, 0], copies[:, 0] + copies[:, 2]
    for X in (few, copies):
        fits = search(score).fit(Problems.from_samples(X), rng())
        assert fits.converged.all()
        assert np.isfinite(fits.W).all()
        assert np.isfinite(fits.trace["score"]).all()


def test_fourteen_nodes_are_the_limit():
    large = Problems(np.eye(15)[None])
    with pytest.raises(InputError, match=r"15 nodes.*at most 14.*eqvar"):
        Exact().fit(large, rng())
    with pytest.raises(InputError, match="at most 14"):
        Exact().score_given(large, np.zeros((1, 15, 15)))


def test_bad_input_is_refused():
    problems = Problems(np.eye(3)[None])
    cycle = np.roll(np.eye(3), 1, axis=0)
    for call, message in [
        (lambda: Exact("bic"), "'bic'; choose one of equal, equal_l1, unequal"),
        (lambda: Exact(sparsity=0), "sparsity is 0"),
        (lambda: Exact(sparsity=np.nan), "sparsity is nan"),
        (lambda: Exact(refit="lasso"), "refit is 'lasso'; choose one of least_squares"),
        (lambda: Exact("unequal", refit="bic"), "unequal chooses its own edges"),
        (lambda: Exact().score_given(problems, np.zeros((3, 3))), "graph has shape"),
        (lambda: Exact().score_given(problems, cycle[None]), "graph 0 has a cycle"),
    ]:
        with pytest.raises(InputError, match=message):
            call()


@every_score
def test_arguments_stay_as_they_were(score):
    scm = draw_scm(rng(), draw_dag("er", rng(), 5, 2))
    S, B = scm.covariance[None].copy(), scm.B[None].copy()
    problems = Problems(S, samples=100)
    kept = problems.covariance.copy()
    search(score).fit(problems, rng())
    search(score).score_given(problems, B)
    assert np.array_equal(S[0], scm.covariance)
    assert np.array_equal(B[0], scm.B)
    assert np.array_equal(problems.covariance, kept)
