"""Does the constraint converge? Traces of h, rho and gamma for NOTEARS and CausalRec, and what is left at the end."""

from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.theory.graphs import graph_name, plan_cell
from bench.judge.claims import Finding, Register
from bench.judge.intervals import t_interval
from bench.plan.recommender_cells import world_cells
from bench.plan.results import Result, mean_metric, of_cells, values
from bench.plan.setup import Setup
from bench.plan.tuning import after_trials, chosen_runs, tuning_cells
from bench.show.figures import NAN, Curves, Figure, Panel, Series
from bench.show.tables import Table
from causalrec.lagrangian import Lagrangian
from causalrec.model import CausalRecOptions

SAMPLES = 1000
CLAIM = "acyclicity-converges"
CAP = Lagrangian.cap
LEAST = 1e-16  # of h, where float64 cannot tell it from 0
PLAIN: dict[str, Any] = {}
# The model without what is to bring h down, in the behaviour worlds: what differs.
WITHOUT: dict[str, dict[str, Any]] = {"no h in the loss": {"acyclicity": False}, "no L_DAG": {"beta": 0.0}}


def plan(setup: Setup) -> list[Cell]:
    """NOTEARS on every size and family; CausalRec in every behaviour world, and its tuning trials on real data."""
    s = setup.preset.structure
    graphs = ((*family, nodes) for family in s.families for nodes in s.nodes)
    cells = [plan_cell(setup, "notears", *graph, SAMPLES) for graph in graphs]
    cells += [cell for changes in (PLAIN, *WITHOUT.values()) for cell in _world_cells(setup, changes)]
    return cells + [cell for name in setup.found for cell in tuning_cells(setup, name, "causalrec")]


def _world_cells(setup: Setup, changes: dict[str, Any]) -> list[Cell]:
    return world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec", **changes)


def refine(setup: Setup, results: Results) -> list[Cell]:
    """What follows the trials."""
    return [cell for name in setup.found for cell in after_trials(setup, results, name, "causalrec")]


def _steps(count: int) -> list[int]:
    """At most 8 rows of a trace, the first and the last among them."""
    return sorted({round(step) for step in np.linspace(0, count - 1, min(8, count))})


def tables(setup: Setup, results: Results) -> list[Table]:
    """Both traces, thinned, and the state at the end of every run."""
    graphs = [r for r in results if r.ok and r.cell.runner == "structure"]
    models = chosen_runs(setup, results, "behaviour", "causalrec")
    made = []
    if graphs:
        largest = max(graphs, key=lambda r: (r.params["nodes"], r.params["edges"]))
        h, rho, gamma = (np.asarray(largest.arrays[f"trace_{name}"]) for name in ("h", "rho", "gamma"))
        whole = ((np.median, h), (np.max, h), (np.median, rho), (np.median, gamma))
        rows = [(step + 1, *(float(of(trace[step])) for of, trace in whole)) for step in _steps(len(h))]
        title = f"NOTEARS: {graph_name(largest)}, {largest.params['nodes']} nodes, {largest.params['draws']} problems"
        columns = ("multiplier update", "median h", "max h", "median rho", "median gamma")
        note = "h is the exponential's, of the dense W, before any threshold."
        made.append(table("acyclicity_notears", title, columns, rows, note))
    if models:
        traces = [[r.arrays[f"trace_{name}"] for r in models] for name in ("h", "h_max", "rho", "gamma", "fit")]
        steps = _steps(min(map(len, traces[0])))
        medians = [(at + 1, *(float(np.median([run[at] for run in runs])) for runs in traces)) for at in steps]
        heads = ("epoch", "mean h of sequences", "max h of sequences", "rho", "gamma", "L_fit")
        title = f"CausalRec in {len(models)} behaviour worlds"
        made.append(table("acyclicity_causalrec", title, heads, medians, "Median over the worlds."))
    runs = {f"world {r.params['seed']}": r for r in models}
    for name in setup.found:
        runs |= {f"{name}, seed {r.params['seed']}": r for r in chosen_runs(setup, results, name, "causalrec")}
    return [*made, _ends(graphs, runs)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """h and rho of CausalRec over the epochs, a curve per world; an h of 0 is a gap on the logarithmic axis."""
    if not (models := chosen_runs(setup, results, "behaviour", "causalrec")):
        return []

    def curve(r: Result, name: str) -> Series:
        trace = np.asarray(r.arrays[f"trace_{name}"], dtype=np.float64)
        epochs = tuple(range(1, len(trace) + 1))
        return Series(f"world {r.params['seed']}", epochs, tuple(np.where(trace > 0, trace, NAN)))

    def panel(title: str, name: str, levels: tuple[tuple[float, str], ...]) -> Panel:
        return Panel(title, tuple(curve(r, name) for r in models), levels=levels)

    aim = ((1e-8, "1e-8, where it counts as 0"),)
    note = f"CausalRec in {len(models)} behaviour worlds; rho rises tenfold where h has not fallen to a quarter."
    left = (panel("mean over histories", "h", aim), panel("largest of a history", "h_max", aim))
    rho = (panel("rho", "rho", ((CAP, "its cap"),)),)
    return [
        Curves("acyclicity_h", "What training leaves of h", "epoch", "h", left, log_y=True, note=note),
        Curves("acyclicity_rho", "The penalty coefficient", "epoch", "rho", rho, log_y=True, note=note),
    ]


def _ends(graphs: Results, models: dict[str, Result]) -> Table:
    rows: Rows = []
    for r in graphs:
        cyclic, rho = int((np.asarray(r.arrays["removed_edges"]) > 0).sum()), np.asarray(r.arrays["trace_rho"])[-1]
        name, h = f"NOTEARS, {graph_name(r)}, {r.params['nodes']} nodes", (r.arrays["h"].mean(), r.metrics["h_max"])
        rows.append((name, r.metrics["draws"], float(h[0]), h[1], cyclic, float(np.max(rho))))
    for name, r in models.items():
        h = (r.metrics["h_mean"], r.metrics["h_max"])
        rows.append((f"CausalRec, {name}", len(r.arrays["test_kept"]), *h, _cyclic(r), _rho(r)))
    columns = ("run", "graphs", "mean h", "max h", "graphs with a cycle", "rho")
    note = (
        "At the end. NOTEARS: one graph a problem; a cycle is one left after the threshold of 0.3. CausalRec: one "
        "graph a test history; a cycle is one in the full W at tau = 0.3 or more. R only points back: it has none. "
        f"rho's cap is {CAP:g} for CausalRec, our choice, and 1e16 for NOTEARS; of CausalRec it is that of "
        "the last epoch."
    )
    return table("acyclicity_end", "What is left of h", columns, rows, note)


def _rho(r: Result) -> float:
    """rho in effect during the epoch whose model is judged: the best on validation, or the last.

    The trace has rho after each epoch's update. Of a first epoch that is the value here, though it began under less.
    """
    return float(r.arrays["trace_rho"][max(0, int(r.metrics["best_epoch"]) - 2)])


def _cyclic(r: Result) -> int:
    """Test histories whose W has a cycle."""
    return round(float(r.metrics["cyclic_share"]) * len(r.arrays["test_kept"]))


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """`acyclicity-converges`, for CausalRec; NOTEARS, which is not the paper's model, is a control in the tables."""
    by_name = {name: chosen_runs(setup, results, name, "causalrec") for name in ("behaviour", *setup.judged)}
    made = [_largest(name, models, register) for name, models in by_name.items() if models]
    mine = _by_world(results, _world_cells(setup, PLAIN))
    for (what, changes), part in zip(WITHOUT.items(), ("without_h", "without_dag"), strict=True):
        theirs = _by_world(results, _world_cells(setup, changes))
        if shared := sorted(mine.keys() & theirs.keys()):
            added = t_interval([theirs[seed] - mine[seed] for seed in shared])
            made.append(Finding(CLAIM, part, added, "behaviour", f"{what}; {len(shared)} worlds"))
    return made


def _by_world(results: Results, cells: list[Cell]) -> dict[int, float]:
    """log10 of the mean h by seed."""
    return {int(r.params["seed"]): _decades(r.metrics["h_mean"]) for r in of_cells(results, cells)}


def _decades(h: float) -> float:
    return float(np.log10(max(h, LEAST)))


def _largest(name: str, models: Results, register: Register) -> Finding:
    """The largest h of each run against tau⁴ of its reading."""
    taus = [float(r.params["options"].get("tau", CausalRecOptions.tau)) for r in models]
    over = t_interval([_decades(r.metrics["h_max"]) - 4 * np.log10(tau) for r, tau in zip(models, taus, strict=True)])
    h, graphs = values(models, "h_max"), sum(len(r.arrays["test_kept"]) for r in models)
    capped = sum(_rho(r) >= CAP for r in models)
    detail = (
        f"{len(models)} {'worlds' if name == 'behaviour' else 'seeds'}, {graphs} histories, full W; largest h, median "
        f"{np.median(h):.1e}, worst {h.max():.1e}; tau {', '.join(f'{tau:g}' for tau in dict.fromkeys(taus))}; "
        f"{sum(map(_cyclic, models))} histories with a cycle at tau; rho at its cap of {CAP:g} in {capped} runs"
    )
    blocked = register.blocked("graph_not_empty", 1 - mean_metric(models, "empty_rows"))
    return Finding(CLAIM, "h", over, name, detail, blocked)


EXPERIMENT = Experiment(
    "acyclicity", "Does the acyclicity constraint converge?", plan, tables, refine, figures=figures, findings=findings,
    gaps=lambda setup: {CLAIM: setup.lacking}, later=0.3,
)  # fmt: skip
