"""Recovery of known DAGs under equal variances: learners x families x nodes x samples, and the exact covariance."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.judge.bars import Bar
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, clopper_pearson, paired_difference, t_interval
from bench.methods import learners
from bench.plan.results import Result, select, stacked
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel, Series, make_series
from bench.show.tables import Table

LEARNERS = (
    "eqvar", "eqvar_lasso", "notears", "variance_sort", "r2_sort", "random_order", "oracle", "oracle_lasso",
)  # fmt: skip


def compared(setup: Setup) -> tuple[str, ...]:
    """The learners of this run: ours, the preset's further ones, and those asked for."""
    return setup.beside((*LEARNERS, *setup.preset.structure.further))


def plan_cell(
    setup: Setup, learner: str, family: str, edges: int, nodes: int, samples: int | None, **changes: Any
) -> Cell:
    """A cell of the structure runner; `changes` may set weights, signed, noise, profile, ratio, violation, draws.

    violation: None, or a kind of `synth.violations.VIOLATIONS` with its knobs: {"kind": "confounded", "latents": 2}.
    """
    params: dict[str, Any] = {
        "family": family,
        "edges": edges,
        "nodes": nodes,
        "samples": samples,
        "weights": [0.5, 2.0],
        "signed": True,
        "noise": "gaussian",
        "profile": "equal",
        "ratio": 1.0,
        "violation": None,
        "learner": learner,
        "identity": learners.identity(learner),
        "options": {},
        "draws": setup.preset.structure.draws,
        "root": setup.root,
    } | changes
    return Cell(
        "structure",
        params,
        ("bench.runners.structure:run", *learners.code(learner)),
        cost=0.1 + params["draws"] * learners.seconds(learner, nodes, samples),
        timeout=setup.preset.timeout,
        label=f"{learner} on {family}{edges}, {nodes} nodes, n = {samples or 'infinite'}"
        + "".join(f", {name} {_describe(value)}" for name, value in changes.items()),
    )


def _describe(value: object) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def plan(setup: Setup) -> list[Cell]:
    """Every learner on every family, size and number of samples that it can take; None is the exact covariance."""
    s = setup.preset.structure
    return [
        plan_cell(setup, learner, family, edges, nodes, samples)
        for family, edges in s.families
        for nodes in s.nodes
        for samples in (*s.samples, None)
        for learner in compared(setup)
        if learners.can_run(learner, nodes, samples)
    ]


def _row(r: Result) -> tuple[Any, ...]:
    p, m, a = r.params, r.metrics, r.arrays
    return (
        f"{p['family'].upper()}{p['edges']}",
        p["nodes"],
        "exact" if p["samples"] is None else p["samples"],
        learners.title(p["learner"]),
        m["median_shd"],
        m["median_shd_best"],
        m["median_cpdag_shd"],
        t_interval(a["shd"]).within(0.0, np.inf),
        float(a["tpr"].mean()),
        float(a["fdr"].mean()),
        clopper_pearson(m["exact"], m["draws"]),
        m["h_max"],
        m["cyclic"],
        m["cyclic_thresholded"],
        m["removed_edges"],
        m["not_converged"],
        m["failures"],
        m["median_iterations"],
        mean_known(a["varsortability"]),
        mean_known(a["r2_sortability"]),
        1000 * m["fit_cpu_s"] / m["draws"],
    )


def mean_known(values: NDArray[np.float64]) -> float | None:
    """The mean of the values that are defined, None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


COLUMNS = (
    "graphs", "nodes", "n", "learner", "median SHD", "at the best threshold", "median CPDAG SHD", "mean SHD", "TPR",
    "FDR", "exact recovery", "max h", "cyclic", "cyclic at 0.3", "edges cut", "not converged", "failures",
    "median iterations", "varsort.", "R2-sort.", "CPU ms a graph",
)  # fmt: skip


def details(setup: Setup, results: list[Result]) -> list[Table]:
    """Every cell as a row."""
    rows = [_row(r) for r in results if r.ok]
    note = (
        f"{_note(setup, results)} Cyclic: draws whose |w| above 1e-8 have a cycle; at 0.3: those that kept one, cut at "
        "its weakest edges. Of a CPDAG an undirected edge is an error in the SHD; the CPDAG SHD compares "
        "it with the CPDAG of the truth."
    )
    return [Table("recovery_all", "Recovery of known DAGs, every cell", COLUMNS, tuple(rows), note)]


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Median SHD by family at one n, and exact recovery by n at the largest size."""
    s, names = setup.preset.structure, compared(setup)
    n = 1000 if 1000 in s.samples else s.samples[-1]
    by_family = []
    for family, edges in s.families:
        for nodes in s.nodes:
            cells = [select(results, family=family, edges=edges, nodes=nodes, samples=n, learner=k) for k in names]
            medians = [c[0].metrics["median_shd"] if c else None for c in cells]
            by_family.append((f"{family.upper()}{edges}", nodes, *medians))
    by_n = []
    for samples in (*s.samples, None):
        row: list[Any] = ["exact" if samples is None else samples]
        for learner in names:
            found = select(results, nodes=s.nodes[-1], samples=samples, learner=learner)
            exact, draws = (sum(r.metrics[name] for r in found) for name in ("exact", "draws"))
            row.append(clopper_pearson(exact, draws) if draws else None)
        by_n.append(tuple(row))
    heads = tuple(learners.title(learner) for learner in names)
    return [
        Table("recovery_shd", f"Median SHD at n = {n}, equal variances", ("graphs", "nodes", *heads), tuple(by_family),
              _note(setup, results)),
        Table("recovery_rate", f"Share of graphs of {s.nodes[-1]} nodes recovered exactly, all families", ("n", *heads),
              tuple(by_n), f"{s.draws} draws a family; Clopper-Pearson intervals. exact: the population covariance."
              f"{failed_draws(results)}"),
    ]  # fmt: skip


def failed_draws(results: list[Result]) -> str:
    """A sentence for the note of a table: which learners failed on some of their draws; "" where none did."""
    ran = [r for r in results if r.ok]
    learner_names = dict.fromkeys(r.params["learner"] for r in ran if r.metrics["failures"])
    said = []
    for name in learner_names:
        failures, draws = (sum(r.metrics[k] for r in select(ran, learner=name)) for k in ("failures", "draws"))
        said.append(f"{learners.title(name)} on {failures} of {draws}")
    return f" Draws that a learner failed on count as the empty graph: {', '.join(said)}." if said else ""


def _note(setup: Setup, results: list[Result]) -> str:
    return (
        f"{setup.preset.structure.draws} draws; weights ±U(0.5, 2), Gaussian noise of equal variance; SHD counts a "
        "reversed edge once; threshold 0.3 on |W|. NOTEARS: lambda 0.02, log-determinant h. The lasso refit keeps the "
        "predecessors that BIC picks on the lasso's path. Without it EqVar, the sorts and the known order take least "
        "squares on every predecessor: at small n false edges pass the threshold, where a penalty stops them."
        f"{failed_draws(results)}"
    )


def figures(setup: Setup, results: list[Result]) -> list[Figure]:
    """Exact-recovery rate and mean SHD against n: a panel a size, a curve a learner, over all families."""
    s, names = setup.preset.structure, dict.fromkeys(r.params["learner"] for r in results)
    graphs = ", ".join(f"{family.upper()}{edges}" for family, edges in s.families)
    note = f"{s.draws} draws each of {graphs}, taken together; weights ±U(0.5, 2), Gaussian noise of equal variance; "

    def panels(measure: Callable[[list[Result]], Interval]) -> tuple[Panel, ...]:
        return tuple(
            Panel(f"{nodes} nodes", tuple(curve(measure, nodes, learner) for learner in names)) for nodes in s.nodes
        )

    def curve(measure: Callable[[list[Result]], Interval], nodes: int, learner: str) -> Series:
        cells = {n: select(results, nodes=nodes, samples=n, learner=learner) for n in s.samples}
        return make_series(learners.title(learner), [(n, measure(c) if c else None) for n, c in cells.items()])

    def rate(cells: list[Result]) -> Interval:
        return clopper_pearson(*(sum(r.metrics[name] for r in cells) for name in ("exact", "draws")))

    def distance(cells: list[Result]) -> Interval:
        return t_interval(stacked(cells, "shd")).within(0.0, np.inf)

    return [
        Curves("recovery_rate_by_n", "Graphs recovered exactly, equal variances", "samples n", "share of graphs",
               panels(rate), log_x=True, y_range=(0.0, 1.0), note=f"{note}95 % Clopper-Pearson intervals."),
        Curves("recovery_shd_by_n", "Distance to the true graph, equal variances", "samples n", "mean SHD (edges)",
               panels(distance), log_x=True, note=f"{note}95 % t intervals. A reversed edge counts once."),
    ]  # fmt: skip


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """`equal-variance-identifies`, by EqVar: exact on the exact covariance, and consistent in n."""
    claim, samples = "equal-variance-identifies", setup.preset.structure.samples
    population, small, large = (
        _by_graphs(select(results, learner="eqvar", samples=n)) for n in (None, samples[0], samples[-1])
    )
    both = [graphs for graphs in large if graphs in small]
    if not (population and both):
        return []
    shd = stacked(list(population.values()), "shd")
    rate = clopper_pearson(int((shd == 0).sum()), len(shd))
    exact = Finding(
        claim, "SHD 0 on the exact covariance", "holds" if (shd == 0).all() else "fails", rate,
        f"exact recovery, {len(shd)} draws",
    )  # fmt: skip
    rates = {graphs: clopper_pearson(r.metrics["exact"], r.metrics["draws"]) for graphs, r in large.items()}
    (family, edges, nodes), worst = min(rates.items(), key=lambda entry: entry[1].low)
    floor = margins.of(claim)
    detail = f"the worst of {len(rates)} kinds of graph, {family.upper()}{edges} of {nodes} nodes; {worst.n} draws"
    bar, part = Bar(holds=floor, fails=floor), f"recovery rate above {floor:g} at n = {samples[-1]}"
    passes = held(claim, part, worst, bar, detail, "draws")
    before, after = (stacked([part[graphs] for graphs in both], "shd") == 0 for part in (small, large))
    rise = paired_difference(after.astype(float), before.astype(float)).within(-1.0, 1.0)
    part, paired = f"rate rises from n = {samples[0]} to {samples[-1]}", f"paired over {len(after)} draws"
    rises = held(claim, part, rise, Bar(holds=0.0, fails=0.0), paired, "draws")
    return [exact, passes, rises]


def _by_graphs(results: list[Result]) -> dict[tuple[Any, ...], Result]:
    """Results by what their graphs depend on, so that different n can be paired draw by draw."""
    return {tuple(r.params[name] for name in ("family", "edges", "nodes")): r for r in results}
