"""The experiments by name.

A new one is a file that defines its `EXPERIMENT`, see `bench.experiments.base.Experiment`, and its name in `_MODULES`.
`theory` has those on SCMs and graph learners, `model` those on CausalRec.
"""

from collections.abc import Callable, Collection

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.experiments.base import Experiment
from bench.experiments.model import (
    ablation,
    acyclicity,
    agreement,
    audit,
    discovery,
    example,
    graph_claims,
    graph_view,
    multiverse,
    positive_control,
    readings,
    recommend,
    sensitivity,
)
from bench.experiments.theory import (
    attribution,
    confidence,
    cost,
    layernorm,
    limits,
    misses,
    mixing,
    recovery,
    sizes,
    variance,
    violations,
)
from bench.plan.presets import find_preset
from bench.plan.setup import OWN, Setup
from bench.plan.sizes import Preset

_MODULES = (
    recovery, sizes, variance, violations, limits, attribution, misses, confidence, layernorm, mixing, acyclicity,
    example, discovery, positive_control, recommend, sensitivity, ablation, graph_claims, audit, graph_view, readings,
    multiverse, agreement, cost,
)  # fmt: skip
LARGER = "hour"  # the preset that runs what a smaller one leaves out
EXPERIMENTS: dict[str, Experiment] = {module.EXPERIMENT.name: module.EXPERIMENT for module in _MODULES}


def find(name: str) -> Experiment:
    """Return the experiment of that name.

    Args:
        name: of an experiment.

    Raises:
        InputError: an unknown name; the error lists the valid ones.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r} is unknown; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def of_preset(preset: str) -> tuple[str, ...]:
    """The names of the experiments that `reproduce` runs at a preset.

    Args:
        preset: its name.

    Raises:
        InputError: an unknown preset; the error lists the valid ones.
    """
    without = find_preset(preset).without
    return tuple(name for name in EXPERIMENTS if name not in without)


def left_out(preset: Preset, experiment: str) -> str:
    """Why `reproduce` does not run an experiment at a preset, and what does; "" where it runs.

    Args:
        preset: any.
        experiment: its name.
    """
    if experiment not in preset.without:
        return ""
    return f"the preset {preset.name} leaves {experiment} out; `python cli.py reproduce --preset {LARGER}` runs it"


def check_used(setup: Setup, names: Collection[str]) -> None:
    """Check that what a user asked for is used.

    Args:
        setup: the run's, with the user's own file, learners and recommenders.
        names: of the experiments to run.

    Raises:
        InputError: the file or a model is in no cell of these experiments; the error tells which would use it.
    """
    asked: dict[str, Callable[[Cell], bool]] = {}
    for kind, param, models in (("learner", "learner", setup.learners), ("recommender", "model", setup.recommenders)):
        for model in models:
            asked[f"--{kind} {model}"] = lambda cell, param=param, model=model: cell.params.get(param) == model  # type: ignore[misc]
    if OWN in setup.found:
        asked["--data"] = lambda cell: cell.params.get("dataset", {}).get("name") == OWN

    def users(uses: Callable[[Cell], bool], among: Collection[str]) -> list[str]:
        return [name for name in among if any(uses(cell) for cell in find(name).plan(setup))]

    for option, uses in asked.items():
        if not users(uses, names):
            where = ", ".join(users(uses, EXPERIMENTS)) or "none at this preset"
            raise InputError(f"{', '.join(names)} would not use {option}; experiments that use it: {where}")
