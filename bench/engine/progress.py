"""Progress of a run on stderr: a bar in a terminal, a line now and then in a pipe."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Self, TextIO

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from bench.cells.unit import Cell
from bench.engine.run import Event
from bench.show.console import duration

LINE_EVERY_SECONDS = 30.0  # in a pipe


class Progress:
    """Counts the events of a run and estimates the time left; a context manager, and the `on_event` of `run_cells`.

    The time left is the expected cost of the cells that have not ended and of those to be planned later, scaled by what
    ended cells took against their expected cost, and divided by the number of workers.

    Args:
        cells: the first cells of the run; equal ones are counted once.
        jobs: number of workers.
        later: expected cost of the cells that are planned on the results of others, in seconds. Default none.
        stream: where to write; stderr by default.
        clock: returns the current time in seconds.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        jobs: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        later: float = 0.0,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._left: dict[str, float] = {}
        self._known: set[str] = set()
        self._total = 0
        self._jobs = jobs
        self._counts: Counter[str] = Counter()
        self._expected = self._took = self._cost_left = 0.0
        self._later = later
        self._running: dict[str, str] = {}
        self._last_line = clock()
        console = Console(file=self._stream)
        columns = SpinnerColumn(), TimeElapsedColumn(), BarColumn(12), TextColumn("{task.description}", markup=False)
        in_pipe = not console.is_interactive
        self._bar = rich.progress.Progress(*columns, console=console, transient=True, disable=in_pipe)
        self._task = self._bar.add_task("")
        self.add(cells)

    def add(self, cells: Iterable[Cell]) -> None:
        """Count further cells, which were planned on the results of others.

        Args:
            cells: as they were planned; those known already are left out.
        """
        new = {cell.key: cell.cost for cell in cells if cell.key not in self._known}
        self._known |= new.keys()
        if self._total:
            self._later = max(0.0, self._later - sum(new.values()))
        self._left |= new
        self._total += len(new)
        self._cost_left = sum(self._left.values())
        self._bar.update(self._task, total=self._total, description=str(self))

    def complete(self) -> None:
        """No further cell will be planned."""
        self._later = 0.0

    def __enter__(self) -> Self:
        if not self._bar.disable:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._bar.disable:  # Rich before 14 writes an empty line when a disabled one stops
            self._bar.stop()
        if self._total:
            self._write_line(str(self))

    def __call__(self, event: Event) -> None:
        """Count one event and show it.

        Args:
            event: what `run_cells` says of a cell.
        """
        if event.status == "started":
            self._running[event.cell.key] = event.cell.label or event.cell.runner
            self._bar.update(self._task, description=str(self))
            return
        self._running.pop(event.cell.key, None)
        expected = self._left.pop(event.cell.key, 0.0)
        self._cost_left = self._cost_left - expected if self._left else 0.0
        if event.status == "cached":
            self._counts["cached"] += 1
        else:
            self._counts["done" if event.status == "ok" else "failed"] += 1
            self._expected += expected
            self._took += event.wall_s
        if event.message:
            name = event.cell.label or event.cell.runner
            self._write_line(f"{event.status.replace('_', ' ')}: {name}: {event.message}")
        if not self._bar.disable:
            self._bar.update(self._task, completed=self._total - len(self._left), description=str(self))
        elif self._clock() - self._last_line >= LINE_EVERY_SECONDS:
            self._write_line(str(self))

    @property
    def seconds_left(self) -> float:
        """Expected seconds until the last cell ends."""
        scale = self._took / self._expected if self._took > 0 else 1.0
        return (self._cost_left + self._later) * scale / self._jobs

    def __str__(self) -> str:
        ended = self._total - len(self._left)
        parts = [f"{ended}/{self._total} cells", *(f"{count} {what}" for what, count in self._counts.items())]
        parts += [f"about {duration(self.seconds_left)} left"] if self._left else []
        now = next(reversed(self._running.values()), "")
        return ", ".join(parts) + (f"; now {now}" if now else "")

    def _write_line(self, line: str) -> None:
        if self._bar.live.is_started:
            self._bar.console.print(Text(line))
        else:
            self._stream.write(line + "\n")
            self._stream.flush()
        self._last_line = self._clock()
