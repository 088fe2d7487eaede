"""The one JSON text of a value, and its hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from causalrec.errors import InputError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: object, where: str = "params") -> Json:
    """A value as fresh JSON data: NumPy scalars become Python's, tuples become lists, mappings become dicts.

    Args:
        value: what a cell is made of.
        where: its name in messages.

    Raises:
        InputError: NaN or infinity, a key that is not a string, or a type without a canonical form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value  # type: ignore[return-value]
    if type(value) is float:
        if not math.isfinite(value):
            raise InputError(f"{where} is {value}; give a finite number, or None for what is undefined")
        return value
    if isinstance(value, list | tuple):
        return [plain(entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise InputError(f"{where} has the key {key!r} of type {type(key).__name__}; keys must be str")
        return {key: plain(entry, f"{where}.{key}") for key, entry in value.items()}
    raise InputError(
        f"{where} is of type {type(value).__name__}; give None, bool, int, float, str, or lists and dicts of them"
    )


def canonical(params: object, where: str = "params") -> str:
    """The one JSON text of a value: keys sorted, no spaces, ASCII, floats by `repr`, integers kept integers.

    Args:
        params: the value.
        where: its name in messages.

    Raises:
        InputError: as `plain`.
    """
    return json.dumps(plain(params, where), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of a value.

    Args:
        value: anything that `plain` takes.
    """
    return hashlib.sha256(canonical(value, "value").encode()).hexdigest()
