"""A user's own code, by name: `package.module:name`, importable from the current folder."""

import contextlib
import hashlib
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from bench.errors import InputError

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
LONGEST_ERROR = 300


def find(name: str, kind: str) -> object:
    """What `package.module:name` names; None where the module has no such thing.

    kind: function or class, for messages. Raises InputError for a name of another form and where the module cannot be
    imported. The current folder goes last on the path, which workers inherit; what the module prints goes to stderr.
    """
    return getattr(_module(name, kind), name.partition(":")[2], None)


def version(name: str, kind: str) -> str:
    """SHA-256 of the module's source file, so that editing it makes new cells; raises as `find`, and without a file."""
    file = getattr(_module(name, kind), "__file__", None)
    if file is None:
        raise InputError(f"{name!r}: the module has no file, so that a change to it could not be told; give it one")
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def one_line(error: BaseException) -> str:
    """Type and message of an error, on one line, not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_ERROR].removesuffix(": ")


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
