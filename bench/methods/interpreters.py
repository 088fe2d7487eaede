"""Packages whose requirements are not ours: each runs in a Python of its own, which an environment variable names."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import InputError


@dataclass(frozen=True)
class Interpreter:
    """A Python that has a package, and a script of ours that runs there.

    Args:
        title: what messages call the package.
        variable: the environment variable that names the Python.
        package: what `pip install` there is given.
        modules: what the script imports; the first is the package's name.
        script: the file.
    """

    title: str
    variable: str
    package: str
    modules: tuple[str, ...]
    script: Path

    def version(self) -> str | None:
        """The package's version if the variable names a Python that has it; None if the variable is not set.

        Raises:
            InputError: the variable is set and its Python does not serve.
        """
        python = os.environ.get(self.variable)
        return _version(self, python) if python else None

    def call(self, python: str, *arguments: object, environment: Mapping[str, str] | None = None) -> str:
        """Run the script and return what it printed.

        Args:
            python: the interpreter.
            arguments: of the script.
            environment: variables beside those of this process.

        Raises:
            RuntimeError: it failed; the message is its last line.
        """
        # -P: this folder's `statistics` must not hide the standard library's.
        command = [python, "-P", str(self.script), *map(str, arguments)]
        env = {**os.environ, **(environment or {})}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{self.title}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
        return done.stdout

    def python(self, name: str) -> str:
        """The interpreter.

        Args:
            name: what needs it, for messages.

        Raises:
            InputError: the variable is not set.
        """
        if python := os.environ.get(self.variable):
            return python
        raise InputError(f"{name} needs {self.title}; let ${self.variable} name a Python that has {self.package}")


@cache
def _version(peer: Interpreter, python: str) -> str:
    ask = f"import importlib.metadata as m, {', '.join(peer.modules)}; print(m.version('{peer.modules[0]}'))"
    said = f"${peer.variable} = {python}"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise InputError(f"{said}: {error.strerror}; name a Python that has {peer.package}") from error
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it failed without a word"])[-1]
        raise InputError(f"{said}: {why}; `{python} -m pip install {peer.package}`, or unset it")
    return done.stdout.strip()
