"""Where the cell that runs may keep its checkpoint: the engine sets it, the runner asks for it.

Apart from `bench.cells.checkpoint`, so that the workers of runners that do without torch do not import it.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_path: ContextVar[Path | None] = ContextVar("path of the cell's checkpoint", default=None)


@contextlib.contextmanager
def placed(path: Path) -> Iterator[None]:
    """Let the cell that runs within keep its checkpoint at `path`; the folder is made when there is one."""
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)


def place() -> Path | None:
    """The path of the running cell's checkpoint; None for a cell that no engine runs."""
    return _path.get()
