"""Is trained attention the SCM that Eq. 6 reads it as? Cov(V), the B that A implies, the linear fit, R's stability.

The models are those of `recommend`: the behaviour world, and on real data the setting that tuning chose.
"""

from dataclasses import replace
from itertools import combinations, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Row, Rows, table
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, crossed_interval, paired_difference, share_interval, t_interval
from bench.plan.recommender_cells import varied, world_cells, world_sizes
from bench.plan.results import Result, all_of, of_cells, values
from bench.plan.setup import Setup
from bench.plan.tuning import after_trials, chosen_runs, refits, tuning_cells
from bench.show.tables import Table

Edges: TypeAlias = set[tuple[int, int]]
CLAIM = "attention-is-scm"
MODELS = {"causalrec": "CausalRec", "sasrec": "SASRec (control)"}
HEAVY = ("variance", "size", "noise")  # of the shapes: ratios and sizes, which have heavy tails
SHAPES = {
    "correlation": "mean |correlation| of V",
    "excess": "beyond independent rows",
    "variance": "variance ratio of V",
    "negative": "share of B below 0",
    "size": "median |B|",
    "noise": "noise ratio implied by A",
}
FITS = {
    "r2_parents": "R's parents",
    "r2_random": "as many random ones",
    "r2_latest": "as many latest ones",
    "fit": "W itself",
}


def plan(setup: Setup) -> list[Cell]:
    """Both models in every world; the world of the sweeps whole, again under other draws, and by halves of users."""
    p = setup.preset
    cells = [cell for model in MODELS for cell in world_cells(setup, p.world, p.world_seeds, model)]
    cells += [cell for group in _repeats(setup) for cell in group]
    cells += [cell for name in setup.found for model in MODELS for cell in tuning_cells(setup, name, model)]
    return list(dict.fromkeys(cells))


def _repeats(setup: Setup) -> list[list[Cell]]:
    """By world of the sweeps: as it is, trained again under other draws, and on either half of the users."""
    sweep = setup.preset.sweep
    worlds = world_cells(setup, sweep, setup.preset.sweep_seeds, "causalrec")
    worlds = [replace(cell, label=f"{cell.label}, {sweep.users} users") for cell in worlds]
    return [[cell, varied(cell, restart=1), *_halves(cell)] for cell in worlds]


def _halves(cell: Cell) -> list[Cell]:
    """Under draws of their own: common initial weights alone make two graphs alike."""
    return [varied(cell, half=0), varied(cell, half=1, restart=1)]


def refine(setup: Setup, results: Results) -> list[Cell]:
    """What follows the trials, and where the preset asks for it, the first seed's setting on halves of the users."""
    asked = setup.found if "halves" in setup.preset.real.controls else ()
    cells = [cell for name in setup.found for model in MODELS for cell in after_trials(setup, results, name, model)]
    return cells + [cell for name in asked for cell in _halves_of_first(setup, results, name)]


def _halves_of_first(setup: Setup, results: Results, name: str) -> list[Cell]:
    return [cell for whole in refits(setup, results, name, "causalrec")[:1] for cell in _halves(whole)]


def _runs(setup: Setup, results: Results, name: str, model: str) -> Results:
    """A model's results by seed, those that ran and were audited."""
    return [r for r in chosen_runs(setup, results, name, model) if "audit_error" in r.arrays]


def _audited(found: Results, what: str) -> list[NDArray[np.float64]]:
    """By run, a figure of the audit by history."""
    return [np.asarray(r.arrays[f"audit_{what}"], dtype=np.float64) for r in found]


def _worst(found: Results) -> float:
    """The largest relative error of the identity."""
    return max(float(run.max()) for run in _audited(found, "error"))


def _level(name: str, found: Results, what: str) -> Interval:
    """The mean over worlds, or over seeds and histories crossed; of what has heavy tails, see `_typical`."""
    by_run = _audited(found, what)
    if what in HEAVY:
        return _typical(by_run)
    return t_interval([run.mean() for run in by_run]) if name == "behaviour" else crossed_interval(np.stack(by_run))


def _typical(by_run: list[NDArray[np.float64]]) -> Interval:
    """The median of each run's histories, geometric mean over runs."""
    middle = t_interval(np.log([max(float(np.median(run)), 1e-300) for run in by_run]))
    at, low, high = (float(np.exp(min(bound, 700.0))) for bound in (middle.estimate, middle.low, middle.high))
    return Interval(at, low, high, middle.n)


def _explained(found: Results, which: str) -> NDArray[np.float64]:
    """By run, the mean over histories that have the figure; NaN where none has."""
    runs = [run[np.isfinite(run)] for run in _audited(found, which)]
    return np.array([run.mean() if len(run) else np.nan for run in runs])


def _over_runs(values: NDArray[np.float64]) -> Interval | None:
    return t_interval(values[known]) if (known := np.isfinite(values)).any() else None


def tables(setup: Setup, results: Results) -> list[Table]:
    """The two conditions on V and what A implies; how the linear SCM fits; how stable R is."""
    rows: Rows = []
    for name in setup.places:
        for model, title in MODELS.items():
            if found := _runs(setup, results, name, model):
                rows.append((name, title, len(found), _worst(found), *(_level(name, found, shape) for shape in SHAPES)))
    columns = ("data", "model", "runs", "error of the identity", *SHAPES.values())
    note = (
        "The first layer of trained models on test histories. Error: largest relative error of Cov(Z) = A Cov(V) Aᵀ. "
        "Correlations are of rows of V with different items; independent rows of as many features have some by chance. "
        "Ratios are largest over smallest; B = I − ΛA⁻¹ with A = (I − B)⁻¹Λ, whose noises have the variances Λ². "
        "Intervals: behaviour, t over worlds; real data, over seeds and histories crossed; ratios and |B|, the median "
        "of each run, geometric mean and t of the logarithm over runs."
    )
    shape = table("audit", "What Eq. 6 asks of attention", columns, rows, note)
    return [shape, _fit_table(setup, results), _stability_table(setup, results)]


def _fit_table(setup: Setup, results: Results) -> Table:
    rows: Rows = []
    for name in setup.places:
        if found := _runs(setup, results, name, "causalrec"):
            fits = {which: _explained(found, which) for which in FITS}
            beyond = (fits["r2_parents"] - fits[other] for other in ("r2_random", "r2_latest"))
            rows.append((name, len(found), *map(_over_runs, (*fits.values(), *beyond))))
    columns = ("data", "runs", *FITS.values(), "parents less random", "parents less latest")
    note = (
        "Adjusted R² of a row of Z regressed on other rows before it, which hold other items: R's parents, random ones "
        "and the latest ones, as many, over rows that have parents and others to choose; and the share of Z's square "
        "that W explains as it is. Mean over histories, t over runs."
    )
    return table("audit_fit", "How well the linear SCM fits Z", columns, rows, note)


# Stability


def edges(r: Result, most: int | None = None) -> Edges:
    """Item-level edges (effect, cause) of R, W >= tau.

    Args:
        r: a result of CausalRec.
        most: as many of the strongest of W instead, where that many were stored.
    """
    weight = np.asarray(r.arrays["edge_weight"])
    count = int((weight >= r.params["options"].get("tau", 0.3)).sum()) if most is None else min(most, len(weight))
    return set(zip(*(r.arrays[f"edge_{end}"][:count].tolist() for end in ("effect", "cause")), strict=True))


def jaccard(a: Edges, b: Edges) -> tuple[float, float] | None:
    """Overlap over union, and what chance gives graphs with these numbers of effects and causes per item.

    By chance an edge i <- j is in a graph with probability r_i c_j / m, from its effects, causes and edges (Chung &
    Lu 2002); None where both are empty.

    Args:
        a: edges (effect, cause) of each graph.
        b: edges (effect, cause) of each graph.
    """
    if not a and not b:
        return None
    by_chance, shared = 0.0, len(a & b)
    if a and b:
        sides = [_overlap([edge[side] for edge in a], [edge[side] for edge in b]) for side in (0, 1)]
        by_chance = min(sides[0] * sides[1] / (len(a) * len(b)), float(min(len(a), len(b))))
    return shared / (len(a) + len(b) - shared), by_chance / (len(a) + len(b) - by_chance)


def _overlap(a: list[int], b: list[int]) -> float:
    size = max(*a, *b) + 1
    return float(np.bincount(a, minlength=size) @ np.bincount(b, minlength=size))


def _pairs(setup: Setup, results: Results) -> dict[tuple[str, str], list[Results]]:
    """By dataset and what differs, the pairs of runs to compare."""
    read = [r for r in results if r.ok and "edge_weight" in r.arrays]
    groups = _repeats(setup)
    asked = {("behaviour", "other draws"): [(whole, again) for whole, again, *_ in groups]}
    asked["behaviour", "halves of the users"] = [(one, two) for *_, one, two in groups]
    for name in setup.found:
        asked[name, "other draws"] = list(combinations(refits(setup, results, name, "causalrec"), 2))
        asked[name, "halves of the users"] = list(pairwise(_halves_of_first(setup, results, name)))
    found = {key: [all_of(read, list(pair)) for pair in pairs] for key, pairs in asked.items()}
    return {key: ran for key, pairs in found.items() if (ran := [pair for pair in pairs if pair])}


def _stability_table(setup: Setup, results: Results) -> Table:
    rows: Rows = []
    for (name, what), pairs in _pairs(setup, results).items():
        world = name == "behaviour"
        items = len(pairs[0][0].arrays["item_graph"]) if world else int(setup.statistic(name, "items"))
        for title, most in (("R", None), (f"strongest {items} of W", items)):
            sets = [[edges(r, most) for r in pair] for pair in pairs]
            overlaps = [overlap for a, b in sets if (overlap := jaccard(a, b)) is not None]
            count = float(np.mean([len(side) for pair in sets for side in pair]))
            of_both = zip(*overlaps, strict=True)
            shares: Row = tuple(share_interval(shares) if world else float(np.mean(shares)) for shares in of_both)
            rows.append((name, what, title, len(pairs), count, *(shares or (None, None))))
    columns = ("data", "what differs", "edges", "pairs", "edges of one", "Jaccard", "by chance")
    note = (
        "Item-level edges that two runs share, over those that either has; by chance: graphs with the same number of "
        "effects and of causes an item. All pairs differ in initial weights and batches too, and other draws on real "
        "data in the setting that tuning chose on each seed. Behaviour: "
        f"{world_sizes(setup.preset.sweep)}, t over worlds; real data: the mean over pairs of seeds, which are "
        "not independent, hence no interval."
    )
    return table("audit_stability", "How stable R is", columns, rows, note)


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`attention-is-scm` and the checks of what holds by construction, of CausalRec on each dataset."""
    made = []
    for name in ("behaviour", *setup.judged):
        if not (found := _runs(setup, results, name, "causalrec")):
            continue
        excess, variance, noise = (_level(name, found, what) for what in ("excess", "variance", "noise"))
        kind = "worlds" if name == "behaviour" else "seeds"
        rests = f"{len(found)} {kind}, {len(found[0].arrays['audit_error'])} histories each"
        made.append(Finding(CLAIM, "cov_v", excess, name, rests))
        worst = _worst(found)
        made.append(Finding("eq6-identity", "error", Interval(worst, worst, worst, len(found)), name, rests))
        said = f"{rests}; of the noises that A implies: {noise.estimate:.3g}"
        made.append(Finding("layernorm-equal-variances", "ratio", variance, name, said))
    worlds = of_cells(results, world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec"))
    if worlds:
        above = paired_difference(values(worlds, "auprc_implied"), values(worlds, "auprc_random"))
        weights = values(worlds, "auprc_attention").mean()
        detail = f"{len(worlds)} worlds; AUPRC of the attention weights themselves {weights:.2f}"
        made.append(Finding(CLAIM, "implied", above, "behaviour", detail))
    return made


EXPERIMENT = Experiment(
    "audit", "Is trained attention the SCM that Eq. 6 reads it as?", plan, tables, refine, findings=findings,
    gaps=lambda setup: {CLAIM: setup.lacking},
)  # fmt: skip
