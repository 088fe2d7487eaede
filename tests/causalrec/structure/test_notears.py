import numpy as np
import pytest
import torch

from causalrec.acyclicity import is_acyclic
from causalrec.errors import InputError
from causalrec.structure import Problems, threshold
from causalrec.structure.registry import load
from synth.graphs import draw_dag
from synth.scm import draw_scm, sample_many
from synth.scoring import shd
from tests.closeness import agree


def draws(nodes: int, count: int, seed: int, **options) -> tuple[np.ndarray, Problems]:
    """Weights B (count, nodes, nodes) of ER2 worlds, and 1,000 samples of each."""
    rngs = [np.random.default_rng([seed, i]) for i in range(count)]
    scms = [draw_scm(rng, draw_dag("er", rng, nodes, 2), **options) for rng in rngs]
    return np.stack([scm.B for scm in scms]), Problems.from_samples(sample_many(scms, rngs, 1000))


def test_median_shd_on_er2_with_twenty_nodes():
    B, problems = draws(20, 30, seed=20)
    fits = load("notears").fit(problems, np.random.default_rng())
    assert (fits.h <= 1e-8).all()
    assert fits.converged.all()
    assert is_acyclic(torch.from_numpy(threshold(fits.W))).all()
    assert np.median(shd(B != 0, threshold(fits.W) != 0)) <= 1


@pytest.mark.parametrize("acyclicity", ["log_determinant", "exponential"])
def test_h_ends_under_its_tolerance_where_the_model_is_wrong(acyclicity):
    _, problems = draws(8, 6, seed=21, profile="falling", ratio=16.0)
    scale = np.sqrt(problems.covariance.diagonal(axis1=1, axis2=2))
    standardised = problems.covariance / scale[:, :, None] / scale[:, None, :]
    for covariance in (problems.covariance, standardised, 1e4 * problems.covariance, 1e-4 * problems.covariance):
        fits = load("notears", acyclicity=acyclicity).fit(Problems(covariance), np.random.default_rng())
        assert (fits.h <= 1e-8).all()
        assert fits.converged.all()


def test_the_trace_tells_the_path():
    fits = load("notears").fit(draws(8, 5, seed=22)[1], np.random.default_rng())
    h, rho, gamma = (fits.trace[name] for name in ("h", "rho", "gamma"))
    assert h.shape == rho.shape == gamma.shape
    assert h.shape[1] == 5
    assert np.array_equal(h[-1], fits.h)
    assert (h[0] > 1e-3).any()
    assert (np.diff(rho, axis=0) >= 0).all()
    assert (np.diff(gamma, axis=0) >= 0).all()


def test_it_minimises_what_it_says():
    # x0 -> x1 with weight 1 and unit noise. At W[1,0] = w the objective is ½(1 + 2 + w² − 2w) + λ|w|, least at 1 − λ.
    S = np.array([[[1.0, 1.0], [1.0, 2.0]]])
    W = load("notears", sparsity=0.1, change=1e-12).fit(Problems(S), np.random.default_rng()).W[0]
    assert W[1, 0] == pytest.approx(0.9, abs=1e-3)
    assert abs(W[0, 1]) < 1e-3


def objective(W, S, sparsity=0.02):
    A = np.eye(W.shape[-1]) - W
    return 0.5 * ((A @ S) * A).sum((1, 2)) + sparsity * np.abs(W).sum((1, 2))


def test_restarts_keep_the_least_objective_and_share_their_starts():
    problems = draws(8, 4, seed=25)[1]
    S = problems.covariance
    once, often = (load("notears", restarts=k).fit(problems, np.random.default_rng(1)) for k in (0, 4))
    assert (objective(often.W, S) <= objective(once.W, S) + 1e-9).all()
    assert (often.iterations > once.iterations).all()
    assert (often.h <= 1e-8).all()
    assert np.array_equal(often.trace["h"][-1], often.h)
    alone = load("notears", restarts=4).fit(Problems(S[:1], problems.samples), np.random.default_rng(1))
    assert np.allclose(alone.W, often.W[:1], atol=1e-6)


def test_a_first_lambda_is_where_the_search_starts():
    """In a tiny domain of one edge the problem is convex, so the start is forgotten."""
    S = np.array([[[1.0, 1.0], [1.0, 2.0]]])
    learners = (load("notears", first=first, change=1e-10) for first in (0.0, 0.5))
    one, other = (learner.fit(Problems(S), np.random.default_rng()).W for learner in learners)
    assert np.allclose(one, other, atol=1e-3)
    problems = draws(8, 3, seed=26)[1]
    strict = load("notears", sparsity=0.5).fit(problems, np.random.default_rng())
    path = load("notears", first=0.5).fit(problems, np.random.default_rng())
    assert (objective(path.W, problems.covariance) < objective(strict.W, problems.covariance)).all()


def test_too_few_rounds_are_admitted():
    fits = load("notears", outer=1).fit(draws(8, 3, seed=23)[1], np.random.default_rng())
    assert not fits.converged.all()
    assert np.array_equal(fits.converged, fits.h <= 1e-8)


@pytest.mark.numeric
def test_memory_chunks_do_not_show(monkeypatch):
    problems = draws(6, 5, seed=24)[1]
    whole = load("notears").fit(problems, np.random.default_rng())
    monkeypatch.setattr("causalrec.structure.newton._CHUNK", {"cpu": 2 * 6**3})
    parts = load("notears").fit(problems, np.random.default_rng())
    assert agree(whole.W, parts.W, problems.covariance, tolerance=1e-8)
    assert all(np.allclose(whole.trace[k], parts.trace[k], rtol=1e-6, atol=1e-12) for k in whole.trace)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_learns_the_same_graphs():
    problems = draws(10, 8, seed=25)[1]
    cpu, cuda = (load("notears", device=d).fit(problems, np.random.default_rng()).W for d in ("cpu", "cuda"))
    assert np.array_equal(threshold(cpu) != 0, threshold(cuda) != 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": -1.0}, "≥ 0"),
        ({"restarts": -1}, "≥ 0"),
        ({"sparsity": 0.0}, "above 0"),
        ({"acyclicity": "polynomial"}, "log_determinant, exponential"),
        ({"device": "tpu"}, "give cpu"),
    ],
)
def test_refuses_options_that_make_no_problem(options, message):
    with pytest.raises(InputError, match=message):
        load("notears", **options)
