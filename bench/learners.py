"""Every graph learner an experiment can name: what it is called in tables, what it costs, which code makes it."""

from typing import Any

from causalrec import structure
from causalrec.structure import Learner

TITLES = {
    "eqvar": "EqVar",
    "notears": "NOTEARS",
    "variance_sort": "variance sort (control)",
    "r2_sort": "R2 sort (control)",
    "random_order": "random order (control)",
    "oracle": "known order (oracle)",
}
SECONDS = {"notears": 4e-5}


def load(name: str, **options: Any) -> Learner:
    """The learner of that name, with its options; raises InputError that lists the valid ones."""
    return structure.load(name, **options)


def title(name: str) -> str:
    """What tables call it."""
    return TITLES.get(name, name)


def code(name: str) -> tuple[str, ...]:
    """The first-party modules that make its results."""
    return (structure.learner_module(name),)


def identity(name: str) -> str | None:
    """What else makes its results: the version of a peer, the hash of a user's own source; None where nothing does."""
    del name
    return None


def needs_rows(name: str) -> bool:
    """Whether it needs samples, so that it cannot run on an exact covariance."""
    del name
    return False


def seconds(name: str, nodes: int, samples: int | None) -> float:
    """Expected CPU-seconds a graph."""
    fit: float = SECONDS.get(name, 2e-7) * nodes**2.2
    return fit + 1e-7 * (samples or 0) * nodes
