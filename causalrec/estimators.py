"""Recommenders for a DataFrame of actions, with scikit-learn's conventions: `fit`, `recommend`, `save`, `load`."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch

from causalrec.errors import InputError, NotFittedError, short
from causalrec.interactions import (
    Interactions,
    Sequences,
    Split,
    Times,
    check_leaks,
    content_hash,
    drop_repeats,
    k_core,
    to_sequences,
)
from causalrec.methods import saved as files
from causalrec.methods.fit import REPEATS, Fitted, fit_named, make_split
from causalrec.methods.intervals import clopper_pearson, share_interval
from causalrec.methods.recommenders import OFFERED
from causalrec.ranking import NonFiniteScores, Scorer, best_items, hit_rate, ndcg, rank_targets
from causalrec.training import Progress, TrainingOptions, pick_device

OWN_DATA = "own file"  # as the commands name the data of a user, so that both draw the same numbers
CONTROLS = ("popularity", "markov")
SHOWN = 3
Ids = Iterable[Hashable]


class BehaviourGraph(NamedTuple):
    """What CausalRec makes of one history; rows are effects, columns causes, both in the order of the history.

    Args:
        W: weights between the behaviours.
        R: the relation that rescales attention, in [0, 1].
    """

    W: pd.DataFrame
    R: pd.DataFrame


class SequentialRecommender:
    """A recommender of the next item, by name, trained as the benchmark trains it.

    Parameters are checked by `fit`. What `fit` learns has names that end in `_`: `items_` and `users_` (ids as the data
    has them), `data_` (what was kept and dropped), `options_`, `training_`, `progress_`, `model_`, `sequences_`.

    Args:
        model: name of the recommender: popularity, item_knn, markov, ease, tale, fpmc, gru4rec, sasrec, bert4rec,
            tisasrec, hstu or causalrec. Default "sasrec".
        seed: root of all randomness. Default 0.
        split: `leave_one_out` (default: each user's last action tests and the one before validates) or `temporal`.
        drop_repeats: whether a user's later actions on one item are dropped. Default False.
        user_core: fewest actions of a user. Default 5.
        item_core: fewest actions on an item. Default 5.
        device: "auto" (default), "cpu" or "cuda".
        options: of the model, such as `width` and `length`, and of its training, such as `epochs` and `learning_rate`:
            the fields of its options class and of `causalrec.training.TrainingOptions`.
    """

    def __init__(
        self,
        model: str = "sasrec",
        *,
        seed: int = 0,
        split: str = "leave_one_out",
        drop_repeats: bool = False,
        user_core: int = 5,
        item_core: int = 5,
        device: str = "auto",
        **options: Any,
    ) -> None:
        self.model, self.seed, self.split, self.drop_repeats = model, seed, split, drop_repeats
        self.user_core, self.item_core, self.device, self.options = user_core, item_core, device, options

    _coded: "tuple[pd.Index[Any], dict[Hashable, int]] | None" = None
    _own: tuple[str, ...] = ("model", "seed", "split", "drop_repeats", "user_core", "item_core", "device")

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, no parameter is an estimator
        """Return all parameters, options included.

        Args:
            deep: as scikit-learn has it; makes no difference.
        """
        return {name: getattr(self, name) for name in self._own} | self.options

    def set_params(self, **params: Any) -> Self:
        """Change parameters; what was learned stays until the next `fit`.

        Args:
            params: any parameters or options.
        """
        for name, value in params.items():
            if name in self._own:
                setattr(self, name, value)
            else:
                self.options = {**self.options, name: value}
        return self

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({told})"

    def fit(
        self,
        df: pd.DataFrame,
        user: Hashable = "user",
        item: Hashable = "item",
        time: Hashable | None = None,
        *,
        on_epoch: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Train on a table of actions.

        Args:
            df: one action per row.
            user: column of users, of any type.
            item: column of items, of any type.
            time: column of times, numbers (seconds) or datetimes. Default None: the order of rows is that of time.
            on_epoch: called after every epoch of a neural model.

        Raises:
            InputError: a parameter out of range, a column that is not there or lacks values, or too little data.
        """
        if self.model not in OFFERED:
            raise InputError(f"no recommender is called {short(self.model)}; choose one of {', '.join(OFFERED)}")
        if type(self.drop_repeats) is not bool or min(self.user_core, self.item_core) < 1:
            raise InputError(f"{self}: drop_repeats is True or False, and a core at least 1")
        device = pick_device(self.device)
        table, users, items = _interactions(df, user, item, time)
        kept = k_core(drop_repeats(table) if self.drop_repeats else table, self.user_core, self.item_core)
        if not len(kept):
            raise InputError(
                f"nothing is left of {len(table)} actions at user_core={self.user_core}, item_core={self.item_core}; "
                "lower the cores"
            )
        sequences = to_sequences(kept)
        split = self._split_of(sequences)
        seen = "kept" if float(sequences.statistics()["repeats_share"] or 0) > 0 else "filtered"
        axes = {"dataset": OWN_DATA, "seed": 0}
        fitted = fit_named(
            self.model, split, self.options, seen=seen, root=self.seed, axes=axes, device=device, on_epoch=on_epoch
        )
        self.columns_ = (user, item, time)
        self._learned(fitted, sequences.item_labels, sequences, seen)
        self.items_, self.users_ = _chosen(items, sequences.item_labels), _chosen(users, sequences.user_labels)
        self.data_ = pd.Series(
            sequences.statistics()
            | {"dropped_users": len(users) - len(self.users_), "dropped_items": len(items) - len(self.items_)}
            | {"dropped_actions": len(table) - len(kept)},
            name="data", dtype=object,
        )
        return self

    def _split_of(self, sequences: Sequences) -> Split:
        if self.split not in ("leave_one_out", "temporal"):
            raise InputError(f"split is {short(self.split)}; choose leave_one_out or temporal")
        split = make_split(sequences, self.split)
        check_leaks(split, sequences)
        return split

    def _learned(self, fitted: Fitted, labels: tuple[str, ...], sequences: Sequences | None, seen: str) -> None:
        self.model_, self.options_, self.training_ = fitted.model, fitted.options, fitted.training
        self.progress_, self.sequences_, self.seen_ = fitted.progress, sequences, seen
        self.labels_ = labels

    @property
    def score_(self) -> Scorer:
        """The trained model as a scorer of histories, see `causalrec.ranking`."""
        self._check_fitted()
        return files.scorer_of(self.model_)

    def recommend(self, users: Ids | Hashable, k: int = 10, *, seen: str | None = None) -> pd.DataFrame:
        """List the items that come first after all that users did.

        Args:
            users: ids of users of the data, or one of them.
            k: how many items per user. Default 10.
            seen: items of the user's own history are "kept" or "filtered". Default: as validation ranked, which is
                filtered where no user acted twice on an item.

        Returns:
            A row per user and rank, with the columns user, rank, item and score.

        Raises:
            InputError: unknown users, or a model that was saved without histories.
        """
        rows, asked = self._known(), _several(users)
        place = {_key(label): row for row, label in enumerate(self.users_.tolist())}
        unknown = [label for label in asked if _key(label) not in place]
        if unknown:
            raise InputError(
                f"{_listed(unknown, 'users')} not in the data, or had fewer than {self.user_core} actions; give what "
                "they did to recommend_after"
            )
        at = np.array([place[_key(label)] for label in asked], dtype=np.int64)
        history = rows.take(at, rows.lengths()[at])
        return self._table("user", self.users_.take(at), history, k, seen)

    def recommend_after(
        self,
        histories: Mapping[Hashable, Sequence[Hashable]] | Sequence[Sequence[Hashable]],
        k: int = 10,
        *,
        seen: str | None = None,
        times: Sequence[Sequence[float]] | None = None,
    ) -> pd.DataFrame:
        """List the items that come first after histories that are given.

        Args:
            histories: item ids, oldest first, one list per history; or such lists by name.
            k: how many items per history. Default 10.
            seen: as for `recommend`.
            times: times of the actions in seconds, for models that read them, one list per history. Default None.

        Returns:
            A row per history and rank, with the columns history (its name, otherwise its place), rank, item and score.

        Raises:
            InputError: items that the model does not know, or no times where it needs them.
        """
        self._check_fitted()
        names = list(histories) if isinstance(histories, Mapping) else list(range(len(histories)))
        given = list(histories.values()) if isinstance(histories, Mapping) else list(histories)
        coded = [self._codes(history) for history in given]
        lengths = np.array([len(history) for history in coded], dtype=np.int64)
        when = None
        if times is not None:
            when = np.concatenate([np.asarray(row, dtype=np.float64) for row in times] or [np.empty(0)])
            if [len(row) for row in times] != lengths.tolist():
                raise InputError("times and histories differ in length; give one time per action")
        labels = tuple(f"\0{row}" for row in range(len(coded)))  # nobody's: FPMC knows users by their labels
        items = np.concatenate([*coded, np.empty(0, np.int64)]).astype(np.int64)
        offsets = np.insert(np.cumsum(lengths), 0, 0)
        rows = Sequences(items, offsets, when, len(self.labels_), labels, self.labels_)
        return self._table("history", pd.Index(names), rows, k, seen)

    def evaluate(self, k: int = 10) -> pd.DataFrame:
        """Rank what the split held out for the test, beside popularity and a Markov chain fitted on the same rows.

        Args:
            k: length of the list. Default 10.

        Returns:
            One row per model: users, HR@k and NDCG@k over the full catalogue with the bounds of their 95 % intervals
            over users. Seen items are kept or filtered as `seen_` says.

        Raises:
            InputError: a model that was saved without histories, or scores that are not finite.
        """
        split = self._split_of(self._known())
        scorers = {self.model: self.score_}
        for name in CONTROLS:
            if name != self.model:
                scorers[name] = fit_named(name, split, {}, seen=self.seen_, root=self.seed, axes={}).model
        rows = {}
        for name, score in scorers.items():
            try:
                ranks = rank_targets(score, split.test)
            except NonFiniteScores as error:
                raise InputError(f"{name}: {error}; train it again with a lower learning rate") from error
            rank = ranks.kept if self.seen_ == "kept" else ranks.filtered
            hits, gains = clopper_pearson(int(hit_rate(rank, k).sum()), len(rank)), share_interval(ndcg(rank, k))
            rows[name] = {
                "users": len(rank), f"HR@{k}": hits.estimate, "HR low": hits.low, "HR high": hits.high,
                f"NDCG@{k}": gains.estimate, "NDCG low": gains.low, "NDCG high": gains.high,
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def save(self, folder: str | PathLike[str], *, histories: bool = True) -> None:
        """Write the trained model as the command `train` does: safetensors and JSON.

        Args:
            folder: where to; made if it is missing.
            histories: write what users did as well, which `recommend` and `evaluate` need after loading. Without, no
                action can be read off the files. Default True.

        Raises:
            InputError: a file cannot be written, or ids of a type that cannot be read back.
        """
        sequences, (user, item, time) = self._known(), self.columns_
        for what, ids, labels in (
            ("item", self.items_, sequences.item_labels), ("user", self.users_, sequences.user_labels)
        ):  # fmt: skip
            if not _ids(labels, str(ids.dtype)).equals(ids):
                raise InputError(f"ids of {what}s are {ids.inferred_type}; to save, make the column text or numbers")
        columns = {"user": str(user), "item": str(item), "time": "none" if time is None else str(time)}
        cores = {"repeats": REPEATS[self.drop_repeats], "user_core": self.user_core, "item_core": self.item_core}
        training = {} if self.training_ is None else asdict(self.training_)
        epochs = {} if self.progress_ is None else {
            "epochs": self.progress_.epoch, "best_epoch": self.progress_.best_epoch or self.progress_.epoch
        }  # fmt: skip
        about = {
            "options": self.options_,
            "training": {name: _finite(value) for name, value in training.items()},
            "seed": self.seed,
            **epochs,
            "preparation": columns | cores | {"split": self.split},
            "seen": self.seen_,
            "content_hash": content_hash(sequences),
            "dataset": OWN_DATA,
            "file": "a DataFrame",
            "ids": {"user": str(self.users_.dtype), "item": str(self.items_.dtype)},
            "made_with": {"torch": torch.__version__, "numpy": np.__version__},
        }
        trained = files.Trained.of(sequences, self._split_of(sequences))
        kept = sequences if histories else None
        files.save(Path(folder), self.model, self.model_, sequences.item_labels, trained, about, kept)

    @classmethod
    def load(cls, folder: str | PathLike[str], device: str = "auto") -> Self:
        """Read a model that `save` or the command `train` wrote.

        Args:
            folder: of the model.
            device: "auto" (default), "cpu" or "cuda".

        Raises:
            InputError: a file does not fit, or holds a model of another class.
        """
        found = load(folder, device)
        if not isinstance(found, cls):
            raise InputError(f"{folder}: holds {found.model}; load it with causalrec.load")
        return found

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit first, or load a saved one")

    def _known(self) -> Sequences:
        """All actions of all users."""
        self._check_fitted()
        if self.sequences_ is None:
            raise InputError("the model was saved without what users did; use recommend_after, or fit again")
        return self.sequences_

    def _codes(self, history: Ids) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Items 1.. of a history."""
        if isinstance(history, str):
            raise InputError(f"a history is a list of item ids; got the text {short(history)}")
        place, items = self._places(), list(history)
        unknown = [label for label in items if _key(label) not in place]
        if unknown:
            raise InputError(f"{_listed(unknown, 'items')} unknown to the model; leave them out")
        return np.array([place[_key(label)] for label in items], dtype=np.int64)

    def _places(self) -> dict[Hashable, int]:
        """Items 1.. by their ids; kept, since many histories may be coded one by one."""
        if self._coded is None or self._coded[0] is not self.items_:
            self._coded = (self.items_, {_key(label): k for k, label in enumerate(self.items_.tolist(), 1)})
        return self._coded[1]

    def _table(self, what: str, names: "pd.Index[Any]", rows: Sequences, k: int, seen: str | None) -> pd.DataFrame:
        rule = seen or self.seen_
        if k < 1 or rule not in files.SEEN:
            raise InputError(f"k is {k} and seen {short(rule)}; give k of 1 or more, and seen as kept or filtered")
        if len(rows) and not rows.lengths().all():
            raise InputError("a history is empty; give at least one item")
        try:
            whose, items, scores = best_items(self.score_, rows, k, filtered=rule == "filtered")
        except NonFiniteScores as error:
            raise InputError(f"{self.model}: {error}; train it again with a lower learning rate") from error
        ranks = np.arange(len(whose)) - np.searchsorted(whose, whose) + 1
        return pd.DataFrame(
            {what: names.take(whose), "rank": ranks, "item": self.items_.take(items - 1), "score": scores}
        )


class CausalRec(SequentialRecommender):
    """CausalRec (arXiv 2510.21333): SASRec whose first layer discovers a graph that rescales the others' attention.

    Args:
        seed: as for `SequentialRecommender`.
        split: as for `SequentialRecommender`.
        drop_repeats: as for `SequentialRecommender`.
        user_core: as for `SequentialRecommender`.
        item_core: as for `SequentialRecommender`.
        device: as for `SequentialRecommender`.
        options: of the model, the fields of `causalrec.model.CausalRecOptions`, and of its training.
    """

    _own = SequentialRecommender._own[1:]

    def __init__(
        self,
        *,
        seed: int = 0,
        split: str = "leave_one_out",
        drop_repeats: bool = False,
        user_core: int = 5,
        item_core: int = 5,
        device: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__(
            "causalrec", seed=seed, split=split, drop_repeats=drop_repeats, user_core=user_core, item_core=item_core,
            device=device, **options,
        )  # fmt: skip

    def graph(self, history: Ids) -> BehaviourGraph:
        """Return W and R of one history.

        Args:
            history: item ids, oldest first; the model reads the last `length` of them.

        Raises:
            InputError: an empty history, or items that the model does not know.
        """
        self._check_fitted()
        codes = self._codes(history)[-self.model_.options.length :]
        if not len(codes):
            raise InputError("the history is empty; give at least one item")
        self.model_.eval()
        with torch.inference_mode():
            found = self.model_.graph(torch.from_numpy(codes)[None].to(self.model_.device))
        items = self.items_.take(codes - 1)
        frames = (
            pd.DataFrame(
                part[0].float().cpu().numpy(), items.rename("effect"), items.rename("cause")
            )
            for part in (found.weights_bij, found.relation_bij)
        )  # fmt: skip
        return BehaviourGraph(*frames)


def load(folder: str | PathLike[str], device: str = "auto") -> SequentialRecommender:
    """Read a recommender that `save` or the command `train` wrote.

    Args:
        folder: of the model.
        device: "auto" (default), "cpu" or "cuda".

    Raises:
        InputError: a file does not fit; the message names file and fault.
    """
    held = files.load(Path(folder), pick_device(device))
    data, training = held.data, dict(held.training)
    if "clip_norm" in training and training["clip_norm"] is None:
        training["clip_norm"] = math.inf
    names = {field.name for field in fields(TrainingOptions)}
    training = {name: value for name, value in training.items() if name in names}
    options = {name: value for name, value in held.options.items() if name != "items"}
    own = {name: value for name, value in training.items() if name != "seen"}
    params: dict[str, Any] = {"split": data.split, "user_core": data.user_core, "item_core": data.item_core}
    params["drop_repeats"] = data.repeats == REPEATS[1]
    common: dict[str, Any] = {"seed": held.seed, "device": device, **params, **options, **own}
    found = CausalRec(**common) if held.name == "causalrec" else SequentialRecommender(held.name, **common)
    trained = TrainingOptions(**training) if training else None
    found._learned(Fitted(held.model, dict(held.options), trained), held.items, held.histories, held.seen)
    found.columns_ = (data.user, data.item, None if data.time == "none" else data.time)
    found.items_ = _ids(held.items, held.ids.get("item", "str"))
    users = () if held.histories is None else held.histories.user_labels
    found.users_ = _ids(users, held.ids.get("user", "str"))
    if held.histories is not None:
        found.data_ = pd.Series(held.histories.statistics(), name="data", dtype=object)
    return found


def _interactions(
    df: pd.DataFrame, user: Hashable, item: Hashable, time: Hashable | None
) -> tuple[Interactions, "pd.Index[Any]", "pd.Index[Any]"]:
    """The actions, and the ids of users and items in the order of their codes."""
    if not isinstance(df, pd.DataFrame):
        raise InputError(f"the data is a {type(df).__name__}; give a pandas DataFrame with one action per row")
    for column in (user, item, *(() if time is None else (time,))):
        if column not in df.columns:
            raise InputError(f"there is no column {short(column)}; the columns are {short(list(df.columns))}")
        if not isinstance(df[column], pd.Series):
            raise InputError(f"there are several columns {short(column)}; rename them")
        if missing := int(df[column].isna().sum()):
            raise InputError(f"column {short(column)} lacks {missing} values; drop those rows first")
    users, user_ids = pd.factorize(df[user])
    items, item_ids = pd.factorize(df[item])
    times, unit = (None, 1) if time is None else _times(df[time])
    ids = [pd.Index(found.tolist() if found.dtype == "category" else found).infer_objects()
           for found in (user_ids, item_ids)]  # fmt: skip
    labels = [_labels(found, column) for found, column in zip(ids, (user, item), strict=True)]
    found = Interactions(users.astype(np.int64), items.astype(np.int64), times, labels[0], labels[1], unit)
    return found, ids[0], ids[1]


def _labels(ids: "pd.Index[Any]", column: Hashable) -> tuple[str, ...]:
    labels = tuple(str(value) for value in ids.tolist())
    if len(set(labels)) < len(labels):
        raise InputError(f"column {short(column)} holds different ids that read alike, as 1 and '1'; give it one type")
    try:
        "".join(labels).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"column {short(column)} holds a text that is not valid Unicode ({error})") from error
    return labels


def _times(column: "pd.Series[Any]") -> tuple[Times, int]:
    """Times as whole or finite numbers, and how many of their units make a second."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        utc = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        return utc.to_numpy("datetime64[ns]").astype(np.int64), 10**9
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise InputError(f"the column of times holds {column.dtype}; give numbers or datetimes (pandas.to_datetime)")
    if not pd.api.types.is_float_dtype(column.dtype) and float(column.max()) < 2**63:
        return column.to_numpy(dtype=np.int64), 1
    times = column.to_numpy(dtype=np.float64)
    if not np.isfinite(times).all():
        raise InputError("the column of times holds infinite numbers; drop or repair those rows")
    return times, 1


def _ids(labels: Sequence[str], kind: str) -> "pd.Index[Any]":
    """Ids of a type from their labels; texts where they cannot be of that type."""
    texts = pd.Index(list(labels), dtype=object)
    try:
        if kind in ("bool", "boolean"):
            return texts.map({"True": True, "False": False}).astype(kind)
        return texts if kind == "object" else texts.astype(kind)
    except (TypeError, ValueError):
        return texts


def _chosen(ids: "pd.Index[Any]", labels: Sequence[str]) -> "pd.Index[Any]":
    """The ids of labels, in the order of these."""
    place = {str(value): k for k, value in enumerate(ids.tolist())}
    return ids.take(np.array([place[label] for label in labels], dtype=np.int64))


def _key(label: Hashable) -> Hashable:
    """What ids are found by: numbers of NumPy are those of Python, and True is not 1."""
    value = label.item() if isinstance(label, np.generic) else label
    return (type(value) is bool, value)


def _several(users: Any) -> list[Hashable]:
    return [users] if isinstance(users, str | bytes) or not isinstance(users, Iterable) else list(users)


def _listed(labels: Sequence[Hashable], what: str) -> str:
    more = ", ..." if len(labels) > SHOWN else ""
    return f"{len(labels)} {what} ({', '.join(map(short, labels[:SHOWN]))}{more}) are"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
