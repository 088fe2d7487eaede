"""A user's own learner, importable from the current folder: `package.module:function`, or a class with `fit`.

See `causalrec.structure.own` for what it takes and returns.
"""

from collections.abc import Callable
from typing import cast

from bench.errors import InputError
from bench.methods import user_code
from causalrec.structure import Floats, Learner
from causalrec.structure.own import UserLearner, by_fit


def load(name: str) -> Learner:
    """The user's function, or class with `fit`, as a learner.

    Args:
        name: `package.module:function`.

    Raises:
        InputError: it cannot be imported, or is no function.
    """
    found = user_code.find(name, "function")
    if callable(getattr(found, "fit", None)):
        return UserLearner(name, by_fit(found))
    if not callable(found):
        module, _, function = name.partition(":")
        raise InputError(f"{name!r}: {module} has no function {function}")
    return UserLearner(name, cast("Callable[[Floats], object]", found))


def version(name: str) -> str:
    """The hash of the function's source, see `bench.methods.user_code.version`.

    Args:
        name: `package.module:function`.
    """
    return user_code.version(name, "function")
