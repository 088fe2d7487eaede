"""What memory a training will take, reckoned from its options before any of it is taken."""

from dataclasses import fields, replace
from math import prod
from typing import Any

import numpy as np
import torch

from bench.engine.memory import free_bytes
from bench.errors import INPUT_ERRORS, InputError
from causalrec.interactions import Sequences
from causalrec.methods.saved import KEPT
from causalrec.negatives import PUBLISHED_NEGATIVES
from causalrec.recommender import Recommender
from causalrec.training import TrainingOptions

NUMBER = 4  # bytes of a float32
COPIES = 4  # of the parameters: themselves, their gradient, two moments of Adam
STATES, SQUARES, GRAPHS = 12, 4, 20  # arrays that a layer, its attention and a graph keep for the backward pass
GIB = 2**30


def check_memory(
    kind: type[Recommender], options: Any, training: TrainingOptions, train: Sequences, device: str
) -> None:
    """Raise InputError, naming the option that asks for most, where a training would take more memory than is free.

    Args:
        kind: class of the model.
        options: of the model.
        training: how it is trained.
        train: training actions of all users.
        device: "cpu" or "cuda".
    """
    lengths = train.lengths()
    needed = demand(kind, options, training, lengths)
    free = float(torch.cuda.mem_get_info()[0]) if device == "cuda" else free_bytes()
    if needed <= free:
        return
    without = {}
    defaults = {field.name: field.default for field in fields(options) if type(field.default) is int}
    for name, default in {**defaults, "batch": TrainingOptions.batch}.items():
        try:
            if name == "batch":
                without[name] = demand(kind, options, replace(training, batch=min(training.batch, default)), lengths)
            else:
                changed = replace(options, **{name: min(getattr(options, name), default)})
                without[name] = demand(kind, changed, training, lengths)
        except INPUT_ERRORS:  # the default does not go with the other options
            continue
    most = min(without, key=lambda name: without[name])
    value = training.batch if most == "batch" else getattr(options, most)
    told = f"{most} = {value}"
    if without[most] >= needed:
        most, told = "the number of items by --item-core", f"{train.num_items} items"
    raise InputError(
        f"{told}: training would take about {needed / GIB:,.1f} GiB of memory, and {free / GIB:,.1f} GiB are free; "
        f"lower {most}, or take a machine with more memory"
    )


def check_counted(name: str, options: Any, train: Sequences) -> None:
    """As `check_memory`, of a model that is no network.

    Args:
        name: of the model.
        options: of FPMC; None for the others.
        train: training actions of all users.
    """
    if (needed := counted_demand(name, options, train)) > (free := free_bytes()):
        advice = "raise --item-core" if options is None else "lower width"
        raise InputError(
            f"{name} on {train.num_items} items would take about {needed / GIB:,.1f} GiB of memory, and "
            f"{free / GIB:,.1f} GiB are free; {advice}, or take a machine with more memory"
        )


def counted_demand(name: str, options: Any, train: Sequences) -> float:
    """About how many bytes a model that is no network takes at its peak.

    Args:
        name: of the model.
        options: of FPMC; None for the others.
        train: training actions of all users.
    """
    n = train.num_items
    if options is not None:
        return float(COPIES * NUMBER * options.width * (len(train) + 3 * n + 2))
    sizes = (prod(shape) * dtype.itemsize for shape, dtype in KEPT[name](n).values() if -1 not in shape)
    return float(COPIES * sum(sizes))


def demand(kind: type[Recommender], options: Any, training: TrainingOptions, lengths: np.ndarray) -> float:
    """About how many bytes a training takes at its peak.

    Args:
        kind: class of the model.
        options: of the model.
        training: how it is trained.
        lengths: number of training actions of each user.
    """
    state = kind(options, torch.Generator(), "meta").state_dict()
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    targets = np.maximum(lengths - 1, 0)
    rows = int((-(-targets // options.length) if training.windows == "all" else targets > 0).sum())
    batch, length = min(training.batch, rows), min(options.length, int(targets.max(initial=1)))
    width, heads, layers = (getattr(options, name, 1) for name in ("width", "heads", "layers"))
    tokens = batch * length
    kept = layers * tokens * (STATES * max(width, getattr(options, "hidden", 1)) + SQUARES * heads * length)
    kept += layers * tokens * SQUARES * heads * getattr(options, "span", 0)
    kept += tokens * GRAPHS * length if hasattr(options, "source") else 0
    negatives = getattr(options, "negatives", None) or PUBLISHED_NEGATIVES[getattr(options, "loss", "full")]
    kept += 6 * tokens * negatives  # three numbers of 8 bytes
    windows = 3 * 8 * rows * (options.length + 1)
    return float(COPIES * parameters + NUMBER * kept + windows)
