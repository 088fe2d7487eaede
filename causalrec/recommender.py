"""What training, ranking and checkpoints ask of a neural recommender; every such model is one of these."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from causalrec.errors import InputError


def require_positive(options: Any, *names: str) -> None:
    """Raise InputError unless each of the named options is at least 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise InputError(f"{name} = {getattr(options, name)}; expected at least 1")


class Recommender(nn.Module, ABC):
    """A model of item sequences: items 1..items, 0 is padding on the left, positions count from the right end.

    A model gives `_build` (its layers), `_initialise` (all weights, from the generator alone), `loss` and `scores`.
    `options` is a frozen dataclass with at least `items` and `length`, the most items of a history that it reads.
    `item` embeds items, its row 0 padding.
    A model that `needs_times` is given the time of every item, (b, l) float64 in seconds, 0 at padding.
    `products` is the dtype of the full softmax's matrix products (None: that of the states); training sets it.
    """

    options: Any
    item: nn.Embedding
    needs_times: ClassVar[bool] = False
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

    def check_length(self, items_bl: Tensor) -> int:
        """The positions of a batch; raises InputError where they are more than the model takes, or none."""
        length = items_bl.shape[1]
        if not 1 <= length <= self.options.length:
            raise InputError(f"sequences of {length} positions; the model takes 1 to {self.options.length}")
        return length

    @abstractmethod
    def loss(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """`loss(items_bl, target_bl[, times_bl])`: the training loss and the detached terms that make it up.

        `target_bl` holds the item after each item, 0 at padding; the last position of every row has one.
        A term whose name ends in `_max` is kept by its maximum over an epoch, any other by its mean.
        """

    @abstractmethod
    def scores(self, *args: Any, **kwargs: Any) -> Tensor:
        """`scores(items_bl[, times_bl])`: scores (b, items) of items 1..items as the next; column k is item k + 1."""

    def end_period(self, means: dict[str, float]) -> dict[str, float]:  # noqa: ARG002
        """Adapt to an epoch's mean terms, where the model does; return what of its state the trace should hold."""
        return {}
