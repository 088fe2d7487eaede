"""A picture of a learned graph: arrows where they can be told apart, otherwise a map of W."""

import io
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.figure import Figure as Drawing

from bench.apply.graphml import to_networkx
from bench.apply.learn import Learned
from bench.cells.files import write_file
from bench.show.drawing import DPI, render, render_paper, style
from bench.show.figures import Link, Links, Network

MOST_NODES, MOST_EDGES = 20, 40  # of a network whose arrows can be followed
MOST_NAMES = 60  # along an axis of the map


def write_plot(path: Path, learned: Learned) -> None:
    """Draw a graph: causes above their effects, negative weights dashed; of many variables a map of W, row the effect.

    Args:
        path: .svg, .png or .pdf.
        learned: The graph.

    Raises:
        InputError: The file cannot be written.
    """
    few = len(learned.graph) <= MOST_NODES and np.count_nonzero(learned.graph) <= MOST_EDGES
    write_file(path, (_network if few else _map)(learned, path.suffix.lower().removeprefix(".")), make_folder=False)


def _network(learned: Learned, kind: str) -> bytes:
    W, names = learned.graph, learned.observed.names
    order = [names.index(name) for name in nx.lexicographical_topological_sort(to_networkx(W, names), key=names.index)]
    place = {node: at for at, node in enumerate(order)}
    links = tuple(Link(place[j], place[i], abs(float(W[i, j])), bool(W[i, j] < 0)) for i, j in np.argwhere(W).tolist())
    figure = Network(
        "graph", f"Graph by {learned.found.method}", "cause → effect, |weight|", "variable",
        tuple(names[node] for node in order), (Links("", links),), "negative weight",
    )  # fmt: skip
    return render_paper(figure) if kind == "pdf" else render(figure)[kind]


def _map(learned: Learned, kind: str) -> bytes:
    W, names, content = learned.graph, learned.observed.names, io.BytesIO()
    with style("graph"):
        drawing = Drawing(figsize=(7, 6), layout="constrained")
        axes = drawing.subplots()
        most = float(np.abs(W).max()) or 1.0
        shown = axes.imshow(W, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        axes.set(title=f"W by {learned.found.method}", xlabel="cause", ylabel="effect")
        if len(names) <= MOST_NAMES:
            short = [name if len(name) <= 16 else f"{name[:15]}…" for name in names]
            axes.set_xticks(range(len(names)), short, rotation=90)
            axes.set_yticks(range(len(names)), short)
        drawing.colorbar(shown, ax=axes, label="weight")
        made = {"svg": "Date", "pdf": "CreationDate", "png": "Software"}[kind]
        drawing.savefig(content, format=kind, dpi=DPI, metadata={made: None})
    return content.getvalue()
