"""Text from outside (names of files, ids, columns, values) as messages, tables and files show it."""

from collections.abc import Mapping
from typing import Any

from causalrec.errors import short as short  # noqa: PLC0414, offered here as well


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
