"""A trained recommender as files: safetensors and JSON alone, checked in full before anything of them is used.

    model.safetensors        the parameters
    users.safetensors        what of each user training saw, as hashes: nobody's actions can be read off
    histories.safetensors    all actions, if they were saved as well: who is recommended to without new data
    model.json               the model's name and options, the items in order, data, training, figures, versions

`model.json` is written last and holds the hashes of the others, so that a reader sees all of a model or none.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from scipy.sparse import csr_array
from torch import Tensor

from causalrec.checkpoints import open_tensors
from causalrec.errors import InputError, short
from causalrec.interactions import Ints, Sequences, Split
from causalrec.methods.files import file_sha256, json_bytes, read_object, write_whole
from causalrec.methods.fit import REPEATS, SPLITS, plain_options
from causalrec.methods.options import build
from causalrec.methods.recommenders import OFFERED
from causalrec.ranking import Scorer
from causalrec.recommender import Recommender
from causalrec.rivals.fpmc import FPMC
from causalrec.rivals.markov import Markov
from causalrec.training import make_scorer

FORMAT = "causalrec-repro model 1"
PARAMETERS, USERS, DESCRIPTION = "model.safetensors", "users.safetensors", "model.json"
HISTORIES = "histories.safetensors"
LARGEST_JSON, LARGEST_SIZE = 1 << 28, 1 << 20
SEEN = ("kept", "filtered")


@dataclass(frozen=True)
class DataOptions:
    """How data is read, prepared and split.

    Args:
        user: Column of users in a user's own file; None: to be found.
        item: Column of items in a user's own file; None: to be found.
        time: Column of times in a user's own file, "none" where file order is time order; None: to be found.
        repeats: "kept" or "dropped".
        user_core: Fewest actions of a user.
        item_core: Fewest actions on an item.
        split: One of `SPLITS`.
        format: Of a user's own file, as the command `train` has it; None (default): to be found.
        delimiter: Of a user's own file, as the command `train` has it; None (default): to be found.
    """

    user: str | None
    item: str | None
    time: str | None
    repeats: str
    user_core: int
    item_core: int
    split: str
    format: str | None = None
    delimiter: str | None = None

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
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    ids: dict[str, Any] = field(default_factory=dict)


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
        name: One of `OFFERED`.
        model: A `Recommender` on its device and in evaluation mode, or another scorer.
        options: Of the model, as JSON data.
        items: Label of each item, in the model's order.
        data: How the data was prepared that it was trained on.
        seen: The rule for seen items that validation ranked by, one of `SEEN`.
        content_hash: Of the sequences that it was trained on.
        dataset: Name of the data that it was trained on.
        file: File of that data, of which nothing is opened.
        trained: What training saw of each user.
        training: Options of the training, as JSON data.
        seed: Root seed of the training.
        ids: Types of the ids of users and items, by "user" and "item", where they were no texts.
        histories: All actions of the users that it was trained on; None if they were not saved.
    """

    name: str
    model: Any
    options: Mapping[str, Any]
    items: tuple[str, ...]
    data: DataOptions
    seen: str
    content_hash: str
    dataset: str
    file: str
    trained: Trained
    training: Mapping[str, Any]
    seed: int
    ids: Mapping[str, Any]
    histories: Sequences | None

    @property
    def score(self) -> Scorer:
        """The model as a scorer."""
        return scorer_of(self.model)


def scorer_of(model: Any) -> Scorer:
    """A trained model as a scorer.

    Args:
        model: A `Recommender`, or what is a scorer itself.
    """
    return make_scorer(model) if isinstance(model, Recommender) else model


def save(
    folder: Path,
    name: str,
    model: Any,
    items: tuple[str, ...],
    trained: Trained,
    about: Mapping[str, Any],
    histories: Sequences | None = None,
) -> None:
    """Write a model's files.

    Args:
        folder: Where to.
        name: One of `OFFERED`.
        model: A `Recommender`, or an object of another class of `OFFERED`.
        items: Label of each item, in the model's order.
        trained: What training saw of each user.
        about: The rest of `model.json`; of a model that is no `Recommender`, it holds its options.
        histories: All actions of all users. Default None: they are not written.

    Raises:
        InputError: A file cannot be written.
    """
    parts = {PARAMETERS: _state(model), USERS: {key: torch.from_numpy(array) for key, array in vars(trained).items()}}
    if histories is not None:
        parts[HISTORIES] = _history_tensors(histories)
    contents = {file: to_bytes(tensors) for file, tensors in parts.items()}
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    own = {"options": asdict(model.options)} if isinstance(model, Recommender) else {}
    head = {"format": FORMAT, "model": name, **own, "sha256": hashes}
    contents[DESCRIPTION] = json_bytes(head | dict(about) | {"items": items})
    for file, content in contents.items():
        try:
            write_whole(folder / file, content)
        except OSError as error:
            raise InputError(
                f"{folder / file}: cannot be written ({error.strerror or error}); choose another place, free space or "
                "fix its permissions"
            ) from error
    if histories is None:
        (folder / HISTORIES).unlink(missing_ok=True)


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
    for what, value, valid in (("model", told.model, OFFERED), ("seen", told.seen, SEEN)):
        if value not in valid:
            raise InputError(f"{path}: {what} {short(value)} is unknown; expected one of {', '.join(valid)}")
    items = told.items
    if not items or not all(type(label) is str for label in items) or len(set(items)) != len(items):
        raise InputError(f"{path}: items must be different texts, at least one")
    for part in (PARAMETERS, USERS, *((HISTORIES,) if HISTORIES in told.sha256 else ())):
        if told.sha256.get(part) != file_sha256(_regular(folder / part)):
            raise InputError(f"{folder / part} is not the file that {path} was written with; get both again")
    neural = issubclass(OFFERED[told.model].kind, Recommender)
    model = (_build if neural else _build_counted)(path, told, folder / PARAMETERS, device)
    labels = tuple(items)
    return Saved(
        told.model, model, told.options, labels, told.preparation, told.seen, told.content_hash, told.dataset,
        told.file, _read_trained(folder / USERS), told.training, told.seed, told.ids,
        _read_histories(folder / HISTORIES, labels) if HISTORIES in told.sha256 else None,
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
    kind, options_of = OFFERED[told.model].kind, OFFERED[told.model].options_of
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
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: these options make no model ({' '.join(str(error).split())[:200]})") from error
        tensors = _tensors(parameters, file, {key: (tuple(t.shape), t.dtype) for key, t in expected.items()})
    model: Recommender = kind(options, torch.Generator(), device)
    model.load_state_dict(tensors)
    return model.eval()


def _tensors(path: Path, file: Any, expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> dict[str, Tensor]:
    """The tensors of an open file, whose shapes, where -1 is any number, are compared before memory is taken."""
    held = set(file.keys())
    if held != set(expected):
        odd = ", ".join(sorted(held ^ set(expected))[:5])
        raise InputError(f"{path}: tensors are missing or too many: {short(odd)}")
    for key, (wanted, _) in expected.items():
        shape = file.get_slice(key).get_shape()
        if len(shape) != len(wanted) or any(w not in (-1, s) for s, w in zip(shape, wanted, strict=True)):
            raise InputError(f"{path}: {key} has shape {list(shape)}; expected {list(wanted)}")
    tensors = {key: file.get_tensor(key) for key in expected}
    for key, (_, dtype) in expected.items():
        if tensors[key].dtype != dtype or bool(tensors[key].isnan().any()):
            raise InputError(f"{path}: {key} must be numbers of {dtype}")
    return tensors


# Models that are counted or solved, not trained step by step: what they keep beside their options, and its shape as a
# function of the number of items.
KEPT: Mapping[str, Callable[[int], dict[str, tuple[tuple[int, ...], torch.dtype]]]] = {
    "popularity": lambda n: {"counts": ((n,), torch.float32)},
    "item_knn": lambda n: {"similarity": ((n, n), torch.float32)},
    "ease": lambda n: {"weights": ((n, n), torch.float32)},
    "tale": lambda n: {"weights": ((n, n), torch.float32)},
    "markov": lambda n: {
        "total": ((n,), torch.float64), "popularity": ((n,), torch.float64),
        "data": ((-1,), torch.float64), "indices": ((-1,), torch.int64), "indptr": ((n + 1,), torch.int64),
    },
    "fpmc": lambda n: {
        "user": ((-1, -1), torch.float32), "last": ((n + 1, -1), torch.float32), "item": ((n, -1), torch.float32),
        "rows": ((-1,), torch.int64), "labels": ((-1,), torch.uint8),
    },
}  # fmt: skip


def _state(model: Any) -> dict[str, Tensor]:
    """What a model keeps, as tensors by name."""
    if isinstance(model, Recommender):
        return {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    held = dict(vars(model))
    if isinstance(model, Markov):
        following = model.following
        held |= {key: getattr(following, key) for key in ("data", "indices", "indptr")}
        held |= {key: held[key].astype(np.int64) for key in ("indices", "indptr")}
    if isinstance(model, FPMC):
        held |= {"rows": np.array(list(model.rows.values()), dtype=np.int64), "labels": _text(list(model.rows))}
    name = next(name for name, entry in OFFERED.items() if entry.kind is type(model))
    return {key: torch.as_tensor(held[key]).contiguous() for key in KEPT[name](1)}


def _build_counted(path: Path, told: _Description, parameters: Path, device: str) -> Any:  # noqa: ARG001, on the CPU
    """The model of these options with what the file keeps of it."""
    entry, n = OFFERED[told.model], len(told.items)
    if entry.options_of is None:
        options: Any = plain_options(entry, told.options, f"{path}: options")
    else:
        options = build(entry.options_of, told.options, f"{path}: options")
    with _open(parameters) as file:
        tensors = _tensors(parameters, file, KEPT[told.model](n))
    model = object.__new__(entry.kind)
    if entry.kind is FPMC:
        labels = _texts(parameters, tensors.pop("labels"))
        rows, width = tensors.pop("rows").tolist(), options.width
        users = len(tensors["user"])
        if len(rows) != len(labels) or not all(0 < row < users for row in rows):
            raise InputError(f"{parameters}: rows and labels must be as many, and rows those of user")
        if {tensors[key].shape[1] for key in ("user", "last")} | {tensors["item"].shape[1] // 2} != {width}:
            raise InputError(f"{parameters}: the factors must have the width of {path}, {width}")
        vars(model).update(tensors, options=options, rows=dict(zip(labels, rows, strict=True)))
        return model
    arrays: dict[str, Any] = {key: tensor.numpy().copy() for key, tensor in tensors.items()}
    if entry.kind is Markov:
        try:
            data, indices, indptr = (arrays.pop(key) for key in ("data", "indices", "indptr"))
            arrays["following"] = csr_array((data, indices, indptr), shape=(n, n))
            arrays["following"].check_format(full_check=True)
        except (ValueError, IndexError) as error:
            raise InputError(f"{parameters}: data, indices and indptr are no sparse matrix ({error})") from error
    elif told.model == "popularity":
        arrays["counts"] = tensors["counts"]
    elif told.model == "item_knn":  # in the order of columns that it is made in, so that sums round the same
        arrays["similarity"] = np.asfortranarray(arrays["similarity"])
    vars(model).update(arrays, **options)
    return model


def _history_tensors(histories: Sequences) -> dict[str, Tensor]:
    unit = np.array([histories.per_second])
    found: dict[str, Any] = {"items": histories.items, "offsets": histories.offsets, "per_second": unit}
    if histories.times is not None:
        found["times"] = histories.times
    return {key: torch.from_numpy(array) for key, array in found.items()} | {
        "users": torch.as_tensor(_text(list(histories.user_labels)))
    }


def _read_histories(path: Path, items: tuple[str, ...]) -> Sequences:
    with _open(path) as file:
        timed = "times" in file.keys()  # noqa: SIM118, no mapping
        whole = ((-1,), torch.int64)
        expected = {"items": whole, "offsets": whole, "users": ((-1,), torch.uint8), "per_second": ((1,), torch.int64)}
        if timed:
            expected["times"] = ((-1,), torch.float64 if file.get_slice("times").get_dtype() == "F64" else torch.int64)
        tensors = _tensors(path, file, expected)
    arrays = {key: tensor.numpy().copy() for key, tensor in tensors.items() if key != "users"}
    if (unit := int(arrays["per_second"][0])) < 1:
        raise InputError(f"{path}: per_second is {unit}; expected 1 or more")
    try:
        return Sequences(
            arrays["items"], arrays["offsets"], arrays.get("times"), len(items), _texts(path, tensors["users"]), items,
            per_second=unit,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _text(labels: list[str]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Labels as the bytes of their JSON, which escapes whatever UTF-8 cannot hold."""
    return np.frombuffer(json.dumps(labels).encode(), dtype=np.uint8).copy()


def _texts(path: Path, text: Tensor) -> tuple[str, ...]:
    try:
        labels = json.loads(text.numpy().tobytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: labels cannot be read as JSON ({error})") from error
    if not isinstance(labels, list) or {type(label) for label in labels} - {str} or len(set(labels)) < len(labels):
        raise InputError(f"{path}: labels must be different texts")
    return tuple(labels)


def _read_trained(path: Path) -> Trained:
    with _open(path) as file:
        if set(file.keys()) != {"user", "length", "row"}:
            raise InputError(f"{path}: expected the tensors user, length and row")
        arrays: dict[str, Tensor] = {key: file.get_tensor(key) for key in ("user", "length", "row")}
    shapes = {tuple(tensor.shape) for tensor in arrays.values()}
    if {tensor.dtype for tensor in arrays.values()} != {torch.int64} or len(shapes) > 1 or len(shapes.pop()) != 1:
        raise InputError(f"{path}: user, length and row must be int64 of one length")
    return Trained(**{key: tensor.numpy().copy() for key, tensor in arrays.items()})


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_tensors(path))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
        yield file


def _regular(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name the folder that `train` wrote with --out, or `save`")
    return path


def _label_hashes(labels: tuple[str, ...]) -> Ints:
    """The first 8 bytes of each label's SHA-256: (labels,) int64."""
    parts = [hashlib.sha256(label.encode(errors="surrogatepass")).digest()[:8] for label in labels]
    return np.frombuffer(b"".join(parts), dtype="<i8").astype(np.int64)


def _row_hash(item_hashes: Ints, row: Ints) -> int:
    """The first 8 bytes of the SHA-256 of a row's item labels, by their hashes."""
    digest = hashlib.sha256(item_hashes[row - 1].astype("<i8").tobytes()).digest()
    return int(np.frombuffer(digest[:8], dtype="<i8")[0])
