"""Workers on a Ray cluster, or on a Ray of this machine's own: `pip install -e ".[ray]"`.

Each is a warm actor with as many CPUs as its cells have threads, and a GPU where they want one; Ray finds it a place,
and waits where there is none. It writes its records itself, so the results folder, the code and the current folder
must be on file systems that all machines share, under the same paths; a worker that does not see them says so.
"""

import contextlib
import importlib
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cells.fingerprint import ROOT
from bench.cells.provenance import provenance
from bench.cells.unit import Cell
from bench.engine.local import default_jobs
from bench.engine.workers import THREAD_VARIABLES, Died, Pool, Reply, Server, Worker, not_started
from bench.errors import InputError

ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/\s]+)):(?P<port>\d{1,5})")
REACH_S = 10.0
OBJECT_STORE_BYTES = 100 * 2**20  # of a Ray of our own: only cells and short replies pass
LONGEST_DEATH = 300


class RayPool(Pool):
    """Actors of the cluster at `address`, HOST:PORT or "auto"; without one, of a Ray of this machine's own.

    That ends with the pool. Ray starts or is joined when first asked for. A Ray of our own sends no usage statistics
    and has no dashboard. Nothing that Ray says goes to stdout; what cells print stays in Ray's own logs.

    Raises:
        InputError: Ray is not installed, cannot be started or joined, or an address of another form.
    """

    def __init__(self, address: str | None = None) -> None:
        if address is not None and address != "auto" and ADDRESS.fullmatch(address) is None:
            raise InputError(f"address is {address!r}; give HOST:PORT, or auto for the Ray that runs on this machine")
        self._address = address
        self._ray = _import_ray()
        self._stack = contextlib.ExitStack()
        self._ours = False

    def __enter__(self) -> "RayPool":
        self._stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray prints there when a worker dies
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            if self._ours:
                self._ray.shutdown()
                self._ours = False

    def default_jobs(self, device: str) -> int:
        """One worker a CPU of the cluster, on GPUs one a GPU; without a cluster as on this machine."""
        if self._address is None:
            return default_jobs(device)
        self._join()
        return max(1, int(self._ray.cluster_resources().get("CPU" if device == "cpu" else "GPU", 0)))

    def group(self, cell: Cell) -> tuple[int, bool]:
        """Threads, and whether it wants a GPU."""
        return cell.threads, not cell.device.startswith("cpu")

    def start(self, cell: Cell, execute: str, folder: Path) -> Worker:
        """An actor; InputError where no machine of the cluster has a GPU that it wants."""
        self._join()
        threads, gpu = self.group(cell)
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpu and not any(machine.get("GPU", 0) >= 1 for machine in machines):
            raise InputError("cells want a GPU and no machine of the Ray cluster has one; give --device cpu")
        # A cell that wants more threads than any machine has gets the whole of one, as it does without Ray.
        cpus = min(threads, max(machine.get("CPU", 0) for machine in machines))
        actor = self._ray.remote(_Actor).options(
            num_cpus=cpus, num_gpus=int(gpu), max_restarts=0, runtime_env={"env_vars": _environment(threads)}
        )
        proof = tempfile.NamedTemporaryFile(dir=folder, prefix="shared-", suffix=".tmp")  # noqa: SIM115, closed by kill
        handle = actor.remote()
        line = handle.start.remote(execute, folder, Path(proof.name), Path.cwd())
        return _RayWorker((threads, gpu), line, self._ray, handle, proof)

    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """References with values or errors."""
        ready, _ = self._ray.wait(lines, num_returns=1, timeout=timeout)
        return self._ray.wait(lines, num_returns=len(lines), timeout=0)[0] if ready else []

    def _join(self) -> None:
        if self._ours or (self._address is None and self._ray.is_initialized()):  # or a caller's own Ray
            return
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        alone = {
            "num_cpus": default_jobs("cpu"), "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES,
        }  # fmt: skip
        try:
            _reach(self._address)
            self._ray.init(
                address=self._address or "local", log_to_driver=False, logging_level=logging.ERROR,
                **({} if self._address else alone),
            )  # fmt: skip
        except Exception as error:
            what = f"no Ray cluster at {self._address!r}" if self._address else "Ray cannot be started here"
            why = " ".join(str(error).split())[:LONGEST_DEATH]
            token = "; one that wants a token is joined with RAY_AUTH_MODE=token set" if self._address else ""
            raise InputError(f"{what} ({type(error).__name__}: {why}){token}") from error
        self._ours = True


@dataclass(eq=False)
class _RayWorker(Worker):
    ray: Any
    handle: Any
    proof: Any

    def send(self, cell: Cell) -> None:
        self.line = self.handle.run.remote(cell, cell.key)

    def receive(self) -> Reply:
        self.proof.close()
        try:
            reply: Reply = self.ray.get(self.line)
        except self.ray.exceptions.RayError as error:
            raise Died(_death(error)) from error
        return reply

    def kill(self) -> None:
        self.proof.close()
        self.ray.kill(self.handle)


class _Actor:
    """A worker's own side."""

    def start(self, execute: str, folder: Path, proof: Path, here: Path) -> Reply:
        """Get ready in the folder where the command runs; `proof` is a file that it has put into the results folder."""
        try:
            os.chdir(here)
            if not proof.exists():
                raise InputError(f"{folder} is not the same on this machine; give an --out that all machines share")  # noqa: TRY301
            self._server = Server(execute, folder, provenance())
        except Exception as error:  # noqa: BLE001 - whatever it is ends the run with its message
            return not_started(execute, error)
        return "ready", 0.0, ""

    def run(self, cell: Cell, key: str) -> Reply:
        """One cell."""
        return self._server.run(cell, key)


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            f"--engine ray needs Ray ({error}); install it with `pip install -c constraints.txt -e '.[ray]'` on every "
            "machine, or take --engine local"
        ) from error


def _reach(address: str | None) -> None:
    """Raise OSError at once where nobody answers; Ray itself would try for minutes."""
    if address is not None and (place := ADDRESS.fullmatch(address)) is not None:
        socket.create_connection((place["ipv6"] or place["host"], int(place["port"])), REACH_S).close()


def _environment(threads: int) -> dict[str, str]:
    """Of a worker, before anything is imported there: threads, where the code is, where data is."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("CAUSALREC_")}
    places = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(Path.cwd())]
    return ours | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": os.pathsep.join(places)}


def _death(error: Exception) -> str:
    """What Ray says of a worker's end, short and on one line; it is never told the exit code of a killed one."""
    said = " ".join(str(error).split())
    found = re.search(r"Worker exit detail: (.*?)( Some common causes|$)", said)
    return (found[1] if found else said).rstrip(".")[:LONGEST_DEATH]
