"""What people see: progress on stderr, tables on stdout.

In a terminal progress is one live line and tables are Rich's; in a pipe progress is a plain line every half minute
and tables are plain text of full width. NO_COLOR is respected (by Rich).
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

import rich.progress
from rich.console import Console

from bench.show.tables import Table, to_rich, to_text
from bench.text import printable


def duration(seconds: float) -> str:
    """A time in the unit people would use, such as '4 s', '12 min' or '2 h 05 min'.

    Args:
        seconds: >= 0.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def print_table(table: Table, stream: TextIO | None = None) -> None:
    """Print a table: in a terminal by Rich and as wide as the terminal, otherwise as plain text of full width.

    Args:
        table: what is printed.
        stream: stdout unless given.
    """
    stream = stream or sys.stdout
    console = Console(file=stream)
    if console.is_terminal:
        console.print(to_rich(table, console.width))
    else:
        stream.write(to_text(table) + "\n")


def print_message(message: str) -> None:
    """Write one line to stderr, what cannot be printed escaped.

    Args:
        message: the line.
    """
    sys.stderr.write(printable(message) + "\n")


@contextlib.contextmanager
def transfer(name: str, stream: TextIO | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Show a download: a live bar in a terminal, otherwise one line at its end.

    Args:
        name: of what is loaded.
        stream: stderr unless given.

    Yields:
        A function to call with the bytes received so far and, if known, those of the whole.
    """
    stream = stream or sys.stderr
    console = Console(file=stream)
    done = 0
    with rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(), rich.progress.DownloadColumn(), console=console,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=None)

        def show(received: int, total: int | None) -> None:
            nonlocal done
            done = received
            bar.update(task, completed=received, total=total)

        yield show
    stream.write(f"{name}: {done / 2**20:.1f} MiB received\n")
