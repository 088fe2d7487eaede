"""The graph learners by name.

No learner and no runner imports this file, so that it is in no cell's key: a new learner leaves all records as they
are. `load(name)` imports only the module of that learner.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from types import MappingProxyType
from typing import Any

from causalrec.errors import InputError
from causalrec.structure import Learner

_LEARNERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "attention_closed": ("attention", "AttentionClosed"),
        "attention_free": ("attention", "AttentionFree"),
        "dagma": ("dagma", "Dagma"),
        "eqvar": ("eqvar", "EqVar"),
        "exact": ("exact", "Exact"),
        "golem_ev": ("golem", "GolemEV"),
        "golem_nv": ("golem", "GolemNV"),
        "notears": ("notears", "Notears"),
        "oracle": ("oracle", "Oracle"),
        "r2_sort": ("sort_regress", "R2Sort"),
        "random_order": ("sort_regress", "RandomOrder"),
        "variance_sort": ("sort_regress", "VarianceSort"),
    }
)


def learners() -> tuple[str, ...]:
    """The names `load` knows."""
    return tuple(_LEARNERS)


def learner_module(name: str) -> str:
    """The module that holds the learner, for the fingerprint of results made with it; raises InputError as `load`."""
    if name not in _LEARNERS:
        raise InputError(f"no learner is called {name!r}; choose one of {', '.join(learners())}")
    return f"causalrec.structure.{_LEARNERS[name][0]}"


def learner_class(name: str) -> str:
    """The learner's class as module:Class; raises InputError as `load`."""
    return f"{learner_module(name)}:{_LEARNERS[name][1]}"


def load(name: str, **options: Any) -> Learner:
    """The learner of that name, with its options; imports only its module.

    Raises:
        InputError: no such learner, or no such option; the message lists the valid ones.
    """
    kind = getattr(import_module(learner_module(name)), _LEARNERS[name][1])
    valid = [field.name for field in fields(kind)]
    if unknown := sorted(set(options) - set(valid)):
        raise InputError(f"{name} has no option {', '.join(unknown)}; its options: {', '.join(valid) or 'none'}")
    learner: Learner = kind(**options)
    return learner


