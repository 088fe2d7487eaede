"""Violations of identifiability by degrees: what each costs a learner, and what it costs whoever knows the order.

The known order meets a violation too: what it misses is lost to estimation, what a learner misses beyond it on the same
data is lost to order. A learner that regresses by least squares along its order is held against the known order with
least squares; any other, since it selects edges itself, against the known order with the sparse refit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, curves, table
from bench.experiments.theory.graphs import failed_draws, mean_shd, plan_cell
from bench.judge.intervals import Interval, paired_difference
from bench.methods.learners import can_run, title
from bench.plan.results import Result, of_cells
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure
from bench.show.tables import Table

LEARNERS = ("eqvar", "notears", "r2_sort")
KNOWN = ("oracle", "oracle_lasso")
LEAST_SQUARES = ("eqvar", "r2_sort")
SAMPLES = 1000
CHILDREN = 4  # of a latent variable
SPREAD = 100.0  # of scales, at strength 1
THIN = 4  # strength over the share of values that is missing, of which few do much


@dataclass(frozen=True)
class Kind:
    """A violation by degrees.

    Args:
        title: for readers.
        knob: what its strength is, for readers.
        changes: from a strength above 0 and the number of nodes, how a cell differs from the plain one.
    """

    title: str
    knob: str
    changes: Callable[[float, int], dict[str, Any]]


def _violation(kind: str, strength: str, over: int = 1, **knobs: Any) -> Callable[[float, int], dict[str, Any]]:
    """A violation one of whose knobs is the strength over a number."""
    return lambda x, _nodes: {"violation": {"kind": kind, **knobs, strength: x / over}}


def _confounded(x: float, nodes: int) -> dict[str, Any]:
    return {"violation": {"kind": "confounded", "latents": round(x * nodes), "children": CHILDREN}}


def _rescaled(x: float, _nodes: int) -> dict[str, Any]:
    return {"violation": {"kind": "rescaled", "spread": round(SPREAD**x, 3)}}


def _unequal(x: float, _nodes: int) -> dict[str, Any]:
    return {"profile": "random", "ratio": x}


# The cells of `variance`: its ratios are from 1 up, and its figures draw them.
RATIO = Kind("unequal variances", "largest over smallest, drawn", _unequal)
WORLDS = (
    Kind("latent confounders", "latents per variable", _confounded),
    Kind("correlated noise", "share of a common factor", _violation("correlated", "share")),
    *(
        Kind(
            f"nonlinear: {name}", "share of the mechanism",
            _violation("nonlinear", "strength", mechanism=mechanism, of=of),
        )
        for name, mechanism, of in (
            ("tanh of each cause", "tanh", "parents"), ("sine of the sum", "sine", "sum"),
            ("quadratic of the sum", "quadratic", "sum"),
        )
    ),
    Kind("rescaled", f"x: spread {SPREAD:g}^x", _rescaled),
    Kind("rows in time: AR(1) noise", "phi", _violation("autocorrelated", "phi")),
    Kind("rows in time: lagged effects", "share that lags", _violation("lagged", "share")),
)  # fmt: skip
DATA = (
    *(
        Kind(f"error of measurement, {of}", f"share of the {of}'s variance", _violation("measured", "share", of=of))
        for of in ("noise", "variable")
    ),
    *(
        Kind(
            f"missing {how}, {done}", f"x: share x/{THIN}",
            _violation("missing", "share", THIN, mechanism=mechanism, handled=handled),
        )
        for handled, done in (("mean", "means put in"), ("pairwise", "pairwise"))
        for mechanism, how in (("mcar", "completely at random"), ("mar", "at random"), ("mnar", "where large"))
    ),
)  # fmt: skip
FIGURES = (("world", "worlds", WORLDS), ("data", "data", DATA))


def plan(setup: Setup) -> list[Cell]:
    """ER2 graphs at one size: every kind and strength; a strength of 0 is one cell for all."""
    return list(dict.fromkeys(
        cell for kind in (RATIO, *WORLDS, *DATA) for x in _strengths(setup, kind)
        for cell in _cells(setup, kind, x).values()
    ))  # fmt: skip


def _learners(setup: Setup) -> tuple[str, ...]:
    """Those that are compared with the known order."""
    asked, nodes = setup.beside(LEARNERS), setup.preset.structure.stress_nodes
    return tuple(name for name in asked if name not in KNOWN and can_run(name, nodes, SAMPLES))


def _strengths(setup: Setup, kind: Kind) -> tuple[float, ...]:
    return setup.preset.structure.ratios if kind is RATIO else setup.preset.structure.strengths


def _cells(setup: Setup, kind: Kind, x: float) -> dict[str, Cell]:
    """The cells at one strength by learner, those of the known order last."""
    nodes, none = setup.preset.structure.stress_nodes, 1.0 if kind is RATIO else 0.0
    changes = {} if x == none else kind.changes(x, nodes)
    return {
        learner: plan_cell(setup, learner, "er", 2, nodes, SAMPLES, **changes)
        for learner in (*_learners(setup), *KNOWN)
    }


def _found(setup: Setup, results: Results, kind: Kind, x: float) -> dict[str, Result]:
    return {r.params["learner"]: r for r in of_cells(results, list(_cells(setup, kind, x).values()))}


def known(learner: str) -> str:
    """The known order that a learner is held against.

    Args:
        learner: its name.
    """
    return KNOWN[learner not in LEAST_SQUARES]


def _beyond(found: dict[str, Result], learner: str) -> Interval | None:
    """A learner's SHD beyond the known order's, draw by draw."""
    ours, best = found.get(learner), found.get(known(learner))
    return paired_difference(ours.arrays["shd"], best.arrays["shd"]) if ours and best else None


def tables(setup: Setup, results: Results) -> list[Table]:
    """Mean SHD by kind and strength; what the known order loses, and what learners lose beyond it."""
    s, learners = setup.preset.structure, _learners(setup)
    rows: Rows = []
    for kind in (RATIO, *WORLDS, *DATA):
        for x in _strengths(setup, kind):
            found = _found(setup, results, kind, x)
            shds = (mean_shd(found[name]) if name in found else None for name in (*learners, *KNOWN))
            rows.append((kind.title, kind.knob, f"{x:g}", *shds, *(_beyond(found, name) for name in learners)))
    note = (
        f"Mean SHD [95 % interval], ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and "
        "weights over rows, threshold 0.3. Lost to estimation is what the known order misses, lost to order what a "
        "learner misses beyond it, paired by draw: beyond least squares for "
        f"{' and '.join(map(title, LEAST_SQUARES))}, beyond the lasso refit for others. A latent acts on {CHILDREN} "
        "variables. Where values are missing learners are told n rows all the same."
        f"{failed_draws(results)}"
    )
    columns = (
        "violation", "strength is", "strength", *map(title, learners),
        *(f"lost to estimation: {title(name)}" for name in KNOWN),
        *(f"lost to order: {title(name)}" for name in learners),
    )  # fmt: skip
    return [table("violations", "What breaks recovery by degrees", columns, rows, note)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Mean SHD against the strength: a panel per kind, a curve per learner and per known order."""
    s = setup.preset.structure
    note = (
        f"ER2, {s.stress_nodes} nodes, n = {SAMPLES}, {s.draws} draws that share graph and weights over strengths; "
        "95 % t intervals. What the known order misses is lost to estimation, what is above it to order."
    )
    made: list[Figure] = []
    for name, what, kinds in FIGURES:
        panels = []
        for kind in kinds:
            at = {x: _found(setup, results, kind, x) for x in _strengths(setup, kind)}
            points = {
                title(learner): [(x, mean_shd(found[learner]) if learner in found else None) for x, found in at.items()]
                for learner in (*_learners(setup), *KNOWN)
            }
            panels.append(curves(f"{kind.title} ({kind.knob})", points))
        made.append(
            Curves(f"violations_{name}", f"When {what} break an assumption by degrees", "strength of the violation",
                   "mean SHD (edges)", tuple(panels), note=note)
        )  # fmt: skip
    return made


EXPERIMENT = Experiment(
    "violations", "How strong may a violation be before recovery breaks, and is it the order that is lost?", plan,
    tables, figures=figures,
)  # fmt: skip
