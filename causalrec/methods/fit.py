"""The one recipe that trains a neural recommender: its split, its random streams, its training loop."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from causalrec.checkpoints import Checkpoint
from causalrec.interactions import Sequences, Split, global_temporal, leave_one_out
from causalrec.methods.streams import generator, torch_generator
from causalrec.recommender import Recommender
from causalrec.training import Progress, TrainingOptions, train

SPLITS = ("leave_one_out", "temporal")
Model = TypeVar("Model", bound=Recommender)


def make_split(sequences: Sequences, name: str) -> Split:
    """Training, validation and test of prepared sequences.

    Args:
        sequences: every user's actions.
        name: one of `SPLITS`; "temporal" cuts all users at the same two points in time, see `global_temporal`.

    Raises:
        InputError: nothing is left to train or to test on, or the actions have no times to cut at.
    """
    if name == "temporal":
        return global_temporal(sequences)
    return leave_one_out(sequences)


def make_model(kind: type[Model], options: Any, device: str, root: int, axes: Mapping[str, Any]) -> Model:
    """A model with its initial weights.

    Args:
        kind: the model's class.
        options: an instance of its options.
        device: where it lives, such as "cpu".
        root: root of every random stream.
        axes: what the stream of initial weights is named by beside `root`, such as the dataset and the seed.
    """
    return kind(options, torch_generator(root=root, stream="initial", **axes), device)


def fit(
    model: Recommender,
    split: Split,
    training: TrainingOptions,
    root: int,
    axes: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
) -> Progress:
    """Train a model in place. Batches and dropout depend on `root` and `axes` alone, so that models share their draws.

    Args:
        model: what to train, on its own device.
        split: as `make_split` makes it.
        training: how.
        root: root of every random stream.
        axes: as for `make_model`.
        checkpoint: where training is kept, so that it can be resumed; None keeps nothing.
        on_epoch: called after every epoch.

    Raises:
        causalrec.training.Diverged: the loss is not finite.
    """
    draws = torch_generator(root=root, stream="dropout", **axes)
    device = next(model.parameters()).device
    if device.type != "cpu":
        draws = torch.Generator(device).manual_seed(draws.initial_seed())
    shuffle = generator(root=root, stream="batches", **axes)
    return train(model, split, training, shuffle=shuffle, dropout=draws, checkpoint=checkpoint, on_epoch=on_epoch)
