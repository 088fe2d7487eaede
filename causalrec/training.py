"""The training loop of every neural model: its schedule, checkpoints, exact resumption, early stopping if asked for."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalrec.attention import set_dropout_generator
from causalrec.checkpoints import Checkpoint, Snapshot
from causalrec.errors import InputError
from causalrec.interactions import Sequences, Split, Times, pad_left, seconds_since
from causalrec.optimisers import OPTIMISERS, SCHEDULES, Muon, clip, make_optimisers, rate
from causalrec.ranking import NonFiniteScores, Scorer, ndcg, rank_targets
from causalrec.recommender import Recommender, require_positive

MEGABATCH = 16
STEEPEST = 1e30  # learning rate that float32 can hold; those that teach nothing are told by what they lead to
PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
BUCKET = 64  # histories of similar length that are scored together
CHOICES = {
    "schedule": SCHEDULES,
    "optimiser": OPTIMISERS,
    "seen": ("kept", "filtered"),
    "precision": tuple(PRECISIONS),
    "windows": ("last", "all"),
}
ADAM = ("exp_avg", "exp_avg_sq", "step")  # what an optimiser keeps of a parameter
MOMENTS: Mapping[type, tuple[str, ...]] = {Muon: ("momentum",)}


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Args:
        epochs: passes over the training data, default 40.
        batch: sequences per step, default 128.
        learning_rate: step size of Adam, at its highest, default 4e-3.
        schedule: the learning rate rises for 2 % of the steps, stays to one half of them and falls to 0 in a line
            (`decay`, default), or is `constant`. Ending at 0 is worth many epochs.
        optimiser: `adam` (default), or `muon` for the matrices of layers and Adam for all else, see `optimisers`.
        weight_decay: share of a weight taken off per unit of learning rate, default 0.
        clip_norm: largest norm of the gradient of each of the model's `groups`, default 5; inf for no limit.
        patience: epochs without a better validation NDCG@10 before training stops; None (default) trains all epochs,
            as the schedule foresees and as models must that are to be compared.
        validate_every: epochs between two validations, where there is patience, default 1.
        seen: validation ranks over the catalogue with the user's history `kept` (default) or `filtered` out.
        precision: dtype of the full softmax's matrix products, three quarters of all arithmetic: `float32` (default),
            or `bf16`, which saves time on a GPU or a CPU with matrix units (AMX) and costs time elsewhere. All else
            stays in float32.
        windows: train on the `last` window of each user's actions, as long as the model reads (default; Kang & McAuley
            2018, Sec. III-A), or on `all`, cut into windows so that every action but the first is a target once.

    Raises:
        InputError: an option out of range.
    """

    epochs: int = 40
    batch: int = 128
    learning_rate: float = 4e-3
    schedule: str = "decay"
    optimiser: str = "adam"
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    patience: int | None = None
    validate_every: int = 1
    seen: str = "kept"
    precision: str = "float32"
    windows: str = "last"

    def __post_init__(self) -> None:
        counts = ("epochs", "batch", "validate_every", *(() if self.patience is None else ("patience",)))
        if low := [name for name in counts if getattr(self, name) < 1]:
            hint = ", or None to train all epochs" if low[0] == "patience" else ""
            raise InputError(f"{low[0]} = {getattr(self, low[0])}; expected at least 1{hint}")
        require_positive(self, "epochs", "batch")
        if not (0 < self.learning_rate <= STEEPEST and 0 < self.clip_norm <= math.inf):
            raise InputError(
                f"learning_rate = {self.learning_rate}, clip_norm = {self.clip_norm}; expected numbers above 0, "
                f"learning_rate at most {STEEPEST:g}"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay = {self.weight_decay}; expected a finite number >= 0")
        for name, valid in CHOICES.items():
            if getattr(self, name) not in valid:
                raise InputError(f"{name} = {getattr(self, name)!r}; expected one of {', '.join(valid)}")

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes a training from one whose state it must not resume.

        The number of epochs does under `decay`, where every step depends on it.
        """
        return asdict(self) | ({"epochs": None} if self.schedule == "constant" else {})

    def validates(self, epoch: int) -> bool:
        """Return whether the model is validated after an epoch.

        Args:
            epoch: its number, from 1.
        """
        return self.patience is not None and (epoch % self.validate_every == 0 or epoch == self.epochs)


@dataclass
class Progress:
    """What training has done so far.

    Args:
        epoch: number of finished epochs.
        best_epoch: the epoch with the best validation score, 0 before there is one.
        best: its NDCG@10, -inf before there is one.
        skipped_steps: number of steps whose loss or gradient was not finite.
        trace: mean terms of the loss, one dict per epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = -math.inf
    skipped_steps: int = 0
    trace: list[dict[str, float]] = field(default_factory=list)


class Diverged(ArithmeticError):
    """A whole epoch passed without a finite loss and gradient."""


def pick_device(name: str = "auto") -> str:
    """Return `cpu` or `cuda`.

    Args:
        name: `cpu`, `cuda`, or `auto` (default) for CUDA if it is available and the CPU otherwise.

    Raises:
        InputError: the device is unknown or not available.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device {name!r} is not available here; choose auto, cpu or, with a GPU, cuda")
    return name


def make_scorer(model: Recommender) -> Scorer:
    """Return the model as a scorer, which reads the last `length` items of each history.

    The scorer raises InputError for histories without the times that the model needs.

    Args:
        model: a trained model.
    """

    def score(history: Sequences, rows: slice) -> Tensor:
        padded = pad_left([history.row(user) for user in range(rows.start, rows.stop)], model.options.length)
        asked: list[NDArray[Any]] = [padded]
        if model.needs_times:
            name = type(model).__name__
            asked.append(pad_times(history, rows, model.options.length, name, model.needs_next_time))
        lengths = (padded != 0).sum(1)
        order = np.argsort(lengths, kind="stable")
        buckets = [order[start : start + BUCKET] for start in range(0, len(order), BUCKET)]
        model.eval()
        with torch.inference_mode():
            parts = []
            for bucket in buckets:
                longest = max(int(lengths[bucket[-1]]), 1)
                first = model.options.length - longest
                batch = (torch.from_numpy(part[bucket, first:]).to(model.device) for part in asked)
                parts.append(model.scores(*batch))
            return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(model.device)]

    return score


def pad_times(
    sequences: Sequences, rows: slice, length: int, model: str, ahead: bool = False
) -> NDArray[np.float64]:
    """Return the times of the last `length` actions of the rows in seconds: (rows, length) float64, 0 at padding.

    Whole-number times count from the first of these actions, so that what lies between two is exact: all that models
    read.

    Args:
        sequences: histories of all users.
        rows: the users.
        length: columns of the result.
        model: name of the model that needs times, for the message.
        ahead: the time of the next item stands in one more column; default False.

    Raises:
        InputError: the sequences lack these times.
    """
    following = sequences.next_times if ahead else None
    if ahead and following is None:
        raise InputError(f"{model} needs the time at which the next item is taken; choose a model that does not")
    spans = [np.arange(*sequences.offsets[user : user + 2]) for user in range(rows.start, rows.stop)]
    places = pad_left([span + 1 for span in spans], length)
    return _seconds(sequences, places - 1, model, None if following is None else following[rows])


def _seconds(
    sequences: Sequences, places: NDArray[np.int64], model: str, following: Times | None = None
) -> NDArray[np.float64]:
    """The times of the actions at these places (rows, n), -1 for padding, and in one more column those `following`."""
    if sequences.times is None:
        raise InputError(
            f"{model} needs the time of every action and this data has none (file order only); "
            "choose a model without times, or data with them"
        )
    times: Times = sequences.times[places]
    real = places >= 0
    if following is not None:
        times, real = np.column_stack([times, following]), np.column_stack([real, np.ones(len(real), np.bool_)])
    first = times[np.arange(len(times)), real.argmax(1), None]
    origin = first if times.dtype == np.int64 else np.zeros_like(first)
    return np.where(real, seconds_since(origin, times, sequences.per_second), 0.0)


def place_windows(sequences: Sequences, length: int, windows: str) -> NDArray[np.int64]:
    """Return the rows to train on as places in `sequences.items`, (rows, length + 1) int64, -1 for padding on the left.

    Each row's first action is read but not predicted. A user without a target has no row.

    Args:
        sequences: training actions of all users.
        length: most items that the model reads.
        windows: `last` gives one row per user, of the last actions; `all` adds rows before it, each of which ends where
            the next one begins to predict.
    """
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
    trained = ends - starts >= 2
    starts, ends = starts[trained], ends[trained]
    if windows == "all":
        counts = -(-(ends - starts - 1) // length)
        back = np.concatenate([np.arange(count)[::-1] for count in counts] or [np.empty(0, np.int64)])
        starts, ends = np.repeat(starts, counts), np.repeat(ends, counts) - length * back
    places = ends[:, None] + np.arange(-length - 1, 0)
    return np.where(places < starts[:, None], -1, places)


def batches(
    padded: NDArray[np.int64],
    size: int,
    generator: np.random.Generator,
    device: str,
    times: NDArray[np.float64] | None = None,
    ahead: bool = False,
) -> Iterator[tuple[Tensor, ...]]:
    """Yield one epoch of (items, next items), both (b, l), and with `times` also the times of the items.

    Rows of similar length are batched together, so that little padding is computed: users are shuffled, sorted by
    length within groups of `MEGABATCH` batches, and the batches shuffled again.

    Args:
        padded: (users, length + 1) items, padded on the left with 0.
        size: rows per batch.
        generator: source of the order.
        device: where the batches live.
        times: times of the items, of the same shape as `padded`; default None.
        ahead: the time of the last next item stands behind the times of the items; default False.
    """
    lengths = (padded != 0).sum(1)
    order = generator.permutation(len(padded))
    group = size * MEGABATCH
    groups = [order[start : start + group] for start in range(0, len(order), group)]
    order = np.concatenate([g[np.argsort(-lengths[g], kind="stable")] for g in groups])
    starts = generator.permutation(np.arange(0, len(order), size))
    for start in starts:
        rows = order[start : start + size]
        longest = int(lengths[rows].max())
        block = torch.from_numpy(padded[rows, -longest:]).to(device)
        items = block[:, :-1]
        batch: tuple[Tensor, ...] = (items, block[:, 1:] * (items != 0))
        if times is not None:
            batch = (*batch, torch.from_numpy(times[rows, -longest : None if ahead else -1]).to(device))
        yield batch


def train(
    model: Recommender,
    split: Split,
    options: TrainingOptions,
    *,
    shuffle: np.random.Generator,
    dropout: torch.Generator,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Progress], object] | None = None,
) -> Progress:
    """Train in place and leave the model at its best validation epoch (with patience None, at its last one).

    Steps whose loss or gradient is not finite are skipped and counted.

    Args:
        model: the model.
        split: training rows and validation questions.
        options: how to train.
        shuffle: source of the order of users.
        dropout: source of dropout and negatives, on the model's device.
        checkpoint: where the state is saved after every epoch; default None. Training resumes from a state found there,
            to the same numbers as without the interruption.
        on_epoch: called after every epoch; training ends if it returns True. Default None.

    Raises:
        InputError: no training data, no times where the model needs them, or what `checkpoint` raises.
        Diverged: a whole epoch passed without a finite loss and gradient.
    """
    places = place_windows(split.train, model.options.length, options.windows)
    if len(places) == 0:
        raise InputError("no user has two training actions; lower the k-core or give longer sequences")
    padded = np.where(places < 0, 0, split.train.items[places])
    times = None
    if model.needs_times:
        times = _seconds(split.train, places, type(model).__name__)
    set_dropout_generator(model, dropout)
    model.products = PRECISIONS[options.precision]
    optimisers = make_optimisers(
        model.groups(), model.matrices(), options.optimiser, options.learning_rate, options.weight_decay
    )
    identity = [type(model).__name__, asdict(model.options), options.identity]
    state = TrainingState(identity, model.state_dict(), optimisers, dropout, shuffle)
    if checkpoint is not None:
        state.resume(checkpoint)
    progress = state.progress
    while progress.epoch < options.epochs and not out_of_patience(progress, options):
        progress.trace.append(_train_epoch(model, padded, times, options, optimisers, shuffle, progress))
        progress.epoch += 1
        if options.validates(progress.epoch):
            score = validate(make_scorer(model), split, options)
            progress.trace[-1]["validation"] = score
            if score > progress.best:
                progress.best, progress.best_epoch = score, progress.epoch
                state.keep_best()
        if checkpoint is not None:
            checkpoint.save(state.snapshot())
        if on_epoch is not None and on_epoch(progress) is True:
            break
    if options.patience is not None:
        state.restore_best()
    model.eval()
    return progress


def take_step(optimisers: Sequence[torch.optim.Optimizer], learning_rate: float) -> None:
    """Take a step with every optimiser.

    Args:
        optimisers: of one model.
        learning_rate: of this step, times the `rate` of a group that has one.
    """
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * group.get("rate", 1.0)
        optimiser.step()


def out_of_patience(progress: Progress, options: TrainingOptions) -> bool:
    """Return whether training has gone `patience` epochs without a better validation score.

    Args:
        progress: what training has done so far.
        options: how to train.
    """
    return options.patience is not None and progress.epoch - progress.best_epoch >= options.patience


def _train_epoch(
    model: Recommender,
    padded: NDArray[np.int64],
    times: NDArray[np.float64] | None,
    options: TrainingOptions,
    optimisers: Sequence[torch.optim.Optimizer],
    shuffle: np.random.Generator,
    progress: Progress,
) -> dict[str, float]:
    model.train()
    totals: dict[str, float] = {}
    groups = model.groups()
    rows, steps = 0, -(-len(padded) // options.batch)
    done = progress.epoch * steps
    epoch = batches(padded, options.batch, shuffle, str(model.device), times, model.needs_next_time)
    for number, batch in enumerate(epoch, start=1):
        loss, terms = model.loss(*batch)
        model.zero_grad()
        if not bool(torch.isfinite(loss)):
            progress.skipped_steps += 1
            continue
        loss.backward()  # type: ignore[no-untyped-call]
        if not clip(groups, options.clip_norm):
            progress.skipped_steps += 1
            continue
        share = (done + number) / (options.epochs * steps)
        take_step(optimisers, options.learning_rate * rate(share, options.schedule))
        rows += len(batch[0])
        for name, value in terms.items():
            if name.endswith("_max"):
                totals[name] = max(totals.get(name, -math.inf), float(value))
            else:
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch[0])
    if rows == 0:
        raise Diverged(f"no finite loss and gradient in epoch {progress.epoch + 1}; lower the learning rate or beta")
    means = {name: total if name.endswith("_max") else total / rows for name, total in totals.items()}
    return means | model.end_period(means)


def validate(score: Scorer, split: Split, options: TrainingOptions) -> float:
    """Return the mean NDCG@10 on the validation questions; -inf if a score is not finite.

    Args:
        score: the recommender.
        split: holds the questions.
        options: says whether the user's history is ranked too.
    """
    try:
        ranks = rank_targets(score, split.validation)
    except NonFiniteScores:
        return -math.inf
    return float(ndcg(ranks.filtered if options.seen == "filtered" else ranks.kept).mean())


class TrainingState:
    """Everything that a training carries from one epoch to the next, so that it can be saved and resumed.

    Args:
        identity: JSON data that distinguishes this training from those whose state it must not resume.
        values: parameters and buffers by name, changed only in place.
        optimisers: optimisers of the parameters among them.
        generator: generator of dropout and negatives.
        shuffle: generator of the order of users; default None.
    """

    def __init__(
        self,
        identity: object,
        values: Mapping[str, Tensor],
        optimisers: Sequence[torch.optim.Optimizer],
        generator: torch.Generator,
        shuffle: np.random.Generator | None = None,
    ) -> None:
        self.identity = json.dumps(identity, sort_keys=True)
        self.values = {name: value.detach() for name, value in values.items()}
        self.optimisers, self.generator, self.shuffle = optimisers, generator, shuffle
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}

    def keep_best(self) -> None:
        """Copy the current values as the best so far."""
        self.best = {name: value.clone() for name, value in self.values.items()}

    def restore_best(self) -> None:
        """Restore what `keep_best` copied, if anything."""
        for name, value in self.best.items():
            self.values[name].copy_(value)

    def snapshot(self) -> Snapshot:
        """Return the current state, for `Checkpoint.save`."""
        tensors = {f"model.{name}": value for name, value in self.values.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for place, optimiser in enumerate(self.optimisers):
            for number, entry in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{place}.{number}.{name}": value for name, value in entry.items()}
        tensors["dropout"] = self.generator.get_state()
        texts = {"identity": self.identity, "progress": json.dumps(asdict(self.progress))}
        if self.shuffle is not None:
            texts["shuffle"] = json.dumps(self.shuffle.bit_generator.state)
        return Snapshot(tensors, texts)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Restore the state in `checkpoint`, or nothing at all if that state is refused.

        Args:
            checkpoint: where the state is.
        """
        found = checkpoint.load()
        if found is None:
            return
        if found.texts.get("identity") != self.identity:
            checkpoint.refuse("belongs to another model or other options")
            return
        try:
            taken = self._check(found)
        except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
            checkpoint.refuse(f"is damaged ({' '.join(str(error).split())[:200]})")
            return
        self.progress, self.best, moments, shuffle = taken
        for name, value in self.values.items():
            value.copy_(found.tensors[f"model.{name}"])
        for optimiser, kept in zip(self.optimisers, moments, strict=True):
            optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})
        self.generator.set_state(found.tensors["dropout"])
        if self.shuffle is not None:
            self.shuffle.bit_generator.state = shuffle

    def _check(
        self, found: Snapshot
    ) -> tuple[Progress, dict[str, Tensor], list[dict[int, dict[str, Tensor]]], Any]:
        """Return progress, best values, moments of the optimisers and the shuffle's state, as `snapshot` wrote them."""
        like = {f"{part}.{name}": value for part in ("model", "best") for name, value in self.values.items()}
        for place, optimiser in enumerate(self.optimisers):
            parameters = [value for group in optimiser.param_groups for value in group["params"]]
            for number, parameter in enumerate(parameters):
                for moment in MOMENTS.get(type(optimiser), ADAM):
                    shaped = torch.tensor(0.0) if moment == "step" else parameter
                    like[f"optimiser.{place}.{number}.{moment}"] = shaped
        like["dropout"] = self.generator.get_state()
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}, "dropout": {}}
        for name, value in found.tensors.items():
            if value.shape != like[name].shape or value.dtype != like[name].dtype:
                raise ValueError(f"{name} has shape {tuple(value.shape)} and dtype {value.dtype}")
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        if set(parts["model"]) != set(self.values) or (parts["best"] and set(parts["best"]) != set(self.values)):
            raise ValueError("parameters are missing")
        moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimisers]
        for name, value in parts["optimiser"].items():
            place_of, number_of, moment = name.split(".")
            moments[int(place_of)].setdefault(int(number_of), {})[moment] = value
        for optimiser, kept in zip(self.optimisers, moments, strict=True):
            if any(len(entry) != len(MOMENTS.get(type(optimiser), ADAM)) for entry in kept.values()):
                raise ValueError("moments are missing")
        torch.Generator(self.generator.device).set_state(found.tensors["dropout"])
        shuffle = None
        if self.shuffle is not None:
            shuffle = json.loads(found.texts["shuffle"])
            type(self.shuffle.bit_generator)().state = shuffle
        progress = Progress(**json.loads(found.texts["progress"]))
        if not 0 <= progress.best_epoch <= progress.epoch == len(progress.trace) or not progress.skipped_steps >= 0:
            raise ValueError("its epochs do not agree")
        return progress, parts["best"], moments, shuffle
