"""Causal recommenders: models that name which item causes which, behind five methods.

    class Mine:
        def fit(self, train, num_items, generator): ...
        def scores(self, histories): ...
        def graph(self): ...
        def fix(self, weights): ...
        def twin(self): ...

`CausalGraphRec`, `LiftSASRec` and `Seq2CauseSASRec` are the suite's own; a user names one as `package.module:Class`.
What all claim is the same, so that one table judges it: that a correct graph helps, that the model delivers one, and
that it gains by it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from bench.errors import InputError
from bench.methods import user_recommender
from bench.methods.seq2cause import largest_information
from bench.methods.user_code import definition
from bench.methods.user_recommender import Ints, UserRecommender
from causalrec.interactions import Sequences, Split, Targets, from_rows, pad_left
from causalrec.methods.fit import fit, make_model
from causalrec.model import CausalRec, CausalRecOptions
from causalrec.registry import Registry
from causalrec.training import TrainingOptions, make_scorer
from synth.behaviour_controls import lift

Floats = NDArray[np.float64]


class CausalRecommender(UserRecommender, Protocol):
    """A recommender, see `UserRecommender` for `fit` and `scores`, whose graph can be read, given and taken away."""

    def graph(self) -> ArrayLike | csr_array:
        """The graph that the fitted model delivers: finite W (num_items, num_items), dense or scipy.sparse.

        W[i, j] is the effect of item j + 1 on item i + 1: row = effect, column = cause. A larger |W| is a stronger
        claim, 0 is no edge, and the diagonal is ignored.
        """

    def fix(self, weights: csr_array) -> object:
        """Take a graph in the place of the one that `fit` would learn; called before `fit`, at most once.

        Args:
            weights: (num_items, num_items) float64 as `graph` returns it, 1 at every edge.
        """

    def twin(self) -> UserRecommender:
        """A new model, not fitted, with the same settings and without the graph; it needs `fit` and `scores` alone.

        Given equal generators the two should draw equal numbers, so that the graph is all that distinguishes them.
        """


class CausalGraphRec:
    """CausalRec. A graph that is given replaces the discovery and with it L_DAG; the twin has neither L_DAG nor boost.

    Args:
        options: of `CausalRecOptions`, without `items`, as JSON has them.
        training: of `TrainingOptions`, all epochs.
        device: "cpu" (default) or "cuda".
    """

    def __init__(self, options: Mapping[str, Any], training: Mapping[str, Any], device: str = "cpu") -> None:
        self.options, self.training, self.device = dict(options), dict(training), device
        self.given: csr_array | None = None

    def fit(self, train: list[Ints], num_items: int, generator: np.random.Generator) -> None:
        """Train by the suite's one recipe."""
        self.train(train, num_items, int(generator.integers(2**63)))

    def scores(self, histories: list[Ints]) -> Floats:
        """Scores (histories, num_items), float64."""
        rows = from_rows(histories, self.model.options.items)
        return np.asarray(make_scorer(self.model)(rows, slice(0, len(rows))).cpu().double())

    def graph(self) -> csr_array:
        """W as it is learned or given; without an edge where nothing uses it."""
        items = self.model.options.items
        used = self.model.options.boost.active
        return csr_array(self.model.item_graph().cpu().double().numpy() if used else (items, items))

    def fix(self, weights: csr_array) -> None:
        """Boost by these edges alone."""
        self.given = weights
        self.options |= {"source": "fixed", "beta": 0.0}

    def train(self, train: list[Ints], num_items: int, root: int) -> None:
        """Train with the graph that is given, otherwise with the one that training finds.

        Args:
            train: as in `fit`.
            num_items: as in `fit`.
            root: of all random streams.
        """
        self.model = make_model(CausalRec, CausalRecOptions(num_items, **self.options), self.device, root, {})
        if self.given is not None:
            self.model.fix(torch.from_numpy(self.given.toarray()))
        fit(self.model, _training_alone(from_rows(train, num_items)), TrainingOptions(**self.training), root, {})

    def twin(self) -> "CausalGraphRec":
        """CausalRec at alpha = beta = 0, which is SASRec with LayerNorm on the values of its first layer."""
        boost = {**self.options["boost"], "alpha": 0.0}
        return CausalGraphRec(self.options | {"boost": boost, "beta": 0.0}, self.training, self.device)


class LiftSASRec(CausalGraphRec):
    """SASRec whose attention is boosted by lift as a graph: the pairs that follow each other most beyond chance.

    Args:
        options: as of `CausalGraphRec`.
        training: as of `CausalGraphRec`.
        device: as of `CausalGraphRec`.
        edges: how many pairs are edges, per item of the catalogue; default 2.
    """

    def __init__(
        self, options: Mapping[str, Any], training: Mapping[str, Any], device: str = "cpu", edges: int = 2
    ) -> None:
        super().__init__(options, training, device)
        self.edges = edges
        self.found: csr_array | None = None

    def fit(self, train: list[Ints], num_items: int, generator: np.random.Generator) -> None:
        """Find the graph, unless one is given, and train with it."""
        root = int(generator.integers(2**63))
        if self.given is None:
            self.found = strongest(self.weigh(train, num_items, root), self.edges * num_items)
            self.fix(self.found.sign())
        self.train(train, num_items, root)

    def weigh(self, train: list[Ints], num_items: int, root: int) -> Floats:  # noqa: ARG002, others draw
        """How strongly each item is a cause of each, (num_items, num_items), row = effect.

        Args:
            train: as in `fit`.
            num_items: as in `fit`.
            root: of all random streams.
        """
        return lift(pad_left(train, max(map(len, train))), num_items)

    def graph(self) -> csr_array:
        """The edges with their weights; those given where some were."""
        return super().graph() if self.found is None else self.found


class Seq2CauseSASRec(LiftSASRec):
    """SASRec boosted by the graph that seq2cause reads off the twin, trained first.

    The weight of a pair is the largest conditional mutual information that seq2cause finds between two places of a
    training row where the cause stands before the effect: above any threshold, these are the edges of its summary
    graph.
    """

    def weigh(self, train: list[Ints], num_items: int, root: int) -> Floats:
        """The largest conditional mutual information of each pair, 0 where it does not occur."""
        twin = self.twin()
        twin.train(train, num_items, root)
        return largest_information(twin.model, train, root)


MEMBERS: Registry[type[CausalGraphRec]] = {
    "causalrec": CausalGraphRec,
    "lift_sasrec": LiftSASRec,
    "seq2cause_sasrec": Seq2CauseSASRec,
}
TITLES = {
    "causalrec": "CausalRec",
    "lift_sasrec": "SASRec boosted by lift",
    "seq2cause_sasrec": "SASRec boosted by seq2cause",
}


def code(name: str) -> tuple[str, ...]:
    """The definitions that make a causal recommender's results, for `bench.cells.fingerprint`.

    Args:
        name: as for `make`.
    """
    kind = MEMBERS.get(name, user_recommender.UserScorer)
    return (definition(kind), *(("bench.methods.seq2cause_script",) if kind is Seq2CauseSASRec else ()))


def make(name: str, options: Mapping[str, Any], training: Mapping[str, Any], device: str) -> CausalRecommender:
    """A causal recommender, not fitted.

    Args:
        name: of `MEMBERS`, or a user's `package.module:Class`, which gets no arguments.
        options: of a member, see `CausalGraphRec`.
        training: of a member.
        device: of a member, "cpu" or "cuda".
    """
    if name in MEMBERS:
        return MEMBERS[name](options, training, device)
    return cast("Callable[[], CausalRecommender]", user_recommender.load(name))()


def make_twin(name: str, model: CausalRecommender) -> UserRecommender:
    """The twin of a causal recommender.

    Args:
        name: of the recommender, for messages.
        model: not fitted.

    Raises:
        InputError: what it returns is not a new recommender.
    """
    twin = model.twin()
    if twin is model or not all(callable(getattr(twin, method, None)) for method in ("fit", "scores")):
        what = "the recommender itself" if twin is model else f"a {type(twin).__name__}"
        raise InputError(f"{name}: twin returned {what}; return a new recommender with fit and scores")
    return twin


def read_graph(name: str, model: CausalRecommender, num_items: int) -> csr_array:
    """The graph of a fitted causal recommender, (num_items, num_items) float64, its diagonal 0.

    Args:
        name: of the recommender, for messages.
        model: fitted.
        num_items: size of the catalogue.

    Raises:
        InputError: graph returned something else.
    """
    found: Any = model.graph()
    found = found if issparse(found) else np.asarray(found)
    expected = (num_items, num_items)
    if found.shape != expected or found.dtype.kind not in "biuf":
        raise InputError(
            f"{name}: graph returned shape {found.shape} and dtype {found.dtype}; return numbers of shape {expected}, "
            "row = effect, column = cause"
        )
    W = csr_array(found, dtype=np.float64)
    W.sum_duplicates()
    if not np.isfinite(W.data).all():
        raise InputError(f"{name}: graph returned values that are not finite; return 0 where there is no edge")
    W.setdiag(0)
    W.eliminate_zeros()
    return W


def strongest(weights: Floats, edges: int) -> csr_array:
    """The largest weights above 0 of pairs of different items; ties go to the lower row and column.

    Args:
        weights: (items, items), row = effect.
        edges: how many are kept, at most.
    """
    apart = np.where(np.eye(len(weights), dtype=bool), 0.0, weights).ravel()
    kept = np.argsort(-apart, kind="stable")[:edges]
    kept = kept[apart[kept] > 0]
    return csr_array((apart[kept], np.unravel_index(kept, weights.shape)), shape=weights.shape)


def _training_alone(train: Sequences) -> Split:
    nobody = np.empty(0, dtype=np.int64)
    asked = Targets(train.take(nobody, nobody), nobody, nobody, None)
    return Split(train, asked, asked, train.num_items, "training alone")

