"""A graph from a user's own data: learning it, diagnostics, tables, and what is written. W[i, j]: effect of j on i."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse.csgraph import connected_components

from bench.apply.observed import Floats, Observed
from bench.cells.files import write_file
from bench.errors import InputError
from bench.judge.intervals import Value
from bench.methods.learners import load
from bench.methods.options import parse
from bench.show.tables import Table
from causalrec.errors import InputError as SortabilityError
from causalrec.methods.streams import generator
from causalrec.structure import Fits, threshold_to_dag
from causalrec.structure import threshold as cut
from causalrec.structure.sortability import r2_sortability, varsortability

EDGES_SHOWN = 100
NEED_ORDER = ("oracle", "oracle_lasso")
SUFFIXES = (".csv", ".npy")


@dataclass(frozen=True, eq=False)
class Learned:
    """A learned graph.

    Args:
        observed: What it was learned from.
        method: The learner's name.
        options: The learner's options that were given.
        threshold: Least |weight| of an edge.
        fits: What the learner gave, of one problem.
        graph: W after the threshold and without cycles, (n, n).
        removed: How many edges were removed to break cycles.
    """

    observed: Observed
    method: str
    options: dict[str, Any]
    threshold: float
    fits: Fits
    graph: Floats
    removed: int

    @property
    def dense(self) -> Floats:
        """W as the learner gave it, (n, n)."""
        W: Floats = self.fits.W[0]
        return W

    @property
    def converged(self) -> bool:
        """Whether the learner converged."""
        return bool(self.fits.converged[0])

    @property
    def undirected(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) whose edge has no direction in the learner's equivalence class; they are in no W."""
        if self.fits.cpdag is None:
            return ()
        both = self.fits.cpdag[0] & self.fits.cpdag[0].T
        return tuple((int(i), int(j)) for i, j in np.argwhere(np.triu(both, 1)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the data and the graph."""
        found, method, open_ends = list(self.observed.warnings), self.method, len(self.undirected)
        if not self.converged:
            found.append(f"{method} did not converge: W may be far from its optimum, and h from 0")
        if open_ends:
            found.append(f"{open_ends} edges have no direction in the class that {method} found; W leaves them out")
        return tuple(found)


def parse_options(method: str, given: Sequence[str]) -> dict[str, Any]:
    """Read options of a learner from `key=value` words, each as the type that the learner declares.

    Args:
        method: The learner's name.
        given: The words.

    Raises:
        InputError: An unknown learner or option, or a value that does not fit.
    """
    return parse(method, type(load(method)), given, fixed=("name", "function")) if given else {}


def learn(
    observed: Observed, method: str = "notears", options: dict[str, Any] | None = None, threshold: float = 0.3,
    seed: int = 0,
) -> Learned:  # fmt: skip
    """Learn one graph.

    Args:
        observed: What to learn it from.
        method: The learner's name.
        options: Its options.
        threshold: Least |weight| of an edge, 0 or more.
        seed: Root seed of a learner that draws.

    Raises:
        InputError: An unknown learner or option, or the learner fails on the data.
    """
    if not 0 <= threshold < np.inf:
        raise InputError(f"--threshold is {threshold:g}; give a number of 0 or more")
    learner = load(method, **(options or {}))
    if method in NEED_ORDER:
        raise InputError(f"--method {method} needs the true causal order, which no file carries; choose another")
    left = f"{method} left float64 on these data; give them in units in which variances are near 1"
    try:
        fits = learner.fit(observed.problems, generator(root=seed, stream="learn"))
    except (ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        raise InputError(f"{left} ({' '.join(str(error).split())})") from error
    if fits.errors is not None and fits.errors[0]:
        raise InputError(f"{method} failed: {fits.errors[0]}")
    if not (np.isfinite(fits.W).all() and np.isfinite(fits.h).all()):
        raise InputError(left)
    graphs, removed = threshold_to_dag(fits.W, threshold)
    return Learned(observed, method, options or {}, threshold, fits, graphs[0], int(removed[0]))


def _on_cycles(W: Floats) -> int:
    """How many nodes lie on a cycle."""
    component = connected_components(W != 0, connection="strong")[1]
    return int((np.bincount(component)[component] > 1).sum())


def diagnostics(learned: Learned) -> dict[str, Value]:
    """Tell by name what to know of a learned graph before believing it.

    Args:
        learned: The graph.
    """
    observed, G, iterations = learned.observed, learned.graph, int(learned.fits.iterations[0])
    try:
        r2: Value = r2_sortability(G != 0, observed.covariance)
    except SortabilityError:
        r2 = "none: the covariance is singular"
    return {
        "samples": "exact covariance" if observed.problems.samples is None else observed.problems.samples,
        "variables": len(G),
        "edges": int((G != 0).sum()),
        "varsortability of the graph": varsortability(G != 0, observed.covariance),
        "R2-sortability of the graph": r2,
        "h of W before the threshold": float(learned.fits.h[0]),
        "nodes on a cycle before the threshold": _on_cycles(learned.dense),
        "nodes on a cycle after it": _on_cycles(cut(learned.dense, learned.threshold)),
        "edges removed for acyclicity": learned.removed,
        "converged": "yes" if learned.converged else "no",
        "iterations": iterations if iterations >= 0 else "not told",
    }


def edges(learned: Learned) -> list[tuple[str, str, float]]:
    """List cause, effect and weight of every edge, the strongest first.

    Args:
        learned: The graph.
    """
    G, names = learned.graph, learned.observed.names
    found = sorted(np.argwhere(G).tolist(), key=lambda at: -abs(G[at[0], at[1]]))
    return [(names[j], names[i], float(G[i, j])) for i, j in found]


def tables(learned: Learned) -> list[Table]:
    """Show the diagnostics and the edges.

    Args:
        learned: The graph.
    """
    listed = edges(learned)
    more = f" The strongest {EDGES_SHOWN} of {len(listed)}; all are in W." if len(listed) > EDGES_SHOWN else ""
    how = "".join(f", {key} {value}" for key, value in learned.options.items())
    shown = [
        Table("learn", f"Graph by {learned.method}{how}", ("diagnostic", "value"), tuple(diagnostics(learned).items()),
              f"Read as {learned.observed.read_as}."),
        Table("edges", "Edges, the strongest first", ("cause", "effect", "weight"), tuple(listed[:EDGES_SHOWN]),
              f"|weight| at least {learned.threshold:g}; cycles broken at their weakest edge.{more}"),
    ]  # fmt: skip
    if learned.undirected:
        names = learned.observed.names
        pairs = tuple((names[i], names[j]) for i, j in learned.undirected)
        shown.append(Table("undirected", "Edges whose direction is open", ("one end", "other end"), pairs))
    return shown


def document(learned: Learned) -> dict[str, Any]:
    """Put all of it in one JSON document; W[i][j] is the effect of j on i.

    Args:
        learned: The graph.
    """
    names = learned.observed.names
    return {
        "read_as": learned.observed.read_as,
        "method": learned.method,
        "options": learned.options,
        "threshold": learned.threshold,
        "convention": "W[i][j] is the effect of names[j] on names[i]",
        "names": list(names),
        "W": learned.graph.tolist(),
        "edges": [dict(zip(("cause", "effect", "weight"), edge, strict=True)) for edge in edges(learned)],
        "undirected": [[names[i], names[j]] for i, j in learned.undirected],
        "diagnostics": {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in diagnostics(learned).items()
        },
        "warnings": list(learned.warnings),
    }


def check_out(out: Path, source: Path, graphml: Path | None = None) -> None:
    """Check that W can be written, before time is spent on learning it.

    Args:
        out: Where W is to go.
        source: The file that W is learned from.
        graphml: Where the graph is to go as GraphML, if anywhere.

    Raises:
        InputError: One of them cannot be written, or would overwrite another.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: W is written as {' or '.join(SUFFIXES)}; end its name so")
    for path in (out,) if graphml is None else (out, graphml):
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written (No such file or directory); make the folder {path.parent}")
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the file that W is learned from; choose another")
    if graphml is not None and graphml.resolve() == out.resolve():
        raise InputError(f"{out}: --out and --graphml are one file; choose another for one of them")


def write_matrix(path: Path, learned: Learned, transpose: bool = False) -> None:
    """Write the graph's W as .csv or .npy.

    The .csv has the names in its first line and column, and in its corner which of the two is the effect; numbers are
    written to the last digit.

    Args:
        path: Where to; its ending says as what.
        learned: The graph.
        transpose: Write the transpose, in which [i, j] is the effect of i on j.

    Raises:
        InputError: The file cannot be written.
    """
    W, content = learned.graph.T if transpose else learned.graph, io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(content, np.ascontiguousarray(W), allow_pickle=False)
    else:
        names = learned.observed.names
        index = pd.Index(names, name="cause \\ effect" if transpose else "effect \\ cause")
        pd.DataFrame(W, index, names).to_csv(content, lineterminator="\n")
    write_file(path, content.getvalue(), make_folder=False)
