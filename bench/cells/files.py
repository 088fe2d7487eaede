"""The one writer of files: a reader sees all of a file or nothing of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError

WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place; raises InputError where that fails."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            temporary.unlink(missing_ok=True)  # were it a link, what it leads to would be written
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error


def write_file(path: Path, content: bytes) -> None:
    """`write_atomically` into a folder that is made if missing; StoreError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        message = f"{path.parent}: {error.strerror or error}; choose another results folder or free space"
        raise StoreError(message) from error


class StoreError(InputError):
    """The results folder cannot be read or written: permissions, or a full disk."""


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write beside `path`, sync and rename, so that a reader sees all or nothing, however many write; raises OSError.

    The temporary's name is its own and ends in `.tmp`; `mode` are the file's permissions, less the umask.
    """
    temporary = path.with_name(f"{path.stem[:16]}-{os.urandom(8).hex()}.tmp")
    handle = os.open(temporary, WRITING, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Write a JSON document whole or not at all."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
