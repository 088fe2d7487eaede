"""The map of the limits: where exact recovery stops, over samples, nodes, density and the ratio of noise variances.

EqVar and the known-order oracle, both with the sparse refit, so that what is mapped is the order and the support and
not a threshold on least squares. Beside them the rate n = c q log(d/q), q the most parents of a node and d the nodes
(Gao, Tai & Aragam 2022, "Optimal estimation of Gaussian DAG models", Theorems 3.1 and 4.1): minimax both under equal
variances and when the order is known. A rate has no constant; c is fitted once, to the oracle on the sparsest graphs.
"""

import itertools
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.theory.graphs import failed_draws, graph_name, plan_cell, rate, samples_words
from bench.judge.intervals import Interval, crossing
from bench.methods.learners import can_run, title
from bench.plan.results import select
from bench.plan.setup import Setup
from bench.show.figures import Figure, Grid, Map, Mark, position
from bench.show.tables import Table

LEARNERS = ("eqvar_lasso", "oracle_lasso")
PROFILE = "random"
LARGE, DENSE = 100, 2  # beyond so many nodes there are fewer draws, and only densities up to this
EQUAL = 200  # beyond so many nodes, equal variances alone
FEWEST = 10


def plan(setup: Setup) -> list[Cell]:
    """Every learner at every density, size, ratio and number of samples, the exact covariance for the last.

    A cell of 1,000 nodes takes minutes, and where variances differ EqVar is at its limit long before.
    """
    m = setup.preset.limits
    worlds: list[dict[str, Any]] = [
        {"ratio": ratio, "profile": "equal" if ratio == 1 else PROFILE} for ratio in m.ratios
    ]
    asked = itertools.product(_graphs(setup), worlds, (*m.samples, None), setup.beside(LEARNERS))
    return [
        plan_cell(setup, learner, "er", edges, nodes, samples, draws=draws(setup, nodes), **world)
        for (edges, nodes), world, samples, learner in asked
        if can_run(learner, nodes, samples) and (nodes <= EQUAL or world["ratio"] == 1)
    ]


def _graphs(setup: Setup) -> list[tuple[int, int]]:
    """Densities and sizes: only where an ER graph of that many edges is not complete."""
    m = setup.preset.limits
    return [
        (density, nodes)
        for density in m.densities
        for nodes in m.nodes
        if 2 * density < nodes - 1 and (density <= DENSE or nodes <= LARGE)
    ]


def draws(setup: Setup, nodes: int) -> int:
    """How many graphs of a size are drawn.

    Args:
        setup: the run's.
        nodes: per graph.
    """
    most = setup.preset.limits.draws
    return most if nodes <= LARGE else max(FEWEST, most * LARGE // nodes)


def _drawn(setup: Setup) -> str:
    m = setup.preset.limits
    fewer = f", {draws(setup, m.nodes[-1])} of {m.nodes[-1]} nodes" if m.nodes[-1] > LARGE else ""
    alone = f" (beyond {EQUAL} nodes equal variances alone)" if m.nodes[-1] > EQUAL else ""
    return f"{m.draws} draws a cell{fewer}{alone}"


def _curve(setup: Setup, results: Results, learner: str) -> Results:
    """One learner's cells of results at one density, size and ratio, by rising n; without the exact covariance."""
    cells = {r.params["samples"]: r for r in select(results, learner=learner)}
    return [cells[n] for n in setup.preset.limits.samples if n in cells]


def parents(results: Results) -> float:
    """Mean over draws of q, the most parents that a node has; NaN without results.

    Args:
        results: of one density and size.
    """
    return float(np.mean(results[0].arrays["max_parents"])) if results else np.nan


def minimax_rate(nodes: int, q: float) -> float:
    """q log(d/q), without its constant.

    Args:
        nodes: d.
        q: the most parents of a node; at least 1 is taken.
    """
    return max(q, 1.0) * float(np.log(nodes / max(q, 1.0)))


def constant(setup: Setup, results: Results) -> float | None:
    """c of n = c q log(d/q): geometric mean, over sizes, of the oracle's n at one half over the rate.

    At the sparsest density and ratio 1. None where the oracle crosses one half at no size.

    Args:
        setup: the run's.
        results: any of the map.
    """
    found, sparsest = [], select(results, edges=setup.preset.limits.densities[0], ratio=1.0)
    for nodes in setup.preset.limits.nodes:
        curve = _curve(setup, select(sparsest, nodes=nodes), LEARNERS[1])
        if (n := half(curve)) and n.bounded:
            found.append(n.estimate / minimax_rate(nodes, parents(curve)))
    return float(np.exp(np.mean(np.log(found)))) if found else None


def half(curve: Results) -> Interval | None:
    """The n at which exact recovery passes one half, interpolated in log n; its ends may be 0 or infinite.

    Args:
        curve: results by rising n.
    """
    if not curve:
        return None
    exact, draws = ([r.metrics[name] for r in curve] for name in ("exact", "draws"))
    found = crossing(np.log([r.params["samples"] for r in curve]), exact, draws)
    if found is None:
        return None
    estimate, low, high = (float(np.exp(x)) for x in (found.estimate, found.low, found.high))
    return Interval(estimate, low, high, found.n, found.level)


def _reached(curve: Results) -> str:
    """`half` in words, with what the exact covariance and the n tried say where it is not crossed."""
    n = half(curve)
    if n is None:
        if not curve:
            return "–"
        first, last = curve[0].params["samples"], curve[-1].params["samples"]
        exact, draws = (sum(r.metrics[name] for r in curve) for name in ("exact", "draws"))
        return f"{first} or less" if 2 * exact >= draws else f"not by {last}"
    low = "under " + str(curve[0].params["samples"]) if n.low == 0 else f"{n.low:.0f}"
    high = "beyond " + str(curve[-1].params["samples"]) if not np.isfinite(n.high) else f"{n.high:.0f}"
    return f"{n.estimate:.0f} [{low}, {high}]"


def tables(setup: Setup, results: Results) -> list[Table]:
    """The n at which half of the graphs are recovered exactly, by density, ratio and size, beside the rate."""
    m, c = setup.preset.limits, constant(setup, results)
    learners = setup.beside(LEARNERS)
    rows: Rows = []
    for (density, nodes), ratio in itertools.product(_graphs(setup), m.ratios):
        if every := select(results, edges=density, nodes=nodes, ratio=ratio):
            q = parents(every)
            exact = {r.params["learner"]: rate(r) for r in select(every, samples=None)}
            pairs = [(_reached(_curve(setup, every, learner)), exact.get(learner)) for learner in learners]
            expected = None if c is None else c * minimax_rate(nodes, q)
            rows.append((f"ER{density}", nodes, f"{ratio:g}", q, expected, *itertools.chain(*pairs)))
    heads = [f"{title(learner)}: {what}" for learner in learners for what in ("n at 1/2", "exact covariance")]
    note = (
        "The n at which half of the graphs are recovered exactly [95 % interval], interpolated in log n; "
        f"{_drawn(setup)} that share graph and weights over n and ratios; noise variances by the profile {PROFILE}. q: "
        "mean over the draws of the most parents of a node. The rate is minimax for equal variances; "
        + ("its constant could not be fitted: the oracle crosses 1/2 nowhere." if c is None else
           f"its one constant, c = {c:.1f}, is fitted to the oracle on ER{m.densities[0]} at ratio 1.")
        + " It knows nothing of the condition number or of the smallest weight, which set the constant."
        + failed_draws(results)
    )  # fmt: skip
    columns = ("graphs", "nodes", "ratio", "q", "c q log(d/q)", *heads)
    return [table("limits", "Where exact recovery stops", columns, rows, note)]


def details(setup: Setup, results: Results) -> list[Table]:
    """Every cell of the map: the share of graphs recovered exactly."""
    rows = [
        (graph_name(r), r.params["nodes"], f"{r.params['ratio']:g}", title(r.params["learner"]),
         samples_words(r.params["samples"]), rate(r), float(r.arrays["shd"].mean()))
        for r in select(results)
    ]  # fmt: skip
    columns = ("graphs", "nodes", "ratio", "learner", "n", "exact recovery", "mean SHD")
    note = f"{_drawn(setup)}; Clopper-Pearson intervals; SHD at the threshold 0.3."
    note += failed_draws(results)
    return [table("limits_all", "The map of the limits, every cell", columns, rows, note)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The map: exact recovery over nodes and n, by density and ratio, the rate drawn over it."""
    m, c = setup.preset.limits, constant(setup, results)
    panels = [
        _map(setup, select(results, edges=density, ratio=ratio), learner, f"ER{density}, ratio {ratio:g}", c)
        for learner, density, ratio in itertools.product(setup.beside(LEARNERS[::-1]), m.densities, m.ratios)
    ]
    note = (
        f"{_drawn(setup)}, 95 % Clopper-Pearson intervals. "
        + ("No line n = c q log(d/q): c could not be fitted." if c is None else
           f"Line: n = c q log(d/q), q the most parents of a node, d the nodes; c = {c:.1f} fitted to the known order "
           f"on ER{m.densities[0]}, ratio 1.")
        + f" Noise variances by the profile {PROFILE}."
    )  # fmt: skip
    title, nodes, samples = "Share of graphs recovered exactly", tuple(map(str, m.nodes)), tuple(map(str, m.samples))
    of = "share recovered exactly"
    return [Grid("limits", title, "nodes", "samples n", nodes, samples, tuple(panels), of, note)]


def _map(setup: Setup, results: Results, learner: str, where: str, c: float | None) -> Map:
    """One learner at one density and ratio, those of `results`."""
    m = setup.preset.limits
    found = {(r.params["samples"], r.params["nodes"]): rate(r) for r in select(results, learner=learner)}
    values, low, high = (
        tuple(tuple(getattr(found[n, d], name) if (n, d) in found else np.nan for d in m.nodes) for n in m.samples)
        for name in ("estimate", "low", "high")
    )
    marks: tuple[Mark, ...] = ()
    if c is not None:
        there = [(d, select(results, nodes=d)) for d in m.nodes]
        rates = (minimax_rate(d, parents(found)) if found else np.nan for d, found in there)
        line = tuple(position(c * rate, m.samples) for rate in rates)
        marks = (Mark("c q log(d/q)", tuple(range(len(m.nodes))), line),)
    return Map(f"{where}: {title(learner)}", values, low, high, marks)


EXPERIMENT = Experiment("limits", "Where does exact recovery stop?", plan, tables, details=details, figures=figures)
