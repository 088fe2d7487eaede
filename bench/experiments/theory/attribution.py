"""Why recovery fails: every miss traced to identifiability, to the number of samples, or to the optimiser.

A learner stands for a score, whose optimum over all causal orders is found by exact search on graphs small enough for
it. A miss is *not identifiable by its score* if that optimum is wrong on the exact covariance; else *too few samples*
if it is wrong at this n; else *the optimiser* did not reach it.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, curves, table
from bench.experiments.theory.graphs import first, plan_cell
from bench.judge.intervals import Interval, clopper_pearson
from bench.methods.learners import title
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.runners.attribution import CAUSES
from bench.show.figures import Curves, Figure
from bench.show.tables import Table

# The score that each learner minimises.
SCORES: dict[str, dict[str, Any]] = {
    "eqvar": {"score": "equal", "refit": "least_squares"},
    "eqvar_lasso": {"score": "equal", "refit": "lasso_bic"},
    "notears": {"score": "equal_l1", "sparsity": 0.02},
    "dagma": {"score": "equal_l1", "sparsity": 0.02},
}
COLUMNS = (
    "world", "n", "learner", "recovered", *CAUSES[1:], "right against its score", "true order optimal"
)  # fmt: skip
DRAWN = ("eqvar_lasso", "notears")
EQUAL: dict[str, Any] = {"profile": "equal", "ratio": 1.0}
WORLDS: dict[str, dict[str, Any]] = {
    "equal variances": EQUAL,
    "random, ratio 4": {"profile": "random", "ratio": 4.0},
    "random, ratio 64": {"profile": "random", "ratio": 64.0},
    "rising, ratio 16": {"profile": "rising", "ratio": 16.0},
    "falling, ratio 16": {"profile": "falling", "ratio": 16.0},
    "standardised": EQUAL | {"violation": {"kind": "standardised"}},
}


def plan(setup: Setup) -> list[Cell]:
    """Every world, number of samples and learner whose score is known."""
    asked = itertools.product(WORLDS.values(), setup.preset.attribution.samples, SCORES)
    return [_cell(setup, learner, samples, world) for world, samples, learner in asked]


def _cell(setup: Setup, learner: str, samples: int, world: dict[str, Any]) -> Cell:
    a = setup.preset.attribution
    cell = plan_cell(setup, learner, "er", 2, a.nodes, samples, draws=a.draws, **world)
    score, code = SCORES[learner], ("bench.runners.attribution:run", *cell.code)
    search = (2e-7 if score["score"] == "equal_l1" else 1e-8) * a.nodes**2 * 2.0**a.nodes  # expected CPU-seconds of one
    cost, params = cell.cost + 2 * a.draws * search, {**cell.params, "score": score}
    return replace(cell, runner="attribution", params=params, code=code, cost=cost, label=f"why: {cell.label}")


def tables(setup: Setup, results: Results) -> list[Table]:
    """The misses of each world and learner by cause, at the most samples; the other n are in `details`."""
    a = setup.preset.attribution
    most = a.samples[-1]
    note = (
        f"{a.draws} draws of ER2 with {a.nodes} nodes that share graph and weights; middle columns count draws. Not "
        "identifiable by its score: the learner's own score has its optimum, over all orders by exact search, at a "
        "wrong graph even on the exact covariance. Too few samples: at this n only. The optimiser: the optimum at this "
        "n is right and was not reached. Right against its score: the optimum at this n is wrong, the graph found is "
        "right. EqVar's score is the sum of conditional variances, then its refit; that of NOTEARS and the "
        "log-determinant path is penalised least squares with lambda 0.02, which shrinks and so can be wrong where "
        "variances are equal. Last column: on the exact covariance no order has a better score than the true graph's."
    )
    return [table("attribution", f"Why recovery fails, n = {most}", COLUMNS, _rows(results, (most,)), note)]


def details(setup: Setup, results: Results) -> list[Table]:
    """The same at every n."""
    rows = _rows(results, setup.preset.attribution.samples)
    return [table("attribution_all", "Why recovery fails, every n", COLUMNS, rows)]


def _rows(results: Results, sizes: tuple[int, ...]) -> Rows:
    rows: Rows = []
    for world, samples, learner in itertools.product(WORLDS, sizes, SCORES):
        if r := _find(results, world, learner, samples):
            lucky = int((r.arrays["right"] & ~r.arrays["right_at_n"]).sum())
            optimal = clopper_pearson(int(np.sum(r.arrays["order_optimal"])), r.metrics["draws"])
            counts = (r.metrics[f"cause_{k}"] for k in range(1, len(CAUSES)))
            rows.append((world, samples, title(learner), _share(r, 0), *counts, lucky, optimal))
    return rows


def _find(results: Results, world: str, learner: str, samples: int) -> Result | None:
    return first(results, learner=learner, samples=samples, **{"violation": None} | WORLDS[world])


def _share(r: Result, cause: int) -> Interval:
    """The share of draws that are due to a cause, by its place in `CAUSES`."""
    return clopper_pearson(r.metrics[f"cause_{cause}"], r.metrics["draws"])


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The share of draws lost to each cause against n: a panel per world and learner."""
    a = setup.preset.attribution
    panels = []
    for world, learner in itertools.product(WORLDS, DRAWN):
        cells = [(n, _find(results, world, learner, n)) for n in a.samples]
        points = {cause: [(n, _share(r, k) if r else None) for n, r in cells] for k, cause in enumerate(CAUSES) if k}
        panels.append(curves(f"{world}: {title(learner)}", points))
    note = (
        f"{a.draws} draws of ER2 with {a.nodes} nodes; 95 % Clopper-Pearson intervals. The cause of a miss is found by "
        "exact search over all orders for the optimum of the learner's own score."
    )
    of, y = tuple(panels), "share of graphs missed for this cause"
    return [Curves("attribution", "Why recovery fails", "samples n", y, of, log_x=True, y_range=(0.0, 1.0), note=note)]


def reasons(setup: Setup, results: Results) -> dict[str, str]:
    """By claim, what its misses are due to: the worlds of equal variances and those of unequal ones, at the most n."""
    most = setup.preset.attribution.samples[-1]
    by_claim: dict[str, list[str]] = {}
    for name, world in WORLDS.items():
        claim = "equal-variance-identifies" if world == EQUAL else "unequal-variance-breaks"
        for r in filter(None, (_find(results, name, learner, most) for learner in DRAWN)):
            counts = [int(r.metrics[f"cause_{k}"]) for k in range(len(CAUSES))]
            causes = ", ".join(f"{n} {cause}" for n, cause in zip(counts[1:], CAUSES[1:], strict=True) if n)
            missed = f"misses {sum(counts[1:])} of {sum(counts)}" + (f" ({causes})" if causes else "")
            by_claim.setdefault(claim, []).append(f"{name}, n = {most}: {title(r.params['learner'])} {missed}")
    return {claim: f"Cause of misses by exact search: {'; '.join(said)}." for claim, said in by_claim.items()}


EXPERIMENT = Experiment(
    "attribution", "Are misses of recovery due to identifiability, to the number of samples, or to the optimiser?",
    plan, tables, details=details, figures=figures, reasons=reasons,
)  # fmt: skip
