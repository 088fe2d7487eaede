"""How much memory a process holds and has held, and how much is free, where the system tells (all of it on Linux)."""

import contextlib
import os
import sys
from pathlib import Path


def reset_peak() -> None:
    """Start a new high-water mark of this process's resident memory, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float | None:
    """This process's highest resident size in MiB since `reset_peak`.

    Returns:
        Where the system cannot reset the mark, the peak since the process started, an upper bound; None where the
        system does not tell.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    return None


def resident_mb(pid: int | None) -> float:
    """Resident size of a process in MiB.

    Args:
        pid: the process's number; None for one that has not started.

    Returns:
        0 where the system does not tell.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def free_bytes() -> float:
    """Memory that this process could still take: what the system has, or what its control group leaves it if less.

    Returns:
        Infinity where the system does not tell.
    """
    free = float("inf")
    with contextlib.suppress(OSError, ValueError, LookupError):
        meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = float(meminfo["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: the group has no limit
        group = Path("/sys/fs/cgroup")
        free = min(free, float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return free
