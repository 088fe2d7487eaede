"""What a checkpoint costs: python -m bench.dev.speed_checkpoint 3416 1000000 (the numbers of items)

The state of SASRec (64 features, length 50, two layers) after a step, with the best parameters held: its bytes, and
time and memory of writing and of resuming, and of an epoch's end without a checkpoint. Medians of `TIMES`; wall time
waits for the disk. Memory is what resident memory rises by at its highest, pages of the file that is read included.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.dev.timing import command_line, cpu_seconds, take_step
from bench.engine.memory import peak_mb, reset_peak, resident_mb
from bench.judge.intervals import Value
from bench.show.console import print_table
from bench.show.tables import Table
from causalrec.attention import set_dropout_generator
from causalrec.checkpoints import CheckpointFile
from causalrec.model import SASRec, SASRecOptions
from causalrec.training import TrainingState

TIMES = 5


def trained(items: int) -> TrainingState:
    """The state of a model after one step of Adam, so that it has all its moments.

    Args:
        items: size of the catalogue.
    """
    draws = torch.Generator().manual_seed(0)
    model = SASRec(SASRecOptions(items, loss="gbce", negatives=1), draws)
    set_dropout_generator(model, draws)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    rows = torch.randint(1, items + 1, (8, model.options.length + 1), generator=draws)
    take_step(model, [optimiser], rows[:, :-1], rows[:, 1:])
    state = TrainingState("speed", model.state_dict(), [optimiser], draws)
    state.keep_best()
    return state


def cost(act: Callable[[], object]) -> tuple[float, ...]:
    """What an act takes: wall and CPU milliseconds, and the MiB that it holds at most.

    Args:
        act: what to measure.
    """
    taken = []
    for _ in range(TIMES):
        reset_peak()
        before, start = resident_mb(os.getpid()), time.perf_counter()
        cpu = cpu_seconds(act)
        taken.append((1000 * (time.perf_counter() - start), 1000 * cpu, (peak_mb() or before) - before))
    return tuple(map(float, np.median(taken, axis=0)))


def main() -> None:
    """Print the cost at each number of items."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("items", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder by default")
    options = parser.parse_args()
    rows: list[tuple[Value, ...]] = []
    for items in options.items:
        state = trained(items)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            file = CheckpointFile(Path(folder) / "c.safetensors")
            rows.append((items, "none", *cost(state.snapshot), None))
            rows.append((items, "write", *cost(partial(file.save, state.snapshot())), file.path.stat().st_size / 2**20))
            rows.append((items, "resume", *cost(partial(state.resume, file)), None))
    columns = ("items", "checkpoint", "ms", "CPU-ms", "MiB held", "MiB in the file")
    print_table(Table("checkpoint", "What a checkpoint costs", columns, tuple(rows)))


if __name__ == "__main__":
    main()
