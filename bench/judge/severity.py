"""Could each verdict have come out otherwise? Every rule under three simulated truths, at a preset's sizes.

The statistics behind each essential finding are drawn by their own law (Student's, binomial, or of seeds and users
crossed), with the spread that a run met, and judged by the register's rules. Gates are taken to have passed. Of seeds
and users crossed, users make most of the width, so that it stays as met whatever the number of seeds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.cells.streams import generator
from bench.judge.bars import TRUTHS, Part
from bench.judge.claims import Claim, Finding, Judgement, Register, combine
from bench.judge.intervals import Interval, clopper_pearson

RIGHT: Mapping[str, tuple[str, ...]] = {
    "stated": ("as claimed",),
    "none": ("no effect", "not above the bar"),
    "opposite": ("opposite", "not above the bar"),
}
FOUND = "found"  # the truth is what a run found
TINY = 1e-12  # spread of what did not vary
DRAWS = 1000
FEW = 5  # units of a finding that the run does not have
NONE: list[Interval | None] = [None]


@dataclass(frozen=True)
class Chance:
    """What comes out for a claim under a truth.

    Args:
        claim: The claim's id.
        truth: One of `TRUTHS`, or `FOUND`.
        outcomes: Probability by outcome, of all that the rule allows.
        right: Probability of an outcome that fits the truth; of `FOUND`, that two runs agree.
    """

    claim: str
    truth: str
    outcomes: Mapping[str, float]
    right: float


def severity(
    register: Register,
    findings: Iterable[Finding],
    sizes: Mapping[str, float] | None = None,
    root: int = 0,
    draws: int = DRAWS,
) -> list[Chance]:
    """Every claim of kind test or theory under every truth.

    Args:
        register: The claims.
        findings: Those of a run, whose spread is taken.
        sizes: By what a part's units are, how many times as many there are as in that run. Default as many.
        root: Seed.
        draws: Simulated runs per claim and truth.
    """
    by_claim: dict[str, list[Finding]] = {}
    for finding in findings:
        by_claim.setdefault(finding.claim, []).append(finding)
    return [
        _chance(claim, truth, by_claim.get(claim.id, []), sizes or {}, root, draws)
        for claim in register.claims.values()
        if claim.kind != "check"
        for truth in (*TRUTHS, FOUND)
    ]


def _chance(
    claim: Claim, truth: str, findings: list[Finding], sizes: Mapping[str, float], root: int, draws: int
) -> Chance:
    rng = generator(root=root, stream="severity", claim=claim.id, truth=truth)
    by_finding = [
        _outcomes(part, found, truth, sizes, rng, draws)
        for name, part in claim.parts.items() if part.essential
        for found in [f.estimate for f in findings if f.part == name and f.estimate is not None] or NONE
    ]  # fmt: skip
    counts = Counter(combine(claim, each) for each in zip(*by_finding, strict=True))
    allowed = dict.fromkeys(o for part in claim.parts.values() if part.essential for o in part.reachable)
    outcomes: dict[str, float] = {outcome: counts[outcome] / draws for outcome in allowed}
    if truth == FOUND:
        right = sum(p * p for p in outcomes.values())
    else:
        right = sum(outcomes.get(outcome, 0.0) for outcome in RIGHT[truth])
    return Chance(claim.id, truth, outcomes, right)


def _outcomes(
    part: Part, found: Interval | None, truth: str, sizes: Mapping[str, float], rng: np.random.Generator, draws: int
) -> list[Judgement]:
    """The outcome of one finding in every simulated run."""
    at = found.estimate if truth == FOUND and found is not None else part.truth("none" if truth == FOUND else truth)
    n = max(2, round((found.n if found else FEW) * sizes.get(part.units, 1.0)))
    if part.interval == "share":
        hits = rng.binomial(n, min(1.0, max(0.0, at)), size=draws)
        judged = {k: part.judge(clopper_pearson(int(k), n)) for k in np.unique(hits)}
        return [judged[k] for k in hits]
    if part.interval == "crossed":
        half = found.half_width if found and 0 < found.half_width < np.inf else part.spread or TINY
        estimates, halves = at + half / special.ndtri(0.975) * rng.normal(size=draws), np.full(draws, half)
    else:
        spread = _spread(part, found)
        estimates = at + spread / np.sqrt(n) * rng.normal(size=draws)
        deviations = spread * np.sqrt(rng.chisquare(n - 1, size=draws) / (n - 1))
        halves = special.stdtrit(n - 1, 0.975) * deviations / np.sqrt(n)
    return [part.judge(Interval(e, e - h, e + h, n)) for e, h in zip(estimates, halves, strict=True)]


def _spread(part: Part, found: Interval | None) -> float:
    """The standard deviation of a unit, by the width of Student's interval."""
    if found is None or not found.bounded or found.n < 2:
        return part.spread or (part.sesoi or TINY)
    return float(max(TINY, found.half_width * np.sqrt(found.n) / special.stdtrit(found.n - 1, 0.975)))
