"""Files that hold all of something or do not exist, and JSON that others wrote."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from causalrec.errors import InputError

FLAGS = ("O_BINARY", "O_CLOEXEC")  # those that the system has
WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | sum(getattr(os, name, 0) for name in FLAGS)


def write_whole(path: Path, content: bytes, mode: int = 0o666, make_folder: bool = True) -> None:
    """Write a file so that a reader sees all of it or nothing, however many write it at once.

    It is written beside its place under a name of its own that ends in `.tmp`, synced and renamed.

    Args:
        path: the file.
        content: all that it will hold.
        mode: its permissions, less the umask.
        make_folder: make its folder if it is missing.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    temporary = path.with_name(f"{path.stem[:16]}-{os.urandom(8).hex()}.tmp")
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(temporary, WRITING, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def json_bytes(value: object) -> bytes:
    """A JSON document as bytes of UTF-8.

    Args:
        value: JSON data of finite numbers; a text that UTF-8 cannot hold is escaped.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return text.encode(errors="backslashreplace")


def read_object(path: Path, largest: int, expected: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        largest: its most bytes.
        expected: what it should be, in words, for the message.

    Raises:
        InputError: it is larger, cannot be read, is no JSON (NaN and Infinity are none), is nested too deep or holds
            anything but an object.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        size = path.stat().st_size
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) if size <= largest else None
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({' '.join(str(error).split())[:200]})") from error
    if size > largest:
        raise InputError(f"{path}: is larger than {largest} bytes; expected {expected}")
    if not isinstance(value, dict):
        raise InputError(f"{path}: is a {type(value).__name__}; expected an object")
    return value


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
