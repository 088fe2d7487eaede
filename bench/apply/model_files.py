"""A trained recommender as files: safetensors and JSON alone, checked in full before anything of them is used.

    model.safetensors    the parameters
    users.safetensors    what of each user training saw, as hashes: nobody's actions can be read off
    model.json           the model's name and options, the items in order, data, training, figures, versions

`model.json` is written last and holds the hashes of the other two, so that a reader sees all of a model or none.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.cells.files import write_json, write_whole
from bench.cells.json_files import read_object, short, take
from bench.datasets import REPEATS, file_sha256
from bench.errors import INPUT_ERRORS, InputError
from bench.methods.fit import SPLITS
from bench.methods.options import build
from bench.methods.recommenders import SAVED
from causalrec.interactions import Ints, Sequences, Split
from causalrec.recommender import Recommender

FORMAT = "causalrec-bench model 1"
PARAMETERS, USERS, DESCRIPTION = "model.safetensors", "users.safetensors", "model.json"
LARGEST_JSON, LARGEST_SIZE = 1 << 28, 1 << 20
SEEN = ("kept", "filtered")


@dataclass(frozen=True)
class DataOptions:
    """How data is read, prepared and split: columns of a user's own file, repeats, cores, split."""

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


@dataclass(frozen=True, eq=False)
class Trained:
    """What training and early stopping saw of each user: user and row hashes and lengths, each (users,) int64."""

    user: Ints
    length: Ints
    row: Ints

    @classmethod
    def of(cls, sequences: Sequences, split: Split) -> "Trained":
        """Every user's training row, and where the user validates the item that follows it."""
        length = split.train.lengths().copy()
        length[split.validation.users] += 1
        items = _label_hashes(sequences.item_labels)
        rows = [_row_hash(items, sequences.row(user)[: length[user]]) for user in range(len(sequences))]
        return cls(_label_hashes(sequences.user_labels), length, np.array(rows, dtype=np.int64))

    def judge(self, sequences: Sequences, users: Ints, position: Ints) -> tuple[Ints, Ints]:
        """Which of the actions at `position` in the rows `users` may be asked: two boolean-like int64 (asked,).

        The first is 1 where training saw the user; the second is 1 where nothing that is asked was seen: the user is
        new, or the row begins with all that training saw of it and the action comes after that.
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
    """A model read from its files, on its device and in evaluation mode. seen: the rule that validation ranked by.

    dataset, file: the names of what it was trained on, of which nothing is opened.
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
    """Write a model's files into `folder`; `about` is the rest of `model.json`. Raises InputError where it cannot."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    users = {key: torch.from_numpy(array) for key, array in vars(trained).items()}
    write_whole(folder / PARAMETERS, lambda path: save_file(tensors, path))
    write_whole(folder / USERS, lambda path: save_file(users, path))
    hashes = {file: file_sha256(folder / file) for file in (PARAMETERS, USERS)}
    head = {"format": FORMAT, "model": name, "options": asdict(model.options), "sha256": hashes}
    write_json(folder / DESCRIPTION, head | dict(about) | {"items": items})


def load(folder: Path, device: str) -> Saved:
    """Read a model's files; raises InputError that names file and fault for whatever does not fit."""
    path = folder / DESCRIPTION
    told = read_json(path)
    if told.get("format") != FORMAT:
        raise InputError(f"{path}: format is {short(told.get('format'))}; expected {FORMAT!r}")
    name = take(path, told, "model", str)
    if name not in SAVED:
        raise InputError(f"{path}: model {short(name)} is unknown; expected one of {', '.join(SAVED)}")
    items = _labels(path, take(path, told, "items", list))
    data = build(DataOptions, take(path, told, "preparation", dict), f"{path}: preparation")
    seen = take(path, told, "seen", str)
    if seen not in SEEN:
        raise InputError(f"{path}: seen is {short(seen)}; expected one of {', '.join(SEEN)}")
    for part in (PARAMETERS, USERS):
        if take(path, told, "sha256", dict).get(part) != file_sha256(_regular(folder / part)):
            raise InputError(f"{folder / part} is not the file that {path} was written with; get both again")
    model = _build(path, name, take(path, told, "options", dict), len(items), folder / PARAMETERS, device)
    content, dataset, file = (take(path, told, key, str) for key in ("content_hash", "dataset", "file"))
    return Saved(name, model, items, data, seen, content, dataset, file, _read_trained(folder / USERS))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises InputError for anything else."""
    return read_object(_regular(path), LARGEST_JSON, "a model's description")


def _build(
    path: Path, name: str, given: dict[str, Any], num_items: int, parameters: Path, device: str
) -> Recommender:
    """The model of these options with the file's parameters, whose shapes are compared before memory is taken."""
    kind, options_of = SAVED[name].kind, SAVED[name].options_of
    options = build(options_of, given, f"{path}: options")
    if options.items != num_items:
        raise InputError(f"{path}: options say {options.items} items and there are {num_items} item ids")
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
    model = kind(options, torch.Generator(), device)
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


def _labels(path: Path, given: list[Any]) -> tuple[str, ...]:
    if not given or not all(type(label) is str for label in given) or len(set(given)) != len(given):
        raise InputError(f"{path}: items must be different texts, at least one")
    return tuple(given)


def _label_hashes(labels: tuple[str, ...]) -> Ints:
    """The first 8 bytes of each label's SHA-256: (labels,) int64."""
    parts = [hashlib.sha256(label.encode(errors="surrogatepass")).digest()[:8] for label in labels]
    return np.frombuffer(b"".join(parts), dtype="<i8").astype(np.int64)


def _row_hash(item_hashes: Ints, row: Ints) -> int:
    """The first 8 bytes of the SHA-256 of a row's item labels, by their hashes."""
    digest = hashlib.sha256(item_hashes[row - 1].astype("<i8").tobytes()).digest()
    return int(np.frombuffer(digest[:8], dtype="<i8")[0])
