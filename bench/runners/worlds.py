"""Worlds of the recovery half from a cell's parameters: draw them, and observe them.

The graph and the weights of a draw depend on family, size and draw alone, so that learners, sample sizes, variance
profiles, ratios and violations meet the same SCMs; the samples depend on their number as well. What is random in a
violation depends on its kind, not on its knobs or the number of samples: a stronger one is more of the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.cell import generator
from causalrec.structure import Problems
from synth.graphs import draw_dag
from synth.scm import draw_scm
from synth.violations import World, standardise_covariance, violate


def world_axes(p: Mapping[str, Any]) -> dict[str, Any]:
    """What names a world: the axes that its graph and weights are drawn by."""
    return {name: p[name] for name in ("family", "edges", "nodes")}


def draw_world(p: Mapping[str, Any], draw: int) -> World:
    """The world of one draw: a linear SCM, or its violation."""
    rng = generator(root=p["root"], stream="scm", **world_axes(p), draw=draw)
    graph = draw_dag(p["family"], rng, p["nodes"], p["edges"])
    scm = draw_scm(
        rng, graph, weights=tuple(p["weights"]), signed=p["signed"], noise=p["noise"], profile=p["profile"],
        ratio=p["ratio"],
    )  # fmt: skip
    if p["violation"] is None:
        return scm
    kind = p["violation"]["kind"]
    rng = generator(root=p["root"], stream="violation", kind=kind, **world_axes(p), draw=draw)
    return violate(scm, rng, **p["violation"])


def observe(p: Mapping[str, Any], worlds: Sequence[World], rows: bool = False) -> Problems:
    """What a learner may see of the worlds: the covariance of samples, or the exact one; with `rows` the samples too.

    Raises InputError for an exact covariance where there is none.
    """
    orders = np.stack([world.order for world in worlds])
    if p["samples"] is None:
        return Problems(np.stack([world.covariance for world in worlds]), None, orders)
    # One draw at a time: all samples at once would be many times what a cache, or a small machine, holds.
    seen = []
    for draw, world in enumerate(worlds):
        rng = generator(root=p["root"], stream="samples", **world_axes(p), draw=draw, samples=p["samples"])
        problem = Problems.from_samples(world.sample(rng, p["samples"]))
        seen.append(problem if rows else Problems(problem.covariance, problem.samples))
    covariance = np.concatenate([problem.covariance for problem in seen])
    if p["violation"] == {"kind": "standardised"}:
        # The variances are 1, not 1 but for rounding, by which a learner would order them.
        covariance = np.stack([standardise_covariance(s) for s in covariance])
    samples = [problem.rows for problem in seen if problem.rows is not None]
    return Problems(covariance, seen[0].samples, orders, np.concatenate(samples) if samples else None)
