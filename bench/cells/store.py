"""One atomic record a cell, verified whenever it is read.

    records/<first two of key>/<key>.json            the record of a success
    records/<first two of key>/<key>.failed.json     that of a failure, read only where there is no success
    records/<first two of key>/<key>-<hash>.npz      its arrays, named by their own hash, written first
    quarantine/                                      records that failed verification: kept, never trusted
    checkpoints/<first two of key>/<key>.safetensors a long cell's state while it runs, see `bench.cells.checkpoint`

A file is written beside its place, synced and renamed, so a reader sees all of it or nothing, however many write.
The folder itself is not synced: that would double the cost of a record, and a power cut without it loses at most
the last records whole, which run again.
A failure has a name of its own, so that it cannot replace a success: without a lock, whatever the timing, and when
folders are copied together. Under the name of a success, where older stores have it, it is still read.
Arrays carry their hash in the name so that two writers of one cell cannot pair one's record with the other's arrays.
A folder may come from someone else: nothing is written, moved or removed through a symbolic link below it, and what is
read is a regular file of at most `LARGEST` bytes.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from bench.cells.files import StoreError, write_atomically
from bench.cells.json_files import short
from bench.cells.unit import Cell, Json, digest, plain
from bench.errors import InputError

SCHEMA = 1
STALE_SECONDS = 3600.0
FAILED = ".failed"  # between key and ending
LARGEST = 1 << 30  # bytes of a file that is read
# Without waiting for who writes a pipe; what a system lacks is left out.
READING = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
OWNER_ONLY = 0o600  # tracebacks and paths are in records
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
DAY_SECONDS = 86400.0
Status = Literal["ok", "failed", "timed_out", "out_of_memory"]


@dataclass(frozen=True)
class Record:
    """What became of one cell.

    Args:
        key: the cell's key; cell: the fields it is the hash of (`Cell.fields`).
        status: 'ok', or how it failed.
        metrics: finite numbers, strings, booleans, lists and dicts of them; None where a metric is undefined.
        wall_s, cpu_s: seconds, without those of an interrupted attempt that was gone on from; peak_memory_mb: highest
            resident size while the cell ran, libraries included.
        error: {'type', 'message', 'traceback'} of a failure.
        provenance: see `bench.cells.provenance`.
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
            _own(self.folder / "records").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def get(self, cell: Cell) -> Record | None:
        """The verified record of `cell`, failures included; None if there is none that can be trusted."""
        return self.load(cell.key)

    def put(self, record: Record, arrays: Mapping[str, np.ndarray] | None = None) -> Record:
        """Write `record` and its arrays; returns it as stored, or the success that is there instead of a failure.

        Raises:
            InputError: a metric that is not finite JSON data, a field of another type, or an array of Python objects.
            StoreError: the record cannot be written; nothing is left half-written.
        """
        if not record.ok and (before := self.load(record.key)) is not None and before.ok:
            return before
        failed = self._path(record.key, FAILED)
        path = self._path(record.key) if record.ok else failed
        packed = pack(arrays) if arrays else None
        hashed = hashlib.sha256(packed).hexdigest() if packed is not None else None
        body = cast("dict[str, Any]", plain(vars(record) | {"arrays_sha256": hashed}, "record"))
        stored = _checked(body)
        text = json.dumps(body | {"sha256": digest(body)}, indent=1, sort_keys=True)
        with _typed(path):
            _own(path.parent).mkdir(exist_ok=True)
            if packed is not None and hashed is not None:
                write_atomically(self._arrays_path(record.key, hashed), packed, OWNER_ONLY)
            write_atomically(path, text.encode(), OWNER_ONLY)
        if record.ok:
            with contextlib.suppress(OSError):  # there is none, or it stays and is no longer read
                failed.unlink()
        return stored

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays beside `record`, empty if it has none.

        Raises:
            StoreError: they are missing, not those the record was written with, not what `pack` makes, or cannot be
                read.
        """
        with _typed(self._path(record.key)):
            return self._arrays(record)

    def records(self, opened: bool = False) -> Iterator[Record]:
        """All records that can be trusted, by key; with `opened`, only those whose arrays can also be taken apart."""
        for key in self.keys():
            record = self.load(key, opened)
            if record is not None:
                yield record

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys, in order, that begin with `prefix` and have a record, trusted or not."""
        keys = {path.stem.removesuffix(FAILED) for path in self._files(".json", prefix)}
        yield from sorted(key for key in keys if key.startswith(prefix))

    def load(self, key: str, opened: bool = False) -> Record | None:
        """The verified record of a key that `keys` gave, a success before a failure; None if none can be trusted.

        With `opened`, its arrays can also be taken apart.
        """
        path = self._path(key)
        found = self._load(path, opened)
        if found is not None and found.ok:
            return found
        # The third look is for a success that took the failure's place between the first two.
        return self._load(self._path(key, FAILED), opened) or self._load(path, opened)

    def sweep(self) -> None:
        """Remove temporary files that writers killed over an hour ago left behind, and checkpoints of over a week ago.

        A run that is begun again after days off still finds its checkpoints.
        """
        for kind in ("records", "checkpoints"):
            self._remove(self._files(".tmp", kind=kind), STALE_SECONDS)
        self._remove(self._files("", kind="checkpoints"), 7 * DAY_SECONDS)

    def unreferenced(self) -> list[Path]:
        """Arrays that no record names, older than what a writer may still be about to name; day-old checkpoints.

        The arrays of a cell whose record was set aside stay with it.
        """
        every = filter(None, map(self._load, self._files(".json")))
        named = {self._arrays_path(r.key, r.arrays_sha256) for r in every if r.arrays_sha256 is not None}
        aside = self._set_aside()
        arrays = (path for path in self._files(".npz") if path not in named)
        loose = [(path, STALE_SECONDS) for path in arrays if path.name.partition("-")[0] not in aside]
        loose += [(path, DAY_SECONDS) for path in self._files("", kind="checkpoints")]
        return sorted(path for path, seconds in loose if _is_older(path, seconds))

    def _set_aside(self) -> set[str]:
        """The keys of the records in quarantine/."""
        place = _own(self.folder / "quarantine")
        with _typed(place):
            return {path.name.partition(".")[0] for path in place.iterdir()} if place.is_dir() else set()

    def _files(self, ending: str, prefix: str = "", kind: str = "records") -> Iterator[Path]:
        """Files of the folders of a kind by name, of that of a prefix alone where the prefix has two digits."""
        place = _own(self.folder / kind)
        with _typed(place):
            every = list(place.iterdir()) if place.is_dir() else []
        folders = [path for path in every if len(path.name) == 2 and path.name.startswith(prefix[:2])]
        for folder in sorted(folders, key=_name):
            if _own(folder).is_dir():
                files: list[Path] = []  # of a folder that went with its last checkpoint
                with _typed(folder), contextlib.suppress(FileNotFoundError):
                    files = [path for path in folder.iterdir() if path.name.endswith(ending)]
                yield from sorted(files, key=_name)

    def checkpoint_path(self, key: str) -> Path:
        """Where the cell of that key keeps its state while it runs; its folder need not exist."""
        return _own(_own(self.folder / "checkpoints") / key[:2]) / f"{key}.safetensors"

    def drop_checkpoint(self, key: str) -> None:
        """Remove the cell's checkpoint and what killed writers left of it, if anything; not what was set aside.

        Raises:
            StoreError: it cannot be removed.
        """
        path = self.checkpoint_path(key)
        with _typed(path):
            for left in (path, *path.parent.glob(f"{key}-*.tmp")):
                left.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            with contextlib.suppress(OSError):  # not there, or others keep theirs in it
                folder.rmdir()

    def _remove(self, paths: Iterable[Path], seconds: float) -> None:
        for path in paths:
            with _typed(path):
                if _is_older(path, seconds):
                    path.unlink(missing_ok=True)

    def _path(self, key: str, kind: str = "") -> Path:
        return self.folder / "records" / key[:2] / f"{key}{kind}.json"

    def _arrays_path(self, key: str, hashed: str) -> Path:
        return self._path(key).with_name(f"{key}-{hashed[:16]}.npz")

    def _arrays(self, record: Record, opened: bool = True) -> dict[str, np.ndarray]:
        """The arrays beside `record`; unless `opened`, none, once they are known to be those it was written with.

        Raises StoreError where that is a verdict on the record, and OSError where they are there but cannot be read.
        """
        if record.arrays_sha256 is None:
            return {}
        path = self._arrays_path(record.key, record.arrays_sha256)
        try:
            packed = _read(path)
        except FileNotFoundError as error:
            raise StoreError(f"{path}: is missing; bring it back or run the cell again") from error
        if hashlib.sha256(packed).hexdigest() != record.arrays_sha256:
            raise StoreError(f"{path}: not the arrays its record was written with; delete it and run the cell again")
        try:
            return unpack(packed) if opened else {}
        except Exception as error:  # a header is parsed as Python, whose every error may come of it
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise StoreError(f"{path}: holds no arrays ({why}); delete it and run the cell again") from error

    def _load(self, path: Path, opened: bool = False) -> Record | None:
        try:
            text = _read(path)
            record = _verified(text, path.stem.removesuffix(FAILED))
            self._arrays(record, opened)
        except FileNotFoundError:
            return None
        except OSError as error:  # of the disk or the system, and no verdict on the record
            told = f"{path}: cannot be read ({error.strerror}); see to its permissions or the disk, and run this again"
            raise StoreError(told) from error
        except (InputError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._quarantine(path, str(error))
            return None
        return record

    def _quarantine(self, path: Path, reason: str) -> None:
        place = self.folder / "quarantine" / f"{path.stem}.{time.time_ns()}.json"
        with _typed(place):
            _own(place.parent).mkdir(exist_ok=True)
            _own(path.parent)
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


def unpack(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays that `pack` made these bytes of.

    Raises one of many errors for other bytes; no more is unpacked than there are bytes.
    """
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if sum(member.file_size for member in archive.infolist()) > len(packed):
            raise InputError("its members are larger than the file")
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _verified(text: bytes, key: str) -> Record:
    """The record in `text` if its checksum, its schema and its key, made anew from its own cell fields, are right."""
    body = json.loads(text)
    if not isinstance(body, dict) or _digest({k: v for k, v in body.items() if k != "sha256"}) != body.get("sha256"):
        raise InputError("the checksum does not match")
    del body["sha256"]
    if body.get("schema") != SCHEMA or set(body) != {entry.name for entry in fields(Record)}:
        raise InputError(f"schema {body.get('schema')} where {SCHEMA} is expected")
    record = _checked(body)
    if not record.key == key == _digest(record.cell):
        raise InputError("the key is not the hash of the record's own cell fields")
    return record


def _checked(body: dict[str, Any]) -> Record:
    """The record of these fields; InputError where one is not of its type."""
    if body["status"] not in get_args(Status):
        raise InputError(f"status {body['status']!r} where one of {', '.join(get_args(Status))} is expected")
    for name, (fits, expected) in KINDS.items():
        if not fits(body[name]):
            raise InputError(f"{name} is {short(body[name])}; expected {expected}")
    return Record(**body)


def _is_number(value: object) -> bool:
    """Whether a float holds it; True is none."""
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _is_cell(value: object) -> bool:
    return type(value) is dict and type(value.get("runner")) is str and type(value.get("params")) is dict


def _is_error(value: object) -> bool:
    return type(value) is dict and {"type", "message"} <= value.keys() and all(type(v) is str for v in value.values())


# Of the fields that JSON may have wrong, what they must be.
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "cell": (_is_cell, "an object with experiment and params"),
    "metrics": (lambda value: type(value) is dict, "an object"),
    "wall_s": (_is_number, "a number"),
    "cpu_s": (_is_number, "a number"),
    "peak_memory_mb": (lambda value: value is None or _is_number(value), "a number or null"),
    "error": (lambda value: value is None or _is_error(value), "an object of texts with type and message, or null"),
    "provenance": (lambda value: type(value) is dict, "an object"),
    "arrays_sha256": (lambda value: value is None or type(value) is str, "a text or null"),
}


def _digest(parsed: object) -> str:
    """`bench.cells.unit.digest` of what JSON was parsed to, which is plain already; ValueError for NaN and infinity."""
    return hashlib.sha256(CANONICAL.encode(parsed).encode()).hexdigest()


def _name(path: Path) -> str:
    return path.name


def _read(path: Path) -> bytes:
    """A regular file of at most `LARGEST` bytes; InputError for a link, a pipe, a device, a larger file."""
    try:
        handle = os.open(path, READING)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path}: is a symbolic link, which is not followed") from error
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise InputError(f"{path}: is no regular file of at most {LARGEST} bytes")
        content = b""
        while len(content) < found.st_size and (more := os.read(handle, found.st_size - len(content))):
            content += more
        return content
    finally:
        os.close(handle)


def _own(folder: Path) -> Path:
    """The folder; StoreError where it is a symbolic link, which could lead out of the results folder."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a symbolic link, which is not followed; put the folder itself in its place")
    return folder


def _is_older(path: Path, seconds: float) -> bool:
    """Whether a file was last written that long ago; one that is gone was not."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime > seconds
    return False


@contextlib.contextmanager
def _typed(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}; choose another results folder, free space or fix its permissions"
        ) from error
