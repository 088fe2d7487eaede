"""Cells of the structure runner, and what is read off one of their results."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.cells.unit import Cell
from bench.experiments.base import Results
from bench.judge.intervals import Interval, Value, clopper_pearson, t_interval
from bench.methods import learners
from bench.plan.results import Result, mean_known, select, stacked
from bench.plan.setup import Setup

PLAIN: dict[str, Any] = {"profile": "equal", "ratio": 1.0, "violation": None}
# The worlds that experiments share, by what tables call them.
WORLDS: dict[str, dict[str, Any]] = {
    "equal variances": PLAIN,
    "variance ratio 16": PLAIN | {"profile": "random", "ratio": 16.0},
    "standardised": PLAIN | {"violation": {"kind": "standardised"}},
}


def plan_cell(
    setup: Setup, learner: str, family: str, edges: int, nodes: int, samples: int | None, **changes: Any
) -> Cell:
    """A cell of the structure runner.

    Args:
        setup: the run's.
        learner: a name of `bench.methods.learners`, or a user's `module:function`.
        family: of graphs, such as "er".
        edges: per node.
        nodes: per graph.
        samples: n, None for the exact covariance.
        changes: of weights, signed, noise, profile, ratio, violation, draws where they differ from the default. A
            violation is a kind of `synth.violations.VIOLATIONS` with its knobs: {"kind": "confounded", "latents": 2}.
    """
    params: dict[str, Any] = {
        "family": family, "edges": edges, "nodes": nodes, "samples": samples, "weights": [0.5, 2.0], "signed": True,
        "noise": "gaussian", "profile": "equal", "ratio": 1.0, "violation": None, "learner": learner,
        "identity": learners.identity(learner), "options": {}, "draws": setup.preset.structure.draws,
        "root": setup.stream,
    } | changes  # fmt: skip
    code = ("bench.runners.structure:run", *learners.code(learner))
    cost = 0.1 + params["draws"] * learners.seconds(learner, nodes, samples)
    label = f"{learner} on {family}{edges}, {nodes} nodes, n = {samples or 'infinite'}"
    label += "".join(f", {name} {_describe(value)}" for name, value in changes.items())
    return Cell("structure", params, code, cost=cost, timeout=setup.preset.timeout, label=label)


def _describe(value: object) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def first(results: Results, **wanted: Any) -> Result | None:
    """The first result that ran and whose parameters have these values.

    Args:
        results: any.
        wanted: parameters and their values.
    """
    return next(iter(select(results, **wanted)), None)


def rate(*results: Result) -> Interval:
    """The share of graphs recovered exactly, of all draws of these results; Clopper-Pearson.

    Args:
        results: at least one.
    """
    return clopper_pearson(*(sum(r.metrics[name] for r in results) for name in ("exact", "draws")))


def mean_shd(*results: Result) -> Interval:
    """The mean SHD over all draws of these results, with its t interval.

    Args:
        results: at least one.
    """
    return t_interval(stacked(list(results), "shd")).within(0.0, np.inf)


def shds_and_sorts(found: Sequence[Result | None], seen: Result | None) -> list[Value]:
    """The mean SHD of each result, then varsortability and R2-sortability of the data of one; None where it is absent.

    Args:
        found: results.
        seen: a result on the data.
    """
    sorts = (mean_known(seen.arrays[name]) if seen else None for name in ("varsortability", "r2_sortability"))
    return [*(mean_shd(r) if r else None for r in found), *sorts]


def graph_name(r: Result) -> str:
    """Family and edges per node, such as ER2.

    Args:
        r: a result of the structure runner.
    """
    return f"{r.params['family'].upper()}{r.params['edges']}"


def samples_words(samples: int | None) -> Any:
    """The number of samples in a table's column, "exact" for the exact covariance.

    Args:
        samples: n, None for the exact covariance.
    """
    return "exact" if samples is None else samples


def failed_draws(results: Results) -> str:
    """A sentence for the note of a table: which learners failed on some of their draws; "" where none did.

    Args:
        results: those of the table.
    """
    ran, said = select(results), []
    for name in dict.fromkeys(r.params["learner"] for r in ran if r.metrics["failures"]):
        failures, draws = (sum(r.metrics[k] for r in select(ran, learner=name)) for k in ("failures", "draws"))
        said.append(f"{learners.title(name)} on {failures} of {draws}")
    return f" Draws that a learner failed on count as the empty graph: {', '.join(said)}." if said else ""
