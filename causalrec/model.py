"""SASRec, and CausalRec: SASRec with a causal discovery block and a CausalBooster, in every reading.

Shape letters: b sequences, l positions, d features, t real tokens of a batch, i items. Item 0 is padding; sequences
are padded on the left; positions count from the right end, so that trimming padding changes nothing.
"""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.attention import Block, Boost, Dropout, causal_mask
from causalrec.discovery import ITEM_LEVEL, Discovery, DiscoveryBlock, Graph, Reading
from causalrec.errors import InputError
from causalrec.lagrangian import Lagrangian
from causalrec.negatives import LOSSES, next_item_loss
from causalrec.optimisers import Group
from causalrec.recommender import Recommender, TransformerOptions, draw_embeddings

SETTLED = 0.01  # relative change of L_DAG over an epoch, below which its minimisation has converged
LATEST = 5  # epochs after which rho and gamma are updated, converged or not
FASTEST = 1e6  # factor of the learning rate
STEEPEST = 1.0  # norm of the gradient that L_rec sends into R, above which it is scaled down


@dataclass(frozen=True)
class SASRecOptions(TransformerOptions):
    """Options of SASRec (Kang & McAuley 2018): those of `TransformerOptions`, and the ones below.

    Args:
        normalised: how many layers, counted from the first, have LayerNorm on their values; default 0.
        loss: `full` (default), `bce`, `gbce` or `sampled`, see `negatives.next_item_loss`.
        negatives: number of negatives of that loss; None (default) as published.
        calibration: t of gBCE, in [0, 1], default 0.75.
        attention: `softmax` (default), or `uniform`: every score is 0, so that each position reads the mean of those up
            to it, whatever their items. Its initial weights are those of `softmax`; queries and keys stay unused.

    Raises:
        InputError: an option out of range.
    """

    normalised: int = 0
    loss: str = "full"
    negatives: int | None = None
    calibration: float = 0.75
    attention: str = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise InputError(f"loss = {self.loss!r}; expected one of {', '.join(LOSSES)}")
        if self.negatives is not None and not 1 <= self.negatives <= self.items:
            raise InputError(f"negatives = {self.negatives}; expected 1 to {self.items}, the number of items, or None")
        if self.normalised < 0:
            raise InputError(f"normalised = {self.normalised}; expected at least 0")
        if not 0 <= self.calibration <= 1:
            raise InputError(f"calibration = {self.calibration}; expected t of gBCE, 0 to 1")
        if self.attention not in ("softmax", "uniform"):
            raise InputError(f"attention = {self.attention!r}; expected softmax or uniform")


@dataclass(frozen=True)
class CausalRecOptions(Reading, SASRecOptions):
    """Options of CausalRec: those of `SASRecOptions` and `Reading`, and the ones below.

    By default the first layer discovers and every later layer is boosted.

    Args:
        normalised: as in `SASRecOptions`, default 1.
        boost: how R rescales attention, default renorm with alpha = 1; a dict of its options, as JSON has it, will do.
        beta: weight of L_DAG, at least 0, default 1.
        sparsity: weight lambda of the L1 term, at least 0, default 0.01.
        rho: penalty coefficient at the start, default 1, see `Lagrangian`.
        growth: factor of rho at an update, at least 1, default 10.
        raise_rho: rho and gamma are updated after each `period`, an epoch (default); or once the minimisation of L_DAG
            under them has `converged`, when its mean over an epoch is within 1 % of the epoch before, but at the latest
            after 5 epochs.
        graph_rate: factor of the learning rate for the discovery block's own parameters, above 0 to 1e6, default 1.
        branch: the discovery layer stands in `series` with the others (default), or at the `side`: then they see its
            output only through R.
        boosted_layers: which of layers 1, 2, ... are boosted (layer 0 discovers); None (default) for all.

    Raises:
        InputError: an option out of range, or options that contradict each other.
    """

    normalised: int = 1
    boost: Boost = field(default_factory=Boost)
    beta: float = 1.0
    sparsity: float = 0.01
    rho: float = 1.0
    growth: float = 10.0
    raise_rho: str = "period"
    graph_rate: float = 1.0
    branch: str = "series"
    boosted_layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        SASRecOptions.__post_init__(self)
        Reading.__post_init__(self)
        if isinstance(self.boost, dict):
            object.__setattr__(self, "boost", Boost(**self.boost))
        if self.layers < 2:
            raise InputError(f"layers = {self.layers}; CausalRec needs one discovery and at least one booster layer")
        if self.attention != "softmax":
            raise InputError(f"attention = {self.attention!r}; CausalRec boosts softmax, choose that or SASRec")
        for name in ("beta", "sparsity"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} = {getattr(self, name)}; expected a finite number >= 0")
        if not (0 < self.rho <= Lagrangian.cap and 1 <= self.growth < float("inf")):
            raise InputError(
                f"rho = {self.rho}, growth = {self.growth}; expected 0 < rho <= {Lagrangian.cap:g} and growth >= 1"
            )
        if self.source == "fixed" and self.beta != 0:
            raise InputError(f"beta = {self.beta} with a fixed W, which L_DAG cannot change; choose beta = 0")
        if self.placement == "mixed" and self.normalised < 1:
            raise InputError("placement mixed needs normalised >= 1; otherwise neither V nor Z has LayerNorm")
        for name, valid in (("branch", ("series", "side")), ("raise_rho", ("period", "converged"))):
            if getattr(self, name) not in valid:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(valid)}")
        if not 0 < self.graph_rate <= FASTEST:
            raise InputError(f"graph_rate = {self.graph_rate}; expected above 0 to {FASTEST:g}")
        if self.boosted_layers is not None:
            object.__setattr__(self, "boosted_layers", tuple(self.boosted_layers))  # JSON gives a list
            if not self.boosted_layers or not set(self.boosted_layers) <= set(range(1, self.layers)):
                raise InputError(f"boosted_layers = {self.boosted_layers}; expected some of 1 to {self.layers - 1}")
        if self.boost.heads is not None and self.boost.heads > self.heads:
            raise InputError(f"boost.heads = {self.boost.heads}; expected at most heads = {self.heads}")


def initialise_transformer(model: Recommender, generator: torch.Generator) -> None:
    """Draw SASRec's initial weights: embeddings as `initial` says, Glorot for every `Block`; padding's embedding is 0.

    Args:
        model: a model with an `item` embedding.
        generator: source of randomness, on the model's device.
    """
    draw_embeddings(model, model.options, generator)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Block):
            for linear in (module.query, module.key, module.value, module.out, module.widen, module.narrow):
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                nn.init.zeros_(linear.bias)
    with torch.no_grad():
        model.item.weight[0] = 0


class SASRec(Recommender):
    """Self-attentive sequential recommendation with tied embeddings; full-softmax cross-entropy by default."""

    options: SASRecOptions

    def _build(self) -> None:
        o = self.options
        self.item = nn.Embedding(o.items + 1, o.width)
        self.position = nn.Embedding(o.length, o.width)
        self.blocks = nn.ModuleList(
            Block(o.width, o.heads, o.dropout, n < o.normalised, o.attention == "uniform") for n in range(o.layers)
        )
        self.final_norm = nn.LayerNorm(o.width)
        self.dropout = Dropout(o.dropout)

    def _initialise(self, generator: torch.Generator) -> None:
        initialise_transformer(self, generator)

    def embed(self, items_bl: Tensor) -> tuple[Tensor, Tensor]:
        """Return item embeddings E[s] as the model reads them and X = Drop(E[s] + P), both (b, l, d).

        Args:
            items_bl: left-padded items, 0 at padding.
        """
        length = self.check_length(items_bl)
        embedding = self.item(items_bl) * self.embedding_scale
        return embedding, self.dropout(embedding + self.position.weight[-length:])

    def encode(self, items_bl: Tensor, last: bool = False) -> tuple[Tensor, Graph | None]:
        """Return hidden states (b, l, d) after the last LayerNorm, and the graph, None if the model learns none.

        Args:
            items_bl: left-padded items, 0 at padding.
            last: compute the last layer at the last position alone, (b, 1, d), which is enough for ranking; default
                False.
        """
        _, x = self.embed(items_bl)
        mask = causal_mask(items_bl != 0, x.dtype)
        for block in self.blocks[:-1]:
            x, _ = block(x, mask)
        x, _ = self.blocks[-1](x, mask[:, :, -1:] if last else mask)
        return self.final_norm(x), None

    def recommendation_loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, Graph | None]:
        """Return the loss of the next items at every real position, and the graph if the model learns one.

        Negatives, where the loss needs them, come from the generator of dropout.

        Args:
            items_bl: left-padded items, 0 at padding.
            target_bl: the item after each, 0 where there is none.
        """
        o = self.options
        hidden, graph = self.encode(items_bl)
        loss = next_item_loss(
            o.loss,
            hidden[target_bl != 0],
            self.item.weight[1:],
            items_bl,
            target_bl,
            negatives=o.negatives,
            calibration=o.calibration,
            generator=self.dropout.generator,
            products=self.products,
        )
        return loss, graph

    def loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the training loss and its detached terms."""
        recommendation, _ = self.recommendation_loss(items_bl, target_bl)
        return recommendation, {"recommendation": recommendation.detach()}

    def scores(self, items_bl: Tensor) -> Tensor:
        """Return scores (b, items) of items 1..items as the next one; column k is item k + 1."""
        hidden, _ = self.encode(items_bl, last=True)
        return hidden[:, -1] @ self.item.weight[1:].T


class CausalRec(SASRec):
    """CausalRec (arXiv 2510.21333); by default, alpha = beta = 0 makes it `SASRec(normalised=1)` bit for bit."""

    options: CausalRecOptions

    def _build(self) -> None:
        super()._build()
        o = self.options
        self.blocks[0] = DiscoveryBlock(o.width, o.heads, o.dropout, o.normalised > 0, o)
        self.discovery = Discovery(o.items, o.width, o)
        self.multipliers: Tensor
        self.register_buffer("multipliers", torch.empty(3, dtype=torch.float64))
        if o.raise_rho == "converged":
            self.inner: Tensor  # L_DAG over the epoch before (inf: none under these multipliers), epochs under them
            self.register_buffer("inner", torch.empty(2, dtype=torch.float64))

    def _initialise(self, generator: torch.Generator) -> None:
        super()._initialise(generator)
        self.discovery.initialise(generator)
        self.lagrangian = Lagrangian(rho=self.options.rho)

    @property
    def lagrangian(self) -> Lagrangian:
        """The augmented Lagrangian's state, held in a buffer so that checkpoints include it."""
        gamma, rho, previous = self.multipliers.tolist()
        return Lagrangian(gamma=gamma, rho=rho, h_previous=previous, growth=self.options.growth)

    @lagrangian.setter
    def lagrangian(self, state: Lagrangian) -> None:
        values = torch.tensor([state.gamma, state.rho, state.h_previous], dtype=torch.float64)
        self.multipliers.copy_(values)
        if self.options.raise_rho == "converged":
            self.inner.copy_(torch.tensor([float("inf"), 0.0], dtype=torch.float64))

    def encode(self, items_bl: Tensor, last: bool = False) -> tuple[Tensor, Graph | None]:
        """Discover the graph in the first layer and boost the attention of the others by it; see `SASRec.encode`."""
        o = self.options
        mask, x, graph = self._discover(items_bl, needed=o.beta > 0 or o.boost.active)
        relation = None if graph is None else graph.relation_bij
        if relation is not None and relation.requires_grad:  # alpha = 1e8 makes it 1e6 times all others
            relation.register_hook(_limited)  # type: ignore[no-untyped-call]
        for layer, block in enumerate(self.blocks[1:], start=1):
            if last and layer == o.layers - 1:
                mask, relation = mask[:, :, -1:], None if relation is None else relation[:, -1:]
            boosted = o.boosted_layers is None or layer in o.boosted_layers
            x, _ = block(x, mask, o.boost, relation if boosted else None)
        return self.final_norm(x), graph

    def _discover(self, items_bl: Tensor, needed: bool) -> tuple[Tensor, Tensor, Graph | None]:
        """Return the causal mask, the input of the next layer, and the graph if it is needed."""
        o = self.options
        embedding, x = self.embed(items_bl)
        mask = causal_mask(items_bl != 0, x.dtype)
        seen = two_way_mask(items_bl != 0, x.dtype) if o.bidirectional else mask
        out, z, mixing = cast(DiscoveryBlock, self.blocks[0]).discover(x, seen)
        graph = self.discovery(items_bl, embedding, z, mixing) if needed else None
        return mask, x if o.branch == "side" else out, graph

    def matrices(self) -> list[Tensor]:
        """Return those of SASRec; the discovery block, whose scale is its own, stays with Adam."""
        apart = {id(parameter) for parameter in self.discovery.parameters()}
        return [matrix for matrix in super().matrices() if id(matrix) not in apart]

    def groups(self) -> list[Group]:
        """Return the discovery block's own parameters apart, so that neither throttles the other."""
        graph = list(self.discovery.parameters())
        own = {id(parameter) for parameter in graph}
        others = Group([parameter for parameter in self.parameters() if id(parameter) not in own])
        return [others, Group(graph, self.options.graph_rate)] if graph else [others]

    def graph(self, items_bl: Tensor) -> Graph:
        """Return W and R of sequences, whether or not the model's boost and loss use them.

        Args:
            items_bl: left-padded items (b, l), 0 at padding.
        """
        return cast(Graph, self._discover(items_bl, needed=True)[2])

    def fix(self, weights: Tensor) -> None:
        """Set the W of source `fixed`; see `Discovery.fix`.

        Args:
            weights: finite (items, items), row the effect.
        """
        self.discovery.fix(weights)

    def recommendation_loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, Graph | None]:
        """As `SASRec.recommendation_loss`; with positions = last, of the last position of each sequence alone."""
        if self.options.positions == "last":
            target_bl = functional.pad(target_bl[:, -1:], (target_bl.shape[1] - 1, 0))
        return super().recommendation_loss(items_bl, target_bl)

    def loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L = L_rec + beta (L_fit + lambda |W|_1 / n + gamma h + rho h²/2), means over the batch, and its terms.

        The terms `h` and `h_max` are of the full W; `h_used`, of what h constrains, where that is another part of it.
        If W explodes, h and the loss are not finite; the training loop skips and counts such a step.
        """
        o = self.options
        recommendation, graph = self.recommendation_loss(items_bl, target_bl)
        terms = {"recommendation": recommendation.detach()}
        if graph is None:
            return recommendation, terms
        h, fit, sparsity = graph.constrained_b.mean(), graph.fit_b.mean(), graph.sparsity_b.mean()
        terms |= {
            "h": graph.acyclicity_b.detach().mean(),
            "h_max": graph.acyclicity_b.detach().max(),
            "fit": fit.detach(),
            "sparsity": sparsity.detach(),
        } | graph.guards
        if o.constrained == "used":
            terms["h_used"] = h.detach()
        if o.beta == 0:
            return recommendation, terms
        return recommendation + o.beta * self._dag_loss(h, fit, sparsity), terms

    def _dag_loss(self, h: Tensor, fit: Tensor, sparsity: Tensor) -> Tensor:
        o = self.options
        dag = o.sparsity * sparsity
        if o.fit != "none":
            dag = fit + dag
        return dag + self.lagrangian.penalty(h) if o.acyclicity else dag

    def end_period(self, means: dict[str, float]) -> dict[str, float]:
        """Update (gamma, rho) with the epoch's mean h (Sec. 4.4.2), once it is time, and return them."""
        o = self.options
        if o.beta > 0 and o.acyclicity:
            h = means["h_used" if o.constrained == "used" else "h"]
            if o.raise_rho == "period" or self._converged(h, means["fit"], means["sparsity"]):
                self.lagrangian = self.lagrangian.update(h)
        return {"rho": float(self.lagrangian.rho), "gamma": float(self.lagrangian.gamma)}

    def _converged(self, *means: float) -> bool:
        """Whether the multipliers have had their time, given an epoch's mean terms of L_DAG, which are noted."""
        value = float(self._dag_loss(*(torch.tensor(mean, dtype=torch.float64) for mean in means)))
        before, epochs = (float(number) for number in self.inner)
        self.inner.copy_(torch.tensor([value, epochs + 1], dtype=torch.float64))
        settled = before < float("inf") and abs(value - before) <= SETTLED * abs(before)
        return settled or epochs + 1 >= LATEST

    @property
    def has_item_graph(self) -> bool:
        """Whether all sequences share one graph of the items."""
        return self.options.source in ITEM_LEVEL

    def item_graph(self) -> Tensor:
        """Return W of the items (items, items), row the effect, column the cause; no gradient.

        The diagonal is 0, under `repeats` as well: a habit acts in sequences and is no edge between two items.

        Raises:
            InputError: this source makes W anew for each sequence.
        """
        if not self.has_item_graph:
            raise InputError(
                f"source {self.options.source} has no item-level graph; choose one of {', '.join(ITEM_LEVEL)}"
            )
        with torch.no_grad():
            items = torch.arange(1, self.options.items + 1, device=self.item.weight.device)
            return self.discovery.weights(items, self.item.weight[1:] * self.embedding_scale)


def _limited(slope: Tensor) -> Tensor:
    scaled: Tensor = slope * (STEEPEST / slope.norm()).clamp(max=1)
    return scaled


def two_way_mask(valid_bl: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive mask (b, 1, q, k) of bidirectional discovery: 0 if k holds an item or k = q; otherwise -inf.

    Args:
        valid_bl: bool, True where the position holds an item.
        dtype: dtype of the mask.
    """
    itself = torch.eye(valid_bl.shape[1], dtype=torch.bool, device=valid_bl.device)
    allowed = valid_bl[:, None, None, :] | itself
    return torch.zeros(allowed.shape, dtype=dtype, device=valid_bl.device).masked_fill_(~allowed, float("-inf"))
