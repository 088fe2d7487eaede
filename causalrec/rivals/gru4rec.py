"""GRU4Rec: a recurrent network over the items of a session (Hidasi, Karatzoglou, Baltrunas & Tikk, ICLR 2016).

    h_t = GRU(e_t, h_{t-1}),    scores_t = (W h_t + b) Eᵀ

This differs from the paper in three ways. Input and output share the item embedding E ("constrained embedding"; Hidasi
& Karatzoglou, CIKM 2018). The loss is the cross-entropy over all items instead of TOP1 or BPR on the other items of the
batch, since this suite compares architectures under one loss. A session is a user's last `length` actions, and the
gradient goes back through all of them instead of one step of session-parallel batches.

Shape letters: b sequences, l positions, d features of an item, g of the hidden state. Item 0 is padding, on the left.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from causalrec.attention import Dropout
from causalrec.losses import linear_cross_entropy
from causalrec.recommender import Recommender, check_initial, draw_embeddings, require_positive


@dataclass(frozen=True)
class GRU4RecOptions:
    """Options of GRU4Rec.

    Args:
        items: number of items in the catalogue.
        length: most items of a history that the model reads, default 50.
        width: features of an item embedding, default 64.
        hidden: features of the state of each GRU layer, default 128.
        layers: number of GRU layers, default 1.
        dropout: share of entries dropped, in [0, 1), default 0.2.
        initial: how embeddings begin, see `causalrec.recommender.INITIAL`; default `small`.

    Raises:
        InputError: an option out of range.
    """

    items: int
    length: int = 50
    width: int = 64
    hidden: int = 128
    layers: int = 1
    dropout: float = 0.2
    initial: str = "small"

    def __post_init__(self) -> None:
        require_positive(self, "items", "length", "width", "hidden", "layers")
        check_initial(self)


class GRU4Rec(Recommender):
    """Predicts the next item from the hidden state of a GRU that has read the items before it."""

    options: GRU4RecOptions

    def _build(self) -> None:
        o = self.options
        self.item = nn.Embedding(o.items + 1, o.width)
        inputs = [o.width] + [o.hidden] * (o.layers - 1)
        self.layers = nn.ModuleList(nn.GRU(size, o.hidden, batch_first=True) for size in inputs)
        self.out = nn.Linear(o.hidden, o.width)
        self.dropout = Dropout(o.dropout)

    def _initialise(self, generator: torch.Generator) -> None:
        draw_embeddings(self, self.options, generator)
        for name, weight in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
            elif "weight_ih" in name or "weight_hh" in name:
                for gate in weight.chunk(3):  # Glorot for each gate, as the authors' code does
                    nn.init.xavier_uniform_(gate, generator=generator)
        nn.init.xavier_uniform_(self.out.weight, generator=generator)
        with torch.no_grad():
            self.item.weight[0] = 0

    def encode(self, items_bl: Tensor) -> Tensor:
        """Return W h_t + b at every position, (b, l, d); the rows at padding have no meaning.

        Args:
            items_bl: left-padded items, 0 at padding.
        """
        length = self.check_length(items_bl)
        # Rotate rows to begin with their first item, so that the state is 0 there, whatever the padding.
        padding_b1 = (items_bl == 0).sum(1, keepdim=True)
        place_l = torch.arange(length, device=items_bl.device)
        x = self.dropout(self.item(items_bl.gather(1, (place_l + padding_b1) % length)) * self.embedding_scale)
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        back_bl = (place_l - padding_b1) % length
        hidden: Tensor = self.out(x.gather(1, back_bl[:, :, None].expand(-1, -1, x.shape[2])))
        return hidden

    def loss(self, items_bl: Tensor, target_bl: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the next items, the mean over all real positions."""
        real = target_bl != 0
        hidden, target = self.encode(items_bl)[real], target_bl[real] - 1
        loss = linear_cross_entropy(hidden, self.item.weight[1:], target, self.products)
        return loss, {"recommendation": loss.detach()}

    def scores(self, items_bl: Tensor) -> Tensor:
        """Return scores (b, items) of items 1..items as the next one; column k is item k + 1."""
        return self.encode(items_bl)[:, -1] @ self.item.weight[1:].T
