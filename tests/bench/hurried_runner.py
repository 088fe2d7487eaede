"""Recommender cells that save after every epoch, note the epochs that they begin, and are cut at some of them."""

import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from bench.cells import checkpoint as cell_checkpoint
from bench.cells.unit import Cell, Outcome
from bench.runners import recommender
from causalrec import training

NOTES, CUTS, HOW = "TEST_EPOCH_NOTES", "TEST_EPOCH_CUTS", "TEST_EPOCH_HOW"


def execute(cell: Cell) -> Outcome:
    """Before an epoch a line 'PID epoch' goes to the file $TEST_EPOCH_NOTES; the lines $TEST_EPOCH_CUTS are cuts."""
    train_epoch = training._train_epoch

    def begin(*args: Any) -> dict[str, float]:
        notes = Path(os.environ[NOTES])
        with notes.open("a") as file:
            file.write(f"{os.getpid()} {args[-1].epoch + 1}\n")
        if str(len(notes.read_text().splitlines())) in os.environ.get(CUTS, "").split(","):
            how = os.environ[HOW]
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError("no more") if how == "exhaust" else ValueError("cut")
        return train_epoch(*args)

    with (
        mock.patch.object(training, "_train_epoch", begin),
        mock.patch.multiple(cell_checkpoint, EVERY_S=0.0, SHARE=float("inf")),
    ):
        return recommender.run(cell)
