"""Worlds of the recovery half from a cell's parameters: draw them, and observe them.

The graph and the weights of a draw depend on family, size and draw alone, so that learners, sample sizes, variance
profiles, ratios and violations meet the same SCMs; the samples depend on their number as well. What is random in a
violation depends on its kind, not on its knobs or the number of samples: a stronger one is more of the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalrec.methods.streams import generator
from causalrec.structure import Problems
from synth.graphs import draw_dag
from synth.scm import draw_scm
from synth.violations import World, standardise_covariance, violate


def world_axes(p: Mapping[str, Any]) -> dict[str, Any]:
    """What names a world: the axes that its graph and weights are drawn by.

    Args:
        p: the cell's parameters.
    """
    return {name: p[name] for name in ("family", "edges", "nodes")}


def draw_world(p: Mapping[str, Any], draw: int) -> World:
    """The world of one draw: a linear SCM, or its violation.

    Args:
        p: the cell's parameters.
        draw: its number.
    """
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
    """What a learner may see of some worlds: the covariance of samples, or the exact one.

    Args:
        p: the cell's parameters.
        worlds: one per draw.
        rows: hand out the samples too.

    Raises:
        InputError: an exact covariance is asked for and there is none.
    """
    # One draw at a time: all samples at once would be many times what a cache, or a small machine, holds.
    covariances, samples, counted = [], [], None
    for draw, world in enumerate(worlds):
        if p["samples"] is None:
            covariances.append(world.covariance)
            continue
        rng = generator(root=p["root"], stream="samples", **world_axes(p), draw=draw, samples=p["samples"])
        problem = Problems.from_samples(world.sample(rng, p["samples"]))
        covariances.append(problem.covariance[0])
        counted = problem.samples
        if rows and problem.rows is not None:
            samples.append(problem.rows[0])
    covariance = np.stack([standardise_covariance(s) for s in covariances] if _has_unit_variances(p) else covariances)
    orders = np.stack([world.order for world in worlds])
    return Problems(covariance, counted, orders, np.stack(samples) if samples else None)


def _has_unit_variances(p: Mapping[str, Any]) -> bool:
    """Whether every variance observed is 1 by construction.

    What then tells them apart, rounding or the eps of LayerNorm, is no data, and a learner would order by it: by eps
    the variable of least variance before LayerNorm, a root, keeps the least after it.
    """
    knobs = p["violation"] or {"kind": None}
    if knobs["kind"] == "iscm":
        return p["samples"] is None
    return knobs["kind"] == "standardised" or (knobs.get("placement") == "mixed" and not knobs.get("affine"))
