"""Put another function in the place of one, under every name it has in the suite, for as long as a `with` lasts.

A module that says `from a import f` holds a name of its own, which a change of `a.f` does not reach; so every module of
the suite is searched for the very object. Modules that are first imported meanwhile bind the substitute, hence the
same search again, the other way round, at the end. What containers, closures and default arguments hold is not found.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from bench.cells.fingerprint import FIRST_PARTY
from bench.errors import InputError


@contextmanager
def replaced(target: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace `target`, "module:function" or "module:Class.attribute", by `make(original)`; put it back at the end.

    An attribute of a class is handed to `make` as the class holds it (a property as the property), and must stand in
    that class, not in one above.

    Raises:
        InputError: there is no such target; a target in a module that is no function or class, which could not be told
            from its equals elsewhere; or a substitute that already has a name in the suite, which could not be told
            from the target when it is put back.
    """
    owner, name = _find(target)
    original = vars(owner)[name]
    if isinstance(owner, ModuleType) and not isinstance(original, FunctionType | type):
        raise InputError(f"{target} is a {type(original).__name__}; only functions and classes are replaced")
    substitute = make(original)
    if any(True for _ in _names(substitute)):
        raise InputError(f"the substitute of {target} has a name in the suite already; wrap it in a new function")
    try:
        _put(owner, name, original, substitute)
        yield
    finally:
        _put(owner, name, substitute, original)


def _find(target: str) -> tuple[Any, str]:
    """The module or class that holds the target, and the name it has there."""
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    owner: Any = import_module(module) if module.partition(".")[0] in FIRST_PARTY else None
    for step in classes:
        owner = getattr(owner, step, None)
    if owner is None or name not in vars(owner):
        raise InputError(f"there is no {target}; give module:function or module:Class.attribute of the suite")
    return owner, name


def _put(owner: Any, name: str, old: object, new: object) -> None:
    if isinstance(owner, type):
        setattr(owner, name, new)
        return
    for module, alias in list(_names(old)):
        setattr(module, alias, new)


def _names(wanted: object) -> Iterator[tuple[ModuleType, str]]:
    """Every module of the suite that has a name for the object, and the name."""
    for title, module in list(sys.modules.items()):
        if title.partition(".")[0] in FIRST_PARTY and isinstance(module, ModuleType):
            yield from ((module, alias) for alias, value in list(vars(module).items()) if value is wanted)
