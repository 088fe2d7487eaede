"""Two runs side by side: verdicts, findings, the numbers of shared tables, and what they were made with.

A claim is compared if both runs were asked for its experiment and tested it. Its verdicts differ if they are not the
same word. They differ within noise if of every essential finding of both the estimate of either lies in the other's
interval, or a gate left neither anything to measure: another processor, which rounds otherwise, can do that. Runs that
were judged by different registers are not compared unless that is asked for: a verdict by another rule is another one.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import InputError
from bench.experiments import EXPERIMENTS
from bench.judge.claims import NOT_RUN, Finding, Verdict
from bench.judge.intervals import Interval, Value
from bench.report.run_files import RunFile
from bench.show.tables import Table

TOLD_APART = ("verdicts", "failures")  # tables of text, the first of which is compared finding by finding
CLOSE = 1e-9  # relative; what another machine's rounding may change of a number without an interval
DIGITS = 12  # shown of a hash
ABSENT = "not in this run"


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Args:
        tables: for readers; the first is that of the verdicts.
        compared: how many claims both runs tested.
        differing: one sentence per claim whose verdicts differ beyond noise.
        within_noise: one sentence per claim whose verdicts differ within it.
    """

    tables: tuple[Table, ...]
    compared: int
    differing: tuple[str, ...]
    within_noise: tuple[str, ...]


def compare(run: RunFile, reference: RunFile, across_registers: bool = False) -> Comparison:
    """Hold one run against another.

    Args:
        run: the run in question.
        reference: what it is compared with.
        across_registers: compare them although they were judged by different rules. Default False.

    Raises:
        InputError: their registers differ, and that was not asked for.
    """
    check_registers(run, reference, across_registers)
    rows: list[tuple[Value, ...]] = []
    beyond, within = list[str](), list[str]()
    for claim, told in {**run.by_claim, **reference.by_claim}.items():
        here, there = _verdict(run, claim), _verdict(reference, claim)
        experiment = told.claim.experiment
        asked = all(experiment in file.experiments for file in (run, reference))
        ran = NOT_RUN not in (here, there)
        word = "yes" if here == there else "within noise" if _within_noise(run, reference, claim) else "no"
        word = "not asked" if not asked else word if ran else NOT_RUN
        rows.append((claim, here, there, word))
        if asked and ran and here != there:
            sentence = f"{claim} is {here or 'not there'}, in the reference {there or 'not there'}"
            (within if word == "within noise" else beyond).append(sentence)
    compared = sum(row[-1] not in ("not asked", NOT_RUN) for row in rows)
    columns = ("claim", "run", "reference", "equal")
    note = (
        f"Verdicts are equal for {compared - len(beyond) - len(within)} of the {compared} claims that both tested. "
        "within noise: of every essential finding, each estimate lies in the other's interval. not asked: one of the "
        "two was asked for other experiments than the one that tests this claim. not run: one of the two did not test "
        "it, and there is nothing to compare."
    )
    verdicts = Table("compared_verdicts", f"Verdicts of {run.path} and {reference.path}", columns, tuple(rows), note)
    tables = (
        verdicts, _findings(run, reference), _numbers(run, reference), _times(run, reference),
        _made_with(run, reference),
    )  # fmt: skip
    return Comparison(tables, compared, tuple(beyond), tuple(within))


def check_registers(run: RunFile, reference: RunFile, across_registers: bool) -> None:
    """Refuse to compare runs that were judged by different rules.

    Args:
        run: the run in question.
        reference: what it is compared with.
        across_registers: do not refuse.

    Raises:
        InputError: their registers differ.
    """
    ours, theirs = (file.register.sha256[:DIGITS] for file in (run, reference))
    if ours != theirs and not across_registers:
        raise InputError(
            f"{run.path} was judged by register {ours}, {reference.path} by {theirs}; judge the records of one anew "
            "(`python cli.py judge FOLDER`), or compare them all the same with --across-registers"
        )


def _within_noise(run: RunFile, reference: RunFile, claim: str) -> bool:
    """Whether the findings that decide a claim differ by no more than their own intervals."""
    if not (claim in run.by_claim and claim in reference.by_claim):
        return False
    here, there = (_deciding(file.by_claim[claim]) for file in (run, reference))
    return bool(here) and here.keys() == there.keys() and all(
        here[title] is there[title] is None
        or (_lies_in(here[title], there[title]) and _lies_in(there[title], here[title]))
        for title in here
    )  # fmt: skip


def _deciding(verdict: Verdict) -> Mapping[str, Interval | None]:
    return {f.title: f.estimate for f in verdict.findings if verdict.claim.parts[f.part].essential}


def _verdict(run: RunFile, claim: str) -> str | None:
    return run.by_claim[claim].judgement if claim in run.by_claim else None


# Findings


def _findings(run: RunFile, reference: RunFile) -> Table:
    """One row per part of a claim, of either run."""
    rows: list[tuple[Value, ...]] = []
    for claim in dict.fromkeys((*run.by_claim, *reference.by_claim)):
        here, there = _parts(run.by_claim.get(claim)), _parts(reference.by_claim.get(claim))
        rows += [
            (claim, part, *_pair(here.get(part), there.get(part), run.seed != reference.seed))
            for part in dict.fromkeys((*here, *there))
        ]
    columns = (
        "claim", "part", "outcome", "in the reference", "estimate [interval]", "of the reference",
        "inside the reference's", "reference's inside", "difference may be 0",
    )  # fmt: skip
    seeds = (
        "difference may be 0: |difference of the estimates| <= the half-widths in quadrature, of each interval the "
        "half that faces the other estimate; this assumes independent runs and the same level, and says nothing (–) "
        "where levels differ or a half is unbounded."
        if run.seed != reference.seed
        else f"Both runs have seed {run.seed} and so may share draws: no test of the difference as of independent runs."
    )
    note = (
        "inside the reference's: the run's estimate lies in the reference's interval, ends included; reference's "
        "inside: the other way round. An estimate without an interval is shown and compared with none (–). "
        f"{seeds}{_sizes(run, reference)}"
    )
    return Table("compared_findings", "Findings side by side", columns, tuple(rows), note)


def _parts(verdict: Verdict | None) -> Mapping[str, Finding]:
    return {finding.title: finding for finding in verdict.findings} if verdict is not None else {}


def _pair(here: Finding | None, there: Finding | None, independent: bool) -> tuple[Value, ...]:
    a, b = (finding.estimate if finding is not None else None for finding in (here, there))
    outcomes = (finding.outcome if finding is not None else ABSENT for finding in (here, there))
    may_be_zero = compatible(a, b) if independent else None
    return (*outcomes, a, b, _word(_lies_in(a, b)), _word(_lies_in(b, a)), _word(may_be_zero))


def _word(told: bool | None) -> str | None:
    return None if told is None else "yes" if told else "no"


def _lies_in(value: Value, interval: Value) -> bool | None:
    """Whether an interval's estimate lies in another interval; None where either is no interval."""
    if not (isinstance(value, Interval) and isinstance(interval, Interval)):
        return None
    return not interval.excludes(value.estimate)


def compatible(a: Value, b: Value) -> bool | None:
    """Whether two independent estimates differ by no more than their half-widths in quadrature.

    Of each interval the half that faces the other estimate counts (Zou & Donner 2008), since many are not symmetric.

    Args:
        a: the estimate of one run.
        b: the estimate of the other.

    Returns:
        None if either is no interval, their levels differ, or one of these halves is infinite.
    """
    if not (isinstance(a, Interval) and isinstance(b, Interval)) or a.level != b.level:
        return None
    low, high = sorted((a, b), key=lambda interval: (interval.estimate, interval.low, interval.high))
    allowed = math.hypot(high.estimate - high.low, low.high - low.estimate)
    return high.estimate - low.estimate <= allowed if math.isfinite(allowed) else None


# The numbers of tables


def _numbers(run: RunFile, reference: RunFile) -> Table:
    """One row per table of either run: how many of its values agree."""
    rows: list[tuple[Value, ...]] = []
    for name in dict.fromkeys((*run.tables, *reference.tables)):
        if name not in TOLD_APART:
            counts = count_values(run.tables.get(name), reference.tables.get(name))
            rows.append((name, *(counts[kind] for kind in KINDS)))
    note = (
        "Rows are matched by their first column and those further ones that tell rows apart, columns by name. "
        "Intervals agree where the estimate of either lies in the other. Values without an interval, times among "
        f"them, are equal or other, numbers to {CLOSE:g} of their size.{_sizes(run, reference)}"
    )
    return Table("compared_tables", "Values of tables side by side", ("table", *KINDS), tuple(rows), note)


KINDS = ("agree", "differ", "no interval: equal", "other", "only in the run", "only in the reference")


def count_values(here: Table | None, there: Table | None) -> Counter[str]:
    """How many values of two tables are of each of `KINDS`; what is missing (–) in both is not counted.

    Args:
        here: the run's table; None if it has none of this name.
        there: the reference's table; None if it has none of this name.
    """
    keys = _key_columns([table for table in (here, there) if table is not None])
    ours, theirs = _by_place(here, keys), _by_place(there, keys)
    return Counter(_kind(ours.get(place), theirs.get(place)) for place in {**ours, **theirs})


def _kind(a: Value, b: Value) -> str:
    agree, differ, equal, other, only_here, only_there = KINDS
    if a is None or b is None:
        return only_there if a is None else only_here
    if isinstance(a, Interval) and isinstance(b, Interval):
        return agree if _lies_in(a, b) or _lies_in(b, a) else differ
    if isinstance(a, int | float) and isinstance(b, int | float):
        return equal if math.isclose(a, b, rel_tol=CLOSE) else other
    return equal if a == b else other


def _key_columns(tables: list[Table]) -> tuple[str, ...]:
    """Of the shared columns the first, and every one that tells rows apart which those before it do not, in either.

    Their order is that of both tables, so that it does not matter which table is the first.
    """
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    shared.sort(key=lambda name: (sum(table.columns.index(name) for table in tables), name))
    keys = shared[:1]
    for name in shared[1:]:
        if any(len(set(_rows(table, [*keys, name]))) > len(set(_rows(table, keys))) for table in tables):
            keys.append(name)
    return tuple(keys)


def _rows(table: Table, names: list[str] | tuple[str, ...]) -> list[tuple[Value, ...]]:
    at = [table.columns.index(name) for name in names]
    return [tuple(row[k] for k in at) for row in table.rows]


def _by_place(table: Table | None, keys: tuple[str, ...]) -> dict[tuple[object, ...], Value]:
    """The values that are there, by row key, the row's number among those of one key, and column."""
    if table is None:
        return {}
    found: dict[tuple[object, ...], Value] = {}
    seen: Counter[tuple[Value, ...]] = Counter()
    for key, row in zip(_rows(table, keys), table.rows, strict=True):
        values = {name: value for name, value in zip(table.columns, row, strict=True) if name not in keys}
        found |= {(key, seen[key], name): value for name, value in values.items() if value is not None}
        seen[key] += 1
    return found


def _times(run: RunFile, reference: RunFile) -> Table:
    """The run's times over the reference's: of the whole, and in the median over rows of every column in seconds."""
    rows: list[tuple[Value, ...]] = []
    for name in dict.fromkeys((*run.tables, *reference.tables)):
        tables = [file.tables[name] for file in (run, reference) if name in file.tables]
        keys = _key_columns(tables) if len(tables) > 1 else ()
        ours, theirs = (_by_place(table, keys) for table in tables) if keys else ({}, {})
        ratios: dict[str, list[float]] = {}
        for place, here in ours.items():
            there, column = theirs.get(place), str(place[-1])
            if column.endswith(" s") and isinstance(here, float) and isinstance(there, float) and here > 0 < there:
                ratios.setdefault(column, []).append(here / there)
        rows += [(name, column, len(found), statistics.median(found)) for column, found in ratios.items()]
    took = [file.made.duration_s for file in (run, reference)]
    whole = [("the whole run", "duration", 1, took[0] / took[1])] if min(took) > 0 else []
    note = "The run's time over the reference's. A whole run that found records lasts less than its cells took."
    columns = ("table", "column", "rows", "ratio")
    return Table("compared_times", "Times, as ratios", columns, (*whole, *rows), note)


# What they were made with


def _made_with(run: RunFile, reference: RunFile) -> Table:
    """One row per fact that differs."""
    here, there = _facts(run), _facts(reference)
    rows = [
        (name, here.get(name), there.get(name))
        for name in dict.fromkeys((*here, *there))
        if here.get(name) != there.get(name)
    ]
    note = _sizes(run, reference).strip() if rows else "Nothing that the files tell differs."
    columns = ("what", "run", "reference")
    return Table("compared_made_with", "What the runs were made with, where it differs", columns, tuple(rows), note)


def _facts(run: RunFile) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "preset": run.preset,
        "seed": run.seed,
        "device": run.device,
        "version": run.made.version or None,
        "experiments": "all" if run.experiments == tuple(EXPERIMENTS) else ", ".join(run.experiments),
        "register": run.register.sha256[:DIGITS],
        "judging code": run.code[:DIGITS],
        "missing data": ", ".join(run.missing) or None,
        **run.environment,
    }
    for name, dataset in run.datasets.items():
        facts[name] = "there"
        for key, value in dataset.items():
            hashed = isinstance(value, str) and key in ("file_sha256", "content_hash")
            facts[f"{name}: {key}"] = str(value)[:DIGITS] if hashed else value
    return {name: str(fact) if isinstance(fact, bool) else fact for name, fact in facts.items()}


def _sizes(run: RunFile, reference: RunFile) -> str:
    if run.preset == reference.preset:
        return ""
    return f" The presets differ ({run.preset}, {reference.preset}), and with them sizes: worlds, data, training."
