"""The graph learners by name."""

from dataclasses import fields
from typing import Any

from causalrec.errors import InputError
from causalrec.registry import Registry
from causalrec.structure import Learner
from causalrec.structure.attention import AttentionClosed, AttentionFree
from causalrec.structure.boss import Boss
from causalrec.structure.colide import ColideEV, ColideNV
from causalrec.structure.dagma import Dagma
from causalrec.structure.eqvar import EqVar
from causalrec.structure.exact import Exact
from causalrec.structure.golem import GolemEV, GolemNV
from causalrec.structure.notears import Notears
from causalrec.structure.sort_regress import Oracle, R2Sort, RandomOrder, VarianceSort

LEARNERS: Registry[type[Any]] = {
    kind.name: kind
    for kind in (
        AttentionClosed, AttentionFree, Boss, ColideEV, ColideNV, Dagma, EqVar, Exact, GolemEV, GolemNV, Notears,
        Oracle, R2Sort, RandomOrder, VarianceSort,
    )
}  # fmt: skip


def learners() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(LEARNERS)


def load(name: str, **options: Any) -> Learner:
    """Make a learner.

    Args:
        name: a name of `LEARNERS`.
        options: fields of its class.

    Raises:
        InputError: no such learner or option; the message lists the valid ones.
    """
    if name not in LEARNERS:
        raise InputError(f"no learner is called {name!r}; choose one of {', '.join(learners())}")
    return make(name, LEARNERS[name], **options)


def make(name: str, kind: type[Any], **options: Any) -> Learner:
    """A learner of a class.

    Args:
        name: what the message calls it.
        kind: its class, a dataclass.
        options: fields of the class.

    Raises:
        InputError: no such option; the message lists the valid ones.
    """
    valid = [field.name for field in fields(kind)]
    if unknown := sorted(set(options) - set(valid)):
        raise InputError(f"{name} has no option {', '.join(unknown)}; its options: {', '.join(valid) or 'none'}")
    learner: Learner = kind(**options)
    return learner
