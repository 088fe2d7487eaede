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
from types import ModuleType

from bench.errors import InputError

EXPERIMENTS = (
    "recovery", "variance", "limits", "attribution", "layernorm", "mixing", "acyclicity", "example", "discovery",
    "recommend", "sensitivity", "ablation", "audit", "graph_view", "readings", "agreement", "cost", "selftest",
)  # fmt: skip


def load_experiment(name: str) -> ModuleType:
    """The experiment's module; InputError lists the valid names."""
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r} is unknown; choose one of {', '.join(EXPERIMENTS)}")
    return importlib.import_module(f"bench.experiments.{name}")
