"""A run as DataFrames, for notebooks."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.report.run_files import RunFile, read_run
from bench.show.tables import flat
from bench.show.verdicts import found_words


@dataclass(frozen=True, eq=False)
class Run:
    """A run that `reproduce` or `run` wrote.

    Args:
        file: its run.json, read and checked.
    """

    file: RunFile

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per claim: claim, kind, verdict, statement, and in a sentence what was found."""
        rows = [(v.claim.id, v.claim.kind, v.judgement, v.claim.statement, found_words(v)) for v in self.file.verdicts]
        return pd.DataFrame(rows, columns=["claim", "kind", "verdict", "statement", "found"])

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables."""
        return tuple(self.file.tables)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table; an interval takes three columns: estimate, low, high.

        Args:
            name: of the table.

        Raises:
            InputError: there is no such table; the message lists those there are.
        """
        if name not in self.file.tables:
            raise InputError(f"{self.file.path} has no table {name!r}; choose one of {', '.join(self.tables)}")
        columns, rows = flat(self.file.tables[name])
        return pd.DataFrame(rows, columns=columns)


def load_run(folder: str | PathLike[str]) -> Run:
    """Read a run.

    Args:
        folder: that `reproduce` or `run` wrote.

    Raises:
        InputError: there is no run, or its file is damaged.
    """
    return Run(read_run(Path(folder)))
