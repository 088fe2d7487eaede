"""What the measurements share: the command line's description, CPU time, goals in words, one step of training."""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from causalrec.optimisers import clip
from causalrec.recommender import Recommender


class Goal(NamedTuple):
    """A bound that a figure is to keep.

    Args:
        bound: the least that the figure may be, or the most.
        most: whether it is the most.
    """

    bound: float
    most: bool = False

    def judge(self, value: float) -> str:
        """The goal and whether it is reached, in words.

        Args:
            value: the figure.
        """
        reached = value <= self.bound if self.most else value >= self.bound
        return f"at {'most' if self.most else 'least'} {self.bound:g}: {'reached' if reached else 'not reached'}"


def command_line(about: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring as it stands.

    Args:
        about: the docstring.
    """
    return argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU time of a call, in seconds.

    Args:
        call: what to time.
    """
    start = time.process_time()
    call()
    return time.process_time() - start


def median_seconds(*calls: Callable[[], object], repeats: int = 7) -> list[float]:
    """The median CPU time of each call, in seconds; they take turns, after one round that is not counted.

    Args:
        calls: what to time.
        repeats: rounds that are counted; 0 counts the first round.
    """
    rounds = [[cpu_seconds(call) for call in calls] for _ in range(repeats + 1)]
    return [float(seconds) for seconds in np.median(rounds[min(1, repeats) :], axis=0)]


def take_step(
    model: Recommender,
    optimisers: Sequence[torch.optim.Optimizer],
    items: Tensor,
    target: Tensor,
    clip_norm: float = float("inf"),
) -> Tensor:
    """Train a model for one step.

    Args:
        model: the model, in training mode.
        optimisers: of its parameters.
        items: item ids, (batch, length), 0 where padded.
        target: the next items, (batch, length).
        clip_norm: norm that the gradient of each group is cut to; no limit by default.

    Returns:
        The loss before the step.
    """
    loss, _ = model.loss(items, target)
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip_norm < float("inf"):
        clip(model.groups(), clip_norm)
    for optimiser in optimisers:
        optimiser.step()
    return loss.detach()
