"""Options of a dataclass from `key=value` words and from JSON, each of the type that the class declares."""

import contextlib
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from bench.errors import InputError
from bench.text import short

T = TypeVar("T")
SAID = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", type(None): "none"}


def names(kind: type[Any], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Return every option that can be given, with its type; an option of an option is `outer.inner`.

    Args:
        kind: A dataclass.
        fixed: Fields of it that are no options.
    """
    found, hints = dict[str, Any](), get_type_hints(kind)
    for name, hint in ((field.name, hints[field.name]) for field in fields(kind)):
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{name}.{inner}": of for inner, of in names(hint).items()}
        elif name not in fixed:
            found[name] = hint
    return found


def parse(title: str, kind: type[Any], given: Sequence[str], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Read `key=value` words as nested JSON data for `build`.

    Args:
        title: What the options belong to, for errors.
        kind: A dataclass.
        given: The words.
        fixed: Fields of the class that cannot be given.

    Raises:
        InputError: An unknown key, one given twice, or a value of another type.
    """
    valid, found = names(kind, fixed), dict[str, Any]()
    for text in given:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(f"--option {text!r}: write key=value")
        if key not in valid:
            raise InputError(f"{title} has no option {key}; its options: {', '.join(valid) or 'none'}")
        *outer, last = key.split(".")
        inside = found
        for name in outer:
            inside = inside.setdefault(name, {})
        if last in inside:
            raise InputError(f"--option {key} is given twice; give each key once")
        inside[last] = _word(f"{title}: option {key}", value, valid[key])
    return found


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
    return kind(**{name: _value(f"{where}.{name}", value, hints[name]) for name, value in given.items()})


def _value(what: str, value: object, hint: Any) -> Any:
    """JSON data as a value of the declared type."""
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, what)
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise InputError(f"{what} is {short(value)}; expected {_told(hint)}") from error


def _word(what: str, text: str, hint: Any) -> Any:
    """The value that a word stands for."""
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    value: Any = text.split(",") if any(get_origin(choice) is tuple for choice in choices) else text
    if text == "none" and type(None) in choices:
        return None
    with contextlib.suppress(msgspec.ValidationError):
        found = msgspec.convert(value, hint, strict=False)
        if not isinstance(found, float) or math.isfinite(found):
            return found
    raise InputError(f"{what} is {text!r}; give {_told(hint)}")


def _told(hint: Any) -> str:
    """What values a type has, in words."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_told, get_args(hint)))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is tuple:
        return f"{_told(get_args(hint)[0])} or several, with commas between"
    return SAID.get(hint, "an object")

