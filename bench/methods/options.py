"""Options of a dataclass from `key=value` words and from JSON, each of the type that the class declares."""

import contextlib
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.errors import InputError

T = TypeVar("T")


def names(kind: type[Any], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Every option that can be given, with its type; an option of an option is `outer.inner`."""
    hints = get_type_hints(kind)
    found: dict[str, Any] = {}
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{field.name}.{inner}": of for inner, of in names(hint).items()}
        elif field.name not in fixed:
            found[field.name] = hint
    return found


def parse(title: str, kind: type[Any], given: Sequence[str], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """`key=value` words as nested JSON data for `build`; `fixed` options cannot be given.

    Raises InputError for an unknown key, one given twice, and a value of another type.
    """
    valid, found = names(kind, fixed), dict[str, Any]()
    for text in given:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(f"--option {text!r}: write key=value")
        if key not in valid:
            raise InputError(f"{title} has no option {key}; its options: {', '.join(valid)}")
        *outer, last = key.split(".")
        inside = found
        for name in outer:
            inside = inside.setdefault(name, {})
        if last in inside:
            raise InputError(f"--option {key} is given twice; give it once")
        inside[last] = _read(f"{title}: option {key}", value, valid[key])
    return found


def build(kind: type[T], given: object, where: str) -> T:
    """The dataclass from JSON data, defaults where nothing is given.

    Raises InputError for what is no object, an unknown or missing key, and a value of another type; the class may
    raise its own for values out of range.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{where} is {_show(given)}; expected an object")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in given:
        if key not in known:
            raise InputError(f"{where} has no option {_show(key)}; its options: {', '.join(known)}")
    for name, field in known.items():
        if name not in given and _needed(field):
            raise InputError(f"{where} lacks {name}")
    return kind(**{name: _checked(f"{where}.{name}", value, hints[name]) for name, value in given.items()})


def _needed(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _read(what: str, text: str, hint: Any) -> Any:
    """The value that a word stands for, as JSON data."""
    for choice in sorted(_choices(hint), key=lambda choice: choice is str):
        with contextlib.suppress(ValueError):
            return _word(text, choice)
    raise InputError(f"{what} is {text!r}; give {_told(hint)}")


def _word(text: str, hint: Any) -> Any:
    """One word as one type; raises ValueError where it is none."""
    if hint is bool:
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse()
    if hint is type(None):
        return None if text == "none" else _refuse()
    if hint is int:
        return int(text)
    if hint is float:
        number = float(text)
        return number if math.isfinite(number) else _refuse()
    if get_origin(hint) is Literal:
        return text if text in get_args(hint) else _refuse()
    if get_origin(hint) is tuple:
        return [_word(part, get_args(hint)[0]) for part in text.split(",")]
    return text if hint is str else _refuse()


def _refuse() -> Any:
    raise ValueError


def _checked(what: str, value: object, hint: Any) -> Any:
    """JSON data as a value of the declared type."""
    for choice in _choices(hint):
        if is_dataclass(choice) and isinstance(choice, type):
            return build(choice, value, what)
        if get_origin(choice) is tuple and isinstance(value, list):
            return tuple(_checked(what, part, get_args(choice)[0]) for part in value)
        if get_origin(choice) is Literal and isinstance(value, str) and value in get_args(choice):
            return value
        if choice is float and type(value) in (int, float):
            with contextlib.suppress(OverflowError):
                return float(value)  # type: ignore[arg-type]
        if isinstance(choice, type) and type(value) is choice:
            return value
    raise InputError(f"{what} is {_show(value)}; expected {_told(hint)}")


def _told(hint: Any) -> str:
    said = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", type(None): "none"}

    def one(choice: Any) -> str:
        if get_origin(choice) is Literal:
            return "one of " + ", ".join(get_args(choice))
        if get_origin(choice) is tuple:
            return f"{said.get(get_args(choice)[0], 'values')} or several, with commas between"
        return said.get(choice, "an object")

    return " or ".join(one(choice) for choice in _choices(hint))


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
