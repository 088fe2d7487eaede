"""Progress of a run on stderr."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.cells.unit import Cell
from bench.engine.run import Event
from bench.show.console import duration

LINE_EVERY_SECONDS = 30.0


class Progress:
    """Counts events of a run and estimates the time left; use as context manager and as `on_event`.

    The time left is the expected cost of the cells not yet ended, scaled by what ended cells took against their
    expected costs, over `jobs` workers.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        jobs: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._left = {cell.key: cell.cost for cell in cells}
        self._total = len(self._left)
        self._jobs = jobs
        self._counts: Counter[str] = Counter()
        self._expected = self._took = 0.0
        self._cost_left = sum(self._left.values())
        self._last_line = clock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        console = Console(file=self._stream)
        if console.is_terminal:
            self._live = Live(Text(str(self)), console=console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self._total:
            self._write_line(str(self))

    def __call__(self, event: Event) -> None:
        """Count one event and show it."""
        if event.status == "started":
            return
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
        if self._live is not None:
            self._live.update(Text(str(self)))
        elif self._clock() - self._last_line >= LINE_EVERY_SECONDS:
            self._write_line(str(self))

    @property
    def seconds_left(self) -> float:
        """Expected seconds until the last cell ends."""
        scale = self._took / self._expected if self._took > 0 else 1.0
        return self._cost_left * scale / self._jobs

    def __str__(self) -> str:
        ended = self._total - len(self._left)
        parts = [f"{ended}/{self._total} cells", *(f"{count} {what}" for what, count in self._counts.items())]
        return ", ".join(parts + ([f"about {duration(self.seconds_left)} left"] if self._left else []))

    def _write_line(self, line: str) -> None:
        if self._live is not None and self._live.is_started:
            self._live.console.print(Text(line))
        else:
            self._stream.write(line + "\n")
            self._stream.flush()
        self._last_line = self._clock()
