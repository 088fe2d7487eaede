"""JSON that others wrote: read with limits and checked by type."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.errors import InputError, retyped
from causalrec.methods import files

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
    with retyped():
        return files.read_object(path, largest, expected)


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
