"""What a checkpoint costs: `python -m bench.dev.speed_checkpoint 3416 1000000`, the numbers of items.

The state of SASRec (64 features, length 50, two layers) after a step, with the best parameters held: its bytes, and
time and memory of writing and of taking it up, and of an epoch's end that passes it over. Medians of `TIMES`; wall time
waits for the disk. Memory is what resident memory rises by at its highest, pages of the file that is read included.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from bench.engine.memory import peak_mb, reset_peak, resident_mb
from causalrec.attention import set_dropout_generator
from causalrec.checkpoints import CheckpointFile
from causalrec.model import SASRec, SASRecOptions
from causalrec.training import TrainingState

TIMES = 5


def trained(items: int) -> TrainingState:
    """The state of a model after one step of Adam, so that it has all its moments."""
    draws = torch.Generator().manual_seed(0)
    model = SASRec(SASRecOptions(items, loss="gbce", negatives=1), draws)
    set_dropout_generator(model, draws)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    rows = torch.randint(1, items + 1, (8, model.options.length + 1), generator=draws)
    loss, _ = model.loss(rows[:, :-1], rows[:, 1:])
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    state = TrainingState("speed", model.state_dict(), optimiser, draws)
    state.keep_best()
    return state


def cost(act: Callable[[], object]) -> str:
    """Wall and CPU milliseconds of an act, and the MiB that it holds at most."""
    wall, cpu, held = [], [], []
    for _ in range(TIMES):
        reset_peak()
        before, start, spent = resident_mb(os.getpid()), time.perf_counter(), time.process_time()
        act()
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - spent))
        held.append((peak_mb() or before) - before)
    typical = [statistics.median(values) for values in (wall, cpu, held)]
    return "{:8.0f} ms, {:7.0f} CPU-ms, {:6.0f} MiB".format(*typical)


def main() -> None:
    """Print the cost at each number of items."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, help="where to write; else the system's for temporary files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for items in options.items:
        state = trained(items)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            file = CheckpointFile(Path(folder) / "c.safetensors")
            print(f"{items} items: pass over {cost(state.snapshot)}")
            print(f"  write   {cost(partial(file.save, state.snapshot()))}")
            print(f"  take up {cost(partial(state.resume, file))}")
            print(f"  {file.path.stat().st_size / 2**20:.1f} MiB in the file", flush=True)


if __name__ == "__main__":
    main()
