"""Which arguments of a package's public functions, methods and classes lack a line in the docstring; by syntax alone.

A class answers for the arguments of its constructor: those of `__init__`, or the fields of a dataclass, a NamedTuple or
another class whose annotated fields are its constructor's arguments. A method need not repeat what the method that it
overrides documents, in a base class or in a protocol of the package. A field that is `Annotated`, itself or by an
alias of its file, carries its words. A function that its file passes to a class of the package is one of the class's
parts, which the class documents.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FIELDS_ARE_ARGUMENTS = {"NamedTuple", "BaseModel", "Struct"}
ENTRY = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:(?: |$)")


@dataclass(frozen=True)
class Definition:
    """A function or class: its file, its qualified name, its syntax, and the class around it if there is one."""

    file: Path
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    owner: ast.ClassDef | None


def undocumented(package: Path) -> list[str]:
    """One line per public definition that leaves arguments out: file:line, its name and the missing arguments."""
    root = package.parent
    trees = {path.relative_to(root): ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
    classes: dict[str, list[ast.ClassDef]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
    found = []
    for file, tree in trees.items():
        parts = _parts(tree, classes)
        for definition in _public(file, tree, "", None):
            if definition.name in parts:
                continue
            missing = sorted(_arguments(definition) - _documented(definition, classes) - _annotated(definition, tree))
            if missing:
                found.append(f"{file}:{definition.node.lineno} {definition.name}: {', '.join(missing)}")
    return found


def _parts(tree: ast.Module, classes: dict[str, list[ast.ClassDef]]) -> set[str]:
    """Functions that the file passes to the constructor of a class of the package that documents its arguments."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in classes]
    return {
        value.id
        for call in calls
        for value in (*call.args, *(word.value for word in call.keywords))
        if isinstance(value, ast.Name) and all(_fields(k) <= _entries(k) for k in classes[ast.unparse(call.func)])
    }


def _annotated(definition: Definition, tree: ast.Module) -> set[str]:
    """Fields of a class whose annotation is `Annotated`, or an alias of the file that is."""
    aliases = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Annotated[")
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {
        field.target.id
        for field in definition.node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if ast.unparse(field.annotation).startswith("Annotated[") or ast.unparse(field.annotation) in aliases
    }


def _public(
    file: Path, parent: ast.Module | ast.ClassDef, prefix: str, owner: ast.ClassDef | None
) -> Iterator[Definition]:
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield Definition(file, prefix + node.name, node, owner)
            if isinstance(node, ast.ClassDef):
                yield from _public(file, node, f"{prefix}{node.name}.", node)


def _arguments(definition: Definition) -> set[str]:
    node = definition.node
    if isinstance(node, ast.ClassDef):
        constructor = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        return _parameters(constructor, bound=True) if constructor else _fields(node)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if decorators & {"overload", "typing.overload"}:
        return set()
    if any(decorator.endswith(".setter") for decorator in decorators):
        return set()
    return _parameters(node, bound=definition.owner is not None and "staticmethod" not in decorators)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, bound: bool) -> set[str]:
    """Names without self and private ones; a docstring names what `*args` and `**kwargs` accept instead of these."""
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][bound:]
    named += [argument.arg for argument in node.args.kwonlyargs]
    named += [rest.arg for rest in (node.args.vararg, node.args.kwarg) if rest and rest.arg not in ("args", "kwargs")]
    return {name for name in named if not name.startswith("_")}


def _fields(node: ast.ClassDef) -> set[str]:
    """Annotated fields if they are the constructor's arguments, without class variables and fields not passed to it."""
    makers = [ast.unparse(maker).split("(")[0].split(".")[-1] for maker in (*node.decorator_list, *node.bases)]
    if "dataclass" not in makers and not FIELDS_ARE_ARGUMENTS & set(makers):
        return set()
    return {
        field.target.id
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if "ClassVar" not in ast.unparse(field.annotation) and not field.target.id.startswith("_")
        if field.value is None or "init=False" not in ast.unparse(field.value)
    }


def _documented(definition: Definition, classes: dict[str, list[ast.ClassDef]]) -> set[str]:
    node, owner = definition.node, definition.owner
    names = _entries(node)
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                names |= _entries(part)
    elif owner is not None:
        protocols = [c for same in classes.values() for c in same if "Protocol" in map(ast.unparse, c.bases)]
        for kind in (*_ancestors(owner, classes), *protocols):
            for part in kind.body:
                if isinstance(part, ast.FunctionDef) and part.name == node.name:
                    names |= _entries(part)
    return names


def _ancestors(node: ast.ClassDef, classes: dict[str, list[ast.ClassDef]]) -> Iterator[ast.ClassDef]:
    for base in node.bases:
        for kind in classes.get(ast.unparse(base).split("[")[0].split(".")[-1], []):
            if kind is not node:
                yield kind
                yield from _ancestors(kind, classes)


def _entries(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    """The names that begin a line of the docstring's Args section."""
    lines = (ast.get_docstring(node) or "").splitlines()
    names: set[str] = set()
    for at, line in enumerate(lines):
        if line.strip() == "Args:":
            indent = len(line) - len(line.lstrip()) + 4
            for entry in lines[at + 1 :]:
                if entry.strip() and len(entry) - len(entry.lstrip()) < indent:
                    break
                if found := ENTRY.match(entry[indent:]):
                    names.add(found[1])
    return names
