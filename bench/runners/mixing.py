"""Can causes be told from attention? Random causal attentions mix iid rows; EqVar orders the tokens from the result.

The truth is the SCM that the mixing itself implies, A = (I − B)⁻¹Λ, whose causes always come first in time.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bench.cells.unit import Cell, Outcome
from bench.errors import InputError
from causalrec.methods.streams import generator
from causalrec.structure import Problems
from causalrec.structure.eqvar import EqVar
from synth.scoring import edge_auprc, order_accuracy, shd
from synth.violations import layernorm, standardise_covariance

EDGE = 0.1  # the least |B_ij| that counts as an edge: effects of softmax attentions are small
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


def run(cell: Cell) -> Outcome:
    """Mix, order and score `params.draws` attentions.

    Arrays, one value per draw: order_accuracy, over the edges |B_ij| ≥ `EDGE`, and auprc, of |W|, both NaN if there is
    no edge; shd, of |W| ≥ `EDGE`; true_edges; noise_ratio, the largest over the least of the implied noise variances
    Λ²; first_over_last, Var Z of the first token over that of the last; effect, the largest |B_ij|.

    Args:
        cell: its params are those of the experiment `mixing`.
    """
    p = cell.params
    mixings = [mix(p["reading"], draw_attention(p, draw)) for draw in range(p["draws"])]
    labels = np.stack([_labels(p, draw) for draw in range(p["draws"])])
    fits = EqVar().fit(_observe(p, mixings, labels), generator(root=p["root"], stream="learner"))
    assert fits.order is not None
    orders, back = np.take_along_axis(labels, fits.order, 1), np.argsort(labels, 1)
    weights = np.abs(fits.W[np.arange(len(back))[:, None, None], back[:, :, None], back[:, None, :]])
    implied = [imply(A) for A in mixings]
    B, noise = np.stack([B for B, _ in implied]), np.stack([scale for _, scale in implied]) ** 2
    truth = np.abs(B) >= EDGE
    variance = np.square(np.stack(mixings)).sum(2)
    arrays = {
        "order_accuracy": _known([order_accuracy(*pair) for pair in zip(truth, orders, strict=True)]),
        "auprc": _known([edge_auprc(*pair) for pair in zip(truth, weights, strict=True)]),
        "shd": shd(truth, weights >= EDGE),
        "true_edges": truth.sum((1, 2)),
        "noise_ratio": noise.max(1) / noise.min(1),
        "first_over_last": variance[:, 0] / variance[:, -1],
        "effect": np.abs(B).max((1, 2)),
    }
    return Outcome({"draws": p["draws"]}, arrays)


def draw_attention(p: Mapping[str, Any], draw: int) -> Floats:
    """A causal softmax attention (tokens, tokens) of logits N(0, scale²); draws of equal tokens share their logits.

    Args:
        p: the cell's parameters.
        draw: its number.
    """
    rng = generator(root=p["root"], stream="attention", tokens=p["tokens"], draw=draw)
    logits = p["scale"] * rng.standard_normal((p["tokens"], p["tokens"]))
    weights = np.tril(np.exp(logits - logits.max(1, keepdims=True)))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def mix(reading: str, attention: Floats) -> Floats:
    """What mixes iid rows V of variance 1: (n, n), lower triangular.

    Args:
        reading: "plain": A. "layernorm": A with its rows scaled to variance 1, which is LayerNorm on Z but for
            sampling. "rescaled": diag(A)⁻¹A. "residual": I + A_<.
        attention: a causal A (n, n).

    Raises:
        InputError: another reading.
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
    """B (n, n) and the diagonal of Λ (n,) with mixing = (I − B)⁻¹Λ.

    Args:
        mixing: lower triangular (n, n).
    """
    scale = mixing.diagonal()
    identity = np.eye(len(mixing))
    B = np.tril(identity - solve_triangular(mixing / scale, identity, lower=True, unit_diagonal=True), -1)
    return np.asarray(B), np.asarray(scale)


def _labels(p: Mapping[str, Any], draw: int) -> Integers:
    """Which token each variable is, at random: ties go to the lowest index, which in time order would be the root."""
    return generator(root=p["root"], stream="labels", tokens=p["tokens"], draw=draw).permutation(p["tokens"])


def _observe(p: Mapping[str, Any], mixings: list[Floats], labels: Integers) -> Problems:
    """The covariance over `features` features of each Z, the exact one where that is None; V is shared by readings.

    Variable k of draw i is token labels[i, k]. Rows after LayerNorm have variance 1 to the bit: they would else be
    ordered by its eps or by rounding.
    """
    covariances = []
    for draw, A in enumerate(mixings):
        if p["features"] is None:
            covariances.append(A @ A.T)
            continue
        axes = {name: p[name] for name in ("root", "tokens", "features")}
        V = generator(**axes, stream="values", draw=draw).standard_normal((p["tokens"], p["features"]))
        Z = layernorm(A @ V) if p["reading"] == "layernorm" else A @ V
        covariances.append(np.cov(Z, bias=True).reshape(len(A), -1))
    if p["reading"] == "layernorm":
        covariances = [standardise_covariance(S) for S in covariances]
    S = np.stack(covariances)
    return Problems(S[np.arange(len(S))[:, None, None], labels[:, :, None], labels[:, None, :]], p["features"])


def _known(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values])
