"""Unequal noise variances: recovery against the variance ratio, by profile, and on standardised data.

A large noise variance also makes sampling error large, whoever orders the variables: the known-order oracle meets it
too. What unequal variances do to identification is therefore the SHD beyond the oracle's on the same data, and the
SHD of EqVar on the exact covariance, where nothing is sampled.
"""

from typing import Any

import numpy as np

from bench.cell import Cell
from bench.claims import Finding, Margins, Outcome
from bench.experiments.recovery import plan_cell
from bench.learners import title
from bench.plan import Result, Setup, select
from bench.statistics import Interval, clopper_pearson, t_interval
from bench.tables import Table, Value

LEARNERS = ("eqvar", "notears", "variance_sort", "oracle")
PROFILES = ("random", "rising", "falling")
SAMPLES = 1000
STANDARDISED = {"kind": "standardised"}


def plan(setup: Setup) -> list[Cell]:
    """ER2 graphs at one size: every profile and ratio (a ratio of 1 is the equal profile), and standardised data."""
    s = setup.preset.structure
    changes: list[dict[str, Any]] = [{"profile": "equal", "violation": STANDARDISED}]
    for ratio in s.ratios:
        profiles = ("equal",) if ratio == 1 else PROFILES
        changes += [{"profile": profile, "ratio": ratio} for profile in profiles]
    sampled = [plan_cell(setup, name, "er", 2, s.stress_nodes, SAMPLES, **c) for c in changes for name in LEARNERS]
    return sampled + [plan_cell(setup, "eqvar", "er", 2, s.stress_nodes, None, **c) for c in changes]


def _curve(
    setup: Setup, results: list[Result], learner: str, profile: str, samples: int | None = SAMPLES
) -> list[Result]:
    """The cells of one learner and profile by rising ratio, the equal profile first."""
    cells = []
    for ratio in setup.preset.structure.ratios:
        name = "equal" if ratio == 1 else profile
        cells += select(results, learner=learner, profile=name, ratio=ratio, violation=None, samples=samples)
    return cells


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Mean SHD by learner and profile against the ratio, and the ratio at which exact recovery drops under a half."""
    s = setup.preset.structure
    rows: list[tuple[Value, ...]] = []
    for learner, samples in (*((learner, SAMPLES) for learner in LEARNERS), ("eqvar", None)):
        head = title(learner) if samples else f"{title(learner)}, exact covariance"
        for profile in PROFILES:
            cells = {r.params["ratio"]: r for r in _curve(setup, results, learner, profile, samples)}
            means = [_mean(cells[x]) if x in cells else None for x in s.ratios]
            rows.append((head, profile, *means, half_ratio(list(cells.values()))))
        done = select(results, learner=learner, violation=STANDARDISED, samples=samples)
        if done:
            rows.append((head, "standardised", _mean(done[0]), *(None,) * (len(s.ratios) - 1), ""))
    columns = ("learner", "profile", *(f"ratio {x:g}" for x in s.ratios), "exact recovery under 1/2 from")
    note = (
        f"Mean SHD [95 % interval], ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and "
        "weights over ratios and profiles. Standardised data stand under ratio 1. The oracle knows the order: what "
        "it misses is sampling error at the fixed threshold of 0.3, not a failure to identify."
    )
    return [Table("variance", "When noise variances differ", columns, tuple(rows), note)]


def _mean(r: Result) -> Interval:
    return t_interval(r.arrays["shd"]).within(0.0, np.inf)


def half_ratio(curve: list[Result]) -> str:
    """The least ratio tried whose exact-recovery rate is under one half, with the rate; else 'none tried'."""
    for r in curve:
        rate = clopper_pearson(r.metrics["exact"], r.metrics["draws"])
        if rate.estimate < 0.5:
            return f"{r.params['ratio']:g} (rate {rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}])"
    return "none tried"


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """`unequal-variance-breaks`: per draw the slope, on log2 of the ratio, of the SHD beyond the oracle's."""
    claim, found = "unequal-variance-breaks", list[Finding]()
    for learner in ("eqvar", "notears"):
        for profile in PROFILES:
            curve, oracle = (_curve(setup, results, name, profile) for name in (learner, "oracle"))
            ratios = [r.params["ratio"] for r in curve]
            if len(curve) < 2 or ratios != [r.params["ratio"] for r in oracle]:
                continue
            x = np.log2(ratios)
            excess = np.stack([a.arrays["shd"] - b.arrays["shd"] for a, b in zip(curve, oracle, strict=True)])
            slope = t_interval((x - x.mean()) @ excess.astype(float) / ((x - x.mean()) ** 2).sum())
            below = slope.below(margins.of(claim))
            outcome: Outcome = "holds" if slope.above(0) else "fails" if below else "unclear"
            detail = (
                f"SHD beyond the oracle's, a doubling of the ratio, {slope.n} draws; at ratio {ratios[-1]:g} "
                f"{excess[-1].mean():.1f} beyond; exact recovery under 1/2 from {half_ratio(curve)}"
            )
            found.append(Finding(claim, f"{title(learner)}, {profile}", outcome, slope, detail))
    return found
