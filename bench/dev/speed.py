"""Our graph learners beside DAGMA, gcastle, lingam and causal-learn: python -m bench.dev.speed [--budget S]

Times are CPU-seconds of one thread, medians of repeats that take turns after a warm-up. They drift with the machine;
the ratios are the claim. Install the others with `pip install -e ".[peers]" -c constraints.txt`; one that is missing is
named. Each runs one draw at a time at its defaults, the first draws only, until --budget CPU-seconds are spent.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from bench.dev.timing import Goal, command_line, cpu_seconds, median_seconds
from bench.judge.intervals import Value
from bench.methods import learners
from bench.methods.user_code import PEER
from bench.show.console import print_table
from bench.show.tables import Table
from causalrec.acyclicity import FORMS
from causalrec.structure import Fits, Floats, Problems, registry, threshold_to_dag
from synth.graphs import draw_dag
from synth.scm import draw_scm, sample_many
from synth.scoring import cpdag_shd, shd

# CPU-seconds per graph of a learner that only a budget above them starts.
EXPECTED = {"peer.golem": 250.0}
# How many times faster than each peer our NOTEARS is to be, by nodes.
GOALS = {20: {"peer.notears": Goal(20), "peer.dagma": Goal(10)}, 50: {"peer.dagma": Goal(5)}}


class Timing(NamedTuple):
    """A learner on the first draws.

    Args:
        seconds: CPU-seconds per graph.
        shd: the SHD of each draw, (draws,).
    """

    seconds: float
    shd: Floats


def matrix_exp(W: Tensor) -> tuple[Tensor, Tensor]:
    """tr(e^{W∘W}) − n and its gradient 2W ∘ (e^{W∘W})ᵀ by torch.matrix_exp: the reference of the exponential.

    Args:
        W: weights, (batch, n, n).
    """
    E = torch.matrix_exp(W * W)
    return E.diagonal(dim1=-2, dim2=-1).sum(-1) - W.shape[-1], 2 * W * E.mT


def lu_and_inverse(W: Tensor) -> tuple[Tensor, Tensor]:
    """−logdet(I − W∘W) and its gradient by one LU and the inverse from it: the reference of the log-determinant.

    Args:
        W: weights, (batch, n, n).
    """
    identity = torch.eye(W.shape[-1], dtype=W.dtype)
    lu, pivots, _ = torch.linalg.lu_factor_ex(identity - W * W)
    inverse = torch.linalg.lu_solve(lu, pivots, identity.expand_as(W))
    return -lu.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1), 2 * W * inverse.mT


def slogdet_and_inverse(W: Tensor) -> tuple[Tensor, Tensor]:
    """The same as DAGMA computes it, by slogdet and inv, batched.

    Args:
        W: weights, (batch, n, n).
    """
    M = torch.eye(W.shape[-1], dtype=W.dtype) - W * W
    return -torch.linalg.slogdet(M).logabsdet, 2 * W * torch.linalg.inv(M).mT


REFERENCES: Mapping[str, Sequence[Callable[[Tensor], tuple[Tensor, Tensor]]]] = {
    "exponential": (matrix_exp,),
    "log_determinant": (lu_and_inverse, slogdet_and_inverse),
}


def acyclicity(batch: int = 64) -> Table:
    """h with its gradient: ours beside the fastest reference of the same form.

    Args:
        batch: matrices per call.
    """
    rows: list[tuple[Value, ...]] = []
    for nodes in (10, 20, 50, 100):
        generator = torch.Generator().manual_seed(nodes)
        W = torch.randn(batch, nodes, nodes, dtype=torch.float64, generator=generator) / (2 * nodes) ** 0.5
        W.diagonal(dim1=-2, dim2=-1).zero_()
        W /= 1.1 * torch.linalg.eigvals(W * W).abs().amax(-1)[:, None, None].sqrt().clamp(min=1)
        for name, references in REFERENCES.items():
            calls = [partial(form, W) for form in (FORMS[name].value_and_gradient, *references)]
            own, *others = (seconds / batch * 1e6 for seconds in median_seconds(*calls, repeats=1001 // nodes))
            rows.append((nodes, name, own, min(others), own / min(others)))
    columns = ("nodes", "form", "ours", "fastest reference", "ours / reference")
    return Table("h", f"h and its gradient, batch {batch}, microseconds per matrix", columns, tuple(rows))


def worlds(nodes: int, count: int, family: str = "er", edges: int = 2, samples: int = 1000) -> tuple[Floats, Problems]:
    """SCMs with equal noise variances, and samples of them.

    Args:
        nodes: nodes of each graph.
        count: how many graphs.
        family: family of graphs, "er" or "sf".
        edges: expected edges per node.
        samples: rows drawn from each.

    Returns:
        Weights B (count, nodes, nodes), and the problems.
    """
    rngs = [np.random.default_rng([nodes, i]) for i in range(count)]
    scms = [draw_scm(rng, draw_dag(family, rng, nodes, edges)) for rng in rngs]
    return np.stack([scm.B for scm in scms]), Problems.from_samples(sample_many(scms, rngs, samples))


def distance(B: Floats, fits: Fits) -> Floats:
    """SHD at 0.3 with cycles cut; an undirected edge of an equivalence class counts as an error.

    Args:
        B: true weights, (count, nodes, nodes).
        fits: what a learner found.

    Returns:
        One SHD per graph, (count,).
    """
    found = threshold_to_dag(fits.W)[0] != 0
    counted = shd(B != 0, found) if fits.cpdag is None else cpdag_shd(B != 0, fits.cpdag)
    return counted.astype(np.float64)


def time_ours(B: Floats, problems: Problems, name: str, repeats: int = 3, **options: Any) -> Timing:
    """One of our learners on all draws at once.

    Args:
        B: true weights, (count, nodes, nodes).
        problems: samples of them.
        name: the learner.
        repeats: rounds that are counted.
        options: of the learner.
    """
    found: list[Fits] = []
    learner = registry.load(name, **options)
    (seconds,) = median_seconds(lambda: found.append(learner.fit(problems, np.random.default_rng(0))), repeats=repeats)
    return Timing(seconds / len(B), distance(B, found[-1]))


def time_peer(B: Floats, problems: Problems, name: str, most: int, budget: float) -> Timing | str:
    """Another package's learner on the first draws, one by one.

    Args:
        B: true weights, (count, nodes, nodes).
        problems: samples of them.
        name: the learner.
        most: the most draws that it gets.
        budget: CPU-seconds after which it gets no further draw.

    Returns:
        Why it did not run, if it did not.
    """
    if not learners.ENTRIES[name].kind.available():
        return "not installed"
    if EXPECTED.get(name, 0.0) > budget:
        return f"about {EXPECTED[name]:g} s a graph; raise --budget to run it"
    assert problems.rows is not None
    learner, rng, times, scores = learners.load(name), np.random.default_rng(0), list[float](), list[float]()
    for k in range(min(most, len(B))):
        one = Problems(problems.covariance[k : k + 1], problems.samples, None, problems.rows[k : k + 1])
        found: list[Fits] = []
        times.append(cpu_seconds(partial(lambda fits, one: fits.append(learner.fit(one, rng)), found, one)))
        if found[0].errors is not None and found[0].errors[0]:
            return f"failed on draw {k}: {found[0].errors[0]}"
        scores += distance(B[k : k + 1], found[0]).tolist()
        if sum(times) > budget:
            break
    return Timing(float(np.median(times)), np.array(scores))


def continuous(nodes: int, count: int, most: int, budget: float) -> Table:
    """Seconds per graph and median SHD of ours on all draws and of others on the first; NOTEARS against its goals.

    Args:
        nodes: nodes of each graph.
        count: draws.
        most: the most draws that another package's learner gets.
        budget: CPU-seconds for each of these.
    """
    B, problems = worlds(nodes, count)
    base = time_ours(B, problems, "notears")
    rows: list[tuple[Value, ...]] = []
    for name in ("notears", "dagma", "golem_ev", "golem_nv", "colide_ev", "colide_nv", "eqvar", "variance_sort"):
        if name in registry.learners():
            own = base if name == "notears" else time_ours(B, problems, name, repeats=1)
            both = float(np.median(own.shd)), float(np.median(own.shd[:most]))
            rows.append((name, own.seconds, own.seconds / base.seconds, *both, "ours"))
    for name in (name for name in learners.names() if name.startswith(PEER)):
        peer = time_peer(B, problems, name, most, budget)
        if isinstance(peer, str):
            rows.append((name, None, None, None, None, peer))
            continue
        faster, other = peer.seconds / base.seconds, float(np.median(peer.shd))
        told = f"{learners.identity(name)}, {len(peer.shd)} draws"
        if (goal := GOALS.get(nodes, {}).get(name)) is not None:
            told += f"; goal for our NOTEARS {goal.judge(faster)}"
            told += f", at median SHD {np.median(base.shd[: len(peer.shd)]):g} on the same draws"
        rows.append((name, peer.seconds, faster, None, other, told))
    columns = ("learner", "s per graph", "x our NOTEARS", "median SHD", f"of the first {most}", "version")
    return Table("continuous", f"{nodes} nodes, ER2, n = 1000, {count} draws", columns, tuple(rows))


def orders() -> Table:
    """EqVar by refit at 100 and 1,000 nodes, and the exact search."""
    rows: list[tuple[Value, ...]] = []
    for nodes, family, edges, samples in (
        *((100, family, edges, 1000) for family, edges in (("er", 1), ("er", 2), ("er", 4), ("sf", 4))),
        (1000, "er", 2, 2000),
    ):  # fmt: skip
        drawn = worlds(nodes, 5 if nodes == 100 else 1, family, edges, samples)
        for refit in ("least_squares", "lasso_bic"):
            timing = time_ours(*drawn, "eqvar", repeats=3 if nodes == 100 else 0, refit=refit)
            graphs = f"{family.upper()}{edges}, {nodes} nodes, n = {samples}"
            rows.append((f"EqVar, {refit}", graphs, timing.seconds * 1e3, float(np.median(timing.shd))))
    if "exact" in registry.learners():
        for nodes in (12, 14):
            timing = time_ours(*worlds(nodes, 1), "exact", repeats=0)
            rows.append(("exact search", f"{nodes} nodes", timing.seconds * 1e3, float(np.median(timing.shd))))
    return Table("orders", "Orders, 5 draws (1 of 1,000 nodes)", ("learner", "graphs", "ms", "median SHD"), tuple(rows))


def main() -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--budget", type=float, default=100.0, help="CPU-seconds for each peer at each size")
    budget = parser.parse_args().budget
    with threadpool_limits(1):
        print_table(acyclicity())
        print_table(orders())
        print_table(continuous(20, 64, 8, budget))
        print_table(continuous(50, 8, 3, budget))


if __name__ == "__main__":
    main()
