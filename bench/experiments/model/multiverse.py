"""Every specification that ran as one curve, with simultaneous bands, and what the best of them gains at least.

A specification is a reading of CausalRec with its setting. In behaviour worlds these are all readings of `readings`
that learn their graph, each against the same reading at alpha = 0. On a real dataset they are the trials of tuning,
drawn anew for each seed, each against the twin's trial of the same seed, dropout and learning rate, which is the
default reading at alpha = 0.
"""

import json
from dataclasses import dataclass

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.model.readings import READINGS, reading_cells, readings_of, world_count
from bench.judge.intervals import Interval
from bench.judge.multiverse import Multiverse, over_seeds, over_users, training_noise
from bench.plan.presets import CAUSES, swept
from bench.plan.recommender_cells import READING, setting_words, world_cells, world_sizes
from bench.plan.results import Result, of_cells, values
from bench.plan.scores import ranked
from bench.plan.setup import OWN, Setup
from bench.plan.tuning import MOST_EMPTY, place_of, tuning_cells
from bench.show.figures import Column, Curves, Figure, Forest, Panel, Series, make_series
from bench.show.tables import Table, format_value
from causalrec.methods.streams import generator
from causalrec.model import CausalRecOptions

WORLDS = {f"behaviour, causes {causes}": causes for causes in CAUSES}
MODEL, TWIN = "causalrec", "causalrec_off"
ONLY_R = ("relation", "tau", "top", "mode", "boosted_heads", "boosted_layers")  # at alpha = 0 these change nothing
GAIN = "gain in NDCG@10, %"


@dataclass(frozen=True)
class Specification:
    """A reading with its setting, and how it ran.

    Args:
        reading: in words.
        runs: its results, by seed.
        partners: those of a model at alpha = 0 that is trained alike, on the same seeds.
    """

    reading: str
    runs: Results
    partners: Results

    @property
    def empty(self) -> float | None:
        """The share of R's rows without an edge, mean over the seeds."""
        known = values(self.runs, "empty_rows")
        return float(known.mean()) if len(known) else None


@dataclass(frozen=True)
class Curve:
    """The specifications on one dataset, the largest gain first.

    Args:
        name: of the dataset, or "behaviour", with what causes do there.
        found: the specifications.
        bands: their gains with simultaneous bands, in %.
        said: what is said of all of them together.
        trained: whether bands and bounds contain the noise of training.
    """

    name: str
    found: list[Specification]
    bands: list[Interval]
    said: Multiverse
    trained: bool

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"In worlds of {self.name}" if self.name in WORLDS else f"On {self.name}"

    @property
    def sentence(self) -> str:
        """What it comes to."""
        if not self.trained:
            return "not known: no setting ran on two seeds, so that bands leave out the noise of training"
        if self.said.least > 0:
            return f"some reading gains at least {format_value(100 * self.said.least)} %"
        return f"no reading of {len(self.found)} gains as much as {format_value(100 * self.said.most)} %"


def plan(setup: Setup) -> list[Cell]:
    """Every learned reading and its partner in every world; the trials of CausalRec and of its twin on real data."""
    cells = [
        cell for causes in CAUSES for title in _titles(setup)
        for cell in (*reading_cells(setup, title, causes), *_partner_cells(setup, title, causes))
    ]  # fmt: skip
    cells += [cell for name in setup.found for model in (MODEL, TWIN) for cell in tuning_cells(setup, name, model)]
    return list(dict.fromkeys(cells))


def _titles(setup: Setup) -> list[str]:
    return [title for title in readings_of(setup) if READINGS[title][1] is None]


def _partner_cells(setup: Setup, title: str, causes: str) -> list[Cell]:
    """The reading at alpha = 0, which is one for readings that differ only in what R changes."""
    changes = READINGS[title][0]
    unused = () if changes.get("constrained") == "used" else ONLY_R  # unless h is of what the rule of R keeps
    options = {name: value for name, value in changes.items() if name not in unused} | {"alpha": 0.0}
    return world_cells(setup, swept(setup.preset, causes), world_count(setup), MODEL, **options)


def _in_worlds(setup: Setup, results: Results, causes: str) -> list[Specification]:
    found = []
    for title in _titles(setup):
        plain = {r.params["seed"]: r for r in of_cells(results, _partner_cells(setup, title, causes))}
        runs = [r for r in of_cells(results, reading_cells(setup, title, causes)) if r.params["seed"] in plain]
        found.append(Specification(title, runs, [plain[r.params["seed"]] for r in runs]))
    return found


def _tried(setup: Setup, results: Results, name: str) -> list[Specification]:
    """Trials with a twin; those of one reading and setting on several seeds are one specification."""
    plain = {place_of(r): r for r in of_cells(results, tuning_cells(setup, name, TWIN))}
    trials = [r for r in dict.fromkeys(of_cells(results, tuning_cells(setup, name, MODEL))) if place_of(r) in plain]
    by_setting: dict[str, Results] = {}
    for trial in trials:
        setting = {**trial.params["options"], **trial.params["training"]}
        by_setting.setdefault(json.dumps(setting, sort_keys=True), []).append(trial)
    return [Specification(_words(runs[0]), runs, [plain[place_of(r)] for r in runs]) for runs in by_setting.values()]


def _words(trial: Result) -> str:
    o = trial.params["options"]
    reading = {name: value for name, value in o.items() if name in READING}
    return ", ".join(filter(None, (setting_words(reading), o["boost"]["mode"])))


def _curves(setup: Setup, results: Results) -> list[Curve]:
    """One per dataset on which a specification ran with its partner, the behaviour worlds first."""
    curves = []
    for name in (*WORLDS, *setup.found):
        in_worlds = name in WORLDS
        tried = _in_worlds(setup, results, WORLDS[name]) if in_worlds else _tried(setup, results, name)
        place = "behaviour" if in_worlds else name
        found = [s for s in tried if s.runs and ranked(setup, place, s.partners).any()]
        if not found:
            continue
        said, trained = _judge(setup, place, found)
        order = sorted(range(len(found)), key=lambda k: -said.bands[k].estimate)
        bands = [said.bands[k].scaled(100) for k in order]
        curves.append(Curve(name, [found[k] for k in order], bands, said, trained))
    return curves


def _judge(setup: Setup, name: str, found: list[Specification]) -> tuple[Multiverse, bool]:
    """What is said of all, and whether it contains the noise of training."""
    rng = generator(root=setup.root, stream="multiverse", data=name)
    ours = [ranked(setup, name, s.runs) for s in found]
    theirs = [ranked(setup, name, s.partners) for s in found]
    if name == "behaviour":
        boosted, plain = np.full((2, len(found), world_count(setup)), np.nan)
        for k, s in enumerate(found):
            seeds = [int(r.params["seed"]) for r in s.runs]
            boosted[k, seeds], plain[k, seeds] = ours[k].mean(1), theirs[k].mean(1)
        return over_seeds(boosted, plain, rng), True
    twins: dict[tuple[float, float], dict[int, Result]] = {}
    for twin in (r for s in found for r in s.partners):
        seed, *setting = place_of(twin)
        twins.setdefault((setting[0], setting[1]), {})[seed] = twin
    runs = [ranked(setup, name, list(by_seed.values())) for by_seed in twins.values()]
    noise = training_noise([run for run in runs if run.any()])
    means = [np.stack([values.mean(0) for values in side]) for side in (ours, theirs)]
    return over_users(means[0], means[1], noise or 0.0, rng, [len(s.runs) for s in found]), noise is not None


def tables(setup: Setup, results: Results) -> list[Table]:
    """What the best specification gains on each dataset."""
    rows: Rows = [
        (c.name, len(c.found), c.found[0].reading, c.bands[0], *(_bound(c, of) for of in (c.said.least, c.said.most)),
         c.said.p if c.trained else None, c.sentence)
        for c in _curves(setup, results)
    ]  # fmt: skip
    columns = (
        "data", "specifications", "the best", f"its {GAIN}", "at least, %", "at most, %", "p of no gain", "so"
    )  # fmt: skip
    return [table("multiverse", "What the best of all readings gains", columns, rows, _note(setup))]


def _bound(curve: Curve, value: float) -> float | None:
    return 100 * value if curve.trained and np.isfinite(value) else None


def _note(setup: Setup) -> str:
    return (
        f"Gains are relative to a model at alpha = 0. Behaviour: over the same reading, {world_count(setup)} worlds, "
        f"{world_sizes(setup.preset.sweep)}; seeds are rotated jointly. Real data: every trial of tuning, on seeds of "
        "its own, over the default reading at alpha = 0 with the same seed, dropout and learning rate; users change "
        "sign jointly, and the noise of training is what those of one setting differ by over seeds, at its 80 % upper "
        "bound. Bands hold for all specifications at once (95 %); 'at least' and 'at most' bound the largest gain, "
        "each at 95 %."
    )


def details(setup: Setup, results: Results) -> list[Table]:
    """Every specification."""
    rows: Rows = []
    for curve in _curves(setup, results):
        for s, band in zip(curve.found, curve.bands, strict=True):
            o, training = s.runs[0].params["options"], s.runs[0].params["training"]
            rows.append((
                curve.name, s.reading, o["boost"]["alpha"], o.get("sparsity", CausalRecOptions.sparsity), o["dropout"],
                training["learning_rate"], len(s.runs), s.empty, band,
            ))  # fmt: skip
    columns = ("data", "reading", "alpha", "lambda", "dropout", "lr", "seeds", "empty rows of R", GAIN)
    return [table("multiverse_all", "Every reading and setting that ran", columns, rows, _note(setup))]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The specification curve on each dataset, and that of the behaviour worlds by the readings' names."""
    curves = _curves(setup, results)
    if not curves:
        return []
    note = "Specifications by their gain, with bands that hold for all of them at once (95 %)."
    title, none = "Every reading and setting that ran", ((0.0, "no gain"),)
    panels = tuple(Panel(c.name, _by_life(c), levels=none) for c in curves)
    drawn: list[Figure] = [Curves("multiverse", title, "place by gain", GAIN, panels, note=note, free_y=True)]
    in_worlds = [c for c in curves if c.name in WORLDS]
    if in_worlds:
        rows = tuple(s.reading for s in in_worlds[0].found)
        bands = [dict(zip((s.reading for s in c.found), c.bands, strict=True)) for c in in_worlds]
        columns = tuple(
            Column(c.name, tuple(of.get(row) for row in rows), level=0.0)
            for c, of in zip(in_worlds, bands, strict=True)
        )
        drawn.append(Forest("multiverse_worlds", "Every reading in behaviour worlds", GAIN, rows, columns, note))
    return drawn


def _by_life(curve: Curve) -> tuple[Series, ...]:
    """The curve in two parts: where R has edges in at least half of its rows, and where it has not."""
    alive = [s.empty is not None and s.empty < MOST_EMPTY for s in curve.found]
    parts = []
    for lives, label in ((True, "half or more of R's rows have an edge"), (False, "fewer have one")):
        bands = [band if of == lives else None for band, of in zip(curve.bands, alive, strict=True)]
        if any(bands):
            parts.append(make_series(label, enumerate(bands, start=1)))
    return tuple(parts)


def reasons(setup: Setup, results: Results) -> dict[str, str]:
    """The best specification on each kind of data, and what it bounds."""
    said = [
        f"{c.place}, {c.sentence} (best: {c.found[0].reading}, {format_value(c.bands[0])} %)."
        for c in _curves(setup, results)
        if c.name != OWN
    ]
    return {"booster-matters": " ".join(said)} if said else {}


EXPERIMENT = Experiment(
    "multiverse", "What does the best of all readings gain?", plan, tables, details=details, figures=figures,
    reasons=reasons,
)  # fmt: skip
