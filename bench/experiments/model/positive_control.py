"""Can this suite see a graph help? CausalRec given the true graph, in worlds where by design it helps and does not.

Where a cause goes on acting (persistence p > 0), the cause of the last item says something about the next one, and a
boost of attention to causes is what Bayes' rule asks for. Where the cause of each step is drawn anew (p = 0), nothing
about causes says anything about the next item, whoever uses it. So the true R has to gain in the first world, for users
drawn by the law that was trained on and after a shift of popularity and segments, and by more than in the second.
Worlds are added, two at a time, until intervals that allow for this decide or the preset's cap is met. The outcome is
the gate of every claim on the boost: a run that cannot see the true graph help says nothing about a learned one.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.experiments.base import STEP, Experiment, Points, Results, Rows, curves, table, worlds_planned
from bench.judge.claims import Gate
from bench.judge.intervals import Interval, sequence_interval, t_interval
from bench.plan.recommender_cells import GIVEN, seed_cells, world_cells, world_sizes
from bench.plan.results import of_cells, values
from bench.plan.setup import Setup
from bench.plan.sizes import World
from bench.plan.tuning import ALIVE_TAU
from bench.show.figures import Curves, Figure
from bench.show.tables import Table, format_value

GATE = "positive_control"
ALPHA = 100.0
PARTS = {"fresh": "in law", "shift": "under shift"}
METRICS = {"ndcg10": "NDCG@10", "hr10": "HR@10"}
NONE, TRUE, OWN, OWN_OFF = "no graph", "true R", "R of CausalRec", "CausalRec, alpha 0"
# By title: the options that differ from the default, and the graph that is given.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    NONE: ({"alpha": 0.0, **GIVEN}, {"kind": "falsified", "share": 0.0}),
    TRUE: ({"alpha": ALPHA, **GIVEN}, {"kind": "falsified", "share": 0.0}),
    "R of one-hot regression": ({"alpha": ALPHA, **GIVEN}, {"kind": "regression"}),
    "random R, as many edges of items": ({"alpha": ALPHA, **GIVEN}, {"kind": "matched"}),
    "random R, as many pairs of positions": ({"alpha": ALPHA, **GIVEN}, {"kind": "position_matched"}),
    OWN_OFF: ({"alpha": 0.0}, None),
    OWN: ({"alpha": ALPHA, "tau": ALIVE_TAU}, None),
}
BASES = {OWN: OWN_OFF, NONE: None, OWN_OFF: None}  # what a variant's gain is relative to, where not to no graph
JUDGED = (NONE, TRUE)  # what further worlds are for
BOUNDS = {"best_possible": "best possible", "best_without_r": "best possible without R"}


def _world(setup: Setup, persistent: bool) -> World:
    """The world of the control, or the same with every cause drawn anew."""
    world = setup.preset.control
    return world if persistent else replace(world, knobs=world.knobs | {"persistence": 0.0})


def _cells(setup: Setup, title: str, persistent: bool, worlds: int) -> list[Cell]:
    """One cell per world of a variant or a bound."""
    world = _world(setup, persistent)
    if title in BOUNDS:
        return seed_cells(setup, world.dataset, title, {}, {}, worlds)
    changes, given = VARIANTS[title]
    return world_cells(setup, world, worlds, "causalrec", given, initial="unit", **changes)


def _titles(persistent: bool, first: bool = True) -> tuple[str, ...]:
    """What runs: everything on the first worlds where causes persist; otherwise what is judged, and the bounds."""
    return (*(VARIANTS if persistent and first else JUDGED), *BOUNDS)


def plan(setup: Setup) -> list[Cell]:
    """Every variant in the first worlds; at p = 0 the true R and none."""
    count = min(setup.preset.control_worlds)
    return [cell for p in (True, False) for title in _titles(p) for cell in _cells(setup, title, p, count)]


def refine(setup: Setup, results: Results) -> list[Cell]:
    """Two more worlds for what is undecided."""
    found, most = _judged(setup, results), max(setup.preset.control_worlds)
    undecided = [gain is None or not gain.above(0.0) for gain in found]
    if any(gain is not None and gain.below(0.0) for gain in found):
        return []
    cells = list[Cell]()
    for persistent, wanted in ((True, any(undecided)), (False, undecided[-1])):
        have = worlds_planned(results, _cells(setup, TRUE, persistent, most))
        if wanted and have < most:
            more = min(have + STEP, most)
            cells += [c for title in _titles(persistent, False) for c in _cells(setup, title, persistent, more)[have:]]
    return cells


def _judged(setup: Setup, results: Results) -> list[Interval | None]:
    """What has to be above 0, None where it did not run.

    The gain of the true R in NDCG@10 where causes persist, in law and under shift, and how much larger it is in law
    than where they do not: a model that is far from the best possible may gain a little there too, though no R can tell
    it anything about the next item.
    """
    gains = [_gains(setup, results, TRUE, persistent, "fresh") for persistent in (True, False)]
    both = min(map(len, gains))
    excess = sequence_interval(gains[0][:both] - gains[1][:both]) if both else None
    return [*(_gain(setup, results, TRUE, True, part) for part in PARTS), excess]


def _by_world(
    setup: Setup, results: Results, titles: tuple[str, ...], persistent: bool, metric: str
) -> list[NDArray[np.float64]]:
    """A metric of several variants by world, of the worlds on which all of them ran."""
    most = max(setup.preset.control_worlds)
    found = [{r.params["seed"]: r.metrics[metric] for r in of_cells(results, _cells(setup, t, persistent, most))}
             for t in titles]  # fmt: skip
    shared = sorted(set(found[0]).intersection(*found[1:]))
    return [np.array([runs[seed] for seed in shared], dtype=np.float64) for runs in found]


def _gains(
    setup: Setup, results: Results, title: str, persistent: bool, part: str, metric: str = "ndcg10"
) -> NDArray[np.float64]:
    """The relative gain of a variant over its base by world; empty for what has no base."""
    base = "best_without_r" if title == "best_possible" else BASES.get(title, NONE)
    if base is None or title == "best_without_r":
        return np.empty(0)
    ours, theirs = _by_world(setup, results, (title, base), persistent, f"{part}_{metric}_kept")
    return np.asarray((ours - theirs) / theirs.mean() if theirs.any() else np.empty(0))


def _gain(
    setup: Setup, results: Results, title: str, persistent: bool, part: str, metric: str = "ndcg10"
) -> Interval | None:
    """The mean of `_gains`; of what is judged with an interval that allows stopping."""
    gains = _gains(setup, results, title, persistent, part, metric)
    if not len(gains):
        return None
    return sequence_interval(gains) if title == TRUE else t_interval(gains)


def tables(setup: Setup, results: Results) -> list[Table]:
    """What each R is worth, in law and under shift, where causes persist and where they do not."""
    rows: Rows = []
    for persistent in (True, False):
        p = f"{_world(setup, persistent).knobs.get('persistence', 0.0):g}"
        for title in _titles(persistent):
            runs = of_cells(results, _cells(setup, title, persistent, max(setup.preset.control_worlds)))
            if not runs:
                continue
            for part, words in PARTS.items():
                ours, best = _by_world(setup, results, (title, "best_possible"), persistent, f"{part}_ndcg10_kept")
                share = float(ours.mean() / best.mean()) if len(ours) and best.any() else None
                gains = [_gain(setup, results, title, persistent, part, metric) for metric in METRICS]
                empty = values(runs, "empty_rows")
                rows.append((
                    p, words, BOUNDS.get(title, title), len(runs), t_interval(values(runs, f"{part}_ndcg10_kept")),
                    share, *(gained and gained.scaled(100) for gained in gains),
                    float(empty.mean()) if len(empty) else None,
                ))  # fmt: skip
    columns = (
        "persistence", "users", "boosted by", "worlds", "NDCG@10", "of the best possible",
        *(f"gain in {name}, %" for name in METRICS.values()), "empty rows",
    )  # fmt: skip
    world = setup.preset.control
    note = (
        f"{world_sizes(world)}; {world.fresh} fresh test users each; CausalRec under renorm at alpha {ALPHA:g}, its "
        f"own R read off W at tau {ALIVE_TAU:g}. Gains are paired over worlds and relative to no graph; of CausalRec's "
        "own R to CausalRec at alpha 0, and of the best possible to the best that ignores R, which is the most that R "
        "could be worth. The interval of the true R holds however many worlds were added; the others are 95 % t "
        "intervals. " + gates(setup, results)[GATE].detail
    )
    return [table("positive_control", "Can this suite see a graph help?", columns, rows, note)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The gain of each R where causes persist, in law and under shift."""
    titles = [title for title in _titles(True) if title not in BOUNDS and BASES.get(title, NONE)]
    points: dict[str, Points] = {}
    for part, words in PARTS.items():
        found = ((float(at), _gain(setup, results, title, True, part)) for at, title in enumerate(titles, start=1))
        points[words] = [(at, gained and gained.scaled(100)) for at, gained in found]
    if not any(gained for at in points.values() for _, gained in at):
        return []
    order = ", ".join(f"{at} {title}" for at, title in enumerate(titles, start=1))
    panel = curves("causes persist", points, ((0.0, "no difference"),))
    return [Curves(GATE, "What each R is worth where causes persist", "R", "gain in NDCG@10, %", (panel,), note=order)]


def gates(setup: Setup, results: Results) -> dict[str, Gate]:
    """Whether the true R gained where it has to, and more than where it can tell nothing."""
    found = _judged(setup, results)
    null = _gain(setup, results, TRUE, False, "fresh")
    told = [f"{format_value(gain.scaled(100)) if gain else 'not run'} %" for gain in (*found, null)]
    passed = all(gain is not None and gain.above(0.0) for gain in found)
    return {GATE: Gate(passed, (
        f"Gain of the true R in NDCG@10 where causes persist: {told[0]} in law and {told[1]} under shift; where they "
        f"do not: {told[3]} in law, {told[2]} less. The first two and the last have to be above 0; "
        f"{'they are' if passed else 'they are not'}."
    ))}  # fmt: skip


def reasons(setup: Setup, results: Results) -> dict[str, str]:
    """What a correct graph is worth, for the claims on the boost."""
    claims = ("booster-matters", "alpha-window", "false-edges-hurt", "boost-beats-filter")
    return dict.fromkeys(claims, gates(setup, results)[GATE].detail)


EXPERIMENT = Experiment(
    GATE, "Can this suite see a correct graph help?", plan, tables, refine, figures=figures, reasons=reasons,
    gates=gates, later=0.2,
)  # fmt: skip
