"""The harness of faults: what it calls lost, and that a killed run loses nothing."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from causalrec.methods.streams import generator
from tests.robustness.faults import END, Trial, _Terminal, clock_set_back, contents, interrupt, kill, measure


def cell(number: int) -> Cell:
    return Cell("toy", {"number": number}, ("bench.errors",))


def put(store: Store, number: int, value: float, experiment: str = "toy") -> None:
    made = replace(cell(number), runner=experiment)
    store.put(Record(made.key, made.fields, "ok", {"value": value, "fit_cpu_s": value}), {"x": np.arange(number)})


def trial(folder: Path) -> Trial:
    store = Store(folder)
    for number in range(3):
        put(store, number, 1.0)
    return Trial((), contents(store), generator(root=0, stream="test"), 1)


def test_nothing_is_lost_where_every_record_is_there(tmp_path):
    whole = trial(tmp_path / "whole")
    for number in range(3):
        put(Store(tmp_path / "out"), number, 1.0)
    assert whole.lost(tmp_path / "out") == 0


def test_what_is_missing_changed_or_damaged_is_lost_and_told(tmp_path, capsys):
    whole, out = trial(tmp_path / "whole"), Store(tmp_path / "out")
    put(out, 0, 1.0)
    assert whole.lost(tmp_path / "out") == 2
    assert whole.lost(tmp_path / "out", whole=False) == 0
    put(out, 1, 2.0)
    assert whole.lost(tmp_path / "out", whole=False) == 1
    path = next((tmp_path / "out" / "records").glob(f"??/{cell(0).key}.json"))
    path.write_text(path.read_text().replace('"value": 1.0', '"value": 3.0'))
    assert whole.lost(tmp_path / "out", whole=False) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in told] == ["missing:", "missing:", "changed:", "set", "changed:"]
    assert told[2].startswith(f"lost: changed: {cell(1).key}, ok, {{'fit_cpu_s': 2.0")


def test_times_may_differ(tmp_path):
    for folder, value in (("here", 1.0), ("there", 2.0)):
        put(Store(tmp_path / folder), 1, value, "cost")
    assert contents(Store(tmp_path / "here")) == contents(Store(tmp_path / "there"))


def test_a_command_that_fails_in_peace_is_told():
    with pytest.raises(SystemExit, match="in peace the command ends with exit code 2: error: preset 'nonesuch'"):
        measure(1, ("plan", "--preset", "nonesuch"), (kill,))


@pytest.mark.slow
def test_a_killed_run_loses_nothing():
    table, sound = measure(1, ("run", "mixing", "--preset", "smoke"), (kill, interrupt, clock_set_back))
    assert sound
    assert [row[2] for row in table.rows] == [1, 1, 1]
    assert "otherwise" not in table.rows[1][4]


def test_a_terminal_says_what_was_written_since_the_last_time():
    terminal = _Terminal()
    for line in (b"one", b"two"):
        os.write(terminal.file, line)
        assert terminal.said() == line + END
