"""Prop. 4.2: the same SCM seen raw, with LayerNorm on its exogenous rows, and with LayerNorm on its mixed rows.

Beside the claim: what a trained LayerNorm's affine does to it, and what pooling sequences of one graph does for it.

Variables are token rows and samples are their features, as attention sees them. The learner is EqVar; the sorts and
the known order stand beside it, so that a view that ruins every learner can be told from one that ruins the order.
"""

import itertools
from typing import Any, TypeAlias

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.theory.graphs import first, mean_shd, plan_cell, shds_and_sorts
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, clopper_pearson
from bench.methods.learners import title
from bench.plan.results import Result, mean_known
from bench.plan.setup import Setup
from bench.show.tables import Table, format_value

CONTROLS = ("variance_sort", "r2_sort", "random_order", "oracle")
UNEQUAL = 100.0
View: TypeAlias = tuple[str, str, float]
VIEWS: tuple[View, ...] = (
    ("raw rows, equal variances", "raw", 1.0),
    ("LayerNorm on V, equal variances", "exogenous", 1.0),
    ("LayerNorm on V, variance ratio 100", "exogenous", UNEQUAL),
    ("LayerNorm on Z, equal variances", "mixed", 1.0),
    ("raw rows, variance ratio 100", "raw", UNEQUAL),
)
BASE, CONTROL = VIEWS[0], VIEWS[-1]
PARTS = {"exogenous": "on_v", "mixed": "on_z"}
# A trained LayerNorm's gain is N(1, spread²) by feature and its bias N(0, spread²), the same for every row.
AFFINES = (0.0, 0.1, 0.5)
SEQUENCES = (1, 4, 16, 64)
AFFINE_VIEWS = (("LayerNorm on V", "exogenous"), ("LayerNorm on Z", "mixed"))
POOLED_VIEWS = (
    ("raw rows", "raw", 0.0),
    ("LayerNorm on V", "exogenous", 0.0),
    ("LayerNorm on V, affine 0.5", "exogenous", 0.5),
)


def plan(setup: Setup) -> list[Cell]:
    """Every view at every number of nodes and features, controls at the most; then affines and pooled sequences."""
    s = setup.preset.structure
    cells = [
        plan_cell(setup, learner, "er", 2, nodes, d, violation=_seen(place), ratio=ratio, profile=_profile(ratio))
        for nodes, d in itertools.product(s.placement_nodes, s.features)
        for learner in ("eqvar", *(CONTROLS if d == s.features[-1] else ()))
        for _, place, ratio in VIEWS
    ]
    seen = [(d, _seen(place, affine)) for d in s.features for affine in AFFINES for _, place in AFFINE_VIEWS]
    seen += [(s.features[0], _seen(place, affine, k)) for k in SEQUENCES for _, place, affine in POOLED_VIEWS]
    cells += [plan_cell(setup, "eqvar", "er", 2, s.stress_nodes, d, violation=violation) for d, violation in seen]
    return list(dict.fromkeys(cells))


def _seen(place: str, affine: float = 0.0, sequences: int = 1) -> dict[str, Any]:
    """As a cell's `violation`; what is the default is left out, so that equal worlds are one cell."""
    more = {"affine": affine} if affine else {}
    return {"kind": "layernorm", "placement": place} | more | ({"sequences": sequences} if sequences > 1 else {})


def _profile(ratio: float) -> str:
    return "equal" if ratio == 1 else "random"


def _find(results: Results, nodes: int, features: int, view: View, learner: str = "eqvar") -> Result | None:
    _, place, ratio = view
    return first(results, learner=learner, nodes=nodes, samples=features, violation=_seen(place), ratio=ratio)


def tables(setup: Setup, results: Results) -> list[Table]:
    """SHD and order accuracy by view, nodes and features."""
    s = setup.preset.structure
    rows: Rows = []
    for nodes, view in itertools.product(s.placement_nodes, VIEWS):
        found = [_find(results, nodes, features, view) for features in s.features]
        rows.append((nodes, view[0], *(x for r in found for x in ((mean_shd(r), _order(r)) if r else (None, None)))))
    heads = [f"{what}, d={features}" for features in s.features for what in ("SHD", "order acc.")]
    note = (
        f"EqVar, ER2, {s.draws} draws that share graph and weights over the views; d features are the samples. "
        "Order accuracy: share of true edges whose cause is ordered first, chance 0.5. SHD: mean [95 % interval]. "
        "LayerNorm on V erases the variance ratio, so that its two views agree; the last view shows what it mends."
    )
    stands = table("layernorm", "Where LayerNorm stands", ("nodes", "view", *heads), rows, note)
    return [stands, _controls(setup, results), _affine(setup, results), _pooling(setup, results)]


def _controls(setup: Setup, results: Results) -> Table:
    s = setup.preset.structure
    names, d = ("eqvar", *CONTROLS), s.features[-1]
    rows: Rows = []
    for nodes, view in itertools.product(s.placement_nodes, VIEWS):
        found = [_find(results, nodes, d, view, name) for name in names]
        rows.append((nodes, view[0], *shds_and_sorts(found, found[0])))
    note = (
        f"The same draws, d = {d}; mean SHD [95 % interval]. What the known order misses as well is due to sampling or "
        "to the scale of weights against the threshold of 0.3, not to the order."
    )
    heads = ("nodes", "view", *map(title, names), "varsort.", "R2-sort.")
    return table("layernorm_controls", "Where LayerNorm stands, beside controls", heads, rows, note)


def _affine(setup: Setup, results: Results) -> Table:
    s = setup.preset.structure
    rows: Rows = []
    for (view, place), affine in itertools.product(AFFINE_VIEWS, AFFINES):
        shds = (_shd(results, s.stress_nodes, d, _seen(place, affine)) for d in s.features)
        rows.append((view, "none" if not affine else f"spread {affine:g}", *shds))
    note = (
        f"EqVar, ER2, {s.stress_nodes} nodes, equal variances, {s.draws} draws; mean SHD [95 % interval]. Gain "
        "N(1, spread²) and bias N(0, spread²) by feature, the same for every row: the bias is a factor that all rows "
        "share, and no number of features averages it away."
    )
    heads = ("view", "affine", *(f"SHD, d={d}" for d in s.features))
    return table("layernorm_affine", "What LayerNorm's affine does", heads, rows, note)


def _pooling(setup: Setup, results: Results) -> Table:
    s = setup.preset.structure
    d = s.features[0]
    rows = [
        (view, *(_shd(results, s.stress_nodes, d, _seen(place, affine, k)) for k in SEQUENCES))
        for view, place, affine in POOLED_VIEWS
    ]
    note = (
        f"EqVar, ER2, {s.stress_nodes} nodes, equal variances, {d} features a sequence, {s.draws} draws; mean SHD "
        "[95 % interval]. Sequences share graph, weights and affine; their covariances are averaged."
    )
    heads = ("view", *(f"{k} sequences" if k > 1 else "1 sequence" for k in SEQUENCES))
    return table("layernorm_pooling", "Sequences that share the graph, pooled", heads, rows, note)


def _shd(results: Results, nodes: int, features: int, violation: dict[str, Any]) -> Interval | None:
    r = first(results, learner="eqvar", nodes=nodes, samples=features, violation=violation, ratio=1.0)
    return mean_shd(r) if r else None


def _order(r: Result) -> float | None:
    return mean_known(r.arrays["order_accuracy"])


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """`layernorm-identifies`, each placement on its own, at the most nodes and features."""
    s, claim, made = setup.preset.structure, "layernorm-identifies", list[Finding]()
    nodes, features = s.placement_nodes[-1], s.features[-1]
    base = _find(results, nodes, features, BASE)
    bar = register.claims[claim].parts["on_v"].bar or 0.0
    for view in VIEWS[1:-1]:
        r = _find(results, nodes, features, view)
        if base is None or r is None:
            continue
        raw, share = (clopper_pearson(int((of.arrays["shd"] == 0).sum()), len(of.arrays["shd"])) for of in (base, r))
        detail = (
            f"EqVar, {nodes} nodes, d = {features}; raw rows of equal variances {raw.estimate:.2f}; order accuracy "
            f"{format_value(_order(r))}, raw {format_value(_order(base))}"
        )
        blocked = "" if raw.above(bar) else f"raw rows of equal variances are recovered in {format_value(raw)} of draws"
        made.append(Finding(claim, PARTS[view[1]], share, view[0], detail, blocked))
    return made


EXPERIMENT = Experiment("layernorm", "Does LayerNorm on V identify the SCM?", plan, tables, findings=findings)
