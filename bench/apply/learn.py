"""A graph from a user's own data: learning it, diagnostics, tables, and what is written. W[i, j]: effect of j on i."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bench.apply import confidence
from bench.apply.bounded import told, within
from bench.apply.meanings import meanings
from bench.apply.observed import Observed
from bench.cells.files import write_file
from bench.errors import InputError
from bench.judge.intervals import Value
from bench.methods.learners import ENTRIES, load
from bench.methods.options import names as options_of
from bench.methods.options import parse
from bench.methods.peers import Peer
from bench.show.tables import Table
from bench.text import encodable
from causalrec.graph import Graph, resampled
from causalrec.graph import learn as learn_problem
from causalrec.structure import Floats

EDGES_SHOWN = 100
NEED_ORDER = ("oracle", "oracle_lasso")
SUFFIXES, PICTURES = (".csv", ".npy"), (".svg", ".png", ".pdf")
FASTER = "take fewer variables, or a method of one pass, --method eqvar"


@dataclass(frozen=True, eq=False)
class Learned:
    """A graph learned from a file.

    Args:
        observed: What it was learned from.
        found: The graph.
    """

    observed: Observed
    found: Graph

    @property
    def graph(self) -> Floats:
        """W after the threshold and without cycles, (n, n)."""
        return self.found.W

    @property
    def diagnostics(self) -> dict[str, Value]:
        """What to know of the graph before believing it, by name."""
        return {**self.found.told}

    @property
    def undirected(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) whose edge has no direction in the learner's equivalence class; they are in no W."""
        return self.found.undirected

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the data and the graph."""
        return (*self.observed.warnings, *self.found.warnings)


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
    seed: int = 0, time_limit: float | None = None, say: Callable[[str], None] = lambda _: None,
    resampling: confidence.Resampling | None = None,
) -> Learned:  # fmt: skip
    """Learn one graph.

    Args:
        observed: What to learn it from.
        method: The learner's name.
        options: Its options.
        threshold: Least |weight| of an edge, 0 or more.
        seed: Root seed of a learner that draws.
        time_limit: Seconds after which it is ended. Default: never.
        say: Takes a line every few seconds.
        resampling: How resamples are drawn. Default: none are.

    Raises:
        InputError: An unknown learner or option, resamples of a covariance, or the learner fails on the data or takes
            too long.
    """
    if not 0 <= threshold < np.inf:
        raise InputError(f"--threshold is {threshold:g}; give a number of 0 or more")
    if method in NEED_ORDER:
        raise InputError(f"--method {method} needs the true causal order, which no file carries; choose another")
    if resampling is not None:
        confidence.check_rows(observed)
    what = f"{method} on {len(observed.names)} variables" + ("" if resampling is None else f", {resampling.words}")
    asked = observed, method, options or {}, threshold, seed, resampling
    if time_limit is not None:
        return within(time_limit, what, FASTER, say, _learn, *asked)
    with told(what, say):
        return _learn(*asked)


def _learn(
    observed: Observed, method: str, options: dict[str, Any], threshold: float, seed: int,
    resampling: confidence.Resampling | None,
) -> Learned:  # fmt: skip
    """Learn and diagnose, all that may take long; it may run in another process."""
    learner = load(method, **options)
    found = learn_problem(
        observed.problems, observed.names, learner, method, options, threshold=threshold, seed=seed, faster=FASTER
    )
    if resampling is not None:
        with threadpool_limits(1):  # its products are many and small: threads would only wait for each other
            found = resampled(found, learner, resampling.bootstrap, resampling.resample, resampling.calibrate, seed)
    _ = found.told
    return Learned(observed, found)


def list_methods() -> Table:
    """List the learners that can be named, each with a line on what it does and its options."""
    rows = []
    for name, entry in ENTRIES.items():
        if name not in NEED_ORDER:
            fixed = "".join(f" ({option} = {value})" for option, value in entry.options.items())
            missing = issubclass(entry.kind, Peer) and not entry.kind.available()
            what = f"{str(entry.kind.__doc__).splitlines()[0]}{fixed}{' Not installed: .[peers]' if missing else ''}"
            rows.append((name, what, ", ".join(options_of(entry.kind)) or "none"))
    note = "Or your own as package.module:function, X (samples, n) to W (n, n), or a class with fit(X)."
    return Table("methods", "Methods of learn", ("method", "what it does", "options"), tuple(rows), note)


def edges(learned: Learned) -> list[tuple[str, str, float]]:
    """List cause, effect and weight of every edge, the strongest first.

    Args:
        learned: The graph.
    """
    return [(str(cause), str(effect), weight) for cause, effect, weight in learned.found.edge_list()]


def tables(learned: Learned) -> list[Table]:
    """Show the diagnostics and the edges.

    Args:
        learned: The graph.
    """
    listed = edges(learned)
    more = f" The strongest {EDGES_SHOWN} of {len(listed)}; all are in W." if len(listed) > EDGES_SHOWN else ""
    how = "".join(f", {key} {value}" for key, value in learned.found.options.items())
    told = meanings(learned.found.method, learned.found.options)
    rows = tuple((name, value, told.get(name, "")) for name, value in learned.diagnostics.items())
    shown = [
        Table("learn", f"Graph by {learned.found.method}{how}", ("diagnostic", "value", "what it means"), rows,
              f"Read as {learned.observed.read_as}."),
        Table("edges", "Edges, the strongest first", ("cause", "effect", "weight"), tuple(listed[:EDGES_SHOWN]),
              f"|weight| at least {learned.found.threshold:g}; cycles broken at their weakest edge.{more}"),
    ]  # fmt: skip
    if learned.found.confidence is not None:
        shown.append(confidence.table(learned.found))
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
        "method": learned.found.method,
        "options": learned.found.options,
        "threshold": learned.found.threshold,
        "convention": "W[i][j] is the effect of names[j] on names[i]",
        "names": list(names),
        "W": learned.graph.tolist(),
        "edges": [dict(zip(("cause", "effect", "weight"), edge, strict=True)) for edge in edges(learned)],
        "undirected": [[names[i], names[j]] for i, j in learned.undirected],
        "diagnostics": {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in learned.diagnostics.items()
        },
        "bootstrap": None if learned.found.confidence is None else confidence.document(learned.found),
        "meanings": meanings(learned.found.method, learned.found.options),
        "warnings": encodable(learned.warnings),
    }


def check_out(out: Path, source: Path, graphml: Path | None = None, plot: Path | None = None) -> None:
    """Check that all can be written, before time is spent on learning it.

    Args:
        out: Where W is to go.
        source: The file that W is learned from.
        graphml: Where the graph is to go as GraphML, if anywhere.
        plot: Where the picture of it is to go, if anywhere.

    Raises:
        InputError: One of them cannot be written, or would overwrite another.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: W is written as {' or '.join(SUFFIXES)}; end its name so")
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise InputError(f"{plot}: a picture is written as {', '.join(PICTURES)}; end its name so")
    given = {"--out": out, "--graphml": graphml, "--plot": plot}
    asked = {name: path for name, path in given.items() if path is not None}
    for path in asked.values():
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written (No such file or directory); make the folder {path.parent}")
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the file that W is learned from; choose another")
    for (name, path), (other, there) in combinations(asked.items(), 2):
        if path.resolve() == there.resolve():
            raise InputError(f"{path}: {name} and {other} are one file; choose another for one of them")


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
