"""Closed streams, readers that leave and full disks change no result and no exit code's meaning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cells.fingerprint import ROOT
from bench.show.streams import Steady, steady_streams

RING = "user,item\n" + "".join(f"u{user},i{(user + at) % 5}\n" for user in range(6) for at in range(4))
TRAIN = (
    "train --data ring.csv --model sasrec --out m --epochs 2 --option width=4 --user-core 1 --item-core 1 --device cpu"
)
SMALL = "run mixing --preset smoke --jobs 1 --out runs"


def shell(folder: Path, command: str) -> tuple[int, str, str]:
    """Run a line of bash in which CLI stands for the program: exit code, stdout, stderr."""
    done = subprocess.run(
        ["bash", "-c", command.replace("CLI", f"'{sys.executable}' '{ROOT / 'cli.py'}'")], cwd=folder,
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_a_model_is_trained_whatever_becomes_of_the_streams(tmp_path, closed):
    (tmp_path / "ring.csv").write_text(RING)
    code, out, err = shell(tmp_path, f"CLI {TRAIN} {closed}")
    assert code == 0, err
    assert "Traceback" not in out + err
    assert (tmp_path / "m" / "model.json").read_text().rstrip().endswith("}")


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("CLI claims >&-", 0, ""),
        ("CLI claims | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("CLI --help | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        ("CLI claims --show none 2>&-", 2, ""),
        ("CLI claims --show none >/dev/full", 2, "error: claim 'none' is unknown"),
        ("CLI claims >/dev/full", 2, "error: the output cannot be written: No space left on device\n"),
    ],
)
def test_the_exit_code_is_that_of_the_command(tmp_path, command, code, told):
    ended, _, err = shell(tmp_path, command)
    assert (ended, err.startswith(told), "Traceback" in err) == (code, True, False)
    assert err.count("\n") == bool(told)


@pytest.mark.parametrize("streams", ["2>&- >&-", "2>&1 | head -1 >/dev/null; exit ${PIPESTATUS[0]}"])
def test_a_run_nobody_watches_writes_its_files(tmp_path, streams):
    code, _, err = shell(tmp_path, f"CLI {SMALL} {streams}")
    assert (code, err) == (0, "")
    assert list(tmp_path.glob("runs/*/run.json"))


def test_the_first_error_is_kept_and_what_follows_goes_nowhere(monkeypatch):
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with steady_streams() as out:
            assert sys.stdout is out
            for _ in range(3):
                sys.stdout.write("x" * 100_000)
                sys.stdout.flush()
            assert isinstance(out.error, BrokenPipeError)
        assert sys.stdout is pipe


def test_a_closed_stream_is_opened_on_nothing(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with steady_streams() as out:
        sys.stdout.write("\ud800")
        sys.stdout.flush()
        sys.stderr.write("x\ud800")
        assert isinstance(sys.stderr, Steady)
        assert out.error is None
    assert sys.stdout is None
