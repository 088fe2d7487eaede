"""From a dataset's name, or a user's own file, to prepared sequences with their provenance.

The project ships no data: `download.get` fetches it from the owner, or says where to get it and where to put it.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.catalogue import find
from bench.datasets.own import FileForm, read_own
from bench.errors import DataMissing, InputError, retyped
from causalrec.interactions import Interactions, Sequences, content_hash, drop_repeats, k_core, to_sequences
from causalrec.methods import files

REPEATS = ("kept", "dropped")
UNIX_TIME = "unix time; ties keep file order"
FILE_ORDER = "file order (no timestamps)"


@dataclass(frozen=True)
class Provenance:
    """Where sequences came from and what was done to them; every table that shows them shows this.

    Args:
        dataset: Its name, or "own file".
        file: The file read, relative to the data folder for a named dataset.
        file_sha256: SHA-256 of that file.
        copy: What the file is, judged by its hash.
        reader: The form that it was read as.
        order: What stands for time.
        repeats: "kept" or "dropped": whether a user's later actions on one item count.
        user_core: Fewest actions of a user.
        item_core: Fewest actions on an item.
        statistics: Of the sequences, see `Sequences.statistics`.
        content_hash: Of the sequences, see `causalrec.interactions.content_hash`.
    """

    dataset: str
    file: str
    file_sha256: str
    copy: str
    reader: str
    order: str
    repeats: str
    user_core: int
    item_core: int
    statistics: dict[str, int | float | None]
    content_hash: str


@dataclass(frozen=True, eq=False)
class Loaded:
    """Prepared sequences and where they came from.

    Args:
        sequences: every user's actions.
        provenance: where they came from and how they were prepared.
        form: how a user's own file was read; None (default) for a named dataset.
        read: how many users, items and actions were read, before any were dropped.
    """

    sequences: Sequences
    provenance: Provenance
    form: FileForm | None = None
    read: tuple[int, int, int] = (0, 0, 0)


def data_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """Return where data is looked for.

    Args:
        option: A folder that the user named. Default: $CAUSALREC_DATA, and without it `data/` in the current folder.
    """
    return Path(option or os.environ.get("CAUSALREC_DATA") or "data")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read.
    """
    with retyped():
        return files.file_sha256(path)


def load(
    name: str,
    folder: Path,
    *,
    repeats: str | None = None,
    user_core: int | None = None,
    item_core: int | None = None,
) -> Loaded:
    """Read a named dataset and prepare it: repeats dropped or kept, then the k-core, then sequences.

    Args:
        name: One of `DATASETS`.
        folder: The data folder.
        repeats: "kept" or "dropped". Default: the dataset's own.
        user_core: Fewest actions of a user, at least 1. Default: the dataset's own.
        item_core: Fewest actions on an item, at least 1. Default: the dataset's own.

    Raises:
        DataMissing: No copy of it is in the folder.
        InputError: Unknown name, bad file, or nothing is left of it.
    """
    dataset = find(name)
    copy = dataset.found(folder)
    if copy is None:
        sought = " and ".join(str(folder / copy.path) for copy in dataset.copies)
        raise DataMissing(
            f"{dataset.title} is not there: sought {sought}; run `python cli.py data get {name}`, or name the folder "
            f"that has it with --data-dir or $CAUSALREC_DATA"
        )
    path = folder / copy.path
    return _prepare(
        copy.read(path),
        f"{name} ({path})",
        dataset.repeats if repeats is None else repeats,
        dataset.user_core if user_core is None else user_core,
        dataset.item_core if item_core is None else item_core,
        dataset=name,
        file=copy.path,
        file_sha256=(sha256 := file_sha256(path)),
        copy=copy.state(sha256),
        reader=copy.reader,
    )


def load_own(
    path: Path,
    *,
    repeats: str = "kept",
    user_core: int = 5,
    item_core: int = 5,
    **form: str | None,
) -> Loaded:
    """Read a user's own file, see `own.read_own`, and prepare it like a named one.

    Args:
        path: The file.
        repeats: "kept" or "dropped".
        user_core: Fewest actions of a user, at least 1.
        item_core: Fewest actions on an item, at least 1.
        form: Fields of `FileForm`: how the file is to be read.

    Raises:
        InputError: Bad file, or nothing is left of it.
    """
    own = read_own(path, FileForm(**form))
    loaded = _prepare(
        own.interactions,
        str(path),
        repeats,
        user_core,
        item_core,
        dataset="own file",
        file=str(path),
        file_sha256=file_sha256(path),
        copy="the user's own file",
        reader=own.told,
        order=own.order,
    )
    return replace(loaded, form=own.form)


def _prepare(
    interactions: Interactions, what: str, repeats: str, user_core: int, item_core: int, **told: Any
) -> Loaded:
    """Sequences of the core; `told` is the rest of their provenance, `what` names the data in errors."""
    if repeats not in REPEATS:
        raise InputError(f"repeats must be one of {', '.join(REPEATS)}, got {repeats!r}")
    first = drop_repeats(interactions) if repeats == "dropped" else interactions
    core = k_core(first, user_core, item_core)
    if not len(core):
        raise InputError(
            f"{what}: nothing is left of {len(interactions)} actions at user_core={user_core}, item_core={item_core}, "
            f"repeats {repeats}; lower the cores"
        )
    found = to_sequences(core)
    order = {"order": FILE_ORDER if core.times is None else UNIX_TIME}
    provenance = Provenance(
        **order | told, repeats=repeats, user_core=user_core, item_core=item_core, statistics=found.statistics(),
        content_hash=content_hash(found),
    )  # fmt: skip
    read = (len(np.unique(interactions.users)), len(np.unique(interactions.items)), len(interactions))
    return Loaded(found, provenance, read=read)
