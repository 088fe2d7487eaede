"""How sure edges are by resampling, on worlds whose truth is known: pairs binned by probability, draw by draw."""

import time

import numpy as np

from bench.cells.unit import Cell, Outcome
from bench.methods import learners
from bench.runners.worlds import draw_world, observe, world_axes
from causalrec.errors import InputError
from causalrec.methods.streams import generator
from causalrec.structure import Problems
from causalrec.structure.resampling import edge_confidence
from synth.calibration import BINS, bin_pairs


class NothingResampled(RuntimeError):
    """A learner that failed on all resamples of every draw: there is nothing to bin."""


def run(cell: Cell) -> Outcome:
    """Resample `params.draws` problems and return how pairs of variables fall into bins.

    Arrays: frequency and probability (draws, 3, bins), `bin_pairs` of the ordered pairs that any resample joined, by
    plain frequency and by calibrated probability; never (draws, 2), how many pairs no resample joined and how many of
    these are edges; failed (draws,), resamples that failed. A draw on which all resamples fail has 0 everywhere.

    Args:
        cell: its params are those of the experiment `confidence`.

    Raises:
        NothingResampled: no draw had a resample that did not fail.
    """
    p = cell.params
    worlds = [draw_world(p, draw) for draw in range(p["draws"])]
    problems = observe(p, worlds, rows=True)
    learner = learners.load(p["learner"], **p["options"])
    binned, never = np.zeros((2, len(worlds), 3, BINS)), np.zeros((len(worlds), 2))
    failed, failures, start = np.zeros(len(worlds)), list[str](), time.process_time()
    for draw, world in enumerate(worlds):
        rows = np.asarray(problems.rows)[draw]
        # Where variances are 1 by construction, `observe` scales the covariances and not the rows.
        rows = rows * (np.sqrt(problems.covariance[draw].diagonal()) / rows.std(0))
        rng = generator(root=p["root"], stream="resamples", **world_axes(p), samples=p["samples"], draw=draw)
        try:
            found = edge_confidence(
                Problems.from_samples(rows), learner, rng, resamples=p["resamples"], kind=p["kind"],
                calibrate=p["calibrate"],
            )  # fmt: skip
        except InputError as error:
            failures.append(str(error))
            failed[draw] = p["resamples"]
            continue
        joined, pairs = found.frequency > 0, ~np.eye(len(world.graph), dtype=bool)
        for kind, values in enumerate((found.frequency, found.probability)):
            binned[kind, draw] = bin_pairs(values[joined], world.graph[joined])
        rest = pairs & ~joined
        never[draw], failed[draw] = (rest.sum(), world.graph[rest].sum()), found.failed
    if len(failures) == len(worlds):
        raise NothingResampled(f"{p['learner']} failed on all of {len(worlds)} draws, first with: {failures[0]}")
    metrics = {
        "draws": len(worlds),
        "failures": len(failures),
        "first_failure": failures[0] if failures else None,
        "failed_resamples": int(failed.sum()),
        "fit_cpu_s": time.process_time() - start,
    }
    return Outcome(metrics, {"frequency": binned[0], "probability": binned[1], "never": never, "failed": failed})
