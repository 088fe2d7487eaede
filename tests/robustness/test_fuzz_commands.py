"""Random command lines end by success or in one line; and what a command must not do is seen."""

from pathlib import Path

import numpy as np
import pytest

from bench.apply import saved
from bench.errors import InputError
from causalrec.methods.streams import generator
from tests.robustness import fuzz_commands


def test_random_command_lines_end_by_success_or_a_typed_error():
    ends, crashes = fuzz_commands.fuzz(150, generator(root=1, stream="fuzz commands"))
    assert crashes == []
    assert ends["exit 0"] > 5
    assert ends["exit 2"] > 50


def letting_through(*_: object, **__: object) -> None:
    raise KeyError("lost")


def writing(*_: object, **__: object) -> None:
    Path("elsewhere").write_text("x")
    raise InputError("refused")


def saying_nothing(*_: object, **__: object) -> None:
    raise SystemExit(2)


@pytest.mark.parametrize(
    ("recommend", "told"),
    [(letting_through, "KeyError: 'lost'"), (writing, "wrote ['elsewhere']"), (saying_nothing, "exit 2 without")],
)
def test_what_a_command_must_not_do_is_seen(monkeypatch, recommend, told):
    monkeypatch.setattr(saved, "recommend", recommend)
    monkeypatch.setattr(
        fuzz_commands, "draw", lambda *_: (["recommend", "model", "--history", "i1", "--device", "cpu"], {"out"})
    )
    ends, crashes = fuzz_commands.fuzz(2, np.random.default_rng(0))
    assert ends == {"crash": 2}
    assert all(told in crash for crash in crashes)


def test_command_lines_repeat_by_their_generator():
    every = fuzz_commands.leaves(fuzz_commands.APPLICATION)

    def drawn(seed: int) -> list[list[str]]:
        rng = np.random.default_rng(seed)
        return [fuzz_commands.draw(rng, every)[0] for _ in range(50)]

    assert drawn(0) == drawn(0) != drawn(1)
