"""Verdicts and the register as tables."""

from collections.abc import Iterable, Mapping

from bench.judge.claims import Claim, Gate, Verdict
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


def questions_table(verdicts: Iterable[Verdict], gates: Mapping[str, Gate]) -> Table:
    """What the claims on the graph come down to: three questions, and what this run says of each.

    Args:
        verdicts: one per claim.
        gates: by name, what the run had to show first.
    """
    by_claim = {verdict.claim.id: verdict for verdict in verdicts}
    can = gates.get("positive_control")
    rows: list[tuple[Value, ...]] = [(
        "Can a correct graph help?", "not run" if can is None else "yes" if can.passed else "not seen",
        "" if can is None else can.detail,
    )]  # fmt: skip
    for asked, claim in (
        ("Does the discovery block deliver one?", "discovery-recovers"),
        ("Is there a gain on real data?", "booster-matters"),
    ):
        verdict = by_claim[claim]
        said = "; ".join(f"{f.part}: {format_value(f.estimate)}, {f.outcome}" for f in verdict.findings)
        rows.append((asked, verdict.judgement, f"{claim}: {said or verdict.note}"))
    return Table("questions", "Three questions about the graph", ("question", "answer", "rests on"), tuple(rows))


def register_table(register: Mapping[str, Claim], rules: bool = False) -> Table:
    """The register for readers.

    Args:
        register: the claims by id.
        rules: tell how each claim is judged, and the margins with their reasons, instead of what it says.
    """
    if rules:
        all_of_them = register.values()
        judged = tuple((c.id, c.right_if, c.combine, c.rule, c.margin, c.reason or c.why_not) for c in all_of_them)
        columns = ("claim", "the paper is right if", "combine", "rule", "margin", "reason")
        return Table("rules", "How each claim is judged", columns, judged)
    rows = tuple((c.id, c.source, c.statement, c.experiment or "none yet") for c in register.values())
    return Table("claims", "The register of claims", ("claim", "source", "statement", "experiment"), rows)
