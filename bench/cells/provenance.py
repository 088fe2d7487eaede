"""Where and with what a record was made: commit, versions, BLAS, processor, GPU. Never the machine's name."""

import os
import platform
import shutil
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

from bench.cells.fingerprint import ROOT

Provenance: TypeAlias = dict[str, str | int | bool | None]


@lru_cache(maxsize=1)
def provenance() -> Provenance:
    """The facts, gathered once a process; None where a fact cannot be had, commit 'unknown' outside git."""
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit or "unknown",
        "dirty": None if commit is None else bool(changes),
        "python": platform.python_version(),
        **{package: version_of(package) for package in ("torch", "numpy", "scipy", "pandas")},
        "blas": _blas(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _output(*command: str) -> str | None:
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command without a shell
            [program, *command[1:]], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version_of(package: str) -> str | None:
    """The version of an installed package; None if it is not installed.

    Args:
        package: its name.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _blas() -> str | None:
    import numpy.linalg  # noqa: F401 - threadpoolctl sees only libraries that are loaded
    from threadpoolctl import threadpool_info

    found = {
        f"{pool['internal_api']} {pool.get('version')} {pool.get('architecture', '')}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or None


def _cpu() -> str | None:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _gpu() -> str | None:
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return ", ".join(names.splitlines()) if names else None
