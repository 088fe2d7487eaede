"""Edges with confidence: how rows are resampled, what frequencies must satisfy, and what calibration does to them."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.structure import Fits, Problems, resampling
from causalrec.structure.own import UserLearner
from causalrec.structure.registry import load
from causalrec.structure.regression import fits_along
from causalrec.structure.resampling import (
    KINDS,
    draw_counts,
    edge_confidence,
    found_world,
    monotone,
    weighted_covariance,
)
from synth.graphs import draw_dag
from synth.scm import draw_scm


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def world(nodes: int = 6, rows: int = 80, seed: int = 0) -> Problems:
    """One problem of rows from an SCM of equal variances."""
    scm = draw_scm(rng(seed), draw_dag("er", rng(seed), nodes, 1))
    return Problems.from_samples(scm.sample(rng(seed), rows))


def chain(rows: int = 300) -> Problems:
    """x0 → x1 of weight 2."""
    u = rng().normal(size=(rows, 2))
    return Problems.from_samples(u @ np.array([[1.0, 2.0], [0.0, 1.0]]))


@dataclass(frozen=True)
class Fixed:
    """Finds the same on every problem."""

    W: np.ndarray
    cpdag: np.ndarray | None = None
    name: str = "fixed"

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        m = len(problems.covariance)
        every = np.repeat(self.W[None], m, axis=0)
        classes = None if self.cpdag is None else np.repeat(self.cpdag[None], m, axis=0)
        return Fits(every, np.zeros(m), np.ones(m, bool), np.ones(m, np.int64), cpdag=classes)


# Resamples


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 2**32))
def test_the_weighted_covariance_is_that_of_the_repeated_rows(rows, columns, seed):
    X = rng(seed).normal(size=(rows, columns))
    counts = next(draw_counts(rows, 1, "bootstrap", rng(seed)))
    repeated = np.repeat(X, counts, axis=0)
    expected = np.cov(repeated.T, bias=True).reshape(columns, columns)
    assert weighted_covariance(X, counts) == pytest.approx(expected, abs=1e-12)


@given(st.integers(4, 40), st.integers(1, 5), st.integers(0, 2**32))
def test_halves_come_in_pairs_that_share_no_row(rows, pairs, seed):
    drawn = list(draw_counts(rows, 2 * pairs, "halves", rng(seed)))
    assert len(drawn) == 2 * pairs
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        assert one.sum() == other.sum() == rows // 2
        assert (one + other).max() == 1
        assert rows - (one + other).sum() == rows % 2


@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**32))
def test_a_bootstrap_resample_has_as_many_rows(rows, resamples, seed):
    drawn = list(draw_counts(rows, resamples, "bootstrap", rng(seed)))
    assert [counts.sum() for counts in drawn] == [rows] * resamples


# Confidence


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from(KINDS), st.integers(0, 2), st.sampled_from(["eqvar", "random_order"]))
def test_probabilities_are_probabilities(seed, kind, calibrate, learner):
    found = edge_confidence(world(seed=seed), load(learner), rng(seed), resamples=10, kind=kind, calibrate=calibrate)
    for P in (found.probability, found.frequency):
        assert (P >= 0).all()
        assert (P + P.T <= 1 + 1e-12).all()
        assert not P.diagonal().any()
    assert np.array_equal(found.probability > 0, found.frequency > 0)
    assert np.array_equal(np.isnan(found.direction), found.adjacency == 0)
    assert np.array_equal(found.adjacency, found.adjacency.T)
    assert (found.standard_error <= 0.5 / np.sqrt(10)).all()
    if not calibrate:
        assert found.frequency * 10 == pytest.approx(np.round(found.frequency * 10))
    assert (found.failed, found.failure, found.kind, found.worlds) == (0, "", kind, calibrate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calibrate", [0, 2])
def test_a_strong_edge_is_sure_with_its_direction(kind, calibrate):
    found = edge_confidence(chain(), load("eqvar"), rng(), resamples=40, kind=kind, calibrate=calibrate)
    assert found.frequency[1, 0] == 1
    assert found.probability[1, 0] > 0.7
    assert found.direction[1, 0] > 0.95
    assert found.probability[0, 1] == 0


@pytest.mark.parametrize(("learner", "resamples", "calibrate"), [("eqvar", 12, 1), ("notears", 3, 0)])
def test_the_result_does_not_depend_on_how_many_are_learned_at_once(monkeypatch, learner, resamples, calibrate):
    def found():
        return edge_confidence(world(), load(learner), rng(), resamples=resamples, calibrate=calibrate)

    whole = found()
    for bytes_at_once in (1, 8 * 36 * 2):  # one resample, two
        monkeypatch.setattr(resampling, "CHUNK", bytes_at_once)
        assert np.array_equal(found().frequency, whole.frequency)
        assert np.array_equal(found().probability, whole.probability)


def test_a_learner_by_rows_gives_what_one_by_covariances_gives():
    def by_rows(X):
        return load("eqvar").fit(Problems.from_samples(X), rng()).W[0]

    learners = load("eqvar"), UserLearner("own", by_rows)
    one, other = (edge_confidence(world(), learner, rng(), resamples=20) for learner in learners)
    assert np.array_equal(one.frequency, other.frequency)


def test_the_order_of_rows_does_not_matter_to_a_resample_of_the_same_rows():
    """The counts belong to places: with rows and counts permuted alike the covariance is the same."""
    X, counts = world().rows[0], next(draw_counts(80, 1, "bootstrap", rng()))
    order = rng(1).permutation(80)
    assert weighted_covariance(X[order], counts[order]) == pytest.approx(weighted_covariance(X, counts), abs=1e-12)


def test_an_edge_without_direction_counts_one_half_to_each():
    cpdag = np.zeros((3, 3), bool)
    cpdag[0, 1] = cpdag[1, 0] = cpdag[2, 0] = True
    found = edge_confidence(world(3), Fixed(np.zeros((3, 3)), cpdag), rng(), resamples=3)
    assert found.frequency.tolist() == [[0, 0.5, 0], [0.5, 0, 0], [1, 0, 0]]
    assert found.adjacency[0, 1] == 1
    assert found.direction[0, 1] == 0.5


def test_cycles_are_cut_at_their_weakest_edge_and_weak_edges_do_not_count():
    W = np.array([[0, 0.5, 0.2], [0.9, 0, 0], [0, 0, 0]])
    assert edge_confidence(world(3), Fixed(W), rng(), resamples=3).frequency[0].tolist() == [0, 0, 0]
    assert edge_confidence(world(3), Fixed(W), rng(), resamples=3, tau=0.1).frequency[0].tolist() == [0, 0, 1]


# Failures


def test_resamples_that_fail_are_counted_and_left_out():
    def picky(X):
        if X[0, 0] < 0:
            raise ValueError("below 0")
        return np.array([[0, 0], [1.0, 0]])

    found = edge_confidence(chain(), UserLearner("picky", picky), rng(), resamples=50)
    assert 5 < found.failed < 45
    assert "below 0" in found.failure
    assert found.frequency[1, 0] == 1


def test_a_resample_with_a_constant_column_is_a_failure():
    X = rng().normal(size=(6, 2))
    X[:, 1] = [0, 0, 0, 0, 0, 1]
    found = edge_confidence(Problems.from_samples(X), load("eqvar"), rng(), resamples=60)
    assert 5 < found.failed < 40  # (5/6)^6 = 0.33 of them lack the 1
    assert "column 1 has one constant value" in found.failure


def test_a_learner_that_raises_on_one_problem_fails_on_that_alone():
    class Raises:
        name = "raises"

        def fit(self, problems, generator):
            if (problems.covariance[:, 0, 0] < 0.95).any():
                raise np.linalg.LinAlgError("singular")
            m = len(problems.covariance)
            return fits_along(np.tile(np.arange(2), (m, 1)), np.ones((m, 2, 2)) * [[0, 0], [1, 0]])

    found = edge_confidence(chain(), Raises(), rng(), resamples=50)
    assert 0 < found.failed < 50
    assert found.failure == "LinAlgError: singular"
    assert found.frequency[1, 0] == 1


def test_if_all_fail_the_first_is_told():
    with pytest.raises(InputError, match="all 4 resamples failed, the first with: W is not finite"):
        edge_confidence(chain(), Fixed(np.full((2, 2), np.nan)), rng(), resamples=4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resamples": 0}, "0 resamples are asked for; give 1 to 100000"),
        ({"resamples": 7, "kind": "halves"}, "halves come in pairs, and 7 resamples are asked for"),
        ({"kind": "jackknife"}, "'jackknife'; choose bootstrap or halves"),
        ({"calibrate": -1}, "-1 worlds"),
        ({"calibrate": 1001}, "1001 worlds .* give 0 to 1000"),
    ],
)
def test_options_out_of_range_are_refused(options, told):
    with pytest.raises(InputError, match=told):
        edge_confidence(chain(), load("eqvar"), rng(), **options)


def test_without_rows_or_with_too_few_there_is_nothing_to_draw():
    with pytest.raises(InputError, match="one problem with its rows"):
        edge_confidence(Problems(np.eye(2)[None]), load("eqvar"), rng())
    few = Problems.from_samples([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
    with pytest.raises(InputError, match="halves of 3 rows are too few"):
        edge_confidence(few, load("eqvar"), rng(), kind="halves")


# Calibration


def test_the_world_found_is_the_one_that_made_strong_data():
    scm = draw_scm(rng(3), draw_dag("er", rng(3), 8, 1))
    problems = Problems.from_samples(scm.sample(rng(4), 5000))
    W = found_world(problems, scm.graph.astype(np.float64), 0.3)
    assert np.array_equal(W != 0, scm.graph)
    assert pytest.approx(scm.B, abs=0.1) == W


def test_pairs_without_a_direction_are_an_edge_of_the_world_found():
    problems = chain()
    either = np.array([[0, 0.5], [0.5, 0]])
    assert (found_world(problems, either, 0.3) != 0).sum() == 1
    assert not found_world(problems, either / 4, 2.5).any()


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9]), st.booleans()), max_size=40))
def test_a_monotone_share_rises_within_0_and_1(pairs):
    score, true = np.array([p for p, _ in pairs]), np.array([t for _, t in pairs], dtype=bool)
    at, share = monotone(score, true)
    assert (np.diff(at) > 0).all()
    assert (np.diff(share) >= -1e-12).all()
    assert ((share > 0) & (share < 1)).all()


def test_a_monotone_share_by_hand():
    """Two true of three: 3/4 each, the false one 1/3; of 0.5 the mean of one of each."""
    at, share = monotone(np.array([0.5, 0.5, 0.9]), np.array([True, False, True]))
    assert at.tolist() == [0.5, 0.9]
    assert share == pytest.approx([(3 / 4 + 1 / 3) / 2, 3 / 4])


def test_calibration_lowers_the_frequencies_of_edges_found_in_noise():
    """Independent columns, few rows: every edge found is wrong."""
    noise = Problems.from_samples(rng().normal(size=(25, 8)))
    found = edge_confidence(noise, load("eqvar"), rng(), resamples=40, calibrate=2)
    joined = found.frequency > 0
    assert found.frequency[joined].mean() > 0.15
    assert found.probability[joined].mean() < 0.5 * found.frequency[joined].mean()
