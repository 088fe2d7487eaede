"""What a training leaves behind between two epochs, and the file that it is kept in; nothing there can run code."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from causalrec.errors import InputError


@dataclass(frozen=True)
class Snapshot:
    """The state of a training: tensors by name, which may be the live ones, and texts by name."""

    tensors: Mapping[str, Tensor]
    texts: Mapping[str, str]


class Checkpoint(Protocol):
    """Where a training finds the state to go on from, and leaves its own."""

    def load(self) -> Snapshot | None:
        """What was saved last; None where there is nothing, and training begins anew."""

    def save(self, snapshot: Snapshot) -> None:
        """Asked at the end of every epoch; may pass over one. The tensors are only to be trusted during the call."""

    def refuse(self, why: str) -> None:
        """Told that what `load` gave is no state of this training; raises, or returns, and training begins anew."""


class CheckpointFile:
    """A checkpoint as a safetensors file with a SHA-256 of its content, written at every epoch, whole or not at all.

    What is wrong with the file is an InputError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Snapshot | None:
        """The state in the file, in memory of its own; None where there is no file, or a refused one."""
        try:
            with safe_open(self.path, "pt") as file:
                texts = file.metadata() or {}
                # A mapped file is gone from under a reader when it is cut: copies stay.
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
        """Write beside the file, sync, and rename; raises InputError where that cannot be done."""
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
    """SHA-256 over texts, names, types, shapes and bytes."""
    hasher = hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
