"""Train SASRec for some steps and print this process's peak memory in MB.

`python -m bench.dev.train_alone ROWS.npy ITEMS BATCH OPTIMISER`; it imports no more than training needs, since what is
imported counts too.
"""

import resource
import sys

import numpy as np
import torch

from bench.dev.timing import take_step
from causalrec.attention import set_dropout_generator
from causalrec.model import SASRec, SASRecOptions
from causalrec.optimisers import make_optimisers
from causalrec.training import batches

STEPS = 6


def main() -> None:
    """Train and print."""
    torch.set_num_threads(1)
    path, items, batch, optimiser = sys.argv[1:]
    rows = np.load(path)
    model = SASRec(SASRecOptions(int(items), rows.shape[1] - 1), torch.Generator().manual_seed(0))
    set_dropout_generator(model, torch.Generator().manual_seed(1))
    model.train()
    optimisers = make_optimisers(model.groups(), model.matrices(), optimiser, 1e-3)
    epoch = batches(rows, int(batch), np.random.default_rng(0), "cpu")
    for _, (block, target) in zip(range(STEPS), epoch, strict=False):
        take_step(model, optimisers, block, target, 5.0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
