"""What README and docs say of committed runs, rewritten from these runs: python -m bench.dev.readme

The lines between a marker `<!-- KIND: RUN -->` and the next empty line are written anew; RUN is a folder of
results/reference. KIND is one of:

- headline: how many claims came out how.
- claims: a row per claim, with its verdict and one sentence on what was found.
- artifact: a row per claim, with the command that remakes its verdict, the data, the minutes and what is expected.
- table: the verdicts, part by part; RUN/NAME is the whole table NAME of that run.
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from pathlib import Path
from types import MappingProxyType

from bench.cells.fingerprint import ROOT
from bench.errors import InputError
from bench.experiments import find
from bench.judge.claims import Verdict
from bench.judge.intervals import Value
from bench.report.rejudge import restored
from bench.report.run_files import REFERENCE, RunFile, read_run
from bench.show.tables import Table, format_value, to_markdown
from bench.show.verdicts import found_words

PAGES = tuple(ROOT / name for name in ("README.md", "docs/results.md", "docs/artifact.md"))
PLACE = re.compile(r"(<!-- (headline|claims|artifact|table): ([\w-]+)(?:/([\w-]+))? -->\n)((?:.+\n)*)")
BESIDE = ("note", "why")
WIDTH, WORKERS = 120, 2


def fill(text: str) -> str:
    """The text with what every marker asks for.

    Args:
        text: a page.

    Raises:
        InputError: there is no such reference run, or it lacks the table.
    """
    return PLACE.sub(lambda found: found[1] + _lines(found[2], read_run(REFERENCE / found[3]), found[4]), text)


def _lines(kind: str, run: RunFile, name: str | None) -> str:
    if kind == "headline":
        return textwrap.fill(run.headline, WIDTH, break_on_hyphens=False) + "\n"
    if name is not None and name not in run.tables:
        raise InputError(f"{run.path}: there is no table {name}; there are {', '.join(run.tables)}")
    table = run.tables[name] if name else MADE[kind](run)
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


def _claims(run: RunFile) -> Table:
    """One row per claim."""
    rows = tuple((v.claim.statement, v.claim.kind, f"**{v.judgement}**", found_words(v)) for v in run.verdicts)
    return Table("claims", "", ("the paper's claim", "kind", "verdict", "what was found"), rows)


def _artifact(run: RunFile) -> Table:
    """One row per claim; a claim behind a gate asks for the whole run, in which the gate's experiment is."""
    setup = restored(run)
    cells = {name: list(dict.fromkeys(find(name).plan(setup))) for name in run.experiments}

    def row(verdict: Verdict) -> tuple[Value, ...]:
        claim, names = verdict.claim, [verdict.claim.experiment]
        data = {cell.params.get("dataset", {}).get("name") for cell in cells[claim.experiment]} & set(setup.found)
        command = f"`python cli.py run {claim.experiment} --preset {run.preset}`"
        if claim.gates:
            names, command = list(run.experiments), f"`python cli.py reproduce --preset {run.preset}`"
        seconds = sum(cell.cost for name in names for cell in cells[name]) / WORKERS
        more = " or more" if any(find(name).refines for name in names) else ""
        expected = f"**{verdict.judgement}**: {found_words(verdict)}"
        return f"`{claim.id}`", command, ", ".join(sorted(data)) or "none", f"{ceil(seconds / 60)}{more}", expected

    columns = ("claim", "command", "real data", "minutes", "expected")
    return Table("artifact", "", columns, tuple(map(row, run.verdicts)))


MADE: Mapping[str, Callable[[RunFile], Table]] = MappingProxyType(
    {"table": _verdicts, "claims": _claims, "artifact": _artifact}
)


def main(pages: Iterable[Path] = PAGES) -> None:
    """Rewrite what pages say of committed runs.

    Args:
        pages: their files.
    """
    for page in pages:
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
