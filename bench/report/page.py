"""A run as one HTML page: every verdict with what it rests on, every table and figure, what was not run and why.

The page is one file that loads nothing: style, figures and CSV files are in it, and it is whole without its script,
which sorts tables. Equal folders give equal bytes. `page.html` is its template, beside it its style and script.
"""

import base64
import hashlib
import re
import shlex
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from bench.cells.files import write_file
from bench.errors import InputError
from bench.experiments.model.readings import DEFAULT, QUESTIONS
from bench.judge.bars import Part as Asked
from bench.judge.claims import BLOCKED, NOT_RUN, Claim, Finding, Verdict
from bench.judge.intervals import Interval
from bench.report.pictures import Bar, Picture, common_bar, inline, own_bar
from bench.report.run_files import NAME, Part, RunFile, read_run
from bench.show.console import duration
from bench.show.tables import Table, one_line
from bench.show.verdicts import estimate_words, found_words

REPORT = "report.html"
STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}") for kind in ("css", "js"))
PAPER = "https://arxiv.org/abs/2510.21333"
# The columns of the table of readings that each question shows.
MEASURED = ("AUPRC", "NDCG@10", "change in AUPRC", "change in NDCG@10")
# Tables and figures of the whole run, which have a section of their own.
OWN_SECTION = ("verdicts", "questions", "failures", "claims")
# Figures of one claim among several that an experiment tests; the others stand at the first of them.
OF_CLAIM = {"lambda": "lambda-saturates", "false_edges": "false-edges-hurt"}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder.

    Args:
        folder: what `reproduce` or `run` wrote: run.json, tables/ and figures/.

    Returns:
        The path of the page.

    Raises:
        InputError: the folder holds no run (see `bench.report.run_files`) or lacks one of its figures.
        StoreError: the folder cannot be written.
    """
    page = render(read_run(folder / NAME))
    write_file(folder / REPORT, page.encode())
    return folder / REPORT


def render(run: RunFile) -> str:
    """The whole page.

    Args:
        run: the run; its figures are read from its folder.

    Raises:
        InputError: a figure cannot be read.
    """
    pictures = {part.name: _picture(run, part) for part in run.parts if part.kind == "figure"}
    titled = (replace(p, title=p.title or (p.name in pictures and pictures[p.name].title) or p.name) for p in run.parts)
    run = replace(run, parts=tuple(titled))
    listed = [part for part in run.parts if part.kind == "detail" or part.name not in OWN_SECTION]
    own = {part.name: part for part in run.parts if part.kind == "table"}
    figures_at = _figures_at(run)
    script = SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        run=run,
        title=f"CausalRec: {run.preset}, seed {run.seed}, {run.device}",
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704  (ours, not the run's)
        script=Markup(script),  # noqa: S704  (ours, not the run's)
        script_hash=Markup(f"sha256-{digest}"),  # noqa: S704  (base64)
        paper=PAPER,
        pictures=pictures,
        data={part.csv: _data_url(run, part.csv) for part in run.parts if part.csv},
        figures_at=figures_at,
        figures_of=lambda claim: [name for name, at in figures_at.items() if at == claim],
        essential=lambda verdict: [name for name, part in verdict.claim.parts.items() if part.essential],
        claims_figure=next((p for p in run.parts if (p.kind, p.name) == ("figure", "claims")), None),
        verdicts=own.get("verdicts"),
        asked=own.get("questions"),
        failures=own.get("failures"),
        not_run=_not_run(run),
        readings=[part for part in own.values() if part.name.startswith("readings")],
        questions=[_question(run.tables.get("readings"), *question) for question in QUESTIONS],
        listed=listed,
        # In the run's order; the parts that name no experiment come last.
        experiments=sorted(dict.fromkeys(part.experiment for part in listed), key=lambda name: name == ""),
        made=_made(run),
    )


@cache
def _template() -> Template:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"prose": prose, "one_line": one_line, "quoted": shlex.quote, "estimate": estimate_words,
                          "found": found_words, "sentence": sentence, "common": _common, "own": _own}  # fmt: skip
    return templates.get_template("page.html")


def prose(text: str) -> Markup:
    """Escaped text in which what stands in `backticks` is marked as code.

    Args:
        text: any text.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  (escaped)


def sentence(text: str) -> str:
    """A text as a sentence: a capital first, one full stop last.

    Args:
        text: any text.
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _common(found: Finding, verdict: Verdict) -> Bar | None:
    return common_bar(verdict.claim.parts[found.part], None if found.blocked else found.estimate)


def _own(found: Interval | None, part: Asked) -> Bar | None:
    return own_bar(part, found)


def _figures_at(run: RunFile) -> dict[str, str]:
    """By figure, the claim whose section shows it: its own, or the first that its experiment tests."""
    tested = {verdict.claim.id: verdict.claim.experiment for verdict in reversed(run.verdicts)}
    first = {experiment: claim for claim, experiment in tested.items()}
    at = {part.name: OF_CLAIM.get(part.name, "") for part in run.parts if part.kind == "figure" and part.experiment}
    experiments = {part.name: part.experiment for part in run.parts if part.kind == "figure"}
    placed = {n: c if tested.get(c) == experiments[n] else first.get(experiments[n], "") for n, c in at.items()}
    return {name: claim for name, claim in placed.items() if claim}


def _not_run(run: RunFile) -> dict[str, list[Claim]]:
    """By reason, the claims that were left out in whole or in part; why one is not testable stands with it."""
    told: dict[str, list[Claim]] = {}
    for verdict in run.verdicts:
        if verdict.note and verdict.judgement != BLOCKED:
            whole = "not run: " if verdict.judgement == NOT_RUN else ""
            told.setdefault(f"{whole}{verdict.note}", []).append(verdict.claim)
    return told


def _picture(run: RunFile, figure: Part) -> Picture:
    path = run.path.parent / "figures" / f"{figure.name}.svg"
    try:
        return inline(path.read_bytes(), figure.name)
    except OSError as error:
        raise InputError(f"{run.path}: figure {figure.name!r}: {path} cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{run.path}: figure {figure.name!r}: {path} {error}") from error


def _data_url(run: RunFile, csv: str) -> str:
    """A file of the run as a link that holds it."""
    path = run.path.parent / csv
    try:
        return f"data:text/csv;charset=utf-8,{quote(path.read_bytes(), safe=' ,;:/?@=+$!*()[]|')}"
    except OSError as error:
        raise InputError(f"{run.path}: {path} cannot be read ({error.strerror})") from error


def _made(run: RunFile) -> Table:
    """Command, version, date and duration of the run, and what it ran on."""
    made, words = run.made, {True: "yes", False: "no"}
    facts = {
        "command": made.command or None,
        "version": made.version or None,
        "started": made.started or None,
        "took": duration(made.duration_s) if made.duration_s else None,
        "register": run.register.sha256[:12] or None,
    } | {key: words[fact] if isinstance(fact, bool) else fact for key, fact in run.environment.items()}
    return Table("made", "", ("what", "is"), tuple(facts.items()))


@dataclass(frozen=True)
class Question:
    """A choice that the paper leaves open.

    Args:
        asked: what is to be chosen.
        default: what the suite chooses.
        measured: the readings that this run measured; None if it measured none.
        lacking: the readings that it did not.
    """

    asked: str
    default: str
    measured: Table | None
    lacking: tuple[str, ...]


def _question(table: Table | None, asked: str, default: str, readings: tuple[str, ...]) -> Question:
    columns = [name for name in MEASURED if table is not None and name in table.columns]
    rows = {str(row[0]): row for row in table.rows} if table is not None and columns else {}
    measured = None
    if table is not None and any(name in rows for name in readings):
        at = [table.columns.index(name) for name in columns]
        picked = tuple((name, *(rows[name][k] for k in at)) for name in (DEFAULT, *readings) if name in rows)
        measured = Table("question", "", ("reading", *columns), picked)
    return Question(asked, default, measured, tuple(name for name in readings if name not in rows))
