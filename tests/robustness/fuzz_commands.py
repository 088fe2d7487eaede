"""Random command lines: python -m tests.robustness.fuzz_commands [N]

Every command is called in this process with options drawn from the ends of their types and from hostile texts. It may
succeed, or refuse in one line with a typed error. A crash is any other error, output that holds a traceback, a file
that no option named, or more than `LIMIT_S` seconds. What would train for long, run cells, simulate or download ends
once all that was asked for has been checked: see `Reached`.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from typer.main import get_command

import cli
from bench.apply import learn as learning
from bench.apply import train as training
from bench.cells.store import Store
from bench.errors import InputError
from bench.methods.learners import ENTRIES
from bench.methods.options import names as options_of
from bench.reproduce import plan_cells
from bench.show.console import print_message
from bench.show.terminal import run_application
from causalrec.methods import fit as fitting
from causalrec.methods.recommenders import OFFERED
from causalrec.methods.streams import generator
from tests.bench.report.test_compare import RUN
from tests.robustness.fuzz import STORED

COMMANDS = 20_000
LIMIT_S = 20
FREE = 2.0**26  # bytes that a training may take here
INTS = (
    "-1", "0", "1", "2", "3", "10", "257", "65536", "2147483648", "-9223372036854775809", "9223372036854775808",
    "1000000000000", "99999999999999999999", "1" + "0" * 60, "1.0", "1e3", "", " 1", "nan", "none", "true", "\u0663",
)  # fmt: skip
FLOATS = (
    "0", "-0.0", "1", "0.5", "-1", "0.99", "0.9999999", "1e-400", "5e-324", "1e30", "1e39", "1e308", "1e400", "inf",
    "-inf", "nan", "1e-3", "", "x",
)  # fmt: skip
TEXTS = (
    "", " ", "-", "--", "=", "a=b", ",", "u1", "i1", "i1,i2", "i1, i2", "\u00e9", "\udce9", "a\udcff.csv", "\n", "\t",
    "\x1b[2J", "\x7f", "\u202e", "\U0001f600", "a" * 5000, "../..", "/", ".", "none", "x:y", "math:sqrt",
    "'", '"', "[bold]", "%s", "{}", "1/2", "0/0", "1/99999999999999999999", "localhost:0",
)  # fmt: skip
PLACES = (
    "pairs.csv", "times.csv", "samples.csv", "one.csv", "folder", "missing", "missing/deep.csv", "pipe", "/dev/null",
    "empty.csv", "caf\udce9.csv", "runs", "run", "model", "link.csv", "b" * 300 + ".csv", "folder/", "pairs.csv/x",
)  # fmt: skip
OUTS = (
    "out", "out/deep/er", "out.csv", "out.npy", "out.svg", "out\udce9", "out\n.csv", "folder", "taken", "pipe",
    "missing/out.csv",
)  # fmt: skip
CHOICES: dict[str, tuple[str, ...]] = {
    "model": tuple(OFFERED), "method": (*ENTRIES, "math:sqrt"), "preset": ("smoke", "smoke", "quick", "none"),
    "split": ("leave_one_out", "temporal"), "device": ("cpu", "auto", "cpu"), "schedule": ("decay", "constant"),
    "optimiser": ("muon", "adam"), "precision": ("float32", "bf16"), "windows": ("all", "last"),
    "repeats": ("kept", "dropped"), "seen": ("kept", "filtered"), "engine": ("local", "slurm"),
    "user": ("user", "u1"), "item": ("item",), "time": ("t",), "user_column": ("user",), "item_column": ("item",),
    "time_column": ("t",), "experiment": ("recovery", "mixing", "recommend"), "name": ("ml-100k", "pairs.csv"),
    "history": ("i1", "i1,i2", "i3"), "show": ("attention-is-scm",), "delimiter": ("comma", "tab"),
    "address": ("auto",), "columns": ("a", "a,b"), "drop": ("a",), "users": ("all", "one.csv"),
    "key": (STORED.key[:4], STORED.key),
}  # fmt: skip
WRITTEN = {
    "learn": ("out", "graphml", "plot"), "recommend": ("out",), "train": ("out",), "report": ("folder",),
    "judge": ("out",), "export": ("file",),
}  # fmt: skip


class Reached(InputError):
    """All that was asked for has been checked, and what follows would take long."""


class TooLong(BaseException):
    """A command took more than `LIMIT_S` seconds; no command catches it."""


def _stop(*_: object, **__: object) -> None:
    raise Reached("checked")


def _planned(setup: Any, names: Any, *_: object, **__: object) -> None:
    plan_cells(setup, names)
    raise Reached("planned")


def _one_epoch(model: Any, split: Any, options: Any, **more: Any) -> Any:
    return TRAIN(model, split, replace(options, epochs=1), **more)


def _few_resamples(graph: Any, learner: Any, resamples: int, kind: str, calibrate: int, seed: int) -> Any:
    return RESAMPLED(graph, learner, min(resamples, 4), kind, min(calibrate, 1), seed)


TRAIN, RESAMPLED = fitting.train, learning.resampled
APPLICATION = get_command(cli.app)  # made once, which takes longer than most commands


@contextlib.contextmanager
def stubs() -> Iterator[None]:
    """Within the block no command takes long: a training takes one epoch and little memory, a graph few resamples."""
    with ExitStack() as stack:
        for name, stub in (
            ("bench.report.run.walk", _planned), ("bench.report.run.walk_shard", _planned),
            ("bench.report.rejudge.severity", _stop), ("bench.report.rejudge.rejudge", _stop),
            ("bench.datasets.download.get", _stop), ("bench.selftest.suite.run", _stop),
            ("causalrec.methods.fit.train", _one_epoch), ("bench.apply.learn.resampled", _few_resamples),
            ("bench.apply.demand.free_bytes", lambda: FREE),
        ):  # fmt: skip
            stack.enter_context(patch(name, stub))
        yield


def scratch(folder: Path) -> None:
    """Make what commands are pointed at."""
    rows = [(f"u{user}", f"i{(user + at) % 5}", at) for user in range(6) for at in range(4)]
    (folder / "folder").mkdir(parents=True)
    for name in ("pairs.csv", "caf\udce9.csv"):
        (folder / name).write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item, _ in rows))
    (folder / "times.csv").write_text("user,item,t\n" + "".join(f"{user},{item},{at}\n" for user, item, at in rows))
    (folder / "one.csv").write_text("user,item\n" + "u,x\n" * 5)
    (folder / "samples.csv").write_text("a,b\n" + "".join(f"{k % 5},{k % 3 + k % 5}\n" for k in range(12)))
    (folder / "empty.csv").write_text("")
    (folder / "taken").write_text("mine")
    (folder / "link.csv").symlink_to("pairs.csv")
    os.mkfifo(folder / "pipe")
    Store(folder / "runs").put(STORED)
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text(json.dumps(RUN))
    asked = {"user": "user", "item": "item", "time": None, "user_core": 1, "item_core": 1}
    more = {"words": ("width=4",), "training": {"epochs": 1}, "device": "cpu"}
    training.train(str(folder / "pairs.csv"), "sasrec", folder / "model", asked, **more)  # type: ignore[arg-type]


def leaves(command: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command that is no group, by the words that call it.

    Args:
        command: a command or group.
        words: that call it.
    """
    if not hasattr(command, "commands"):
        return {words: command}
    return {path: leaf for name, sub in command.commands.items() for path, leaf in leaves(sub, (*words, name)).items()}


def draw(rng: np.random.Generator, every: dict[tuple[str, ...], Any]) -> tuple[list[str], set[str]]:
    """Draw a command line, and the paths under which it may write.

    Args:
        rng: source of randomness.
        every: commands, as of `leaves`.
    """

    def one(values: tuple[str, ...]) -> str:
        return values[int(rng.integers(len(values)))]

    heavy = (("train",), ("recommend",), ("evaluate",), ("learn",), ("plan",), ("run",))
    among = heavy if rng.random() < 0.6 else tuple(every)
    words = among[int(rng.integers(len(among)))]
    written = WRITTEN.get(words[-1], ())
    line, outs = list(words), {"out", "runs"} if "results" in words else {"out", "results"}
    hostile = rng.random() * 0.3
    model = one(tuple(OFFERED))
    for param in every[words].params:
        name = str(param.name)
        needed = param.required or (words == ("learn",) and name in ("file", "out"))
        if not (needed and rng.random() > 0.03) and rng.random() > (0.8 if "core" in name else 0.25):
            continue
        for _ in range(int(rng.integers(1, 4)) if param.multiple else 1):
            if getattr(param, "is_flag", False):
                line.append(one(tuple(param.opts)))
                continue
            kind = str(param.type_descriptor.annotation)
            wild = rng.random() < hostile
            if "core" in name and not wild:
                value = "1"
            elif "int" in kind:
                value = one(INTS)
            elif "float" in kind:
                value = one(FLOATS)
            elif name == "option":
                kind = OFFERED[model].options_of if words == ("train",) else None
                option = one(tuple(options_of(kind))) if kind else one(("sparsity", "window"))
                value = f"{option}={one(INTS + FLOATS + ('full', 'bce', 'gbce', 'sampled', 'uniform', 'free'))}"
            elif name in written or (name == "out" and not wild):
                value = one(OUTS) if not wild else one(("out", "taken"))
            elif name == "folder" and not wild:
                value = "model" if words[0] in ("evaluate", "recommend") else "run"
            elif name == "model" and not wild:
                value = model
            elif name in CHOICES and not wild:
                value = one(CHOICES[name])
            elif name == "data" and not wild:
                value = one(("pairs.csv", "times.csv", "one.csv", "caf\udce9.csv"))
            elif name == "file" and not wild:
                value = one(("samples.csv", *PLACES))
            else:
                value = one(TEXTS + PLACES) if rng.random() < 0.5 else one(PLACES)
            if name in (*written, "out", "data_dir"):
                outs.add(value)
            line += [value] if param.param_type_name == "argument" else [param.opts[0], value]
    return line, outs


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each path below a folder."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    stats = {name: path.lstat() for name, path in found.items()}
    return {
        name: (stat.st_size, stat.st_mtime_ns) if found[name].is_file() else (0, 0) for name, stat in stats.items()
    }  # fmt: skip


def run(line: list[str], folder: Path) -> tuple[str, str]:
    """Run a command line and return how it ended, such as "exit 2", and what it wrote to stdout and stderr.

    Args:
        line: words after the program's name.
        folder: where it runs.
    """

    def late(*_: object) -> None:
        raise TooLong

    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        with patch.object(sys, "argv", ["cli.py", *line]), contextlib.chdir(folder), \
                patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):  # fmt: skip
            run_application(APPLICATION)
    except SystemExit as ended:
        how = f"exit {ended.code or 0}"
    except TooLong:
        how = "too long"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is a crash
        how = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return how, out.getvalue() + err.getvalue()


def fuzz(count: int, rng: np.random.Generator, progress: bool = False) -> tuple[Counter[str], list[str]]:
    """Run random command lines: how many ended how, and the crashes, told.

    Args:
        count: how many.
        rng: source of randomness.
        progress: say on stderr how far it is.
    """
    every, ends, crashes = leaves(APPLICATION), Counter[str](), list[str]()
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as place, stubs():
        folder = Path(place) / "scratch"
        scratch(folder)
        whole = Path(shutil.copytree(folder, Path(place) / "whole", symlinks=True, copy_function=_copy))
        before, around = state(folder), {path.name for path in Path(place).iterdir()}
        for number in range(count):
            line, outs = draw(rng, every)
            began = time.monotonic()
            how, said = run(line, folder)
            os.environ.clear()
            os.environ.update(environment)
            after = state(folder)
            odd = [
                path for path in before.keys() | after.keys()
                if before.get(path) != after.get(path) and not _named(path, outs)
            ]  # fmt: skip
            beside = {path.name for path in Path(place).iterdir()} - around
            fault = ""
            if not how.startswith("exit ") or how[5:] not in ("0", "1", "2", "3"):
                fault = how
            elif "Traceback" in said or (how == "exit 2" and said.count("error: ") == 0 and "Usage" not in said):
                fault = f"{how} without a line that says why: {said[-300:]!r}"
            elif odd or beside:
                fault = f"wrote {sorted(odd)[:3] or sorted(beside)}"
            ends[how if not fault else "crash"] += 1
            if fault:
                crashes.append(f"{line}: {fault} ({time.monotonic() - began:.1f} s)")
                print_message(crashes[-1])
            if after != before:
                shutil.rmtree(folder)
                shutil.copytree(whole, folder, symlinks=True, copy_function=_copy)
                before = state(folder)
            if progress and not (number + 1) % 1000:
                print_message(f"{number + 1}/{count}: {dict(ends)}")
    return ends, crashes


def _copy(source: str, target: str) -> None:
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _named(path: str, outs: set[str]) -> bool:
    """Whether a path lies in one that a command may write, or on the way to it."""
    places = [os.path.normpath(out) for out in outs]
    return any(at in (path, ".") or path.startswith(f"{at}/") or at.startswith(f"{path}/") for at in places)


def main(count: str = str(COMMANDS)) -> int:
    """Run the command lines, say how they ended, and return 1 where one crashed."""
    torch.set_num_threads(1)
    ends, crashes = fuzz(int(count), generator(root=0, stream="fuzz commands"), progress=True)
    print_message(f"{count} command lines: {dict(sorted(ends.items()))}, {len(crashes)} crashes")
    return int(bool(crashes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
