"""A run as one HTML page: every verdict with what it rests on, every table and figure, what was not run and why.

The page is one file: its style and pictures are in it, it loads nothing and needs no script; only the CSV files beside
it are linked. Equal folders give equal bytes. `page.html` is its template, `page.css` its style.
"""

import base64
import html
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from bench.cells.files import write_file
from bench.errors import InputError
from bench.experiments.model.readings import DEFAULT, QUESTIONS
from bench.report.run_files import NAME, Part, RunFile, read_run
from bench.show.tables import Table, format_value, one_line
from bench.show.verdicts import estimate_words
from bench.text import printable

REPORT = "report.html"
STYLE = Path(__file__).with_name("page.css")
PAPER = "https://arxiv.org/abs/2510.21333"
# The columns of the table of readings that each question shows.
MEASURED = ("AUPRC", "NDCG@10", "change in AUPRC", "change in NDCG@10")
# Tables of the whole run, which have a section of their own.
OWN_SECTION = ("verdicts", "questions", "failures")


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
    run = replace(run, parts=tuple(replace(p, title=p.title or _own_title(p, pictures)) for p in run.parts))
    listed = [part for part in run.parts if part.kind != "table" or part.name not in OWN_SECTION]
    own = {part.name: part for part in run.parts if part.kind == "table"}
    words = {True: "yes", False: "no"}
    facts = tuple((key, words[fact] if isinstance(fact, bool) else fact) for key, fact in run.environment.items())
    return _template().render(
        run=run,
        title=f"CausalRec: {run.preset}, seed {run.seed}, {run.device}",
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704  (ours, not the run's)
        paper=PAPER,
        made_with=_made_with(run.environment),
        pictures={name: base64.b64encode(picture).decode() for name, picture in pictures.items()},
        verdicts=own.get("verdicts"),
        asked=own.get("questions"),
        failures=own.get("failures"),
        readings=[part for part in own.values() if part.name.startswith("readings")],
        questions=[_question(run.tables.get("readings"), *question) for question in QUESTIONS],
        listed=listed,
        # In the run's order; the parts that name no experiment come last.
        experiments=sorted(dict.fromkeys(part.experiment for part in listed), key=lambda name: name == ""),
        environment=Table("environment", "", ("what", "is"), facts),
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
    templates.filters |= {"prose": prose, "value": format_value, "one_line": one_line,
                          "quoted": shlex.quote, "estimate": estimate_words}  # fmt: skip
    return templates.get_template("page.html")


def prose(text: str) -> Markup:
    """Escaped text in which what stands in `backticks` is marked as code.

    Args:
        text: any text.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  (escaped)


def _own_title(part: Part, pictures: Mapping[str, bytes]) -> str:
    """The title within a figure's picture if it has one, otherwise the part's name."""
    svg = pictures[part.name].decode(errors="replace") if part.kind == "figure" else ""
    titled = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    return printable(html.unescape(titled[1])) if titled else part.name


def _picture(run: RunFile, figure: Part) -> bytes:
    path = run.path.parent / "figures" / f"{figure.name}.svg"
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{run.path}: figure {figure.name!r}: {path} cannot be read ({error.strerror})") from error


def _made_with(facts: Mapping[str, str | int | None]) -> str:
    made = [f"{name} {facts[key]}" for key, name in (("python", "Python"), ("torch", "torch")) if facts.get(key)]
    made += [str(facts[key]) for key in ("cpu", "gpu") if facts.get(key)]
    made += [f"{facts['cores']} cores"] if facts.get("cores") else []
    made += [f"commit {str(facts.get('commit') or 'unknown')[:12]}{' with changes' if facts.get('dirty') else ''}"]
    return ", ".join(made)


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
