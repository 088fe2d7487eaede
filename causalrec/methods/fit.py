"""The one recipe that trains a recommender: its split, its random streams, its training loop."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, get_type_hints

import torch

from causalrec.checkpoints import Checkpoint
from causalrec.errors import InputError, short
from causalrec.interactions import Sequences, Split, global_temporal, leave_one_out
from causalrec.methods import recipes
from causalrec.methods.options import build, value_of
from causalrec.methods.recommenders import OFFERED, Entry
from causalrec.methods.streams import generator, torch_generator
from causalrec.ranking import ndcg, rank_targets
from causalrec.recommender import Recommender
from causalrec.training import Diverged, Progress, TrainingOptions, train

SPLITS = ("leave_one_out", "temporal")
REPEATS = ("kept", "dropped")
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


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained recommender.

    Args:
        model: a `Recommender`, or another scorer.
        options: its options, as JSON data.
        training: how it was trained; None for what is made in one go.
        progress: how training went; None for what is made in one go.
    """

    model: Any
    options: dict[str, Any]
    training: TrainingOptions | None = None
    progress: Progress | None = None


def fit_named(
    name: str,
    split: Split,
    given: Mapping[str, Any],
    *,
    seen: str,
    root: int,
    axes: Mapping[str, Any],
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Make and train a recommender of `OFFERED` by the recipe of the benchmark, changed by what is given.

    Of a control for which no option is given, the setting of its grid that ranks validation best is taken.

    Args:
        name: of the recommender.
        split: as `make_split` makes it.
        given: options of the model and of its training in one, as JSON data.
        seen: the rule for seen items that validation ranks by, "kept" or "filtered".
        root: root of every random stream.
        axes: as for `make_model`.
        device: where a neural model lives. Default "cpu".
        checkpoint: as for `fit`.
        on_epoch: as for `fit`.

    Raises:
        InputError: an unknown option, a value out of range, or data that the model cannot be trained on.
    """
    entry = OFFERED[name]
    if entry.options_of is None:
        return _fit_control(name, entry, split, given, seen)
    ways = {field.name for field in fields(TrainingOptions)} - {"seen"}
    how = {key: value for key, value in given.items() if key in ways}
    training = build(TrainingOptions, recipes.training(entry) | how | {"seen": seen}, f"training of {name}")
    own = {key: value for key, value in given.items() if key not in ways}
    if not (split.train.lengths() >= 2).any():
        raise InputError("no user has two actions to train on; lower the cores or add data")
    try:
        if not issubclass(entry.kind, Recommender):
            options = build(entry.options_of, own, name)
            initial = torch_generator(root=root, stream="initial", **axes)
            model = entry.kind(split, options, training, initial, checkpoint)
            return Fitted(model, asdict(options), training, model.progress)
        sized = recipes.loss(entry, split.num_items) | own | {"items": split.num_items}
        options = build(entry.options_of, sized, name)
        if getattr(options, "source", None) == "fixed":
            raise InputError(f"{name}: source = fixed takes a given W, of which there is none; choose another source")
        model = make_model(entry.kind, options, device, root, axes)
        if model.needs_next_time:
            raise InputError(f"{name}: times = query tells the model when its targets happen; choose last or none")
        progress = fit(model, split, training, root, axes, checkpoint, on_epoch)
        return Fitted(model, asdict(options), training, progress)
    except Diverged as error:
        raise InputError(f"{name}: {error}") from error


def _fit_control(name: str, entry: Entry, split: Split, given: Mapping[str, Any], seen: str) -> Fitted:
    tried = [dict(given)] if given or not entry.grid else [dict(options) for options in entry.grid]
    best, best_score = None, -1.0
    for setting in tried:
        options = plain_options(entry, setting, name)
        model = entry.kind(split.train, **options)
        if len(tried) == 1:
            return Fitted(model, options)
        ranks = rank_targets(model, split.validation)
        score = float(ndcg(ranks.kept if seen == "kept" else ranks.filtered).mean())
        if score > best_score:
            best, best_score = Fitted(model, options), score
    assert best is not None
    return best


def plain_options(entry: Entry, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return all options of a model that is made in one go, with their defaults.

    Args:
        entry: the model, without `options_of`.
        given: some of them.
        where: what they are, for errors.

    Raises:
        InputError: an unknown option, or a value of another type.
    """
    hints = get_type_hints(entry.kind.__init__)
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(entry.kind).parameters.items()
        if parameter.default is not parameter.empty
    }
    for key in given:
        if key not in known:
            raise InputError(f"{where} has no option {short(key)}; its options: {', '.join(known) or 'none'}")
    return known | {key: value_of(f"{where}.{key}", value, hints[key]) for key, value in given.items()}
