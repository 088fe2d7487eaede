"""One atomic record a cell, verified whenever it is read.

    records/<first two of key>/<key>.json            the record
    records/<first two of key>/<key>-<hash>.npz      its arrays, named by their own hash, written first
    quarantine/                                      records that failed verification: kept, never trusted

A file is written beside its place, synced and renamed, so a reader sees all of it or nothing, however many write.
The folder itself is not synced: that would double the cost of a record, and a power cut without it loses at most
the last records whole, which run again.
Arrays carry their hash in the name so that two writers of one cell cannot pair one's record with the other's arrays.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from bench.cell import Cell, Json, digest, plain
from bench.errors import InputError

SCHEMA = 1
STALE_SECONDS = 3600.0
Status = Literal["ok", "failed", "timed_out", "out_of_memory"]


class StoreError(InputError):
    """The results folder cannot be read or written: permissions, or a full disk."""


@dataclass(frozen=True)
class Record:
    """What became of one cell.

    Args:
        key: the cell's key; cell: the fields it is the hash of (`Cell.fields`).
        status: 'ok', or how it failed.
        metrics: finite numbers, strings, booleans, lists and dicts of them; None where a metric is undefined.
        wall_s, cpu_s: seconds; peak_memory_mb: highest resident size while the cell ran, libraries included.
        error: {'type', 'message', 'traceback'} of a failure.
        provenance: see `bench.provenance`.
        arrays_sha256: hash of the `.npz` beside the record, or None.
    """

    key: str
    cell: dict[str, Json]
    status: Status
    metrics: dict[str, Json] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float | None = None
    error: dict[str, str] | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)
    arrays_sha256: str | None = None
    schema: int = SCHEMA

    @property
    def ok(self) -> bool:
        """Whether the cell has a result."""
        return self.status == "ok"

    @property
    def params(self) -> dict[str, Any]:
        """The cell's parameters."""
        return cast("dict[str, Any]", self.cell["params"])


class Store:
    """The records of one results folder.

    Args:
        folder: made if missing.
        on_quarantine: called with one line for every record found wanting; the lines also stand in `quarantined`.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path | str, on_quarantine: Callable[[str], None] | None = None) -> None:
        self.folder = Path(folder)
        self.quarantined: list[str] = []
        self._on_quarantine = on_quarantine
        with _typed(self.folder):
            (self.folder / "records").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def get(self, cell: Cell) -> Record | None:
        """The verified record of `cell`, failures included; None if there is none that can be trusted."""
        return self._load(self._path(cell.key))

    def put(self, record: Record, arrays: Mapping[str, np.ndarray] | None = None) -> Record:
        """Write `record` and its arrays; returns it as stored. A failure never replaces a success.

        Raises:
            InputError: a metric that is not finite JSON data, or an array of Python objects.
            StoreError: the record cannot be written; nothing is left half-written.
        """
        path = self._path(record.key)
        if not record.ok:
            before = self._load(path)
            if before is not None and before.ok:
                return before
        packed = pack(arrays) if arrays else None
        hashed = hashlib.sha256(packed).hexdigest() if packed is not None else None
        body = cast("dict[str, Any]", plain(vars(record) | {"arrays_sha256": hashed}, "record"))
        with _typed(path):
            path.parent.mkdir(exist_ok=True)
            if packed is not None and hashed is not None:
                _write(self._arrays_path(record.key, hashed), packed)
            _write(path, json.dumps(body | {"sha256": digest(body)}, indent=1, sort_keys=True).encode())
        return Record(**body)

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays beside `record`, empty if it has none.

        Raises:
            StoreError: they are missing or not those the record was written with.
        """
        if record.arrays_sha256 is None:
            return {}
        path = self._arrays_path(record.key, record.arrays_sha256)
        with _typed(path):
            packed = path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != record.arrays_sha256:
            raise StoreError(f"{path}: not the arrays its record was written with; delete it and run the cell again")
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def records(self) -> Iterator[Record]:
        """All records that can be trusted, by key."""
        for path in sorted((self.folder / "records").glob("??/*.json")):
            record = self._load(path)
            if record is not None:
                yield record

    def sweep(self) -> None:
        """Remove temporary files that writers killed over an hour ago left behind."""
        for path in (self.folder / "records").glob("??/*.tmp"):
            with _typed(path), contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def unreferenced(self) -> list[Path]:
        """Arrays that no record names, older than what a writer may still be about to name."""
        named = {self._arrays_path(r.key, r.arrays_sha256) for r in self.records() if r.arrays_sha256 is not None}
        loose = [path for path in (self.folder / "records").glob("??/*.npz") if path not in named]
        return sorted(path for path in loose if time.time() - path.stat().st_mtime > STALE_SECONDS)

    def _path(self, key: str) -> Path:
        return self.folder / "records" / key[:2] / f"{key}.json"

    def _arrays_path(self, key: str, hashed: str) -> Path:
        return self._path(key).with_name(f"{key}-{hashed[:16]}.npz")

    def _load(self, path: Path) -> Record | None:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            record = _verified(text, path.stem)
            self.arrays(record)
        except (InputError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._quarantine(path, str(error))
            return None
        return record

    def _quarantine(self, path: Path, reason: str) -> None:
        place = self.folder / "quarantine" / f"{path.stem}.{time.time_ns()}.json"
        with _typed(place):
            place.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.replace(place)
        self.quarantined.append(f"{path.name}: {reason}; moved to {place}, the cell will run again")
        if self._on_quarantine is not None:
            self._on_quarantine(self.quarantined[-1])


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """`arrays` as the bytes of an uncompressed `.npz`, the same bytes for the same arrays (no dates).

    Raises:
        InputError: an array of Python objects.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            if np.asarray(array).dtype.hasobject:
                raise InputError(f"array {name!r} holds Python objects; give numbers, booleans or fixed strings")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _verified(text: bytes, key: str) -> Record:
    """The record in `text` if its checksum, its schema and its key, made anew from its own cell fields, are right."""
    body = json.loads(text)
    if not isinstance(body, dict) or digest({k: v for k, v in body.items() if k != "sha256"}) != body.get("sha256"):
        raise InputError("the checksum does not match")
    del body["sha256"]
    if body.get("schema") != SCHEMA or set(body) != {entry.name for entry in fields(Record)}:
        raise InputError(f"schema {body.get('schema')} where {SCHEMA} is expected")
    record = Record(**body)
    if record.status not in get_args(Status):
        raise InputError(f"status {record.status!r} where one of {', '.join(get_args(Status))} is expected")
    if not record.key == key == digest(record.cell):
        raise InputError("the key is not the hash of the record's own cell fields")
    return record


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _typed(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}; choose another results folder, free space or fix its permissions"
        ) from error
