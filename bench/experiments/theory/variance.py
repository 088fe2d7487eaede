"""Unequal noise variances: recovery against the variance ratio, by profile; and what else breaks identifiability.

A large noise variance also makes sampling error large, whoever orders the variables: the known-order oracle meets it
too. What unequal variances do to identification is therefore the SHD beyond the oracle's on the same data, and the
SHD of EqVar on the exact covariance, where nothing is sampled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.theory.recovery import failed_draws, mean_known, plan_cell
from bench.judge.bars import Bar
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, Value, clopper_pearson, crossing, t_interval
from bench.methods.learners import can_run, title
from bench.plan.results import Result, select
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel, Series, make_series
from bench.show.tables import Table

LEARNERS = ("eqvar", "notears", "variance_sort", "r2_sort", "random_order", "oracle")
PROFILES = ("random", "rising", "falling")
SAMPLES = 1000
STANDARDISED = {"kind": "standardised"}
# The world that the ratio alone changes; other cells of this experiment depart from it.
PLAIN: dict[str, Any] = {"weights": [0.5, 2.0], "signed": True, "noise": "gaussian", "violation": None}
# What else breaks it: how it reads, and the changes to a cell, mild before strong.
BREAKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("nothing", "", {}),
    ("standardised", "", {"violation": STANDARDISED}),
    ("iSCM", "", {"violation": {"kind": "iscm"}}),
    ("rescaled", "by up to 4", {"violation": {"kind": "rescaled", "spread": 4.0}}),
    ("rescaled", "by up to 100", {"violation": {"kind": "rescaled", "spread": 100.0}}),
    ("confounded", "1 latent of 4", {"violation": {"kind": "confounded", "latents": 1, "children": 4}}),
    ("confounded", "5 latents of 4", {"violation": {"kind": "confounded", "latents": 5, "children": 4}}),
    ("correlated noise", "share 0.2", {"violation": {"kind": "correlated", "share": 0.2}}),
    ("correlated noise", "share 0.6", {"violation": {"kind": "correlated", "share": 0.6}}),
    ("nonlinear", "tanh of each cause", {"violation": {"kind": "nonlinear", "mechanism": "tanh", "of": "parents"}}),
    ("nonlinear", "sine of the sum", {"violation": {"kind": "nonlinear", "mechanism": "sine"}}),
    ("nonlinear", "quadratic of the sum", {"violation": {"kind": "nonlinear", "mechanism": "quadratic"}}),
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
        profiles = ("equal",) if ratio == 1 else PROFILES
        changes += [{"profile": profile, "ratio": ratio} for profile in profiles]
    asked = [(learner, samples, c) for c in changes for learner, samples in _seen_by(setup, LEARNERS)]
    strongest = {what: knob for what, knob, _ in BREAKS}
    for what, knob, c in BREAKS:
        nonlinear = (c.get("violation") or {}).get("kind") == "nonlinear"
        for learner, samples in _seen_by(setup, LEARNERS):
            # NOTEARS costs most of all; a nonlinear SCM has no exact covariance.
            if not (learner == "notears" and strongest[what] != knob) and not (samples is None and nonlinear):
                asked.append((learner, samples, c))
    cells = [plan_cell(setup, learner, "er", 2, s.stress_nodes, samples, **c) for learner, samples, c in asked]
    return list(dict.fromkeys(cells))


def _seen_by(setup: Setup, ours: tuple[str, ...]) -> list[tuple[str, int | None]]:
    """Learners, those asked for included, each with its number of samples; last EqVar on the exact covariance."""
    nodes = setup.preset.structure.stress_nodes
    sampled = [(learner, SAMPLES) for learner in setup.beside(ours) if can_run(learner, nodes, SAMPLES)]
    return [*sampled, ("eqvar", None)]


def _head(learner: str, samples: int | None) -> str:
    return title(learner) if samples else f"{title(learner)}, exact covariance"


def _curve(
    setup: Setup, results: list[Result], learner: str, profile: str, samples: int | None = SAMPLES
) -> list[Result]:
    """The cells of one learner and profile by rising ratio, the equal profile first."""
    cells = []
    for ratio in setup.preset.structure.ratios:
        name = "equal" if ratio == 1 else profile
        cells += select(results, learner=learner, profile=name, ratio=ratio, samples=samples, **PLAIN)
    return cells


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """SHD against the ratio, the ratio at which exact recovery drops under a half, and what else breaks it."""
    return [_against_ratio(setup, results), _half(setup, results), *_broken(setup, results)]


def _against_ratio(setup: Setup, results: list[Result]) -> Table:
    s = setup.preset.structure
    rows: list[tuple[Value, ...]] = []
    for learner, samples in _seen_by(setup, LEARNERS):
        head = _head(learner, samples)
        for profile in PROFILES:
            cells = {r.params["ratio"]: r for r in _curve(setup, results, learner, profile, samples)}
            means = [_mean(cells[x]) if x in cells else None for x in s.ratios]
            rows.append((head, profile, *means))
        done = select(results, learner=learner, violation=STANDARDISED, samples=samples)
        if done:
            rows.append((head, "standardised", _mean(done[0]), *(None,) * (len(s.ratios) - 1)))
    columns = ("learner", "profile", *(f"ratio {x:g}" for x in s.ratios))
    note = (
        f"Mean SHD [95 % interval], ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and "
        "weights over ratios and profiles. Standardised data stand under ratio 1. The oracle knows the order and "
        "regresses without a penalty: what it misses is sampling error at the fixed threshold of 0.3, not a failure to "
        "identify. NOTEARS is penalised and may miss less by that."
        f"{failed_draws(results)}"
    )
    return Table("variance", "When noise variances differ", columns, tuple(rows), note)


def _half(setup: Setup, results: list[Result]) -> Table:
    s = setup.preset.structure
    rows: list[tuple[Value, ...]] = []
    for learner, samples in _seen_by(setup, LEARNERS):
        drops = [half_crossing(_curve(setup, results, learner, profile, samples)) for profile in PROFILES]
        rows.append((_head(learner, samples), *drops))
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws a ratio. Ratio [95 % interval], linear in log2 "
        f"between the ratios tried ({', '.join(f'{x:g}' for x in s.ratios)}) once the rates are made to fall "
        "(isotonic regression); the interval's ends are where the Clopper-Pearson bounds, made to fall as well, cross "
        "one half."
    )
    name = "Variance ratio at which exact recovery drops under one half"
    return Table("variance_half", name, ("learner", *PROFILES), tuple(rows), note)


def half_crossing(curve: list[Result]) -> str | None:
    """The ratio at which the exact-recovery rate drops under one half, with its interval; None without a curve.

    See `bench.judge.intervals.crossing`. Where the rate does not cross within the ratios tried: on which side, and the rate
    at that end.
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
    rate = clopper_pearson(int(exact[end]), int(draws[end]))
    return f"{side} {ratios[end]:g} (rate there {rate.estimate:.2f} [{rate.low:.2f}, {rate.high:.2f}])"


def _broken(setup: Setup, results: list[Result]) -> list[Table]:
    s = setup.preset.structure
    shds, rates = list[tuple[Value, ...]](), list[tuple[Value, ...]]()
    columns = _seen_by(setup, LEARNERS)
    plain = PLAIN | {"profile": "equal", "ratio": 1.0}
    for what, knob, changes in BREAKS:
        cells = {
            (learner, samples): r
            for learner, samples in columns
            for r in select(results, learner=learner, samples=samples, **plain | changes)
        }
        seen = cells.get(("eqvar", SAMPLES))
        sorts = [mean_known(seen.arrays[name]) if seen else None for name in ("varsortability", "r2_sortability")]
        means = [_mean(cells[c]) if c in cells else None for c in columns]
        shds.append((what, knob, *means, *sorts))
        rates.append((what, knob, *(_rate(cells[c]) if c in cells else None for c in columns)))
    heads = ("world", "how", *(_head(*column) for column in columns))
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, noise variances equal, {s.draws} draws that share graph and "
        "weights over rows; SHD: mean [95 % interval], threshold 0.3, by which scaled weights are cut as well. What "
        "the known order misses is not the order's fault. NOTEARS at the strongest knob of each."
        f"{failed_draws(results)}"
    )
    shared = "The same cells; Clopper-Pearson intervals."
    return [
        Table("breaks", "What else breaks it: SHD", (*heads, "varsort.", "R2-sort."), tuple(shds), note),
        Table("breaks_rate", "What else breaks it: share recovered exactly", heads, tuple(rates), shared),
    ]


def _rate(r: Result) -> Interval:
    return clopper_pearson(r.metrics["exact"], r.metrics["draws"])


def _mean(r: Result) -> Interval:
    return t_interval(r.arrays["shd"]).within(0.0, np.inf)


def figures(setup: Setup, results: list[Result]) -> list[Figure]:
    """Mean SHD and exact recovery against the variance ratio: a panel a profile, a curve a learner."""
    s = setup.preset.structure

    def panels(measure: Callable[[Result], Interval]) -> tuple[Panel, ...]:
        return tuple(Panel(profile, tuple(curve(measure, profile, *seen) for seen in who)) for profile in PROFILES)

    def curve(measure: Callable[[Result], Interval], profile: str, learner: str, samples: int | None) -> Series:
        cells = {r.params["ratio"]: measure(r) for r in _curve(setup, results, learner, profile, samples)}
        return make_series(_head(learner, samples), [(ratio, cells.get(ratio)) for ratio in s.ratios])

    who = _seen_by(setup, LEARNERS)
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and weights over ratios and "
        "profiles; 95 %"
    )
    x_label = "largest over smallest noise variance"
    return [
        Curves("variance_shd_by_ratio", "When noise variances differ", x_label, "mean SHD (edges)", panels(_mean),
               log_x=True, note=f"{note} t intervals. A reversed edge counts once."),
        Curves("variance_rate_by_ratio", "Graphs recovered exactly when noise variances differ", x_label,
               "share of graphs", panels(_rate), log_x=True, y_range=(0.0, 1.0),
               note=f"{note} Clopper-Pearson intervals."),
    ]  # fmt: skip


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
            detail = (
                f"SHD beyond the oracle's, a doubling of the ratio, {slope.n} draws; at ratio {ratios[-1]:g} "
                f"{excess[-1].mean():.1f} beyond, {len(ratios)} ratios; exact recovery under 1/2 from ratio "
                f"{half_crossing(curve)}"
            )
            bar = Bar(holds=0.0, fails=margins.of(claim))
            found.append(held(claim, f"{title(learner)}, {profile}", slope, bar, detail, "draws"))
    return found
