"""The causal discovery block: item representations to W, W to R, and the terms of L_DAG.

Shape letters: b sequences, l positions, i effect position, j cause position, d features, w features of the bilinear
form, h heads. `W[b, i, j]` is the effect of position j on position i.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.acyclicity import truncated_exponential
from causalrec.attention import Block
from causalrec.errors import InputError
from causalrec.relation import LEAKING, RULES, keep, relate
from causalrec.structure.regression import eliminate

SOURCES = ("item_bilinear", "contextual", "global_lowrank", "closed_form", "inner_solve", "free", "fixed")
ITEM_LEVEL = ("item_bilinear", "global_lowrank", "free", "fixed")
FREE_ITEMS = 5000
ALIVE = 0.1
CHOICES = {
    "source": SOURCES,
    "sign": ("relu", "signed"),
    "mixing": ("plain", "rescaled", "residual"),
    "placement": ("values", "mixed"),
    "fit": ("time", "full", "none"),
    "constrained": ("all", "used"),
    "relation": RULES,
    "positions": ("every", "last"),
}


@dataclass(frozen=True)
class Reading:
    """The choices that the paper leaves open in the discovery block. The defaults are this suite's own reading.

    W = relu(M − delta)∘K under sign `relu` and W = M∘K under `signed`, where K is `admissible` and M is by source:

    - `item_bilinear`: (F Wa)(F Wb)ᵀ/√w with F = LN(E[s]);
    - `contextual`: the same with F = LN(Z);
    - `global_lowrank`: u_i·v_j/√w from two tables of item factors;
    - `free`: a table (items, items);
    - `closed_form`: I − ΛA⁻¹, where A is the matrix that mixes V into Z (mean over heads) and Λ_ii = 1/(A⁻¹)_ii;
    - `inner_solve`: least squares of the rows of Z along time, or with fit `full` along the order that EqVar finds
      (Chen, Drton & Wang 2019); no part of it is learned by gradient;
    - `fixed`: the W given to `CausalRec.fix`, as a control; needs beta = 0.

    Args:
        source: where M comes from, default `item_bilinear`.
        sign: `relu` (default) or `signed`.
        delta: threshold of the relu, at least 0, default 0.05.
        mixing: Z is AV (`plain`, default), diag(A)⁻¹AV (`rescaled`) or V + A_<V (`residual`).
        placement: the discovery layer's LayerNorm, if it has one, is on V (`values`, default) or on Z (`mixed`).
        bidirectional: the discovery layer attends to later positions too; default False.
        fit: L_fit uses W masked to j < i (`time`, default) or all of W (`full`, the lemma to the letter); `none` omits
            it.
        stop: L_fit treats Z as data, without a gradient; default True.
        acyclicity: include h(W) in the loss; default True. h of the full W is reported in any case.
        constrained: that h is of `all` of W (default), or of the part `used`: what the rule of `relation` keeps of W in
            both directions of time. On j < i alone, which is all that R reads, no cycle can be: h there is 0 by
            construction and constrains nothing.
        repeats: K lets an earlier action on the same item be a cause, the user's habit; default False. Two actions on
            one item then cause each other in the full W, so that h takes a habit for a cycle and shrinks it.
        relation: rule of `causalrec.relation` that reads R from W, default `threshold`.
        tau: constant of that rule, at least 0, default 0.3.
        top: number of causes per row under `top_k`, default 3.
        positions: train on `every` position (default), or only on the `last` one of each sequence, as leaking readings
            must.

    Raises:
        InputError: an unknown choice, a number out of range, or a reading that leaks and trains on every position.
    """

    source: str = "item_bilinear"
    sign: str = "relu"
    delta: float = 0.05
    mixing: str = "plain"
    placement: str = "values"
    bidirectional: bool = False
    fit: str = "time"
    stop: bool = True
    acyclicity: bool = True
    constrained: str = "all"
    repeats: bool = False
    relation: str = "threshold"
    tau: float = 0.3
    top: int = 3
    positions: str = "every"

    def __post_init__(self) -> None:
        for name, valid in CHOICES.items():
            if getattr(self, name) not in valid:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(valid)}")
        for name in ("delta", "tau"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} = {getattr(self, name)}; expected a finite number >= 0")
        if self.top < 1:
            raise InputError(f"top = {self.top}; expected at least 1 cause per row")
        if self.leaks and self.positions == "every":
            raise InputError(
                f"{self.leaks} lets an early row see later items, so that training on every position leaks the "
                "targets; train with positions = last"
            )

    @property
    def leaks(self) -> str:
        """What lets R or Z at row i depend on items after i; empty if nothing does."""
        if self.bidirectional:
            return "bidirectional discovery"
        if self.source == "inner_solve" and self.fit == "full":
            return "inner_solve along the order of EqVar"
        return f"relation {self.relation}" if self.relation in LEAKING else ""


@dataclass(frozen=True, eq=False)
class Graph:
    """W and R of a batch, and the terms of L_DAG per sequence (b,), which are computed when asked for.

    Args:
        items_bl: items of the sequences, 0 at padding.
        z_bld: mixed rows Z.
        weights_bij: W.
        relation_bij: R, bool or in [0, 1].
        reading: how W was made.
    """

    items_bl: Tensor
    z_bld: Tensor
    weights_bij: Tensor
    relation_bij: Tensor
    reading: Reading

    @cached_property
    def acyclicity_b(self) -> Tensor:
        """h(W) of the full W."""
        return truncated_exponential(self.weights_bij)

    @cached_property
    def constrained_b(self) -> Tensor:
        """h of what the reading constrains, which is in the loss."""
        r = self.reading
        if r.constrained == "all":
            return self.acyclicity_b
        kept = keep(self.weights_bij.detach().abs(), r.relation, r.tau, r.top)
        return truncated_exponential(self.weights_bij.where(kept, 0))

    @cached_property
    def fit_b(self) -> Tensor:
        """L_fit, as in `fit_error`."""
        mask = "full" if self.reading.fit == "full" else "time"
        return fit_error(self.weights_bij, self.z_bld, self.items_bl != 0, mask, self.reading.stop)

    @cached_property
    def sparsity_b(self) -> Tensor:
        """|W|_1 divided by the number of items in the sequence."""
        weights = self.weights_bij.abs() if self.reading.sign == "signed" else self.weights_bij
        return weights.sum((-1, -2)) / (self.items_bl != 0).sum(-1).clamp(min=1)

    @property
    def guards(self) -> dict[str, Tensor]:
        """Signs of a dying or exploding W: the share of items with a past but without a cause in R, and max |W|."""
        valid = self.items_bl != 0
        later = valid & (valid.cumsum(-1) > 1)
        empty = later & ~self.relation_bij.detach().any(-1)
        return {
            "empty_rows": empty.sum() / later.sum().clamp(min=1),
            "weight_max": self.weights_bij.detach().abs().amax(),
        }


def admissible(items_bl: Tensor, repeats: bool = False) -> Tensor:
    """Return K (b, i, j), True where both positions are real and hold different items; a repeat would explain itself.

    Args:
        items_bl: items, 0 at padding; also one row (l,) without a batch.
        repeats: two positions may hold the same item; default False.
    """
    valid = items_bl != 0
    if repeats:
        different = ~torch.eye(items_bl.shape[-1], dtype=torch.bool, device=items_bl.device)
    else:
        different = items_bl[..., :, None] != items_bl[..., None, :]
    return different & valid[..., :, None] & valid[..., None, :]


def fit_error(
    weights_bij: Tensor, z_bld: Tensor, valid_bl: Tensor, mask: str = "time", stop: bool = True
) -> Tensor:
    """Return half the mean squared residual of the feature-centred Z given its weighted causes, (b,).

    Args:
        weights_bij: W.
        z_bld: mixed rows Z.
        valid_bl: bool, True where the position holds an item.
        mask: `time` (default), only j < i may explain i, since the time order is known; `full`, every row may (Lemma
            4.1).
        stop: detach Z (default True); otherwise the fit drains the variance of Z.
    """
    z = z_bld.detach() if stop else z_bld
    z = z - z.mean(-1, keepdim=True)
    residual = z - (weights_bij.tril(-1) if mask == "time" else weights_bij) @ z
    row_error = 0.5 * residual.square().mean(-1)
    return (row_error * valid_bl).sum(-1) / valid_bl.sum(-1).clamp(min=1)


def implied_weights(mixing_bij: Tensor, causal: bool = True) -> Tensor:
    """Return B = I − ΛA⁻¹ (b, i, j) of mixing matrices A = (I − B)⁻¹Λ, with diag B = 0.

    B is not finite, or huge, where A is singular or nearly so. If A is not triangular, B may have cycles.

    Args:
        mixing_bij: A.
        causal: A is lower triangular; default True.
    """
    identity = torch.eye(mixing_bij.shape[-1], dtype=mixing_bij.dtype, device=mixing_bij.device)
    if causal:
        inverse = torch.linalg.solve_triangular(mixing_bij, identity.expand_as(mixing_bij), upper=False)
    else:
        inverse = torch.linalg.inv_ex(mixing_bij).inverse
    scale = 1 / inverse.diagonal(dim1=-2, dim2=-1)
    implied: Tensor = (identity - scale[..., None] * inverse) * (1 - identity)
    return implied


def solved_weights(z_bld: Tensor, valid_bl: Tensor, mask: str = "time") -> Tensor:
    """Return W (b, i, j) by least squares of each row of Z on the rows before it; no gradient.

    Features are the samples. Padding, and rows that their predecessors determine, get coefficients 0.

    Args:
        z_bld: mixed rows Z.
        valid_bl: bool, True where the position holds an item.
        mask: predecessors in time (`time`, default) or in the order that EqVar finds (`full`).
    """
    z = (z_bld.detach().double() * valid_bl[..., None]).cpu().numpy()
    z = z - z.mean(-1, keepdims=True)
    order = np.tile(np.arange(z.shape[1]), (len(z), 1)) if mask == "time" else None
    W = eliminate(z @ z.transpose(0, 2, 1) / z.shape[-1], order)[1]
    return torch.from_numpy(W).to(z_bld)


class DiscoveryBlock(Block):
    """The first layer of CausalRec, which also returns the mixing matrix; by default it equals `Block` bit for bit.

    Args:
        width: number of features, a multiple of `heads`.
        heads: number of attention heads.
        dropout: share of entries dropped, in [0, 1).
        normalised: whether the layer has a LayerNorm on V or on Z.
        reading: choices of the discovery block.
    """

    def __init__(self, width: int, heads: int, dropout: float, normalised: bool, reading: Reading) -> None:
        self.reading = reading
        self.on_mixed = normalised and reading.placement == "mixed"
        super().__init__(width, heads, dropout, normalise_values=normalised and not self.on_mixed)

    def discover(self, x_bld: Tensor, mask_b1qk: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the block's output and Z, both (b, l, d), and the mean over heads of the matrix that mixes V, or None.

        The mixing matrix (b, i, j) is returned where the reading needs it in full.

        Args:
            x_bld: input of the block.
            mask_b1qk: additive mask.
        """
        r = self.reading
        if r.mixing == "plain" and not self.on_mixed and r.source != "closed_form":
            return *self(x_bld, mask_b1qk), None
        mixing = mix(self.attention(x_bld, mask_b1qk), r.mixing)
        values = self._split(self.exogenous(self.attention_norm(x_bld)))
        z = (mixing @ values).transpose(1, 2).flatten(2)
        if self.on_mixed:
            z = functional.layer_norm(z, z.shape[-1:], eps=1e-8)
        x = x_bld + self.dropout(self.out(z))
        hidden = self.dropout(torch.relu(self.widen(self.forward_norm(x))))
        return x + self.dropout(self.narrow(hidden)), z, mixing.mean(1)


def mix(attention_bhij: Tensor, mixing: str) -> Tensor:
    """Return A, diag(A)⁻¹A (diagonal entries below 1e-6 count as 1e-6), or I + A strictly below the diagonal.

    Args:
        attention_bhij: attention matrix A.
        mixing: `plain`, `rescaled` or `residual`.
    """
    if mixing == "rescaled":
        return attention_bhij / attention_bhij.diagonal(dim1=-2, dim2=-1).clamp(min=1e-6)[..., None]
    if mixing == "residual":
        identity = torch.eye(attention_bhij.shape[-1], dtype=attention_bhij.dtype, device=attention_bhij.device)
        return identity + attention_bhij.tril(-1)
    return attention_bhij


def _products(effect_biw: Tensor, cause_bjw: Tensor) -> Tensor:
    products: Tensor = effect_biw @ cause_bjw.transpose(-1, -2) / effect_biw.shape[-1] ** 0.5
    return products


class Discovery(nn.Module):
    """W and R of a batch, in the given reading.

    In the default reading W_ij depends on the two items alone, so that row i cannot see what happens after i, and every
    sequence shares one graph of the items.

    Args:
        items: number of items in the catalogue.
        width: number of features of an item embedding.
        reading: choices of the discovery block.

    Raises:
        InputError: source `free` with more than 5,000 items.
    """

    def __init__(self, items: int, width: int, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        if reading.source == "free" and items > FREE_ITEMS:
            raise InputError(f"source free holds a table of {items}² weights; it takes up to {FREE_ITEMS} items")
        if reading.source in ("item_bilinear", "contextual"):
            self.effect, self.cause = (nn.Linear(width, width, bias=False) for _ in range(2))
        elif reading.source == "global_lowrank":
            self.effect_factors, self.cause_factors = (nn.Parameter(torch.empty(items + 1, width)) for _ in range(2))
        elif reading.source == "free":
            self.table = nn.Parameter(torch.empty(items + 1, items + 1))
        elif reading.source == "fixed":
            self.register_buffer("table", torch.empty(items + 1, items + 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw M with a standard deviation of about 0.1, so that h starts small; `free` starts 0.1 above its threshold.

        Args:
            generator: source of randomness, on the module's device.
        """
        r = self.reading
        if r.source in ("item_bilinear", "contextual"):
            for linear in (self.effect, self.cause):
                nn.init.normal_(linear.weight, std=(ALIVE / linear.in_features) ** 0.5, generator=generator)
        elif r.source == "global_lowrank":
            for factors in (self.effect_factors, self.cause_factors):
                nn.init.normal_(factors, std=ALIVE**0.5, generator=generator)
        elif r.source == "free" and r.sign == "signed":
            nn.init.normal_(self.table, std=ALIVE, generator=generator)
        elif r.source == "free":
            nn.init.constant_(self.table, r.delta + ALIVE)
        elif r.source == "fixed":
            nn.init.constant_(self.table, torch.nan)

    def fix(self, weights: Tensor) -> None:
        """Use the given weights as W of every sequence; only for source `fixed`.

        Args:
            weights: finite (items, items), row the effect.

        Raises:
            InputError: another source, another shape, or entries that are not finite.
        """
        if self.reading.source != "fixed":
            raise InputError(f"source {self.reading.source} learns its W; choose source = fixed to give one")
        expected = (len(self.table) - 1,) * 2
        if weights.shape != expected or not bool(weights.isfinite().all()):
            raise InputError(f"W has shape {tuple(weights.shape)}; expected finite {expected}, row the effect")
        with torch.no_grad():
            self.table.zero_()
            self.table[1:, 1:] = weights.to(self.table)

    def raw_weights(
        self, items_bl: Tensor, embedding_bld: Tensor, z_bld: Tensor | None, mixing: Tensor | None
    ) -> Tensor:
        """Return M (b, i, j) of the source, before its sign and K.

        Args:
            items_bl: items, 0 at padding; for item-level sources also one row (l,) without a batch.
            embedding_bld: item embeddings.
            z_bld: mixed rows Z; needed by `contextual` and `inner_solve`.
            mixing: matrix that mixes V into Z (b, i, j); needed by `closed_form`.
        """
        r = self.reading
        if r.source in ("item_bilinear", "contextual"):
            rows = embedding_bld if r.source == "item_bilinear" else z_bld
            assert rows is not None
            f = functional.layer_norm(rows, rows.shape[-1:])
            return _products(self.effect(f), self.cause(f))
        if r.source == "global_lowrank":
            return _products(self.effect_factors[items_bl], self.cause_factors[items_bl])
        if r.source == "closed_form":
            assert mixing is not None
            return implied_weights(mixing, causal=not r.bidirectional)
        if r.source == "inner_solve":
            assert z_bld is not None
            return solved_weights(z_bld, items_bl != 0, "full" if r.fit == "full" else "time")
        if r.source == "fixed" and bool(self.table[0, 0].isnan()):
            raise InputError("source fixed has no W yet; call CausalRec.fix with one (items, items)")
        return self.table[items_bl[..., :, None], items_bl[..., None, :]]

    def weights(
        self, items_bl: Tensor, embedding_bld: Tensor, z_bld: Tensor | None = None, mixing: Tensor | None = None
    ) -> Tensor:
        """Return W (b, i, j): M under its sign, and 0 outside K.

        Args:
            items_bl: items, 0 at padding; for item-level sources also one row (l,) without a batch.
            embedding_bld: item embeddings.
            z_bld: mixed rows Z, as in `raw_weights`; default None.
            mixing: matrix that mixes V into Z, as in `raw_weights`; default None.
        """
        m = self.raw_weights(items_bl, embedding_bld, z_bld, mixing)
        if self.reading.sign == "relu" and self.reading.source != "fixed":
            m = torch.relu(m - self.reading.delta)
        return m * admissible(items_bl, self.reading.repeats)

    def forward(self, items_bl: Tensor, embedding_bld: Tensor, z_bld: Tensor, mixing: Tensor | None = None) -> Graph:
        """Return W and R, and with them the terms of L_DAG.

        Args:
            items_bl: left-padded items, 0 at padding.
            embedding_bld: item embeddings.
            z_bld: mixed rows Z.
            mixing: matrix that mixes V into Z (b, i, j), for source `closed_form`; default None.
        """
        r = self.reading
        weights = self.weights(items_bl, embedding_bld, z_bld, mixing)
        return Graph(items_bl, z_bld, weights, relate(weights, r.relation, r.tau, r.top), r)
