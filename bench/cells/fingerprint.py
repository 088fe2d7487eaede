"""A fingerprint of the code that can change a cell's numbers.

It is a hash of the syntax trees of the definitions (functions, classes, constants) that given ones reach, wherever they
stand. Comments, docstrings, annotations of arguments, module names and import paths are not in it, so that editing a
comment, moving a file or renaming a module leaves every key alone.

A table annotated `Registry[...]` is not followed: code looks an entry up by a name that stands in the cell's
parameters, and the cell names the definition behind that entry itself. So an edit of one entry leaves the others alone.
"""

import ast
import copy
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from bench.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
FIRST_PARTY = ("synth", "causalrec", "bench")
Place: TypeAlias = tuple[str, str]  # module and name of a definition; an empty name is the whole module


@cache
def fingerprint(code: tuple[str, ...], root: Path = ROOT) -> str:
    """SHA-256 (64 hex digits) of the definitions that `code` reaches; kept for the life of the process.

    Args:
        code: `module:name` of each definition to start from; `module` alone is all of its definitions.
        root: the folder that holds the first-party packages.

    Raises:
        InputError: a module that is not first-party or does not exist, a name that it does not define, or source that
            does not parse.
    """
    texts = sorted(_normalised(place, root)[0] for place in reach(code, root))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def reach(code: Iterable[str], root: Path = ROOT) -> set[Place]:
    """The definitions that `fingerprint` hashes.

    Args:
        code: as for `fingerprint`.
        root: as for `fingerprint`.

    Raises:
        InputError: as `fingerprint`.
    """
    todo = [_start(name, root) for name in code]
    found: set[Place] = set()
    while todo:
        place = todo.pop()
        if place in found:
            continue
        found.add(place)
        todo += _normalised(place, root)[1]
    return found


@dataclass(frozen=True, eq=False)
class _Module:
    """Top-level statements by the name that they bind, what imports bind, and statements that bind nothing."""

    package: str  # that its relative imports start from
    statements: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, Place] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


def _start(name: str, root: Path) -> Place:
    module, _, member = name.partition(":")
    if _path(module, root) is None:
        raise InputError(f"module {module!r} is not in {root}; code names definitions of {', '.join(FIRST_PARTY)}")
    place = _resolve((module, member), root)
    if place is None:
        raise InputError(f"module {module!r} defines no {member!r}; code names definitions as module:name")
    return place


def _path(module: str, root: Path) -> Path | None:
    if module.partition(".")[0] not in FIRST_PARTY:
        return None
    stem = root.joinpath(*module.split("."))
    return next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)


@cache
def _module(module: str, root: Path) -> _Module:
    path = _path(module, root)
    if path is None:
        raise InputError(f"module {module!r} is not in {root}")
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: does not parse as Python ({error.msg})") from error
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = _Module(package, imports=_imports(tree.body, package))
    for statement in tree.body:
        names = list(_bound(statement))
        if names:
            found.statements.update(dict.fromkeys(names, statement))
        elif not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_text(statement):
            found.effects.append(statement)
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _imports(body: list[ast.stmt], package: str) -> dict[str, Place]:
    """Modules and members that the statements' imports bind, by local name; others' too, since they hide ours."""
    found: dict[str, Place] = {}
    for node in (node for statement in body for node in _outside_definitions(statement)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                found[local] = (alias.name if alias.asname else local, "")
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package.split(".")[: -node.level + 1 or None], *filter(None, [node.module])])
            base = base if node.level else node.module or ""
            found |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
    return found


def _outside_definitions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for child in ast.iter_child_nodes(node):
            yield from _outside_definitions(child)


@cache
def _resolve(place: Place, root: Path) -> Place | None:
    """The place of the definition behind a name, through imports; None where it is not first-party."""
    module, name = place
    if _path(module, root) is None:
        return None
    if not name:
        return place
    held = _module(module, root)
    if name in held.statements:
        return place
    if name in held.imports:
        return _resolve(held.imports[name], root)
    return (f"{module}.{name}", "") if _path(f"{module}.{name}", root) else None


def _scope(place: Place, root: Path) -> dict[str, Place]:
    """What imports bind for a definition: those of its module and those within it."""
    held = _module(place[0], root)
    body = [node for node in ast.walk(held.statements[place[1]]) if isinstance(node, ast.Import | ast.ImportFrom)]
    return held.imports | _imports(list(body), held.package)


def _referred(node: ast.AST, scope: dict[str, Place], module: str, root: Path) -> Place | None:
    """The definition that a name, or an attribute of an imported module, stands for."""
    if isinstance(node, ast.Name):
        if node.id in scope:
            return _resolve(scope[node.id], root)
        return (module, node.id) if node.id in _module(module, root).statements else None
    if isinstance(node, ast.Attribute):
        owner = _referred(node.value, scope, module, root)
        if owner is not None and not owner[1]:
            return _resolve((owner[0], node.attr), root)
    return None


@cache
def _normalised(place: Place, root: Path) -> tuple[str, tuple[Place, ...]]:
    """A definition's text, in which what it refers to has the name of its own definition, and what it refers to."""
    module, name = place
    held = _module(module, root)
    if not name:
        return "", tuple((module, each) for each in held.statements)
    if _is_registry(held.statements[name]):
        return f"{name}: Registry", ()
    normalise = _Normalised(_scope(place, root), module, root)
    parts = [normalise.visit(copy.deepcopy(part)) for part in (held.statements[name], *held.effects)]
    return "\n".join(map(ast.unparse, parts)), tuple(normalise.found)


def _is_registry(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation).startswith("Registry[")


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class _Normalised(ast.NodeTransformer):
    """Drops what changes no number (docstrings, annotations of functions, first-party imports); notes references."""

    def __init__(self, scope: dict[str, Place], module: str, root: Path) -> None:
        self._where = (scope, module, root)
        self.found: dict[Place, None] = {}
        self._depth = 0

    def _reference(self, node: ast.Name | ast.Attribute) -> ast.AST:
        place = _referred(node, *self._where)
        if place is None:
            return self.generic_visit(node)
        self.found[place] = None
        return ast.Name(place[1] or "module", node.ctx)

    visit_Name = visit_Attribute = _reference

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        for part in ast.walk(node.args):
            if isinstance(part, ast.arg):
                part.annotation = None
        self._depth += 1
        self._body(node)
        self._depth -= 1
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Within functions an annotation changes nothing; in a class it makes a field."""
        if not self._depth:
            return self.generic_visit(node)
        return self.visit(ast.Assign([node.target], node.value, lineno=0)) if node.value is not None else None

    def _body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        node.body = [part for part in node.body if not _is_text(part)]
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function
    visit_ClassDef = _body

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """As its parent; a block that has lost all of its statements keeps a `pass`."""
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        first_party = isinstance(node, ast.ImportFrom) and (
            node.level > 0 or (node.module or "").partition(".")[0] in FIRST_PARTY
        )
        own = isinstance(node, ast.Import) and node.names[0].name.partition(".")[0] in FIRST_PARTY
        return None if first_party or own else node

    visit_Import = visit_ImportFrom = _import
