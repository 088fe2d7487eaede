"""A trained recommender as files: safetensors and JSON alone, checked in full before anything of them is used.

    model.safetensors    the parameters
    users.safetensors    what of each user training saw, as hashes: nobody's actions can be read off
    model.json           the model's name and options, the items in order, data, training, figures, versions

`model.json` is written last and holds the hashes of the other two, so that a reader sees all of a model or none.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from bench.cells.files import write_file, write_json
from bench.cells.json_files import read_object
from bench.datasets.load import REPEATS, file_sha256
from bench.errors import INPUT_ERRORS, InputError
from bench.methods.options import build
from bench.methods.recommenders import SAVED
from bench.text import short
from causalrec.interactions import Ints, Sequences, Split
from causalrec.methods.fit import SPLITS
from causalrec.recommender import Recommender

FORMAT = "causalrec-bench model 1"
PARAMETERS, USERS, DESCRIPTION = "model.safetensors", "users.safetensors", "model.json"
LARGEST_JSON, LARGEST_SIZE = 1 << 28, 1 << 20
SEEN = ("kept", "filtered")


@dataclass(frozen=True)
class DataOptions:
    """How data is read, prepared and split.

    Args:
        user: Column of users in a user's own file.
        item: Column of items in a user's own file.
        time: Column of times in a user's own file; None where file order is time order.
        repeats: "kept" or "dropped".
        user_core: Fewest actions of a user.
        item_core: Fewest actions on an item.
        split: One of `SPLITS`.
    """

    user: str
    item: str
    time: str | None
    repeats: str
    user_core: int
    item_core: int
    split: str

    def __post_init__(self) -> None:
        if self.repeats not in REPEATS or self.split not in SPLITS or min(self.user_core, self.item_core) < 1:
            raise InputError(f"expected repeats of {REPEATS}, a split of {SPLITS} and cores of at least 1, got {self}")


@dataclass(frozen=True)
class _Description:
    """What of `model.json` is read again."""

    format: str
    model: str
    options: dict[str, Any]
    sha256: dict[str, Any]
    preparation: DataOptions
    seen: str
    content_hash: str
    dataset: str
    file: str
    items: list[Any]


@dataclass(frozen=True, eq=False)
class Trained:
    """What training and early stopping saw of each user.

    Args:
        user: Hash of the user's label, (users,) int64.
        length: How many of the user's first actions were seen, (users,) int64.
        row: Hash of the labels of their items, (users,) int64.
    """

    user: Ints
    length: Ints
    row: Ints

    @classmethod
    def of(cls, sequences: Sequences, split: Split) -> "Trained":
        """Every user's training row, and where the user validates the item that follows it.

        Args:
            sequences: The rows of all users, whole.
            split: The split of them that was trained on.
        """
        length = split.train.lengths().copy()
        length[split.validation.users] += 1
        items = _label_hashes(sequences.item_labels)
        rows = [_row_hash(items, sequences.row(user)[: length[user]]) for user in range(len(sequences))]
        return cls(_label_hashes(sequences.user_labels), length, np.array(rows, dtype=np.int64))

    def judge(self, sequences: Sequences, users: Ints, position: Ints) -> tuple[Ints, Ints]:
        """Return (known, clean) flags for each asked action, both (asked,) int64 of 0 and 1.

        known: training saw the user. clean: training saw nothing that is asked, since the user is new, or the row
        begins with all that training saw of it and the action comes after that.

        Args:
            sequences: Rows of users, whole.
            users: The row of each asked action, (asked,).
            position: Its place in that row, (asked,).
        """
        place = {user: k for k, user in enumerate(self.user.tolist())}
        items, labels = _label_hashes(sequences.item_labels), _label_hashes(sequences.user_labels)
        known, clean = np.zeros((2, len(users)), dtype=np.int64)
        for k, (user, at) in enumerate(zip(users.tolist(), position.tolist(), strict=True)):
            found = place.get(int(labels[user]))
            known[k] = found is not None
            clean[k] = found is None or (
                at >= self.length[found] >= 0
                and _row_hash(items, sequences.row(user)[: self.length[found]]) == self.row[found]
            )
        return known, clean


@dataclass(frozen=True, eq=False)
class Saved:
    """A model read from its files.

    Args:
        name: One of `SAVED`.
        model: On its device and in evaluation mode.
        items: Label of each item, in the model's order.
        data: How the data was prepared that it was trained on.
        seen: The rule for seen items that validation ranked by, one of `SEEN`.
        content_hash: Of the sequences that it was trained on.
        dataset: Name of the data that it was trained on.
        file: File of that data, of which nothing is opened.
        trained: What training saw of each user.
    """

    name: str
    model: Recommender
    items: tuple[str, ...]
    data: DataOptions
    seen: str
    content_hash: str
    dataset: str
    file: str
    trained: Trained


def save(
    folder: Path, name: str, model: Recommender, items: tuple[str, ...], trained: Trained, about: Mapping[str, Any]
) -> None:
    """Write a model's files.

    Args:
        folder: Where to.
        name: One of `SAVED`.
        model: The model.
        items: Label of each item, in the model's order.
        trained: What training saw of each user.
        about: The rest of `model.json`.

    Raises:
        InputError: A file cannot be written.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    users = {key: torch.from_numpy(array) for key, array in vars(trained).items()}
    contents = {PARAMETERS: to_bytes(tensors), USERS: to_bytes(users)}
    for file, content in contents.items():
        write_file(folder / file, content)
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    head = {"format": FORMAT, "model": name, "options": asdict(model.options), "sha256": hashes}
    write_json(folder / DESCRIPTION, head | dict(about) | {"items": items})


def load(folder: Path, device: str) -> Saved:
    """Read a model's files.

    Args:
        folder: Where `save` wrote them.
        device: "cpu" or "cuda".

    Raises:
        InputError: A file does not fit; the message names file and fault.
    """
    path = folder / DESCRIPTION
    found = read_json(path)
    if found.get("format") != FORMAT:
        raise InputError(f"{path}: format is {short(found.get('format'))}; expected {FORMAT!r}")
    kept = {field.name: found[field.name] for field in fields(_Description) if field.name in found}
    told = build(_Description, kept, f"{path}: description")
    for what, value, valid in (("model", told.model, SAVED), ("seen", told.seen, SEEN)):
        if value not in valid:
            raise InputError(f"{path}: {what} {short(value)} is unknown; expected one of {', '.join(valid)}")
    items = told.items
    if not items or not all(type(label) is str for label in items) or len(set(items)) != len(items):
        raise InputError(f"{path}: items must be different texts, at least one")
    for part in (PARAMETERS, USERS):
        if told.sha256.get(part) != file_sha256(_regular(folder / part)):
            raise InputError(f"{folder / part} is not the file that {path} was written with; get both again")
    model = _build(path, told, folder / PARAMETERS, device)
    return Saved(
        told.model, model, tuple(items), told.preparation, told.seen, told.content_hash, told.dataset, told.file,
        _read_trained(folder / USERS),
    )  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Args:
        path: The file.

    Raises:
        InputError: It is no such file.
    """
    return read_object(_regular(path), LARGEST_JSON, "a model's description")


def _build(path: Path, told: _Description, parameters: Path, device: str) -> Recommender:
    """The model of these options with the file's parameters, whose shapes are compared before memory is taken."""
    kind, options_of = SAVED[told.model].kind, SAVED[told.model].options_of
    options = build(options_of, told.options, f"{path}: options")
    if options.items != len(told.items):
        raise InputError(f"{path}: options say {options.items} items and there are {len(told.items)} item ids")
    with _open(parameters) as file:
        held = set(file.keys())
        sizes = [value for key, value in asdict(options).items() if type(value) is int and key != "items"]
        if max(sizes) > LARGEST_SIZE or getattr(options, "layers", 1) > len(held):
            raise InputError(f"{path}: options ask for more than {parameters} holds")
        try:
            expected = kind(options, torch.Generator(), "meta").state_dict()
        except (RuntimeError, ValueError, OverflowError) as error:
            if isinstance(error, INPUT_ERRORS):
                raise
            raise InputError(f"{path}: these options make no model ({' '.join(str(error).split())[:200]})") from error
        if held != set(expected):
            odd = ", ".join(sorted(held ^ set(expected))[:5])
            raise InputError(f"{parameters}: tensors are missing or too many: {short(odd)}")
        for key, tensor in expected.items():
            part = file.get_slice(key)
            if tuple(part.get_shape()) != tuple(tensor.shape):
                raise InputError(f"{parameters}: {key} has shape {part.get_shape()}; expected {list(tensor.shape)}")
        tensors = {key: file.get_tensor(key) for key in expected}
    for key, tensor in tensors.items():
        if tensor.dtype != expected[key].dtype or bool(tensor.isnan().any()):
            raise InputError(f"{parameters}: {key} must be numbers of {expected[key].dtype}")
    model: Recommender = kind(options, torch.Generator(), device)
    model.load_state_dict(tensors)
    return model.eval()


def _read_trained(path: Path) -> Trained:
    with _open(path) as file:
        if set(file.keys()) != {"user", "length", "row"}:
            raise InputError(f"{path}: expected the tensors user, length and row")
        arrays: dict[str, Tensor] = {key: file.get_tensor(key) for key in ("user", "length", "row")}
    shapes = {tuple(tensor.shape) for tensor in arrays.values()}
    if {tensor.dtype for tensor in arrays.values()} != {torch.int64} or len(shapes) > 1 or len(shapes.pop()) != 1:
        raise InputError(f"{path}: user, length and row must be int64 of one length")
    return Trained(**{key: tensor.numpy().copy() for key, tensor in arrays.items()})


def _open(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error


def _regular(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name the folder that `train` wrote with --out")
    return path


def _label_hashes(labels: tuple[str, ...]) -> Ints:
    """The first 8 bytes of each label's SHA-256: (labels,) int64."""
    parts = [hashlib.sha256(label.encode(errors="surrogatepass")).digest()[:8] for label in labels]
    return np.frombuffer(b"".join(parts), dtype="<i8").astype(np.int64)


def _row_hash(item_hashes: Ints, row: Ints) -> int:
    """The first 8 bytes of the SHA-256 of a row's item labels, by their hashes."""
    digest = hashlib.sha256(item_hashes[row - 1].astype("<i8").tobytes()).digest()
    return int(np.frombuffer(digest[:8], dtype="<i8")[0])
