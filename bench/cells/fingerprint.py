"""A fingerprint of the code that makes a cell's result."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bench.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


FIRST_PARTY = ("synth", "causalrec", "bench")


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
