"""All claims on one scale: 0 is the least that counts as met, 1 what the paper says."""

import math
from collections.abc import Iterable

from bench.judge.bars import Part
from bench.judge.claims import Verdict
from bench.judge.intervals import Interval
from bench.show.figures import Column, Forest

LIMITS = (-2.0, 2.0)


def on_scale(part: Part, found: Interval | None) -> Interval | None:
    """An interval from the least that counts as met, in units of the way from there to what the paper says.

    Args:
        part: what was measured.
        found: its interval, in the part's unit.

    Returns:
        None without a finite estimate, or where the paper says no more than the least.
    """
    least = part.bar if part.bar is not None else part.sesoi or 0.0
    way = abs(part.truth("stated") - least) * (1 if part.large else -1)
    if found is None or way == 0 or not math.isfinite(found.estimate):
        return None
    low, high = sorted(((found.low - least) / way, (found.high - least) / way))
    return Interval((found.estimate - least) / way, low, high, found.n, found.level)


def claims_forest(verdicts: Iterable[Verdict]) -> Forest:
    """Every finding that decides a claim, on one scale.

    Args:
        verdicts: one per claim.
    """
    rows, intervals = list[str](), list[Interval | None]()
    for verdict in verdicts:
        for finding in verdict.findings:
            part = verdict.claim.parts[finding.part]
            if part.essential:
                rows.append(f"{verdict.claim.id}: {finding.title}")
                intervals.append(on_scale(part, None if finding.blocked else finding.estimate))
    note = (
        "Every finding that decides a claim, with its interval. An interval that lies wholly right of the line meets "
        "the claim, one wholly left of it does not; 1 is what the paper says or, where it gives no figure, what the "
        "register takes it to mean. Heads of arrows lie beyond the edge. Rows without an interval could not be tested."
    )
    label = "from the least that counts as met (0) to what the paper says (1)"
    column = Column("", tuple(intervals), 0.0, LIMITS)
    return Forest("claims", "All claims on one scale", label, tuple(rows), (column,), note)
