"""What keeps NOTEARS from the true graph on an exact covariance, and what of it can be mended.

Every miss is attributed by a certificate, see `bench.runners.misses`, for NOTEARS as it is and with one thing changed:
what is found then is what the change mends.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Row, Rows, table
from bench.experiments.theory.graphs import first, graph_name, plan_cell
from bench.judge.intervals import clopper_pearson, t_interval
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.runners.misses import CAUSES
from bench.show.tables import Table

SPARSITY = 0.02
# What is changed, and the options of the learner that say so.
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("notears", {}),
    "lambda 0.002": ("notears", {"sparsity": 0.002}),
    "path in lambda, from 0.2": ("notears", {"first": 0.2}),
    "5 restarts": ("notears", {"restarts": 5}),
    "steps a hundredth": ("notears", {"change": 1e-6}),
    "domain s = 1": ("notears", {"s": 1.0}),
    "exponential h": ("notears", {"acyclicity": "exponential"}),
    "path of DAGMA": ("dagma", {}),
    "EqVar in its place": ("eqvar", {}),
}
COST = {"5 restarts": 6.0, "exponential h": 3.0, "steps a hundredth": 2.0}  # times that of nothing changed
COLUMNS = ("graphs", "changed", "recovered", *CAUSES[1:], "recovered by refit", "mean SHD", "CPU ms a graph")


def plan(setup: Setup) -> list[Cell]:
    """Every family and change, at one size."""
    asked = itertools.product(setup.preset.misses.families, CHANGES)
    return [_cell(setup, family, edges, change) for (family, edges), change in asked]


def _cell(setup: Setup, family: str, edges: int, change: str) -> Cell:
    m, (learner, options) = setup.preset.misses, CHANGES[change]
    more: dict[str, Any] = {"draws": m.draws, "options": options, "sparsity": SPARSITY}
    cell = plan_cell(setup, learner, family, edges, m.nodes, None, **more)
    code, label = ("bench.runners.misses:run", *cell.code), f"why missed: {cell.label}"
    return replace(cell, runner="misses", code=code, label=label, cost=cell.cost * COST.get(change, 1.0))


def tables(setup: Setup, results: Results) -> list[Table]:
    """How many graphs each change recovers, and the cause of every miss."""
    m, rows = setup.preset.misses, Rows()
    for (family, edges), change in itertools.product(setup.preset.misses.families, CHANGES):
        if r := _find(results, family, edges, change):
            rows.append(_row(r, change))
    note = (
        f"{m.draws} draws of {m.nodes} nodes per family, exact covariance, equal variances, lambda {SPARSITY:g} where "
        "nothing else is said; the middle columns count draws. The threshold: another one on the same W gives the true "
        "graph. The penalty: the graph found has a lower penalised loss than the true one. A local optimum: the true "
        "graph has the lower one, and the search did not reach it. Recovered by refit: least squares along the order "
        "of the graph found. EqVar, which orders and does not descend, has the same covariances."
    )
    return [table("misses", "Why NOTEARS misses a graph that is identifiable", COLUMNS, rows, note)]


def _find(results: Results, family: str, edges: int, change: str) -> Result | None:
    learner, options = CHANGES[change]
    return first(results, family=family, edges=edges, learner=learner, options=options)


def _row(r: Result, change: str) -> Row:
    m = r.metrics
    share = (clopper_pearson(count, m["draws"]) for count in (m["cause_0"], int((r.arrays["shd_refit"] == 0).sum())))
    return (
        graph_name(r), change, next(share), *(m[f"cause_{k}"] for k in range(1, len(CAUSES))), next(share),
        t_interval(r.arrays["shd"]).within(0.0, np.inf), 1000 * m["fit_cpu_s"] / m["draws"],
    )  # fmt: skip


def details(setup: Setup, results: Results) -> list[Table]:
    """Every miss of NOTEARS as it is: its graph, distances and losses."""
    rows = Rows()
    for family, edges in setup.preset.misses.families:
        if r := _find(results, family, edges, "nothing"):
            for draw in np.flatnonzero(r.arrays["cause"]):
                at = {name: values[draw] for name, values in r.arrays.items()}
                cause, gap = CAUSES[int(at["cause"])], float(at["gap"])
                rows.append((graph_name(r), int(draw), cause, int(at["shd"]), int(at["shd_refit"]), gap))
    columns = ("graphs", "draw", "cause", "SHD", "SHD after refit", "loss above the true graph's")
    note = "Penalised loss of the graph found less that of the true graph, each at its best weights."
    return [table("misses_all", "Every miss of NOTEARS, one by one", columns, rows, note)] if rows else []


EXPERIMENT = Experiment(
    "misses", "Why does NOTEARS miss graphs that are identifiable, and what mends it?", plan, tables, details=details
)
