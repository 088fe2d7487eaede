"""TiSASRec: self-attention that knows the time between two actions (Li, Wang & McAuley, WSDM 2020).

    r_ij = min(k, floor(|t_i - t_j| / r_min)),  r_min the user's shortest interval above 0         (Sec. 3.2)
    e_ij = W_q x_i · (W_k x_j + R^K[r_ij] + P^K_j) / sqrt(f),  z_i = sum_j a_ij (W_v x_j + R^V[r_ij] + P^V_j)  (3.4)

The rest is this suite's SASRec, so that the two differ only by intervals and by where positions enter. r_min is taken
over the items that the model is given, while the authors' code takes it over validation and test times too. So later
times of a row set its unit, but no later item affects an earlier output. Dropout is applied to the tables R and P
before look-up instead of to each looked-up entry, so that nothing of size (b, l, l, d) is ever held.

Shape letters: b sequences, l positions, q query and k key positions, d features, h heads, f features of one head,
s intervals 0..span. Item 0 is padding, on the left; positions count from the right end.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from causalrec.attention import Block, Dropout, causal_mask
from causalrec.losses import linear_cross_entropy
from causalrec.model import initialise_transformer
from causalrec.recommender import Recommender, TransformerOptions, require_positive


@dataclass(frozen=True)
class TiSASRecOptions(TransformerOptions):
    """Options of TiSASRec: those of `TransformerOptions`, and the one below.

    Args:
        span: longest interval, in units of the user's shortest one, default 256 (k in the paper).

    Raises:
        InputError: an option out of range.
    """

    span: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "span")


def intervals(items_bl: Tensor, times_bl: Tensor, span: int) -> Tensor:
    """Return r_ij (b, l, l), int64 in 0..span, in units of each row's shortest interval above 0; 0 at padding.

    1e-6 is added, so that rounding does not push a multiple of the unit below itself.

    Args:
        items_bl: left-padded items, 0 at padding.
        times_bl: float64 times in seconds, 0 at padding.
        span: longest interval.
    """
    real = items_bl != 0
    step = times_bl.diff(dim=1)
    step = step.masked_fill(~(real[:, :-1] & (step > 0)), float("inf"))
    unit = step.amin(1) if step.shape[1] else step.new_full((len(step),), float("inf"))
    gap = (times_bl[:, :, None] - times_bl[:, None, :]).abs() / unit[:, None, None]
    return (gap + 1e-6).floor().clamp_(max=span).long() * (real[:, :, None] & real[:, None, :])


class TimeBlock(Block):
    """SASRec's block with intervals and positions in keys and values."""

    def forward(  # type: ignore[override]  # it takes no boost
        self, x_bld: Tensor, mask_b1qk: Tensor, interval_bqk: Tensor, tables: tuple[Tensor, Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Return the block's output (b, q, d) for the last q rows of the mask.

        Args:
            x_bld: input of the block.
            mask_b1qk: additive mask.
            interval_bqk: int64 intervals between query and key.
            tables: R^K, R^V, both (s, d), and P^K, P^V, both (l, d).
        """
        interval_k, interval_v, position_k, position_v = tables
        y, asked = self.attention_norm(x_bld), slice(-mask_b1qk.shape[2], None)
        q, k, v, r_k, r_v = (
            self._split(rows)
            for rows in (
                self.query(y[:, asked]),
                self.key(y) + position_k,
                self.value(y) + position_v,
                interval_k[None],
                interval_v[None],
            )
        )
        # q · R[r_ij] is a look-up in q Rᵀ, and sum_j a_ij R[r_ij] is the weights summed by interval, times R.
        look_bhqk = interval_bqk[:, None].expand(-1, self.heads, -1, -1)
        by_interval = q @ r_k.transpose(-1, -2)
        scores = (q @ k.transpose(-1, -2) + by_interval.gather(3, look_bhqk)) / q.shape[-1] ** 0.5
        weights = torch.softmax(scores + mask_b1qk, -1)
        z = weights @ v + torch.zeros_like(by_interval).scatter_add(3, look_bhqk, weights) @ r_v
        x = x_bld[:, asked] + self.dropout(self.out(z.transpose(1, 2).flatten(2)))
        hidden = self.dropout(torch.relu(self.widen(self.forward_norm(x))))
        result: Tensor = x + self.dropout(self.narrow(hidden))
        return result


class TiSASRec(Recommender):
    """SASRec whose attention also sees the time between every two actions; it needs data with times."""

    options: TiSASRecOptions
    needs_times = True

    def _build(self) -> None:
        o = self.options
        self.item = nn.Embedding(o.items + 1, o.width)
        self.position_key, self.position_value = (nn.Embedding(o.length, o.width) for _ in range(2))
        self.interval_key, self.interval_value = (nn.Embedding(o.span + 1, o.width) for _ in range(2))
        self.blocks = nn.ModuleList(TimeBlock(o.width, o.heads, o.dropout) for _ in range(o.layers))
        self.final_norm = nn.LayerNorm(o.width)
        self.dropout = Dropout(o.dropout)

    def _initialise(self, generator: torch.Generator) -> None:
        initialise_transformer(self, generator)

    def encode(self, items_bl: Tensor, times_bl: Tensor, last: bool = False) -> Tensor:
        """Return hidden states (b, l, d) after the last LayerNorm.

        Args:
            items_bl: left-padded items, 0 at padding.
            times_bl: float64 times in seconds, 0 at padding.
            last: compute the last layer at the last position alone, (b, 1, d); default False.
        """
        length = self.check_length(items_bl)
        x = self.dropout(self.item(items_bl) * self.embedding_scale)
        mask = causal_mask(items_bl != 0, x.dtype)
        interval = intervals(items_bl, times_bl, self.options.span)
        positions = (table.weight[-length:] for table in (self.position_key, self.position_value))
        relations = (table.weight for table in (self.interval_key, self.interval_value))
        interval_k, interval_v, position_k, position_v = (self.dropout(table) for table in (*relations, *positions))
        tables = (interval_k, interval_v, position_k, position_v)
        for block in self.blocks[:-1]:
            x = block(x, mask, interval, tables)
        if last:
            mask, interval = mask[:, :, -1:], interval[:, -1:]
        x = self.blocks[-1](x, mask, interval, tables)
        hidden: Tensor = self.final_norm(x)
        return hidden

    def loss(self, items_bl: Tensor, target_bl: Tensor, times_bl: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the next items, the mean over all real positions."""
        real = target_bl != 0
        hidden = self.encode(items_bl, times_bl)[real]
        loss = linear_cross_entropy(hidden, self.item.weight[1:], target_bl[real] - 1, self.products)
        return loss, {"recommendation": loss.detach()}

    def scores(self, items_bl: Tensor, times_bl: Tensor) -> Tensor:
        """Return scores (b, items) of items 1..items as the next one; column k is item k + 1."""
        return self.encode(items_bl, times_bl, last=True)[:, -1] @ self.item.weight[1:].T
