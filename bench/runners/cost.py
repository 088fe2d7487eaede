"""What h(W) and its gradient cost: CPU time of one thread against the number of nodes."""

import time

import numpy as np
import torch

from bench.cells.unit import Cell, Outcome
from bench.errors import InputError
from causalrec.acyclicity import FORMS, truncated_exponential
from causalrec.methods.streams import generator

SERIES = "series"
SHORTEST = 0.01  # seconds: a clock's reading counts once it has run so long


def run(cell: Cell) -> Outcome:
    """Time `params.form` on one dense W of each of `params.nodes`, the sizes in turn.

    `form` is one of `causalrec.acyclicity.FORMS`, float64 with its analytic gradient, or "series", that of a training
    step: float32 by autograd. W∘W has a norm that does not depend on n, so that no size takes more terms than another.
    Array: seconds (sizes,), CPU time of a value with its gradient.

    Args:
        cell: its params are those of the experiment `cost`.

    Raises:
        InputError: no such form.
    """
    p = cell.params
    if p["form"] not in (*FORMS, SERIES):
        raise InputError(f"form {p['form']!r} is unknown; choose one of {', '.join((*FORMS, SERIES))}")
    rng = generator(root=p["root"], stream="cost")
    matrices = [torch.from_numpy(np.sqrt(rng.random((n, n)) / n)) for n in p["nodes"]]
    counts = [_calls(p["form"], W) for W in matrices]
    seconds = [_time(p["form"], W, count) / count for W, count in zip(matrices, counts, strict=True)]
    return Outcome({}, {"seconds": np.array(seconds)})


def _calls(form: str, W: torch.Tensor) -> int:
    """How many calls last `SHORTEST` seconds; they also warm up."""
    count = 1
    while _time(form, W, count) < SHORTEST:
        count *= 2
    return count


def _time(form: str, W: torch.Tensor, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        if form == SERIES:
            weights = W.float().requires_grad_()
            torch.autograd.grad(truncated_exponential(weights), weights)
        else:
            FORMS[form].value_and_gradient(W)
    return time.process_time() - start
