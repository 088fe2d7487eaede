import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import InputError
from synth.graphs import draw_dag, topological_order
from synth.missing import MissingSCM
from synth.nonlinear import MECHANISMS, NonlinearSCM
from synth.scm import LinearSCM, draw_scm
from synth.temporal import AutocorrelatedSCM, LaggedSCM
from synth.violations import (
    VIOLATIONS,
    AttentionRows,
    ConfoundedSCM,
    MeasuredSCM,
    StandardisedSCM,
    confound,
    correlate,
    internally_standardise,
    layernorm,
    rescale,
    standardise,
    standardise_covariance,
    violate,
)
from tests.strategies import generators, linear_scms

pytestmark = pytest.mark.numeric


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


def placements(scm, seed, features=40, **knobs):
    return {
        name: AttentionRows(scm, name, **knobs).sample(np.random.default_rng(seed), features)
        for name in ("raw", "exogenous", "mixed")
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


@given(linear_scms(), st.sampled_from(["exogenous", "mixed"]), st.floats(0.1, 1))
def test_an_affine_scales_and_shifts_each_feature_alike_in_every_row(scm, placement, spread):
    """gain and bias by feature are the only unknowns: two rows of noise give them, all others must then agree."""
    plain, seen = (
        AttentionRows(scm, placement, affine).sample(np.random.default_rng(3), 12) for affine in (0.0, spread)
    )
    if placement == "exogenous":
        plain, seen = (Z @ (np.eye(scm.nodes) - scm.B).T for Z in (plain, seen))
    for normed, affine in zip(plain, seen, strict=True):
        design = np.column_stack([normed, np.ones(scm.nodes)])
        gain_and_bias = np.linalg.lstsq(design, affine, rcond=None)[0]
        np.testing.assert_allclose(design @ gain_and_bias, affine, atol=1e-8 * np.abs(seen).max())


@given(linear_scms(), st.sampled_from(["raw", "exogenous", "mixed"]), st.integers(2, 5))
def test_pooling_is_the_mean_of_the_sequences_covariances(scm, placement, sequences):
    def cov(rows):
        return np.atleast_2d(np.cov(rows.T, bias=True))

    pooled = AttentionRows(scm, placement, sequences=sequences).sample(np.random.default_rng(0), 15)
    rng = np.random.default_rng(0)
    each = [AttentionRows(scm, placement).sample(rng, 15) for _ in range(sequences)]
    assert pooled.shape == (15 * sequences, scm.nodes)
    mean = np.mean([cov(rows) for rows in each], axis=0)
    np.testing.assert_allclose(cov(pooled), mean, atol=1e-9 * max(1, mean.max()))


def test_layernorm_by_hand():
    np.testing.assert_allclose(layernorm([[1, 3], [5, 1]]), [[-1, 1], [1, -1]], rtol=1e-10)
    np.testing.assert_array_equal(layernorm([[2, 2]]), [[0, 0]])


SCM = LinearSCM(np.array([[0, 0, 0], [2, 0, 0], [-1, 0.5, 0]]), np.array([1, 1, 3]))


def big_scm(**changes):
    rng = np.random.default_rng(2)
    return draw_scm(rng, draw_dag("er", rng, 8, 2), profile="random", ratio=9, **changes)


WORLDS = [
    ("standardised", {}),
    ("iscm", {}),
    ("rescaled", {"spread": 9}),
    ("confounded", {"latents": 3, "children": 4}),
    ("correlated", {"share": 0.6}),
    ("layernorm", {"placement": "raw"}),
    ("layernorm", {"placement": "exogenous"}),
    ("layernorm", {"placement": "mixed"}),
    ("layernorm", {"placement": "exogenous", "affine": 0.5}),
    ("layernorm", {"placement": "mixed", "affine": 0.5}),
    ("measured", {"share": 0.7}),
    ("measured", {"share": 0.7, "of": "variable"}),
    ("missing", {"mechanism": "mcar", "handled": "mean", "share": 0.3}),
    ("missing", {"mechanism": "mcar", "handled": "pairwise", "share": 0.3}),
    ("autocorrelated", {"phi": 0.6}),
    ("lagged", {"share": 0.3}),
    ("lagged", {"share": 1.0}),
]


def named(kind, knobs):
    return violate(big_scm(), np.random.default_rng(4), kind, **knobs)


@pytest.mark.parametrize(("kind", "knobs"), WORLDS)
def test_samples_have_the_exact_covariance(kind, knobs):
    world = named(kind, knobs)
    S = world.covariance
    deviation = np.sqrt(np.diag(S))
    X = world.sample(np.random.default_rng(1), 200_000)
    assert X.shape == (200_000, 8)
    np.testing.assert_allclose(np.cov(X.T) / np.outer(deviation, deviation), standardise_covariance(S), atol=0.02)
    np.testing.assert_array_equal(S, S.T)


def test_all_violations_are_tried_and_keep_the_graph():
    tried = [*WORLDS, ("nonlinear", {"mechanism": "tanh", "strength": 0.5})]
    assert {kind for kind, _ in tried} == set(VIOLATIONS)
    for kind, knobs in tried:
        world = named(kind, knobs)
        np.testing.assert_array_equal(world.graph, big_scm().graph)
        np.testing.assert_array_equal(world.order, big_scm().order)
        np.testing.assert_array_equal(world.B != 0, world.graph)
        assert world.nodes == 8


@given(linear_scms())
def test_internally_standardised_has_unit_variances_and_its_weights_make_its_covariance(scm):
    inner = internally_standardise(scm)
    np.testing.assert_allclose(np.diag(inner.covariance), 1)
    A = np.linalg.inv(np.eye(scm.nodes) - inner.B)
    np.testing.assert_allclose(A @ np.diag(inner.noise_scale**2) @ A.T, inner.covariance, atol=1e-9)
    roots = ~scm.graph.any(axis=1)
    np.testing.assert_allclose(inner.noise_scale[roots], 1)


@given(linear_scms(), generators())
def test_internally_standardised_by_hand_variable_by_variable(scm, rng):
    """The generating process itself: draw a variable, divide it by its deviation, let its effects see that."""
    inner = internally_standardise(scm)
    state = rng.bit_generator.state
    U = scm.sample_noise(rng, 50)
    X = np.zeros_like(U)
    for i in scm.order:
        deviation = 1 / inner.noise_scale[i] * scm.noise_scale[i]
        X[:, i] = (X @ scm.B[i] + U[:, i]) / deviation
    rng.bit_generator.state = state
    np.testing.assert_allclose(inner.sample(rng, 50), X, atol=1e-9)


def test_internally_standardised_chain_by_hand():
    inner = internally_standardise(LinearSCM(np.array([[0, 0], [2, 0]]), np.array([3, 1])))
    np.testing.assert_allclose(inner.B, [[0, 0], [2 / np.sqrt(5), 0]])
    np.testing.assert_allclose(inner.noise_scale, [1, 1 / np.sqrt(5)])


@given(linear_scms(), generators())
def test_rescaling_multiplies_the_data_and_leaves_correlations(scm, rng):
    scales = rng.uniform(0.1, 10, scm.nodes)
    seen = rescale(scm, scales)
    before, after = (standardise_covariance(s.covariance) for s in (scm, seen))
    np.testing.assert_allclose(after, before, atol=1e-9)
    plain, other = (s.sample(np.random.default_rng(0), 20) for s in (scm, seen))
    np.testing.assert_allclose(other, scales * plain, atol=1e-9 * np.abs(other).max())


def test_scales_spread_as_told():
    scm = LinearSCM(np.zeros((400, 400)), np.ones(400))
    scales = violate(scm, np.random.default_rng(0), "rescaled", spread=16).noise_scale
    assert 0.25 <= scales.min() < 0.26
    assert 3.9 < scales.max() <= 4


@given(linear_scms(), st.integers(0, 99))
def test_no_latents_no_share_and_no_memory_are_the_scm_alone(scm, seed):
    def draw(world):
        return world.sample(np.random.default_rng(seed), 20)

    none = (
        ConfoundedSCM(scm, np.zeros((scm.nodes, 0))), correlate(scm, 0.0), AutocorrelatedSCM(scm, 0.0),
        LaggedSCM(scm, 0.0), *(MeasuredSCM(scm, 0.0, of) for of in ("noise", "variable")),
        *(MissingSCM(scm, "mcar", handled, 0.0) for handled in ("mean", "pairwise")),
    )  # fmt: skip
    for world in none:
        np.testing.assert_array_equal(draw(world), draw(scm))
        np.testing.assert_array_equal(world.covariance, scm.covariance)


@given(linear_scms(), st.floats(0, 0.9))
def test_a_shared_factor_correlates_noise_and_keeps_its_variances(scm, share):
    residual = np.eye(scm.nodes) - scm.B
    noise = residual @ correlate(scm, share).covariance @ residual.T
    wanted = np.full((scm.nodes, scm.nodes), share)
    np.fill_diagonal(wanted, 1)
    scale = np.abs(residual).max() ** 2 * max(1, scm.covariance.max()) * scm.nodes
    np.testing.assert_allclose(noise, wanted * np.outer(scm.noise_scale, scm.noise_scale), atol=1e-12 * scale)


def test_confounders_are_those_of_a_larger_scm_unseen():
    """The latents as further nodes, then dropped."""
    seen = confound(SCM, np.random.default_rng(0), latents=2, children=2)
    assert ((seen.loadings != 0).sum(axis=0) == 2).all()
    assert ((np.abs(seen.loadings) >= 0.5) & (np.abs(seen.loadings) <= 2) | (seen.loadings == 0)).all()
    B = np.zeros((5, 5))
    B[:3, :3], B[:3, 3:] = SCM.B, seen.loadings
    whole = LinearSCM(B, np.append(SCM.noise_scale, [1, 1]))
    np.testing.assert_allclose(seen.covariance, whole.covariance[:3, :3])
    more = confound(SCM, np.random.default_rng(0), latents=3, children=2)
    np.testing.assert_array_equal(more.loadings[:, :2], seen.loadings)


@given(linear_scms(), generators(), st.sampled_from(sorted(MECHANISMS)), st.sampled_from(["sum", "parents"]))
def test_nonlinear_variables_are_mechanisms_of_their_causes_plus_noise(scm, rng, mechanism, of):
    world, f = NonlinearSCM(scm, mechanism, of), MECHANISMS[mechanism]
    state = rng.bit_generator.state
    X = world.sample(rng, 20)
    rng.bit_generator.state = state
    V = scm.sample_noise(rng, 20)
    explained = f(X @ scm.B.T) if of == "sum" else f(X) @ scm.B.T
    np.testing.assert_allclose(X, explained + V, atol=1e-9 * np.abs(X).max())
    np.testing.assert_array_equal(world.order, topological_order(world.graph))


@given(linear_scms(), st.integers(0, 99), st.floats(0, 1))
def test_half_nonlinear_variables_mix_what_is_linear_and_what_is_not(scm, seed, strength):
    world = NonlinearSCM(scm, "tanh", strength=strength)
    X, V = (s(np.random.default_rng(seed), 20) for s in (world.sample, scm.sample_noise))
    explained = (1 - strength) * (X @ scm.B.T) + strength * np.tanh(X @ scm.B.T)
    np.testing.assert_allclose(X, explained + V, atol=1e-9 * np.abs(X).max())
    if strength == 0:
        np.testing.assert_allclose(X, scm.sample(np.random.default_rng(seed), 20), atol=1e-9 * np.abs(X).max())


def test_mechanisms_by_hand():
    at = np.array([-3.0, 0.0, 1.0])
    np.testing.assert_allclose(MECHANISMS["quadratic"](at), [2.25, 0, 0.5])
    np.testing.assert_allclose(MECHANISMS["sine"](at), np.sin(at))
    np.testing.assert_allclose(MECHANISMS["tanh"](at), np.tanh(at))


def test_standardised_data_are_the_scms():
    draw = np.random.default_rng
    np.testing.assert_array_equal(StandardisedSCM(SCM).sample(draw(0), 9), standardise(SCM.sample(draw(0), 9)))


@given(linear_scms(), st.integers(0, 99), st.floats(0, 4), st.sampled_from(["noise", "variable"]))
def test_a_larger_error_is_the_same_error_scaled(scm, seed, share, of):
    worlds = (scm, MeasuredSCM(scm, 1, of), MeasuredSCM(scm, share, of))
    X, one, other = (world.sample(np.random.default_rng(seed), 20) for world in worlds)
    np.testing.assert_allclose(other - X, np.sqrt(share) * (one - X), atol=1e-9 * max(np.abs(one).max(), 1))
    of_one = MeasuredSCM(scm, share, of).error_variance
    np.testing.assert_allclose(of_one, share * (scm.noise_scale**2 if of == "noise" else np.diag(scm.covariance)))


@given(linear_scms(), st.integers(0, 99), st.floats(0, 0.99))
def test_noise_remembers_the_row_before(scm, seed, phi):
    X, U = (s(np.random.default_rng(seed), 20) for s in (AutocorrelatedSCM(scm, phi).sample, scm.sample_noise))
    V = X @ (np.eye(scm.nodes) - scm.B).T
    wanted = np.vstack([U[:1], phi * V[:-1] + np.sqrt(1 - phi**2) * U[1:]])
    np.testing.assert_allclose(V, wanted, atol=1e-9 * np.abs(X).max())


@given(linear_scms(), st.integers(0, 99), st.floats(0, 1))
def test_lagged_effects_come_a_row_later_and_rows_are_stationary(scm, seed, share):
    world = LaggedSCM(scm, share)
    X, U = (s(np.random.default_rng(seed), 20) for s in (world.sample, scm.sample_noise))
    caused = (1 - share) * (X[1:] @ scm.B.T) + share * (X[:-1] @ scm.B.T)
    np.testing.assert_allclose(X[1:], caused + U[1:], atol=1e-9 * np.abs(X).max())
    A = np.linalg.inv(np.eye(scm.nodes) - (1 - share) * scm.B)
    Phi, S = share * A @ scm.B, world.covariance
    stationary = Phi @ S @ Phi.T + A @ np.diag(scm.noise_scale**2) @ A.T
    np.testing.assert_allclose(S, stationary, atol=1e-9 * np.abs(S).max())


MISSING = [(mechanism, handled) for mechanism in ("mcar", "mar", "mnar") for handled in ("mean", "pairwise")]


def holes(world, seed=0, samples=400):
    rng = np.random.default_rng(seed)
    return world.scm.sample(rng, samples), world._holes(world.scm.sample(np.random.default_rng(seed), samples), rng)


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
def test_who_is_missing(mechanism):
    """The share asked for of each column, all that a smaller share misses, and by what the mechanism says."""
    few, many = (MissingSCM(big_scm(), mechanism, "mean", share, driver=2) for share in (0.1, 0.4))
    X, less = holes(few)
    _, more = holes(many)
    assert (more | ~less).all()
    counts = np.full(8, 160)
    if mechanism == "mar":
        counts[2] = 0
    source = {"mcar": 0, "mar": X[:, [2]], "mnar": X}[mechanism] * np.ones_like(X)
    larger = [source[more[:, i], i].mean() - source[~more[:, i], i].mean() for i in range(8) if i != 2]
    assert (np.array(larger) > 0.5).all() == (mechanism != "mcar")
    np.testing.assert_array_equal(more.sum(axis=0), counts)


@pytest.mark.parametrize(("mechanism", "handled"), MISSING)
def test_what_is_made_of_missing_values(mechanism, handled):
    """The means of what is known; and of pairs, the covariance over the rows in which both are known."""
    world = MissingSCM(SCM, mechanism, handled, 0.2)
    X, gone = holes(world)
    rows = world.sample(np.random.default_rng(0), 400)
    hidden = np.ma.array(X, mask=gone)
    np.testing.assert_allclose(rows.mean(axis=0), hidden.mean(axis=0))
    if handled == "mean":
        np.testing.assert_array_equal(rows[~gone], X[~gone])
        np.testing.assert_allclose(rows[gone], np.broadcast_to(hidden.mean(axis=0), X.shape)[gone])
    else:
        pairs = np.array([
            [np.cov(X[both := ~gone[:, i] & ~gone[:, j], i], X[both, j], bias=True)[0, 1] for j in range(3)]
            for i in range(3)
        ])  # fmt: skip
        np.testing.assert_allclose(np.cov(rows.T, bias=True), pairs)


def test_pairwise_covariances_that_are_none_are_mended():
    world = MissingSCM(big_scm(), "mnar", "pairwise", 0.4)
    S = np.cov(world.sample(np.random.default_rng(1), 60).T, bias=True)
    assert 1e-8 < np.linalg.eigvalsh(standardise_covariance(S))[0] < 1e-5


def test_the_driver_is_drawn_and_depends_on_no_knob():
    drivers = {
        violate(big_scm(), np.random.default_rng(seed), "missing", mechanism="mar", handled="mean", share=share).driver
        for seed in range(9) for share in (0.1, 0.5)
    }  # fmt: skip
    assert 3 < len(drivers) <= 8


def test_no_samples_no_features():
    for world in (correlate(SCM, 0.1), NonlinearSCM(SCM, "sine"), AttentionRows(SCM)):
        with pytest.raises(InputError, match="samples: got 0"):
            world.sample(np.random.default_rng(0), 0)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: standardise([[1, 2], [1, 3]]), r"columns \[0\] are constant"),
        (lambda: standardise([[1, 2]]), "at least 2 samples"),
        (lambda: standardise([[1, np.nan], [1, 2]]), "finite"),
        (lambda: standardise_covariance([[1, 0], [0, 0]]), "diagonal above 0"),
        (lambda: AttentionRows(SCM, "z"), "'z'; expected one of raw"),
        (lambda: AttentionRows(SCM, "raw", affine=0.1), "0 on raw"),
        (lambda: AttentionRows(SCM, "mixed", affine=-0.1), "affine: got -0.1"),
        (lambda: AttentionRows(SCM, "raw", sequences=0), "sequences: got 0"),
        (lambda: rescale(SCM, [1, 2]), "one finite number above 0 for each of 3"),
        (lambda: rescale(SCM, [1, 0, 2]), "above 0"),
        (lambda: violate(SCM, RNG, "rescaled", spread=0.5), "spread 0.5"),
        (lambda: confound(SCM, RNG, 1, 4), "of 2 to 3"),
        (lambda: confound(SCM, RNG, -1, 2), "got -1 latents"),
        (lambda: ConfoundedSCM(SCM, np.zeros((2, 1))), r"expected \(3, latents\)"),
        (lambda: correlate(SCM, 1.0), "share 1.0"),
        (lambda: NonlinearSCM(SCM, "cubic"), "'cubic'; expected one of tanh"),
        (lambda: NonlinearSCM(SCM, "tanh", "all"), "'all'; expected one of sum"),
        (lambda: NonlinearSCM(SCM, "tanh").covariance, "none in closed form; give a number of samples"),
        (lambda: NonlinearSCM(SCM, "tanh", strength=1.1), "strength: got 1.1"),
        (lambda: MeasuredSCM(SCM, -1), "measured: got share -1"),
        (lambda: MeasuredSCM(SCM, 1, "all"), "'all'; expected one of noise, variable"),
        (lambda: AutocorrelatedSCM(SCM, 1.0), "phi 1.0"),
        (lambda: LaggedSCM(SCM, 1.1), "lagged: got share 1.1"),
        (lambda: MissingSCM(SCM, "none", "mean", 0.1), "mechanism: got 'none'; expected one of mcar, mar, mnar"),
        (lambda: MissingSCM(SCM, "mar", "em", 0.1), "handled: got 'em'; expected one of mean, pairwise"),
        (lambda: MissingSCM(SCM, "mar", "mean", 1.0), "missing: got share 1.0"),
        (lambda: MissingSCM(SCM, "mar", "mean", 0.1, driver=3), "driver: got 3; expected a variable, 0 to 2"),
        (lambda: MissingSCM(SCM, "mnar", "mean", 0.1).covariance, "mnar has none in closed form; give a number"),
        (lambda: MissingSCM(SCM, "mcar", "mean", 0.9).sample(RNG, 10), "too few of 10 rows"),
        (lambda: MissingSCM(SCM, "mcar", "pairwise", 0.4).sample(RNG, 3), "missing: (too few of )?3 rows"),
        (lambda: violate(SCM, RNG, "noisy"), "'noisy'; expected one of standardised"),
        (lambda: violate(SCM, RNG, "iscm", share=1), "unexpected keyword argument 'share'; its knobs: none"),
        (lambda: violate(SCM, RNG, "confounded", latents=1), "'children'; its knobs: latents, children"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
