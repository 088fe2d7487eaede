"""Speed of the parts against a simple rival in the same run, on one thread: `python bench/speed.py structure`.

Each time is the median of repeats after a warm-up. Absolute times drift with the machine; the ratios are the claim.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from causalrec.acyclicity import FORMS
from causalrec.structure import Floats, Problems, load, threshold
from synth.graphs import draw_dag
from synth.scm import draw_scm, sample_many
from synth.scoring import shd


def median_seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """The median wall time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def autograd_exponential(W: Tensor) -> Tensor:
    """The rival of every form of h: ∂h/∂W by autograd through torch.matrix_exp."""
    W = W.detach().requires_grad_()
    h = torch.matrix_exp(W * W).diagonal(dim1=-2, dim2=-1).sum() - len(W) * W.shape[-1]
    (gradient,) = torch.autograd.grad(h, W)
    return gradient


def worlds(nodes: int, count: int) -> tuple[Floats, Problems]:
    """Weights B and 1,000 samples of ER graphs with 2 edges a node."""
    rngs = [np.random.default_rng([nodes, i]) for i in range(count)]
    scms = [draw_scm(rng, draw_dag("er", rng, nodes, 2)) for rng in rngs]
    return np.stack([scm.B for scm in scms]), Problems.from_samples(sample_many(scms, rngs, 1000))


def acyclicity(batch: int = 64) -> None:
    """h with its gradient: each form beside autograd."""
    print(f"h and its gradient, batch {batch}, microseconds a matrix (times faster than autograd)")
    print("nodes".rjust(6), "autograd".rjust(10), *(name.rjust(20) for name in FORMS))
    for nodes in (10, 20, 50, 100):
        generator = torch.Generator().manual_seed(nodes)
        W = torch.randn(batch, nodes, nodes, dtype=torch.float64, generator=generator) / (2 * nodes) ** 0.5
        W.diagonal(dim1=-2, dim2=-1).zero_()
        rival = median_seconds(lambda W=W: autograd_exponential(W)) / batch  # type: ignore[misc]
        cells = []
        for form in FORMS.values():
            own = median_seconds(lambda W=W, form=form: form.value_and_gradient(W)) / batch  # type: ignore[misc]
            cells.append(f"{own * 1e6:.1f} ({rival / own:.1f}x)".rjust(20))
        print(f"{nodes:6d}", f"{rival * 1e6:10.1f}", *cells)


def learners() -> None:
    """Seconds a graph and median SHD at the threshold 0.3, variance sorting as the simple rival."""
    print("\nER2, n = 1000: milliseconds a graph, median SHD")
    print("nodes".rjust(6), "graphs".rjust(7), *(name.rjust(20) for name in ("variance_sort", "eqvar", "notears")))
    for nodes, count, repeats in ((20, 64, 3), (50, 8, 3), (100, 2, 1)):
        B, problems = worlds(nodes, count)
        cells = []
        for name in ("variance_sort", "eqvar", "notears"):
            learner, rng = load(name), np.random.default_rng(0)
            taken = median_seconds(lambda a=learner, p=problems, g=rng: a.fit(p, g), repeats) / count  # type: ignore[misc]
            distance = np.median(shd(B != 0, threshold(learner.fit(problems, rng).W) != 0))
            cells.append(f"{taken * 1e3:.2f}  SHD {distance:g}".rjust(20))
        print(f"{nodes:6d}", f"{count:7d}", *cells)


def main() -> None:
    """Run one suite of timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=["structure"])
    parser.parse_args()
    torch.set_num_threads(1)
    acyclicity()
    learners()


if __name__ == "__main__":
    main()
