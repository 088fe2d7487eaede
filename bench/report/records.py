"""What lies in a results folder, for people and for other tools: list, show, verify, tidy, export."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from bench.cells.files import write_frame
from bench.cells.record import Record
from bench.cells.store import Store
from bench.errors import InputError
from bench.judge.intervals import Value
from bench.show.tables import Table, harmless
from bench.text import encodable, printable
from causalrec.methods.canonical import canonical

SHORT = 12  # digits of a key that tables show; `show` takes as many as tell it from others
FORMATS = (".csv", ".parquet")


def open_store(folder: Path) -> Store:
    """The store in a results folder, which must exist: who only looks makes no folder.

    Args:
        folder: what `reproduce` or `run` wrote with --out.

    Raises:
        InputError: it holds no records.
    """
    if not (folder / "records").is_dir():
        raise InputError(f"{folder}: there are no records; name a folder that `reproduce` or `run` wrote with --out")
    return Store(folder)


def list_table(store: Store, runner: str | None = None) -> Table:
    """Counts by runner and status, or the records of one runner.

    Args:
        store: where the records lie.
        runner: list one row per record of this runner; None for the counts.

    Raises:
        InputError: no record is of this runner.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    rows: list[tuple[Value, ...]] = []
    for r in store.records():
        by = str(r.cell["runner"])
        seconds.setdefault((by, r.status), []).append(r.cpu_s)
        if by == runner:
            rows.append((r.key[:SHORT], r.status, r.cpu_s, printable(canonical(r.params))))
    if runner is None:
        rows = [(printable(by), told, len(spent), sum(spent)) for (by, told), spent in sorted(seconds.items())]
        note = f"{sum(map(len, seconds.values()))} records in {store.folder}{_set_aside(store)}"
        return Table("records", "Records by runner", ("runner", "status", "records", "CPU s"), tuple(rows), note)
    if not rows:
        known = ", ".join(sorted({printable(by) for by, _ in seconds})) or "none"
        raise InputError(f"{store.folder}: no record is of runner {runner!r}; there are records of {known}")
    return Table("records", f"Records of {runner}", ("key", "status", "CPU s", "parameters"), tuple(rows))


def find(store: Store, key: str) -> Record:
    """The one record whose key begins with given digits.

    Args:
        store: where it lies.
        key: the digits, as many as tell it from other records.

    Raises:
        InputError: no key begins with them, or several do.
    """
    found = list(store.keys(key)) if key else []
    record = store.load(found[0]) if len(found) == 1 else None
    if record is None:
        said = ", ".join(found_key[:SHORT] for found_key in found[:5])
        problem = f"begins {len(found)} keys ({said})" if len(found) > 1 else "begins no key of a record that holds"
        raise InputError(f"{store.folder}: {key!r} {problem}; give the digits that `results ls --runner` shows")
    return record


def show_tables(store: Store, record: Record) -> list[Table]:
    """All of a record: its cell, what became of it, its metrics, its arrays by shape.

    Args:
        store: where it lies.
        record: the record.
    """
    facts: list[tuple[Value, ...]] = [("key", record.key), ("status", record.status)]
    facts += [(name, printable(canonical(value))) for name, value in record.cell.items()]
    facts += [("wall s", record.wall_s), ("CPU s", record.cpu_s), ("peak MB", record.peak_memory_mb)]
    facts += [(name, printable(str(text).strip())) for name, text in (record.error or {}).items() if text]
    facts += [(name, printable(str(value))) for name, value in record.provenance.items()]
    metrics = tuple((name, printable(canonical(value))) for name, value in record.metrics.items())
    arrays = tuple((n, str(a.dtype), " x ".join(map(str, a.shape))) for n, a in store.arrays(record).items())
    return [
        Table("record", f"Record {record.key[:SHORT]}", ("what", "is"), tuple(facts)),
        Table("metrics", "Metrics", ("metric", "value"), metrics),
        Table("arrays", "Arrays", ("array", "type", "shape"), arrays),
    ]


def verify(store: Store) -> tuple[Table, bool]:
    """Read every record and its arrays; what cannot be trusted is set aside.

    Args:
        store: where they lie.

    Returns:
        What was set aside, one row each, and whether all could be trusted.
    """
    sound = sum(1 for _ in store.records(opened=True))
    rows = tuple((line,) for line in store.quarantined)
    note = f"{sound} records hold; {len(rows)} do not{', and were set aside' if rows else ''}."
    return Table("verify", f"Records in {store.folder}", ("set aside",), rows, note), not rows


def tidy(store: Store, delete: bool) -> Table:
    """Files that no record names, left by killed writers or replaced records, and checkpoints older than a day.

    Records are never removed, nor those that were set aside as damaged, with their arrays.

    Args:
        store: where they lie.
        delete: remove them, instead of only listing them.
    """
    store.sweep()
    loose = store.unreferenced()
    rows = []
    for path in loose:
        with contextlib.suppress(FileNotFoundError):  # its cell has ended meanwhile
            rows.append((path.name, path.lstat().st_size / 2**20))
    if delete:
        for path in loose:
            path.unlink(missing_ok=True)
    told = "removed" if delete else "would be removed with --delete"
    note = f"{len(rows)} files {told}; younger ones may still be waiting for their record{_set_aside(store)}"
    return Table("gc", f"Files in {store.folder} that no record names", ("file", "MiB"), tuple(rows), note)


def export(store: Store, path: Path) -> int:
    """Write one row per record to a table.

    Columns: key, runner, status, wall_s, cpu_s, peak_memory_mb, error, commit, then params.* and metrics.*, where a
    list or what differs in type between records is JSON text. In CSV, text that a spreadsheet would run as a formula
    gets a leading apostrophe.

    Args:
        store: where the records lie.
        path: the file, which ends in .csv or .parquet.

    Returns:
        How many records were written.

    Raises:
        InputError: the file has another ending or cannot be written, or pyarrow, which writes .parquet, is missing.
    """
    import pandas as pd

    if path.suffix not in FORMATS:
        raise InputError(f"{path}: its ending must be one of {', '.join(FORMATS)}")
    rows = [_flat(record) for record in store.records()]
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        held = frame[name].dropna()
        if len(set(map(type, held))) > 1:
            frame[name] = held.map(lambda value: value if isinstance(value, str) else json.dumps(value))
    if path.suffix == ".csv":
        frame = frame.map(harmless).rename(columns=harmless)
    write_frame(path, frame)
    return len(rows)


def _flat(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        "key": record.key, "runner": record.cell["runner"], "status": record.status, "wall_s": record.wall_s,
        "cpu_s": record.cpu_s, "peak_memory_mb": record.peak_memory_mb,
        "error": None if record.error is None else f"{record.error['type']}: {record.error['message']}",
        "commit": record.provenance.get("commit"),
    }  # fmt: skip
    for head, values in (("params", record.params), ("metrics", record.metrics)):
        row |= dict(_leaves(head, values))
    return cast("dict[str, Any]", encodable(row))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, json.dumps(value) if isinstance(value, list | dict) else value


def _set_aside(store: Store) -> str:
    count = sum(1 for _ in (store.folder / "quarantine").glob("*.json"))
    return f"; {count} damaged ones lie in quarantine/." if count else "."
