"""Put another function in the place of one, under every name it has in the suite, for as long as a `with` lasts.

A module that says `from a import f` holds a name of its own, which a change of `a.f` does not reach, so every module of
the suite is searched for the very object. Modules first imported meanwhile bind the substitute, so the search is done
again, the other way round, at the end. What containers, closures and default arguments hold is not found.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from bench.cells.fingerprint import FIRST_PARTY
from bench.errors import InputError


def path_of(owner: ModuleType | type, name: str) -> str:
    """The dotted path of an attribute.

    Args:
        owner: module or class that holds it.
        name: its name there.
    """
    return f"{owner.__module__}.{owner.__qualname__}.{name}" if isinstance(owner, type) else f"{owner.__name__}.{name}"


@contextmanager
def replaced(owner: ModuleType | type, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a function, class or method, and put it back at the end.

    Args:
        owner: module or class of the suite that holds the original; a class must define it itself, not inherit it.
        name: the name of the original there.
        make: returns the substitute, given the original as its owner holds it (a property as the property).

    Raises:
        InputError: the owner holds nothing of this name; a module's attribute is neither a function nor a class, so
            that it could not be told from its equals elsewhere; or the substitute has a name in the suite already, so
            that it could not be told from the original when that is put back.
    """
    path = path_of(owner, name)
    if path.partition(".")[0] not in FIRST_PARTY or name not in vars(owner):
        raise InputError(f"there is no {path}; give a function, class or method that the suite defines there")
    original = vars(owner)[name]
    if isinstance(owner, ModuleType) and not isinstance(original, FunctionType | type):
        raise InputError(f"{path} is a {type(original).__name__}; only functions and classes are replaced")
    substitute = make(original)
    if any(True for _ in _names(substitute)):
        raise InputError(f"the substitute of {path} has a name in the suite already; wrap it in a new function")
    try:
        _put(owner, name, original, substitute)
        yield
    finally:
        _put(owner, name, substitute, original)


def _put(owner: ModuleType | type, name: str, old: object, new: object) -> None:
    for holder, alias in [(owner, name)] if isinstance(owner, type) else list(_names(old)):
        setattr(holder, alias, new)


def _names(wanted: object) -> Iterator[tuple[ModuleType, str]]:
    """Every module of the suite that has a name for the object, and the name."""
    for title, module in list(sys.modules.items()):
        if title.partition(".")[0] in FIRST_PARTY and isinstance(module, ModuleType):
            yield from ((module, alias) for alias, value in list(vars(module).items()) if value is wanted)
