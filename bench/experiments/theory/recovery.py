"""Recovery of known DAGs under equal variances: learners x families x nodes x samples, and the exact covariance."""

import itertools
from collections.abc import Callable

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Row, curves, table
from bench.experiments.theory.graphs import failed_draws, first, graph_name, mean_shd, plan_cell, rate, samples_words
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, clopper_pearson
from bench.methods import learners
from bench.plan.results import Result, mean_known, select, stacked
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel
from bench.show.tables import Table

LEARNERS = (
    "eqvar", "eqvar_lasso", "notears", "variance_sort", "r2_sort", "random_order", "oracle", "oracle_lasso",
)  # fmt: skip
COLUMNS = (
    "graphs", "nodes", "n", "learner", "median SHD", "at the best threshold", "median CPDAG SHD", "mean SHD", "TPR",
    "FDR", "exact recovery", "max h", "cyclic", "cyclic at 0.3", "edges cut", "not converged", "failures",
    "median iterations", "varsort.", "R2-sort.", "CPU ms a graph",
)  # fmt: skip
AFTER_RATE = (
    "h_max", "cyclic", "cyclic_thresholded", "removed_edges", "not_converged", "failures", "median_iterations",
)  # fmt: skip


def compared(setup: Setup) -> tuple[str, ...]:
    """The learners of this run: ours, the preset's further ones, and those asked for.

    Args:
        setup: the run's.
    """
    return setup.beside((*LEARNERS, *setup.preset.structure.further))


def plan(setup: Setup) -> list[Cell]:
    """Every learner on every family, size and number of samples that it can take; None is the exact covariance."""
    s = setup.preset.structure
    asked = itertools.product(s.families, s.nodes, (*s.samples, None), compared(setup))
    return [
        plan_cell(setup, learner, *family, nodes, samples)
        for family, nodes, samples, learner in asked
        if learners.can_run(learner, nodes, samples)
    ]


def details(setup: Setup, results: Results) -> list[Table]:
    """Every cell as a row."""
    note = (
        f"{_note(setup, results)} Cyclic: draws whose |w| above 1e-8 have a cycle; at 0.3: those that kept one, cut at "
        "its weakest edges. Of a CPDAG an undirected edge is an error in the SHD; the CPDAG SHD compares "
        "it with the CPDAG of the truth."
    )
    rows = map(_row, select(results))
    return [table("recovery_all", "Recovery of known DAGs, every cell", COLUMNS, rows, note)]


def _row(r: Result) -> Row:
    p, m, a = r.params, r.metrics, r.arrays
    return (
        graph_name(r), p["nodes"], samples_words(p["samples"]), learners.title(p["learner"]),
        *(m[f"median_{name}"] for name in ("shd", "shd_best", "cpdag_shd")), mean_shd(r),
        float(a["tpr"].mean()), float(a["fdr"].mean()), rate(r), *(m[name] for name in AFTER_RATE),
        *(mean_known(a[name]) for name in ("varsortability", "r2_sortability")), 1000 * m["fit_cpu_s"] / m["draws"],
    )  # fmt: skip


def tables(setup: Setup, results: Results) -> list[Table]:
    """Median SHD by family at one n, and exact recovery by n at the largest size."""
    s, names = setup.preset.structure, compared(setup)
    n = 1000 if 1000 in s.samples else s.samples[-1]
    at_n, largest = select(results, samples=n), select(results, nodes=s.nodes[-1])
    heads = tuple(map(learners.title, names))
    by_family = []
    for (family, edges), nodes in itertools.product(s.families, s.nodes):
        found = (first(at_n, family=family, edges=edges, nodes=nodes, learner=name) for name in names)
        medians = (r.metrics["median_shd"] if r else None for r in found)
        by_family.append((f"{family.upper()}{edges}", nodes, *medians))
    by_n = []
    for samples in (*s.samples, None):
        cells = (select(largest, samples=samples, learner=name) for name in names)
        by_n.append((samples_words(samples), *(rate(*found) if found else None for found in cells)))
    shares = f"Share of graphs of {s.nodes[-1]} nodes recovered exactly, all families"
    note = f"{s.draws} draws a family; Clopper-Pearson intervals. exact: the population covariance."
    note += failed_draws(results)
    return [
        table("recovery_shd", f"Median SHD at n = {n}, equal variances", ("graphs", "nodes", *heads), by_family,
              _note(setup, results)),
        table("recovery_rate", shares, ("n", *heads), by_n, note),
    ]  # fmt: skip


def _note(setup: Setup, results: Results) -> str:
    return (
        f"{setup.preset.structure.draws} draws; weights ±U(0.5, 2), Gaussian noise of equal variance; SHD counts a "
        "reversed edge once; threshold 0.3 on |W|. NOTEARS: lambda 0.02, log-determinant h. The lasso refit keeps the "
        "predecessors that BIC picks on the lasso's path. Without it EqVar, the sorts and the known order take least "
        "squares on every predecessor: at small n false edges pass the threshold, where a penalty stops them."
        f"{failed_draws(results)}"
    )


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Exact-recovery rate and mean SHD against n: a panel per size, a curve per learner, over all families."""
    s, names = setup.preset.structure, dict.fromkeys(r.params["learner"] for r in results)
    graphs = ", ".join(f"{family.upper()}{edges}" for family, edges in s.families)
    note = f"{s.draws} draws each of {graphs}, taken together; weights ±U(0.5, 2), Gaussian noise of equal variance; "

    def panel(measure: Callable[..., Interval], nodes: int) -> Panel:
        cells = {x: [(n, select(results, nodes=nodes, samples=n, learner=x)) for n in s.samples] for x in names}
        points = {learners.title(x): [(n, measure(*c) if c else None) for n, c in by_n] for x, by_n in cells.items()}
        return curves(f"{nodes} nodes", points)

    rates, distances = (tuple(panel(measure, nodes) for nodes in s.nodes) for measure in (rate, mean_shd))
    return [
        Curves("recovery_rate_by_n", "Graphs recovered exactly, equal variances", "samples n", "share of graphs",
               rates, log_x=True, y_range=(0.0, 1.0), note=f"{note}95 % Clopper-Pearson intervals."),
        Curves("recovery_shd_by_n", "Distance to the true graph, equal variances", "samples n", "mean SHD (edges)",
               distances, log_x=True, note=f"{note}95 % t intervals. A reversed edge counts once."),
    ]  # fmt: skip


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`equal-variance-identifies`: EqVar on the exact covariance and at the largest n, NOTEARS beside it."""
    claim, most = "equal-variance-identifies", setup.preset.structure.samples[-1]
    made = []
    asked = (("population", "eqvar", None), ("rate", "eqvar", most), ("notears", "notears", most))
    for part, learner, samples in asked:
        runs = select(results, learner=learner, samples=samples)
        if not runs:
            continue
        right = stacked(runs, "shd") == 0
        worst = min(runs, key=lambda r: rate(r).estimate)
        detail = (
            f"{learners.title(learner)}, {'exact covariance' if samples is None else f'n = {samples}'}, {len(runs)} "
            f"kinds of graph; the worst, {graph_name(worst)} of {worst.params['nodes']} nodes, "
            f"{rate(worst).estimate:.2f}"
        )
        made.append(Finding(claim, part, clopper_pearson(int(right.sum()), len(right)), detail=detail))
    return made


EXPERIMENT = Experiment(
    "recovery", "Are known DAGs recovered where noise variances are equal?", plan, tables,
    details=details, figures=figures, findings=findings,
)  # fmt: skip
