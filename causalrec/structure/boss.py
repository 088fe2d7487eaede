"""BOSS: the best place of each variable in a causal order, found again and again by a penalised likelihood.

Andrews, Ramsey, Sanchez-Romero, Camchong & Kummerfeld (2023), "Fast scalable and accurate discovery of DAGs using the
best order score search and grow-shrink trees".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dtrtrs

from causalrec.errors import InputError
from causalrec.structure import Fits, Floats, Integers, Problems
from causalrec.structure.doubts import correlations

Orient = Literal["class", "dag"]

_EXACT_CHARGE = 1e-8  # per edge on an exact covariance: no edge that explains less, the sparsest of equal likelihoods
_TIE = 1e-10  # of the score per sample: a smaller gain may be rounding, so that the search would not end


@dataclass(frozen=True)
class Boss:
    """BOSS: an order by a search that moves one variable at a time, parents by grow-shrink, and the class of that DAG.

    Parents of a variable are chosen among its predecessors: the one that raises the score most is added until none
    does, then the one whose removal raises it most is removed until none does. Each variable in turn is moved to the
    place of the best sum of scores, the first of equal ones, until no move raises it. The score of s samples is the sum
    over variables of −s/2 log(residual variance) − penalty · log(s) · parents, so that units do not matter; per sample
    an exact covariance charges 1e-8 per parent. The graph is known up to Markov equivalence only.

    The first search starts from the order of the variables' shares of variance that all others explain, least first,
    the others at random orders that are the same for all problems; the best score wins. One search may end in a local
    optimum, with an edge too many even on an exact covariance. The backward search of edges (BES) that the authors let
    follow is left out.

    Args:
        penalty: of the score, above 0, default 2. It counts as causal-learn's `lambda_value`; Tetrad's penalty discount
            is twice that.
        restarts: number of searches, at least 1 (default).
        orient: `class` (default): `Fits.cpdag` is the class, and W holds the edges alone that it directs. `dag`: W is
            the DAG found, `Fits.order` its order; directions that the class leaves open are arbitrary.

    Raises:
        InputError: an option out of range.
    """

    penalty: float = 2.0
    restarts: int = 1
    orient: Orient = "class"
    name: ClassVar[str] = "boss"

    def __post_init__(self) -> None:
        if not 0 < self.penalty < np.inf:
            raise InputError(f"boss: penalty is {self.penalty}; give a number above 0")
        if self.restarts < 1:
            raise InputError(f"boss: restarts is {self.restarts}; give 1 or more")
        if self.orient not in get_args(Orient):
            raise InputError(f"boss: orient is {self.orient!r}; choose {' or '.join(get_args(Orient))}")

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        """Return one W per problem, with its class or its order; iterations are rounds over all variables.

        Trace score, (1, m), is the score per sample, but for the variances of the variables themselves.
        """
        m, n, _ = problems.covariance.shape
        s = problems.samples
        charge = _EXACT_CHARGE if s is None else self.penalty * float(np.log(s)) / s
        further = [generator.permutation(n) for _ in range(self.restarts - 1)]
        W, cpdag = np.zeros((m, n, n)), np.zeros((m, n, n), dtype=bool)
        order, rounds, score = np.zeros((m, n), dtype=np.int64), np.zeros(m, dtype=np.int64), np.zeros(m)
        for p, S in enumerate(problems.covariance):
            correlation = correlations(S)
            trees = [_Tree(correlation, j, charge) for j in range(n)]
            searches = [_Search(trees, start) for start in (_by_shares(correlation), *further)]
            best = max(searches, key=lambda search: search.score)
            order[p], rounds[p], score[p] = best.order, best.rounds, best.score
            for j, leaf in enumerate(best.leaves):
                W[p, j, leaf.parents] = np.linalg.solve(S[np.ix_(leaf.parents, leaf.parents)], S[leaf.parents, j])
            cpdag[p] = equivalence_class([leaf.parents for leaf in best.leaves], best.order)
        trace, converged = {"score": score[None]}, np.ones(m, dtype=bool)
        if self.orient == "dag":
            return Fits(W, np.zeros(m), converged, rounds, order, trace)
        W[cpdag & cpdag.mT] = 0
        return Fits(W, np.zeros(m), converged, rounds, trace=trace, cpdag=cpdag)


def equivalence_class(parents: Sequence[Sequence[int]], order: Sequence[int]) -> NDArray[np.bool_]:
    """Return the CPDAG (n, n) of a DAG, as `Fits.cpdag` has it (Chickering 1995).

    Args:
        parents: of each variable.
        order: a causal order of the variables, causes first.
    """
    place = np.argsort(order)
    before = [set(found) for found in parents]
    directed: list[set[int]] = [set() for _ in before]
    cpdag = np.zeros((len(place), len(place)), dtype=bool)
    for j in order:
        if before[j]:
            last = max(before[j], key=place.__getitem__)
            free = before[j] - {last} <= before[last] and directed[last] <= before[j]
            directed[j] = directed[last] if free else before[j]
        cpdag[j, list(before[j])] = True
        cpdag[list(before[j] - directed[j]), j] = True
    return cpdag


class _Leaf(NamedTuple):
    """Where growing a variable's parents ended.

    Args:
        score: of the variable given its parents, per sample.
        parents: what shrinking left of them.
        touched: variables whose going in or out of the predecessors would change the path.
    """

    score: float
    parents: list[int]
    touched: list[int]


class _Node:
    """A set of parents grown in one order: which further ones raise the score, best first, and what follows each."""

    __slots__ = ("better", "factor", "following", "leaf", "parents", "touched")

    def __init__(self, parents: list[int], touched: list[int]) -> None:
        self.parents = parents
        self.touched = touched
        self.better: list[int] | None = None
        self.following: dict[int, _Node] = {}
        self.leaf: _Leaf | None = None
        self.factor = np.empty((0, 0))  # of the correlation of parents and target, Cholesky's


class _Tree:
    """The grow-shrink tree of one variable: each set of parents is regressed on once, whatever the order.

    Args:
        correlation: (n, n).
        target: the variable.
        charge: of a parent in the score per sample.
    """

    def __init__(self, correlation: Floats, target: int, charge: float) -> None:
        self.correlation = correlation
        self.target = target
        self.charge = charge
        self.least = -math.expm1(-2 * charge)  # squared partial correlation that is worth a parent
        self.rounding = 4 * len(correlation) * np.finfo(np.float64).eps
        self.ones = np.ones(len(correlation))
        self.root = _Node([], [])

    def find(self, place: list[int], limit: int) -> _Leaf:
        """Grow and shrink among the variables whose place is below a limit.

        Args:
            place: of each variable.
            limit: the place of the first that is no predecessor.
        """
        node = self.root
        while True:
            better = self._grow(node) if node.better is None else node.better
            for rank, added in enumerate(better):
                if place[added] < limit:
                    if added not in node.following:
                        node.following[added] = _Node([*node.parents, added], [*node.touched, *better[: rank + 1]])
                    node = node.following[added]
                    break
            else:
                return self._shrink(node) if node.leaf is None else node.leaf

    def _grow(self, node: _Node) -> list[int]:
        """Find the variables whose addition raises the score, the best first."""
        within = np.array([*node.parents, self.target])
        R = self.correlation.take(within, 1)
        node.factor, singular = dpotrf(R.take(within, 0).T, lower=1, overwrite_a=1)
        node.better = []
        if singular:
            node.factor[-1, -1] = 0
        elif node.factor[-1, -1] ** 2 > self.rounding:
            # With C Cᵀ the correlation of parents and target, C⁻¹Rᵀ holds what each, given those before it, shares with
            # every variable.
            shared = dtrtrs(node.factor, R.T, lower=1, overwrite_b=1)[0]
            shared *= shared
            left = 1 - self.ones[: len(within) - 1] @ shared[:-1]
            left[within] = np.inf
            left[left <= self.rounding] = np.inf
            share = shared[-1] / left
            found = (share > self.least).nonzero()[0]
            if len(found) > 1:
                found = found[(-share[found]).argsort(kind="stable")]
            node.better = found.tolist()
        return node.better

    def _shrink(self, node: _Node) -> _Leaf:
        """Remove parents while that raises the score; those that determine the variable stay."""
        parents, factor = node.parents, node.factor
        while len(parents) > 1 and factor[-1, -1] ** 2 > self.rounding:
            inverse = dpotri(factor, lower=1)[0]
            diagonal = inverse.diagonal()
            share = inverse[-1, :-1] ** 2 / (diagonal[:-1] * diagonal[-1])
            least = int(share.argmin())
            if share[least] >= self.least:
                break
            parents = parents[:least] + parents[least + 1 :]
            within = [*parents, self.target]
            factor = dpotrf(self.correlation[np.ix_(within, within)], lower=1)[0]
        variance = max(float(factor[-1, -1]) ** 2, self.rounding)
        score = -0.5 * math.log(variance) - self.charge * len(parents)
        node.leaf = _Leaf(score, parents, [*node.touched, *(node.better or ())])
        return node.leaf


class _Search:
    """One search from one order.

    Args:
        trees: of the variables; searches share them.
        start: the first order.
    """

    def __init__(self, trees: list[_Tree], start: Integers) -> None:
        n = len(start)
        self.trees = trees
        self.order: list[int] = start.tolist()
        self.place = [0] * n
        self.touches = np.zeros((n, n), dtype=bool)  # [j, i]: i is in the leaf of j as touched
        for k, j in enumerate(self.order):
            self.place[j] = k
        self.leaves = [tree.find(self.place, self.place[j]) for j, tree in enumerate(trees)]
        for j, leaf in enumerate(self.leaves):
            self.touches[j, leaf.touched] = True
        self.rounds = 0
        moved = True
        while moved:
            moved = False
            for j in list(self.order):
                moved |= self._move(j)
            self.rounds += 1

    @property
    def score(self) -> float:
        return sum(leaf.score for leaf in self.leaves)

    def _move(self, j: int) -> bool:
        """Move a variable to its best place; return whether that is another."""
        n, place, here, tree = len(self.order), self.place, self.place[j], self.trees[j]
        # Where another variable comes after j or before it, only these choose other parents.
        others = np.flatnonzero(self.touches[:, j]).tolist()
        place_of_others = [place[i] for i in others]
        turned = []
        for i, at in zip(others, place_of_others, strict=True):
            place[j] = -1 if at < here else n
            turned.append(self.trees[i].find(place, at))
        place[j] = here
        # gain[k]: the score with j just before the variable at place k, over that with j last
        gain = np.zeros(n + 1)
        for i, at, leaf in zip(others, place_of_others, turned, strict=True):
            change = leaf.score - self.leaves[i].score
            gain[at] += change if at < here else -change
        gain = gain[::-1].cumsum()[::-1]
        limit = 0
        while limit <= n:
            leaf = tree.find(place, limit)
            later = [place[i] for i in leaf.touched if place[i] >= limit]
            following = min(later) + 1 if later else n + 1
            gain[limit:following] += leaf.score
            limit = following
        best = int((gain >= gain.max() - _TIE).argmax())
        if gain[best] <= gain[here] + _TIE:
            return False
        for i, at, leaf in zip(others, place_of_others, turned, strict=True):
            if best <= at < here or here < at < best:
                self._settle(i, leaf)
        self._settle(j, tree.find(place, best))
        self.order.remove(j)
        self.order.insert(best - (best > here), j)
        for k, i in enumerate(self.order):
            place[i] = k
        return True

    def _settle(self, j: int, leaf: _Leaf) -> None:
        self.leaves[j] = leaf
        self.touches[j] = False
        self.touches[j, leaf.touched] = True


def _by_shares(correlation: Floats) -> Integers:
    """Return the order of the variables' shares of variance that all others explain, least first, ties by index."""
    precision = np.linalg.pinv(correlation, hermitian=True)
    return np.argsort((1 - 1 / precision.diagonal()).round(9), kind="stable")
