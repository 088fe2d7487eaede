"""Faults against whole runs: is a number lost or changed? python -m tests.robustness.faults [KILLS] [COMMAND ...]

COMMAND, `reproduce --preset smoke` by default, runs once undisturbed. Then it runs under each fault, the results folder
is verified, and it runs again until it ends; every record of the undisturbed run must be there with the same metrics
and arrays, except for times. Mounting a small disk needs root; without it those faults say that they were not tried.
"""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cells.fingerprint import ROOT
from bench.cells.record import Record
from bench.cells.store import Store
from bench.show.console import print_message, print_table
from bench.show.tables import Table
from causalrec.methods.streams import generator

KILLS = 100
COMMAND = ("reproduce", "--preset", "smoke")
LONGEST_S = 12.0  # from the start to a kill
ENDS_S = 900.0
LITTLE = 0.05  # of the cells: so much memory that few fit even in a worker that has served no other
FINISHES = 3  # a run that finds cells failed tries them anew: on a busy machine one may pass its time again
BEFORE = "import time; time.time = lambda now=time.time: now() - 86400.0\n"
HIDE, SHOW, END = b"\x1b[?25l", b"\x1b[?25h", b"\0"  # a terminal's cursor; of what is read so far
TIMED = ("cost",)  # runners whose arrays are times

Fault = Callable[["Trial"], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How often a fault was put in, how many numbers were lost or changed by it, and what else is to be said."""

    times: int
    lost: int
    told: str = ""


@dataclass(frozen=True)
class Trial:
    """What every fault needs: the command, the peaceful run's records by key, a stream, how many kills.

    memory_mb: MiB that only the least greedy cells stayed below in peace.
    """

    command: tuple[str, ...]
    whole: dict[str, object]
    rng: np.random.Generator
    kills: int
    memory_mb: float = 0.0

    def start(self, out: Path, *words: str, terminal: int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        """The command, `words` added, in a process group of its own, writing into `out`; stderr is the terminal."""
        command = [sys.executable, str(ROOT / "cli.py"), *self.command, *words, "--out", str(out)]
        environment = os.environ | {"CAUSALREC_DATA": str(out / "no data")} | more
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=terminal, text=True, start_new_session=True,
            env=environment,
        )  # fmt: skip

    def finish(self, out: Path, *words: str, **more: str) -> tuple[int, str]:
        """Run the command to its end: exit code and the last line on stderr."""
        process = self.start(out, *words, terminal=subprocess.PIPE, **more)
        _, said = process.communicate(timeout=ENDS_S)
        return process.returncode, (said.strip().splitlines() or [""])[-1]

    def lost(self, out: Path, whole: bool = True) -> int:
        """How many records are damaged or changed, or with `whole` missing; each is told on stderr."""
        store = Store(out)
        records = {record.key: record for record in store.records()}
        told = [f"set aside: {path}" for path in store.quarantined]
        for key, value in self.whole.items():
            if key not in records:
                told += [f"missing: {key}"] if whole else []
            elif _content(records[key]) != value:
                told.append(f"changed: {key}, {records[key].status}, {records[key].error or records[key].metrics}")
        for line in told:
            print_message(f"lost: {line}")
        return len(told)


def contents(store: Store) -> dict[str, object]:
    """What may not differ of each sound record, by key: status, metrics and arrays without times."""
    return {record.key: _content(record) for record in store.records()}


def _content(record: Record) -> object:
    metrics = {name: value for name, value in record.metrics.items() if not name.endswith("_s")}
    timed = record.cell["runner"] in TIMED
    return record.status, None if timed else metrics, None if timed else record.arrays_sha256


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="faults"))
    try:
        yield place / "out"
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Terminal:
    """A terminal of its own, read all the time; `file` is what a process writes to."""

    def __init__(self) -> None:
        self._reads, self.file = pty.openpty()
        self._said = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while part := os.read(self._reads, 4096):
                self._said += part

    def said(self) -> bytes:
        """All that was written since the last time."""
        os.write(self.file, END)
        while not self._said.endswith(END):
            time.sleep(0.001)
        said, self._said = self._said, b""
        return said


def _signalled(trial: Trial, send: signal.Signals, ended: int, terminal: _Terminal | None = None) -> Outcome:
    """The signal to the whole group at random moments; a run that ends first is compared, and begun anew."""
    lost, wrong, whole, times, hidden, last = 0, 0, 0, 0, 0, ""
    file = subprocess.PIPE if terminal is None else terminal.file
    while times < trial.kills:
        with _folder() as out:
            while times < trial.kills:
                process = trial.start(out, terminal=file, TERM="xterm")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=float(trial.rng.uniform(0.1, LONGEST_S)))
                if process.poll() is not None:
                    whole += 1
                    lost += trial.lost(out)
                    break
                workers = _workers(process) if send == signal.SIGKILL else []
                for pid in (process.pid, *workers):  # Ctrl-C reaches the group of the terminal alone
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, send)
                process.communicate(timeout=60)
                times += 1
                said = b"" if terminal is None else terminal.said()
                hidden += HIDE in said
                wrong += process.returncode != ended or said.rfind(HIDE) > said.rfind(SHOW)
                lost += trial.lost(out, whole=False)
            else:
                for _ in range(FINISHES):
                    if (code := trial.finish(out)[0]) == 0:
                        break
                lost += trial.lost(out)
                whole += 1
                last = f"; the last with exit code {code}" if code else ""
    odd = f"; {wrong} ended otherwise than with {ended}" if wrong else ""
    drawn = f"; {hidden} times its cursor was hidden and shown again" if terminal and not wrong else ""
    return Outcome(times, lost, f"{whole} runs came to their end{last}{odd}{drawn}")


def kill(trial: Trial) -> Outcome:
    """SIGKILL to the whole run, its workers too."""
    return _signalled(trial, signal.SIGKILL, -signal.SIGKILL)


def interrupt(trial: Trial) -> Outcome:
    """Ctrl-C to the whole run in a terminal; it must end with exit code 130 and the terminal as it was."""
    return _signalled(trial, signal.SIGINT, 130, _Terminal())


def kill_workers(trial: Trial) -> Outcome:
    """SIGKILL to one worker after another, as the system does when memory runs out; the run goes on."""
    times = 0
    with _folder() as out:
        process = trial.start(out)
        while process.poll() is None and times < trial.kills:
            times += _to_a_worker(trial, process, signal.SIGKILL)
        process.communicate(timeout=ENDS_S)
        failed = sum(not record.ok for record in Store(out).records())
        code, _ = trial.finish(out)
        told = f"the run ended with exit code {process.returncode}, {failed} cells killed twice; the next with {code}"
        return Outcome(times, trial.lost(out), told)


def stop_worker(trial: Trial) -> Outcome:
    """SIGSTOP to one worker, whose cell then hangs; its time is the preset's."""
    with _folder() as out:
        process = trial.start(out)
        times = int(_to_a_worker(trial, process, signal.SIGSTOP))
        process.communicate(timeout=ENDS_S)
        code, _ = trial.finish(out)
        told = f"the run ended with exit code {process.returncode}, the next with {code}"
        return Outcome(times, trial.lost(out), told)


def _to_a_worker(trial: Trial, process: subprocess.Popen[str], send: signal.Signals) -> bool:
    """The signal to a worker drawn at random, a random while after there are some; False where the run ends first."""
    wait = float(trial.rng.uniform(0.5, 4.0))
    while process.poll() is None:
        time.sleep(0.05)
        workers = _workers(process)
        if workers and wait <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(trial.rng.choice(workers)), send)
                return True
        wait -= 0.05 if workers else 0.0
    return False


def _workers(process: subprocess.Popen[str]) -> list[int]:
    """The run's children that are workers: not the tracker that `multiprocessing` starts, nor a call of git."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return []
    return [int(pid) for pid in children if b"spawn_main" in _command_line(pid)]


def _command_line(pid: str) -> bytes:
    with contextlib.suppress(OSError):  # it has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def worker_out_of_memory(trial: Trial) -> Outcome:
    """A limit of memory that some workers pass, `--memory`; the next run has none."""
    with _folder() as out:
        code, _ = trial.finish(out, "--memory", f"{trial.memory_mb:.0f}")
        stopped = sum(record.status == "out_of_memory" for record in Store(out).records())
        again, _ = trial.finish(out)
        told = f"exit code {code} under {trial.memory_mb:.0f} MiB, the next {again}"
        return Outcome(stopped, trial.lost(out), told)


def two_at_once(trial: Trial) -> Outcome:
    """Two runs on one folder at the same time."""
    with _folder() as out:
        both = [trial.start(out) for _ in range(2)]
        for process in both:
            process.communicate(timeout=ENDS_S)
        return Outcome(1, trial.lost(out), f"exit codes {both[0].returncode} and {both[1].returncode}")


def clock_set_back(trial: Trial) -> Outcome:
    """A killed run goes on under a clock that is a day behind."""
    with _folder() as out, tempfile.TemporaryDirectory() as patch:
        process = trial.start(out)
        time.sleep(LONGEST_S)
        process.kill()
        process.communicate(timeout=60)
        (Path(patch) / "sitecustomize.py").write_text(BEFORE)
        code, _ = trial.finish(out, PYTHONPATH=patch)
        return Outcome(1, trial.lost(out), f"exit code {code}")


def _mounted(trial: Trial, options: str, then: str) -> Outcome:
    """A run on a small disk that refuses to be written, and one when it is mounted anew."""
    with _folder() as out:
        out.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o"]
        if subprocess.run([*mount, "size=64m", "tmpfs", str(out)], capture_output=True, check=False).returncode:
            return Outcome(0, 0, "not tried: mounting needs root")
        try:
            (out / "records").mkdir()
            subprocess.run(["mount", "-o", f"remount,{options}", str(out)], check=True, capture_output=True)
            code, said = trial.finish(out)
            subprocess.run(["mount", "-o", f"remount,{then}", str(out)], check=True, capture_output=True)
            lost = trial.lost(out, whole=False)
            again, _ = trial.finish(out)
            told = f"exit code {code} ({said[:60]}), the next {again}"
            return Outcome(1, lost + trial.lost(out) + (code != 2), told.replace(str(out), "OUT"))
        finally:
            subprocess.run(["umount", str(out)], check=False, capture_output=True)


def disk_full(trial: Trial) -> Outcome:
    """A disk of 256 KiB, made larger after the run has failed."""
    return _mounted(trial, "size=256k", "size=512m")


def disk_read_only(trial: Trial) -> Outcome:
    """A disk that cannot be written, made writable after the run has failed."""
    return _mounted(trial, "ro", "rw,size=512m")


FAULTS: tuple[Fault, ...] = (
    kill, interrupt, kill_workers, stop_worker, worker_out_of_memory, two_at_once, clock_set_back, disk_full,
    disk_read_only,
)  # fmt: skip


def measure(
    kills: int = KILLS, command: tuple[str, ...] = COMMAND, faults: tuple[Fault, ...] = FAULTS
) -> tuple[Table, bool]:
    """One row a fault, and whether no number was lost."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores, and hands down
    with _folder() as out:
        rng = generator(root=0, stream="faults")
        code, said = Trial(command, {}, rng, 0).finish(out)
        if code:
            raise SystemExit(f"in peace the command ends with exit code {code}: {said}")
        peaks = [record.peak_memory_mb or 0.0 for record in Store(out).records()]
        trial = Trial(command, contents(Store(out)), rng, kills, float(np.quantile(peaks, LITTLE)))
    rows = []
    for fault in faults:
        outcome = fault(trial)
        name = fault.__name__.replace("_", " ")
        print_message(f"{name}: {outcome.times} times, {outcome.lost} lost")
        rows.append((name, " ".join((fault.__doc__ or "").split()), outcome.times, outcome.lost, outcome.told))
    note = f"`{' '.join(command)}`: {len(trial.whole)} records; lost counts those missing, damaged or changed."
    columns = ("fault", "what is done", "times", "numbers lost", "what else")
    return Table("faults", "Faults against whole runs", columns, tuple(rows), note), not any(row[3] for row in rows)


if __name__ == "__main__":
    table, sound = measure(int(sys.argv[1]) if sys.argv[1:] else KILLS, tuple(sys.argv[2:]) or COMMAND)
    print_table(table)
    sys.exit(0 if sound else 1)
