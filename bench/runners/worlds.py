"""Worlds of the recovery half from a cell's parameters: draw SCMs, and observe them.

The graph and the weights of a draw depend on family, size and draw alone, so that learners, sample sizes, variance
profiles and ratios meet the same SCMs; the samples depend on their number as well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.cell import generator
from causalrec.structure import Problems
from synth.graphs import draw_dag
from synth.scm import LinearSCM, draw_scm
from synth.violations import observe_rows, standardise_covariance


def world_axes(p: Mapping[str, Any]) -> dict[str, Any]:
    """What names a world: the axes that its graph and weights are drawn by."""
    return {name: p[name] for name in ("family", "edges", "nodes")}


def draw_world(p: Mapping[str, Any], draw: int) -> LinearSCM:
    """The SCM of one draw."""
    rng = generator(root=p["root"], stream="scm", **world_axes(p), draw=draw)
    graph = draw_dag(p["family"], rng, p["nodes"], p["edges"])
    return draw_scm(
        rng, graph, weights=tuple(p["weights"]), signed=p["signed"], noise=p["noise"], profile=p["profile"],
        ratio=p["ratio"],
    )  # fmt: skip


def observe(p: Mapping[str, Any], scms: list[LinearSCM]) -> Problems:
    """What a learner may see of the SCMs."""
    orders = np.stack([scm.order for scm in scms])
    kind, knobs = _split(p["violation"])
    if p["samples"] is not None:
        rngs = [
            generator(root=p["root"], stream="samples", **world_axes(p), draw=draw, samples=p["samples"])
            for draw in range(len(scms))
        ]
        samples = [
            scm.sample(rng, p["samples"])
            if kind != "layernorm"
            else observe_rows(scm, rng, p["samples"], **knobs)
            for scm, rng in zip(scms, rngs, strict=True)
        ]
        problems = Problems.from_samples(np.stack(samples), orders)
        covariance = problems.covariance
    else:
        covariance = np.stack([scm.covariance for scm in scms])
    if kind == "standardised":
        covariance = np.stack([standardise_covariance(s) for s in covariance])
    return Problems(covariance, p["samples"], orders)


def _split(violation: Mapping[str, Any] | None) -> tuple[str | None, dict[str, Any]]:
    knobs = dict(violation or {})
    return knobs.pop("kind", None), knobs
