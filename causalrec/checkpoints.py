"""The state that a training saves between two epochs, and the file that holds it; reading the file never runs code."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from causalrec.errors import InputError


@dataclass(frozen=True)
class Snapshot:
    """The state of a training.

    Args:
        tensors: tensors by name; they may be the live ones, which the next training step changes.
        texts: texts by name.
    """

    tensors: Mapping[str, Tensor]
    texts: Mapping[str, str]


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file, also one whose name is not UTF-8, which the library itself refuses.

    Args:
        path: the file.

    Yields:
        What `safetensors.safe_open` gives.

    Raises:
        SafetensorError: the file is damaged.
        OSError: it cannot be read.
    """
    with ExitStack() as stack:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            link = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "tensors"
            link.symlink_to(path.absolute())
            path = link
        yield stack.enter_context(safe_open(path, "pt"))


class Checkpoint(Protocol):
    """Where a training finds the state to resume from and saves its own."""

    def load(self) -> Snapshot | None:
        """Return the state saved last, or None if there is none and training begins anew."""

    def save(self, snapshot: Snapshot) -> None:
        """Save the state; called at the end of every epoch. An implementation may skip some epochs.

        Args:
            snapshot: the state; its tensors are valid only during the call.
        """

    def refuse(self, why: str) -> None:
        """Handle a loaded state that does not belong to this training: raise, or return to let training begin anew.

        Args:
            why: what is wrong with the state.
        """


class CheckpointFile:
    """A checkpoint in one safetensors file with a SHA-256 of its content, written atomically after every epoch.

    All faults of the file raise InputError.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Snapshot | None:
        """Return a copy of the state in the file, or None if there is no file.

        Raises:
            InputError: the file cannot be read or is damaged.
        """
        try:
            with open_tensors(self.path) as file:
                texts = file.metadata() or {}
                # The file is memory-mapped: tensors must outlive a truncation of it, so copy them.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            self.refuse(f"cannot be read ({error})")
            return None
        if texts.pop("sha256", None) != _hash(tensors, texts):
            self.refuse("is damaged (its checksum does not match)")
            return None
        return Snapshot(tensors, texts)

    def save(self, snapshot: Snapshot) -> None:
        """Write a temporary file beside the target, sync it, and rename it.

        Raises:
            InputError: the file cannot be written.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()}
        texts = dict(snapshot.texts)
        texts["sha256"] = _hash(tensors, texts)
        try:
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f"{self.path.stem}-", suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            try:
                save_file(tensors, temporary, texts)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except (SafetensorError, OSError) as error:
            raise InputError(f"checkpoint {self.path} cannot be written ({error}); free space there") from error

    def refuse(self, why: str) -> None:
        """Raise InputError."""
        raise InputError(f"checkpoint {self.path} {why}; remove it to train anew")


def _hash(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 of the texts and of the tensors' names, types, shapes and bytes."""
    hasher = hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
