"""CausalRec, its rivals and the graph learners: the public Python API.

    causalrec.learn_graph(X)                              a graph from samples: weights, edges, diagnostics
    causalrec.SequentialRecommender("sasrec").fit(df)     a recommender from a table of actions
    causalrec.CausalRec().fit(df).graph(history)          CausalRec, and the graph that it makes of a history
    causalrec.load(folder)                                a saved recommender

What they are built from is in the modules: models in `causalrec.model` and `causalrec.rivals`, graph learners in
`causalrec.structure`, sequences and splits in `causalrec.interactions`, the training loop in `causalrec.training`.
The names below are imported when one of them is first used, so that `import causalrec` needs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalrec.api import (
        BehaviourGraph,
        CausalRec,
        Graph,
        InputError,
        NotFittedError,
        SequentialRecommender,
        learn_graph,
        learners,
        load,
        recommenders,
    )

__version__ = "0.1.0"
__all__ = [
    "BehaviourGraph",
    "CausalRec",
    "Graph",
    "InputError",
    "NotFittedError",
    "SequentialRecommender",
    "__version__",
    "learn_graph",
    "learners",
    "load",
    "recommenders",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'causalrec' has no attribute {name!r}; it offers {', '.join(__all__)}")
    import causalrec.api as api  # `from causalrec import api` would ask this function

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
