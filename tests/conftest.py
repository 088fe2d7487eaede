"""Hypothesis profiles by $HYPOTHESIS_PROFILE, and the fixtures `call` and `real`.

`ci`, the default, draws the same cases every time; `dev` and `nightly` draw new ones.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

# One thread for each worker of pytest-xdist, which share the cores; libraries read it when they are first imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

import cli

torch.set_num_threads(1)

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, max_examples=100)
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


SHARED = Path(__file__).parents[1].parent / "shared" / "data"
REAL = next((Path(at) for at in (os.environ.get("CAUSALREC_DATA"), SHARED) if at and Path(at).is_dir()), None)


@pytest.fixture
def real() -> Path:
    """The folder of the real datasets; skips without one."""
    if REAL is None:
        pytest.skip(f"no real data: neither $CAUSALREC_DATA nor {SHARED} is a folder")
    return REAL


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cli.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run
