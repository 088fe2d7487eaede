"""Every graph learner an experiment can name: what it is called in tables, what it costs, which code makes it.

A name is a built-in of `causalrec.structure`, a variant of one (`VARIANTS`), a peer of `bench.peers` (`peer.dagma`),
or a function of the user's own, `package.module:function`: X (samples, n) float64 -> W (n, n), W[i, j] the effect of
j on i, importable from the current folder.
"""

import contextlib
import hashlib
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch

from bench.errors import InputError
from causalrec import structure
from causalrec.acyclicity import Exponential
from causalrec.structure import Fits, Floats, Learner, Problems

TITLES = {
    "eqvar": "EqVar",
    "notears": "NOTEARS",
    "variance_sort": "variance sort (control)",
    "r2_sort": "R2 sort (control)",
    "random_order": "random order (control)",
    "oracle": "known order (oracle)",
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {}
SECONDS: dict[str, float] = {"notears": 4e-5}
MOST_NODES = {"exact": 14}
PEER = "peer."
OWN_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
LONGEST_ERROR = 300


def names() -> tuple[str, ...]:
    """Every name that can be listed: built-ins, variants, peers."""
    return (*structure.learners(), *VARIANTS, *_peers().peers())


def load(name: str, **options: Any) -> Learner:
    """The learner of that name, with its options; raises InputError that lists the valid ones."""
    if ":" in name:
        if options:
            raise InputError(f"{name} is a function of your own and has no option {', '.join(options)}")
        return Own(name, _function(name))
    if name.startswith(PEER):
        return cast("Learner", _peers().load(name, **options))
    if name in VARIANTS:
        base, fixed = VARIANTS[name]
        return structure.load(base, **fixed | options)
    if name not in structure.learners():
        raise InputError(
            f"no learner is called {name!r}; choose one of {', '.join(names())}, or a function of your own as "
            "package.module:function"
        )
    return structure.load(name, **options)


def title(name: str) -> str:
    """What tables call it."""
    return TITLES.get(name, name)


def code(name: str) -> tuple[str, ...]:
    """The first-party modules that make its results."""
    if ":" in name:
        return ()
    if name.startswith(PEER):
        return ("bench.peers",)
    return (structure.learner_module(VARIANTS[name][0] if name in VARIANTS else name),)


def identity(name: str) -> str | None:
    """What else makes its results: the version of a peer, the hash of a user's own source; None where nothing does."""
    if ":" in name:
        return hashlib.sha256(_source(name).read_bytes()).hexdigest()
    return cast("str", _peers().version(name)) if name.startswith(PEER) else None


def needs_rows(name: str) -> bool:
    """Whether it needs samples, so that it cannot run on an exact covariance."""
    return ":" in name or name.startswith(PEER)


def can_run(name: str, nodes: int, samples: int | None) -> bool:
    """Whether it takes problems of that size; samples None is the exact covariance."""
    return nodes <= MOST_NODES.get(name, nodes) and not (samples is None and needs_rows(name))


def seconds(name: str, nodes: int, samples: int | None) -> float:
    """Expected CPU-seconds a graph; of a user's own function and of peers nothing is known but that most are slow."""
    if name == "exact":
        return 6e-4 * 2.0**nodes
    fit: float = SECONDS.get(name, 1e-2 if needs_rows(name) else 2e-7) * nodes**2.2
    return fit + 1e-7 * (samples or 0) * nodes


@dataclass(frozen=True)
class Own:
    """A user's function as a learner: one call a problem, each on a copy of the samples.

    A call that raises, or that returns no finite (n, n) with a diagonal of 0, fails for its problem alone: the reason
    is in `Fits.errors`, its W is 0 and it has not converged. Not enough memory is the cell's failure.
    """

    name: str
    function: Callable[[Floats], object]

    def fit(self, problems: Problems, generator: np.random.Generator) -> Fits:  # noqa: ARG002, it takes X alone
        """One W a problem; raises InputError where the problems have no rows."""
        if problems.rows is None:
            raise InputError(f"{self.name} learns from samples; here is only a covariance")
        m, n = problems.covariance.shape[:2]
        W, errors = np.zeros((m, n, n)), [""] * m
        for k, X in enumerate(problems.rows):
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    W[k] = _checked(self.function(X.copy()), n)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001, whatever a user's function raises is recorded
                errors[k] = one_line(error)
        h = Exponential().value(torch.from_numpy(W)).numpy()
        h = np.nan_to_num(h, nan=np.inf, posinf=np.inf).clip(max=np.finfo(np.float64).max)  # e^{W∘W} overflows
        fine = np.array([not error for error in errors])
        return Fits(W, h, fine, np.ones(m, dtype=np.int64), errors=tuple(errors))


def one_line(error: BaseException) -> str:
    """Type and message of an error, on one line, not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_ERROR].removesuffix(": ")


def _checked(result: object, n: int) -> Floats:
    W = np.asarray(result)
    if W.shape != (n, n) or W.dtype.kind not in "biuf":
        raise InputError(f"returned shape {W.shape} and dtype {W.dtype}; return numbers of shape {(n, n)}")
    W = W.astype(np.float64)
    if not np.isfinite(W).all():
        raise InputError("returned values that are not finite")
    if W.diagonal().any():
        raise InputError("returned a diagonal that is not 0: a variable that causes itself")
    return W


def _function(name: str) -> Callable[[Floats], object]:
    module, _, function = name.partition(":")
    found = getattr(_module(name), function, None)
    if not callable(found):
        raise InputError(f"{name!r}: {module} has no function {function}")
    return cast("Callable[[Floats], object]", found)


def _source(name: str) -> Path:
    """The file of a user's module."""
    file = getattr(_module(name), "__file__", None)
    if file is None:
        raise InputError(f"{name!r}: the module has no file, so that a change to it could not be told; give one")
    return Path(file)


def _module(name: str) -> ModuleType:
    """The module of a user's function; the current folder goes last on the path, which workers inherit."""
    if OWN_NAME.fullmatch(name) is None:
        raise InputError(f"{name!r} does not name a function; write package.module:function")
    here, module = str(Path.cwd()), name.partition(":")[0]
    if here not in sys.path:
        sys.path.append(here)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        why = one_line(error)
        raise InputError(f"{name!r}: {module} cannot be imported from {here} ({why})") from error


def _peers() -> ModuleType:
    """Imported by name: the adapters to peers make no result but theirs, and are in no other's fingerprint."""
    return importlib.import_module("bench.peers")
