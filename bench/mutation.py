"""Which small faults of the pure modules their tests notice: python -m bench.mutation

mutmut plants them one at a time (`[tool.mutmut]` in pyproject.toml: five modules, their own test files) under the
short Hypothesis profile `mutation`, in the folder `mutants/`; a second run asks again only what was not caught.
tests/MUTATION.md is made of what it found and of tests/survivors.toml, which says of each survivor why it is none of
the tests' business. `python -m bench.mutation table` makes the file from the last run. Exit code 1: a module under
85 % or a survivor without a reason. mutmut starts from one warm process and forks, where others start Python anew for
each fault and import torch; in turn it leaves module-level constants, properties and decorated functions alone.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.cell import ROOT
from bench.console import print_message
from bench.errors import InputError

TABLE = ROOT / "tests" / "MUTATION.md"
REASONS = ROOT / "tests" / "survivors.toml"
LEAST = 0.85
# Exit codes of a mutant's pytest, as mutmut keeps them; 5 and 33 say that no test reaches it.
KILLED, TIMEOUT, SURVIVED = (1, 3, -11), (-24, 24, 36, 152, 255), (0, 5, 33)
UNEXPLAINED = ("unexplained", "no reason stands in tests/survivors.toml")
INSTALL = 'it comes with the extra: pip install -e ".[mutation]" -c constraints.txt'


@dataclass(frozen=True)
class Mutant:
    """A fault: where it is, what it changes and what became of it.

    status: killed, timeout (both caught), survived or not run. change: the lines it replaces, an arrow, its own lines.
    """

    function: str
    line: int
    change: str
    status: str

    @property
    def caught(self) -> bool:
        """Whether the tests notice it."""
        return self.status in ("killed", "timeout")

    @property
    def label(self) -> str:
        """How the file of reasons names it."""
        return f"{self.function}: {self.change}"


def run_mutants() -> None:
    """Let mutmut try every mutant of a new or changed function and, once more, every one that had survived.

    Raises InputError where mutmut is missing or ends without trying them.
    """
    survivors = _survivors()
    _call_mutmut()
    if survivors:
        _call_mutmut(*sorted(survivors & _survivors()))


def _survivors() -> set[str]:
    return {name for module in _modules() for name, code in _results(module).items() if code in SURVIVED}


def _call_mutmut(*names: str) -> None:
    program = shutil.which("mutmut", path=str(Path(sys.executable).parent))
    if program is None:
        raise InputError(f"mutmut is not installed beside {sys.executable}; {INSTALL}")
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutation", "OMP_NUM_THREADS": "1"}
    command = [program, "run", "--max-children", "1", *names]
    if subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False).returncode:  # noqa: S603
        raise InputError("mutmut stopped; its message stands above. The tests must pass before faults are planted")


def read_mutants(module: str) -> list[Mutant]:
    """The mutants of a module, a path below the root, as the last run left them.

    Raises InputError where there was no run or mutmut is missing.
    """
    try:
        from mutmut.mutation.diff_apply import get_diff_for_mutant
    except ImportError as error:
        raise InputError(f"mutmut is not installed; {INSTALL}") from error
    results, starts = _results(module), _starts(module)
    if not results:
        raise InputError(f"mutants/{module}.meta is not there; run python -m bench.mutation first")
    found = []
    for name, code in results.items():
        function = name.rpartition(".")[2].rpartition("__mutmut_")[0]
        function = ".".join(function.split("ǁ")[1:]) if "ǁ" in function else function.removeprefix("x_")
        offset, change = _change(get_diff_for_mutant(name, path=module))
        found.append(Mutant(function, starts[function] + offset, change, _status(code)))
    return found


def _status(code: int | None) -> str:
    named = {"killed": KILLED, "timeout": TIMEOUT, "survived": SURVIVED}
    return next((status for status, codes in named.items() if code in codes), "not run")


def _change(diff: str) -> tuple[int, str]:
    """The line at which a unified diff of one hunk changes something, counted from 0, and what it changes."""
    _, _, hunk, *lines = diff.split("\n")
    first = int(hunk.split()[1].partition(",")[0].removeprefix("-"))
    at = next(index for index, line in enumerate(lines) if line[:1] in ("-", "+"))
    before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return first + at - 1, f"{before} → {after}"


def _results(module: str) -> dict[str, int | None]:
    """The exit code of each mutant of a module by its name, None before it was tried; empty before any run."""
    try:
        found: dict[str, int | None] = json.loads((ROOT / "mutants" / f"{module}.meta").read_text("utf-8"))[
            "exit_code_by_key"
        ]
    except FileNotFoundError:
        return {}
    return found


def _starts(module: str) -> dict[str, int]:
    """The first line of each function, by its name, and of each method, by Class.name."""
    starts: dict[str, int] = {}
    for node in ast.parse((ROOT / module).read_text("utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        starts |= {f"{prefix}{part.name}": part.lineno for part in inside if isinstance(part, ast.FunctionDef)}
    return starts


def _modules() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return list(settings["tool"]["mutmut"]["only_mutate"])


def read_reasons() -> dict[str, dict[str, tuple[str, str]]]:
    """By module and label, the class of each explained survivor and its explanation."""
    reasons: dict[str, dict[str, tuple[str, str]]] = {}
    for entry in tomllib.loads(REASONS.read_text("utf-8"))["reason"]:
        why = (str(entry["class"]), str(entry["why"]))
        reasons.setdefault(entry["module"], {}).update(dict.fromkeys(entry["mutants"], why))
    return reasons


def write_table(
    found: dict[str, list[Mutant]], reasons: dict[str, dict[str, tuple[str, str]]]
) -> tuple[str, bool]:
    """The text of tests/MUTATION.md, and whether every module has its share and every survivor its reason."""
    rows, sections, good = [], [], True
    for module, mutants in found.items():
        counts = Counter(mutant.status for mutant in mutants)
        caught, tried = sum(mutant.caught for mutant in mutants), len(mutants) - counts["not run"]
        rows.append(
            f"| `{module}` | {len(mutants)} | {counts['killed']} | {counts['timeout']} | {counts['survived']} "
            f"| {counts['not run']} | {100 * caught / max(1, tried):.1f} % |"
        )
        good &= caught >= LEAST * len(mutants)
        groups: dict[tuple[str, str], list[str]] = {}
        for mutant in mutants:
            if mutant.status == "survived":
                reason = reasons.get(module, {}).get(mutant.label, UNEXPLAINED)
                good &= reason is not UNEXPLAINED
                groups.setdefault(reason, []).append(f"- {mutant.line} `{mutant.function}`: `{mutant.change}`")
        sections += [f"## {module}", ""]
        for (kind, why), lines in sorted(groups.items()):
            sections += [f"**{kind}** ({len(lines)}): {why}", "", *lines, ""]
    head = [
        "# Mutation testing",
        "",
        "Made by `python -m bench.mutation`, which says how; reasons are kept in `tests/survivors.toml`. The score is",
        "the share, of the mutants tried, that a test kills or that never end. Line numbers are those of the run.",
        "",
        "| module | mutants | killed | timeout | survived | not run | score |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, "", *sections]).rstrip() + "\n", good


def main(*words: str) -> int:
    """Run the mutants unless only the table is asked for; write it; 1 where something is left to explain."""
    try:
        if "table" not in words:
            run_mutants()
        text, good = write_table({module: read_mutants(module) for module in _modules()}, read_reasons())
    except InputError as error:
        print_message(str(error))
        return 2
    TABLE.write_text(text, encoding="utf-8")
    print_message(f"{TABLE} written")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
