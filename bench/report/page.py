"""A run as one HTML page: every verdict with what it rests on, every table and figure, what was not run and why.

The page is a file by itself: its style and pictures are in it, it loads nothing and needs no script; only CSV files are
linked, beside it. Equal folders give equal bytes.
"""

import base64
import html
import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bench.cells.files import write_file
from bench.cells.json_files import printable
from bench.errors import InputError
from bench.experiments.model.readings import DEFAULT, QUESTIONS
from bench.judge.claims import Finding, Verdict, read_register
from bench.judge.intervals import Interval
from bench.report.run_files import NAME, Part, RunFile, read_run
from bench.show.markup import Html, element, link, prose, together
from bench.show.tables import Table, format_value, to_html

REPORT = "report.html"
STYLE = Path(__file__).with_name("page.css")
PAPER = "https://arxiv.org/abs/2510.21333"
SIGNS = {
    "reproduced": "●", "partly": "◐", "contradicted": "✕", "inconclusive": "?", "not run": "○",
    "holds": "●", "fails": "✕", "unclear": "?",
}  # fmt: skip
# Nothing may be fetched and no script may run, whatever a browser finds in the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
CONTENTS = {
    "verdicts": "Verdicts", "claims": "Claims one by one", "not-run": "What was not run, and why",
    "readings": "Open readings", "failures": "Cells that failed", "parts": "Tables and figures",
    "environment": "Environment",
}  # fmt: skip
# Of the table of readings, what each question shows.
MEASURED = ("AUPRC", "NDCG@10", "change in AUPRC", "change in NDCG@10")
# Tables of the whole run, which have a section of their own.
OWN_SECTION = ("verdicts", "failures")
UNNAMED = "Of no named experiment"


def write_report(folder: Path) -> Path:
    """Make `report.html` in a run's folder and return its path.

    Raises InputError where the folder holds no run, see `bench.report.run_files`, or lacks one of its figures; StoreError
    where it cannot be written.
    """
    page = render(read_run(folder / NAME))
    write_file(folder / REPORT, page.encode())
    return folder / REPORT


def render(run: RunFile) -> str:
    """The whole page; raises InputError where the register or a figure cannot be read."""
    run = _complete(run)
    title = f"CausalRec: {run.preset}, seed {run.seed}, {run.device}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    sections = [_verdicts(run), _claims(run), _not_run(run), _readings(run), _failures(run), _parts(run)]
    page = _lines(_header(run, title), element("main", _lines(*sections, _environment(run))))
    return "<!DOCTYPE html>\n" + element("html", _lines(head, element("body", page)), lang="en") + "\n"


def _complete(run: RunFile) -> RunFile:
    """The run with the register's claims that its file does not name, and a title for every part."""
    register, why = read_register(), "this run's file does not name the claim; the register has it"
    lacking = [Verdict(claim, "not run", (), why) for name, claim in register.items() if name not in run.by_claim]
    parts = [replace(part, title=part.title or _own_title(run, part)) for part in run.parts]
    return replace(run, verdicts=(*run.verdicts, *lacking), parts=tuple(parts))


def _own_title(run: RunFile, part: Part) -> str:
    """The title within a figure's picture, else the part's name."""
    svg = _picture(run, part).decode(errors="replace") if part.kind == "figure" else ""
    titled = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    return printable(html.unescape(titled[1])) if titled else part.name


def _picture(run: RunFile, figure: Part) -> bytes:
    path = run.path.parent / "figures" / f"{figure.name}.svg"
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{run.path}: figure {figure.name!r}: {path} cannot be read ({error.strerror})") from error


def _header(run: RunFile, title: str) -> Html:
    facts = run.environment
    made = [f"Python {facts['python']}"] if facts.get("python") else []
    made += [f"torch {facts['torch']}"] if facts.get("torch") else []
    made += [str(facts[key]) for key in ("cpu", "gpu") if facts.get(key)]
    made += [f"{facts['cores']} cores"] if facts.get("cores") else []
    made += [f"commit {str(facts.get('commit') or 'unknown')[:12]}{' with changes' if facts.get('dirty') else ''}"]
    places = [element("li", link(text, f"#{place}")) for place, text in CONTENTS.items()]
    return element(
        "header",
        element("h1", title),
        element("p", "The claims of ", link("CausalRec (arXiv 2510.21333)", PAPER), f", tested in {run.cells} cells, "
                f"{run.failed} of which failed."),
        element("p", ", ".join(made), class_="quiet"),
        element("nav", element("ul", *places), aria_label="Contents"),
    )  # fmt: skip


def _verdicts(run: RunFile) -> Html:
    heads = ("claim", "verdict", "statement", "holds", "fails", "unclear")
    rows = [element("tr", *(element("th", head, scope="col") for head in heads))]
    for verdict in run.verdicts:
        outcomes = [finding.outcome for finding in verdict.findings]
        counts = [str(outcomes.count(outcome)) if outcomes else "" for outcome in ("holds", "fails", "unclear")]
        rows.append(
            element(
                "tr",
                element("th", link(verdict.claim.id, f"#{_anchor(verdict)}"), scope="row"),
                element("td", _badge(verdict.judgement)),
                element("td", verdict.claim.statement, class_="text"),
                *(element("td", count, class_="number") for count in counts),
            )
        )
    table = element("table", element("thead", rows[0]), element("tbody", _lines(*rows[1:])))
    whole = _find(run, "verdicts")
    note = whole.table.note if whole is not None and whole.table is not None else ""
    read = "holds, fails and unclear count the parts of a claim; each claim leads to its own section."
    said = [element("p", prose(text), class_="note") for text in (read, note) if text]
    return _section("verdicts", _scroll(table, CONTENTS["verdicts"]), *said, *([_files([whole])] if whole else []))


def _claims(run: RunFile) -> Html:
    told = "What remakes a claim also takes the options that this run was given, such as `--data-dir` or `--dataset`."
    return _section("claims", element("p", prose(told)), *(_claim(run, verdict) for verdict in run.verdicts))


def _claim(run: RunFile, verdict: Verdict) -> Html:
    claim = verdict.claim
    facts: list[tuple[str, Html]] = [("source", together(claim.source)), ("rule", prose(claim.rule))]
    if claim.margin is not None:
        facts.append(("margin", together(format_value(claim.margin))))
    if verdict.note:
        facts.append(("why not" if verdict.judgement == "not run" else "left out", prose(verdict.note)))
    if verdict.why:
        facts.append(("why", prose(verdict.why)))
    if claim.experiment:
        facts.append(("remake", element("code", _command(run, claim.experiment))))
        rests = [part for part in run.parts if part.experiment == claim.experiment]
        facts.append(("see", _files(rests) if rests else together("no table or figure here is said to be of it")))
    else:
        facts.append(("remake", together("no experiment of this version tests it")))
    listed = [together(element("dt", name), element("dd", told)) for name, told in facts]
    return element(
        "section",
        element("h3", element("code", claim.id), " ", _badge(verdict.judgement)),
        element("p", claim.statement, class_="statement"),
        *([_findings(claim.id, verdict.findings)] if verdict.findings else []),
        element("dl", _lines(*listed)),
        element("p", link("back to the verdicts", "#verdicts"), class_="back"),
        id=_anchor(verdict),
    )


def _findings(claim: str, findings: tuple[Finding, ...]) -> Html:
    heads = ("part", "outcome", "estimate [interval]", "level", "rests on")
    rows = [element("tr", *(element("th", head, scope="col") for head in heads))]
    for found in findings:
        level = f"{100 * found.estimate.level:.4g} %" if isinstance(found.estimate, Interval) else ""
        rows.append(
            element(
                "tr",
                element("th", found.part, scope="row", class_="text"),
                element("td", _badge(found.outcome)),
                element("td", format_value(found.estimate), class_="number"),
                element("td", level, class_="number"),
                element("td", found.detail, class_="text"),
            )
        )
    table = element("table", element("thead", rows[0]), element("tbody", _lines(*rows[1:])))
    return _scroll(table, f"Findings on {claim}")


def _not_run(run: RunFile) -> Html:
    """Claims without a finding, parts left out, datasets that were not there."""
    whole = [(v.claim.id, f"#{_anchor(v)}", "not run: ", v.note) for v in run.verdicts if v.judgement == "not run"]
    partly = [(v.claim.id, f"#{_anchor(v)}", "left out: ", v.note) for v in run.verdicts if v.findings and v.note]
    listed = [element("li", link(name, place), ", ", kind, prose(why)) for name, place, kind, why in whole + partly]
    listed += [element("li", element("code", name), ", dataset: ", why) for name, why in run.missing.items()]
    told = element("ul", _lines(*listed)) if listed else element("p", "Every claim was run in full.")
    return _section("not-run", told)


def _readings(run: RunFile) -> Html:
    """A section a question: how the default answers it, and what this run measured of the other answers."""
    told = "The paper's text leaves choices open; every verdict here is on the default reading of them."
    tables = [part for part in run.parts if part.kind == "table" and part.name.startswith("readings")]
    more = "What this run measured of the others, one change at a time, is from:" if tables else (
        "This run compares no other reading."
    )  # fmt: skip
    questions = [_question(run.tables.get("readings"), *question) for question in QUESTIONS]
    return _section(
        "readings", element("p", told), element("p", more), *([_files(tables)] if tables else []), *questions
    )


def _question(table: Table | None, question: str, default: str, readings: tuple[str, ...]) -> Html:
    columns = [name for name in MEASURED if table is not None and name in table.columns]
    rows = {str(row[0]): row for row in table.rows} if table is not None and columns else {}
    there, lacking = [name for name in readings if name in rows], [name for name in readings if name not in rows]
    shown = Html()
    if table is not None and there:
        at = [table.columns.index(name) for name in columns]
        picked = tuple((name, *(rows[name][k] for k in at)) for name in (DEFAULT, *there) if name in rows)
        shown = _scroll(to_html(Table("question", "", ("reading", *columns), picked)), question)
    return element(
        "section",
        element("h3", question),
        element("p", "Default: ", default, "."),
        shown,
        *([element("p", "Not in this run's table: ", "; ".join(lacking), ".", class_="quiet")] if lacking else []),
    )


def _failures(run: RunFile) -> Html:
    table = _find(run, "failures")
    told = [_part(run, table, 3)] if table else [element("p", f"None: all {run.cells} cells ended well.")]
    if run.failed and not table:
        told = [element("p", f"{run.failed} of {run.cells} cells; this run's file does not list them.")]
    return _section("failures", *told)


def _parts(run: RunFile) -> Html:
    """Every table and figure, by experiment in the run's order; those that name none come last."""
    listed = [part for part in run.parts if not (part.kind == "table" and part.name in OWN_SECTION)]
    names = sorted(dict.fromkeys(part.experiment for part in listed), key=lambda name: name == "")
    places = [element("li", link(name or UNNAMED, f"#{_place(name)}")) for name in names]
    made = [_experiment(run, name, [part for part in listed if part.experiment == name]) for name in names]
    return _section("parts", element("nav", element("ul", *places), aria_label=CONTENTS["parts"]), *made)


def _experiment(run: RunFile, name: str, parts: list[Part]) -> Html:
    tests = [v for v in run.verdicts if name and v.claim.experiment == name]
    claims = [together(link(v.claim.id, f"#{_anchor(v)}"), " ", _badge(v.judgement)) for v in tests]
    filed = [part for part in parts if part.kind == "detail"]
    return element(
        "section",
        element("h3", element("code", name) if name else UNNAMED),
        *([element("p", "Tests ", together(*claims, between=", "), ".")] if claims else []),
        *([element("p", element("code", _command(run, name)), class_="quiet")] if name else []),
        *(_part(run, part, 4) for part in parts if part.kind != "detail"),
        *([element("p", "As files only:"), _files(filed)] if filed else []),
        id=_place(name),
    )


def _part(run: RunFile, part: Part, level: int) -> Html:
    """A table or a figure under its title, with the way to its CSV."""
    head = element(f"h{level}", part.title)
    csv = element("p", link("CSV", part.csv), class_="back") if part.csv else Html()
    if part.table is None:
        source = "data:image/svg+xml;base64," + base64.b64encode(_picture(run, part)).decode()
        picture = element("img", src=source, alt=part.title)
        return element("section", head, _scroll(picture, part.title), csv, id=_id(part))
    note = element("p", prose(part.table.note), class_="note") if part.table.note else Html()
    return element("section", head, _scroll(to_html(part.table), part.title), note, csv, id=_id(part))


def _environment(run: RunFile) -> Html:
    words = {True: "yes", False: "no"}
    rows = tuple((key, words[fact] if isinstance(fact, bool) else fact) for key, fact in run.environment.items())
    table = to_html(Table("environment", "", ("what", "is"), rows))
    return _section("environment", _scroll(table, CONTENTS["environment"]))


def _files(parts: Iterable[Part]) -> Html:
    """Ways to tables and figures of the page and to their CSV."""
    items = []
    for part in parts:
        here = part.title if part.kind == "detail" or part.name == "verdicts" else link(part.title, f"#{_id(part)}")
        csv = together(" (", link("CSV", part.csv), ")") if part.csv else ""
        items.append(element("li", "figure: " if part.kind == "figure" else "", here, csv))
    return element("ul", _lines(*items), class_="files")


def _command(run: RunFile, experiment: str) -> str:
    return shlex.join(["python", "cli.py", "run", experiment, "--preset", run.preset, "--seed", str(run.seed)])


def _badge(word: str) -> Html:
    sign = element("span", SIGNS[word], aria_hidden="true")
    return element("span", sign, f" {word}", class_=f"badge {word.replace(' ', '-')}")


def _find(run: RunFile, name: str) -> Part | None:
    return next((part for part in run.parts if part.kind == "table" and part.name == name), None)


def _id(part: Part) -> str:
    return f"{part.kind}-{part.name}"


def _anchor(verdict: Verdict) -> str:
    return f"claim-{verdict.claim.id}"


def _place(experiment: str) -> str:
    return f"experiment-{experiment}" if experiment else "unnamed"


def _section(place: str, *content: str) -> Html:
    return element("section", element("h2", CONTENTS[place]), _lines(*content), id=place)


def _scroll(content: Html, label: str) -> Html:
    """A box of its own in which a wide table or picture scrolls, also by keyboard."""
    return element("div", content, class_="scroll", tabindex="0", role="group", aria_label=label)


def _lines(*content: str) -> Html:
    return together(*content, between="\n")
