"""Does the constraint cost O(n³)? CPU time of h(W) and its gradient against the number of nodes, by form of h."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, curves, table
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, t_interval
from bench.plan.results import select
from bench.plan.setup import Setup
from bench.runners.cost import SERIES
from bench.show.figures import Curves, Figure, Series
from bench.show.tables import Table
from causalrec.acyclicity import FORMS

CLAIM = "cubic-cost"
JUDGED = "exponential"  # the paper's h
LARGE, FEWEST = 256, 3  # nodes from which on n is large, and how many such sizes an exponent is fitted to
TITLES = {
    "exponential": "tr e^{W∘W} − n (the paper's)",
    "log_determinant": "log-determinant",
    "polynomial": "polynomial",
    SERIES: "as CausalRec trains: series, float32",
}
PRODUCTS = {"polynomial": 25, "exponential": 9, "log_determinant": 2, SERIES: 7}
RATE = 2e10  # operations per second, for the estimate of a cell's time


def plan(setup: Setup) -> list[Cell]:
    """By form, as many cells as repeats, each a process of its own that times all sizes in turn."""
    c = setup.preset.cost
    return [
        Cell("cost", {"form": form, "nodes": list(c.nodes), "repeat": repeat, "root": setup.stream},
             ("bench.runners.cost:run",), timeout=setup.preset.timeout, label=f"cost of h, {form}, {repeat}",
             cost=0.5 + sum(0.02 + PRODUCTS[form] * 2 * n**3 / RATE for n in c.nodes))
        for repeat in range(c.repeats) for form in (*FORMS, SERIES)
    ]  # fmt: skip


def tables(setup: Setup, results: Results) -> list[Table]:
    """Milliseconds by size, and the exponent at the large ones."""
    sizes = setup.preset.cost.nodes
    rows = [(TITLES[form], *_times(runs), _exponent(runs)) for form, runs in _by_form(results).items()]
    note = (
        f"CPU milliseconds of one thread for h and its gradient, one dense W of norm 1, float64 unless said; "
        f"{setup.preset.cost.repeats} repeats, each in a process of its own. Exponent: slope of log time on log n over "
        f"n of {LARGE} and more, {FEWEST} sizes at least, one per repeat. Matrix products run faster on larger "
        "matrices, which lowers it."
    )
    columns = ("form of h", *(f"n = {n}" for n in sizes), "exponent")
    return [table("cost", "What acyclicity costs", columns, rows, note)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Time against n on logarithmic axes, and a line of slope 3 through the slowest form's time at the largest n."""
    c, title = setup.preset.cost, "CPU time of h(W) and its gradient"
    times = {TITLES[form]: _times(runs) for form, runs in _by_form(results).items()}
    if not times:
        return []
    points = {form: zip(c.nodes, found, strict=True) for form, found in times.items()}
    slowest, most = max(found[-1].estimate for found in times.values()), c.nodes[-1]
    cubic = Series("slope 3: cubic", c.nodes, tuple(slowest * (n / most) ** 3 for n in c.nodes))
    panel = replace(curves(f"one thread, {c.repeats} repeats, 95 % intervals", points), guides=(cubic,))
    return [Curves("cost", title, "nodes n", "milliseconds", (panel,), log_x=True, log_y=True)]


def _by_form(results: Results) -> dict[str, Results]:
    """The results of each form, one per repeat."""
    found = {form: select(results, form=form) for form in (*FORMS, SERIES)}
    return {form: runs for form, runs in found.items() if runs}


def _seconds(runs: Results) -> NDArray[np.float64]:
    """By repeat and size."""
    return np.stack([r.arrays["seconds"] for r in runs])


def _times(runs: Results) -> list[Interval]:
    """Milliseconds by size."""
    return [t_interval(1e3 * column).within(0.0, np.inf) for column in _seconds(runs).T]


def _exponent(runs: Results) -> Interval | None:
    """One slope per repeat, since what slows one repeat slows all its sizes; None where too few sizes are large."""
    nodes = np.array(runs[0].params["nodes"], dtype=np.float64)
    large = nodes >= LARGE
    if large.sum() < FEWEST:
        return None
    x, y = np.log(nodes[large]), np.log(_seconds(runs)[:, large])
    return t_interval(y @ (x - x.mean()) / np.square(x - x.mean()).sum())


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`cubic-cost`, of the paper's h; the other forms stand beside it."""
    runs = select(results, form=JUDGED)
    if not runs:
        return []
    sizes = ", ".join(str(n) for n in setup.preset.cost.nodes if n >= LARGE) or "none"
    exponent = _exponent(runs)
    blocked = "" if exponent else f"n of {LARGE} and more: {sizes}; an exponent needs {FEWEST} sizes"
    detail = f"n = {sizes}; {len(runs)} repeats, CPU time of one thread"
    return [Finding(CLAIM, "exponent", exponent, detail=detail, blocked=blocked)]


EXPERIMENT = Experiment(
    "cost", "Does the acyclicity constraint cost O(n³)?", plan, tables, figures=figures, findings=findings
)
