"""Tables of datasets: what is there, and what was made of it."""

from collections.abc import Iterable
from pathlib import Path

from bench.datasets import FileStatus, Provenance, check, data_folder
from bench.show.tables import Table


def examine(data_dir: Path | None, read: bool) -> tuple[Table, bool]:
    """The table of every named dataset, and whether all files that are there are as they should be.

    Args:
        data_dir: folder of the datasets; None for the default of `data_folder`.
        read: compare hashes and counts as well; otherwise look only for the files.
    """
    folder = data_folder(data_dir)
    rows = check(folder, read=read)
    return status_table(folder, rows), all(row.ok for row in rows if row.file is not None)


def status_table(folder: Path, rows: Iterable[FileStatus]) -> Table:
    """One row a named dataset: whether it is there, is the known file, and holds the known counts."""
    body = tuple(
        (row.name, row.state, row.file, row.size, _counts(row.counts), _counts(row.expected)) for row in rows
    )
    columns = ("data", "state", "file", "bytes", "users/items/actions", "expected")
    note = "Get one with `python cli.py data get NAME`, or put its file where the message of `get` says."
    return Table("data", f"Datasets under {folder}", columns, body, note)


def provenance_table(found: Iterable[Provenance]) -> Table:
    """One row a prepared dataset: file, preparation, counts."""
    rows = []
    for p in found:
        s = p.statistics
        rows.append(
            (p.dataset, p.file, p.copy, p.order, p.repeats, f"{p.user_core}/{p.item_core}", s["users"], s["items"],
             s["actions"], s["repeats_share"], s["ties_share"])
        )  # fmt: skip
    columns = (
        "data", "file", "copy", "order", "repeats", "core", "users", "items", "actions", "repeated", "tied in time",
    )  # fmt: skip
    note = "core: fewest actions a user / an item. Ties in time keep the order of the file."
    return Table("datasets", "Datasets as used", columns, tuple(rows), note)


def _counts(counts: tuple[int, int, int] | None) -> str | None:
    return None if counts is None else " / ".join(f"{count:,}" for count in counts)
