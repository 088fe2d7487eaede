"""Does the constraint converge? Traces of h, rho and gamma for NOTEARS and CausalRec, and what is left at the end."""

import numpy as np

from bench.cell import Cell
from bench.claims import Finding, Margins
from bench.experiments import recommend
from bench.experiments.recovery import plan_cell
from bench.plan import Result, Setup
from bench.statistics import clopper_pearson
from bench.tables import Table, Value

SAMPLES = 1000
CLAIM = "acyclicity-converges"


def plan(setup: Setup) -> list[Cell]:
    """NOTEARS on every size and family; CausalRec in every behaviour world."""
    s = setup.preset.structure
    cells = [
        plan_cell(setup, "notears", family, edges, nodes, SAMPLES) for family, edges in s.families for nodes in s.nodes
    ]
    return cells + recommend.world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec")


def _graphs(results: list[Result]) -> list[Result]:
    return [r for r in results if r.ok and r.cell.experiment == "structure"]


def _models(results: list[Result]) -> list[Result]:
    return [r for r in results if r.ok and r.cell.experiment == "recommender"]


def _steps(count: int) -> list[int]:
    """At most 8 rows of a trace, the first and the last among them."""
    return sorted({round(step) for step in np.linspace(0, count - 1, min(8, count))})


def tables(setup: Setup, results: list[Result]) -> list[Table]:  # noqa: ARG001
    """Both traces, thinned, and the state at the end of every run."""
    made = []
    graphs, models = _graphs(results), _models(results)
    if graphs:
        largest = max(graphs, key=lambda r: (r.params["nodes"], r.params["edges"]))
        h, rho, gamma = (np.asarray(largest.arrays[f"trace_{name}"]) for name in ("h", "rho", "gamma"))
        rows: list[tuple[Value, ...]] = [
            (step + 1, float(np.median(h[step])), float(h[step].max()), float(np.median(rho[step])),
             float(np.median(gamma[step])))
            for step in _steps(len(h))
        ]  # fmt: skip
        p = largest.params
        what = f"{p['family'].upper()}{p['edges']}, {p['nodes']} nodes, {p['draws']} problems"
        columns = ("multiplier update", "median h", "max h", "median rho", "median gamma")
        note = "h is the exponential's, of the dense W, before any threshold."
        made.append(Table("acyclicity_notears", f"NOTEARS: {what}", columns, tuple(rows), note))
    if models:
        arrays = [r.arrays for r in models]
        epochs = min(len(a["trace_h"]) for a in arrays)
        rows = [
            (epoch + 1, *(float(np.median([a[f"trace_{name}"][epoch] for a in arrays])) for name in ("h", "h_max")),
             *(float(np.median([a[f"trace_{name}"][epoch] for a in arrays])) for name in ("rho", "gamma", "fit")))
            for epoch in _steps(epochs)
        ]  # fmt: skip
        heads = ("epoch", "mean h of sequences", "max h of sequences", "rho", "gamma", "L_fit")
        title = f"CausalRec in {len(models)} behaviour worlds"
        made.append(Table("acyclicity_causalrec", title, heads, tuple(rows), "Median over the worlds."))
    return [*made, _ends(graphs, models)]


def _ends(graphs: list[Result], models: list[Result]) -> Table:
    rows: list[tuple[Value, ...]] = [
        (f"NOTEARS, {r.params['family'].upper()}{r.params['edges']}, {r.params['nodes']} nodes", r.metrics["draws"],
         float(np.mean(r.arrays["h"])), r.metrics["h_max"], int((np.asarray(r.arrays["removed_edges"]) > 0).sum()))
        for r in graphs
    ]  # fmt: skip
    rows += [
        (f"CausalRec, world {r.params['seed']}", len(r.arrays["test_kept"]), r.metrics["h_mean"], r.metrics["h_max"],
         round(r.metrics["cyclic_share"] * len(r.arrays["test_kept"])))
        for r in models
    ]  # fmt: skip
    columns = ("run", "graphs", "mean h", "max h", "graphs with a cycle")
    note = (
        "At the end. NOTEARS: one graph a problem; a cycle is one left after the threshold of 0.3. CausalRec: one "
        "graph a test history; a cycle is one in the full W at tau = 0.3 or more. R only points back: it has none."
    )
    return Table("acyclicity_end", "What is left of h", columns, tuple(rows), note)


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:  # noqa: ARG001
    """`acyclicity-converges`, for NOTEARS and for CausalRec apart."""
    margin, found = margins.of(CLAIM), []
    graphs, models = _graphs(results), _models(results)
    if graphs:
        h = np.concatenate([r.arrays["h"] for r in graphs])
        cut = np.concatenate([r.arrays["removed_edges"] for r in graphs])
        good = int(((h <= margin) & (cut == 0)).sum())
        detail = f"share of {len(h)} problems with h ≤ {margin:g} and no cycle; largest h {h.max():.1e}"
        found.append(
            Finding(CLAIM, "NOTEARS", "holds" if good == len(h) else "fails", clopper_pearson(good, len(h)), detail)
        )
    if models:
        good = sum(r.metrics["h_max"] <= margin and r.metrics["cyclic_share"] == 0 for r in models)
        worst, mean = (max(r.metrics[name] for r in models) for name in ("h_max", "h_mean"))
        detail = (
            f"share of {len(models)} worlds with every h ≤ {margin:g} and no cycle; largest h {worst:.1e}, "
            f"largest mean {mean:.1e}"
        )
        share = clopper_pearson(good, len(models))
        found.append(Finding(CLAIM, "CausalRec, full W", "holds" if good == len(models) else "fails", share, detail))
    return found
