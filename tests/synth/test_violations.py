import numpy as np
import pytest
from hypothesis import given

from synth.errors import InputError
from synth.scm import LinearSCM
from synth.violations import layernorm, observe_rows, standardise, standardise_covariance
from tests.strategies import generators, linear_scms


@given(linear_scms(), generators())
def test_standardising(scm, rng):
    X = scm.sample(rng, 30)
    before = X.copy()
    Y = standardise(X)
    np.testing.assert_allclose(Y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(Y.var(axis=0), 1)
    np.testing.assert_allclose(np.cov(Y.T, bias=True), standardise_covariance(np.atleast_2d(np.cov(X.T))), atol=1e-12)
    assert (before == X).all()


@given(linear_scms())
def test_correlations_have_an_exact_diagonal(scm):
    before = scm.covariance.copy()
    R = standardise_covariance(scm.covariance)
    assert (np.diag(R) == 1).all()
    assert (np.abs(R) <= 1 + 1e-12).all()
    assert (before == scm.covariance).all()


def placements(scm, seed, features=40):
    return {
        name: observe_rows(scm, np.random.default_rng(seed), features, name) for name in ("raw", "exogenous", "mixed")
    }


@given(linear_scms())
def test_what_each_placement_equalises(scm):
    seen = placements(scm, 5)
    residual = np.eye(scm.nodes) - scm.B
    noise = {name: Z @ residual.T for name, Z in seen.items()}
    np.testing.assert_array_equal(seen["raw"], scm.sample(np.random.default_rng(5), 40))
    np.testing.assert_allclose(noise["exogenous"].var(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(noise["exogenous"].mean(axis=0), 0, atol=1e-9 * np.abs(seen["exogenous"]).max())
    np.testing.assert_allclose(seen["mixed"].var(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(seen["mixed"], standardise(seen["raw"]), atol=1e-9)


def test_layernorm_on_noise_equalises_what_differed_and_on_rows_hides_the_order():
    scm = LinearSCM(np.array([[0, 0], [0.5, 0]]), np.array([3, 1]))
    seen = placements(scm, 0, features=10_000)
    raw, exogenous, mixed = (seen[name].var(axis=0) for name in ("raw", "exogenous", "mixed"))
    assert raw[0] > raw[1]  # unequal noise turns the order of variances round
    np.testing.assert_allclose(exogenous, [1, 1.25], atol=0.03)
    np.testing.assert_allclose(mixed, [1, 1])


def test_layernorm_by_hand():
    np.testing.assert_allclose(layernorm([[1, 3], [5, 1]]), [[-1, 1], [1, -1]], rtol=1e-10)
    np.testing.assert_array_equal(layernorm([[2, 2]]), [[0, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: standardise([[1, 2], [1, 3]]), r"columns \[0\] are constant"),
        (lambda: standardise([[1, 2]]), "at least 2 samples"),
        (lambda: standardise([[1, np.nan], [1, 2]]), "finite"),
        (lambda: standardise_covariance([[1, 0], [0, 0]]), "diagonal above 0"),
        (lambda: observe_rows(LinearSCM([[0]], [1]), np.random.default_rng(0), 9, "z"), "'z'; expected one of raw"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
