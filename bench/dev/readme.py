"""The README's tables of committed runs, rewritten from these runs: python -m bench.dev.readme

A table follows a line `<!-- table: NAME -->`, where NAME is a folder of results/reference: it lists the verdicts, part
by part. NAME/TABLE is one whole table of that run.
"""

import re
import sys
from pathlib import Path

from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.judge.intervals import Value
from bench.report.run_files import REFERENCE, RunFile, read_run
from bench.show.tables import Table, format_value, to_markdown

README = ROOT / "README.md"
PLACE = re.compile(r"(<!-- table: ([\w-]+)(?:/([\w-]+))? -->\n)((?:\|.*\n)*)")
BESIDE = ("note", "why")


def fill(text: str) -> str:
    """The text with every marked table rewritten.

    Args:
        text: the README.

    Raises:
        InputError: there is no such reference run, or it lacks the table.
    """
    return PLACE.sub(lambda found: found[1] + _lines(read_run(REFERENCE / found[2]), found[3]), text)


def _lines(run: RunFile, name: str | None) -> str:
    if name is not None and name not in run.tables:
        raise InputError(f"{run.path}: there is no table {name}; there are {', '.join(run.tables)}")
    table = run.tables[name] if name else _verdicts(run)
    left = Table(table.name, table.title, table.columns, tuple(tuple(map(format_value, r)) for r in table.rows))
    return to_markdown(left).partition("\n\n")[2]


def _verdicts(run: RunFile) -> Table:
    """Every verdict with the findings that decide it, without the details; for a claim without any, why."""
    table, rows = run.tables["verdicts"], list[tuple[Value, ...]]()
    head: tuple[Value, ...] = ()
    for claim, kind, verdict, right, measured, *found, rests in table.rows:
        head = (f"`{claim}`", kind, f"**{verdict}**", right) if claim else head
        if measured not in BESIDE and not str(measured).endswith("(beside)"):
            rows.append((*head, measured or rests, *found))
            head = ("",) * len(head)
    return Table("verdicts", "", table.columns[:-1], tuple(rows))


def main(path: Path = README) -> None:
    """Rewrite the README's tables.

    Args:
        path: the README.
    """
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
