"""The field's own learners behind our protocol, one class each, installed with `pip install -e ".[peers]"`.

Each runs at its authors' defaults unless its docstring says otherwise, on a copy of the rows (DAGMA centres in place),
one problem at a time, silenced, with the global generators seeded from the one passed in and put back afterwards. What
it returns is turned to W[i, j], the effect of j on i. An error on one problem is a result: `Fits.errors` holds it.
"""

import contextlib
import io
import logging
import os
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import InputError
from causalrec.acyclicity import Exponential, Polynomial
from causalrec.structure import Fits, Floats, Problems

NOT_TOLD = -1  # iterations of a peer that does not say how many it took


class Found(NamedTuple):
    """What a peer found on one problem.

    Args:
        W: weights (n, n), row = effect.
        converged: whether the peer says that it converged.
        iterations: how many it took, `NOT_TOLD` if it does not say.
        order: causal order of the nodes, None if it finds none.
        cpdag: equivalence class (n, n) bool, None if it finds a DAG.
    """

    W: Floats
    converged: bool = True
    iterations: int = NOT_TOLD
    order: list[int] | None = None
    cpdag: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Peer(ABC):
    """What all peers share. A subclass gives its package, imports its solver and runs it."""

    name: ClassVar[str]
    package: ClassVar[str]

    def solver(self) -> Any:
        """Import the peer's solver, a class or a function."""
        return _solver(self.name)

    @classmethod
    def available(cls) -> bool:
        """Whether the peer's package is installed."""
        try:
            metadata.version(cls.package)
        except metadata.PackageNotFoundError:
            return False
        return True

    @classmethod
    def version(cls) -> str:
        """The peer's package and its version, such as "dagma 1.1.1"; InputError if it is not installed."""
        if not cls.available():
            raise InputError(
                f"{cls.name} needs {cls.package}, which is not installed; run: pip install -e \".[peers]\" "
                "-c constraints.txt"
            )
        return f"{cls.package} {metadata.version(cls.package)}"

    def prepare(self) -> None:
        """Import the peer, so that no import counts as time of a fit; InputError if it is not installed."""
        self.version()
        with _contained(0):
            self.solver()

    @abstractmethod
    def learn(self, rows: Floats, seed: int) -> Found:
        """Run the peer on one problem.

        Args:
            rows: samples (s, n), a copy that the peer may change.
            seed: for its global generators.
        """

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:
        """Learn one graph per problem.

        Args:
            problems: problems with rows.
            generator: draws one seed per problem.

        Raises:
            InputError: there are no rows.
        """
        if problems.rows is None:
            raise InputError(f"{self.name} needs samples; give problems made from rows, not an exact covariance")
        found, errors = [], []
        for rows in problems.rows:
            seed = int(generator.integers(2**31))
            try:
                with _contained(seed):
                    one = self.learn(rows.copy(), seed)
                if not np.isfinite(one.W).all():
                    raise FloatingPointError("returned weights that are not finite")  # noqa: TRY301
            except Exception as error:  # noqa: BLE001, whatever a peer raises is its result
                one = Found(np.zeros(problems.covariance.shape[1:]), converged=False)
                errors.append(f"{type(error).__name__}: {error}")
            else:
                errors.append("")
            found.append(one)
        W = np.stack([one.W for one in found])
        return Fits(
            W,
            Exponential().value(torch.from_numpy(W)).numpy(),
            np.array([one.converged for one in found]),
            np.array([one.iterations for one in found]),
            order=_stack([one.order for one in found], np.arange(W.shape[1])),
            cpdag=_stack([one.cpdag for one in found], np.zeros(W.shape[1:], dtype=bool)),
            errors=tuple(errors),
        )


def _solver(name: str) -> Any:
    if name == "peer.dagma":
        from dagma.linear import DagmaLinear

        return DagmaLinear
    if name == "peer.notears":
        from castle.algorithms import Notears

        return Notears
    if name == "peer.golem":
        from castle.algorithms import GOLEM

        return GOLEM
    if name == "peer.lingam":
        from lingam import DirectLiNGAM

        return DirectLiNGAM
    if name == "peer.pc":
        from causallearn.search.ConstraintBased.PC import pc

        return pc
    if name == "peer.ges":
        from causallearn.search.ScoreBased.GES import ges

        return ges
    from causallearn.search.PermutationBased.BOSS import boss

    return boss


def _stack(parts: list[Any], missing: NDArray[Any]) -> NDArray[Any] | None:
    """One array of all, `missing` in the place of failed ones; None where no problem has the part."""
    if all(part is None for part in parts):
        return None
    return np.stack([missing if part is None else np.asarray(part, dtype=missing.dtype) for part in parts])


@dataclass(frozen=True)
class Dagma(Peer):
    """DAGMA, linear, squared loss (Bello, Aragam & Ravikumar 2022), before its threshold.

    s, the radii of the domain, is passed afresh per call: the default is a list that `fit` adds to when it leaves the
    domain, so that one call would change the next.

    Args:
        sparsity: its λ₁; 0.02 as in the authors' example.
    """

    sparsity: float = 0.02
    name: ClassVar[str] = "peer.dagma"
    package: ClassVar[str] = "dagma"

    def learn(self, rows: Floats, seed: int) -> Found:  # noqa: ARG002, nothing is random
        """Transpose its W: X = XW + Z there, [j, i] the effect of j on i."""
        model = self.solver()(loss_type="l2")
        W = model.fit(rows, lambda1=self.sparsity, w_threshold=0.0, s=[1.0, 0.9, 0.8, 0.7, 0.6])
        return Found(W.T.copy())


@dataclass(frozen=True)
class Notears(Peer):
    """NOTEARS as gcastle has it, from the authors' code, but with the polynomial h of Yu et al. (2019).

    The authors' own package is not on PyPI. The solver is called on a plain array: on gcastle's array class, in which
    its `learn` wraps the rows, the same steps take several times as long. It has converged if its own h ends at or
    under the tolerance, not at the largest penalty.

    Args:
        sparsity: its λ₁; gcastle's default.
        tolerance: of h; gcastle's default.
    """

    sparsity: float = 0.1
    tolerance: float = 1e-8
    name: ClassVar[str] = "peer.notears"
    package: ClassVar[str] = "gcastle"

    def learn(self, rows: Floats, seed: int) -> Found:  # noqa: ARG002, nothing is random
        """Transpose its W: X = XW + Z there, [j, i] the effect of j on i."""
        model = self.solver()(lambda1=self.sparsity, h_tol=self.tolerance)
        W = model.notears_linear(
            rows, model.lambda1, model.loss_type, model.max_iter, model.h_tol, model.rho_max
        ).T.copy()
        return Found(W, converged=float(Polynomial().value(torch.from_numpy(W))) <= self.tolerance)


@dataclass(frozen=True)
class Golem(Peer):
    """GOLEM (Ng, Ghassami & Zhang 2020) as gcastle has it: Adam in float32, a fixed number of steps.

    The rows are centred first, as its likelihood has no intercept.

    Args:
        equal_variances: GOLEM-EV if true, otherwise GOLEM-NV.
        sparsity: its λ₁; None is the authors' choice, 0.02 for GOLEM-EV and 0.002 for GOLEM-NV.
        iterations: gcastle's default.
    """

    equal_variances: bool = True
    sparsity: float | None = None
    iterations: int = 100_000
    name: ClassVar[str] = "peer.golem"
    package: ClassVar[str] = "gcastle"

    def learn(self, rows: Floats, seed: int) -> Found:
        """Transpose its B: X = XB + Z there, [j, i] the effect of j on i."""
        default = 2e-2 if self.equal_variances else 2e-3
        model = self.solver()(
            lambda_1=default if self.sparsity is None else self.sparsity,
            equal_variances=self.equal_variances,
            num_iter=self.iterations,
            checkpoint_iter=None,
            seed=seed,
        )
        model.learn(rows - rows.mean(0))
        return Found(np.asarray(model.weight_causal_matrix, dtype=np.float64).T.copy(), iterations=self.iterations)


@dataclass(frozen=True)
class Lingam(Peer):
    """DirectLiNGAM (Shimizu et al. 2011) with its pairwise measure and its adaptive lasso; needs non-Gaussian noise."""

    name: ClassVar[str] = "peer.lingam"
    package: ClassVar[str] = "lingam"

    def learn(self, rows: Floats, seed: int) -> Found:
        """Its B is in our convention: x = Bx + e, [i, j] the effect of j on i."""
        model = self.solver()(random_state=seed).fit(rows)
        return Found(model.adjacency_matrix_.copy(), order=model.causal_order_)


@dataclass(frozen=True)
class PC(Peer):
    """PC, stable, with Fisher's z, as causal-learn has it (Spirtes & Glymour 1991).

    Args:
        alpha: level of its tests.
    """

    alpha: float = 0.05
    name: ClassVar[str] = "peer.pc"
    package: ClassVar[str] = "causal-learn"

    def learn(self, rows: Floats, seed: int) -> Found:  # noqa: ARG002, nothing is random
        """Return a CPDAG, or a mixed graph that is none if its tests contradict each other."""
        graph = self.solver()(rows, self.alpha, "fisherz", show_progress=False)
        return _class_of(graph.G.graph)


@dataclass(frozen=True)
class GES(Peer):
    """GES as causal-learn has it (Chickering 2002), with its BIC.

    Args:
        penalty: the BIC charges ½ log n · 2 · penalty per parameter; its default.
    """

    penalty: float = 0.5
    name: ClassVar[str] = "peer.ges"
    package: ClassVar[str] = "causal-learn"

    def learn(self, rows: Floats, seed: int) -> Found:  # noqa: ARG002, nothing is random
        """Return a CPDAG."""
        return _class_of(self.solver()(rows, lambda_value=self.penalty)["G"].graph)


@dataclass(frozen=True)
class Boss(Peer):
    """BOSS as causal-learn has it (Andrews et al. 2023), with its BIC.

    Args:
        penalty: of the BIC; its default.
    """

    penalty: float = 2.0
    name: ClassVar[str] = "peer.boss"
    package: ClassVar[str] = "causal-learn"

    def learn(self, rows: Floats, seed: int) -> Found:  # noqa: ARG002, it shuffles by the global generator
        """Return a CPDAG."""
        parameters = {"lambda_value": self.penalty}
        return _class_of(self.solver()(rows, parameters=parameters, verbose=False).graph)


def _class_of(ends: NDArray[Any]) -> Found:
    """Of causal-learn's matrix of edge ends: [i, j] = 1 and [j, i] = -1 is j → i, both -1 undirected.

    Both 1, an edge on which orientations disagree, has none and counts as undirected. W holds 1 for directed edges.
    """
    directed = (ends == 1) & (ends.T == -1)
    undirected = (ends != 0) & (ends == ends.T)
    return Found(directed.astype(np.float64), cpdag=directed | undirected)


@contextlib.contextmanager
def _contained(seed: int) -> Iterator[None]:
    """Seed every global generator, silence output, and put back all that peers set: generators, loggers, a variable."""
    root, numbers, legacy = logging.getLogger(), random.getstate(), np.random.get_state()  # noqa: NPY002
    handlers, level, hashing = root.handlers[:], root.level, os.environ.get("PYTHONHASHSEED")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    quiet = io.StringIO()
    try:
        with (
            torch.random.fork_rng(devices=[]),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
            warnings.catch_warnings(),
        ):
            torch.manual_seed(seed)
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(numbers)
        np.random.set_state(legacy)  # noqa: NPY002
        root.handlers[:], root.level = handlers, level
        os.environ.pop("PYTHONHASHSEED", None)
        if hashing is not None:
            os.environ["PYTHONHASHSEED"] = hashing
