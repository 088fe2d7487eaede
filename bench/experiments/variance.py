"""Unequal noise variances: recovery against the variance ratio, by profile, and on standardised data."""

from typing import Any

import numpy as np

from bench.cell import Cell
from bench.claims import Finding, Margins, Outcome
from bench.experiments.recovery import TITLES, plan_cell
from bench.plan import Result, Setup, select
from bench.statistics import clopper_pearson, t_interval
from bench.tables import Table, Value

LEARNERS = ("eqvar", "notears", "variance_sort", "oracle")
PROFILES = ("random", "rising", "falling")
SAMPLES = 1000


def plan(setup: Setup) -> list[Cell]:
    """ER2 graphs at one size: every profile and ratio (a ratio of 1 is the equal profile), and standardised data."""
    s = setup.preset.structure
    changes: list[dict[str, Any]] = [{"profile": "equal", "standardised": True}]
    for ratio in s.ratios:
        profiles = ("equal",) if ratio == 1 else PROFILES
        changes += [{"profile": profile, "ratio": ratio} for profile in profiles]
    return [plan_cell(setup, learner, "er", 2, s.stress_nodes, SAMPLES, **c) for c in changes for learner in LEARNERS]


def _curve(setup: Setup, results: list[Result], learner: str, profile: str) -> list[Result]:
    """The cells of one learner and profile by rising ratio, the equal profile first."""
    cells = []
    for ratio in setup.preset.structure.ratios:
        name = "equal" if ratio == 1 else profile
        cells += select(results, learner=learner, profile=name, ratio=ratio, standardised=False)
    return cells


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Mean SHD by learner and profile against the ratio, and the ratio at which exact recovery drops under a half."""
    s = setup.preset.structure
    rows: list[tuple[Value, ...]] = []
    for learner in LEARNERS:
        for profile in PROFILES:
            cells = {r.params["ratio"]: r for r in _curve(setup, results, learner, profile)}
            means = [t_interval(cells[x].arrays["shd"]) if x in cells else None for x in s.ratios]
            rows.append((TITLES[learner], profile, *means, half_ratio(list(cells.values()))))
        done = select(results, learner=learner, standardised=True)
        if done:
            blank = (None,) * (len(s.ratios) - 1)
            rows.append((TITLES[learner], "standardised", t_interval(done[0].arrays["shd"]), *blank, ""))
    columns = ("learner", "profile", *(f"ratio {x:g}" for x in s.ratios), "exact recovery under 1/2 from")
    note = (
        f"Mean SHD [95 % interval], ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and "
        "weights over ratios and profiles. Standardised data stand under ratio 1."
    )
    return [Table("variance", "When noise variances differ", columns, tuple(rows), note)]


def half_ratio(curve: list[Result]) -> str:
    """The least ratio tried whose exact-recovery rate is under one half, with the rate; else 'none tried'."""
    for r in curve:
        rate = clopper_pearson(r.metrics["exact"], r.metrics["draws"])
        if rate.estimate < 0.5:
            return f"{r.params['ratio']:g} (rate {rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}])"
    return "none tried"


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:  # noqa: ARG001 - one form for all
    """`unequal-variance-breaks`: per draw the slope of SHD on log2 of the ratio, its mean over draws."""
    found = []
    for learner in ("eqvar", "notears"):
        for profile in PROFILES:
            curve = _curve(setup, results, learner, profile)
            if len(curve) < 2:
                continue
            x = np.log2([r.params["ratio"] for r in curve])
            shd = np.stack([r.arrays["shd"] for r in curve]).astype(float)
            slope = t_interval((x - x.mean()) @ shd / ((x - x.mean()) ** 2).sum())
            outcome: Outcome = "holds" if slope.above(0) else "fails" if slope.below(0) else "unclear"
            detail = f"SHD a doubling of the ratio, {shd.shape[1]} draws; exact under 1/2 from {half_ratio(curve)}"
            found.append(
                Finding("unequal-variance-breaks", f"{TITLES[learner]}, {profile}", outcome, slope, detail)
            )
    return found
