"""Verdicts and the register as tables."""

from collections.abc import Iterable, Mapping
from textwrap import shorten

from bench.judge.bars import TRUTHS, Part
from bench.judge.claims import BLOCKED, NOT_RUN, Gate, Register, Verdict
from bench.judge.intervals import Interval, Value
from bench.judge.severity import FOUND, Chance
from bench.show.tables import Table, format_value

MOST = 130  # characters of a sentence in a summary; the report has all of it


def verdict_table(verdicts: Iterable[Verdict], chances: Iterable[Chance] = (), note: str = "") -> Table:
    """One row per part of a claim: the claim's verdict, what was measured, the interval, what it rests on.

    Args:
        verdicts: one per claim.
        chances: what would have come out under other truths.
        note: below the table.
    """
    right = {(chance.claim, chance.truth): chance.right for chance in chances}
    rows: list[tuple[Value, ...]] = []
    for verdict in verdicts:
        claim = verdict.claim
        tried = [truth for truth in TRUTHS if verdict.findings and (claim.id, truth) in right]
        seen = " / ".join(f"{right[claim.id, truth]:.2f}" for truth in tried)
        head: tuple[str, str, str, str] = (claim.id, claim.kind, verdict.judgement, seen)
        for f in verdict.findings:
            part = claim.parts[f.part]
            beside = "" if part.essential else " (beside)"
            measured = f"{part.measure}{', ' if f.where else ''}{f.where}{beside}"
            rests = "; ".join(filter(None, (f.blocked, f.detail)))
            rows.append((*head, measured, f.outcome, estimate_words(f.estimate, part), part.asked, rests))
            head = ("", "", "", "")
        if not verdict.findings:
            rows.append((*head, "", "", "", "", verdict.note))
        elif verdict.note:
            rows.append(("", "", "", "", "note", "", "", "", verdict.note))
        if verdict.why:
            rows.append(("", "", "", "", "why", "", "", "", verdict.why))
    columns = (
        "claim", "kind", "verdict", "right if true / none / opposite", "measured", "outcome", "estimate [interval]",
        "asked", "rests on",
    )  # fmt: skip
    return Table("verdicts", "Verdicts on CausalRec (arXiv 2510.21333)", columns, tuple(rows), note)


def estimate_words(found: Interval | None, part: Part) -> str:
    """An estimate with its unit, a share as so many of so many.

    Args:
        found: what was measured.
        part: what it is of.
    """
    if found is None:
        return format_value(None)
    if part.interval == "share":
        bounds = f"[{found.low:.2f}, {found.high:.2f}]"
        return f"{found.estimate * found.n:.0f} of {found.n} {part.units} {bounds}"
    return f"{format_value(found)} {part.unit}".strip()


def summary_table(verdicts: Iterable[Verdict], note: str) -> Table:
    """One row per claim: the claim, its verdict, and in one sentence what was found.

    Args:
        verdicts: one per claim.
        note: below the table.
    """
    told = [(v, found_words(v, asked=False)) for v in verdicts]
    rows = tuple((v.claim.id, v.judgement, shorten(said, MOST, placeholder=" …")) for v, said in told)
    return Table("summary", "Verdicts on CausalRec (arXiv 2510.21333)", ("claim", "verdict", "found"), rows, note)


def found_words(verdict: Verdict, asked: bool = True) -> str:
    """One sentence on what was found: of the part that decided, otherwise why nothing did.

    Args:
        verdict: on a claim.
        asked: say as well what was asked.
    """
    deciding = [f for f in verdict.findings if verdict.claim.parts[f.part].essential]
    told = [f for f in deciding if f.outcome == verdict.judgement and f.estimate is not None]
    if verdict.judgement in (BLOCKED, NOT_RUN) or not told:
        blocked = [f"{f.blocked}{f' ({f.where})' if f.where else ''}" for f in deciding if f.blocked]
        return blocked[0] if blocked else verdict.note
    first, part = told[0], verdict.claim.parts[told[0].part]
    where = f" ({first.where})" if first.where else ""
    bar = f", asked {part.asked}" if asked else ""
    same = f"; {len(told)} of {len(deciding)} figures say so" if len(told) < len(deciding) else ""
    return f"{part.measure}{where}: {estimate_words(first.estimate, part)}{bar}{same}"


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
        said = "; ".join(
            f"{f.title}: {estimate_words(f.estimate, verdict.claim.parts[f.part])}, {f.outcome}"
            for f in verdict.findings
        )
        rows.append((asked, verdict.judgement, f"{claim}: {said or verdict.note}"))
    return Table("questions", "Three questions about the graph", ("question", "answer", "rests on"), tuple(rows))


def register_table(register: Register, rules: bool = False) -> Table:
    """The register for readers.

    Args:
        register: all claims.
        rules: tell how each claim is judged, a row per part, instead of what it says.
    """
    claims = register.claims.values()
    if not rules:
        listed = tuple((c.id, c.kind, c.source, c.tier, c.statement, c.experiment) for c in claims)
        return Table("claims", "The register of claims", ("claim", "kind", "source", "tier", "statement", "experiment"),
                     listed)  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for claim in claims:
        head: tuple[Value, ...] = (claim.id, claim.right_if, claim.combine, ", ".join(claim.gates))
        for name, part in claim.parts.items():
            beside = name if part.essential else f"{name} (beside)"
            rows.append((*head, beside, part.measure, part.unit, part.asked, part.reason))
            head = ("",) * len(head)
        rows.append((*head, "rule", claim.rule, "", "", claim.cap))
    rows += [("gate", name, "", "", "", g.what, "", f"{g.least:g} or more" if g.least else "passed", g.reason)
             for name, g in register.gates.items()]  # fmt: skip
    columns = ("claim", "right if", "combine", "gates", "part", "measure", "unit", "asked", "reason")
    return Table("rules", "How each claim is judged", columns, tuple(rows))


def severity_table(register: Register, chances: Iterable[Chance], note: str) -> Table:
    """What comes out for each claim under each truth.

    Args:
        register: all claims.
        chances: as `bench.judge.severity.severity` returns them.
        note: below the table.
    """
    by_claim: dict[str, dict[str, Chance]] = {}
    for chance in chances:
        by_claim.setdefault(chance.claim, {})[chance.truth] = chance
    rows = tuple(
        (name, register.claims[name].kind, *(found[truth].right for truth in (*TRUTHS, FOUND)),
         "; ".join(f"{truth}: {_spread_words(found[truth])}" for truth in TRUTHS), register.claims[name].cap or None)
        for name, found in by_claim.items()
    )  # fmt: skip
    columns = (
        "claim", "kind", "right if true", "right if nothing", "right if opposite", "two runs agree", "what comes out",
        "cap",
    )  # fmt: skip
    return Table("severity", "Could each verdict have come out otherwise?", columns, rows, note)


def _spread_words(chance: Chance) -> str:
    return ", ".join(f"{outcome} {p:.2f}" for outcome, p in chance.outcomes.items() if p >= 0.005)
