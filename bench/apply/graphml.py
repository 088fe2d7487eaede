"""Learned graphs for other tools: NetworkX and GraphML. W[i, j]: effect of j on i; an edge runs cause -> effect."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from bench.cells.files import write_file
from bench.errors import InputError

CONVENTION = "edge cause -> effect; weight = W[effect, cause]"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2, Char


def default_names(nodes: int) -> tuple[str, ...]:
    """Return names x0, x1, ... of variables that have none: x{i} is row i and column i of W.

    Args:
        nodes: How many variables.
    """
    return tuple(f"x{index}" for index in range(nodes))


def to_networkx(W: ArrayLike, names: Sequence[str] | None = None) -> "nx.DiGraph[str]":
    """Return the graph of W: nodes by name, in order; an edge cause -> effect with `weight` for each W[i, j] != 0.

    The graph's attribute `convention` says so.

    Args:
        W: W[i, j] is the effect of j on i, (n, n).
        names: Of the nodes. Default: x0, x1, ...

    Raises:
        InputError: W is not square or not finite, or names are not n different strings that are not empty.
    """
    A = np.asarray(W, dtype=np.float64)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or not np.isfinite(A).all():
        raise InputError(f"W has shape {A.shape}; give a square matrix (n, n) of finite numbers")
    labels = default_names(len(A)) if names is None else tuple(names)
    if len(labels) != len(A) or len(set(labels)) != len(labels) or not all(isinstance(n, str) and n for n in labels):
        raise InputError(f"{len(labels)} names for {len(A)} nodes; give as many, all different, none of them empty")
    graph: nx.DiGraph[str] = nx.DiGraph(convention=CONVENTION)
    graph.add_nodes_from(labels)
    graph.add_edges_from((labels[j], labels[i], {"weight": float(A[i, j])}) for i, j in np.argwhere(A))
    return graph


def write_graphml(path: Path, W: ArrayLike, names: Sequence[str] | None = None) -> None:
    """Write the graph of `to_networkx` as GraphML, UTF-8; names are escaped as XML has it.

    Args:
        path: Where to.
        W: W[i, j] is the effect of j on i, (n, n).
        names: Of the nodes. Default: x0, x1, ...

    Raises:
        InputError: As `to_networkx`, a name has a character that XML 1.0 cannot hold, or the file cannot be written.
    """
    graph = to_networkx(W, names)
    for name in graph:
        if NOT_IN_XML.search(name):
            raise InputError(f"the name {name!r} holds a character that XML cannot; rename it to write GraphML")
    content = io.BytesIO()
    nx.write_graphml_xml(graph, content)
    write_file(path, content.getvalue(), make_folder=False)
