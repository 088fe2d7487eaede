"""What of CausalRec's boost matters: its mode, its absence, a filter instead, and R itself: learned, true, random.

In the behaviour world at the sizes of the sweeps; on real data around the setting that tuning chose, as far as the
preset asks for it. Seeds are shared. A graph that is given is boosted by without L_DAG (source `fixed`, beta 0), so it
is compared with the same model that has no graph.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.judge.bars import Bar, Outcome, power_words
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, Value, crossed_gain, slope_interval, t_interval
from bench.plan import trials
from bench.plan.results import Result
from bench.plan.setup import OWN, Setup
from bench.show.figures import Curves, Figure, Panel, make_series
from bench.show.tables import Table, format_value

MOST_ITEMS = 6000  # a given graph is a table of items x items
ALPHA = 100.0  # strong enough that a wrong edge outweighs a right position without one
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MODES = ("renorm", "raw")
BASE, BARE = "alpha 0", "no graph"
FIXED: dict[str, Any] = {"source": "fixed", "beta": 0.0}
Variant: TypeAlias = tuple[dict[str, Any], dict[str, Any] | None]  # options, and the relation where one is given


def _false(share: float) -> dict[str, Any]:
    return {"kind": "falsified", "share": share}


# By title: the options that differ from the default, and the graph given; the random graph's density is found first.
WORLD: dict[str, Variant] = {
    BASE: ({"alpha": 0.0}, None),
    "renorm, alpha 1": ({}, None),
    "raw, alpha 1": ({"mode": "raw"}, None),
    f"renorm, alpha {ALPHA:g}": ({"alpha": ALPHA}, None),
    f"raw, alpha {ALPHA:g}": ({"alpha": ALPHA, "mode": "raw"}, None),
    "filter": ({"mode": "filter"}, None),
    BARE: ({"alpha": 0.0, **FIXED}, _false(0.0)),
    **{
        f"true R, {mode}, alpha {ALPHA:g}": ({"alpha": ALPHA, "mode": mode, **FIXED}, _false(0.0))
        for mode in MODES
    },
}
RANDOM = f"random R, renorm, alpha {ALPHA:g}"
LEARNED = "renorm, alpha 1"
REAL = ("filter", "raw", "random")  # what a preset may ask for on real data beside the chosen boost and alpha 0


def plan(setup: Setup) -> list[Cell]:
    """Every variant and every share of false edges in every world; CausalRec's tuning trials where they are needed."""
    cells = [cell for variant in WORLD.values() for cell in _world_cells(setup, *variant)]
    for mode in MODES:
        for share in SHARES[1:]:
            cells += _false_cells(setup, mode, share)
    return cells + [cell for name in _real(setup) for cell in trials.tuning_cells(setup, name, "causalrec")]


def _world_cells(setup: Setup, changes: dict[str, Any], relation: dict[str, Any] | None = None) -> list[Cell]:
    cells = trials.world_cells(setup, setup.preset.sweep, setup.preset.sweep_seeds, "causalrec", **changes)
    return cells if relation is None else [trials.varied(cell, relation=relation) for cell in cells]


def _false_cells(setup: Setup, mode: str, share: float) -> list[Cell]:
    return _world_cells(setup, {"alpha": ALPHA, "mode": mode, **FIXED}, _false(share))


def refine(setup: Setup, results: list[Result]) -> list[Cell]:
    """Random graphs as dense as the learned ones; on real data, the chosen setting's variants on every seed."""
    cells = []
    for learned in _at(results, _world_cells(setup, *WORLD[LEARNED])):
        density = float(learned.metrics["density"])
        relation = {"kind": "random", "density": density}
        cells.append(_world_cells(setup, {"alpha": ALPHA, **FIXED}, relation)[int(learned.params["seed"])])
    for name in _real(setup):
        cells += [cell for variant in _real_cells(setup, results, name).values() for cell in variant]
    planned = {r.cell for r in results}
    return [cell for cell in dict.fromkeys(cells) if cell not in planned]


def _real(setup: Setup) -> list[str]:
    return list(setup.found) if set(setup.preset.real.controls) & set(REAL) else []


def _real_cells(setup: Setup, results: list[Result], name: str) -> dict[str, list[Cell]]:
    """By title, the cells of the chosen setting and its variants by seed; empty where no trial ran."""
    tried = set(trials.tuning_cells(setup, name, "causalrec"))  # a variant of the chosen setting is no trial
    best = trials.chosen(setup, [r for r in results if r.cell in tried], name, "causalrec")
    if best is None:
        return {}
    p, asked = best.params, setup.preset.real.controls
    options, boost = p["options"], p["options"]["boost"]

    def cells(**changes: Any) -> list[Cell]:
        seeds = range(setup.preset.real.seeds)
        changed = options | changes
        return [trials.plan_cell(setup, p["dataset"], "causalrec", changed, p["training"], seed) for seed in seeds]

    relation = {"kind": "random", "density": float(best.metrics["density"])}
    found = {"chosen": cells(), BASE: cells(boost=boost | {"alpha": 0.0})}
    if "filter" in asked:
        found["filter"] = cells(boost=boost | {"mode": "filter"})
    if "raw" in asked:
        found["raw"] = cells(boost=boost | {"mode": "raw"})
    if "random" in asked and float(setup.found[name].statistics["items"] or 0) <= MOST_ITEMS:
        for title, given in ((BARE, boost | {"alpha": 0.0}), ("random R", boost)):
            found[title] = [trials.varied(cell, relation=relation) for cell in cells(boost=given, **FIXED)]
    return found


def _at(results: list[Result], cells: list[Cell]) -> list[Result]:
    """The results of these cells, all or none."""
    by_cell = {r.cell: r for r in results if r.ok}
    found = [by_cell[cell] for cell in cells if cell in by_cell]
    return found if len(found) == len(cells) else []


def _groups(setup: Setup, results: list[Result]) -> dict[str, dict[str, list[Result]]]:
    """By dataset and variant, the results by seed; a variant with a seed missing is left out."""
    plans = {"behaviour": {title: _world_cells(setup, *variant) for title, variant in WORLD.items()}}
    random = [r for r in results if r.ok and r.params.get("relation", {}).get("kind") == "random"]
    in_world = [r for r in random if r.params["dataset"]["name"] == "behaviour"]
    plans["behaviour"][RANDOM] = [r.cell for r in sorted(in_world, key=lambda r: int(r.params["seed"]))]
    if len(in_world) < setup.preset.sweep_seeds:
        del plans["behaviour"][RANDOM]
    plans |= {name: _real_cells(setup, results, name) for name in _real(setup)}
    found = {
        name: {title: at for title, cells in variants.items() if (at := _at(results, cells))}
        for name, variants in plans.items()
    }
    return {name: variants for name, variants in found.items() if variants}


def _gain(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Interval | None:
    """Relative gain, paired over seeds, and over users on real data."""
    if not theirs.any():
        return None
    if name != "behaviour":
        return crossed_gain(ours, theirs)
    return t_interval((ours.mean(1) - theirs.mean(1)) / theirs.mean())


def _percent(gain: Interval | None) -> Interval | None:
    return gain and gain.scaled(100)


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Every variant beside its baseline, and accuracy against the share of false edges."""
    rows: list[tuple[Value, ...]] = []
    groups = _groups(setup, results)
    for name in sorted(groups, key=lambda name: -_density(groups[name])):
        for title, found in groups[name].items():
            base = groups[name].get(BARE if title.startswith(("true R", "random R")) else BASE)
            level = {metric: trials.ranked(setup, name, found, metric) for metric in trials.METRICS}
            row: list[Value] = [name, f"{_density(groups[name]):.4f}", title]
            row += [trials.level(name, values) for values in level.values()]
            for metric, values in level.items():
                against = base and base is not found and _gain(name, values, trials.ranked(setup, name, base, metric))
                row.append(_percent(against or None))
            row += [None if title == BARE else _mean(found, metric) for metric in ("density", "empty_rows")]
            rows.append(tuple(row))
    columns = (
        "data", "density of data", "variant", "HR@10", "NDCG@10", "gain in HR@10, %", "gain in NDCG@10, %",
        "density of R", "empty rows",
    )  # fmt: skip
    note = (
        f"Densest data first. Behaviour: {setup.preset.sweep_seeds} worlds, {trials.world_sizes(setup.preset.sweep)}. "
        "Gains are paired over seeds (real data: and users) and relative to alpha 0; those of a graph that is given, "
        "true or random, to the same model without a graph, since it learns without L_DAG. The random R has as many "
        "item pairs as the learned R has positions, in share."
    )
    return [Table("ablation", "What the boost is worth", columns, tuple(rows), note), _false_table(setup, results)]


def _density(variants: dict[str, list[Result]]) -> float:
    """Distinct user-item pairs over users times items."""
    return _mean(next(iter(variants.values())), "data_density")


def _mean(found: list[Result], metric: str) -> float:
    return float(np.mean([r.metrics[metric] for r in found]))


def _shares(setup: Setup, results: list[Result], mode: str) -> dict[float, list[Result]]:
    found = {share: _at(results, _false_cells(setup, mode, share)) for share in SHARES}
    return {share: at for share, at in found.items() if at}


def _false_table(setup: Setup, results: list[Result]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for mode in MODES:
        by_share = _shares(setup, results, mode)
        for share, found in by_share.items():
            ndcg = trials.ranked(setup, "behaviour", found, "ndcg10")
            change = None
            if share and 0.0 in by_share:
                change = _gain("behaviour", ndcg, trials.ranked(setup, "behaviour", by_share[0.0], "ndcg10"))
            reach = [_mean(found, metric) for metric in ("density", "empty_rows")]
            rows.append((mode, f"{share:g}", trials.level("behaviour", ndcg), _percent(change), *reach))
    columns = ("boost", "share of false edges", "NDCG@10", "change, %", "density of R", "empty rows")
    note = (
        f"R given at item level, alpha = {ALPHA:g}; {setup.preset.sweep_seeds} worlds, "
        f"{trials.world_sizes(setup.preset.sweep)}. A false edge has another cause for the same effect. Items follow "
        "their causes, so that false edges meet fewer pairs of positions: density is of R over test histories."
    )
    return Table("false_edges", "False edges in R", columns, tuple(rows), note)


def figures(setup: Setup, results: list[Result]) -> list[Figure]:
    """NDCG@10 against the share of false edges, under each boost."""
    series = tuple(
        make_series(mode, [(share, trials.level("behaviour", trials.ranked(setup, "behaviour", found, "ndcg10")))
                           for share, found in _shares(setup, results, mode).items()])
        for mode in MODES
    )  # fmt: skip
    if not any(s.x for s in series):
        return []
    panel = Panel(f"alpha = {ALPHA:g}", series)
    return [Curves("false_edges", "False edges in R", "share of R's edges that are false", "NDCG@10", (panel,))]


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """`boost-beats-filter` on dense data, and `false-edges-hurt` under each boost."""
    found = [f for name, variants in _groups(setup, results).items() if name != OWN
             for f in _filter_findings(setup, name, variants, margins)]  # fmt: skip
    return found + [f for mode in MODES for f in _false_finding(setup, results, mode, margins)]


def _filter_findings(
    setup: Setup, name: str, variants: dict[str, list[Result]], margins: Margins
) -> list[Finding]:
    claim = "boost-beats-filter"
    boost = LEARNED if name == "behaviour" else "chosen"
    if not {boost, BASE, "filter"} <= set(variants) or _density(variants) < margins.claimed(claim)["dense"]:
        return []
    titles = (boost, BASE, "filter")
    boosted, plain, filtered = (trials.ranked(setup, name, variants[title], "hr10") for title in titles)
    margin, claimed = margins.of(claim), margins.claimed(claim)["hr10"]
    detail = (
        f"relative gain in HR@10, {len(plain)} seeds, {plain.shape[1]} users; density of data "
        f"{_density(variants):.4f}; {100 * _mean(variants[boost], 'empty_rows'):.0f} % of R's rows have no edge"
    )
    made, units = list[Finding](), "worlds" if name == "behaviour" else None
    if hurt := _gain(name, filtered, plain):
        outcome: Outcome = "holds" if hurt.below(0) and hurt.low <= claimed else "unclear"
        outcome = "fails" if hurt.above(claimed / 2) else outcome
        seen = power_words(hurt, Bar(holds=0.0, fails=claimed / 2, large=False), units)
        made.append(Finding(claim, f"filtering hurts, {name}", outcome, hurt, f"{detail}; {seen}"))
    if safe := _gain(name, boosted, plain):
        made.append(held(claim, f"boosting does not, {name}", safe, Bar(holds=-margin, fails=0.0), detail, units))
    if better := _gain(name, boosted, filtered):
        bar = Bar(holds=0.0, fails=0.0)
        made.append(held(claim, f"the boost beats the filter, {name}", better, bar, detail, units))
    return made


def _false_finding(setup: Setup, results: list[Result], mode: str, margins: Margins) -> list[Finding]:
    claim, by_share = "false-edges-hurt", _shares(setup, results, mode)
    if len(by_share) < len(SHARES):
        return []
    ndcg = np.stack([trials.ranked(setup, "behaviour", found, "ndcg10").mean(1) for found in by_share.values()])
    if not ndcg[0].mean() > 0:
        return []
    slope = t_interval([slope_interval(SHARES, world).estimate for world in (ndcg / ndcg[0].mean()).T])
    detail = (
        f"slope on the share, relative to NDCG@10 with all edges true, {slope.n} worlds; NDCG@10 {ndcg[0].mean():.3f} "
        f"with all true, {ndcg[-1].mean():.3f} with all false"
    )
    if bare := _at(results, _world_cells(setup, *WORLD[BARE])):
        detail += f", {trials.ranked(setup, 'behaviour', bare, 'ndcg10').mean():.3f} with no graph"
    bar = Bar(holds=0.0, fails=-margins.of(claim), large=False)
    return [held(claim, f"{mode}, alpha {ALPHA:g}", slope, bar, detail, "worlds")]


def reasons(setup: Setup, results: list[Result]) -> dict[str, str]:
    """The ceiling of the boost: what the true graph, given, is worth in the behaviour world."""
    variants, said = _groups(setup, results).get("behaviour", {}), []
    for mode in MODES:
        title = f"true R, {mode}, alpha {ALPHA:g}"
        if {title, BARE} <= set(variants):
            true, bare = (trials.ranked(setup, "behaviour", variants[name], "ndcg10") for name in (title, BARE))
            if gain := _gain("behaviour", true, bare):
                said.append(f"{format_value(gain.scaled(100))} % under {mode}")
    if not said:
        return {}
    worlds = f"{setup.preset.sweep_seeds} behaviour worlds at alpha {ALPHA:g}"
    ceiling = f"Ceiling of the boost: boosted by the true graph, NDCG@10 changes by {', '.join(said)} ({worlds})."
    return {"booster-matters": ceiling, "alpha-window": ceiling}


def gaps(setup: Setup) -> dict[str, str]:
    """What the claims lack in this run."""
    missing = "".join(f" {text}." for text in setup.missing.values())
    real = "" if _real(setup) else f"preset {setup.preset.name} runs no filter on real data."
    kgrec = "" if "kgrec-music" in setup.found else " KGRec-music, the paper's dense dataset, is not there."
    return {"boost-beats-filter": f"{real}{kgrec}{missing}".strip()}
