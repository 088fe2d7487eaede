"""Cells that run code which is not ours: a user's module, `package.module:name`, or a peer's package, `peer.name`.

Such code may change what it shares a process with (a default dtype, a thread count, an environment variable), so its
worker serves no further cell; and a user may edit it while a run goes on.
"""

import contextlib

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.methods import user_code as own_module

PARAMETERS = ("learner", "model")
PEER = "peer."


def foreign(cell: Cell) -> str | None:
    """The name of what it runs that is not ours; None where all is."""
    names = (cell.params.get(parameter) for parameter in PARAMETERS)
    return next((name for name in names if isinstance(name, str) and (":" in name or name.startswith(PEER))), None)


def edited(cell: Cell) -> str | None:
    """What is to be said where it runs a user's module whose source is not that of its plan; else None.

    The module is imported here first if it was not, so that what runs is what was looked at; that it cannot be is for
    its cell to say.
    """
    name = foreign(cell)
    if name is None or ":" not in name:
        return None
    with contextlib.suppress(InputError):
        if own_module.version(name, "name") != cell.params.get("identity"):
            return f"the source of {name} changed during the run; start it again"
    return None
