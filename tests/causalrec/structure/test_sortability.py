import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalrec.errors import InputError
from causalrec.structure.sortability import r2_scores, r2_sortability, sortability, variances, varsortability
from synth.violations import standardise_covariance
from tests.strategies import linear_scms

pytestmark = pytest.mark.numeric

# (cause, effect); the samples are those of `observed` below.
EDGES = ((0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (0, 5), (1, 4))


def observed(seed):
    X = np.random.default_rng(seed).standard_normal((30, 6)) * [1, 2, 1, 3, 2, 1]
    X[:, 5] += X[:, 3]
    X[:, 4] -= X[:, 2]
    return X * [3, 1, 2, 1, 0.5, 1]


# From CausalDisco 0.2.4, var_sortability and r2_sortability (measure "paths", its transposed, binary W); on 300 draws
# of all families with 3 to 24 nodes the two implementations gave the same float.
CAUSALDISCO = [
    (0, 0.42857142857142855, 0.8571428571428571),
    (2, 0.6428571428571429, 0.9285714285714286),
    (3, 0.5714285714285714, 1.0),
    (5, 0.5, 0.7857142857142857),
]


@pytest.mark.parametrize(("seed", "by_variance", "by_r2"), CAUSALDISCO)
def test_agrees_with_causaldisco(seed, by_variance, by_r2):
    B = np.zeros((6, 6))
    for cause, effect in EDGES:
        B[effect, cause] = -1.5
    covariance = np.cov(observed(seed).T)
    assert varsortability(B, covariance) == by_variance
    assert r2_sortability(B, covariance) == by_r2


def test_paths_of_every_length_by_hand():
    chain = np.eye(4, k=-1)
    # Six paths: three of length 1, two of 2, one of 3.
    assert sortability(chain, [1, 2, 3, 4]) == 1
    assert sortability(chain, [4, 3, 2, 1]) == 0
    assert sortability(chain, [1, 2, 2, 3]) == pytest.approx(5.5 / 6)
    assert sortability(chain, [2, 1, 3, 4]) == pytest.approx(5 / 6)


def test_a_pair_joined_at_two_lengths_counts_twice():
    B = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    # 0 -> 1, 0 -> 2, 1 -> 2, and 0 -> 2 through 1.
    assert sortability(B, [1, 0, 2]) == pytest.approx(3 / 4)


@given(linear_scms())
def test_range_and_turning(scm):
    for scores in (variances(scm.covariance), r2_scores(scm.covariance)):
        value = sortability(scm.B, scores)
        if not scm.graph.any():
            assert value is None
        else:
            assert 0 <= value <= 1
            assert value + sortability(scm.B, -scores) == pytest.approx(1)


@given(linear_scms())
def test_standardising_ties_variances_and_leaves_r2(scm):
    standardised = standardise_covariance(scm.covariance)
    assert varsortability(scm.B, standardised) == (0.5 if scm.graph.any() else None)
    assert r2_sortability(scm.B, standardised) == r2_sortability(scm.B, scm.covariance)


@given(linear_scms(), st.randoms(use_true_random=False))
def test_relabelling_changes_nothing(scm, random):
    labels = np.array(random.sample(range(scm.nodes), scm.nodes))
    S, B = (matrix[np.ix_(labels, labels)] for matrix in (scm.covariance, scm.B))
    assert varsortability(B, S) == pytest.approx(varsortability(scm.B, scm.covariance))
    assert r2_sortability(B, S) == pytest.approx(r2_sortability(scm.B, scm.covariance))


def test_r2_by_hand():
    np.testing.assert_allclose(r2_scores([[4, 2], [2, 4]]), [0.25, 0.25], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: r2_scores(np.ones((3, 3))), "singular"),
        (lambda: r2_scores(np.cov(np.random.default_rng(0).standard_normal((5, 8)).T)), "singular"),
        (lambda: varsortability(1 - np.eye(2), np.eye(2)), "cyclic"),
        (lambda: varsortability(np.zeros((2, 2)), np.eye(3)), "one for each node"),
        (lambda: r2_scores(np.zeros((2, 2))), "diagonal above 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
