"""Files: written whole or not at all, read only if regular, never through a link."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from causalrec.methods.files import FLAGS, json_bytes, write_whole

if TYPE_CHECKING:
    import pandas as pd

# Without waiting for a writer of a pipe.
READING = os.O_RDONLY | sum(getattr(os, name, 0) for name in (*FLAGS, "O_NOFOLLOW", "O_NONBLOCK"))


class StoreError(InputError):
    """A file or folder cannot be read or written: permissions, a full disk, a link."""


def write_file(path: Path, content: bytes, mode: int = 0o666, make_folder: bool = True) -> None:
    """Write a file so that a reader sees all of it or nothing, however many write it at once.

    Args:
        path: the file.
        content: all that it will hold.
        mode: its permissions, less the umask.
        make_folder: make its folder if it is missing.

    Raises:
        StoreError: it cannot be written, or is a pipe or a device; what was there stays.
    """
    with typed(path, "cannot be written"):
        if path.exists() and not path.is_file() and not path.is_dir():  # a device would be replaced by a file
            raise OSError(errno.EINVAL, "Not a regular file")
        write_whole(path, content, mode, make_folder)


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table without its index, as .csv with a header or as .parquet.

    Args:
        path: the file; its ending says as what.
        frame: the table.

    Raises:
        InputError: it cannot be written, or pyarrow, which writes .parquet, is missing.
    """
    try:
        # With both characters as line end; otherwise a field with a bare carriage return is not quoted.
        content = (
            frame.to_parquet(index=False) if path.suffix == ".parquet"
            else frame.to_csv(index=False, lineterminator="\r\n").encode()
        )  # fmt: skip
    except ImportError as error:
        raise InputError(f"{path}: Parquet needs pyarrow; pip install pyarrow, or write .csv") from error
    write_file(path, content, make_folder=False)


def write_json(path: Path, value: object) -> None:
    """Write a JSON document as `write_file` does.

    Args:
        path: the file.
        value: JSON data of finite numbers; a text that UTF-8 cannot hold is escaped.
    """
    write_file(path, json_bytes(value))


def read_file(path: Path, largest: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        largest: the most bytes that are read.

    Raises:
        InputError: a link, a pipe, a device, or a larger file.
        OSError: it is missing or cannot be read.
    """
    try:
        handle = os.open(path, READING)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path}: is a symbolic link, which is not followed") from error
        raise
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size > largest:
        os.close(handle)
        raise InputError(f"{path}: is no regular file of at most {largest} bytes")
    with os.fdopen(handle, "rb") as file:
        return file.read(found.st_size)


def real(folder: Path) -> Path:
    """Return the folder itself.

    Args:
        folder: a folder below a results folder.

    Raises:
        StoreError: it is a symbolic link, which could lead out of the results folder.
    """
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a symbolic link, which is not followed; put the folder itself in its place")
    return folder


@contextlib.contextmanager
def typed(path: Path, what: str = "") -> Iterator[None]:
    """Turn an OSError of the block into a StoreError.

    Args:
        path: what the message names.
        what: what failed, in words; empty for the reason alone.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        told = f"{what} ({why})" if what else why
        raise StoreError(f"{path}: {told}; choose another place, free space or fix its permissions") from error
