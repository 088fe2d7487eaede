"""What an experiment is: the cells it plans, and what it reads off their results."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.cells.unit import Cell
from bench.judge.claims import Finding, Gate, Register, read_register
from bench.judge.intervals import Interval, Value
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.show.figures import Figure, Panel, make_series
from bench.show.tables import Table

Results: TypeAlias = list[Result]
Row: TypeAlias = tuple[Value, ...]
Rows: TypeAlias = list[Row]
STEP = 2  # worlds added at a time
ARROW = "arrow from cause to effect, wider and darker by weight"
Points: TypeAlias = Iterable[tuple[float, Interval | None]]


def _nothing(*_: object) -> list[Any]:
    return []


def _no_words(*_: object) -> dict[str, str]:
    return {}


def _no_gates(*_: object) -> dict[str, Gate]:
    return {}


@dataclass(frozen=True)
class Experiment:
    """An experiment by its parts.

    The functions of an experiment's file that are its parts take what is said here: the setup of the run, the results
    of the cells planned so far, of which any may have failed or be absent, and the register.

    Args:
        name: by which it is run, and which claims of the register give.
        question: what it asks, in one line.
        plan: from the setup, the cells it needs.
        tables: from setup and results, what a reader sees.
        refine: from setup and results, more cells that depend on the results of the first. Default none.
        details: from setup and results, tables that go to files only. Default none.
        figures: from setup and results, what is drawn, as data. Default none.
        findings: from setup, results and the register, what it says of the claims that name it. Default none.
        reasons: from setup and results, by claim, of its own or another experiment, why it comes out as it does, which
            judges nothing. Default none.
        gaps: from the setup, by claim, what this run leaves out. Default none.
        gates: from setup and results, by name, whether the run could have seen what the claims behind a gate say.
            Default none.
        later: what refining costs, as a share of the cells that are planned first; for the time left alone. Default 0.
    """

    name: str
    question: str
    plan: Callable[[Setup], list[Cell]]
    tables: Callable[[Setup, Results], list[Table]]
    refine: Callable[[Setup, Results], list[Cell]] = _nothing
    details: Callable[[Setup, Results], list[Table]] = _nothing
    figures: Callable[[Setup, Results], list[Figure]] = _nothing
    findings: Callable[[Setup, Results, Register], list[Finding]] = _nothing
    reasons: Callable[[Setup, Results], dict[str, str]] = _no_words
    gaps: Callable[[Setup], dict[str, str]] = _no_words
    gates: Callable[[Setup, Results], dict[str, Gate]] = _no_gates
    later: float = 0.0

    @property
    def refines(self) -> bool:
        """Whether some of its cells depend on the results of others."""
        return self.refine is not _nothing


def worlds_planned(results: Results, cells: list[Cell]) -> int:
    """In how many worlds a setting was planned.

    Args:
        results: of an experiment's cells.
        cells: of the setting, one per world, from the first to the most that there may be.
    """
    planned = {r.cell for r in results}
    return sum(cell in planned for cell in cells)


def count_words(setup: Setup) -> str:
    """How many worlds of the sweeps a table rests on, in words.

    Args:
        setup: of the run.
    """
    return f"{setup.preset.sweep_seeds} worlds, or up to {setup.preset.most_worlds} where a claim was undecided"


def more_worlds(
    setup: Setup,
    results: Results,
    cells: Callable[[int], list[Cell]],
    findings: Callable[[Setup, Results, Register], list[Finding]],
) -> list[Cell]:
    """Cells of `STEP` more worlds while a finding that decides its claim is open and the preset's most is not met.

    Args:
        setup: of the run.
        results: of the cells planned so far.
        cells: the cells that these findings rest on in so many worlds, one setting after the other.
        findings: those of the experiment, of which those that decide their claim are asked.
    """
    most, register = setup.preset.most_worlds, read_register()
    have = worlds_planned(results, cells(most)) // max(1, len(cells(1)))
    parts = ((register.claims[f.claim].parts[f.part], f) for f in findings(setup, results, register) if not f.blocked)
    undecided = any(p.essential and f.estimate and p.judge(f.estimate) == "undecided" for p, f in parts)
    known = {r.cell for r in results}
    return [cell for cell in cells(min(have + STEP, most)) if cell not in known] if undecided else []


def table(name: str, title: str, columns: Iterable[str], rows: Iterable[Iterable[Value]], note: str = "") -> Table:
    """A table of rows of any kind.

    Args:
        name: of its files.
        title: for readers.
        columns: heads.
        rows: as many values each as there are columns.
        note: for readers, below the table.
    """
    return Table(name, title, tuple(columns), tuple(map(tuple, rows)), note)


def curves(title: str, points: Mapping[str, Points], levels: tuple[tuple[float, str], ...] = ()) -> Panel:
    """A panel with a curve per label.

    Args:
        title: of the panel.
        points: by label, each x and the interval there; None is a gap.
        levels: horizontal lines (y, label). Default none.
    """
    return Panel(title, tuple(make_series(label, at) for label, at in points.items()), levels=levels)
