"""The causal discovery block: item representations -> W -> R, and the terms of L_DAG.

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
from causalrec.relation import LEAKING, RULES, relate
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
    "relation": RULES,
    "positions": ("every", "last"),
}


@dataclass(frozen=True)
class Reading:
    """What the paper leaves open of the discovery block; the defaults are the design's reading.

    source: where M comes from, of which W = relu(M − delta)∘K under sign `relu`, and W = M∘K under `signed`.
    - `item_bilinear`: (F Wa)(F Wb)ᵀ/√w with F = LN(E[s]); `contextual`: the same with F = LN(Z);
    - `global_lowrank`: u_i·v_j/√w of two tables of item factors; `free`: a table (items, items);
    - `closed_form`: I − ΛA⁻¹ with A the matrix that mixes V into Z (heads averaged) and Λ_ii = 1/(A⁻¹)_ii;
    - `inner_solve`: least squares of the rows of Z along time, or with fit `full` along the order that EqVar finds
      (Chen, Drton & Wang 2019); nothing is learned by gradient;
    - `fixed`: W is what `CausalRec.fix` was given, the control; needs beta = 0.
    mixing: Z = AV, diag(A)⁻¹AV, or V + A_<V. placement: LayerNorm of the discovery layer on V or on Z, if it has one.
    bidirectional: the discovery layer attends to later positions too.
    fit: L_fit with W masked to j < i, with all of W (the literal lemma), or no L_fit. stop: L_fit sees Z as data.
    acyclicity: whether h(W) is in the loss; it is reported in any case.
    relation, tau, top: the rule of `causalrec.relation` and its constants.
    positions: train on every position, or on the last one of each sequence alone; what leaks needs the latter.
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
            raise InputError(f"top = {self.top}; expected at least 1 cause a row")
        if self.leaks and self.positions == "every":
            raise InputError(
                f"{self.leaks} lets an early row see later items, which at training on every position leaks the "
                "targets; train with positions = last"
            )

    @property
    def leaks(self) -> str:
        """What lets R or Z at row i depend on items after i; empty where nothing does."""
        if self.bidirectional:
            return "bidirectional discovery"
        if self.source == "inner_solve" and self.fit == "full":
            return "inner_solve along the order of EqVar"
        return f"relation {self.relation}" if self.relation in LEAKING else ""


@dataclass(frozen=True, eq=False)
class Graph:
    """What discovery returns for a batch: W and R (b, i, j), and per sequence (b,) the terms of L_DAG when asked."""

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
    def fit_b(self) -> Tensor:
        """L_fit, see `fit_error`."""
        mask = "full" if self.reading.fit == "full" else "time"
        return fit_error(self.weights_bij, self.z_bld, self.items_bl != 0, mask, self.reading.stop)

    @cached_property
    def sparsity_b(self) -> Tensor:
        """|W|_1 over the number of items in the sequence."""
        weights = self.weights_bij.abs() if self.reading.sign == "signed" else self.weights_bij
        return weights.sum((-1, -2)) / (self.items_bl != 0).sum(-1).clamp(min=1)

    @property
    def guards(self) -> dict[str, Tensor]:
        """Records of a dying or exploding W: the share of items with a past but no cause in R, and max |W|."""
        valid = self.items_bl != 0
        later = valid & (valid.cumsum(-1) > 1)
        empty = later & ~self.relation_bij.detach().any(-1)
        return {
            "empty_rows": empty.sum() / later.sum().clamp(min=1),
            "weight_max": self.weights_bij.detach().abs().amax(),
        }


def admissible(items_bl: Tensor) -> Tensor:
    """K (b, i, j): two different valid positions that hold different items (a repeated item would explain itself)."""
    valid = items_bl != 0
    different = items_bl[..., :, None] != items_bl[..., None, :]
    return different & valid[..., :, None] & valid[..., None, :]


def fit_error(
    weights_bij: Tensor, z_bld: Tensor, valid_bl: Tensor, mask: str = "time", stop: bool = True
) -> Tensor:
    """Half the mean squared residual of Z on its weighted causes, (b,); Z is feature-centred.

    Under `time` only j < i may explain i: the time order is known, so the causes are the past. Under `full` every
    row may, as in Lemma 4.1. With `stop`, Z is detached: without it, the fit drains the variance of Z.
    """
    z = z_bld.detach() if stop else z_bld
    z = z - z.mean(-1, keepdim=True)
    residual = z - (weights_bij.tril(-1) if mask == "time" else weights_bij) @ z
    row_error = 0.5 * residual.square().mean(-1)
    return (row_error * valid_bl).sum(-1) / valid_bl.sum(-1).clamp(min=1)


def implied_weights(mixing_bij: Tensor, causal: bool = True) -> Tensor:
    """B = I − ΛA⁻¹ (b, i, j) of mixing matrices A = (I − B)⁻¹Λ, lower triangular where `causal`; diag B = 0.

    Not finite, or huge, where A is singular or nearly so; nothing makes B acyclic where A is not triangular.
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
    """Least squares of each row of Z on the rows before it, in time or (`full`) in EqVar's order; no gradient.

    Features are the samples. A row that its predecessors determine gets coefficients 0, as padding does.
    """
    z = (z_bld.detach().double() * valid_bl[..., None]).cpu().numpy()
    z = z - z.mean(-1, keepdims=True)
    order = np.tile(np.arange(z.shape[1]), (len(z), 1)) if mask == "time" else None
    W = eliminate(z @ z.transpose(0, 2, 1) / z.shape[-1], order)[1]
    return torch.from_numpy(W).to(z_bld)


class DiscoveryBlock(Block):
    """The first layer of CausalRec, `Block` to the bit in the default reading; it also gives the mixing matrix."""

    def __init__(self, width: int, heads: int, dropout: float, normalised: bool, reading: Reading) -> None:
        self.reading = reading
        self.on_mixed = normalised and reading.placement == "mixed"
        super().__init__(width, heads, dropout, normalise_values=normalised and not self.on_mixed)

    def discover(self, x_bld: Tensor, mask_b1qk: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The block's output and Z, (b, l, d), and where it is held in full the mean over heads of what mixes V."""
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
    """A, diag(A)⁻¹A (a diagonal under 1e-6 counts as that) or I + A without its diagonal and what lies above it."""
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
    """W and R of a batch, in the given reading. `items` and `width` are those of the model.

    In the default, W_ij depends on the two items alone, so that row i cannot see what happens after i, and one
    item-level graph stands behind every sequence.
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
        """Draw M with a standard deviation of about 0.1, below which h cannot explode; `free` starts alive, at 0.1."""
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
        """Take (items, items), row the effect, as W of every sequence; only for source `fixed`.

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
        """M (b, i, j) of the source, before its sign and K; also for one unbatched row of items at item level."""
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
        """W (b, i, j): M under its sign, and 0 outside K."""
        m = self.raw_weights(items_bl, embedding_bld, z_bld, mixing)
        if self.reading.sign == "relu" and self.reading.source != "fixed":
            m = torch.relu(m - self.reading.delta)
        return m * admissible(items_bl)

    def forward(self, items_bl: Tensor, embedding_bld: Tensor, z_bld: Tensor, mixing: Tensor | None = None) -> Graph:
        """W and R for left-padded `items_bl` (0 = padding), and with them the terms of L_DAG."""
        r = self.reading
        weights = self.weights(items_bl, embedding_bld, z_bld, mixing)
        return Graph(items_bl, z_bld, weights, relate(weights, r.relation, r.tau, r.top), r)
