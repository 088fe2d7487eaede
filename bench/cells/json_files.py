"""JSON that others wrote: read with limits and checked by type."""

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.errors import InputError

T = TypeVar("T")


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


def typed_value(value: object, kind: type[T], where: str = "") -> T:
    """JSON data as a value of a declared type.

    Args:
        value: parsed JSON.
        kind: a dataclass, or another type that msgspec converts to.
        where: what the message begins with, such as the file; empty for the field alone.

    Raises:
        InputError: the data do not fit; the message names the field and what was expected.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        told, _, place = str(error).partition(" - at `$")
        field = place.removesuffix("`").removeprefix(".").replace("[...]", "")
        fault = f"{field} {told[:1].lower()}{told[1:]}".strip()
        raise InputError(f"{where}: {fault}" if where else fault) from error
