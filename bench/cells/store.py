"""One record per cell, written atomically and verified whenever it is read.

    records/<first two of key>/<key>.json            the record of a success
    records/<first two of key>/<key>.failed.json     that of a failure, read only if there is no success
    records/<first two of key>/<key>-<hash>.npz      its arrays, named by their own hash, written first
    quarantine/                                      records that failed verification: kept, never trusted
    checkpoints/<first two of key>/<key>.safetensors a long cell's state while it runs, see `bench.cells.checkpoint`

A failure has a name of its own, so that it never replaces a success: without a lock, whatever the timing, and when
folders are copied together. Arrays carry their hash in the name, so that two writers of one cell cannot pair one's
record with the other's arrays. The folder itself is not synced, which would double the cost of a record: a power cut
loses at most the last records whole, and their cells run again.
A folder may come from someone else: nothing is written, moved or removed through a symbolic link below it, and only
regular files of at most `LARGEST` bytes are read.
"""

import contextlib
import hashlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.cells.files import StoreError, read_file, real, typed, write_file
from bench.cells.record import OtherSchema, Record, decode, encode, pack, unpack
from bench.cells.unit import Cell
from bench.errors import InputError

STALE_SECONDS, DAY_SECONDS = 3600.0, 86400.0
FAILED = ".failed"  # between key and ending
LARGEST = 1 << 30  # bytes of a file that is read
OWNER_ONLY = 0o600  # tracebacks and paths are in records


class Store:
    """The records of one results folder.

    Args:
        folder: made if missing.
        on_quarantine: called with one line per record that fails verification (the lines are also in `quarantined`),
            and with one line if an older version of the suite wrote the records here.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path | str, on_quarantine: Callable[[str], None] | None = None) -> None:
        self.folder = Path(folder)
        self.quarantined: list[str] = []
        self._on_quarantine = on_quarantine
        with typed(self.folder):
            real(self.folder / "records").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        for path in itertools.islice(self._files(".json"), 1):  # one version wrote them all, as a rule
            with contextlib.suppress(OSError, ValueError, RecursionError):  # `load` says what is wrong with it
                self._decode(path, read_file(path, LARGEST))

    def get(self, cell: Cell) -> Record | None:
        """The verified record of a cell, failures included; None if there is none that can be trusted.

        Args:
            cell: what was to run.
        """
        return self.load(cell.key)

    def put(self, record: Record, arrays: Mapping[str, np.ndarray] | None = None) -> Record:
        """Write a record and its arrays. A failure does not replace a success.

        Args:
            record: what became of a cell.
            arrays: arrays that statistics need later, by name; None without.

        Returns:
            the record as stored, or the success that is there already.

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
        stored, text = encode(replace(record, arrays_sha256=hashed))
        real(path.parent)
        if packed is not None and hashed is not None:
            write_file(self._arrays_path(record.key, hashed), packed, OWNER_ONLY)
        write_file(path, text.encode(), OWNER_ONLY)
        if record.ok:
            with contextlib.suppress(OSError):  # there is none, or it stays and is no longer read
                failed.unlink()
        return stored

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays beside a record, empty if it has none.

        Args:
            record: as the store gave it.

        Raises:
            StoreError: they are missing, are not those that the record was written with, are not what `pack` makes, or
                cannot be read.
        """
        with typed(self._path(record.key)):
            return self._arrays(record)

    def files_of(self, record: Record) -> list[Path]:
        """The files of a record: its JSON, and its arrays if it has any.

        Args:
            record: as the store gave it.
        """
        path = self._path(record.key, "" if record.ok else FAILED)
        hashed = record.arrays_sha256
        return [path] if hashed is None else [path, self._arrays_path(record.key, hashed)]

    def records(self, opened: bool = False) -> Iterator[Record]:
        """All records that can be trusted, by key.

        Args:
            opened: take the arrays apart too, and leave out a record whose arrays cannot be.
        """
        for key in self.keys():
            record = self.load(key, opened)
            if record is not None:
                yield record

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that have a record, trusted or not, in order.

        Args:
            prefix: what they begin with.
        """
        keys = {path.stem.removesuffix(FAILED) for path in self._files(".json", prefix)}
        yield from sorted(key for key in keys if key.startswith(prefix))

    def load(self, key: str, opened: bool = False) -> Record | None:
        """The verified record of a key, a success before a failure; None if none can be trusted.

        Args:
            key: one that `keys` gave.
            opened: take its arrays apart too.
        """
        path = self._path(key)
        found = self._load(path, opened)
        if found is not None and found.ok:
            return found
        # The third look is for a success that took the failure's place between the first two.
        return self._load(self._path(key, FAILED), opened) or self._load(path, opened)

    def sweep(self) -> None:
        """Remove temporary files that killed writers left over an hour ago, and checkpoints over a week old.

        A run that is resumed after some days still finds its checkpoints.
        """
        for kind in ("records", "checkpoints"):
            self._remove(self._files(".tmp", kind=kind), STALE_SECONDS)
        self._remove(self._files("", kind="checkpoints"), 7 * DAY_SECONDS)

    def unreferenced(self) -> list[Path]:
        """Files that nothing needs: arrays over an hour old that no record names, and checkpoints over a day old.

        The arrays of a record that was set aside stay with it.
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
        place = real(self.folder / "quarantine")
        with typed(place):
            return {path.name.partition(".")[0] for path in place.iterdir()} if place.is_dir() else set()

    def _files(self, ending: str, prefix: str = "", kind: str = "records") -> Iterator[Path]:
        """Files of the folders of a kind by name, of that of a prefix alone where the prefix has two digits."""
        place = real(self.folder / kind)
        with typed(place):
            every = list(place.iterdir()) if place.is_dir() else []
        folders = [path for path in every if len(path.name) == 2 and path.name.startswith(prefix[:2])]
        for folder in sorted(folders, key=_name):
            if real(folder).is_dir():
                files: list[Path] = []  # of a folder that went with its last checkpoint
                with typed(folder), contextlib.suppress(FileNotFoundError):
                    files = [path for path in folder.iterdir() if path.name.endswith(ending)]
                yield from sorted(files, key=_name)

    def checkpoint_path(self, key: str) -> Path:
        """Where a cell keeps its state while it runs; the folder need not exist.

        Args:
            key: the cell's key.
        """
        return real(real(self.folder / "checkpoints") / key[:2]) / f"{key}.safetensors"

    def drop_checkpoint(self, key: str) -> None:
        """Remove a cell's checkpoint, if it has one, and what killed writers left of it; what was set aside stays.

        Args:
            key: the cell's key.

        Raises:
            StoreError: it cannot be removed.
        """
        path = self.checkpoint_path(key)
        with typed(path):
            for left in (path, *path.parent.glob(f"{key}-*.tmp")):
                left.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            with contextlib.suppress(OSError):  # not there, or others keep theirs in it
                folder.rmdir()

    def _remove(self, paths: Iterable[Path], seconds: float) -> None:
        for path in paths:
            with typed(path):
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
            packed = read_file(path, LARGEST)
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
            text = read_file(path, LARGEST)
            record = self._decode(path, text)
            if record is None:
                return None
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

    def _decode(self, path: Path, text: bytes) -> Record | None:
        """The record in a file's text; None, and a word on it, if another version of the suite wrote it."""
        try:
            return decode(text, path.stem.removesuffix(FAILED))
        except OtherSchema:
            self._tell(
                f"{self.folder}: an earlier version of the suite wrote records here, under other keys; they stay, are "
                "not used, and their cells run again"
            )
            return None

    def _quarantine(self, path: Path, reason: str) -> None:
        place = self.folder / "quarantine" / f"{path.stem}.{time.time_ns()}.json"
        with typed(place):
            real(place.parent).mkdir(exist_ok=True)
            real(path.parent)
            with contextlib.suppress(FileNotFoundError):
                path.replace(place)
        self._tell(f"{path.name}: {reason}; moved to {place}, the cell will run again")

    def _tell(self, line: str) -> None:
        if line not in self.quarantined:
            self.quarantined.append(line)
            if self._on_quarantine is not None:
                self._on_quarantine(line)


def _name(path: Path) -> str:
    return path.name


def _is_older(path: Path, seconds: float) -> bool:
    """Whether a file was last written that long ago; one that is gone was not."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime > seconds
    return False
