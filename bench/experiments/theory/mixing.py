"""The literal reading of attention as an SCM is vacuous: a softmax row sums to 1, so roots have the most variance.

Random causal attentions mix rows of equal variance in four ways; from the result EqVar orders the tokens. Every way
implies an SCM along time, so what differs is whether its noise variances are equal.
"""

import itertools

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.theory.graphs import mean_shd, samples_words
from bench.judge.intervals import Interval, share_interval
from bench.methods.learners import seconds, title
from bench.plan.results import Result, select
from bench.plan.setup import Setup
from bench.runners.mixing import EDGE
from bench.show.tables import Table

READINGS = {
    "plain": "A V",
    "layernorm": "LayerNorm(A V)",
    "rescaled": "diag(A)⁻¹ A V",
    "residual": "(I + A below its diagonal) V",
}
SCALES = (0.5, 1.0, 2.0)
LEARNER = "eqvar"  # what the runner fits


def plan(setup: Setup) -> list[Cell]:
    """Every reading at every number of tokens and features, None being the exact covariance, and logit scale."""
    s = setup.preset.structure
    return [
        Cell("mixing",
             {"reading": reading, "tokens": n, "features": d, "scale": scale, "draws": s.draws, "root": setup.stream},
             ("bench.runners.mixing:run",), timeout=setup.preset.timeout,
             cost=0.005 + s.draws * (2e-4 + seconds(LEARNER, n, d)),
             label=f"{reading} attention, {n} tokens, d = {d or 'infinite'}, logits of sd {scale:g}")
        for n, d, scale, reading in itertools.product(s.placement_nodes, (*s.features, None), SCALES, READINGS)
    ]  # fmt: skip


def tables(setup: Setup, results: Results) -> list[Table]:
    """Order accuracy by reading, tokens, logit scale and features, beside what the mixing implies."""
    s = setup.preset.structure
    rows: Rows = []
    for tokens, scale, reading in itertools.product(s.placement_nodes, SCALES, READINGS):
        found = select(results, tokens=tokens, scale=scale, reading=reading)
        cells = {r.params["features"]: r for r in found}
        implied = (_median(found[0], name) if found else None for name in ("noise_ratio", "first_over_last"))
        shares = (_share(cells.get(d), "order_accuracy") for d in (*s.features, None))
        rows.append((tokens, scale, READINGS[reading], *implied, *shares, _share(cells.get(None), "auprc")))
    heads = (*(f"order acc., d={features}" for features in s.features), "order acc., exact", "AUPRC, exact")
    note = (
        f"{title(LEARNER)} on Z, {s.draws} draws of A = softmax of N(0, sd²) logits under the causal mask, shared by "
        f"all Z. Order accuracy: share of implied effects |B_ij| >= {EDGE:g} whose cause is ordered first [95 %], "
        "chance 0.5; the two ratios are medians. Under A V the first token, a root, varies most, and the flatter the "
        "attention the more the order runs backwards; only a mixing with 1 on its diagonal has equal noise variances."
    )
    columns = ("tokens", "logit sd", "Z", "noise var. ratio", "Var Z first / last", *heads)
    return [table("mixing", "Attention as an SCM: what its form allows", columns, rows, note)]


def details(setup: Setup, results: Results) -> list[Table]:  # noqa: ARG001
    """Every cell as a row."""
    rows = [
        (r.params["tokens"], samples_words(r.params["features"]), r.params["scale"], READINGS[r.params["reading"]],
         _share(r, "order_accuracy"), _share(r, "auprc"), mean_shd(r), float(r.arrays["true_edges"].mean()),
         _median(r, "noise_ratio"), float(r.arrays["effect"].max()))
        for r in select(results)
    ]  # fmt: skip
    columns = (
        "tokens", "d", "logit sd", "Z", "order accuracy", "AUPRC", "SHD", "implied edges", "noise var. ratio",
        "largest |B|",
    )  # fmt: skip
    note = (
        f"B is what the mixing implies; edges are |B_ij| >= {EDGE:g}, and so in the SHD of {title(LEARNER)}'s W. AUPRC "
        "of |W|; a constant score has edges / (tokens (tokens - 1)). Where |B| passes 1e8, double precision ends "
        "before the order does."
    )
    return [table("mixing_all", "Attention as an SCM, every cell", columns, rows, note)]


def _share(r: Result | None, name: str) -> Interval | None:
    """Mean over the draws that have an edge."""
    known = [] if r is None else [value for value in r.arrays[name] if not np.isnan(value)]
    return share_interval(known) if known else None


def _median(r: Result, name: str) -> float:
    return float(np.median(r.arrays[name]))


EXPERIMENT = Experiment("mixing", "Which SCMs does attention's form allow?", plan, tables, details=details)
