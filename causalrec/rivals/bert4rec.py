"""BERT4Rec: a bidirectional transformer that fills in masked items (Sun et al., CIKM 2019).

Training hides a share of a row's items behind [mask] and predicts them from both sides (Sec. 3.6); in some rows the
last item alone is hidden, as in prediction. Prediction appends [mask] to the history and fills it in. The layers follow
the authors' code: LayerNorm after each residual and after the embeddings, GELU, a feed-forward layer of four times the
width. Attention has no dropout of its own, as in all transformers here.

Shape letters: b sequences, l items of a history, n = l + 1 places of the transformer, d features, h heads, f features
of one head, i items. Item 0 is padding, on the left; positions count from the right end; item `items` + 1 is [mask].
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.attention import Dropout
from causalrec.errors import InputError
from causalrec.losses import linear_cross_entropy
from causalrec.recommender import Recommender, TransformerOptions


@dataclass(frozen=True)
class BERT4RecOptions(TransformerOptions):
    """Options of BERT4Rec: those of `TransformerOptions`, and the ones below.

    Its embeddings pass a LayerNorm, so that `initial` = `small` needs no scale: it is the authors' truncated normal.

    Args:
        mask_share: share of a row's items that is hidden, at least one item, default 0.2 (rho; the paper's choice is
            0.2 on MovieLens, 0.4 on Steam, 0.6 on Beauty).
        last_share: probability that the last item alone is hidden instead, default 1/11 (as in the authors' data).

    Raises:
        InputError: an option out of range.
    """

    mask_share: float = 0.2
    last_share: float = 1 / 11

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mask_share", "last_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} = {getattr(self, name)}; expected a share in [0, 1]")


class Layer(nn.Module):
    """Self-attention over all real places, then GELU feed-forward; x = LN(x + Drop(sublayer(x))) (Sec. 3.3).

    Args:
        width: number of features, a multiple of `heads`.
        heads: number of attention heads.
        dropout: share of entries dropped, in [0, 1).

    Raises:
        InputError: heads does not divide width.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"heads = {heads} does not divide width = {width}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.attention_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x_bnd: Tensor, real_bn: Tensor, last: bool = False) -> Tensor:
        """Return the layer's output (b, n, d).

        Args:
            x_bnd: input of the layer.
            real_bn: bool, False at padding.
            last: compute the last place alone, (b, 1, d); default False.
        """
        asked = x_bnd[:, -1:] if last else x_bnd
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear, x in ((self.query, asked), (self.key, x_bnd), (self.value, x_bnd))
        )
        z = functional.scaled_dot_product_attention(q, k, v, real_bn[:, None, None])
        x: Tensor = self.attention_norm(asked + self.dropout(self.out(z.transpose(1, 2).flatten(2))))
        hidden = functional.gelu(self.widen(x))
        normalised: Tensor = self.forward_norm(x + self.dropout(self.narrow(hidden)))
        return normalised


class BERT4Rec(Recommender):
    """Predicts the items behind [mask] from the items on both sides."""

    options: BERT4RecOptions

    def _build(self) -> None:
        o = self.options
        self.item = nn.Embedding(o.items + 2, o.width)
        self.position = nn.Embedding(o.length + 1, o.width)
        self.embedding_norm = nn.LayerNorm(o.width)
        self.layers = nn.ModuleList(Layer(o.width, o.heads, o.dropout) for _ in range(o.layers))
        self.project = nn.Linear(o.width, o.width)
        self.project_norm = nn.LayerNorm(o.width)
        self.bias = nn.Parameter(torch.empty(o.items))
        self.dropout = Dropout(o.dropout)

    def _initialise(self, generator: torch.Generator) -> None:
        unit = self.options.initial == "unit"
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, (nn.Linear, nn.Embedding)):
                std = self.options.width**-0.5 if unit and isinstance(module, nn.Embedding) else 0.02
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.bias)

    def encode(self, items_bn: Tensor, last: bool = False) -> Tensor:
        """Return hidden states (b, n, d).

        Args:
            items_bn: left-padded items, some of which may be [mask].
            last: compute the last layer at the last place alone, (b, 1, d); default False.

        Raises:
            InputError: no place, or more than the model takes.
        """
        places = items_bn.shape[1]
        if not 1 <= places <= self.options.length + 1:
            raise InputError(f"histories of {places - 1} items; the model takes up to {self.options.length}")
        x = self.dropout(self.embedding_norm(self.item(items_bn) + self.position.weight[-places:]))
        for layer in self.layers[:-1]:
            x = layer(x, items_bn != 0)
        hidden: Tensor = self.layers[-1](x, items_bn != 0, last)
        return hidden

    def head(self, hidden_td: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (t, d + 1) and items (i, d + 1), whose products are LN(GELU(h W + b)) Eᵀ + c (Eq. 7).

        The LN is from the authors' code.

        Args:
            hidden_td: hidden states h of t places.
        """
        x = self.project_norm(functional.gelu(self.project(hidden_td)))
        items = torch.cat([self.item.weight[1:-1], self.bias[:, None]], 1)
        return torch.cat([x, torch.ones_like(x[:, :1])], 1), items

    def hide(self, items_bn: Tensor) -> Tensor:
        """Return which places to hide, bool (b, n), drawn from the dropout generator.

        Args:
            items_bn: left-padded items, 0 at padding.
        """
        o, real_bn, generator = self.options, items_bn != 0, self.dropout.generator
        keys = torch.rand(items_bn.shape, generator=generator, device=items_bn.device).masked_fill_(~real_bn, 2.0)
        count_b1 = (real_bn.sum(1, keepdim=True) * o.mask_share).round().clamp_(min=1)
        hidden = keys.argsort(1).argsort(1) < count_b1
        alone_b = torch.rand(len(items_bn), generator=generator, device=items_bn.device) < o.last_share
        last_n = torch.arange(items_bn.shape[1], device=items_bn.device) == items_bn.shape[1] - 1
        return torch.where(alone_b[:, None], last_n, hidden)

    def loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the hidden items of each row, `items_bl` and the last of `target_bl` (Eq. 8)."""
        row_bn = torch.cat([items_bl, target_bl[:, -1:]], 1)
        hidden_bn = self.hide(row_bn)
        states = self.encode(row_bn.masked_fill(hidden_bn, self.options.items + 1))
        loss = linear_cross_entropy(*self.head(states[hidden_bn]), row_bn[hidden_bn] - 1, self.products)
        return loss, {"recommendation": loss.detach()}

    def scores(self, items_bl: Tensor) -> Tensor:
        """Return scores (b, items) of items 1..items behind a [mask] after the history; column k is item k + 1."""
        mask_b1 = torch.full_like(items_bl[:, :1], self.options.items + 1)
        x, items = self.head(self.encode(torch.cat([items_bl, mask_b1], 1), last=True)[:, 0])
        return x @ items.T
