"""Code that is not ours: a user's own, `package.module:name` importable from the current folder, or a peer's package.

Such code may change what it shares a process with (a default dtype, a thread count, an environment variable), so its
worker serves no further cell; and a user may edit it while a run goes on.
"""

import contextlib
import hashlib
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from bench.cells.unit import Cell
from bench.errors import InputError
from causalrec.errors import one_line

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
PARAMETERS = ("learner", "model")  # parameters of a cell that may name such code
PEER = "peer."


def definition(found: type) -> str:
    """A class as `module:name`, for the code of a cell.

    Args:
        found: the class.
    """
    return f"{found.__module__}:{found.__qualname__}"


def find(name: str, kind: str) -> object:
    """Import what a user named. What the module prints goes to stderr.

    The current folder goes last on the path, which workers inherit.

    Args:
        name: `package.module:name`.
        kind: "function" or "Class", for messages.

    Returns:
        the object; None if the module has no such thing.

    Raises:
        InputError: a name of another form, or a module that cannot be imported.
    """
    return getattr(_module(name, kind), name.partition(":")[2], None)


def version(name: str, kind: str) -> str:
    """SHA-256 of the source file of what a user named, so that an edit of it makes new cells.

    Args:
        name: `package.module:name`.
        kind: "function" or "Class", for messages.

    Raises:
        InputError: as `find`, and for a module without a file.
    """
    file = getattr(_module(name, kind), "__file__", None)
    if file is None:
        raise InputError(f"{name!r}: the module has no file, so that a change to it could not be told; give it one")
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def foreign(cell: Cell) -> str | None:
    """The name of code in a cell that is not ours; None if all is ours.

    Args:
        cell: the cell.
    """
    names = (cell.params.get(parameter) for parameter in PARAMETERS)
    return next((name for name in names if isinstance(name, str) and (":" in name or name.startswith(PEER))), None)


def edited(cell: Cell) -> str | None:
    """A message if the user's module that a cell runs is not the one that it was planned with; otherwise None.

    The module is imported here first, so that what runs is what was checked. A cell whose module cannot be imported
    says so itself.

    Args:
        cell: the cell.
    """
    name = foreign(cell)
    if name is None or ":" not in name:
        return None
    with contextlib.suppress(InputError):
        if version(name, "name") != cell.params.get("identity"):
            return f"the source of {name} changed during the run; start it again"
    return None


def _module(name: str, kind: str) -> ModuleType:
    if NAME.fullmatch(name) is None:
        raise InputError(f"{name!r} does not name a {kind}; write package.module:{kind}")
    here, module = str(Path.cwd()), name.partition(":")[0]
    if here not in sys.path:
        sys.path.append(here)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        why = one_line(error)
        raise InputError(f"{name!r}: {module} cannot be imported from {here} ({why})") from error
