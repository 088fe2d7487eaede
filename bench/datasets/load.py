"""From a dataset's name, or a user's own file, to prepared sequences with their provenance.

The project ships no data: `download.get` fetches it from the owner, or says where to get it and where to put it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.catalogue import FILE_ORDER, UNIX_TIME, find
from bench.datasets.readers import read_recbole, read_table
from bench.errors import DataMissing, InputError
from causalrec.interactions import Interactions, Sequences, content_hash, drop_repeats, k_core, to_sequences

REPEATS = ("kept", "dropped")


@dataclass(frozen=True)
class Provenance:
    """Where sequences came from and what was done to them; every table that shows them shows this.

    dataset: the name, or "own file". file: relative to the data folder for a named dataset. copy: what the file is,
    judged by its hash. order: what stands for time.
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
    """Prepared sequences and where they came from."""

    sequences: Sequences
    provenance: Provenance


def data_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """Where data is looked for: the option, else $CAUSALREC_DATA, else `data/` in the current folder."""
    return Path(option or os.environ.get("CAUSALREC_DATA") or "data")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; raises InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def load(
    name: str,
    folder: Path,
    *,
    repeats: str | None = None,
    user_core: int | None = None,
    item_core: int | None = None,
) -> Loaded:
    """Read a named dataset and prepare it: repeats dropped or kept, then the k-core, then sequences.

    What is not given is the dataset's own default. Raises InputError for an unknown name, a bad file or an empty
    result, DataMissing where no copy is in the folder.
    """
    dataset = find(name)
    copy = dataset.found(folder)
    if copy is None:
        sought = " and ".join(str(folder / copy.path) for copy in dataset.copies)
        raise DataMissing(
            f"{dataset.title} is not there: sought {sought}; run `python cli.py data get {name}`, or name the folder "
            f"that has it with --data-dir or $CAUSALREC_DATA"
        )
    interactions = copy.read(folder / copy.path)
    sha256 = file_sha256(folder / copy.path)
    repeats = dataset.repeats if repeats is None else repeats
    user_core = dataset.user_core if user_core is None else user_core
    item_core = dataset.item_core if item_core is None else item_core
    sequences = _prepare(interactions, repeats, user_core, item_core, f"{name} ({folder / copy.path})")
    return Loaded(
        sequences,
        Provenance(
            dataset=name,
            file=copy.path,
            file_sha256=sha256,
            copy=copy.state(sha256),
            reader=copy.reader,
            order=copy.order,
            repeats=repeats,
            user_core=user_core,
            item_core=item_core,
            statistics=sequences.statistics(),
            content_hash=content_hash(sequences),
        ),
    )


def load_own(
    path: Path,
    *,
    user: str,
    item: str,
    time: str | None = None,
    sep: str | None = None,
    repeats: str = "kept",
    user_core: int = 5,
    item_core: int = 5,
) -> Loaded:
    """Read a user's own headed CSV or TSV, or RecBole `.inter`, by its column names, and prepare it like a named one.

    Without `time`, file order is time order. Raises InputError for a bad file or an empty result.
    """
    if path.suffix.lower() == ".inter":
        interactions = read_recbole(path, user=user, item=item, time=time)
    else:
        interactions = read_table(path, user=user, item=item, time=time, sep=sep)
    sequences = _prepare(interactions, repeats, user_core, item_core, str(path))
    return Loaded(
        sequences,
        Provenance(
            dataset="own file",
            file=str(path),
            file_sha256=file_sha256(path),
            copy="the user's own file",
            reader="RecBole .inter" if path.suffix.lower() == ".inter" else "headed table",
            order=FILE_ORDER if time is None else UNIX_TIME,
            repeats=repeats,
            user_core=user_core,
            item_core=item_core,
            statistics=sequences.statistics(),
            content_hash=content_hash(sequences),
        ),
    )


def _prepare(interactions: Interactions, repeats: str, user_core: int, item_core: int, what: str) -> Sequences:
    if repeats not in REPEATS:
        raise InputError(f"repeats must be one of {', '.join(REPEATS)}, got {repeats!r}")
    first = drop_repeats(interactions) if repeats == "dropped" else interactions
    core = k_core(first, user_core, item_core)
    if not len(core):
        raise InputError(
            f"{what}: nothing is left of {len(interactions)} actions at user_core={user_core}, item_core={item_core}, "
            f"repeats {repeats}; lower the cores"
        )
    return to_sequences(core)
