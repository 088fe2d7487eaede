"""Our graph learners beside DAGMA, gcastle, lingam and causal-learn: python -m bench.dev.speed structure [--budget S]

Times are CPU-seconds of one thread, medians of repeats that take turns after a warm-up. They drift with the machine;
the ratios are the claim. Install the others with `pip install -e ".[peers]" -c constraints.txt`; one that is missing is
named. Each runs one draw at a time at its defaults, the first draws only, until --budget CPU-seconds are spent; one
that by its time at the size before would take longer than that for a graph is left out, and the table says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

NODES = (20, 50, 100, 200, 500, 1000)
# Ours: the learner and its options, by what the table calls them.
OURS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name in ("notears", "dagma", "golem_ev", "golem_nv", "colide_ev", "colide_nv")},
    "boss": ("boss", {}),
    "boss, its DAG": ("boss", {"orient": "dag"}),
    "eqvar": ("eqvar", {}),
    "eqvar, lasso refit": ("eqvar", {"refit": "lasso_bic"}),
    "variance_sort": ("variance_sort", {}),
}
# Which of ours does the same as a peer, and how many times its speed ours is to have, by nodes; None is all others.
TWIN = {"peer.dagma": "dagma", "peer.notears": "notears", "peer.golem": "golem_ev", "peer.boss": "boss"}
GOALS: Mapping[int | None, Mapping[str, Goal]] = {
    20: {"peer.notears": Goal(20), "peer.dagma": Goal(10), "peer.boss": Goal(10)},
    50: {"peer.dagma": Goal(5), "peer.boss": Goal(10)},
    None: {"peer.dagma": Goal(10), "peer.boss": Goal(10)},
}
EXPECTED = {"peer.golem": 250.0}  # CPU-seconds per graph at 20 nodes of what is long even there
GROWTH = 2.5  # power of the nodes by which a time is expected to grow


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


def acyclicity() -> Table:
    """h with its gradient: ours beside the fastest reference of the same form."""
    rows: list[tuple[Value, ...]] = []
    for nodes in (10, *NODES):
        batch = draws(nodes, 10**8)
        generator = torch.Generator().manual_seed(nodes)
        W = torch.randn(batch, nodes, nodes, dtype=torch.float64, generator=generator) / (2 * nodes) ** 0.5
        W.diagonal(dim1=-2, dim2=-1).zero_()
        W /= 1.1 * torch.linalg.eigvals(W * W).abs().amax(-1)[:, None, None].sqrt().clamp(min=1)
        for name, references in REFERENCES.items():
            calls = [partial(form, W) for form in (FORMS[name].value_and_gradient, *references)]
            own, *others = (seconds / batch * 1e6 for seconds in median_seconds(*calls, repeats=max(3, 1001 // nodes)))
            rows.append((nodes, batch, name, own, min(others), own / min(others)))
    columns = ("nodes", "batch", "form", "ours", "fastest reference", "ours / reference")
    return Table("h", "h and its gradient, microseconds per matrix", columns, tuple(rows))


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


def sizes(nodes: Sequence[int], budget: float, only: Sequence[str] = ()) -> Iterator[Table]:
    """A table per size: seconds per graph and median SHD of ours on all draws and of others on the first.

    Args:
        nodes: sizes, ascending.
        budget: CPU-seconds that a graph may take, by the learner's time at the size before, and all draws of a peer.
        only: learners; none is all.
    """
    before: dict[str, tuple[int, float]] = {}
    asked = only or (*OURS, *(name for name in learners.names() if name.startswith(PEER)))
    for n in nodes:
        count, most = (draws(n, share) for share in (3_000_000, 60_000))
        B, problems = worlds(n, count)
        timed: dict[str, Timing | str] = {}
        for name in asked:
            then, took = before.get(name, (NODES[0], EXPECTED.get(name, 0.0)))
            if (expected := took * (n / then) ** GROWTH) > budget:
                timed[name] = f"about {expected:.3g} s a graph; raise --budget to run it"
            elif name in OURS:
                kind, options = OURS[name]
                timed[name] = time_ours(B, problems, kind, repeats=min(3, int(30 / max(expected, 1.0))), **options)
            else:
                timed[name] = time_peer(B, problems, name, most, budget)
            if isinstance(found := timed[name], Timing):
                before[name] = (n, found.seconds)
        yield compared(n, count, timed)


def draws(nodes: int, work: int) -> int:
    """How many graphs of a size are drawn, from 1 to 64.

    Args:
        nodes: per graph.
        work: that many graphs times nodes cubed.
    """
    return int(np.clip(work // nodes**3, 1, 64))


def compared(nodes: int, count: int, timed: Mapping[str, Timing | str]) -> Table:
    """Times and distances of one size, peers against our learner of the same kind, the ratio last.

    Args:
        nodes: of each graph.
        count: graphs drawn.
        timed: a timing, or why there is none, by learner.
    """
    rows: list[tuple[Value, ...]] = []
    for name, own in timed.items():
        version = "ours" if name in OURS else learners.identity(name) if isinstance(own, Timing) else None
        if isinstance(own, str):
            rows.append((name, version, None, None, None, None, own, None))
            continue
        ours, told = timed.get(TWIN.get(name, "")), None
        same, ratio = None, None
        if isinstance(ours, Timing):
            ratio, same = own.seconds / ours.seconds, float(np.median(ours.shd[: len(own.shd)]))
            goal = GOALS.get(nodes, GOALS[None]).get(name)
            told = f"{TWIN[name]}{f', goal {goal.judge(ratio)}' if goal else ''}"
        rows.append((name, version, own.seconds, len(own.shd), float(np.median(own.shd)), same, told, ratio))
    columns = (
        "learner", "version", "s per graph", "draws", "median SHD", "of its twin there", "twin, and goal", "x twin"
    )  # fmt: skip
    return Table(
        f"structure_{nodes}", f"{nodes} nodes, ER2, n = 1000, {count} draws", columns,
        tuple(rows),
        "CPU-seconds of one thread. A class counts every undirected edge as an error. Twin: ours of that kind, on the "
        "same draws.",
    )  # fmt: skip


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
    parser.add_argument("what", nargs="?", default="structure", choices=("structure",), help="what is timed")
    parser.add_argument("--budget", type=float, default=100.0, help="CPU-seconds for a learner at each size")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="sizes, ascending")
    parser.add_argument("--only", nargs="+", default=(), help="learners, by what the tables call them")
    asked = parser.parse_args()
    with threadpool_limits(1):
        print_table(acyclicity())
        print_table(orders())
        for shown in sizes(asked.nodes, asked.budget, asked.only):
            print_table(shown)


if __name__ == "__main__":
    main()
