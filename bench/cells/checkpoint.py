"""The checkpoint of a cell's one training: written now and then, and never a reason for the cell to fail."""

import resource
import sys
import time
from pathlib import Path

from bench.cells.unit import checkpoint_path
from causalrec.checkpoints import CheckpointFile, Snapshot
from causalrec.errors import InputError

EVERY_S = 60.0
SHARE = 0.05  # of the time that writing may take


def cpu_seconds() -> float:
    """CPU seconds of this process and of those it has waited for, since a peer trains in a process of its own."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


class CellCheckpoint(CheckpointFile):
    """A file written every `EVERY_S` seconds at most, less often if that would take more than `SHARE` of the time.

    `earlier_cpu_s` holds the CPU seconds that an interrupted attempt spent on what is resumed. If something is wrong
    with the file, stderr says so, the file is set aside as `.damaged`, and training starts from the beginning.

    Args:
        path: the file; its folder is made when it is first written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.earlier_cpu_s = 0.0
        self._begun, self._due = cpu_seconds(), time.monotonic() + EVERY_S

    def load(self) -> Snapshot | None:
        """As `CheckpointFile.load`."""
        found = super().load()
        if found is None:
            return None
        try:
            self.earlier_cpu_s = float(found.texts["cpu_s"])
        except (KeyError, ValueError):
            self.refuse("is damaged (it does not tell the CPU seconds spent)")
            return None
        return found

    def save(self, snapshot: Snapshot) -> None:
        """Write if it is time.

        Args:
            snapshot: the state of the training.
        """
        began = time.monotonic()
        if began < self._due:
            return
        spent = self.earlier_cpu_s + cpu_seconds() - self._begun
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            super().save(Snapshot(snapshot.tensors, {**snapshot.texts, "cpu_s": repr(spent)}))
        except (InputError, OSError) as error:
            _tell(f"{error}; the cell goes on without")
        ended = time.monotonic()
        self._due = ended + max(EVERY_S, (ended - began) / SHARE)

    def refuse(self, why: str) -> None:
        """Set the file aside and say so on stderr.

        Args:
            why: what is wrong with it.
        """
        self.earlier_cpu_s = 0.0
        aside = self.path.with_suffix(f".{time.time_ns()}.damaged")
        try:
            self.path.replace(aside)
        except OSError as error:
            aside = self.path
            why += f"; it stays there ({error.strerror})"
        _tell(f"checkpoint {self.path.name} {why}; it is now {aside}, the cell begins anew")


def open_checkpoint() -> CellCheckpoint | None:
    """The running cell's checkpoint, for its one training; None if no engine runs the cell."""
    path = checkpoint_path()
    return None if path is None else CellCheckpoint(path)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
