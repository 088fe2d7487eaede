"""What a trained model's attention and graph are, against what the causal reading says they are (Eq. 6, Prop. 4.2).

All on the first layer, the one that CausalRec discovers in. Shape letters: l positions of one history, oldest first, d
features, h heads, f features of one head. Row = effect, column = cause.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalrec.attention import Block, causal_mask
from causalrec.discovery import Reading, admissible, implied_weights, mix
from causalrec.interactions import Sequences
from causalrec.model import CausalRec, SASRec, two_way_mask

HISTORIES = 32  # looked at, evenly spread over the users
WINDOW = 50  # latest positions that the regressions of Z see
EDGES, MOST_ITEMS = 50_000, 6000  # edges kept of an item graph, and the largest catalogue that it is made for
HORIZON = 5
BOUND = 1e100  # stands for what an A implies whose diagonal underflows
Arrays = dict[str, NDArray[Any]]


def audit(model: SASRec, history: Sequences, rng: np.random.Generator) -> Arrays:
    """Measure the causal reading on histories of at least three different items.

    Arrays, one figure per history, (histories,) float64. audit_error: relative Frobenius error of Cov(Z) = A Cov(V) Aᵀ,
    the worst head. audit_correlation: mean |correlation| of two rows of V that hold different items; audit_excess: the
    same less what independent rows give. audit_variance: largest over smallest variance of the rows of V. Of A = (I −
    B)⁻¹Λ: audit_negative, the share of effects B below 0; audit_size, their median |B|; audit_noise, largest over
    smallest Λ², median over heads. For CausalRec, audit_r2_*: adjusted R² of Z_i on R's parents, on as many random and
    on as many latest earlier positions, mean over rows (NaN if no row has parents); audit_fit: share of Z's square that
    W explains.

    Args:
        model: a trained SASRec or CausalRec.
        history: test histories; `HISTORIES` of them are looked at.
        rng: draws the random parents.
    """
    device, length = model.item.weight.device, model.options.length
    varied = np.array([len(np.unique(history.row(user)[-length:])) >= 3 for user in range(len(history))])
    users = np.flatnonzero(varied)
    users = users[np.linspace(0, len(users) - 1, min(HISTORIES, len(users))).astype(int)] if len(users) else users
    figures: dict[str, list[float]] = {}
    with torch.inference_mode():
        for user in users:
            row = history.row(int(user))[-length:]
            items = torch.from_numpy(row[None])
            for name, value in _look(model, items.to(device), rng).items():
                figures.setdefault(f"audit_{name}", []).append(value)
    return {name: np.array(values) for name, values in figures.items()}


def _look(model: SASRec, items_1l: Tensor, rng: np.random.Generator) -> dict[str, float]:
    block, reading = cast(Block, model.blocks[0]), model.options if isinstance(model, CausalRec) else Reading()
    _, x = model.embed(items_1l)
    mask = (two_way_mask if reading.bidirectional else causal_mask)(items_1l != 0, x.dtype)
    v = block.exogenous(block.attention_norm(x))[0].double()
    a = mix(block.attention(x, mask), reading.mixing)[0].double()
    graph = model.graph(items_1l) if isinstance(model, CausalRec) else None
    z = (block(x, mask)[1] if graph is None else graph.z_bld)[0].double()
    different = admissible(items_1l)[0].tril(-1)
    figures = _shape(v, a, z, implied_weights(a, causal=not reading.bidirectional), different)
    if graph is not None:
        figures |= _fit(z, graph.weights_bij[0].double().tril(-1), graph.relation_bij[0] != 0, different, rng)
    return figures


def _shape(v_ld: Tensor, a_hll: Tensor, z_ld: Tensor, b_hll: Tensor, different_ll: Tensor) -> dict[str, float]:
    """The identity, the two conditions on V, and the SCM that A implies: A = (I − B)⁻¹Λ, so (I − B)A = Λ."""
    heads = len(a_hll)
    v, z = (rows.view(len(rows), heads, -1).transpose(0, 1) for rows in (v_ld, z_ld))
    given, mixed = covariance(v), covariance(z)
    error = (mixed - a_hll @ given @ a_hll.mT).flatten(1).norm(dim=1) / mixed.flatten(1).norm(dim=1)
    whole = covariance(v_ld)
    variance = whole.diagonal()
    correlation = (whole / variance.outer(variance).sqrt())[different_ll].abs().mean()
    effects, scale = b_hll[:, different_ll], (a_hll - b_hll @ a_hll).diagonal(dim1=-2, dim2=-1)
    return {
        "error": float(error.max()),
        "correlation": float(correlation),
        "excess": float(correlation) - chance_correlation(v_ld.shape[1]),
        "variance": float(variance.max() / variance.min()),
        "negative": float((effects < 0).double().mean()),
        "size": _bounded(effects.abs().median()),
        "noise": _bounded((scale.amax(1) / scale.amin(1)).square().median()),
    }


def _bounded(figure: Tensor) -> float:
    return min(float(figure), BOUND) if bool(figure.isfinite()) else BOUND


def covariance(rows_ld: Tensor) -> Tensor:
    """Covariance (..., l, l) of rows over their features, each row centred.

    Args:
        rows_ld: (..., l, d).
    """
    centred = rows_ld - rows_ld.mean(-1, keepdim=True)
    return centred @ centred.mT / rows_ld.shape[-1]


def chance_correlation(features: int) -> float:
    """Mean |correlation| of two independent normal rows: Γ(k/2) / (√π Γ((k + 1)/2)) with k = features − 1.

    Args:
        features: length of a row.
    """
    k = features - 1
    return math.exp(math.lgamma(k / 2) - math.lgamma((k + 1) / 2)) / math.sqrt(math.pi)


def _fit(
    z_ld: Tensor, past_ll: Tensor, relation_ll: Tensor, different_ll: Tensor, rng: np.random.Generator
) -> dict[str, float]:
    """How well W, and regressions on R's parents and on others, explain the rows of Z."""
    centred = z_ld - z_ld.mean(1, keepdim=True)
    figures = {"fit": 1 - float((centred - past_ll @ centred).square().sum() / centred.square().sum())}
    gram, relation, different = (part[-WINDOW:, -WINDOW:] for part in (centred @ centred.mT, relation_ll, different_ll))
    count, features = relation.sum(1), z_ld.shape[1]
    # With all earlier positions chosen, no others could be; with too many for the features, anything fits.
    rows = (count > 0) & (count < different.sum(1)) & (count <= features // 4)
    draws = torch.from_numpy(rng.random(tuple(relation.shape))).to(gram.device)
    order = torch.arange(len(gram), dtype=gram.dtype, device=gram.device).expand_as(draws)
    others = {"random": strongest(draws, different, count), "latest": strongest(order, different, count)}
    for name, parents in {"parents": relation, **others}.items():
        found = explained(gram, parents, features)[rows]
        figures[f"r2_{name}"] = float(found.mean()) if len(found) else math.nan
    return figures


def strongest(score_ll: Tensor, allowed_ll: Tensor, count_l: Tensor) -> Tensor:
    """In each row the allowed columns of highest score, (l, l) bool.

    Args:
        score_ll: scores (l, l).
        allowed_ll: which may be chosen (l, l) bool.
        count_l: how many to choose per row (l,).
    """
    rank = score_ll.masked_fill(~allowed_ll, -math.inf).argsort(1, descending=True).argsort(1)
    return (rank < count_l[:, None]) & allowed_ll


def explained(gram_ll: Tensor, parents_ll: Tensor, features: int) -> Tensor:
    """Adjusted R² (l,) of each row's least squares on its parents.

    Args:
        gram_ll: Gram matrix (l, l) of the centred rows.
        parents_ll: row i's parents (l, l) bool.
        features: length of a row.
    """
    p = parents_ll.to(gram_ll.dtype)
    ridge = 1e-9 * gram_ll.diagonal().mean()  # rows of Z may be copies of each other
    system = gram_ll * p[:, :, None] * p[:, None, :] + torch.diag_embed(1 - p + ridge)
    right = gram_ll * p
    share = (right * torch.linalg.solve(system, right)).sum(1) / gram_ll.diagonal()
    freedom = (features - 1 - p.sum(1)).clamp(min=1)
    adjusted: Tensor = 1 - (1 - share) * (features - 1) / freedom
    return adjusted


# Item graphs


def item_edges(model: CausalRec) -> Arrays:
    """The strongest edges of W between items 0..I−1, strongest first, W > 0: at most `EDGES`.

    Args:
        model: has an item graph.

    Returns:
        edge_effect and edge_cause (edges,) int32, edge_weight (edges,) float32; empty for a catalogue above
            `MOST_ITEMS`.
    """
    if model.options.items > MOST_ITEMS:
        return _edges(np.empty(0, np.int64), np.empty(0), model.options.items)
    flat = model.item_graph().flatten()
    weight, place = flat.topk(min(EDGES, int((flat > 0).sum())))
    return _edges(place.cpu().numpy(), weight.cpu().numpy(), model.options.items)


def _edges(place: NDArray[Any], weight: NDArray[Any], items: int) -> Arrays:
    effect, cause = np.divmod(place.astype(np.int32), items)
    return {"edge_effect": effect, "edge_cause": cause, "edge_weight": weight.astype(np.float32)}


def items_seen(train: Sequences) -> Arrays:
    """item_counts (items,) int64, actions in training, and item_labels (items,), the dataset's own names.

    Args:
        train: the training rows.
    """
    return {
        "item_counts": np.bincount(train.items, minlength=train.num_items + 1)[1:],
        "item_labels": np.array(train.item_labels),
    }


def lift_edges(train: Sequences, edges: int = 1000) -> Arrays:
    """The edges of highest lift, as a control that trains nothing: lift_effect, lift_cause (edges,) int32, 0..I−1.

    (n_ij + 1) / (n_i. n_.j / n + 1) as `synth.behaviour_controls.lift`, n_ij counting how often i follows j within
    `HORIZON` steps, over the pairs of different items that occur.

    Args:
        train: the training rows.
        edges: how many to return at most.
    """
    codes, items = [], train.num_items
    owner = np.repeat(np.arange(len(train)), train.lengths())
    for age in range(1, HORIZON + 1):
        effect, cause = train.items[age:] - 1, train.items[:-age] - 1
        here = (owner[age:] == owner[:-age]) & (effect != cause)
        codes.append(effect[here] * items + cause[here])
    pair, count = np.unique(np.concatenate(codes), return_counts=True)
    effect, cause = np.divmod(pair, items)
    of_effect, of_cause = (np.bincount(side, weights=count, minlength=items) for side in (effect, cause))
    score = (count + 1) / (of_effect[effect] * of_cause[cause] / max(1, count.sum()) + 1)
    best = np.argsort(-score, kind="stable")[:edges]
    return {"lift_effect": effect[best].astype(np.int32), "lift_cause": cause[best].astype(np.int32)}
