"""Could each verdict have come out otherwise? Every rule under three simulated truths, at a preset's sizes.

The statistics behind each essential finding are drawn by their own law (Student's, binomial, or of seeds and users
crossed), with the spread that a run met, and judged by the register's rules. Gates are taken to have passed. More seeds
make an interval over seeds and users narrower by as much of its variance as comes from seeds, which its degrees of
freedom tell.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.judge.bars import TRUTHS, Part
from bench.judge.claims import Claim, Finding, Judgement, Register, combine
from bench.judge.intervals import Interval, clopper_pearson, sequence_ratio

RIGHT: Mapping[str, tuple[str, ...]] = {
    "stated": ("as claimed",),
    "none": ("no effect", "not above the bar"),
    "opposite": ("opposite", "not above the bar"),
}
FOUND = "found"  # the truth is what a run found
TINY = 1e-12  # spread of what did not vary
DRAWS = 1000
STEP = 2  # worlds added at a time
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
    first: int = FEW,
    most: int = FEW,
    root: int = 0,
    draws: int = DRAWS,
) -> list[Chance]:
    """Every claim of kind test or theory under every truth.

    Args:
        register: The claims.
        findings: Those of a run, whose spread is taken.
        sizes: By what a part's units are, how many times as many there are as in that run. Default as many.
        first: How many worlds are looked at first, where they are added until a rule decides. Default 5.
        most: How many at most. Default 5.
        root: Seed; each claim and truth has a stream of its own, by its name.
        draws: Simulated runs per claim and truth.
    """
    by_claim: dict[str, list[Finding]] = {}
    for finding in findings:
        by_claim.setdefault(finding.claim, []).append(finding)
    return [
        _chance(claim, truth, by_claim.get(claim.id, []), sizes or {}, (first, most), root, draws)
        for claim in register.claims.values()
        if claim.kind != "check"
        for truth in (*TRUTHS, FOUND)
    ]


def _chance(
    claim: Claim, truth: str, findings: list[Finding], sizes: Mapping[str, float], worlds: tuple[int, int], root: int,
    draws: int,
) -> Chance:  # fmt: skip
    rng = np.random.default_rng([root, *f"{claim.id} {truth}".encode()])
    by_finding = [
        _outcomes(part, found, truth, sizes, worlds, rng, draws)
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
    part: Part, found: Interval | None, truth: str, sizes: Mapping[str, float], worlds: tuple[int, int],
    rng: np.random.Generator, draws: int,
) -> list[Judgement]:  # fmt: skip
    """The outcome of one finding in every simulated run."""
    at = found.estimate if truth == FOUND and found is not None else part.truth("none" if truth == FOUND else truth)
    n = max(2, round((found.n if found else FEW) * sizes.get(part.units, 1.0)))
    n, cap = worlds if part.interval == "sequence" else (n, n)
    if part.interval == "share":
        hits = rng.binomial(n, min(1.0, max(0.0, at)), size=draws)
        judged = {k: part.judge(clopper_pearson(int(k), n)) for k in np.unique(hits)}
        return [judged[k] for k in hits]
    if part.interval == "crossed":
        error, freedom = _crossed(part, found, n)
        estimates = at + error * rng.normal(size=draws)
        halves = special.stdtrit(freedom, 0.975) * error * np.sqrt(rng.chisquare(freedom, size=draws) / freedom)
    else:
        most = max(n, cap) if part.interval == "sequence" else n
        values = at + _spread(part, found) * rng.normal(size=(draws, most))
        return _looks(part, values, range(n, most + 1, STEP) if most > n else (n,))
    return [part.judge(Interval(e, e - h, e + h, n)) for e, h in zip(estimates, halves, strict=True)]


def _looks(part: Part, values: NDArray[np.float64], looks: Iterable[int]) -> list[Judgement]:
    """By draw, the first outcome that is decided, as values are looked at more and more of."""
    judged: list[Judgement] = ["undecided"] * len(values)
    for n in looks:
        estimates = values[:, :n].mean(1)
        halves = special.stdtrit(n - 1, 0.975) * values[:, :n].std(1, ddof=1) / np.sqrt(n)
        halves *= sequence_ratio(n) if part.interval == "sequence" else 1.0
        for draw in [draw for draw, outcome in enumerate(judged) if outcome == "undecided"]:
            e, h = float(estimates[draw]), float(halves[draw])
            judged[draw] = part.judge(Interval(e, e - h, e + h, n))
    return judged


def _crossed(part: Part, found: Interval | None, seeds: int) -> tuple[float, float]:
    """Standard error and degrees of freedom with so many seeds, of an interval over seeds and users.

    Users are so many that their own degrees of freedom count for nothing: with a share s of the variance from n seeds,
    Satterthwaite's are (n - 1) / s².
    """
    if found is None or not found.bounded or found.n < 2:
        half = part.spread or TINY
        found = Interval(0.0, -half, half, FEW)
    error, freedom = found.student
    share, times = min(1.0, np.sqrt((found.n - 1) / freedom)), seeds / found.n
    left = share / times + 1 - share
    return max(TINY, error * np.sqrt(left)), float(freedom * (seeds - 1) / (found.n - 1) * (times * left) ** 2)


def _spread(part: Part, found: Interval | None) -> float:
    """The standard deviation of a unit, by the width of Student's interval."""
    if found is None or not found.bounded or found.n < 2:
        return part.spread or (part.sesoi or TINY)
    wide = special.stdtrit(found.n - 1, 0.975) * (sequence_ratio(found.n) if part.interval == "sequence" else 1.0)
    return float(max(TINY, found.half_width * np.sqrt(found.n) / wide))
