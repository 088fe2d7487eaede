"""Every graph learner an experiment can name: what it is called in tables, what it costs, which code makes it.

A name is a built-in of `causalrec.structure`, a variant of one (`VARIANTS`), a peer of `bench.methods.peers` (`peer.dagma`),
or a function of the user's own, `package.module:function`: X (samples, n) float64 -> W (n, n), W[i, j] the effect of
j on i, importable from the current folder.
"""

import importlib
from types import ModuleType
from typing import Any, cast

from bench.errors import InputError
from bench.methods.foreign import PEER
from causalrec.structure import Learner, registry

TITLES = {
    "eqvar": "EqVar",
    "eqvar_lasso": "EqVar, lasso refit",
    "eqvar_bic": "EqVar, BIC refit",
    "eqvar_bottom_up": "EqVar bottom-up",
    "notears": "NOTEARS",
    "notears_exponential": "NOTEARS, exponential h",
    "golem_ev": "GOLEM-EV",
    "golem_nv": "GOLEM-NV",
    "dagma": "log-determinant path",
    "exact": "exact, equal variances",
    "exact_l1": "exact, equal variances, L1",
    "exact_unequal": "exact, BIC",
    "attention_closed": "attention, closed form",
    "attention_root": "attention, root of S",
    "attention_free": "attention, free W",
    "variance_sort": "variance sort (control)",
    "r2_sort": "R2 sort (control)",
    "random_order": "random order (control)",
    "oracle": "known order (oracle)",
    "oracle_lasso": "known order, lasso refit (oracle)",
    "peer.dagma": "DAGMA (peer)",
    "peer.notears": "NOTEARS (peer)",
    "peer.golem": "GOLEM (peer)",
    "peer.lingam": "DirectLiNGAM (peer)",
    "peer.pc": "PC (peer)",
    "peer.ges": "GES (peer)",
    "peer.boss": "BOSS (peer)",
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "eqvar_lasso": ("eqvar", {"refit": "lasso_bic"}),
    "eqvar_bic": ("eqvar", {"refit": "bic"}),
    "eqvar_bottom_up": ("eqvar", {"direction": "bottom_up"}),
    "notears_exponential": ("notears", {"acyclicity": "exponential"}),
    "exact_l1": ("exact", {"score": "equal_l1"}),
    "exact_unequal": ("exact", {"score": "unequal"}),
    "attention_root": ("attention_closed", {"mixing": "root"}),
    "oracle_lasso": ("oracle", {"refit": "lasso_bic"}),
}
MOST_NODES = {"exact": 14, "exact_l1": 14, "exact_unequal": 14}
# CPU-seconds a graph over nodes^2.2, or over 2^nodes of a search over all orders, of batches of 4 on one thread.
SECONDS = {
    "notears": 4e-5, "notears_exponential": 1e-4, "golem_ev": 4e-5, "golem_nv": 6e-5, "dagma": 3e-5,
    "attention_free": 4e-4, "eqvar_lasso": 1e-6, "eqvar_bic": 1e-6,
}  # fmt: skip
SEARCH_SECONDS = {"exact": 2e-6, "exact_l1": 3e-5, "exact_unequal": 3e-6}


def names() -> tuple[str, ...]:
    """Every name that can be listed: built-ins, variants, peers."""
    return (*registry.learners(), *VARIANTS, *_peers().peers())


def load(name: str, **options: Any) -> Learner:
    """The learner of that name, with its options; raises InputError that lists the valid ones."""
    if ":" in name:
        if options:
            raise InputError(f"{name} is a function of your own and has no option {', '.join(options)}")
        return cast("Learner", _own().load(name))
    if name.startswith(PEER):
        return cast("Learner", _peers().load(name, **options))
    if name in VARIANTS:
        base, fixed = VARIANTS[name]
        return registry.load(base, **fixed | options)
    if name not in registry.learners():
        raise InputError(
            f"no learner is called {name!r}; choose one of {', '.join(names())}, or a function of your own as "
            "package.module:function"
        )
    return registry.load(name, **options)


def title(name: str) -> str:
    """What tables call it."""
    return TITLES.get(name, name)


def code(name: str) -> tuple[str, ...]:
    """The first-party modules that make its results."""
    if ":" in name:
        return ("bench.methods.user_learner",)
    if name.startswith(PEER):
        return ("bench.methods.peers",)
    return (registry.learner_module(VARIANTS[name][0] if name in VARIANTS else name),)


def identity(name: str) -> str:
    """What else makes its results: a built-in's class and fixed options, a peer's version, the hash of a user's own.

    It is part of a cell's parameters, and so this file of no cell's code: runners import it by name.
    """
    if ":" in name:
        return cast("str", _own().version(name))
    if name.startswith(PEER):
        return cast("str", _peers().version(name))
    base, fixed = VARIANTS.get(name, (name, {}))
    return " ".join([registry.learner_class(base), *(f"{option}={value}" for option, value in sorted(fixed.items()))])


def needs_rows(name: str) -> bool:
    """Whether it needs samples, so that it cannot run on an exact covariance."""
    return ":" in name or name.startswith(PEER)


def can_run(name: str, nodes: int, samples: int | None) -> bool:
    """Whether it takes problems of that size; samples None is the exact covariance."""
    return nodes <= MOST_NODES.get(name, nodes) and not (samples is None and needs_rows(name))


def seconds(name: str, nodes: int, samples: int | None) -> float:
    """Expected CPU-seconds a graph; of a user's own function and of peers nothing is known but that most are slow."""
    if name in SEARCH_SECONDS:
        return SEARCH_SECONDS[name] * 2.0**nodes
    fit: float = SECONDS.get(name, 1e-2 if needs_rows(name) else 2e-7) * nodes**2.2
    return fit + 1e-7 * (samples or 0) * nodes


def _own() -> ModuleType:
    """Imported by name, as `_peers`."""
    return importlib.import_module("bench.methods.user_learner")


def _peers() -> ModuleType:
    """Imported by name: the adapters to peers make no result but theirs, and are in no other's fingerprint."""
    return importlib.import_module("bench.methods.peers")
