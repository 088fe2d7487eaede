"""The cost of a checkpoint is measured on a state that is whole and can be taken up."""

import re
import sys

import torch

from bench.dev.speed_checkpoint import main, trained
from causalrec.checkpoints import CheckpointFile


def test_the_state_that_is_written_is_whole_and_is_taken_up(tmp_path):
    state, file = trained(30), CheckpointFile(tmp_path / "c.safetensors")
    file.save(state.snapshot())
    assert {name.partition(".")[0] for name in file.load().tensors} == {"model", "best", "optimiser", "dropout"}
    state.values["item.weight"].zero_()
    state.resume(file)
    assert torch.equal(state.values["item.weight"], state.best["item.weight"])


def test_costs_and_bytes_are_printed_for_each_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed_checkpoint", "20", "40", "--folder", str(tmp_path)])
    main()
    told = capsys.readouterr().out
    rows = [line.split() for line in told.splitlines() if re.match(r" *\d", line)]
    assert [row[:2] for row in rows] == [[items, how] for items in ("20", "40") for how in ("none", "write", "resume")]
    sizes = [float(row[-1]) for row in rows if row[1] == "write"]
    assert 0 < sizes[0] <= sizes[1]
    assert list(tmp_path.iterdir()) == []
