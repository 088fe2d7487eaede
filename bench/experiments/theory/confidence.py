"""Are edges right as often as their bootstrap says?

Learners on resamples of the rows of ER2 worlds. An ordered pair gets the share of resamples in which the learner found
its edge, and that share calibrated on worlds simulated from the graph found, which needs no truth. Pairs that no
resample joined are nearly all non-edges at 0; the error over all pairs, which they dominate, stands beside.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.theory import graphs
from bench.experiments.theory.graphs import PLAIN, plan_cell
from bench.judge.intervals import Interval, t_interval
from bench.methods.learners import code, seconds, title
from bench.plan.results import Result, select
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel, Series
from bench.show.tables import Table
from synth.calibration import BINS, calibration_error

WORLDS = graphs.WORLDS | {"nonlinear": PLAIN | {"violation": {"kind": "nonlinear", "mechanism": "tanh"}}}
KINDS = {"frequency": "frequency", "probability": "calibrated"}
OVERHEAD = 7e-4  # CPU-seconds per resample beside the learner's


def plan(setup: Setup) -> list[Cell]:
    """Every learner in every world at every number of samples."""
    c = setup.preset.confidence
    return [
        _cell(setup, learner, samples, world)
        for world, samples, learner in itertools.product(WORLDS.values(), c.samples, c.learners)
    ]


def _cell(setup: Setup, learner: str, samples: int, world: dict[str, Any]) -> Cell:
    c = setup.preset.confidence
    how = {"resamples": c.resamples, "kind": "bootstrap", "calibrate": c.worlds}
    cell = plan_cell(setup, learner, "er", 2, c.nodes, samples, draws=c.draws, **world, **how)
    fits = c.draws * c.resamples * (1 + c.worlds)
    cost = 0.1 + fits * (OVERHEAD + seconds(learner, c.nodes, None))
    return replace(cell, runner="confidence", code=("bench.runners.confidence:run", *code(learner)), cost=cost)


def errors(r: Result, kind: str) -> tuple[Interval, float]:
    """The expected calibration error over the pairs that any resample joined, and over all pairs.

    The interval is Student's over draws, by the delta method; with few pairs per bin the error is above 0 also where
    nothing is wrong.

    Args:
        r: a result of the runner.
        kind: "frequency" or "probability".
    """
    binned, never = np.asarray(r.arrays[kind], dtype=np.float64), np.asarray(r.arrays["never"], dtype=np.float64)
    together = binned.sum(0)
    every = together.copy()
    every[0, 0] += never[:, 0].sum()
    every[2, 0] += never[:, 1].sum()
    error, pairs = calibration_error(together), binned[:, 0].sum(1)
    side = np.sign(together[1] - together[2])
    excess = ((binned[:, 1] - binned[:, 2]) * side).sum(1)
    spread = error + (excess - error * pairs) / pairs.mean()
    return t_interval(spread).within(0.0, 1.0), calibration_error(every)


def _asked(setup: Setup, results: Results) -> Iterator[tuple[str, str, int, Result]]:
    """World, learner, samples and result of every cell that ran and joined pairs."""
    c = setup.preset.confidence
    for (name, world), learner, samples in itertools.product(WORLDS.items(), c.learners, c.samples):
        for r in select(results, learner=learner, samples=samples, **world):
            if np.asarray(r.arrays["frequency"])[:, 0].sum() > 0:
                yield name, learner, samples, r


def tables(setup: Setup, results: Results) -> list[Table]:
    """The calibration error by world, learner and number of samples, plain and calibrated."""
    c, rows, ran = setup.preset.confidence, Rows(), select(results)
    for name, learner, samples, r in _asked(setup, results):
        (plain, plain_all), (calibrated, calibrated_all) = (errors(r, kind) for kind in KINDS)
        pairs = float(np.asarray(r.arrays["frequency"])[:, 0].sum(1).mean())
        rows.append((name, title(learner), samples, pairs, plain, calibrated, plain_all, calibrated_all))
    columns = ("world", "learner", "n", "pairs found", "frequency", "calibrated", "frequency, all", "calibrated, all")
    lost = sum(r.metrics["failed_resamples"] for r in ran)
    note = (
        f"Expected calibration error in {BINS} bins over ordered pairs that any of {c.resamples} resamples joined "
        f"[95 % interval over {c.draws} draws], then over all pairs; ER2, {c.nodes} nodes. Pairs found: mean per draw. "
        f"Calibrated: on {c.worlds} worlds simulated from the graph found, without the truth."
    )
    note += f" {lost} resamples failed and count nowhere." if lost else ""
    return [table("confidence", "Are edges as sure as they seem?", columns, rows, note)]


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The reliability diagram: the share that is true over the mean probability of each bin."""
    c, panels = setup.preset.confidence, list[Panel]()
    diagonal = (Series("as sure as right", (0.0, 1.0), (0.0, 1.0)),)
    found = list(_asked(setup, results))
    for learner, world in itertools.product(c.learners, WORLDS):
        series = tuple(
            _reliability(f"{word}, n = {samples}", np.asarray(r.arrays[kind], dtype=np.float64))
            for name, by, samples, r in found if (name, by) == (world, learner)
            for kind, word in KINDS.items()
        )  # fmt: skip
        panels += [Panel(f"{title(learner)}: {world}", series, guides=diagonal)] if series else []
    note = (
        f"Ordered pairs that any resample joined, in {BINS} bins by their value; 95 % intervals over {c.draws} draws. "
        "Below the diagonal edges are surer than right."
    )
    x, y = "mean of the bin: frequency, or calibrated probability", "share of true edges"
    shown = "Are edges right as often as resamples say?"
    return [Curves("confidence", shown, x, y, tuple(panels), y_range=(0.0, 1.0), note=note)] if panels else []


def _reliability(label: str, binned: Any) -> Series:
    """The bins that hold pairs, (draws, 3, bins): mean value, share true, and its interval by the delta method."""
    count, total, hits = binned.sum(0)
    points = []
    for k in np.flatnonzero(count):
        share = hits[k] / count[k]
        spread = share + (binned[:, 2, k] - share * binned[:, 0, k]) / binned[:, 0, k].mean()
        interval = t_interval(spread).within(0.0, 1.0)
        points.append((total[k] / count[k], share, interval.low, interval.high))
    return Series(label, *zip(*points, strict=True))


EXPERIMENT = Experiment("confidence", "Are edges right as often as resamples say?", plan, tables, figures=figures)
