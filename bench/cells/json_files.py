"""JSON that others wrote: read with limits, checked by type, and shown without control characters."""

import json
from collections.abc import Mapping
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


def short(value: object) -> str:
    """A value as an error shows it.

    Args:
        value: anything.

    Returns:
        its `repr` of at most 80 characters.
    """
    try:
        text = repr(value)
    except RecursionError:  # JSON that is just not too deep to be parsed may be too deep to be shown
        text = f"a {type(value).__name__} nested too deep"
    return text if len(text) <= 80 else text[:77] + "..."


def encodable(value: Any) -> Any:
    """JSON data in texts that UTF-8 can hold: a surrogate, as in a file name that is not UTF-8, is escaped.

    Args:
        value: JSON data.
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list | tuple) else value


def printable(text: str) -> str:
    """A user's text for a terminal, with what cannot be printed escaped.

    Args:
        text: as the user's file has it.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
