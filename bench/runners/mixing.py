"""Can causes be told from attention? Random causal attentions mix iid rows; EqVar orders the tokens from the result.

The truth is the SCM that the mixing itself implies, A = (I − B)⁻¹Λ, whose causes always come first in time.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bench.cell import Cell, Outcome, generator
from bench.errors import InputError
from bench.learners import load
from causalrec.structure import Problems
from synth.scoring import edge_auprc, order_accuracy, shd
from synth.violations import layernorm

LEARNER = "eqvar"
EDGE = 0.1  # the least |B_ij| that counts as an edge: effects of softmax attentions are small
Floats: TypeAlias = NDArray[np.float64]


def run(cell: Cell) -> Outcome:
    """Mix, order and score `params.draws` attentions; params are those of `experiments.mixing.plan`.

    Arrays, one value a draw: order_accuracy, over the edges |B_ij| ≥ `EDGE`, and auprc, of |W|, both NaN where there
    is no edge; shd, of |W| ≥ `EDGE`; true_edges; noise_ratio, the largest over the least of the implied noise variances
    Λ²; first_over_last, Var Z of the first token over that of the last; effect, the largest |B_ij|.
    """
    p = cell.params
    mixings = [mix(p["reading"], draw_attention(p, draw)) for draw in range(p["draws"])]
    fits = load(LEARNER).fit(_observe(p, mixings), generator(root=p["root"], stream="learner"))
    assert fits.order is not None
    implied = [imply(A) for A in mixings]
    B, noise = np.stack([B for B, _ in implied]), np.stack([scale for _, scale in implied]) ** 2
    truth, weights = np.abs(B) >= EDGE, np.abs(fits.W)
    variance = np.square(np.stack(mixings)).sum(2)
    arrays = {
        "order_accuracy": _known([order_accuracy(*pair) for pair in zip(truth, fits.order, strict=True)]),
        "auprc": _known([edge_auprc(*pair) for pair in zip(truth, weights, strict=True)]),
        "shd": shd(truth, weights >= EDGE),
        "true_edges": truth.sum((1, 2)),
        "noise_ratio": noise.max(1) / noise.min(1),
        "first_over_last": variance[:, 0] / variance[:, -1],
        "effect": np.abs(B).max((1, 2)),
    }
    return Outcome({"draws": p["draws"]}, arrays)


def draw_attention(p: Mapping[str, Any], draw: int) -> Floats:
    """A causal softmax attention (tokens, tokens), logits N(0, scale²); draws of equal tokens share their logits."""
    rng = generator(root=p["root"], stream="attention", tokens=p["tokens"], draw=draw)
    logits = p["scale"] * rng.standard_normal((p["tokens"], p["tokens"]))
    weights = np.tril(np.exp(logits - logits.max(1, keepdims=True)))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def mix(reading: str, attention: Floats) -> Floats:
    """What iid rows V of variance 1 are mixed by (n, n), lower triangular, of a causal attention A.

    plain: A. layernorm: A with its rows scaled to variance 1, which is LayerNorm on Z but for sampling.
    rescaled: diag(A)⁻¹A. residual: I + A_<. Raises InputError for any other reading.
    """
    mixings = {
        "plain": attention,
        "layernorm": attention / np.linalg.norm(attention, axis=1, keepdims=True),
        "rescaled": attention / attention.diagonal()[:, None],
        "residual": np.eye(len(attention)) + np.tril(attention, -1),
    }
    if reading not in mixings:
        raise InputError(f"reading {reading!r} is unknown; choose one of {', '.join(mixings)}")
    return np.asarray(mixings[reading])


def imply(mixing: Floats) -> tuple[Floats, Floats]:
    """B (n, n) and the diagonal of Λ (n,) with mixing = (I − B)⁻¹Λ, of a lower triangular mixing (n, n)."""
    scale = mixing.diagonal()
    identity = np.eye(len(mixing))
    B = np.tril(identity - solve_triangular(mixing / scale, identity, lower=True, unit_diagonal=True), -1)
    return np.asarray(B), np.asarray(scale)


def _observe(p: Mapping[str, Any], mixings: list[Floats]) -> Problems:
    """The covariance over `features` features of each Z, the exact one where that is None; V is shared by readings."""
    if p["features"] is None:
        return Problems(np.stack([A @ A.T for A in mixings]))
    axes = {name: p[name] for name in ("root", "tokens", "features")}
    rows = []
    for draw, A in enumerate(mixings):
        V = generator(**axes, stream="values", draw=draw).standard_normal((p["tokens"], p["features"]))
        rows.append(layernorm(A @ V) if p["reading"] == "layernorm" else A @ V)
    return Problems.from_samples(np.stack(rows).mT)


def _known(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values])
