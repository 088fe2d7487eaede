"""What the distribution brings: `causalrec` and nothing else, with every library that our code imports declared."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from bench.cells.fingerprint import FIRST_PARTY, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Import names that are not the name of their distribution, and those of interpreters of their own.
DISTRIBUTION = {"castle": "gcastle", "causallearn": "causal-learn"}
ELSEWHERE = {"rectools", "pytorch_lightning", "seq2cause"}
BESIDE = {"joblib"}  # a development tool measures it where it is installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the repository."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in FIRST_PARTY:
        shutil.copytree(ROOT / name, copy / name)
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy / name)
    words = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, copy]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def test_a_wheel_brings_causalrec_alone(wheel):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (facts,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(facts)
    information = f"causalrec_repro-{told['Version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"causalrec", information}
    assert f"{information}/entry_points.txt" not in names
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "causalrec").rglob("*.py")}
    assert {name for name in names if name.startswith("causalrec/")} == {*sources, "causalrec/py.typed"}
    needed = [word for word in told.get_all("Requires-Dist") if "extra ==" not in word]
    assert {_name(word) for word in needed} == {_name(word) for word in PROJECT["dependencies"]}


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _declared(*extras: str) -> set[str]:
    return {_name(word) for words in (PROJECT["dependencies"], *(EXTRAS[name] for name in extras)) for word in words}


def _imported(*places: str) -> set[str]:
    """Names of the distributions that files below these places import, the standard library's left out."""
    found: set[str] = set()
    for place in places:
        for path in [ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    found.add(node.module.partition(".")[0])
    return {DISTRIBUTION.get(name, name) for name in found - sys.stdlib_module_names - {*FIRST_PARTY, "cli"}}


def test_the_package_declares_what_it_imports():
    assert _imported("causalrec") <= _declared()


def test_the_suite_declares_what_it_imports():
    optional = set(EXTRAS) - {"dev"}
    assert _imported("bench", "synth", "cli.py") - ELSEWHERE - BESIDE <= _declared(*optional)


def test_every_declared_library_but_the_optional_has_its_exact_version():
    exact = {_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert _declared(*EXTRAS) - exact <= {"causalrec-repro"}


def test_the_citation_names_the_suite_as_it_is_and_the_paper():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(told)  # what its schema requires
    assert (told["cff-version"], told["version"], told["license"]) == ("1.2.0", PROJECT["version"], PROJECT["license"])
    assert [(paper["type"], paper["identifiers"][0]["value"]) for paper in told["references"]] == [
        ("article", "arXiv:2510.21333")
    ]


def test_the_changelog_begins_with_this_version():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert PROJECT["version"] in headings[:2]


def test_the_old_name_is_nowhere():
    old = "causalrec" + "-bench"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    texts = [ROOT / name for name in listed.split("\0") if name.endswith((".py", ".md", ".toml", ".yml", ".cff"))]
    assert [path for path in texts if path.is_file() and old in path.read_text(encoding="utf-8").lower()] == []
