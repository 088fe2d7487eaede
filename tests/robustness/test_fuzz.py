"""Every reader under mutated files; and a reader that lets something through is seen to."""

from pathlib import Path

import numpy as np
import pytest

from bench.errors import InputError
from causalrec.methods.streams import generator
from tests.robustness.fuzz import Target, fuzz, fuzz_table, mutate, targets

TARGETS = targets()
WHOLE = (b"1 2\n3 4\n",)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_readers_accept_or_refuse_and_do_nothing_else(target):
    tally = fuzz(target, 40, generator(root=1, stream="fuzz", reader=target.name))
    assert tally.crash == ""
    assert (tally.inputs, tally.accepted + tally.refused) == (40, 40)
    assert tally.refused > 0


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whole_files_are_accepted(target, tmp_path):
    """Else all would be refused for a reason that has nothing to do with the mutation."""
    target.keep(tmp_path)
    for data in target.whole:
        path = tmp_path / target.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        target.sealed(tmp_path)
        target.read(tmp_path)


def letting_through(folder: Path) -> None:
    {b"1": 1}[(folder / "f").read_bytes()[:1]]


def writing(folder: Path) -> None:
    (folder.parent / "up").write_text("x")


def changed(_: Path) -> None:
    raise InputError("refused")


@pytest.mark.parametrize(("read", "told"), [(letting_through, "KeyError"), (writing, "wrote up"), (changed, "")])
def test_what_a_reader_must_not_do_is_seen(read, told):
    tally = fuzz(Target("r", "f", WHOLE, read), 60, np.random.default_rng(0))
    assert told in tally.crash
    assert bool(tally.crashes) == bool(told)
    table = fuzz_table([(Target("r", "f", WHOLE, read), tally)])
    assert table.rows[0][1] == 60
    assert f"60 inputs, {tally.crashes} crashes" in table.note


def test_mutations_repeat_by_their_generator_and_change_nearly_every_file():
    def made(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [mutate(WHOLE[0], rng) for _ in range(200)]

    assert made(0) == made(0) != made(1)
    assert sum(data != WHOLE[0] for data in made(0)) > 180
    assert len(set(made(0))) > 150
