"""Options of a dataclass from `key=value` words and from JSON, each of the type that the class declares."""

import contextlib
import math
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from bench.errors import InputError, retyped
from causalrec.methods import options

T = TypeVar("T")


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
    with retyped():
        return options.build(kind, given, where)


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
    raise InputError(f"{what} is {text!r}; give {options.told(hint)}")
