"""Train a recommender on a named dataset or a user's own file; what is saved is in `causalrec.methods.saved`."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import numpy as np
import torch

from bench.apply.demand import check_counted, check_memory, counted_demand
from bench.cells.files import write_json
from bench.cells.provenance import provenance
from bench.datasets.catalogue import DATASETS
from bench.datasets.load import Loaded, Provenance, data_folder, load, load_own
from bench.datasets.own import FileForm
from bench.engine.memory import free_bytes
from bench.errors import INPUT_ERRORS, InputError
from bench.judge.intervals import Interval, clopper_pearson, share_interval
from bench.methods.options import build, parse
from bench.show.tables import Table
from bench.text import printable
from causalrec.checkpoints import CheckpointFile, Snapshot
from causalrec.interactions import Sequences, Split, Targets, check_leaks
from causalrec.methods import recipes
from causalrec.methods.fit import SPLITS, Fitted, fit_named, make_split, plain_options
from causalrec.methods.recommenders import OFFERED, Entry
from causalrec.methods.saved import DESCRIPTION, DataOptions, Trained, read_json, save, scorer_of
from causalrec.negatives import PUBLISHED_NEGATIVES, check_negatives
from causalrec.ranking import NonFiniteScores, Scorer, hit_rate, ndcg, rank_targets
from causalrec.recommender import Recommender
from causalrec.training import Progress, TrainingOptions, pick_device, place_windows

CONTROLS = ("popularity", "markov", "item_knn")  # what a result is shown beside
CHECKPOINT, BEGUN = "checkpoint.safetensors", "training.json"
Asked = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """How one part of the data is ranked under one rule for seen items.

    Args:
        part: "validation" or "test".
        seen: "kept" or "filtered".
        hr10: HR@10, with its interval over users.
        ndcg10: NDCG@10, with its interval over users.
    """

    part: str
    seen: str
    hr10: Interval
    ndcg10: Interval

    def document(self) -> dict[str, Any]:
        """As JSON data; a bound that is not finite is null."""
        figures = {"hr10": self.hr10.document(), "ndcg10": self.ndcg10.document()}
        return {"part": self.part, "seen": self.seen, **figures}


@dataclass(frozen=True, eq=False)
class Report:
    """What `train` and `evaluate` found.

    Args:
        title: Of the table.
        figures: One per part and rule.
        note: What was asked and of whom, in words.
        about: The same as JSON data.
        beside: By name, the model and controls fitted on the same split, on the test under one rule for seen items.
    """

    title: str
    figures: tuple[Figures, ...]
    note: str
    about: Mapping[str, Any]
    beside: Mapping[str, Figures] = field(default_factory=dict)

    def tables(self) -> list[Table]:
        """For people."""
        rows = tuple((f.part, f.seen, f.hr10.n, f.hr10, f.ndcg10) for f in self.figures)
        shown = [Table("figures", self.title, ("part", "seen items", "users", "HR@10", "NDCG@10"), rows, self.note)]
        if self.beside:
            seen = next(iter(self.beside.values())).seen
            held = tuple((name, f.hr10, f.ndcg10) for name, f in self.beside.items())
            note = "Controls are fitted on the same split, each in the setting that validation ranks best."
            title = f"Beside controls, on the test, seen items {seen}"
            shown.append(Table("beside", title, ("model", "HR@10", "NDCG@10"), held, note))
        return shown

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        told = {**self.about, "note": self.note, "figures": [f.document() for f in self.figures]}
        beside = [{"model": name, **figures.document()} for name, figures in self.beside.items()]
        return told | ({"beside": beside} if beside else {})


def train(
    data: str,
    name: str,
    out: Path,
    asked: Asked,
    *,
    words: Sequence[str] = (),
    training: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[Progress], None] | None = None,
) -> Report:
    """Train a model, write its files and report how it ranks validation and test, beside controls.

    A named dataset gives the numbers of the recommender runner's cell of the same root seed. What is counted or solved
    takes none of `training`.

    Args:
        data: Name of a dataset, or a file.
        name: One of `OFFERED`.
        out: Folder for the model's files.
        asked: Values of `DataOptions`; None stands for the dataset's own.
        words: Options of the model as `key=value`.
        training: Values of `TrainingOptions`, but `seen`, which follows from the data. Default: the model's recipe.
        seed: Root seed of weights, batches and dropout.
        device: "cpu", "cuda" or "auto".
        data_dir: The data folder. Default: see `data_folder`.
        resume: Go on with the training in `out`, under a constant rate perhaps to more epochs, to the numbers of one
            never interrupted.
        on_epoch: Called after each epoch.

    Raises:
        InputError: Wrong input, or a model that learned nothing; the folder is then as it was. Or a full disk, where
            the last epoch that could be written stays.
    """
    if name not in OFFERED:
        raise InputError(f"model {name!r} is none that is trained here; choose one of {', '.join(OFFERED)}")
    entry = OFFERED[name]
    if resume and entry.options_of is None:
        raise InputError(f"{name} is made in one go, so there is nothing to resume; leave out --resume")
    where = pick_device(device)
    own = parse(name, entry.options_of or _Plain.of(entry), words, fixed=("items",))
    ways = dict(training or {}) if entry.options_of else {}
    build(TrainingOptions, ways, "training")
    _check_folder(out, resume)
    loaded, prepared = read_data(data, data_dir, asked)
    p, sequences = loaded.provenance, loaded.sequences
    split = make_split(sequences, prepared.split)
    check_leaks(split, sequences)
    seen = "kept" if float(p.statistics["repeats_share"] or 0) > 0 else "filtered"
    options, wanted = _checked(data, name, own, ways | {"seen": seen}, split, sequences, where)
    streams = {"dataset": p.dataset, "seed": 0}
    about: dict[str, Any] = {
        "model": name, "options": options, "training": asdict(wanted) if wanted else {}, "seed": seed, "device": where,
    }  # fmt: skip
    same = {"training": wanted.identity if wanted else {}, "content_hash": p.content_hash, "split": prepared.split}
    begun = Begun(out, about | same, resume)
    try:
        fitted = fit_named(
            name, split, own | ways, seen=seen, root=seed, axes=streams, device=where, checkpoint=begun,
            on_epoch=on_epoch,
        )  # fmt: skip
        score = scorer_of(fitted.model)
        figures = (*rank(score, split.validation, "validation", name), *rank(score, split.test, "test", name))
    except Unwritten:  # what was trained before the disk was full can be resumed
        raise
    except INPUT_ERRORS:
        begun.undo()
        raise
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        begun.undo()
        raise InputError(f"{name} on {data}: memory ran out; give a smaller batch, length or width") from error
    about["options"] = fitted.options
    loss, selected = loss_words(name, fitted.options), selection_words(entry, fitted, bool(own))
    if (progress := fitted.progress) is not None:
        about |= {
            "epochs": progress.epoch, "best_epoch": progress.best_epoch or progress.epoch,
            "skipped_steps": progress.skipped_steps,
        }  # fmt: skip
    about |= {
        "loss": loss, "selection": selected, "data": asdict(p), "read": list(loaded.read), "split": split.protocol
    }  # fmt: skip
    note = (
        f"{split.protocol}. {data_words(loaded)}. Loss: {loss}. Seed {seed}; {selected}. Full catalogue of "
        f"{split.num_items} items; intervals over users, 95 %."
    )
    report = Report(f"{name} on {printable(data)}", figures, note, about)
    more = about | {
        "figures": report.document()["figures"], "preparation": asdict(prepared), "seen": seen,
        "content_hash": p.content_hash, "dataset": p.dataset, "file": p.file, "made_with": provenance(),
    }  # fmt: skip
    save(out, name, fitted.model, sequences.item_labels, Trained.of(sequences, split), more)
    return replace(report, beside=_beside(name, next(f for f in figures[2:] if f.seen == seen), split, seen))


class _Plain:
    """Options of a model that is made in one go, as a class for `parse`."""

    @staticmethod
    def of(entry: Entry) -> type[Any]:
        """The class, a field per option.

        Args:
            entry: the model.
        """
        hints = get_type_hints(entry.kind.__init__)
        return make_dataclass("Options", [(name, hints[name]) for name in plain_options(entry, {}, "")])


def _checked(
    data: str, name: str, own: Asked, ways: Asked, split: Split, sequences: Sequences, where: str
) -> tuple[dict[str, Any], TrainingOptions | None]:
    """The options and training that `fit_named` will take; InputError where it would fail late or take too much."""
    entry, train = OFFERED[name], split.train
    if entry.options_of is None:
        check_counted(name, None, train)
        return plain_options(entry, own, name), None
    training = build(TrainingOptions, {**recipes.training(entry), **ways}, "training")
    if not (train.lengths() >= 2).any():
        raise InputError(f"{data}: no user has two actions to train on; lower the cores or add data")
    if not issubclass(entry.kind, Recommender):
        options = build(entry.options_of, own, name)
        check_counted(name, options, train)
        return asdict(options), training
    sized = recipes.loss(entry, split.num_items) | dict(own) | {"items": split.num_items}
    options = build(entry.options_of, sized, name)
    if getattr(options, "source", None) != "fixed":
        check_memory(entry.kind, options, training, train, where)
        _check_negatives(options, train, training.windows)
        model = entry.kind(options, torch.Generator(), "meta")
        if model.needs_times and not model.needs_next_time and sequences.times is None:
            raise InputError(f"{name} needs the time of every action; name its column with --time, or choose another")
    return asdict(options), training


def _beside(name: str, own: Figures, split: Split, seen: str) -> dict[str, Figures]:
    """The model and the controls on the test; a control that is too large for the memory is left out."""
    found = {name: own}
    for control in CONTROLS:
        if control != name and counted_demand(control, None, split.train) <= free_bytes():
            model = fit_named(control, split, {}, seen=seen, root=0, axes={}).model
            found[control] = next(f for f in rank(model, split.test, "test", control) if f.seen == seen)
    return found


LOSSES = {
    "full": "cross-entropy, softmax over all items", "sampled": "cross-entropy, softmax over {k} sampled items",
    "bce": "binary cross-entropy, {k} negative per action", "gbce": "gBCE, {k} negatives per action",
    "sbpr": "sampled BPR, one other item per action",
}  # fmt: skip


def loss_words(name: str, options: Mapping[str, Any]) -> str:
    """Say what loss a model is trained by.

    Args:
        name: Of the model.
        options: Of the model.
    """
    if OFFERED[name].options_of is None:
        return "squared error, solved in one go" if name in ("ease", "tale") else "none, it is counted"
    kind = options.get("loss", "full")
    graph = " + beta * L_DAG of the graph" if options.get("beta") else ""
    negatives = options.get("negatives") or PUBLISHED_NEGATIVES.get(kind, 0)
    return LOSSES[kind].format(k=negatives) + (" at masked places" if name == "bert4rec" else "") + graph


def selection_words(entry: Entry, fitted: Fitted, given: bool) -> str:
    """Say which model is kept, and by what metric.

    Args:
        entry: Of the model.
        fitted: The model.
        given: Whether options of it were given.
    """
    training, progress = fitted.training, fitted.progress
    if training is None or progress is None:
        setting = ", ".join(f"{option} = {value}" for option, value in fitted.options.items()) or "no setting"
        if given or len(entry.grid) < 2:
            return f"the model has {setting}, and no metric selects"
        return f"the model has {setting}, selected among {len(entry.grid)} settings by NDCG@10 on validation"
    best = progress.best_epoch or progress.epoch
    how = "selected by NDCG@10 on validation" if training.patience else "the last, and no metric selects"
    return f"trained {progress.epoch} epochs; the model is that of epoch {best}, {how}"


def read_data(data: str, data_dir: Path | None, asked: Asked) -> tuple[Loaded, DataOptions]:
    """Read a named dataset, or a file of the user's own, and return it with how it was read.

    Args:
        data: Name of a dataset, or a file.
        data_dir: The data folder. Default: see `data_folder`.
        asked: Values of `DataOptions`; None stands for the dataset's own.

    Raises:
        InputError: As `load` and `load_own`.
    """
    cores = ("repeats", "user_core", "item_core")
    wanted: dict[str, Any] = {key: asked[key] for key in cores if asked.get(key) is not None}
    form: dict[str, Any] = {field.name: asked.get(field.name) for field in fields(FileForm)}
    is_file = data not in DATASETS and (Path(data).exists() or Path(data).name != data or Path(data).suffix != "")
    loaded = load_own(Path(data), **form, **wanted) if is_file else load(data, data_folder(data_dir), **wanted)
    p, split = loaded.provenance, asked.get("split") or SPLITS[0]
    read = asdict(loaded.form or FileForm())
    return loaded, DataOptions(**read, repeats=p.repeats, user_core=p.user_core, item_core=p.item_core, split=split)


def rank(score: Scorer, targets: Targets, part: str, name: str) -> tuple[Figures, Figures]:
    """Rank all items for what is asked of one part of the data, with seen items kept and filtered.

    Args:
        score: The model's scores of items.
        targets: What is asked.
        part: "validation" or "test".
        name: Of the model, for errors.

    Raises:
        InputError: Scores are not finite.
    """
    try:
        ranks = rank_targets(score, targets)
    except NonFiniteScores as error:
        raise InputError(f"{name}, {part}: {error}; train it again with a lower learning rate") from error
    kept, filtered = (
        Figures(part, seen, clopper_pearson(int(hit_rate(rank).sum()), len(rank)), share_interval(ndcg(rank)))
        for seen, rank in (("kept", ranks.kept), ("filtered", ranks.filtered))
    )
    return kept, filtered


def _check_folder(out: Path, resume: bool) -> None:
    """Raise InputError where `out` cannot take a model without losing what is there."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is no folder; choose another --out")
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{out}: cannot be made or written in {place}; choose another --out")
    there = [name for name in (DESCRIPTION, BEGUN, CHECKPOINT) if (out / name).exists()]
    if there and not resume:
        raise InputError(f"{out}: holds {', '.join(there)}; go on with --resume, or choose another --out")


class Begun(CheckpointFile):
    """The training in a folder: nothing is written before its first epoch has ended.

    Args:
        out: the folder.
        told: what is trained, as JSON data.
        resume: go on with a training there, which must be the same.

    Raises:
        InputError: another training was begun there.
    """

    def __init__(self, out: Path, told: dict[str, Any], resume: bool) -> None:
        super().__init__(out / CHECKPOINT)
        self._note, self._told = out / BEGUN, told
        self._resumed = resume and self._note.exists()
        self._made = [folder for folder in (out, *out.parents) if not folder.exists()]
        if self._resumed:
            was, now = read_json(self._note), msgspec.to_builtins(told)
            if differs := ", ".join(key for key in now if was.get(key) != now[key]):
                raise InputError(
                    f"{out}: what was begun there differs in {differs}; ask for that, or choose another --out"
                )
        elif self.path.exists():
            raise InputError(f"{out}: holds {CHECKPOINT} without {BEGUN}; remove it, or choose another --out")

    def save(self, snapshot: Snapshot) -> None:
        """Note what is trained, if that has not been done, and save the state.

        Args:
            snapshot: the state.

        Raises:
            Unwritten: a file cannot be written.
        """
        try:
            if not self._note.exists():
                write_json(self._note, self._told)
            super().save(snapshot)
        except INPUT_ERRORS as error:
            if not self.path.exists():
                self.undo()
            raise Unwritten(str(error)) from error

    def undo(self) -> None:
        """Leave the folder as it was, unless a training was resumed: then its last epoch stays."""
        if self._resumed:
            return
        for path in (self.path, self._note):
            path.unlink(missing_ok=True)
        for folder in self._made:
            with contextlib.suppress(OSError):  # it was not made, or someone else has put something there
                folder.rmdir()


class Unwritten(InputError):
    """A training cannot be kept: no space, no permission."""


def _check_negatives(options: Any, train: Sequences, windows: str) -> None:
    """Raise InputError where the loss of the model, if it has one with negatives, finds none among the items."""
    if (loss := getattr(options, "loss", "full")) != "full":
        places = place_windows(train, options.length, windows)
        check_negatives(loss, options.items, np.where(places < 0, 0, train.items[places]))


def epoch_words(progress: Progress) -> str:
    """Say how the last epoch went.

    Args:
        progress: Of the training.
    """
    terms = ", ".join(f"{name} {value:.4g}" for name, value in progress.trace[-1].items())
    best = f"; best so far {progress.best:.4g} in epoch {progress.best_epoch}" if progress.best_epoch else ""
    return f"epoch {progress.epoch}: {terms}{best}"


def preparation_words(options: DataOptions | Provenance) -> str:
    """Say how data was prepared.

    Args:
        options: How it was.
    """
    return f"repeats {options.repeats}, {options.user_core}/{options.item_core} actions at least per user/item"


def data_words(loaded: Loaded) -> str:
    """Say what the data is.

    Args:
        loaded: The data.
    """
    p, s = loaded.provenance, loaded.provenance.statistics
    counted = zip(("users", "items", "actions"), loaded.read, strict=True)
    kept = ", ".join(f"{s[what]} {what} of {read}" for what, read in counted)
    return (
        f"{printable(p.dataset)} ({printable(Path(p.file).name)}, SHA-256 {p.file_sha256[:12]}): {kept}; order by "
        f"{p.order}; {preparation_words(p)}"
    )
