"""Standard streams that cost no result: closed ones, readers that leave, full disks."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

NAMES = ("stdin", "stdout", "stderr")


class Steady:
    """A text stream for writing that never raises: after its first error, all that is written goes nowhere.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as far as it is possible.

        Args:
            text: what is written.
        """
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush as far as it is possible."""
        self._try(self._stream.flush)

    def _try(self, action: Any, *given: str) -> None:
        try:
            action(*given)
        except OSError as error:
            self.error = self.error or error
            with contextlib.suppress(OSError):  # what is buffered would fail again when the process ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextlib.contextmanager
def steady_streams() -> Iterator[Steady]:
    """Make stdout and stderr steady within the block, and open the standard streams that are closed on nothing.

    Otherwise the next file that is opened would take the place of a closed stream and receive what is printed.

    Yields:
        stdout, with the first error that writing to it met.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) < len(NAMES):
        os.set_inheritable(handle, True)  # a worker's own files must not take its place either
    os.close(handle)
    before = {name: getattr(sys, name) for name in NAMES}
    for number, name in enumerate(NAMES):
        if before[name] is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    out = Steady(sys.stdout)
    sys.stdout, sys.stderr = out, Steady(sys.stderr)
    try:
        yield out
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for name, stream in before.items():
            setattr(sys, name, stream)
