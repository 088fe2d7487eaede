"""What a trained recommender is worth on data, and what it recommends."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.apply.train import Asked, Report, data_words, preparation_words, rank, read_data
from bench.datasets.load import Loaded, data_folder
from bench.datasets.opened import opened
from bench.datasets.titles import TITLED, read_films
from bench.errors import DataMissing, InputError
from bench.show.tables import Table
from bench.text import encodable, printable, short
from causalrec.interactions import Sequences, Targets, check_leaks, from_rows
from causalrec.methods.fit import make_split
from causalrec.methods.saved import SEEN, Saved, load
from causalrec.ranking import NonFiniteScores, best_items
from causalrec.training import pick_device

SHOWN = 3
FORMATS = (".csv", ".parquet")


@dataclass(frozen=True)
class Recommendation:
    """The items that a model puts first after a history.

    Args:
        title: What was asked, in words.
        seen: Whether items of the history were "kept" or "filtered".
        actions: Length of the history.
        items: Item, title or None, and score of each; best first.
    """

    title: str
    seen: str
    actions: int
    items: tuple[tuple[str, str | None, float], ...]

    def table(self) -> Table:
        """For people; ids and titles with what cannot be printed escaped."""
        shown = [(k, printable(i), title and printable(title), s) for k, (i, title, s) in enumerate(self.items, 1)]
        places = (0, 1, 2, 3) if any(title is not None for _, title, _ in self.items) else (0, 1, 3)
        rows = tuple(tuple(row[place] for place in places) for row in shown)
        columns = tuple(("rank", "item", "title", "score")[place] for place in places)
        note = f"After {self.actions} actions, whose items are {self.seen}."
        return Table("recommend", printable(self.title), columns, rows, note)

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        keys = ("rank", "item", "title", "score")
        listed = [dict(zip(keys, (rank, *row), strict=True)) for rank, row in enumerate(self.items, 1)]
        return {"title": self.title, "actions": self.actions, "seen": self.seen, "items": listed}


@dataclass(frozen=True, eq=False)
class Recommendations:
    """The items that a model puts first after the histories of several users.

    Args:
        title: What was asked, in words.
        seen: Whether items of the histories were "kept" or "filtered".
        users: How many users got any.
        left_out: How many had no item that the model knows.
        rows: user, rank, item and score, by user and then best first; ids as the data have them.
    """

    title: str
    seen: str
    users: int
    left_out: int
    rows: pd.DataFrame

    def table(self, out: Path | None) -> Table:
        """For people, or where a file has them how many it has; ids with what cannot be printed escaped.

        Args:
            out: The file.
        """
        note = f"Items of histories are {self.seen}. Left out: {self.left_out} users with no item that the model knows."
        title = printable(self.title)
        if out is not None:
            row = (self.users, self.left_out, len(self.rows), printable(str(out)))
            return Table("recommend", title, ("users", "left out", "rows", "file"), (row,), note)
        shown = self.rows.assign(user=self.rows["user"].map(printable), item=self.rows["item"].map(printable))
        rows = tuple(tuple(row) for row in shown.astype(object).to_numpy().tolist())
        return Table("recommend", title, tuple(self.rows.columns), rows, note)

    def document(self, out: Path | None) -> dict[str, Any]:
        """As JSON data, without the rows where a file has them.

        Args:
            out: The file.
        """
        told = {"title": self.title, "seen": self.seen, "users": self.users, "left_out": self.left_out}
        return told | ({"rows": self.rows.to_dict("records")} if out is None else {"file": encodable(str(out))})


def evaluate(
    folder: Path,
    data: str,
    asked: Asked,
    *,
    skip_unknown: bool = False,
    device: str = "auto",
    data_dir: Path | None = None,
) -> Report:
    """Rank with a saved model what the split of data holds out and training has not seen.

    Users whose asked action training may have seen are left out and counted: those it knows whose row does not begin
    with what it saw of it, or whose asked action is in that.

    Args:
        folder: Of the model.
        data: Name of a dataset, or a file.
        asked: Values of `DataOptions`; None stands for those that the model was trained with.
        skip_unknown: Leave out actions on items that the model does not know.
        device: "cpu", "cuda" or "auto".
        data_dir: The data folder. Default: see `data_folder`.

    Raises:
        InputError: Wrong input, items unknown to the model (unless skipped), or nobody is left to ask.
    """
    saved = load(folder, pick_device(device))
    asked = _as_trained(saved, asked)
    loaded, prepared = read_data(data, data_dir, asked)
    sequences, skipped = _recode(loaded, saved, skip_unknown)
    split = make_split(sequences, prepared.split)
    check_leaks(split, sequences)
    test = split.test
    known, clean = saved.trained.judge(sequences, test.users, test.history.lengths())
    keep = np.flatnonzero(clean)
    same = loaded.provenance.content_hash == saved.content_hash
    left_out = len(test) - len(keep)
    if not keep.size:
        raise InputError(
            f"{data}: of all {len(test)} users the action asked by {prepared.split} is one that the model was trained "
            f"on or stopped by, or cannot be told from one; it was trained with {saved.data.split} and "
            f"{preparation_words(saved.data)}: evaluate with those, or on later actions or other users"
        )
    targets = Targets(
        test.history.take(keep, test.history.lengths()[keep]), test.target[keep], test.users[keep],
        None if test.times is None else test.times[keep],
    )  # fmt: skip
    counts = {
        "asked": len(keep), "asked_known": int(known[keep].sum()), "left_out": left_out, "actions_skipped": skipped,
    }  # fmt: skip
    note = (
        f"{split.protocol}. {data_words(loaded)}: {'the' if same else 'not the'} data that the model was trained on. "
        f"Held out and asked: one action of each of {len(keep)} users, {counts['asked_known']} of whom training knew "
        f"up to an earlier action. {left_out} users left out: training may have seen what would be asked. {skipped} "
        f"actions on items unknown to the model left out. Full catalogue of {len(saved.items)} items; intervals over "
        "users, 95 %."
    )
    figures = rank(saved.score, targets, "test", saved.name)
    about = {
        "model": saved.name, "same_data": same, "data": asdict(loaded.provenance), "split": split.protocol, **counts,
    }  # fmt: skip
    return Report(f"{saved.name} of {printable(str(folder))} on {printable(data)}", figures, note, about)


def recommend(
    folder: Path,
    *,
    data: str | None = None,
    user: str | None = None,
    history: Sequence[str] | None = None,
    history_file: Path | None = None,
    asked: Asked | None = None,
    k: int = 10,
    seen: str | None = None,
    skip_unknown: bool = False,
    device: str = "auto",
    data_dir: Path | None = None,
) -> Recommendation:
    """List the items that a saved model puts first after a user's actions or after a given history.

    Args:
        folder: Of the model.
        data: Name of a dataset, or a file, that has the user.
        user: Label of the user, of whom all actions are the history.
        history: Labels of items, oldest first; a single text that is no label itself may hold several with commas
            between.
        history_file: A file of such labels, one per line, each taken to the letter.
        asked: Values of `DataOptions`; None stands for those that the model was trained with.
        k: How many items.
        seen: Whether items of the history are "kept" or "filtered". Default: as validation ranked.
        skip_unknown: Leave out actions on items that the model does not know.
        device: "cpu", "cuda" or "auto".
        data_dir: The data folder. Default: see `data_folder`.

    Raises:
        InputError: Wrong input, or items unknown to the model (unless skipped).
    """
    given = [what for what in (user, history, history_file) if what is not None]
    if len(given) != 1 or (user is not None and data is None):
        raise InputError(
            "say whose history: --data FILE --user ID, or --history ITEM,ITEM,..., or --history-file FILE, one of them"
        )
    if seen not in (None, *SEEN):
        raise InputError(f"seen must be one of {', '.join(SEEN)}, got {seen!r}")
    saved = load(folder, pick_device(device))
    if user is not None and data is not None:
        past = _histories(saved, data, data_dir, asked or {}, [user], skip_unknown)
    else:
        named = _typed_labels(history or (), saved) if history_file is None else _read_labels(history_file)
        past = _typed_history(named, saved, skip_unknown)
    if not len(past.items):
        raise InputError("the history is empty: no item of it is known to the model")
    rule = seen or saved.seen
    try:
        _, best, scores = best_items(saved.score, past, k, filtered=rule == "filtered")
    except NonFiniteScores as error:
        raise InputError(f"{folder}: the model's scores are not finite; train it again") from error
    listed = [saved.items[item - 1] for item in best]
    titles = _titles(saved, data_folder(data_dir))
    items = tuple((label, titles.get(label), float(score)) for label, score in zip(listed, scores, strict=True))
    whom = "the history given" if user is None else f"user {user} of {data}"
    return Recommendation(f"{saved.name} for {whom}", rule, len(past.items), items)


def recommend_users(
    folder: Path,
    data: str,
    users: Sequence[str] | None = None,
    *,
    asked: Asked | None = None,
    k: int = 10,
    seen: str | None = None,
    skip_unknown: bool = False,
    device: str = "auto",
    data_dir: Path | None = None,
) -> Recommendations:
    """List the items that a saved model puts first after all that users of data did.

    Args:
        folder: Of the model.
        data: Name of a dataset, or a file, that has the users.
        users: Labels of users. Default: all that the cores keep.
        asked: As for `recommend`.
        k: How many items per user.
        seen: As for `recommend`.
        skip_unknown: Leave out actions on items that the model does not know, and users without any other.
        device: "cpu", "cuda" or "auto".
        data_dir: The data folder. Default: see `data_folder`.

    Raises:
        InputError: Wrong input, users who are not in the data, or items unknown to the model (unless skipped).
    """
    if seen not in (None, *SEEN):
        raise InputError(f"seen must be one of {', '.join(SEEN)}, got {seen!r}")
    saved = load(folder, pick_device(device))
    past = _histories(saved, data, data_dir, asked or {}, users, skip_unknown)
    lengths = past.lengths()
    there = np.flatnonzero(lengths)
    if not there.size:
        raise InputError("all histories are empty: no item of them is known to the model")
    past, rule = past.take(there, lengths[there]), seen or saved.seen
    try:
        whose, best, scores = best_items(saved.score, past, k, filtered=rule == "filtered")
    except NonFiniteScores as error:
        raise InputError(f"{folder}: the model's scores are not finite; train it again") from error
    ranks = np.arange(len(whose)) - np.searchsorted(whose, whose) + 1
    rows = pd.DataFrame({
        "user": [past.user_labels[row] for row in whose], "rank": ranks,
        "item": [saved.items[item - 1] for item in best], "score": scores,
    })  # fmt: skip
    left_out = len(lengths) - len(past)
    return Recommendations(f"{saved.name} for {len(past)} users of {data}", rule, len(past), left_out, rows)


def read_users(given: Sequence[str], listed: str | None) -> list[str] | None:
    """Return the labels of users that were given one by one and in a file; None for all of the data.

    Args:
        given: Labels.
        listed: "all", or a file of labels, one per line, each taken to the letter.

    Raises:
        InputError: The file cannot be read, or both name users.
    """
    if listed is not None and given:
        raise InputError("--user and --users are both given; name users one by one, or --users all or FILE")
    if listed == "all":
        return None
    return list(dict.fromkeys(given if listed is None else _read_labels(Path(listed))))


def check_out(out: Path, data: str | None) -> None:
    """Check that recommendations can be written, before time is spent on them.

    Args:
        out: Where to.
        data: What the users are read from.

    Raises:
        InputError: The file cannot be written, or is that of the users.
    """
    if out.suffix not in FORMATS:
        raise InputError(f"{out}: recommendations are written as {' or '.join(FORMATS)}; end its name so")
    if not out.parent.is_dir():
        raise InputError(f"{out}: cannot be written (No such file or directory); make the folder {out.parent}")
    if data is not None and out.exists() and Path(data).exists() and out.samefile(data):
        raise InputError(f"{out}: is the file of the users; choose another")


def _histories(
    saved: Saved, data: str, data_dir: Path | None, asked: Asked, users: Sequence[str] | None, skip_unknown: bool
) -> Sequences:
    """All actions of users, or of all of them, in the model's numbering of items."""
    loaded, prepared = read_data(data, data_dir, _as_trained(saved, asked))
    sequences = loaded.sequences
    if users is not None:
        place = {label: row for row, label in enumerate(sequences.user_labels)}
        if unknown := [label for label in users if label not in place]:
            known = f"{len(place)} users with {preparation_words(prepared)}"
            whom = f"user {unknown[0]!r} is" if len(users) == 1 else f"{_listed(unknown, 'users')}"
            raise InputError(f"{data}: {whom} not among its {known}; check the id, or lower the cores")
        at = np.array([place[label] for label in users], dtype=np.int64)
        sequences = sequences.take(at, sequences.lengths()[at])
    return _recode(replace(loaded, sequences=sequences), saved, skip_unknown)[0]


def _as_trained(saved: Saved, asked: Asked) -> dict[str, Any]:
    """What is asked for, and where nothing is, what the model was trained with; names go with a file's format."""
    trained = asdict(saved.data)
    if asked.get("format") not in (None, saved.data.format):
        trained |= dict.fromkeys(("user", "item", "time", "delimiter"))
    return trained | {key: value for key, value in asked.items() if value is not None}


def _recode(loaded: Loaded, saved: Saved, skip_unknown: bool) -> tuple[Sequences, int]:
    """The sequences in the model's numbering of items, and how many actions on items unknown to it were left out."""
    sequences = loaded.sequences
    place = {label: k for k, label in enumerate(saved.items, 1)}
    number = np.array([place.get(label, 0) for label in sequences.item_labels])
    items = number[sequences.items - 1]
    skipped = int((items == 0).sum())
    if skipped and not skip_unknown:
        unknown = [label for label, k in zip(sequences.item_labels, number, strict=True) if k == 0]
        raise InputError(
            f"{loaded.provenance.file}: {_listed(unknown, 'items')} unknown to the model, in {skipped} of {len(items)} "
            "actions; leave them out with --skip-unknown, or train on these data"
        )
    known = items != 0
    offsets = np.insert(np.cumsum(known), 0, 0)[sequences.offsets]
    times = None if sequences.times is None else sequences.times[known]
    return Sequences(
        items[known], offsets, times, len(saved.items), sequences.user_labels, saved.items,
        per_second=sequences.per_second,
    ), skipped  # fmt: skip


def _typed_labels(history: Sequence[str], saved: Saved) -> list[str]:
    """Item labels as they were given: each to the letter, or a single text that is none split at its commas."""
    if len(history) != 1 or "," not in history[0]:
        return list(history)
    whole, parts = history[0], [label.strip() for label in history[0].split(",")]
    if whole not in saved.items:
        return parts
    if set(parts) <= set(saved.items):
        raise InputError(
            f"--history {short(whole)}: is one item and, split at its commas, {len(parts)} items; "
            "give --history once per item, or one per line with --history-file"
        )
    return [whole]


def _read_labels(path: Path) -> list[str]:
    with opened(path) as file:
        lines = file.read().removesuffix(b"\n").split(b"\n")
    try:
        return [line.removesuffix(b"\r").decode() for line in lines]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8, one id per line") from error


def _typed_history(labels: list[str], saved: Saved, skip_unknown: bool) -> Sequences:
    """One row of items."""
    place = {label: k for k, label in enumerate(saved.items, 1)}
    unknown = [label for label in labels if label not in place]
    if unknown and not skip_unknown:
        folded = {_folded(label): label for label in saved.items}
        near = [short(folded[_folded(label)]) for label in dict.fromkeys(unknown) if _folded(label) in folded]
        meant = f"; near: {', '.join(near[:SHOWN])}" if near else ""
        raise InputError(
            f"--history: {_listed(unknown, 'items')} unknown to the model{meant}; leave them out with --skip-unknown, "
            "or give each id as the data have it, one per line with --history-file"
        )
    row = from_rows([[place[label] for label in labels if label in place]], num_items=len(saved.items))
    return replace(row, user_labels=("\0",))  # nobody's: FPMC knows users by their labels


def _folded(label: str) -> str:
    """A label without what is easily mistyped: blanks and case."""
    return "".join(label.split()).casefold()


def _listed(labels: list[str], what: str) -> str:
    more = ", ..." if len(labels) > SHOWN else ""
    return f"{len(labels)} {what} ({', '.join(map(short, labels[:SHOWN]))}{more}) are"


def _titles(saved: Saved, folder: Path) -> dict[str, str]:
    """Titles by item label, where the dataset that the model was trained on has them and they are there."""
    if saved.dataset not in TITLED:
        return {}
    try:
        return {label: film.title for label, film in read_films(saved.dataset, folder, saved.file).items()}
    except DataMissing:
        return {}
