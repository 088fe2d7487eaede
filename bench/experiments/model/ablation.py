"""What of CausalRec's boost matters: its mode, its absence, a filter instead, and R itself: learned, true, random.

In the behaviour world of the sweeps whose causes persist, so that a graph can help; a learned R is read off W at tau
0.03 there. On real data around the setting that tuning chose, as far as the preset asks for it. Seeds are shared. A
graph that is given is boosted by without L_DAG (source `fixed`, beta 0), so it is compared with the same model that has
no graph.
"""

from typing import Any, TypeAlias

from bench.cells.unit import Cell
from bench.experiments.base import (
    Experiment,
    Results,
    Row,
    Rows,
    count_words,
    curves,
    more_worlds,
    table,
    worlds_planned,
)
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, crossed_gain, sequence_interval
from bench.plan.presets import PERSIST, swept
from bench.plan.recommender_cells import GIVEN, world_cells, world_sizes
from bench.plan.results import all_of, mean_metric
from bench.plan.scores import METRICS, gain, level, ranked
from bench.plan.setup import OWN, Setup
from bench.plan.tuning import ALIVE_TAU, chosen, finals, like, tuning_cells
from bench.show.figures import Curves, Figure
from bench.show.tables import Table

MOST_ITEMS = 6000  # a given graph is a table of items x items
ALPHA = 100.0  # strong enough that a wrong edge outweighs a right position without one
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MODES = ("renorm", "raw")
BASE, BARE = "alpha 0", "no graph"
TRUE = {mode: f"true R, {mode}, alpha {ALPHA:g}" for mode in MODES}
FALSE = {mode: f"false R, {mode}, alpha {ALPHA:g}" for mode in MODES}  # as many pairs of positions as the true R
Variant: TypeAlias = tuple[dict[str, Any], dict[str, Any] | None]  # options, and the relation where one is given


# By title: the options that differ from the default, and the graph given; the random graph's density is found first.
_ALIVE: dict[str, Any] = {"tau": ALIVE_TAU}
WORLD: dict[str, Variant] = {
    BASE: ({"alpha": 0.0}, None),
    "renorm, alpha 1": (_ALIVE, None),
    "raw, alpha 1": (_ALIVE | {"mode": "raw"}, None),
    f"renorm, alpha {ALPHA:g}": (_ALIVE | {"alpha": ALPHA}, None),
    f"raw, alpha {ALPHA:g}": (_ALIVE | {"alpha": ALPHA, "mode": "raw"}, None),
    "filter": (_ALIVE | {"mode": "filter"}, None),
    BARE: ({"alpha": 0.0, **GIVEN}, {"kind": "falsified", "share": 0.0}),
    **{TRUE[mode]: ({"alpha": ALPHA, "mode": mode, **GIVEN}, {"kind": "falsified", "share": 0.0}) for mode in MODES},
    **{FALSE[mode]: ({"alpha": ALPHA, "mode": mode, **GIVEN}, {"kind": "position_matched"}) for mode in MODES},
}
RANDOM = f"random R, renorm, alpha {ALPHA:g}"
LEARNED = "renorm, alpha 1"
REAL = ("filter", "raw", "random")  # what a preset may ask for on real data beside the chosen boost and alpha 0


def plan(setup: Setup) -> list[Cell]:
    """Every variant and every share of false edges in every world; CausalRec's tuning trials where they are needed."""
    cells = [cell for variant in WORLD.values() for cell in _world_cells(setup, *variant)]
    cells += [cell for mode in MODES for share in SHARES[1:] for cell in _false_cells(setup, mode, share)]
    return cells + [cell for name in _real(setup) for cell in tuning_cells(setup, name, "causalrec")]


def _world_cells(
    setup: Setup, changes: dict[str, Any], relation: dict[str, Any] | None = None, worlds: int | None = None
) -> list[Cell]:
    world = swept(setup.preset, PERSIST)
    return world_cells(setup, world, worlds or setup.preset.sweep_seeds, "causalrec", relation, **changes)


def _judged_cells(setup: Setup, worlds: int) -> list[Cell]:
    """What the claims rest on, in so many worlds."""
    titles = (BASE, LEARNED, "filter", BARE, *FALSE.values())
    return [cell for title in titles for cell in _world_cells(setup, *WORLD[title], worlds)]


def _false_cells(setup: Setup, mode: str, share: float) -> list[Cell]:
    return _world_cells(setup, {"alpha": ALPHA, "mode": mode, **GIVEN}, {"kind": "falsified", "share": share})


def refine(setup: Setup, results: Results) -> list[Cell]:
    """Random graphs as dense as the learned ones; on real data, the variants of each seed's chosen setting; more worlds
    for what is undecided.
    """
    cells = []
    for learned in all_of(results, _world_cells(setup, *WORLD[LEARNED])):
        relation = {"kind": "random", "density": float(learned.metrics["density"])}
        cells.append(_world_cells(setup, {"alpha": ALPHA, **GIVEN}, relation)[int(learned.params["seed"])])
    for name in _real(setup):
        cells += finals(setup, results, name, "causalrec")
        cells += [cell for variant in _real_cells(setup, results, name).values() for cell in variant]
    planned = {r.cell for r in results}
    cells += more_worlds(setup, results, lambda worlds: _judged_cells(setup, worlds), findings)
    return [cell for cell in dict.fromkeys(cells) if cell not in planned]


def _real(setup: Setup) -> list[str]:
    return list(setup.found) if set(setup.preset.real.controls) & set(REAL) else []


def _real_cells(setup: Setup, results: Results, name: str) -> dict[str, list[Cell]]:
    """By title, the cells of each seed's chosen setting and its variants; empty where no trial of a seed ran."""
    runs, asked = chosen(setup, results, name, "causalrec"), setup.preset.real.controls
    if len(runs) < setup.seeds(name):
        return {}
    boosts = [run.params["options"]["boost"] for run in runs]
    plain = [boost | {"alpha": 0.0} for boost in boosts]
    modes = {mode: [boost | {"mode": mode} for boost in boosts] for mode in ("filter", "raw") if mode in asked}
    found = {
        title: [like(setup, run, boost=boost) for run, boost in zip(runs, at, strict=True)]
        for title, at in ({"chosen": boosts, BASE: plain} | modes).items()
    }
    if "random" in asked and setup.statistic(name, "items") <= MOST_ITEMS:
        graphs = [{"kind": "random", "density": float(run.metrics["density"])} for run in runs]
        for title, at in ((BARE, plain), ("random R", boosts)):
            each = zip(runs, graphs, at, strict=True)
            found[title] = [like(setup, run, graph, boost=boost, **GIVEN) for run, graph, boost in each]
    return found


def _groups(setup: Setup, results: Results) -> dict[str, dict[str, Results]]:
    """By dataset and variant, the results by seed; a variant with a seed missing is left out."""
    plans = {"behaviour": {title: _planned(setup, results, variant) for title, variant in WORLD.items()}}
    random = [r.cell for r in results if r.ok and r.params.get("relation", {}).get("kind") == "random"]
    in_world = [cell for cell in random if cell.params["dataset"]["name"] == "behaviour"]
    if len(in_world) >= setup.preset.sweep_seeds:
        plans["behaviour"][RANDOM] = sorted(in_world, key=lambda cell: int(cell.params["seed"]))
    plans |= {name: _real_cells(setup, results, name) for name in _real(setup)}
    found = {
        name: {title: at for title, cells in variants.items() if (at := all_of(results, cells))}
        for name, variants in plans.items()
    }
    return {name: variants for name, variants in found.items() if variants}


def _planned(setup: Setup, results: Results, variant: Variant) -> list[Cell]:
    """The cells of a variant in as many worlds as it was planned in."""
    worlds = worlds_planned(results, _world_cells(setup, *variant, setup.preset.most_worlds))
    return _world_cells(setup, *variant, max(worlds, setup.preset.sweep_seeds))


def _percent(gained: Interval | None) -> Interval | None:
    return gained and gained.scaled(100)


def tables(setup: Setup, results: Results) -> list[Table]:
    """Every variant beside its baseline, and accuracy against the share of false edges."""
    rows: Rows = []
    groups = _groups(setup, results)
    for name in sorted(groups, key=lambda name: -_density(groups[name])):
        for title, found in groups[name].items():
            base = groups[name].get(BARE if title.startswith(("true R", "false R", "random R")) else BASE)
            at = {metric: ranked(setup, name, found, metric) for metric in METRICS}
            gains: Row = (None, None)
            if base and base is not found:
                plain = {metric: ranked(setup, name, base[: len(found)], metric) for metric in METRICS}
                gains = tuple(_percent(gain(name, at[metric], plain[metric])) for metric in METRICS)
            levels = (level(name, values) for values in at.values())
            reach = _reach(found) if title != BARE else (None, None)
            rows.append((name, f"{_density(groups[name]):.4f}", title, *levels, *gains, *reach))
    columns = (
        "data", "density of data", "variant", "HR@10", "NDCG@10", "gain in HR@10, %", "gain in NDCG@10, %",
        "density of R", "empty rows",
    )  # fmt: skip
    note = (
        f"Densest data first. Behaviour: {count_words(setup)}; {world_sizes(setup.preset.sweep)}. "
        "Gains are paired over seeds (real data: and users) and relative to alpha 0; those of a graph that is given, "
        "true or random, to the same model without a graph, since it learns without L_DAG. The random R has as many "
        "item pairs as the learned R has positions, in share."
    )
    return [table("ablation", "What the boost is worth", columns, rows, note), _false_table(setup, results)]


def _density(variants: dict[str, Results]) -> float:
    """Distinct user-item pairs over users times items."""
    return mean_metric(next(iter(variants.values())), "data_density")


def _reach(found: Results) -> tuple[float, float]:
    return mean_metric(found, "density"), mean_metric(found, "empty_rows")


def _shares(setup: Setup, results: Results, mode: str) -> dict[float, Results]:
    return {share: found for share in SHARES if (found := all_of(results, _false_cells(setup, mode, share)))}


def _false_table(setup: Setup, results: Results) -> Table:
    rows: Rows = []
    for mode in MODES:
        by_share = _shares(setup, results, mode)
        for share, found in by_share.items():
            ndcg, change = ranked(setup, "behaviour", found), None
            if share and 0.0 in by_share:
                change = _percent(gain("behaviour", ndcg, ranked(setup, "behaviour", by_share[0.0])))
            rows.append((mode, f"{share:g}", level("behaviour", ndcg), change, *_reach(found)))
    columns = ("boost", "share of false edges", "NDCG@10", "change, %", "density of R", "empty rows")
    note = (
        f"R given at item level, alpha = {ALPHA:g}; {setup.preset.sweep_seeds} worlds, "
        f"{world_sizes(setup.preset.sweep)}. A false edge has another cause for the same effect. Items follow "
        "their causes, so that false edges meet fewer pairs of positions: density is of R over test histories."
    )
    return table("false_edges", "False edges in R", columns, rows, note)


def figures(setup: Setup, results: Results) -> list[Figure]:
    """NDCG@10 against the share of false edges, under each boost."""
    points = {
        mode: [(s, level("behaviour", ranked(setup, "behaviour", r))) for s, r in _shares(setup, results, mode).items()]
        for mode in MODES
    }
    panels = (curves(f"alpha = {ALPHA:g}", points),)
    drawn = Curves("false_edges", "False edges in R", "share of R's edges that are false", "NDCG@10", panels)
    return [drawn] if any(points.values()) else []


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """`boost-beats-filter` on dense data, and `false-edges-hurt` under each boost."""
    groups = {name: variants for name, variants in _groups(setup, results).items() if name != OWN}
    made = [f for name, variants in groups.items() for f in _filter_findings(setup, name, variants, register)]
    in_world = groups.get("behaviour", {})
    for mode in MODES:
        bare, false, true = (in_world.get(title) for title in (BARE, FALSE[mode], TRUE[mode]))
        if bare and false and (change := _change(setup, "behaviour", false, bare, "ndcg10")):
            edges = 100 * (1 - _reach(false)[1])
            detail = f"alpha {ALPHA:g}, {change.n} worlds of {setup.preset.most_worlds} at most"
            detail += f"; edges in {edges:.0f} % of rows"
            if true and (won := _change(setup, "behaviour", true, bare, "ndcg10")):
                detail += f", of the true R in {100 * (1 - _reach(true)[1]):.0f} %, which gains {won.estimate:.1f} %"
            made.append(Finding("false-edges-hurt", "loss", change.turned, mode, detail))
    return made


def _change(setup: Setup, name: str, ours: Results, theirs: Results, metric: str) -> Interval | None:
    """What `ours` gains over `theirs`, relative, in %; of worlds an interval that allows stopping."""
    count = min(len(ours), len(theirs))
    a, b = (ranked(setup, name, runs[:count], metric) for runs in (ours, theirs))
    if not b.any():
        return None
    if name == "behaviour":
        return sequence_interval(100 * (a.mean(1) - b.mean(1)) / b.mean())
    return crossed_gain(a, b).scaled(100)


def _filter_findings(setup: Setup, name: str, variants: dict[str, Results], register: Register) -> list[Finding]:
    claim = "boost-beats-filter"
    titles = (LEARNED if name == "behaviour" else "chosen", BASE, "filter")
    if not {*titles} <= set(variants) or _density(variants) < register.claims[claim].figures["dense"]:
        return []
    boosted, plain, filtered = (variants[title] for title in titles)
    empty = mean_metric(boosted, "empty_rows")
    detail = (
        f"{len(plain)} {'worlds' if name == 'behaviour' else 'seeds'}; density of data {_density(variants):.4f}; "
        f"{100 * empty:.0f} % of R's rows have no edge"
    )
    off, made = register.blocked("rows_with_edge", 1 - empty), list[Finding]()
    if hurt := _change(setup, name, filtered, plain, "hr10"):
        made.append(Finding(claim, "filter_hurts", hurt.turned, name, detail, off))
    if gained := _change(setup, name, boosted, plain, "hr10"):
        made.append(Finding(claim, "boost_does_not", gained, name, detail, off))
    return made


def gaps(setup: Setup) -> dict[str, str]:
    """What the claims lack in this run."""
    real = "" if _real(setup) else f"preset {setup.preset.name} runs no filter on real data."
    kgrec = "" if "kgrec-music" in setup.found else "KGRec-music, the paper's dense dataset, is not there."
    return {"boost-beats-filter": " ".join(filter(None, (real, kgrec, setup.lacking)))}


EXPERIMENT = Experiment(
    "ablation", "What of CausalRec's boost matters?", plan, tables, refine, figures=figures, findings=findings,
    gaps=gaps, later=0.8,
)  # fmt: skip
