"""Tables of datasets: what is there, and what was made of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.catalogue import DATASETS
from bench.datasets.load import Provenance, data_folder, file_sha256
from bench.errors import InputError
from bench.show.tables import Table


@dataclass(frozen=True)
class FileStatus:
    """What is known of the file of one dataset.

    Args:
        name: Of the dataset.
        state: How the file is, in words.
        ok: Whether it is as it should be.
        file: Relative to the data folder; None where there is none.
        size: In bytes.
        sha256: Of the file.
        counts: Users, items and actions found.
        expected: Users, items and actions that the known file has.
    """

    name: str
    state: str
    ok: bool
    file: str | None
    size: int | None
    sha256: str | None
    counts: tuple[int, int, int] | None
    expected: tuple[int, int, int] | None


def check(folder: Path, *, read: bool = True) -> list[FileStatus]:
    """Look at the file of every named dataset; a file that cannot be read is a row that says why, not an error.

    Args:
        folder: The data folder.
        read: Whether files are opened, hashed and counted; otherwise only presence and size are told.
    """
    rows = []
    for name, dataset in DATASETS.items():
        copy = dataset.found(folder)
        if copy is None:
            rows.append(FileStatus(name, "missing", False, None, None, None, None, None))
            continue
        path = folder / copy.path
        size = path.stat().st_size
        if not read:
            rows.append(FileStatus(name, "present", True, copy.path, size, None, None, copy.stored))
            continue
        try:
            sha256 = file_sha256(path)
            stored = copy.read(path)
        except InputError as error:
            rows.append(FileStatus(name, str(error), False, copy.path, size, None, None, copy.stored))
            continue
        counts = (len(stored.user_labels), len(stored.item_labels), len(stored))
        ok = counts == copy.stored and copy.sha256 in (None, sha256)
        rows.append(FileStatus(name, copy.state(sha256), ok, copy.path, size, sha256, counts, copy.stored))
    return rows


def status_table(folder: Path, rows: Iterable[FileStatus]) -> Table:
    """Show whether each named dataset is there, is the known file, and holds the known counts.

    Args:
        folder: The data folder.
        rows: What `check` found there.
    """
    body = tuple(
        (row.name, row.state, row.file, row.size, _counts(row.counts), _counts(row.expected)) for row in rows
    )
    columns = ("data", "state", "file", "bytes", "users/items/actions", "expected")
    note = "Get one with `python cli.py data get NAME`, or put its file where the message of `get` says."
    return Table("data", f"Datasets under {folder}", columns, body, note)


def provenance_table(found: Iterable[Provenance]) -> Table:
    """Show file, preparation and counts of prepared datasets.

    Args:
        found: One provenance per dataset.
    """
    rows, provenances = [], tuple(found)
    for p in provenances:
        s = p.statistics
        rows.append(
            (p.dataset, p.file, p.copy, p.order, p.repeats, f"{p.user_core}/{p.item_core}", s["users"], s["items"],
             s["actions"], s["repeats_share"], s["ties_share"])
        )  # fmt: skip
    columns = (
        "data", "file", "copy", "order", "repeats", "core", "users", "items", "actions", "repeated", "tied in time",
    )  # fmt: skip
    note = "core: fewest actions per user / per item. Ties in time keep the order of the file."
    own = (f" {p.file} was read as {p.reader}." for p in provenances if p.dataset == "own file")
    return Table("datasets", "Datasets as used", columns, tuple(rows), note + "".join(own))


def _counts(counts: tuple[int, int, int] | None) -> str | None:
    return None if counts is None else " / ".join(f"{count:,}" for count in counts)


def examine(data_dir: Path | None, read: bool) -> tuple[Table, bool]:
    """The table of every named dataset, and whether all files that are there are as they should be.

    Args:
        data_dir: folder of the datasets; None for the default of `data_folder`.
        read: compare hashes and counts as well; otherwise look only for the files.
    """
    folder = data_folder(data_dir)
    rows = check(folder, read=read)
    return status_table(folder, rows), all(row.ok for row in rows if row.file is not None)
