"""Multi-head attention with an optional boost, and the SASRec block built on it.

Shape letters: b sequences, l positions, q query positions (effects), k key positions (causes), d features, h heads,
f features of one head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from causalrec.errors import InputError

BOOSTS = ("renorm", "raw", "filter")


@dataclass(frozen=True)
class Boost:
    """How a relation matrix R rescales attention (the CausalBooster, Ã = A∘(1 + alpha R)).

    - `renorm`: softmax(S + log(1 + alpha R)), which is A∘(1 + alpha R) with each row normalised to sum 1 again.
    - `raw`: A∘(1 + alpha R), the paper's formula to the letter; rows no longer sum to 1.
    - `filter`: positions outside R are masked, except the position itself; alpha is not used.

    Args:
        mode: `renorm` (default), `raw` or `filter`.
        alpha: weight of R, default 1; above -1 under `renorm`, at least -1 under `raw`.
        heads: number of boosted heads per layer, counted from the first; None (default) boosts all.

    Raises:
        InputError: an unknown mode, or alpha or heads out of range.
    """

    mode: str = "renorm"
    alpha: float = 1.0
    heads: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in BOOSTS:
            raise InputError(f"boost {self.mode!r} is unknown; choose one of {', '.join(BOOSTS)}")
        if self.mode == "renorm" and not -1 < self.alpha < float("inf"):
            raise InputError(f"alpha = {self.alpha} under renorm; log(1 + alpha) needs a finite alpha > -1")
        if self.mode == "raw" and not -1 <= self.alpha < float("inf"):
            raise InputError(f"alpha = {self.alpha} under raw; weights 1 + alpha need a finite alpha >= -1")
        if self.heads is not None and self.heads < 1:
            raise InputError(f"heads = {self.heads} are boosted; expected at least 1, or None for all")

    @property
    def active(self) -> bool:
        """Whether the boost can change anything."""
        return self.mode == "filter" or self.alpha != 0


def causal_mask(valid_bl: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive mask (b, 1, q, k): 0 where k <= q and k holds an item, or k = q; -inf otherwise.

    The diagonal is always allowed, so that a padded query has a finite row (Kang & McAuley 2018, Sec. III-B).
    Where nothing is padded, all sequences share one mask of shape (1, 1, q, k).

    Args:
        valid_bl: bool, True where the position holds an item.
        dtype: dtype of the mask.
    """
    length = valid_bl.shape[1]
    if bool(valid_bl.all()):
        valid_bl = valid_bl[:1]
    past = torch.ones(length, length, dtype=torch.bool, device=valid_bl.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=valid_bl.device)
    allowed = (past & valid_bl[:, None, :]) | itself
    mask = torch.zeros(allowed.shape, dtype=dtype, device=valid_bl.device)
    return mask.masked_fill_(~allowed, float("-inf"))[:, None]


def attend(
    q_bhqf: Tensor,
    k_bhkf: Tensor,
    v_bhkf: Tensor,
    mask_b1qk: Tensor,
    boost: Boost | None = None,
    relation_bqk: Tensor | None = None,
) -> Tensor:
    """Return the boosted attention output (b, h, q, f); with R = 0 or alpha = 0 it equals plain attention bit for bit.

    R = 0 adds an exact 0 to the scores (renorm) or to the output (raw), and the kernel does not depend on R.

    Args:
        q_bhqf: queries of the last q of the k positions: all of them in training, one in ranking.
        k_bhkf: keys.
        v_bhkf: values.
        mask_b1qk: additive mask, as `causal_mask` makes it.
        boost: how R rescales attention; None (default) for plain attention.
        relation_bqk: R, bool or in [0, 1], row the effect and column the cause; None (default) for plain attention.
    """
    mask = mask_b1qk
    if boost is None or relation_bqk is None or not boost.active:
        return functional.scaled_dot_product_attention(q_bhqf, k_bhkf, v_bhkf, mask)
    relation = relation_bqk[:, None]
    if boost.heads is not None:
        plain = torch.arange(q_bhqf.shape[1], device=mask.device) >= boost.heads
        relation = relation.where(~plain[:, None, None], boost.mode == "filter")  # changes nothing
    if boost.mode == "renorm" and relation.dtype == torch.bool:  # the same sum in one pass
        mask = torch.where(relation, mask + torch.log1p(mask.new_tensor(boost.alpha)), mask)
    elif boost.mode == "renorm":
        mask = mask + torch.log1p(boost.alpha * relation)
    elif boost.mode == "filter":
        itself = torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)[-mask.shape[-2] :]
        mask = mask.masked_fill((relation == 0) & ~itself, float("-inf"))
    out = functional.scaled_dot_product_attention(q_bhqf, k_bhkf, v_bhkf, mask)
    if boost.mode == "raw":
        scores = q_bhqf @ k_bhkf.transpose(-1, -2) / q_bhqf.shape[-1] ** 0.5
        out = out + boost.alpha * ((torch.softmax(scores + mask, -1) * relation) @ v_bhkf)
    return out


class Dropout(nn.Module):
    """Inverted dropout that draws from a generator set by the training loop; does nothing in evaluation.

    One 64-bit draw serves four entries, which is three times faster on a CPU than one draw per entry; the share is met
    to within 2^-16.

    Args:
        share: share of entries set to 0, from 0 to 1 - 2^-16.

    Raises:
        InputError: share is out of range.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share <= 1 - 2**-16:
            raise InputError(f"dropout = {share}; expected a share in [0, 1), at most 1 - 2^-16")
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zero each entry with probability `share` and scale the others by 1 / (1 - share).

        Args:
            x: tensor of any shape.
        """
        if not self.training or self.share == 0:
            return x
        if self.generator is None:
            raise RuntimeError("dropout in training mode needs a generator; call set_dropout_generator first")
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.generator)
        draws = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = round((1 - self.share) * 2**16)
        # Compared into floats at once, which is seven times as fast as comparing and then converting.
        mask = torch.lt(draws, kept - 2**15, out=torch.empty_like(x, requires_grad=False))
        return x * mask.mul_(2**16 / kept)


def set_dropout_generator(module: nn.Module, generator: torch.Generator) -> None:
    """Make every Dropout inside `module` draw from `generator`.

    Args:
        module: a model or layer.
        generator: source of randomness, on the module's device.
    """
    for child in module.modules():
        if isinstance(child, Dropout):
            child.generator = generator


class Block(nn.Module):
    """One pre-LN block of SASRec: attention, then a pointwise feed-forward layer of the same width.

    Args:
        width: number of features, a multiple of `heads`.
        heads: number of attention heads.
        dropout: share of entries dropped, in [0, 1).
        normalise_values: apply a LayerNorm without affine, over features, to the values (default False). The exogenous
            rows of the causal reading then have mean 0 and variance 1 (Prop. 4.2); eps is 1e-8, so that the variance is
            1 in float32.
        uniform: attention scores are 0, as if all query weights were, and queries and keys are not computed; default
            False.

    Raises:
        InputError: heads does not divide width.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, normalise_values: bool = False, uniform: bool = False
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise InputError(f"heads = {heads} does not divide width = {width}")
        self.heads = heads
        self.normalise_values = normalise_values
        self.uniform = uniform
        self.attention_norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.forward_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def exogenous(self, y_bld: Tensor) -> Tensor:
        """Return the value rows V (b, l, d) that attention mixes.

        Args:
            y_bld: input of the attention layer after its LayerNorm.
        """
        v_bld: Tensor = self.value(y_bld)
        return functional.layer_norm(v_bld, v_bld.shape[-1:], eps=1e-8) if self.normalise_values else v_bld

    def attention(self, x_bld: Tensor, mask_b1qk: Tensor) -> Tensor:
        """Return the plain attention matrix A (b, h, q, k), which the forward pass does not hold.

        Args:
            x_bld: input of the block.
            mask_b1qk: additive mask.
        """
        y = self.attention_norm(x_bld)
        q, k = self._matched(y, y)
        return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask_b1qk, -1)

    def _matched(self, asked_bqd: Tensor, y_bkd: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, (b, h, q, f) and (b, h, k, f)."""
        if self.uniform:
            # Zeros go through the same kernel, so that nothing but the scores differs, to the bit.
            return self._split(torch.zeros_like(asked_bqd)), self._split(torch.zeros_like(y_bkd))
        return self._split(self.query(asked_bqd)), self._split(self.key(y_bkd))

    def _split(self, rows_bld: Tensor) -> Tensor:
        batch, length, width = rows_bld.shape
        return rows_bld.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(
        self, x_bld: Tensor, mask_b1qk: Tensor, boost: Boost | None = None, relation_bqk: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the block's output and the mixed rows Z = A V, both (b, q, d), for the last q rows of the mask.

        Args:
            x_bld: input of the block.
            mask_b1qk: additive mask.
            boost: how R rescales attention; None (default) for plain attention.
            relation_bqk: R, row the effect and column the cause; None (default) for plain attention.
        """
        y = self.attention_norm(x_bld)
        asked = slice(-mask_b1qk.shape[2], None)
        q, k = self._matched(y[:, asked], y)
        v = self._split(self.exogenous(y))
        z_bld = attend(q, k, v, mask_b1qk, boost, relation_bqk).transpose(1, 2).flatten(2)
        x = x_bld[:, asked] + self.dropout(self.out(z_bld))
        hidden = self.dropout(torch.relu(self.widen(self.forward_norm(x))))
        return x + self.dropout(self.narrow(hidden)), z_bld
