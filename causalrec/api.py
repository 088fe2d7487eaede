"""The names that `import causalrec` offers."""

from causalrec.errors import InputError, NotFittedError
from causalrec.estimators import BehaviourGraph, CausalRec, SequentialRecommender, load
from causalrec.graph import Graph, learn_graph
from causalrec.methods.recommenders import recommenders
from causalrec.structure.registry import learners

__all__ = [
    "BehaviourGraph",
    "CausalRec",
    "Graph",
    "InputError",
    "NotFittedError",
    "SequentialRecommender",
    "learn_graph",
    "learners",
    "load",
    "recommenders",
]
