"""Hypothesis profiles by $HYPOTHESIS_PROFILE, and the fixture `call`.

`ci`, the default, and `mutation`, a short one for mutmut, are derandomised; `dev` and `nightly` draw new cases.
"""

import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings

import cli

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
unshrunk = (Phase.explicit, Phase.reuse, Phase.generate)  # a mutant has only to fail, not to fail briefly
settings.register_profile("mutation", settings.get_profile("ci"), max_examples=25, phases=unshrunk)
settings.register_profile("dev", deadline=None, max_examples=100)
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


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
