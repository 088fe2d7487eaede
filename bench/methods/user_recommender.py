"""A user's own recommender: a class, `package.module:Class`, importable from the current folder.

    class Mine:
        def fit(self, train, num_items, generator): ...
        def scores(self, histories): ...

One that also has graph(), fix(weights) and twin() is a causal recommender, see `bench.methods.causal`.

`Mine()` is made once per dataset and seed. It meets the same split, ranking and intervals as any other model. It is not
tuned: what it tunes, it tunes on `train`. What it prints goes to stderr; what it raises fails its own cell only.
"""

import contextlib
import sys
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.errors import InputError
from bench.methods import user_code
from causalrec.interactions import Sequences

Ints = NDArray[np.int64]
CAUSAL = ("graph", "fix", "twin")  # what a causal recommender has beside fit and scores


class UserRecommender(Protocol):
    """What a user's class has."""

    def fit(self, train: list[Ints], num_items: int, generator: np.random.Generator) -> object:
        """Learn from the training rows.

        Args:
            train: one int64 array per user, oldest action first, of items 1..num_items; some may be empty, and no array
                holds what validates or tests. The class may change them.
            num_items: size of the catalogue.
            generator: the only source of randomness that makes a run repeatable.
        """

    def scores(self, histories: list[Ints]) -> ArrayLike:
        """Finite numbers (histories, num_items): column k scores item k + 1 as the next one.

        Args:
            histories: arrays as in `train`, which the class may change.
        """


def load(name: str) -> type[UserRecommender]:
    """The user's class.

    Args:
        name: `package.module:Class`.

    Raises:
        InputError: it cannot be imported, is no class, has no fit or no scores, or only some of graph, fix and twin.
    """
    found = user_code.find(name, "Class")
    module, _, member = name.partition(":")
    if not isinstance(found, type):
        raise InputError(f"{name!r}: {module} has no class {member}")
    for method in ("fit", "scores"):
        if not _has(found, method):
            rename = "; rename its method score to scores" if method == "scores" and _has(found, "score") else ""
            raise InputError(
                f"{name!r}: {member} has no method {method}; a recommender has fit(train, num_items, generator) and "
                f"scores(histories){rename}"
            )
    missing = [method for method in CAUSAL if not _has(found, method)]
    if 0 < len(missing) < len(CAUSAL):
        raise InputError(
            f"{name!r}: {member} has some of the methods graph(), fix(weights) and twin() but not "
            f"{' and '.join(missing)}; a causal recommender has all three, another recommender none"
        )
    return cast("type[UserRecommender]", found)


def is_causal(name: str) -> bool:
    """Whether the user's class is a causal recommender: it has graph, fix and twin as well.

    Args:
        name: `package.module:Class`.

    Raises:
        InputError: as `load`.
    """
    found = load(name)
    return all(_has(found, method) for method in CAUSAL)


def version(name: str) -> str:
    """The hash of the class's source, see `bench.methods.user_code.version`.

    Args:
        name: `package.module:Class`.
    """
    return user_code.version(name, "Class")


class UserScorer:
    """A user's recommender, fitted, as a `causalrec.ranking.Scorer` of histories.

    Args:
        name: `package.module:Class`.
        train: the training rows.
        generator: what `fit` may draw from.
        model: what is fitted; by default a new recommender of the class.
    """

    def __init__(
        self, name: str, train: Sequences, generator: np.random.Generator, model: UserRecommender | None = None
    ) -> None:
        self.name, self.num_items = name, train.num_items
        with contextlib.redirect_stdout(sys.stderr):
            self.model: Any = load(name)() if model is None else model
            self.model.fit(_rows(train, slice(0, len(train))), train.num_items, generator)

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Scores (rows, items), float64; raises InputError where the class returns anything else."""
        histories = _rows(history, slice(rows.start, min(rows.stop, len(history))))
        expected = (len(histories), self.num_items)
        with contextlib.redirect_stdout(sys.stderr):
            scores = np.asarray(self.model.scores(histories))
        if scores.shape != expected or scores.dtype.kind not in "biuf":
            raise InputError(
                f"{self.name}: scores returned shape {scores.shape} and dtype {scores.dtype}; return numbers of shape "
                f"{expected}, one row a history, one column an item"
            )
        return torch.from_numpy(scores.astype(np.float64))


def _has(kind: type, method: str) -> bool:
    return callable(getattr(kind, method, None))


def _rows(sequences: Sequences, rows: slice) -> list[Ints]:
    """Copies, so that nothing that the class does to them reaches anyone else."""
    return [sequences.row(user).copy() for user in range(rows.start, rows.stop)]
