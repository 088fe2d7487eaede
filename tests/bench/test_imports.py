"""The direction of imports: a room imports only rooms below it, and nothing first-party is imported by a string."""

import ast
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEVELS = (
    {"__init__", "errors", "text"},
    {"cells", "judge"},
    {"methods", "show"},
    {"datasets", "engine"},
    {"plan", "runners"},
    {"experiments", "apply"},
    {"reproduce", "selftest", "doctor"},
    {"report"},
    {"cli", "dev"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
PACKAGES = ("synth", "causalrec", "bench")
FIRST_PARTY = {*PACKAGES, "cli", "tests"}
COMPUTED = {"bench/methods/user_code.py"}  # may import by a computed name: what a user names
MOST_IN_BENCH, MOST_IN_A_PACKAGE = 6, 20


def sources(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every source file of the suite under `root`, by its path from there, parsed."""
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    for path in [*files, *root.glob("cli.py")]:
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything first-party that a file imports, wherever in it; a relative one as it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.partition(".")[0] in {*FIRST_PARTY, ""})


def may_import(file: str, module: str) -> bool:
    """Whether a file, as `bench/cells/store.py`, may import a module or a name in it, as `bench.errors.InputError`."""
    package, _, inside = file.removesuffix(".py").partition("/")
    target, _, rest = module.partition(".")
    if package in ("synth", "causalrec"):
        return target == package
    here, there = (inside.partition("/")[0] or package), rest.partition(".")[0]
    if target in ("synth", "causalrec"):
        return True
    return target == "bench" and (here == there or LEVEL.get(there, len(LEVELS)) < LEVEL.get(here, -1))


def wrong_imports(root: Path) -> list[str]:
    """Every import that does not go down, as file:line."""
    return [
        f"{file}:{line}: imports {module}, which is not below it"
        for file, tree in sources(root)
        for line, module in imports(tree)
        if not may_import(file, module)
    ]


def imports_by_string(root: Path, computed: Container[str] = COMPUTED) -> list[str]:
    """Every call that imports a first-party module by a string or, in a file not in `computed`, by a computed name."""
    found = []
    for file, tree in sources(root):
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name not in ("import_module", "__import__", "resolve_name", "run_module", "run_path"):
                continue
            argument = node.args[0] if node.args else None
            strings = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            if any(str(text).partition(".")[0] in FIRST_PARTY for text in strings):
                found.append(f"{file}:{node.lineno}: imports a module of the suite by a string; import it by name")
            elif not isinstance(argument, ast.Constant) and file not in computed:
                found.append(f"{file}:{node.lineno}: imports a module of a computed name")
    return found


def crowded(root: Path) -> list[str]:
    """Every folder of the packages with more Python files than a reader takes in."""
    folders = [folder for package in PACKAGES for folder in (root / package, *(root / package).rglob("*/"))]
    counts = {folder.relative_to(root).as_posix(): len(list(folder.glob("*.py"))) for folder in folders}
    most = {"bench": MOST_IN_BENCH}
    return [
        f"{folder}: {count} Python files, at most {most.get(folder, MOST_IN_A_PACKAGE)}"
        for folder, count in counts.items()
        if count > most.get(folder, MOST_IN_A_PACKAGE)
    ]


def test_imports_go_down_only():
    found = wrong_imports(ROOT)
    assert not found, "\n".join(found)


def test_nothing_of_the_suite_is_imported_by_a_string():
    found = imports_by_string(ROOT)
    assert not found, "\n".join(found)


def test_no_folder_is_crowded():
    found = crowded(ROOT)
    assert not found, "\n".join(found)


def test_every_room_has_a_level_and_every_level_its_rooms():
    entries = {path.stem for path in (ROOT / "bench").iterdir() if path.suffix == ".py" or list(path.glob("*.py"))}
    assert entries | {"cli"} == set(LEVEL)


def test_no_more_files_may_import_by_a_computed_name_than_do():
    assert {told.partition(":")[0] for told in imports_by_string(ROOT, computed=())} == set(COMPUTED)


@pytest.fixture
def tree(tmp_path):
    """Write one file into a tiny tree that is sound without it; return the root."""

    def write(file: str, text: str) -> Path:
        sound = {
            "bench/errors.py": "import math\n",
            "bench/cells/store.py": "from bench.errors import InputError\nimport bench.cells.unit\nimport synth.scm\n",
            "bench/engine/run.py": "import importlib\nray = importlib.import_module('ray')\n",
            "bench/methods/user_code.py": "from importlib import import_module\n\ndef f(n): return import_module(n)\n",
            "causalrec/model.py": "from causalrec.losses import nll\n",
            "synth/scm.py": "import numpy\n",
            "cli.py": "from bench import reproduce\nfrom bench.report.page import write\n",
        }
        for name, content in {**sound, file: text}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path

    return write


def test_a_sound_tree_passes(tree):
    root = tree("bench/judge/bars.py", "from bench.judge.intervals import Interval\nfrom causalrec import model\n")
    assert wrong_imports(root) == imports_by_string(root) == crowded(root) == []


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("bench/cells/unit.py", "import math\n\nfrom bench.engine.run import run_cells\n", 3),
        ("bench/cells/unit.py", "def f():\n    from bench import reproduce\n    return reproduce\n", 2),
        ("bench/cells/unit.py", "from bench.judge.bars import Part\n", 1),  # of the same level
        ("bench/show/tables.py", "import bench.report.page\n", 1),
        ("bench/show/tables.py", "from bench import unheard_of\n", 1),
        ("bench/show/tables.py", "from . import drawing\n", 1),
        ("bench/report/page.py", "import cli\n", 1),
        ("bench/report/page.py", "from tests.strategies import claims\n", 1),
        ("bench/errors.py", "from bench.cells.unit import Cell\n", 1),
        ("causalrec/model.py", "from bench.errors import InputError\n", 1),
        ("causalrec/model.py", "import synth\n", 1),
        ("synth/scm.py", "from causalrec.acyclicity import h\n", 1),
        ("cli.py", "from bench.dev import speed\n", 1),
    ],
)
def test_an_import_that_does_not_go_down_is_told_with_its_line(tree, file, text, line):
    (told,) = wrong_imports(tree(file, text))
    assert told.startswith(f"{file}:{line}: imports ")


@pytest.mark.parametrize(
    "call",
    [
        "importlib.import_module('bench.runners.structure')",
        "import_module(f'bench.runners.{name}')",
        "import_module('causalrec.' + name)",
        "__import__('cli')",
        "import_module(name)",
        "import_module(name=name)",
        "import_module('.' + name, 'bench.runners')",
    ],
)
def test_an_import_by_a_string_is_told_with_its_line(tree, call):
    (told,) = imports_by_string(tree("bench/runners/__init__.py", f"import importlib\n\nfound = {call}\n"))
    assert told.startswith("bench/runners/__init__.py:3: imports a module of ")


def test_a_file_that_imports_what_a_user_names_may_not_name_the_suite_itself(tree):
    root = tree("bench/methods/user_code.py", "from importlib import import_module\nimport_module('bench.errors')\n")
    assert len(imports_by_string(root)) == 1


def test_a_crowded_folder_is_told(tree):
    root = tree("bench/one.py", "")
    for number in range(MOST_IN_A_PACKAGE):
        (root / "bench" / "cells" / f"part{number}.py").touch()
    assert crowded(root) == [f"bench/cells: {MOST_IN_A_PACKAGE + 1} Python files, at most {MOST_IN_A_PACKAGE}"]
    for number in range(MOST_IN_BENCH):
        (root / "bench" / f"part{number}.py").touch()
    assert len(crowded(root)) == 2
