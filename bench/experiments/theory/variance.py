"""Unequal noise variances: recovery against the variance ratio, by profile; and what else breaks identifiability.

What breaks it by degrees is in `violations`.

A large noise variance also makes sampling error large, whoever orders the variables: the known-order oracle meets it
too. What unequal variances do to identification is therefore the SHD beyond the oracle's on the same data, and the
SHD of EqVar on the exact covariance, where nothing is sampled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, curves, table
from bench.experiments.theory.graphs import failed_draws, first, mean_shd, plan_cell, rate, shds_and_sorts
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, crossing, sparse_interval
from bench.methods.learners import can_run, title
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel
from bench.show.tables import Table

LEARNERS = ("eqvar", "notears", "variance_sort", "r2_sort", "random_order", "oracle")
PROFILES = ("random", "rising", "falling")
SAMPLES = 1000
MISORDERED = 1.0  # edges that one draw may have wrong at the largest ratio alone, where none was seen to
STANDARDISED = {"kind": "standardised"}
# The world that the ratio alone changes; other cells of this experiment depart from it.
PLAIN: dict[str, Any] = {"weights": [0.5, 2.0], "signed": True, "noise": "gaussian", "violation": None}
# What else breaks it: how it reads, and the changes to a cell, mild before strong.
BREAKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("nothing", "", {}),
    ("standardised", "", {"violation": STANDARDISED}),
    ("iSCM", "", {"violation": {"kind": "iscm"}}),
    ("heavy tails", "Laplace", {"noise": "laplace"}),
    ("heavy tails", "Student t, 3 df", {"noise": "student_t"}),
    ("weights of one sign", "+U(0.5, 2)", {"signed": False}),
    ("weak weights", "±U(0.3, 1)", {"weights": [0.3, 1.0]}),
    ("weak weights", "±U(0.1, 0.5)", {"weights": [0.1, 0.5]}),
)


def plan(setup: Setup) -> list[Cell]:
    """ER2 graphs at one size: every profile and ratio (a ratio of 1 is the equal profile), and what else breaks it."""
    s = setup.preset.structure
    changes: list[dict[str, Any]] = [{"profile": "equal", "violation": STANDARDISED}]
    for ratio in s.ratios:
        changes += [{"profile": profile, "ratio": ratio} for profile in (("equal",) if ratio == 1 else PROFILES)]
    asked = [(learner, samples, c) for c in changes for learner, samples in _seen_by(setup)]
    strongest = {what: knob for what, knob, _ in BREAKS}
    for what, knob, c in BREAKS:
        # NOTEARS costs most of all.
        asked += [
            (learner, samples, c) for learner, samples in _seen_by(setup)
            if learner != "notears" or strongest[what] == knob
        ]  # fmt: skip
    cells = [plan_cell(setup, learner, "er", 2, s.stress_nodes, samples, **c) for learner, samples, c in asked]
    return list(dict.fromkeys(cells))


def _seen_by(setup: Setup) -> list[tuple[str, int | None]]:
    """Learners, those asked for included, each with its number of samples; last EqVar on the exact covariance."""
    nodes = setup.preset.structure.stress_nodes
    sampled = [(learner, SAMPLES) for learner in setup.beside(LEARNERS) if can_run(learner, nodes, SAMPLES)]
    return [*sampled, ("eqvar", None)]


def _head(learner: str, samples: int | None) -> str:
    return title(learner) if samples else f"{title(learner)}, exact covariance"


def _curve(setup: Setup, results: Results, learner: str, profile: str, samples: int | None = SAMPLES) -> Results:
    """The cells of one learner and profile by rising ratio, the equal profile first."""
    by_ratio = (
        first(results, learner=learner, profile="equal" if x == 1 else profile, ratio=x, samples=samples, **PLAIN)
        for x in setup.preset.structure.ratios
    )
    return [r for r in by_ratio if r]


def tables(setup: Setup, results: Results) -> list[Table]:
    """SHD against the ratio, the ratio at which exact recovery drops under a half, and what else breaks it."""
    return [_against_ratio(setup, results), _half(setup, results), *_broken(setup, results)]


def _against_ratio(setup: Setup, results: Results) -> Table:
    s = setup.preset.structure
    rows: Rows = []
    for learner, samples in _seen_by(setup):
        head = _head(learner, samples)
        for profile in PROFILES:
            cells = {r.params["ratio"]: mean_shd(r) for r in _curve(setup, results, learner, profile, samples)}
            rows.append((head, profile, *map(cells.get, s.ratios)))
        if done := first(results, learner=learner, violation=STANDARDISED, samples=samples):
            rows.append((head, "standardised", mean_shd(done), *(None,) * (len(s.ratios) - 1)))
    columns = ("learner", "profile", *(f"ratio {x:g}" for x in s.ratios))
    note = (
        f"Mean SHD [95 % interval], ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and "
        "weights over ratios and profiles. Standardised data stand under ratio 1. The oracle knows the order and "
        "regresses without a penalty: what it misses is sampling error at the fixed threshold of 0.3, not a failure to "
        "identify. NOTEARS is penalised and may miss less by that."
        f"{failed_draws(results)}"
    )
    return table("variance", "When noise variances differ", columns, rows, note)


def _half(setup: Setup, results: Results) -> Table:
    s = setup.preset.structure
    rows = [
        (_head(name, n), *(half_crossing(_curve(setup, results, name, profile, n)) for profile in PROFILES))
        for name, n in _seen_by(setup)
    ]
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws a ratio. Ratio [95 % interval], linear in log2 "
        f"between the ratios tried ({', '.join(f'{x:g}' for x in s.ratios)}) once the rates are made to fall "
        "(isotonic regression); the interval's ends are where the Clopper-Pearson bounds, made to fall as well, cross "
        "one half."
    )
    name = "Variance ratio at which exact recovery drops under one half"
    return table("variance_half", name, ("learner", *PROFILES), rows, note)


def half_crossing(curve: Results) -> str | None:
    """The ratio at which the exact-recovery rate drops under one half, with its interval; None without a curve.

    Where the rate does not cross within the ratios tried: on which side, and the rate at that end.

    Args:
        curve: results by rising ratio. See `bench.judge.intervals.crossing`.
    """
    if not curve:
        return None
    ratios = np.array([r.params["ratio"] for r in curve])
    exact, draws = (np.array([r.metrics[name] for r in curve]) for name in ("exact", "draws"))
    # crossing() wants rates that rise: against the falling logarithm they do.
    found = crossing(-np.log2(ratios[::-1]), exact[::-1], draws[::-1])
    if found is not None:
        low = f"{2**-found.high:.3g}" if np.isfinite(found.high) else f"under {ratios[0]:g}"
        high = f"{2**-found.low:.3g}" if np.isfinite(found.low) else f"above {ratios[-1]:g}"
        return f"{2**-found.estimate:.3g} [{low}, {high}]"
    side, end = ("above", -1) if 2 * exact.sum() >= draws.sum() else ("under", 0)
    there = rate(curve[end])
    return f"{side} {ratios[end]:g} (rate there {there.estimate:.2f} [{there.low:.2f}, {there.high:.2f}])"


def _broken(setup: Setup, results: Results) -> list[Table]:
    s, columns = setup.preset.structure, _seen_by(setup)
    shds: Rows = []
    rates: Rows = []
    plain = PLAIN | {"profile": "equal", "ratio": 1.0}
    for what, knob, changes in BREAKS:
        cells = [first(results, learner=learner, samples=n, **plain | changes) for learner, n in columns]
        shds.append((what, knob, *shds_and_sorts(cells, cells[columns.index(("eqvar", SAMPLES))])))
        rates.append((what, knob, *(rate(r) if r else None for r in cells)))
    heads = ("world", "how", *(_head(*column) for column in columns))
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, noise variances equal, {s.draws} draws that share graph and "
        "weights over rows; SHD: mean [95 % interval], threshold 0.3, by which scaled weights are cut as well. What "
        "the known order misses is not the order's fault. NOTEARS at the strongest knob of each."
        f"{failed_draws(results)}"
    )
    shared = "The same cells; Clopper-Pearson intervals."
    return [
        table("breaks", "What else breaks it: SHD", (*heads, "varsort.", "R2-sort."), shds, note),
        table("breaks_rate", "What else breaks it: share recovered exactly", heads, rates, shared),
    ]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Mean SHD and exact recovery against the variance ratio: a panel per profile, a curve per learner."""
    s = setup.preset.structure

    def panel(measure: Callable[..., Interval], profile: str) -> Panel:
        ran = {_head(*seen): _curve(setup, results, seen[0], profile, seen[1]) for seen in _seen_by(setup)}
        found = {head: {r.params["ratio"]: measure(r) for r in curve} for head, curve in ran.items()}
        return curves(profile, {head: [(x, by.get(x)) for x in s.ratios] for head, by in found.items()})

    shds, rates = (tuple(panel(measure, profile) for profile in PROFILES) for measure in (mean_shd, rate))
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and weights over ratios and "
        "profiles; 95 %"
    )
    x_label = "largest over smallest noise variance"
    return [
        Curves("variance_shd_by_ratio", "When noise variances differ", x_label, "mean SHD (edges)", shds,
               log_x=True, note=f"{note} t intervals. A reversed edge counts once."),
        Curves("variance_rate_by_ratio", "Graphs recovered exactly when noise variances differ", x_label,
               "share of graphs", rates, log_x=True, y_range=(0.0, 1.0),
               note=f"{note} Clopper-Pearson intervals."),
    ]  # fmt: skip


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`unequal-variance-breaks`: per draw the slope, on log2 of the ratio, of the SHD beyond the oracle's."""
    found = list[Finding]()
    for learner in ("eqvar", "notears"):
        for profile in PROFILES:
            curve, oracle = (_curve(setup, results, name, profile) for name in (learner, "oracle"))
            ratios = [r.params["ratio"] for r in curve]
            if len(curve) < 2 or ratios != [r.params["ratio"] for r in oracle]:
                continue
            x = np.log2(ratios)
            weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
            excess = np.stack([a.arrays["shd"] - b.arrays["shd"] for a, b in zip(curve, oracle, strict=True)])
            slope = sparse_interval(weights @ excess.astype(float), size=float(MISORDERED * weights[-1]))
            detail = (
                f"{slope.n} draws, {len(ratios)} ratios; at ratio {ratios[-1]:g} {excess[-1].mean():.1f} beyond; exact "
                f"recovery under 1/2 from ratio {half_crossing(curve)}"
            )
            where = f"{title(learner)}, {profile}"
            found.append(Finding("unequal-variance-breaks", "breaks", slope, where, detail))
    return found


EXPERIMENT = Experiment(
    "variance", "What do unequal noise variances break, and what else breaks recovery?", plan, tables,
    figures=figures, findings=findings,
)  # fmt: skip
