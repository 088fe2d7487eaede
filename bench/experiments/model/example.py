"""The paper's motivating example: a phone causes a cable and a case. Which score links the two to each other?

In a world of six items with this truth, told as one picture and a small table; no claim of the register rests on it.
"""

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import ARROW, Experiment, Results, Rows, table
from bench.judge.intervals import Interval, t_interval
from bench.plan.results import select
from bench.plan.setup import Setup
from bench.runners.example import CABLE, CASE, HORIZON, ITEMS, PHONE, POPULARITY, WRONG_DECAY
from bench.show.figures import Figure, Network, make_links
from bench.show.tables import Table, format_value
from causalrec.discovery import Reading

SCORES = {
    "lift": "lift",
    "regression": "one-hot regression",
    "regression_decayed": f"one-hot regression, decay {WRONG_DECAY:g}",
    "w": "W of CausalRec",
}
UNITS = {"lift": "times chance", "w": "no unit"}  # of other scores: the share of steps
NO_EFFECT = {"lift": 1.0}  # of other scores: 0
USERS, LENGTH = 300, 20
OPTIONS = {"length": LENGTH, "width": 16, "dropout": 0.2}
TRAINING = {"epochs": 15, "patience": None, "batch": 128, "learning_rate": 1e-2}
TAU = Reading.tau
SHOWN = (PHONE, CABLE, CASE)
TRUE = ((PHONE, CABLE), (PHONE, CASE))
FALSE = ((CABLE, CASE), (CASE, CABLE))
Pair = tuple[int, int]


def plan(setup: Setup) -> list[Cell]:
    """The world once per seed."""
    sizes = {"users": USERS, "length": LENGTH, "options": OPTIONS, "training": TRAINING}
    return [
        Cell("example", {**sizes, "seed": seed, "root": setup.stream}, ("bench.runners.example:run",), cost=1.5,
             timeout=setup.preset.timeout, label=f"phone, cable and case, seed {seed}")
        for seed in range(setup.preset.world_seeds)
    ]  # fmt: skip


def interval(done: Results, score: str, pair: Pair) -> Interval:
    """Mean of a score of one pair over worlds, with its 95 % t interval.

    Args:
        done: results, one per world.
        score: a name of `SCORES`, or "truth".
        pair: (cause, effect), items from 1.
    """
    cause, effect = pair
    return t_interval([r.arrays[score][effect - 1, cause - 1] for r in done])


def tables(setup: Setup, results: Results) -> list[Table]:  # noqa: ARG001
    """Every score of the pairs of phone, cable and case."""
    rest = tuple((cause, effect) for cause, effect in _pairs(SHOWN) if effect == PHONE)
    return [_table("phone_cable", "The phone–cable example", (*TRUE, *FALSE, *rest), select(results))]


def details(setup: Setup, results: Results) -> list[Table]:  # noqa: ARG001
    """Every score of all pairs, those with the three everyday items as well."""
    title, pairs = "The phone–cable example, every pair of items", _pairs(range(1, len(ITEMS) + 1))
    return [_table("phone_cable_all", title, pairs, select(results))]


def _pairs(items: range | tuple[int, ...]) -> tuple[Pair, ...]:
    return tuple((cause, effect) for cause in items for effect in items if cause != effect)


def _table(name: str, title: str, pairs: tuple[Pair, ...], done: Results) -> Table:
    rows: Rows = [
        (*(ITEMS[item - 1] for item in pair), interval(done, "truth", pair).estimate,
         *(interval(done, score, pair) for score in SCORES), _strong(done, pair))
        for pair in (pairs if done else ())
    ]  # fmt: skip
    columns = ("cause", "effect", "truth", *SCORES.values(), f"worlds with W >= {TAU:g}")
    return table(name, title, columns, rows, _note(done) if done else "")


def _strong(done: Results, pair: Pair) -> int:
    """In how many worlds CausalRec takes the pair for an edge."""
    cause, effect = pair
    return sum(bool(r.arrays["w"][effect - 1, cause - 1] >= TAU) for r in done)


def _note(done: Results) -> str:
    """What was run, what the numbers are, and what they say of cable and case."""
    said = []
    for score, title in SCORES.items():
        found = [interval(done, score, pair) for pair in FALSE]
        links = any(i.above(NO_EFFECT.get(score, 0.0)) for i in found)
        numbers = " and ".join(format_value(i) for i in found)
        said.append(f"{title} {'links them' if links else 'is not told from no link'}, {numbers}")
    strong = sum(any(_strong([r], pair) for pair in FALSE) for r in done)
    right = sum(all(_strong([r], pair) for pair in TRUE) for r in done)
    return (
        f"{len(done)} worlds (seeds) of {USERS} users, {done[0].metrics['steps']} training steps each, which all "
        f"scores see; mean [95 % t interval over worlds]. Phone, cable and case are rare "
        f"({', '.join(f'{100 * share:g} %' for share in POPULARITY[:3])} of the steps that nothing causes). Truth: "
        f"share of steps that a cause within {HORIZON} steps turns to the effect; regressions are on its scale. "
        f"One weighs the last {HORIZON} items alike, as the world does; the other by decay {WRONG_DECAY:g}, as other "
        f"experiments do and this world does not. "
        f"Lift: how many times as often as by chance within {HORIZON} steps. No effect is lift 1, else 0. Cable to "
        f"case and case to cable: {'; '.join(said)}. W takes one of the two for an edge (W >= {TAU:g}) in {strong} of "
        f"{len(done)} worlds, and both true edges in {right}."
    )


def figures(setup: Setup, results: Results) -> list[Figure]:  # noqa: ARG001
    """Truth, lift and what was learned as graphs of phone, cable and case."""
    done, panels = select(results), []
    for score, title in {"truth": "truth", **SCORES}.items():
        W, faint = np.zeros((2, len(SHOWN), len(SHOWN)))
        for cause, effect in _pairs(SHOWN) if done else ():
            found, none = interval(done, score, (cause, effect)), NO_EFFECT.get(score, 0.0)
            if found.estimate > none:
                W[effect - 1, cause - 1] = found.estimate
                faint[effect - 1, cause - 1] = not found.above(none) and score != "truth"
        panels.append(make_links(f"{title}, {UNITS.get(score, 'share of steps')}", W, faint.astype(bool)))
    return [
        Network("phone_cable", "A phone causes a cable and a case to be taken: who links the two?", ARROW, "items",
                tuple(ITEMS[item - 1] for item in SHOWN), tuple(panels) if done else (),
                "above no effect on average, but the interval over worlds reaches it", _note(done) if done else "")
    ]  # fmt: skip


EXPERIMENT = Experiment(
    "example", "A phone causes a cable and a case: which score links the two to each other?", plan, tables,
    details=details, figures=figures,
)  # fmt: skip
