"""A cell: one typed piece of work, its canonical form, its key, and the random streams derived from named axes.

A key is made from values, not from spellings: the order of the parameters, the shape of a container (tuple or
list) and the scheduling fields (cost, timeout, label) leave it alone; the type of a number does not (1 is not 1.0).
"""

import ast
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bench.errors import InputError

if TYPE_CHECKING:
    import torch

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

ROOT = Path(__file__).resolve().parents[1]
FIRST_PARTY = ("synth", "causalrec", "bench")


def plain(value: object, where: str = "params") -> Json:
    """`value` as fresh JSON data: numpy scalars become Python's, tuples lists, mappings dicts.

    Raises:
        InputError: NaN or infinity, a key that is not a string, or a type without a canonical form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value  # type: ignore[return-value]
    if type(value) is float:
        if not math.isfinite(value):
            raise InputError(f"{where} is {value}; give a finite number, or None for what is undefined")
        return value
    if isinstance(value, list | tuple):
        return [plain(entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise InputError(f"{where} has the key {key!r} of type {type(key).__name__}; keys must be str")
        return {key: plain(entry, f"{where}.{key}") for key, entry in value.items()}
    raise InputError(
        f"{where} is of type {type(value).__name__}; give None, bool, int, float, str, or lists and dicts of them"
    )


def canonical(params: object, where: str = "params") -> str:
    """The one JSON text of a value: keys sorted, no spaces, ASCII, floats by `repr`, integers kept integers.

    Raises:
        InputError: as `plain`.
    """
    return json.dumps(plain(params, where), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value, "value").encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work; equal cells have equal keys.

    Args:
        experiment: name under which the worker finds what to run.
        params: typed parameters; copied into plain JSON data.
        code: first-party modules whose source, with all they import, makes the result.
        data: content hash of the dataset, or None.
        dtype, device, threads: of the number that matters; of the device only its kind (`cuda:1` is `cuda`) counts.
        cost: expected seconds; timeout: seconds after which the cell is stopped; label: for people. Not in the key.

    Raises:
        InputError: a value without canonical form, threads < 1, or a cost or timeout that is not positive.
    """

    experiment: str
    params: Mapping[str, Any]
    code: tuple[str, ...]
    data: str | None = None
    dtype: str = "float64"
    device: str = "cpu"
    threads: int = 1
    cost: float = 1.0
    timeout: float = 600.0
    label: str = ""

    def __post_init__(self) -> None:
        where = f"cell {self.experiment!r}"
        if not isinstance(self.params, Mapping):
            raise InputError(f"{where}: params is a {type(self.params).__name__}; give a mapping")
        object.__setattr__(self, "params", plain(self.params, f"{where} params"))
        if self.threads < 1:
            raise InputError(f"{where}: threads is {self.threads}; give at least 1")
        if not (self.cost > 0 and self.timeout > 0):
            raise InputError(f"{where}: cost {self.cost} and timeout {self.timeout} must be positive seconds")

    @cached_property
    def fields(self) -> dict[str, Json]:
        """What the key is made of, as plain data."""
        return {
            "experiment": self.experiment,
            "params": plain(self.params),
            "data": self.data,
            "dtype": self.dtype,
            "device": self.device.partition(":")[0],
            "threads": self.threads,
            "code": fingerprint(self.code),
        }

    @cached_property
    def key(self) -> str:
        """SHA-256 (64 hex digits) of the canonical JSON of `fields`."""
        return digest(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __getstate__(self) -> dict[str, Any]:
        """Without the key: whoever receives the cell makes it from the code it has itself."""
        return {name: value for name, value in self.__dict__.items() if name not in ("fields", "key")}


@dataclass(frozen=True)
class Outcome:
    """What a cell's function returns: finite metrics (None where undefined) and arrays that statistics need later."""

    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@cache
def fingerprint(modules: tuple[str, ...], root: Path = ROOT) -> str:
    """SHA-256 over the source of `modules` and of all first-party modules they import, directly or not.

    Imports are read from the source, module-level and inside functions alike; packages count with their
    `__init__.py`. A module imported by a computed name is not seen: name it in `modules`. Once computed it is kept
    for the life of the process.

    Raises:
        InputError: a module that is not first-party or does not exist, or whose source does not parse.
    """
    hasher = hashlib.sha256()
    for name, path in sorted(sources(modules, root).items()):
        source = path.read_bytes()
        hasher.update(f"{name}\0{len(source)}\0".encode() + source)
    return hasher.hexdigest()


def sources(modules: tuple[str, ...], root: Path = ROOT) -> dict[str, Path]:
    """The files that `fingerprint` hashes, by module; raises as it does."""
    closure: dict[str, Path] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in closure:
            continue
        path = _source(name, root)
        if path is None:
            raise InputError(f"module {name!r} is not in {root}; code names modules of {', '.join(FIRST_PARTY)}")
        closure[name] = path
        todo += _imported(name, path, root)
    return closure


def _source(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] not in FIRST_PARTY:
        return None
    stem = root.joinpath(*name.split("."))
    for path in (stem / "__init__.py", stem.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def _imported(name: str, path: Path, root: Path) -> tuple[str, ...]:
    """First-party modules that the source of module `name` imports, and its own package."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: does not parse as Python ({error.msg})") from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    named = {package, *_named_imports(tree, package)}
    return tuple(sorted(found for found in named - {name} if found and _source(found, root)))


def _named_imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def derive_seed(*, root: int, **axes: object) -> np.random.SeedSequence:
    """The seed of one named stream: a hash of the root seed and the named axes, whatever their order.

    A number thus depends on what it is for, never on which worker draws it or what was drawn before.

    Raises:
        InputError: an axis without canonical form.
    """
    return np.random.SeedSequence(int(digest({"root": root, "axes": axes}), 16))


def generator(*, root: int, **axes: object) -> np.random.Generator:
    """A numpy generator on the stream of `derive_seed`."""
    return np.random.default_rng(derive_seed(root=root, **axes))


def torch_generator(*, root: int, **axes: object) -> "torch.Generator":
    """A torch generator on the CPU, seeded with the first 63 bits of the stream's hash."""
    import torch

    return torch.Generator().manual_seed(int(digest({"root": root, "axes": axes})[:16], 16) >> 1)
