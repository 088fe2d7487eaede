"""Every Hypothesis strategy of the suite, by the room it serves."""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from causalrec.attention import causal_mask
from causalrec.interactions import Targets, from_rows, leave_one_out
from synth.behaviour import BehaviourWorld, draw_world
from synth.scm import NOISES, LinearSCM, draw_scm

# causalrec: attention, models, ranking


@st.composite
def attention_inputs(draw: st.DrawFn, values: int = 4) -> tuple[torch.Tensor, ...]:
    """q, k, v (b, h, l, f), the causal mask of left-padded rows and R (b, l, l) bool below the diagonal; float64."""
    batch, heads, length = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.1, 1.0, 4.0]))
    q, k, v = (
        torch.randn(batch, heads, length, width, dtype=torch.float64, generator=generator) * scale
        for width in (4, 4, values * 4)
    )
    padding = torch.randint(length, (batch, 1), generator=generator)
    mask = causal_mask(torch.arange(length) >= padding, torch.float64)
    relation = (torch.rand(batch, length, length, generator=generator) < 0.5).tril(-1)
    return q, k, v, mask, relation


@st.composite
def item_batches(draw: st.DrawFn, items: int = 12, length: int = 6) -> torch.Tensor:
    """Left-padded sequences (b, l) int64 of items 1..items, at least one real item in each."""
    batch = draw(st.integers(1, 4))
    rows = draw(
        st.lists(st.lists(st.integers(1, items), min_size=1, max_size=length), min_size=batch, max_size=batch)
    )
    return torch.tensor([[0] * (length - len(row)) + row for row in rows])


@st.composite
def score_tables(draw: st.DrawFn) -> tuple[torch.Tensor, Targets]:
    """Scores (users, items) with ties, and the test targets of leave-one-out on random sequences."""
    items = draw(st.integers(3, 9))
    rows = draw(st.lists(st.lists(st.integers(1, items), min_size=3, max_size=8), min_size=1, max_size=9))
    values = st.lists(st.integers(-3, 3), min_size=items, max_size=items)
    scores = draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
    return torch.tensor(scores, dtype=torch.float64), leave_one_out(from_rows(rows, num_items=items)).test


# --- synth: graphs, SCMs, behaviour worlds ---


def generators() -> st.SearchStrategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def digraphs(draw: st.DrawFn, nodes: int | None = None) -> NDArray[np.bool_]:
    """Any graph without self-loops; [i, j] says j -> i."""
    n = draw(st.integers(1, 8)) if nodes is None else nodes
    return draw(hnp.arrays(np.bool_, (n, n))) & ~np.eye(n, dtype=bool)


@st.composite
def dags(draw: st.DrawFn, nodes: int | None = None) -> NDArray[np.bool_]:
    n = draw(st.integers(1, 8)) if nodes is None else nodes
    order = np.array(draw(st.permutations(range(n))))
    return np.tril(draw(hnp.arrays(np.bool_, (n, n))), k=-1)[np.ix_(order, order)]


@st.composite
def linear_scms(draw: st.DrawFn, nodes: int | None = None, equal_variances: bool = False) -> LinearSCM:
    graph, rng = draw(dags(nodes)), draw(generators())
    noise = draw(st.sampled_from(sorted(NOISES)))
    if equal_variances:
        scm = draw_scm(rng, graph, noise=noise)
        return LinearSCM(scm.B, scm.noise_scale * draw(st.floats(0.1, 10)), noise)
    return draw_scm(rng, graph, noise=noise, profile="random", ratio=draw(st.floats(1, 256)))


@st.composite
def worlds(draw: st.DrawFn) -> BehaviourWorld:
    """Small behaviour worlds, with and without hidden parents and a forced item."""
    world = draw_world(
        draw(generators()),
        items=draw(st.integers(6, 15)),
        parents=draw(st.floats(0, 0.5)),
        segments=draw(st.integers(1, 3)),
        confounding=draw(st.floats(0, 1)),
        causal_share=draw(st.floats(0, 1)),
        decay=draw(st.floats(0.1, 1)),
        horizon=draw(st.integers(1, 4)),
        hidden_parents=draw(st.integers(0, 3)),
        hidden_rate=draw(st.floats(0, 1)),
    )
    forced = draw(st.integers(0, world.num_items))
    return world.force(forced, draw(st.floats(0, 0.9))) if forced else world
