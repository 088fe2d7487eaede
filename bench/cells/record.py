"""A record: what became of one cell, as JSON with its own checksum, and its arrays."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

import numpy as np

from bench.cells.json_files import typed_value
from bench.errors import InputError
from causalrec.methods.canonical import digest, plain

SCHEMA = 2
Status = Literal["ok", "failed", "timed_out", "out_of_memory"]


class OtherSchema(InputError):
    """Another version of the suite wrote the record, under other keys."""


@dataclass(frozen=True)
class Record:
    """What became of one cell.

    Args:
        key: the cell's key.
        cell: the fields that the key is the hash of (`Cell.fields`).
        status: "ok", or how the cell failed.
        metrics: finite numbers, texts, booleans, lists and dicts of them; None for an undefined metric.
        wall_s: seconds, without those of an interrupted attempt that this one resumed; likewise `cpu_s`.
        cpu_s: CPU seconds of the cell and of processes that it waited for.
        peak_memory_mb: highest resident size in MiB while the cell ran, libraries included; None if unknown.
        error: type, message and traceback of a failure.
        provenance: see `bench.cells.provenance`.
        arrays_sha256: hash of the `.npz` beside the record; None without arrays.
        schema: version of this form.
    """

    key: str
    cell: dict[str, Any]
    status: Status
    metrics: dict[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float | None = None
    error: dict[str, str] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    arrays_sha256: str | None = None
    schema: int = SCHEMA

    @property
    def ok(self) -> bool:
        """Whether the cell has a result."""
        return self.status == "ok"

    @property
    def params(self) -> dict[str, Any]:
        """The cell's parameters."""
        return cast("dict[str, Any]", self.cell["params"])


def encode(record: Record) -> tuple[Record, str]:
    """The record as its reader will see it, and its JSON text with a checksum.

    Args:
        record: what to write.

    Raises:
        InputError: a metric that is not finite JSON data, or a field of another type.
    """
    body = cast("dict[str, Any]", plain(vars(record), "record"))
    return _checked(body), json.dumps(body | {"sha256": digest(body)}, indent=1, sort_keys=True)


def decode(text: bytes, key: str) -> Record:
    """The record in a JSON text.

    Args:
        text: what `encode` made.
        key: the key that its file's name gives.

    Raises:
        OtherSchema: another version of the suite wrote it.
        InputError: a wrong checksum or type, or a key that is not the hash of the record's own cell fields.
        ValueError, RecursionError: no JSON, or nested too deep.
    """
    body = json.loads(text)
    if not isinstance(body, dict) or _digest({k: v for k, v in body.items() if k != "sha256"}) != body.get("sha256"):
        raise InputError("the checksum does not match")
    del body["sha256"]
    if body.get("schema") != SCHEMA:
        raise OtherSchema(f"schema {body.get('schema')} where {SCHEMA} is expected")
    if set(body) != {entry.name for entry in fields(Record)}:
        raise InputError("its fields are not those of a record")
    record = _checked(body)
    if not record.key == key == _digest(record.cell):
        raise InputError("the key is not the hash of the record's own cell fields")
    return record


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an uncompressed `.npz`: the same bytes for the same arrays, since no date is in them.

    Args:
        arrays: by name; numbers, booleans or fixed strings.

    Raises:
        InputError: an array of Python objects.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            if np.asarray(array).dtype.hasobject:
                raise InputError(f"array {name!r} holds Python objects; give numbers, booleans or fixed strings")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def unpack(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays in what `pack` made; no more is unpacked than there are bytes.

    Args:
        packed: the bytes. Others raise one of many errors.
    """
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if sum(member.file_size for member in archive.infolist()) > len(packed):
            raise InputError("its members are larger than the file")
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _checked(body: dict[str, Any]) -> Record:
    """The record of these fields; InputError if one is of another type."""
    record = typed_value(body, Record)
    cell, error = record.cell, record.error
    if type(cell.get("runner")) is not str or type(cell.get("params")) is not dict:
        raise InputError("cell lacks a runner or params")
    if error is not None and not {"type", "message"} <= error.keys():
        raise InputError("error lacks a type or a message")
    return record


def _digest(parsed: object) -> str:
    """`causalrec.methods.canonical.digest` of parsed JSON, which is plain already; ValueError for NaN and infinity."""
    return hashlib.sha256(
        json.dumps(parsed, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()
