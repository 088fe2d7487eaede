"""Workers on a Ray cluster, or on a Ray started on this machine: `pip install -e ".[ray]"`.

A worker is an actor that serves many cells, with as many CPUs as they have threads and a GPU if they need one; Ray
finds it a machine and waits until one is free. Workers write their records themselves, so the results folder, the code
and the current folder must be on file systems that all machines share, under the same paths; a worker that does not see
them says so.
"""

import contextlib
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
from bench.engine.workers import THREAD_VARIABLES, Died, Execute, Pool, Reply, Server, Worker, not_started
from bench.errors import InputError

ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/\s]+)):(?P<port>\d{1,5})")
REACH_S = 10.0
OBJECT_STORE_BYTES = 100 * 2**20  # of a Ray that we start: only cells and short replies pass
LONGEST_REASON = 300  # characters


class RayPool(Pool):
    """Actors of a Ray cluster, or of a Ray on this machine that ends with the pool.

    Ray is started or joined when it is first needed. A Ray that the pool starts sends no usage statistics and has no
    dashboard. Nothing that Ray says goes to stdout; what cells print stays in Ray's logs.

    Args:
        address: Ray cluster address, HOST:PORT or "auto"; None starts a Ray on this machine.

    Raises:
        InputError: Ray is not installed, cannot be started or joined, or the address has another form.
    """

    def __init__(self, address: str | None = None) -> None:
        if address is not None and address != "auto" and ADDRESS.fullmatch(address) is None:
            raise InputError(f"address is {address!r}; give HOST:PORT, or auto for the Ray that runs on this machine")
        self._address = address
        try:
            import ray
        except ImportError as error:
            raise InputError(
                f"--engine ray needs Ray ({error}); install it with `pip install -c constraints.txt -e '.[ray]'` on "
                "every machine, or take --engine local"
            ) from error
        self._ray: Any = ray
        self._stack = contextlib.ExitStack()
        self._started = False

    def __enter__(self) -> "RayPool":
        self._stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray prints there when a worker dies
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            if self._started:
                self._ray.shutdown()
                self._started = False

    def default_jobs(self, device: str) -> int:
        """One worker per CPU or per GPU of the cluster; without a cluster as on this machine.

        Args:
            device: where cells compute, "cpu" or a GPU's name.
        """
        if self._address is None:
            return default_jobs(device)
        self._join()
        return max(1, int(self._ray.cluster_resources().get("CPU" if device == "cpu" else "GPU", 0)))

    def group(self, cell: Cell) -> tuple[int, bool]:
        """The cell's number of threads, and whether it needs a GPU.

        Args:
            cell: any cell.
        """
        return cell.threads, not cell.device.startswith("cpu")

    def start(self, cell: Cell, execute: Execute, folder: Path) -> Worker:
        """Start an actor.

        Args:
            cell: one of the group that the worker will serve.
            execute: runs a cell.
            folder: results folder, absolute, on a file system that all machines share.

        Raises:
            InputError: the cell needs a GPU and no machine of the cluster has one.
        """
        self._join()
        threads, gpu = self.group(cell)
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpu and not any(machine.get("GPU", 0) >= 1 for machine in machines):
            raise InputError("cells need a GPU and no machine of the Ray cluster has one; give --device cpu")
        # A cell with more threads than any machine has CPUs gets a whole machine, as it does without Ray.
        cpus = min(threads, max(machine.get("CPU", 0) for machine in machines))
        actor = self._ray.remote(_Actor).options(
            num_cpus=cpus, num_gpus=int(gpu), max_restarts=0, runtime_env={"env_vars": _environment(threads)}
        )
        proof = tempfile.NamedTemporaryFile(dir=folder, prefix="shared-", suffix=".tmp")  # noqa: SIM115, closed by kill
        handle = actor.remote()
        line = handle.start.remote(execute, folder, Path(proof.name), Path.cwd())
        return _RayWorker((threads, gpu), line, self._ray, handle, proof)

    def wait(self, lines: Sequence[Any], timeout: float | None) -> Collection[Any]:
        """The references that have a value or an error.

        Args:
            lines: what each worker's last call returned.
            timeout: seconds to wait at most; None waits for ever.
        """
        ready, _ = self._ray.wait(lines, num_returns=1, timeout=timeout)
        return self._ray.wait(lines, num_returns=len(lines), timeout=0)[0] if ready else []

    def _join(self) -> None:
        if self._started or (self._address is None and self._ray.is_initialized()):  # or the caller has started one
            return
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        alone = {
            "num_cpus": default_jobs("cpu"), "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES,
        }  # fmt: skip
        try:
            if self._address and (place := ADDRESS.fullmatch(self._address)):  # Ray itself would try for minutes
                socket.create_connection((place["ipv6"] or place["host"], int(place["port"])), REACH_S).close()
            self._ray.init(
                address=self._address or "local", log_to_driver=False, logging_level=logging.ERROR,
                **({} if self._address else alone),
            )  # fmt: skip
        except Exception as error:
            what = f"no Ray cluster at {self._address!r}" if self._address else "Ray cannot be started here"
            why = " ".join(str(error).split())[:LONGEST_REASON]
            token = "; one that wants a token is joined with RAY_AUTH_MODE=token set" if self._address else ""
            raise InputError(f"{what} ({type(error).__name__}: {why}){token}") from error
        self._started = True


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

    def start(self, execute: Execute, folder: Path, proof: Path, here: Path) -> Reply:
        """Get ready.

        Args:
            execute: runs a cell.
            folder: results folder.
            proof: a file that the parent has put into the results folder.
            here: the parent's current folder.
        """
        try:
            os.chdir(here)
            if not proof.exists():
                raise InputError(f"{folder} is not the same on this machine; give an --out that all machines share")  # noqa: TRY301
            self._server = Server(execute, folder, provenance())
        except Exception as error:  # noqa: BLE001 - whatever it is ends the run with its message
            return not_started(error)
        return "ready", 0.0, ""

    def run(self, cell: Cell, key: str) -> Reply:
        """Run one cell.

        Args:
            cell: what to run.
            key: the key under which the parent knows it.
        """
        return self._server.run(cell, key)


def _environment(threads: int) -> dict[str, str]:
    """A worker's environment before it imports anything: its threads, where the code is, where data is."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("CAUSALREC_")}
    places = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(Path.cwd())]
    return ours | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": os.pathsep.join(places)}


def _death(error: Exception) -> str:
    """What Ray says of a worker's end, short and on one line; Ray itself does not learn a killed one's exit code."""
    said = " ".join(str(error).split())
    found = re.search(r"Worker exit detail: (.*?)( Some common causes|$)", said)
    return (found[1] if found else said).rstrip(".")[:LONGEST_REASON]
