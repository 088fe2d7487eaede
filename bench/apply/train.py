"""Train a recommender on a named dataset or a user's own file; what is saved is in `bench.apply.model_files`."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.apply.model_files import DESCRIPTION, DataOptions, Trained, read_json, save
from bench.cells.files import write_json
from bench.cells.json_files import printable
from bench.cells.provenance import provenance
from bench.datasets import DATASETS, Loaded, Provenance, data_folder, load, load_own
from bench.errors import InputError
from bench.judge.intervals import Interval, clopper_pearson, share_interval
from bench.methods.fit import SPLITS, fit, make_model, make_split
from bench.methods.options import build, parse
from bench.methods.recommenders import SAVED
from bench.show.tables import Table
from causalrec.checkpoints import CheckpointFile
from causalrec.interactions import Targets, check_leaks
from causalrec.ranking import NonFiniteScores, Scorer, hit_rate, ndcg, rank_targets
from causalrec.training import Diverged, Progress, TrainingOptions, make_scorer, pick_device

CHECKPOINT, BEGUN = "checkpoint.safetensors", "training.json"
Asked = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """HR@10 and NDCG@10 of one part of the data under one rule for seen items, with intervals over users."""

    part: str
    seen: str
    hr10: Interval
    ndcg10: Interval


@dataclass(frozen=True, eq=False)
class Report:
    """What `train` and `evaluate` found: figures, and in words what was asked and of whom."""

    title: str
    figures: tuple[Figures, ...]
    note: str
    about: Mapping[str, Any]

    def table(self) -> Table:
        """For people."""
        rows = tuple((f.part, f.seen, f.hr10.n, f.hr10, f.ndcg10) for f in self.figures)
        return Table("figures", self.title, ("part", "seen items", "users", "HR@10", "NDCG@10"), rows, self.note)

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return {**self.about, "note": self.note, "figures": [_told(f) for f in self.figures]}


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
    """Train model `name` on a dataset's name or a file, write it to the folder `out` and report validation and test.

    asked: values of `DataOptions`, None for the dataset's own. words: `key=value` options of the model. training: of
    `TrainingOptions`. The streams are those of `bench.runners.recommender` at root `seed`, so that a named dataset
    gives the numbers of that cell. With `resume` the training in `out` goes on, also to more epochs, to the same
    numbers as one never interrupted. Raises InputError for wrong input, and then has written nothing.
    """
    if name not in SAVED:
        raise InputError(f"model {name!r} is none that is trained here; choose one of {', '.join(SAVED)}")
    kind, options_of = SAVED[name].kind, SAVED[name].options_of
    given = parse(name, options_of, words, fixed=("items",))
    wanted = build(TrainingOptions, training or {}, "training")
    where = pick_device(device)
    _check_folder(out, resume)
    loaded, prepared = read_data(data, data_dir, asked)
    sequences = loaded.sequences
    split = make_split(sequences, prepared.split)
    check_leaks(split, sequences)
    seen = "kept" if float(loaded.provenance.statistics["repeats_share"] or 0) > 0 else "filtered"
    wanted = replace(wanted, seen=seen)
    streams = {"dataset": loaded.provenance.dataset, "seed": 0}
    options = build(options_of, given | {"items": split.num_items}, name)
    if getattr(options, "source", None) == "fixed":
        raise InputError(f"{name}: source = fixed takes a given W, of which there is none here; choose another source")
    model = make_model(kind, options, where, seed, streams)
    if model.needs_times and sequences.times is None:
        raise InputError(f"{name} needs the time of every action; name its column with --time, or choose another model")
    if not (split.train.lengths() >= 2).any():
        raise InputError(f"{data}: no user has two actions to train on; lower the cores or add data")
    begun = {
        "model": name, "options": asdict(options), "training": asdict(wanted) | {"epochs": None}, "seed": seed,
        "device": where, "content_hash": loaded.provenance.content_hash, "split": prepared.split,
    }  # fmt: skip
    _begin(out, begun, resume)
    try:
        progress = fit(model, split, wanted, seed, streams, CheckpointFile(out / CHECKPOINT), on_epoch)
    except Diverged as error:
        raise InputError(f"{name} on {data}: {error}") from error
    score = make_scorer(model)
    figures = (*rank(score, split.validation, "validation", name), *rank(score, split.test, "test", name))
    about = {
        "model": name, "options": asdict(options), "training": asdict(wanted), "seed": seed, "device": where,
        "epochs": progress.epoch, "best_epoch": progress.best_epoch or progress.epoch,
        "skipped_steps": progress.skipped_steps, "data": asdict(loaded.provenance), "split": split.protocol,
    }  # fmt: skip
    note = (
        f"{split.protocol}. {data_words(loaded)}. Trained {progress.epoch} epochs, seed {seed}; the model is that of "
        f"epoch {about['best_epoch']}, {'best on validation' if wanted.patience else 'the last'}. Full catalogue of "
        f"{split.num_items} items; intervals over users, 95 %."
    )
    report = Report(f"{name} on {printable(data)}", figures, note, about)
    more = {key: value for key, value in report.document().items() if key not in ("model", "options", "note")}
    trained = Trained.of(sequences, split)
    p = loaded.provenance
    more |= {"preparation": asdict(prepared), "seen": seen, "content_hash": p.content_hash, "dataset": p.dataset}
    save(out, name, model, sequences.item_labels, trained, more | {"file": p.file, "made_with": provenance()})
    return report


def read_data(data: str, data_dir: Path | None, asked: Asked) -> tuple[Loaded, DataOptions]:
    """A named dataset, or a file of the user's own, and how it was read; where nothing is asked, its own defaults."""
    told = ("repeats", "user_core", "item_core")
    wanted: dict[str, Any] = {key: asked[key] for key in told if asked.get(key) is not None}
    columns: dict[str, Any] = {name: asked.get(name) or name for name in ("user", "item")}
    columns["time"] = asked.get("time")
    is_file = data not in DATASETS and (Path(data).exists() or Path(data).suffix != "")
    loaded = load_own(Path(data), **columns, **wanted) if is_file else load(data, data_folder(data_dir), **wanted)
    p, split = loaded.provenance, asked.get("split") or SPLITS[0]
    return loaded, DataOptions(**columns, repeats=p.repeats, user_core=p.user_core, item_core=p.item_core, split=split)


def rank(score: Scorer, targets: Targets, part: str, name: str) -> tuple[Figures, Figures]:
    """Figures of one part with seen items kept and filtered; raises InputError for scores that are not finite."""
    try:
        ranks = rank_targets(score, targets)
    except NonFiniteScores as error:
        raise InputError(f"{name}, {part}: {error}; train it anew with a lower learning rate") from error
    return _figures(part, "kept", ranks.kept), _figures(part, "filtered", ranks.filtered)


def _figures(part: str, seen: str, ranks: NDArray[np.float64]) -> Figures:
    hits = hit_rate(ranks)
    return Figures(part, seen, clopper_pearson(int(hits.sum()), len(hits)), share_interval(ndcg(ranks)))


def _check_folder(out: Path, resume: bool) -> None:
    """Raise InputError where `out` cannot take a model without losing what is there."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is no folder; choose another --out")
    there = [name for name in (DESCRIPTION, BEGUN, CHECKPOINT) if (out / name).exists()]
    if there and not resume:
        raise InputError(f"{out}: holds {', '.join(there)}; go on with --resume, or choose another --out")


def _begin(out: Path, begun: dict[str, Any], resume: bool) -> None:
    """Note in `out` what is trained, or, where that was noted before, raise InputError unless it is the same."""
    path = out / BEGUN
    if resume and path.exists():
        was, now = read_json(path), json.loads(json.dumps(begun))
        differs = [key for key in now if was.get(key) != now[key]]
        if differs:
            told = ", ".join(differs)
            raise InputError(f"{out}: what was begun there differs in {told}; ask for that, or choose another --out")
        return
    if (out / CHECKPOINT).exists():
        raise InputError(f"{out}: holds {CHECKPOINT} without {BEGUN}; remove it, or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    write_json(path, begun)


def epoch_words(progress: Progress) -> str:
    """How the last epoch went, for people."""
    terms = ", ".join(f"{name} {value:.4g}" for name, value in progress.trace[-1].items())
    best = f"; best so far {progress.best:.4g} in epoch {progress.best_epoch}" if progress.best_epoch else ""
    return f"epoch {progress.epoch}: {terms}{best}"


def preparation_words(options: DataOptions | Provenance) -> str:
    """How data was prepared, in words."""
    return f"repeats {options.repeats}, {options.user_core}/{options.item_core} actions at least a user/an item"


def data_words(loaded: Loaded) -> str:
    """What the data is, in words."""
    p, s = loaded.provenance, loaded.provenance.statistics
    return (
        f"{printable(p.dataset)} ({printable(Path(p.file).name)}, SHA-256 {p.file_sha256[:12]}): {s['users']} users, "
        f"{s['items']} items, {s['actions']} actions; order by {p.order}; {preparation_words(p)}"
    )


def _told(figures: Figures) -> dict[str, Any]:
    """As JSON data, in which a bound that is not finite is none."""
    told: dict[str, Any] = {"part": figures.part, "seen": figures.seen}
    for name in ("hr10", "ndcg10"):
        interval = asdict(getattr(figures, name))
        told |= {name: {key: value if math.isfinite(value) else None for key, value in interval.items()}}
    return told
