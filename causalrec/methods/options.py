"""Options of a dataclass from JSON data or keywords, each of the type that the class declares."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from causalrec.errors import InputError, short

T = TypeVar("T")
SAID = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", type(None): "none"}


def build(kind: type[T], given: object, where: str) -> T:
    """Make the dataclass from JSON data, with its defaults where nothing is given.

    Args:
        kind: A dataclass, which may raise errors of its own for values out of range.
        given: The data, which should be an object with a value for some of the fields.
        where: What the data is, for errors.

    Raises:
        InputError: The data is no object, a key is unknown or missing, or a value is of another type.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{where} is {short(given)}; expected an object")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in given:
        if key not in known:
            raise InputError(f"{where} has no option {short(key)}; its options: {', '.join(known)}")
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where} lacks {name}")
    return kind(**{name: value_of(f"{where}.{name}", value, hints[name]) for name, value in given.items()})


def value_of(what: str, value: object, hint: Any) -> Any:
    """JSON data as a value of a declared type: a whole number for a float and a list for a tuple will do.

    Args:
        what: What the value is, for errors.
        value: The data.
        hint: The type: None, bool, int, float, str, Any, a Literal, a dataclass, a union of such, or a dict, list or
            tuple[..., ...] of such.

    Raises:
        InputError: The value is of another type.
    """
    if is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else build(hint, value, what)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for choice in inner:
            try:
                return value_of(what, value, choice)
            except InputError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(value_of(f"{what}[{k}]", each, inner[0]) for k, each in enumerate(value))
    elif origin is list and isinstance(value, list):
        return [value_of(f"{what}[{k}]", each, inner[0]) for k, each in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {key: value_of(f"{what}.{key}", each, inner[1]) for key, each in value.items()}
    elif hint is Any or type(value) is hint or (hint is type(None) and value is None):
        return value
    elif origin is Literal:
        for choice in inner:
            if type(value) is type(choice) and value == choice:
                return value
    elif hint is float and type(value) is int:
        return float(value)
    raise InputError(f"{what} is {short(value)}; expected {told(hint)}")


def told(hint: Any) -> str:
    """What values a type has, in words.

    Args:
        hint: As for `value_of`.
    """
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(told, get_args(hint)))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is tuple:
        return f"{told(get_args(hint)[0])} or several, with commas between"
    return SAID.get(hint, "an object")
