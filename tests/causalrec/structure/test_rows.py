"""The Newton equation of all rows: solved by factors or by iteration, and what a learner finds either way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrec.structure import Problems, registry
from causalrec.structure import rows as module
from causalrec.structure.rows import Rows, leading
from synth.graphs import draw_dag
from synth.scm import draw_scm

NODES = 12


def equation(seed: int, vectors: bool, right: int) -> tuple[Rows, torch.Tensor, torch.Tensor]:
    """Hessians of two problems, a diagonal from soft to stiff, and right-hand sides."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2, 30, NODES)) @ np.diag(np.geomspace(0.1, 30, NODES))
    S = torch.from_numpy(X.transpose(0, 2, 1) @ X / 30)
    precision, a = torch.from_numpy(rng.uniform(0.1, 5, (2, NODES))), torch.from_numpy(rng.standard_normal((2, 12, 12)))
    diagonal = torch.from_numpy(10 ** rng.uniform(-3, 9, (2, NODES, NODES)))
    sides = torch.from_numpy(rng.standard_normal((2, right, NODES, NODES)))
    return Rows(S, precision, a) if vectors else Rows(S), diagonal, sides


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), vectors=st.booleans(), right=st.integers(1, 2))
def test_products_are_those_of_the_dense_matrices(seed, vectors, right):
    rows, _, V = equation(seed, vectors, right)
    dense = rows.dense().expand(2, NODES, NODES, NODES)
    assert torch.allclose(rows.times(V), torch.einsum("mijk,mrik->mrij", dense, V), rtol=1e-10, atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), vectors=st.booleans(), right=st.integers(1, 2))
def test_iteration_ends_where_factors_do(seed, vectors, right):
    rows, diagonal, V = equation(seed, vectors, right)
    exact = rows.solve(diagonal, V, None)
    matrices = rows.dense() + torch.diag_embed(diagonal)
    assert torch.allclose(torch.einsum("mijk,mrik->mrij", matrices, exact), V, rtol=1e-6, atol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_DENSE", 1), ("_RANK", 4), ("_ITERATIONS", 500), ("_RESIDUAL", 1e-9)):
            patch.setattr(module, name, value)
        root = leading(rows.S)
        assert root is not None
        found = rows.solve(diagonal, V, root)
        patch.setattr(module, "_RESIDUAL", 0.1)
        rough = rows.solve(diagonal, V, root)
        alone = Rows(rows.S[1:], *(None if x is None else x[1:] for x in (rows.precision, rows.a)))
        assert torch.allclose(alone.solve(diagonal[1:], V[1:], root[1:]), rough[1:], rtol=1e-5, atol=1e-8)
    assert torch.allclose(found, exact, rtol=1e-5, atol=1e-9)
    # However rough, a solution descends, and by no more than the exact one.
    descent = (rough * V).sum(-1)
    assert ((descent > 0) & (descent <= (exact * V).sum(-1) * (1 + 1e-9))).all()


def test_few_nodes_are_factored():
    assert leading(torch.eye(module._DENSE, dtype=torch.float64)[None]) is None


@pytest.mark.parametrize("name", ["notears", "dagma", "golem_ev", "golem_nv", "colide_ev"])
def test_a_learner_finds_the_same_graph_by_iteration(name, monkeypatch):
    rng = np.random.default_rng(3)
    scms = [draw_scm(rng, draw_dag("er", rng, 15, 1)) for _ in range(3)]
    problems = Problems(np.stack([scm.covariance for scm in scms]))
    by_factors = registry.load(name).fit(problems, rng)
    monkeypatch.setattr(module, "_DENSE", 1)
    monkeypatch.setattr(module, "_RANK", 4)
    by_iteration = registry.load(name).fit(problems, rng)
    assert by_iteration.converged.all()
    assert np.allclose(by_iteration.W, by_factors.W, atol=1e-2)
    first = registry.load(name).fit(Problems(problems.covariance[:1]), rng)
    assert np.allclose(first.W, by_iteration.W[:1], atol=1e-8)
