"""What a key follows and what it leaves alone: on a small tree, and by edits of a copy of the whole tree."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cells import fingerprint as module
from bench.cells.fingerprint import FIRST_PARTY, ROOT, fingerprint, reach
from bench.errors import InputError

SMALL = {
    "bench/__init__.py": "",
    "bench/one.py": '''
"""A module."""
import numpy as np
from bench import tables
from synth.scm import draw as draw_scm
from synth import scm
LIMIT: int = 3
UNUSED = 7
def run(x: "UNUSED" = 1) -> "UNUSED":
    """Run."""
    from .near import g
    n: UNUSED = LIMIT
    return g(x) + draw_scm(n) + scm.other() + tables.TABLE["a"] + np.zeros(1)
''',
    "bench/near.py": "class Base:\n    size: int = 2\nclass Kind(Base):\n    pass\ndef g(x):\n    return Kind()\n",
    "bench/tables.py": "from bench import apart\nTABLE: Registry[object] = {'a': apart.entry}\n",
    "bench/apart.py": "def entry():\n    return 1\n",
    "synth/__init__.py": "from synth.scm import other as renamed\n",
    "synth/scm.py": (
        "import warnings\nwarnings.simplefilter('error')\ndef draw(n):\n    return n\ndef other():\n    return 1\n"
    ),
}
RUN = ("bench.one:run",)


@pytest.fixture(autouse=True)
def fresh():
    yield
    for cached in (fingerprint, module._module, module._resolve, module._normalised):
        cached.cache_clear()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, source in SMALL.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def after(tree: Path, file: str, old: str, new: str) -> str:
    """The fingerprint of `RUN` once a file is edited."""
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for cached in (fingerprint, module._module, module._resolve, module._normalised):
        cached.cache_clear()
    return fingerprint(RUN, tree)


def test_reach_is_what_a_definition_refers_to_wherever_it_stands(tree):
    assert reach(RUN, tree) == {
        ("bench.one", "run"), ("bench.one", "LIMIT"), ("bench.near", "g"), ("bench.near", "Kind"),
        ("bench.near", "Base"), ("bench.tables", "TABLE"), ("synth.scm", "draw"), ("synth.scm", "other"),
    }  # fmt: skip
    assert reach(("bench.near",), tree) == {("bench.near", ""), *(("bench.near", n) for n in ("g", "Kind", "Base"))}
    assert reach(("synth:renamed",), tree) == {("synth.scm", "other")}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bench/one.py", "LIMIT: int = 3", "LIMIT: int = 4"),
        ("bench/one.py", "x: \"UNUSED\" = 1", "x: \"UNUSED\" = 2"),
        ("bench/near.py", "size: int = 2", "size: int = 5"),
        ("bench/near.py", "Kind(Base)", "Kind(Base, object)"),
        ("synth/scm.py", "return n\n", "return n + 1\n"),
        ("synth/scm.py", "'error'", "'ignore'"),  # what a module does when it is imported
    ],
)
def test_what_can_change_a_number_changes_the_fingerprint(tree, file, old, new):
    assert fingerprint(RUN, tree) != after(tree, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bench/one.py", "UNUSED = 7", "UNUSED = 8"),
        ("bench/one.py", '"""Run."""', '"""Run it.\n\n    At length.\n    """  # said'),
        ("bench/one.py", "n: UNUSED = LIMIT", "n = LIMIT  # three"),
        ("bench/one.py", "-> \"UNUSED\"", "-> int"),
        ("bench/one.py", "draw as draw_scm", "draw as drawn"),
        ("bench/__init__.py", "", "VERSION = 2\n"),
        ("bench/apart.py", "return 1", "return 2"),  # an entry of a registry, which the cell names itself
        ("bench/tables.py", "{'a': apart.entry}", "{'a': apart.entry, 'b': 2}"),
        ("synth/__init__.py", "from", "# why\nfrom"),
    ],
)
def test_what_changes_no_number_leaves_the_fingerprint_alone(tree, file, old, new):
    before = fingerprint(RUN, tree)
    if "drawn" in new:
        path = tree / file
        path.write_text(path.read_text().replace("draw_scm(n)", "drawn(n)"))
    assert before == after(tree, file, old, new)


def test_a_name_that_a_function_imports_from_elsewhere_is_not_ours(tree):
    edited = "def other():\n    from numpy import draw\n    return draw\n"
    path = tree / "synth/scm.py"
    path.write_text(path.read_text().replace("def other():\n    return 1\n", edited))
    assert reach(("synth.scm:other",), tree) == {("synth.scm", "other")}


def test_a_moved_definition_leaves_the_fingerprint_alone(tree):
    before = fingerprint(RUN, tree)
    (tree / "bench/near.py").rename(tree / "synth/far.py")
    assert before == after(tree, "bench/one.py", "from .near import g", "from synth.far import g")


def test_what_cannot_be_read_is_refused(tree):
    with pytest.raises(InputError, match=r"'bench\.none' is not in"):
        fingerprint(("bench.none:run",), tree)
    with pytest.raises(InputError, match="'numpy' is not in"):
        fingerprint(("numpy",), tree)
    with pytest.raises(InputError, match=r"'bench\.one' defines no 'walk'"):
        fingerprint(("bench.one:walk",), tree)
    (tree / "bench/apart.py").write_text("def (\n")
    with pytest.raises(InputError, match=r"apart\.py, line 1"):
        fingerprint(("bench.apart",), tree)


KEYS = """
import json
from bench.experiments import EXPERIMENTS
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.reproduce import plan_cells
cells = [cell for planned in plan_cells(Setup(PRESETS["smoke"], 0, "cpu"), EXPERIMENTS).values() for cell in planned]
print(json.dumps({cell.key: str(cell.params.get("learner")) for cell in cells}))
"""


def keys(tree: Path) -> dict[str, str]:
    """The keys of a smoke plan made by the code in a folder, each with its cell's learner."""
    ran = subprocess.run([sys.executable, "-c", KEYS], cwd=tree, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def edit(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    for part in FIRST_PARTY:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_comment_a_moved_file_and_a_renamed_module_leave_every_key_alone(whole):
    before = keys(whole)
    for path in whole.rglob("*.py"):
        path.write_text(path.read_text().replace('\n\nclass ', '\n\n# A comment.\nclass '))
    edit(whole, "bench/errors.py", "import synth.errors", "import synth.errors  # a comment")
    (whole / "causalrec" / "structure" / "eqvar.py").rename(whole / "causalrec" / "topdown.py")
    (whole / "synth" / "graphs.py").rename(whole / "synth" / "dags.py")
    for path in whole.rglob("*.py"):
        text = path.read_text().replace("causalrec.structure.eqvar", "causalrec.topdown")
        path.write_text(text.replace("synth.graphs", "synth.dags"))
    assert keys(whole) == before


def test_a_constant_of_one_learner_changes_its_cells_and_no_others(whole):
    before = keys(whole)
    edit(whole, "causalrec/structure/notears.py", "cap=1e16", "cap=1e15")
    changed = set(before.items()) - set(keys(whole).items())
    assert {learner for _, learner in changed} == {"notears"}
    assert changed == {(key, learner) for key, learner in before.items() if learner == "notears"}


def test_a_new_entry_of_a_registry_leaves_every_other_key_alone(whole):
    before = keys(whole)
    (whole / "causalrec" / "rivals" / "first.py").write_text("class First:\n    pass\n")
    edit(
        whole, "causalrec/methods/recommenders.py", '    "item_knn": Entry(',
        '    "first": Entry("first", First, None, "control", grid=({},)),\n    "item_knn": Entry(',
    )  # fmt: skip
    edit(
        whole, "causalrec/methods/recommenders.py", "from causalrec.rivals.fpmc",
        "from causalrec.rivals.first import First\nfrom causalrec.rivals.fpmc",
    )  # fmt: skip
    after = keys(whole)
    assert before.items() < after.items()
