"""HSTU: attention without softmax, gated by the item that asks (Zhai et al. 2024, "Actions speak louder than words").

    U, V, Q, K = split(SiLU(LN(x) W)),  A_ij = SiLU(Q_i · K_j + position[i - j] + time[t_i - t_j]) / n  for j <= i
    x + Drop(U ∘ LN(A V)) W_o + b                                                    (Eqs. 1 to 3; LN without affine)

n is the most items that the model reads. Each layer has its own tables of position and time, shared by its heads; time
is looked up by floor(ln(max(|t_i - t_j|, 1 s)) / 0.301), 0 to 128. Choices are those of RecTools, with two exceptions
that make it comparable with this suite's SASRec: the input is SASRec's (item and position embeddings and dropout), and
states pass a last LayerNorm and are not normalised to length 1.

t_i is the time of item i, or, as in the paper's code and RecTools, that of the item after it. The second tells the
model when its target happens: what a service knows when it is asked, but a leak where the target is held out.

Shape letters: b sequences, l positions, q query and k key positions, d features, h heads, f features of one head.
Item 0 is padding, on the left; positions count from the right end.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.attention import Dropout
from causalrec.errors import InputError
from causalrec.losses import linear_cross_entropy
from causalrec.model import initialise_transformer
from causalrec.recommender import Recommender, TransformerOptions

TIMES = ("none", "last", "query")
LARGEST_BUCKET = 128
LOG_STEP = 0.301  # between two buckets of time


@dataclass(frozen=True)
class HSTUOptions(TransformerOptions):
    """Options of HSTU: those of `TransformerOptions`, and the one below.

    Args:
        times: what the time between a query and a key is counted from: `none` (default) leaves times out, `last` takes
            the query's own item, `query` the item after it, which is a leak in any evaluation on held-out items.

    Raises:
        InputError: an option out of range.
    """

    times: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise InputError(f"heads = {self.heads} does not divide width = {self.width}")
        if self.times not in TIMES:
            raise InputError(f"times = {self.times!r}; expected one of {', '.join(TIMES)}")


def time_buckets(query_bq: Tensor, key_bk: Tensor) -> Tensor:
    """Return the row of the time table between queries and keys, (b, q, k) int64 in 0..128.

    Args:
        query_bq: float64 times in seconds of the queries.
        key_bk: float64 times in seconds of the keys.
    """
    gap = (query_bq[:, :, None] - key_bk[:, None, :]).abs_().clamp_(min=1)
    return gap.log_().div_(LOG_STEP).long().clamp_(max=LARGEST_BUCKET)


class Layer(nn.Module):
    """One block of HSTU.

    Args:
        options: sizes of the model, and whether it reads times.
    """

    def __init__(self, options: HSTUOptions) -> None:
        super().__init__()
        self.heads, self.length, self.dropout = options.heads, options.length, Dropout(options.dropout)
        self.mix = nn.Linear(options.width, 4 * options.width, bias=False)
        self.out = nn.Linear(options.width, options.width)
        self.position = nn.Parameter(torch.empty(options.length))  # of i - j
        self.time = None if options.times == "none" else nn.Parameter(torch.empty(LARGEST_BUCKET + 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights.

        Args:
            generator: source of randomness.
        """
        for table in (self.mix.weight, self.position, self.time):
            if table is not None:
                nn.init.normal_(table, std=0.02, generator=generator)
        nn.init.xavier_uniform_(self.out.weight, generator=generator)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x_bld: Tensor, seen_bqk: Tensor, lag_qk: Tensor, bucket_bqk: Tensor | None, last: bool = False
    ) -> Tensor:
        """Return the layer's output (b, q, d).

        Args:
            x_bld: input of the layer.
            seen_bqk: bool, which keys each query sees.
            lag_qk: int64 i - j, 0 where j > i.
            bucket_bqk: int64 rows of the table of times; None without times.
            last: compute the last position alone, (b, 1, d); default False.
        """
        y = functional.layer_norm(x_bld, x_bld.shape[-1:], eps=1e-6)
        u, v, q, k = functional.silu(self.mix(y)).chunk(4, -1)
        if last:
            x_bld, u, q, seen_bqk, lag_qk = x_bld[:, -1:], u[:, -1:], q[:, -1:], seen_bqk[:, -1:], lag_qk[-1:]
            bucket_bqk = None if bucket_bqk is None else bucket_bqk[:, -1:]
        q, k, v = (rows.view(*rows.shape[:2], self.heads, -1).transpose(1, 2) for rows in (q, k, v))
        bias = self.position[lag_qk][None]
        if self.time is not None and bucket_bqk is not None:
            bias = bias + self.time[bucket_bqk]
        weights = functional.silu(q @ k.transpose(-1, -2) + bias[:, None]) * (seen_bqk[:, None] / self.length)
        z = functional.layer_norm((weights @ v).transpose(1, 2).flatten(2), u.shape[-1:], eps=1e-6)
        x: Tensor = x_bld + self.out(self.dropout(u * z))
        return x


class HSTU(Recommender):
    """Hierarchical sequential transduction units, with or without the times of actions."""

    options: HSTUOptions

    def _build(self) -> None:
        o = self.options
        self.needs_times, self.needs_next_time = o.times != "none", o.times == "query"
        self.item = nn.Embedding(o.items + 1, o.width)
        self.position = nn.Embedding(o.length, o.width)
        self.layers = nn.ModuleList(Layer(o) for _ in range(o.layers))
        self.final_norm = nn.LayerNorm(o.width)
        self.dropout = Dropout(o.dropout)

    def _initialise(self, generator: torch.Generator) -> None:
        initialise_transformer(self, generator)
        for layer in self.modules():
            if isinstance(layer, Layer):
                layer.initialise(generator)

    def encode(self, items_bl: Tensor, times_bl: Tensor | None = None, last: bool = False) -> Tensor:
        """Return hidden states (b, l, d) after the last LayerNorm.

        Args:
            items_bl: left-padded items, 0 at padding.
            times_bl: float64 seconds, 0 at padding: with option times = last those of the items, with query also that
                of the item to come, (b, l + 1); None (default) with none.
            last: compute the last layer at the last position alone, (b, 1, d); default False.
        """
        length = self.check_length(items_bl)
        x = self.dropout(self.item(items_bl) * self.embedding_scale + self.position.weight[-length:])
        place = torch.arange(length, device=items_bl.device)
        lag = place[:, None] - place
        seen = (lag >= 0) & (items_bl != 0)[:, None]
        bucket = None if times_bl is None else time_buckets(times_bl[:, -length:], times_bl[:, :length])
        for layer in self.layers[:-1]:
            x = layer(x, seen, lag.clamp(min=0), bucket)
        hidden: Tensor = self.final_norm(self.layers[-1](x, seen, lag.clamp(min=0), bucket, last))
        return hidden

    def loss(
        self, items_bl: Tensor, target_bl: Tensor, times_bl: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the next items, the mean over all real positions."""
        real = target_bl != 0
        hidden = self.encode(items_bl, times_bl)[real]
        loss = linear_cross_entropy(hidden, self.item.weight[1:], target_bl[real] - 1, self.products)
        return loss, {"recommendation": loss.detach()}

    def scores(self, items_bl: Tensor, times_bl: Tensor | None = None) -> Tensor:
        """Return scores (b, items) of items 1..items as the next one; column k is item k + 1."""
        return self.encode(items_bl, times_bl, last=True)[:, -1] @ self.item.weight[1:].T
