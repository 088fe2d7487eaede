"""The base class of every neural recommender: what training, ranking and checkpoints need of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from causalrec.errors import InputError
from causalrec.optimisers import Group

LARGEST = 2**31 - 1  # of a count
MOST = {"layers": 100, "width": 2**24, "hidden": 2**24, "length": 2**24, "heads": 2**24, "span": 2**24}


def require_positive(options: Any, *names: str) -> None:
    """Raise InputError unless each of the named options is at least 1, and at most what `MOST` says.

    Args:
        options: object with the options as attributes.
        names: names of the options to check.
    """
    for name in names:
        value, most = getattr(options, name), MOST.get(name, LARGEST)
        if not 1 <= value <= most:
            least = "expected at least 1" if value < 1 else f"expected 1 to {most}"
            raise InputError(f"{name} = {value}; {least}")


INITIAL = ("small", "unit")
"""How embeddings begin: N(0, 0.02²), read times √width (`small`), or N(0, 1/width), read as they are (`unit`).

Item vectors are read at the input and again at the output. Begun at unit length, they hold back learning on sparse
data.
"""


def check_initial(options: Any) -> None:
    """Raise InputError unless `options.initial` is one of `INITIAL`.

    Args:
        options: object with the options as attributes.
    """
    if options.initial not in INITIAL:
        raise InputError(f"initial = {options.initial!r}; expected one of {', '.join(INITIAL)}")


def draw_embeddings(model: nn.Module, options: Any, generator: torch.Generator) -> None:
    """Draw every embedding of a model.

    Args:
        model: any.
        options: its options, with `initial` and `width`.
        generator: source of randomness, on the model's device.
    """
    std = 0.02 if options.initial == "small" else options.width**-0.5
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std, generator=generator)


@dataclass(frozen=True)
class TransformerOptions:
    """Sizes that all transformers here have.

    Args:
        items: number of items in the catalogue.
        length: most items of a history that the model reads, default 50.
        width: features of an item embedding, default 64.
        layers: number of attention layers, default 2.
        heads: attention heads per layer, default 2.
        dropout: share of entries dropped, in [0, 1), default 0.2.
        initial: how embeddings begin, see `INITIAL`; default `small`.

    Raises:
        InputError: a size below 1, or an unknown `initial`.
    """

    items: int
    length: int = 50
    width: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.2
    initial: str = "small"

    def __post_init__(self) -> None:
        require_positive(self, "items", "length", "width", "layers", "heads")
        check_initial(self)


class Recommender(nn.Module, ABC):
    """A model of item sequences: items 1..items, 0 is padding on the left, positions count from the right end.

    A subclass defines `_build` (its layers), `_initialise` (all weights, from the generator alone), `loss` and
    `scores`. `item` embeds items; its row 0 is padding. A model with `needs_times` also receives the time of every
    item, (b, l) float64 in seconds, 0 at padding; with `needs_next_time` as well, (b, l + 1), since the time at which
    the item after the last one is taken stands behind them. `products` is the dtype of the full softmax's matrix
    products (None: that of the states); training sets it.

    Args:
        options: frozen dataclass with at least `items` and `length`, the most items of a history that the model reads.
        generator: source of the initial weights, on the device of the model.
        device: `cpu` (default) or `cuda`.
    """

    options: Any
    item: nn.Embedding
    needs_times: bool = False
    needs_next_time: bool = False
    products: torch.dtype | None = None

    def __init__(self, options: Any, generator: torch.Generator, device: str = "cpu") -> None:
        super().__init__()
        self.options = options
        with torch.device("meta"):  # so that no layer draws its weights from the global generator
            self._build()
        self.to_empty(device=device)
        self._initialise(generator)

    @abstractmethod
    def _build(self) -> None: ...

    @abstractmethod
    def _initialise(self, generator: torch.Generator) -> None: ...

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    @property
    def embedding_scale(self) -> float:
        """What item embeddings are multiplied by where the model reads them: √width under `small`, 1 under `unit`."""
        return float(self.options.width**0.5) if self.options.initial == "small" else 1.0

    def matrices(self) -> list[Tensor]:
        """Return the weights of all linear layers, which the optimiser Muon may take."""
        return [module.weight for module in self.modules() if isinstance(module, nn.Linear)]

    def groups(self) -> list[Group]:
        """Return all parameters, in groups whose gradients are clipped apart: by default one."""
        return [Group(list(self.parameters()))]

    def check_length(self, items_bl: Tensor) -> int:
        """Return the number of positions of a batch.

        Args:
            items_bl: left-padded items.

        Raises:
            InputError: there are none, or more than the model takes.
        """
        length = items_bl.shape[1]
        if not 1 <= length <= self.options.length:
            raise InputError(f"sequences of {length} positions; the model takes 1 to {self.options.length}")
        return length

    @abstractmethod
    def loss(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the training loss and its detached terms.

        A term whose name ends in `_max` is kept as its maximum over an epoch, any other as its mean.

        Args:
            items_bl: left-padded items, 0 at padding.
            target_bl: the item after each, 0 at padding; the last position of every row has one.
            times_bl: times of the items in seconds, only for models that need them.
        """

    @abstractmethod
    def scores(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return scores (b, items) of items 1..items as the next one; column k is item k + 1.

        Args:
            items_bl: left-padded items, 0 at padding.
            times_bl: times of the items in seconds, only for models that need them.
        """

    def end_period(self, means: dict[str, float]) -> dict[str, float]:  # noqa: ARG002
        """Adapt to the terms of an epoch, and return what of the model's state the trace should record; by default
        nothing.

        Args:
            means: terms of the loss over the epoch, by name.
        """
        return {}
