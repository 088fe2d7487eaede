import torch
from hypothesis import strategies as st

from causalrec.attention import causal_mask
from causalrec.interactions import Targets, from_rows, leave_one_out


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
