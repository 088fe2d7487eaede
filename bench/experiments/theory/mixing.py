"""The literal reading of attention as an SCM is vacuous: a softmax row sums to 1, so roots have the most variance.

Random causal attentions mix rows of equal variance in four ways; from the result EqVar orders the tokens. Every way
implies an SCM along time, so what differs is whether its noise variances are equal.
"""

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.judge.claims import Finding, Margins
from bench.judge.intervals import Interval, Value, share_interval, t_interval
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
        Cell(
            "mixing",
            {"reading": reading, "tokens": tokens, "features": features, "scale": scale, "draws": s.draws}
            | {"root": setup.root},
            ("bench.runners.mixing:run",),
            cost=0.005 + s.draws * (2e-4 + seconds(LEARNER, tokens, features)),
            timeout=setup.preset.timeout,
            label=f"{reading} attention, {tokens} tokens, d = {features or 'infinite'}, logits of sd {scale:g}",
        )
        for tokens in s.placement_nodes
        for features in (*s.features, None)
        for scale in SCALES
        for reading in READINGS
    ]


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Order accuracy by reading, tokens, logit scale and features, beside what the mixing implies."""
    s = setup.preset.structure
    rows: list[tuple[Value, ...]] = []
    for tokens in s.placement_nodes:
        for scale in SCALES:
            for reading, formula in READINGS.items():
                found = select(results, tokens=tokens, scale=scale, reading=reading)
                cells = {r.params["features"]: r for r in found}
                implied = [_median(found[0], name) if found else None for name in ("noise_ratio", "first_over_last")]
                shares = [_share(cells.get(d), "order_accuracy") for d in (*s.features, None)]
                rows.append((tokens, scale, formula, *implied, *shares, _share(cells.get(None), "auprc")))
    heads = (*(f"order acc., d={features}" for features in s.features), "order acc., exact", "AUPRC, exact")
    note = (
        f"{title(LEARNER)} on Z, {s.draws} draws of A = softmax of N(0, sd²) logits under the causal mask, shared by "
        f"all Z. Order accuracy: share of implied effects |B_ij| >= {EDGE:g} whose cause is ordered first [95 %], "
        "chance 0.5; the two ratios are medians. Under A V the first token, a root, varies most, and the flatter the "
        "attention the more the order runs backwards; only a mixing with 1 on its diagonal has equal noise variances."
    )
    columns = ("tokens", "logit sd", "Z", "noise var. ratio", "Var Z first / last", *heads)
    return [Table("mixing", "Attention as an SCM: what its form allows", columns, tuple(rows), note)]


def details(setup: Setup, results: list[Result]) -> list[Table]:
    """Every cell as a row."""
    del setup
    rows = [
        (
            r.params["tokens"],
            "exact" if r.params["features"] is None else r.params["features"],
            r.params["scale"],
            READINGS[r.params["reading"]],
            _share(r, "order_accuracy"),
            _share(r, "auprc"),
            t_interval(r.arrays["shd"].astype(float)).within(0.0, np.inf),
            float(r.arrays["true_edges"].mean()),
            _median(r, "noise_ratio"),
            float(r.arrays["effect"].max()),
        )
        for r in results
        if r.ok
    ]
    columns = (
        "tokens", "d", "logit sd", "Z", "order accuracy", "AUPRC", "SHD", "implied edges", "noise var. ratio",
        "largest |B|",
    )  # fmt: skip
    note = (
        f"B is what the mixing implies; edges are |B_ij| >= {EDGE:g}, and so in the SHD of {title(LEARNER)}'s W. AUPRC "
        "of |W|; a constant score has edges / (tokens (tokens - 1)). Where |B| passes 1e8, double precision ends "
        "before the order does."
    )
    return [Table("mixing_all", "Attention as an SCM, every cell", columns, tuple(rows), note)]


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[~np.isnan(values)]


def _share(r: Result | None, name: str) -> Interval | None:
    """Mean over the draws that have an edge."""
    known = np.array([]) if r is None else _known(np.asarray(r.arrays[name], dtype=np.float64))
    return share_interval(known) if len(known) else None


def _median(r: Result, name: str) -> float:
    return float(np.median(r.arrays[name]))


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """None: no claim of the register rests on random attentions."""
    del setup, results, margins
    return []
