"""Does the constraint converge? Traces of h, rho and gamma for NOTEARS and CausalRec, and what is left at the end."""

import numpy as np

from bench import trials
from bench.cell import Cell
from bench.claims import Finding, Margins
from bench.experiments.recovery import plan_cell
from bench.figures import NAN, Curves, Figure, Panel, Series
from bench.plan import Result, Setup
from bench.power import Outcome
from bench.statistics import clopper_pearson
from bench.tables import Table, Value

SAMPLES = 1000
CLAIM = "acyclicity-converges"
CAP = 1e8


def plan(setup: Setup) -> list[Cell]:
    """NOTEARS on every size and family; CausalRec in every behaviour world."""
    s = setup.preset.structure
    cells = [
        plan_cell(setup, "notears", family, edges, nodes, SAMPLES) for family, edges in s.families for nodes in s.nodes
    ]
    return cells + trials.world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec")


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


def figures(setup: Setup, results: list[Result]) -> list[Figure]:  # noqa: ARG001
    """h and rho of CausalRec over the epochs, a curve a world; an h of 0 is a gap on the logarithmic axis."""
    models = _models(results)
    if not models:
        return []

    def curve(r: Result, name: str) -> Series:
        trace = np.asarray(r.arrays[f"trace_{name}"], dtype=np.float64)
        epochs = tuple(float(epoch) for epoch in range(1, len(trace) + 1))
        return Series(f"world {r.params['seed']}", epochs, tuple(np.where(trace > 0, trace, NAN)))

    def panel(title: str, name: str, levels: tuple[tuple[float, str], ...]) -> Panel:
        return Panel(title, tuple(curve(r, name) for r in models), levels=levels)

    aim = ((1e-8, "1e-8, where it counts as 0"),)
    note = f"CausalRec in {len(models)} behaviour worlds; rho rises tenfold where h has not fallen to a quarter."
    return [
        Curves(
            "acyclicity_h", "What training leaves of h", "epoch", "h",
            (panel("mean over histories", "h", aim), panel("largest of a history", "h_max", aim)),
            log_y=True, note=note,
        ),
        Curves(
            "acyclicity_rho", "The penalty coefficient", "epoch", "rho",
            (panel("rho", "rho", ((CAP, "its cap"),)),), log_y=True, note=note,
        ),
    ]  # fmt: skip


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
    """`acyclicity-converges`, for CausalRec; NOTEARS, which is not the paper's model, is a control in the tables.

    h above the margin counts against the claim only where rho had reached its cap: before, training was too short.
    """
    margin, models = margins.of(CLAIM), _models(results)
    if not models:
        return []
    capped = all(r.arrays["trace_rho"][-1] >= CAP for r in models)
    found = []
    for metric, what in (("h_mean", "mean h of the histories"), ("h_max", "largest h of a history")):
        values = np.array([r.metrics[metric] for r in models])
        good = clopper_pearson(int((values <= margin).sum()), len(values))
        outcome: Outcome = "holds" if good.estimate == 1 else "fails" if capped else "unclear"
        detail = (
            f"share of {len(values)} worlds with {what} ≤ {margin:g}, full W; median {np.median(values):.1e}, worst "
            f"{values.max():.1e}; rho {'at its cap' if capped else 'still rising'}"
        )
        found.append(Finding(CLAIM, f"CausalRec, {what}", outcome, good, detail))
    graphs = sum(len(r.arrays["test_kept"]) for r in models)
    cyclic = round(sum(r.metrics["cyclic_share"] * len(r.arrays["test_kept"]) for r in models))
    share = clopper_pearson(graphs - cyclic, graphs)
    free: Outcome = "holds" if cyclic == 0 else "fails" if capped else "unclear"
    detail = f"share of {graphs} histories in {len(models)} worlds whose full W has no cycle at tau or more"
    return [*found, Finding(CLAIM, "CausalRec, no cycle after reading off edges", free, share, detail)]
