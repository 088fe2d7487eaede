"""The experiments by name. One module each, with these functions:

- `plan(setup) -> list[Cell]`: the cells it needs;
- `refine(setup, results) -> list[Cell]`: more cells that depend on the results of the first (may be absent);
- `tables(setup, results) -> list[Table]`: what a reader sees; `details(...)`: what goes to files only (may be absent);
- `figures(setup, results) -> list[Figure]`: what is drawn, as data (may be absent);
- `findings(setup, results, margins) -> list[Finding]`: what it says of the register's claims;
- `reasons(setup, results) -> dict[str, str]`: by claim, of its own or another experiment, why it comes out as it does,
  which judges nothing (may be absent).
"""

import importlib
from collections.abc import Callable
from types import ModuleType

from bench.cells.unit import Cell
from bench.errors import InputError
from bench.plan.setup import OWN, Setup

THEORY = ("recovery", "variance", "limits", "attribution", "layernorm", "mixing", "cost")
EXPERIMENTS = (
    "recovery", "variance", "limits", "attribution", "layernorm", "mixing", "acyclicity", "example", "discovery",
    "recommend", "sensitivity", "ablation", "audit", "graph_view", "readings", "agreement", "cost",
)  # fmt: skip


def load_experiment(name: str) -> ModuleType:
    """The experiment's module; InputError lists the valid names."""
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r} is unknown; choose one of {', '.join(EXPERIMENTS)}")
    return importlib.import_module(f"bench.experiments.{'theory' if name in THEORY else 'model'}.{name}")


def check_used(setup: Setup, names: tuple[str, ...]) -> None:
    """Raise InputError where the user's own file, or a model asked for, is in no cell of the experiments `names`.

    The error tells which experiments would use it.
    """
    def users(uses: Callable[[Cell], bool], among: tuple[str, ...]) -> list[str]:
        return [name for name in among if any(uses(cell) for cell in load_experiment(name).plan(setup))]

    asked: dict[str, Callable[[Cell], bool]] = {
        f"--learner {name}": lambda cell, name=name: cell.params.get("learner") == name  # type: ignore[misc]
        for name in setup.learners
    }
    for name in setup.recommenders:
        asked[f"--recommender {name}"] = lambda cell, name=name: cell.params.get("model") == name  # type: ignore[misc]
    if OWN in setup.found:
        asked["--data"] = lambda cell: cell.params.get("dataset", {}).get("name") == OWN
    for option, uses in asked.items():
        if not users(uses, names):
            where = ", ".join(users(uses, EXPERIMENTS)) or "none at this preset"
            raise InputError(f"{', '.join(names)} would not use {option}; experiments that use it: {where}")
