"""Verdicts and the register as tables."""

from collections.abc import Iterable, Mapping

from bench.judge.claims import Claim, Verdict
from bench.judge.intervals import Value
from bench.show.tables import Table, format_value


def verdict_table(verdicts: Iterable[Verdict], note: str = "") -> Table:
    """One row per part of a claim: the claim's verdict, what was measured, the interval, what it rests on.

    Args:
        verdicts: one per claim.
        note: below the table.
    """
    rows: list[tuple[Value, ...]] = []
    for verdict in verdicts:
        head: tuple[str, str] = (verdict.claim.id, verdict.judgement)
        for finding in verdict.findings:
            rows.append((*head, finding.part, finding.outcome, format_value(finding.estimate), finding.detail))
            head = ("", "")
        if not verdict.findings:
            rows.append((*head, "", "", "", verdict.note))
        elif verdict.note:
            rows.append(("", "", "left out", "", "", verdict.note))
        if verdict.why:
            rows.append(("", "", "why", "", "", verdict.why))
    columns = ("claim", "verdict", "part", "outcome", "estimate [interval]", "rests on")
    return Table("verdicts", "Verdicts on CausalRec (arXiv 2510.21333)", columns, tuple(rows), note)


def register_table(register: Mapping[str, Claim], rules: bool = False) -> Table:
    """The register for readers.

    Args:
        register: the claims by id.
        rules: tell how each claim is judged, and the margins with their reasons, instead of what it says.
    """
    if rules:
        judged = tuple((c.id, c.combine, c.rule, c.margin, c.reason or c.why_not) for c in register.values())
        return Table("rules", "How each claim is judged", ("claim", "combine", "rule", "margin", "reason"), judged)
    rows = tuple((c.id, c.source, c.statement, c.experiment or "none yet") for c in register.values())
    return Table("claims", "The register of claims", ("claim", "source", "statement", "experiment"), rows)
