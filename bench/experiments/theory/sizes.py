"""Learners x worlds x sizes: what each learner finds of graphs of twenty to a thousand nodes, and what it costs."""

import itertools
from typing import Any

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, curves, table
from bench.experiments.theory import graphs
from bench.experiments.theory.graphs import PLAIN, failed_draws, first, mean_shd, plan_cell
from bench.judge.intervals import clopper_pearson, t_interval
from bench.methods import learners
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure
from bench.show.tables import Table

LEARNERS = (
    "eqvar", "eqvar_lasso", "boss_dag", "notears", "dagma", "golem_nv", "colide_ev", "colide_nv", "r2_sort",
    "random_order", "oracle_lasso",
)  # fmt: skip
SAMPLES = 1000
WORLDS = graphs.WORLDS | {"iSCM": PLAIN | {"violation": {"kind": "iscm"}}}
WORK = 400_000  # graphs per cell times nodes squared, at most
FEWEST = 3


def draws(setup: Setup, nodes: int) -> int:
    """How many graphs of a size are drawn.

    Args:
        setup: the run's.
        nodes: per graph.
    """
    return max(FEWEST, min(setup.preset.sizes.draws, WORK // nodes**2))


def plan(setup: Setup) -> list[Cell]:
    """Every learner in every world at every size at which a graph is expected to cost no more than the preset says."""
    s = setup.preset.sizes
    asked = itertools.product(s.nodes, WORLDS.values(), setup.beside(LEARNERS))
    return [
        plan_cell(setup, learner, "er", 2, nodes, SAMPLES, draws=draws(setup, nodes), **world)
        for nodes, world, learner in asked
        if learners.can_run(learner, nodes, SAMPLES) and learners.seconds(learner, nodes, SAMPLES) <= s.most_seconds
    ]


def _find(results: Results, nodes: int, world: dict[str, Any], learner: str) -> Result | None:
    return first(results, nodes=nodes, learner=learner, **world)


def tables(setup: Setup, results: Results) -> list[Table]:
    """Median SHD by world and size, a column per learner."""
    s, names = setup.preset.sizes, setup.beside(LEARNERS)
    rows = Rows()
    for (world, knobs), nodes in itertools.product(WORLDS.items(), s.nodes):
        found = [_find(results, nodes, knobs, name) for name in names]
        if any(found):
            rows.append((world, nodes, *(r.metrics["median_shd"] if r else None for r in found)))
    note = (
        f"Median SHD, ER2, n = {SAMPLES}, threshold 0.3, {draws(setup, s.nodes[0])} draws of {s.nodes[0]} nodes to "
        f"{draws(setup, s.nodes[-1])} of {s.nodes[-1]}. –: not run; a graph that is expected to cost over "
        f"{s.most_seconds:g} CPU-seconds is not. BOSS: the DAG that its search ends with; of its class no more can be "
        f"known where units are. The empty graph has an SHD of about 2 per node.{failed_draws(results)}"
    )
    columns = ("world", "nodes", *map(learners.title, names))
    return [table("sizes", "Learners by world and size", columns, rows, note)]


def details(setup: Setup, results: Results) -> list[Table]:
    """Every cell: distances with intervals, what was found, and the CPU time."""
    rows = Rows()
    asked = itertools.product(WORLDS.items(), setup.preset.sizes.nodes, setup.beside(LEARNERS))
    for (world, knobs), nodes, name in asked:
        if r := _find(results, nodes, knobs, name):
            m, a = r.metrics, r.arrays
            exact, cost = clopper_pearson(m["exact"], m["draws"]), m["fit_cpu_s"] / m["draws"]
            classes = t_interval(a["cpdag_shd"]).estimate
            rows.append((world, nodes, learners.title(name), m["draws"], mean_shd(r), classes, float(a["tpr"].mean()),
                         float(a["fdr"].mean()), exact, cost))  # fmt: skip
    columns = (
        "world", "nodes", "learner", "draws", "mean SHD", "mean CPDAG SHD", "TPR", "FDR", "exact recovery",
        "CPU s a graph",
    )  # fmt: skip
    return [table("sizes_all", "Learners by world and size, every cell", columns, rows, failed_draws(results).strip())]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Mean SHD per node against the nodes: a panel per world, a curve per learner."""
    s, panels = setup.preset.sizes, []
    for world, knobs in WORLDS.items():
        points = {}
        for name in setup.beside(LEARNERS):
            cells = [(nodes, _find(results, nodes, knobs, name)) for nodes in s.nodes]
            points[learners.title(name)] = [
                (nodes, t_interval(r.arrays["shd"] / nodes).within(0.0, float("inf")) if r else None)
                for nodes, r in cells
            ]
        panels.append(curves(world, points))
    note = f"ER2, n = {SAMPLES}; 95 % t intervals over draws. The empty graph is at about 2."
    return [Curves("sizes", "Distance to the true graph by size", "nodes", "mean SHD per node", tuple(panels),
                   log_x=True, note=note)]  # fmt: skip


EXPERIMENT = Experiment(
    "sizes", "What does each learner find of graphs of any size?", plan, tables, details=details, figures=figures
)
