"""The README's tables of committed runs, rewritten from these runs: python -m bench.dev.readme

A table follows a line `<!-- table: NAME -->`, where NAME is a folder of results/reference: of a run of recommenders
only it lists the models with their figures and times, of any other run the verdicts, part by part. NAME/TABLE is one
whole table of that run.
"""

import re
import sys
from pathlib import Path

from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.judge.intervals import Interval, Value
from bench.report.run_files import REFERENCE, RunFile, read_run
from bench.show.tables import Table, format_value, to_markdown

README = ROOT / "README.md"
PLACE = re.compile(r"(<!-- table: ([\w-]+)(?:/([\w-]+))? -->\n)((?:\|.*\n)*)")
BESIDE = ("note", "why")
MODELS = {"model": "model", "HR@10": "HR@10", "NDCG@10": "NDCG@10", "NDCG@10 other": "NDCG@10, seen {}"}


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
    table = run.tables[name] if name else _models(run) if run.experiments == ("recommend",) else _verdicts(run)
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


def _models(run: RunFile) -> Table:
    table, datasets = run.tables["recommend"], run.tables["datasets"]
    repeats = any(row[datasets.columns.index("repeated")] for row in datasets.rows)
    rows: list[tuple[Value, ...]] = []
    for values in table.rows:
        row = dict(zip(table.columns, values, strict=True))
        seconds = row["CPU s"]
        time = "under 10" if not isinstance(seconds, float) or seconds < 10 else f"{seconds:,.0f}"
        rows.append((*(_cut(row[name]) for name in MODELS), row["seeds"], time))
    heads = tuple(name.format("filtered" if repeats else "kept") for name in MODELS.values())
    return Table("models", "", (*heads, "seeds", "CPU s"), tuple(rows))


def _cut(value: Value) -> Value:
    """A share with three decimals."""
    if not isinstance(value, Interval):
        return value
    bounds = f" [{value.low:.3f}, {value.high:.3f}]" if value.bounded else ""
    return f"{value.estimate:.3f}{bounds}"


def main(path: Path = README) -> None:
    """Rewrite the README's tables.

    Args:
        path: the README.
    """
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
