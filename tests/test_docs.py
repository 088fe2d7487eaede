"""Every page of docs/ followed in a copy of the repository; commands, options and links of all pages; the site."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

import causalrec
import cli
from bench.cells.fingerprint import ROOT
from bench.dev.site import reached
from bench.experiments import EXPERIMENTS

# Pages to look things up in have nothing to follow.
LOOKED_UP = {"glossary.md", "published-figures.md", "results.md"}
PAGES = tuple(path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in LOOKED_UP)
TEXTS = ("README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))))
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "tests/robustness/README.md", "results/evidence/graph/README.md",
          "results/evidence/training/README.md", "bench/GPU.md")  # fmt: skip
MARKED = re.compile(r"<!-- command: (\w+) -->\n```bash\n(.+?)\n```\n", re.DOTALL)
TREE = ("bench", "causalrec", "synth", "tests", "results/reference", "cli.py", "pyproject.toml", "README.md", "docs")
FENCE = re.compile(
    r"(?:^<!-- (file|append|edit|run|output)(?:: (.+?))? -->\n)?^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
INLINE = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"`((?:bench|causalrec|synth|tests|docs|results)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)\)")
CHANGES = {"file", "append", "edit"}


@dataclass(frozen=True)
class Block:
    """A fenced block: the kind in its marker ("" without a marker), the marker's file or remark, and the text."""

    kind: str
    word: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*(part or "" for part in found.groups())) for found in FENCE.finditer(text)]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Following a page


def edited(text: str, diff: str) -> str:
    """`text` after a diff without line numbers, whose context must occur exactly once."""
    lines = [" \n" if line == "\n" else line for line in diff.splitlines(keepends=True)]
    old, new = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
    assert text.count(old) == 1, f"is there {text.count(old)} times:\n{old}"
    return text.replace(old, new)


def change(folder: Path, block: Block) -> None:
    path = folder / block.word
    if block.kind == "file":
        assert not path.exists(), f"{block.word} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8")
    after = before + block.text if block.kind == "append" else edited(before, block.text)
    path.write_text(after, encoding="utf-8")


def run(folder: Path, block: Block) -> str:
    """What the commands of a block print, stdout before stderr; only the last may exit with another code than 0."""
    where = {name: value for name, value in os.environ.items() if not name.startswith("CAUSALREC_")}
    where |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    where["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), where["PATH"]])  # `python` of a page's scripts
    lines = block.text.splitlines()
    codes = [0] * (len(lines) - 1) + [int(block.word.rpartition(" ")[2]) if "exit code" in block.word else 0]
    said = ""
    for line, code in zip(lines, codes, strict=True):
        program, *words = shlex.split(line)
        command = [sys.executable if program == "python" else program, *words]
        done = subprocess.run(
            command, cwd=folder, env=where, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
        )
        assert done.returncode == code, f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        said += done.stdout + done.stderr
    return said


def missing(shown: str, said: str) -> str | None:
    """The first shown line that is missing in `said`, in this order; … stands for any text, blanks for any blanks."""
    left = iter(said.splitlines())
    for line in shown.splitlines():
        parts = (r"\s+".join(map(re.escape, part.split())) for part in line.split("…"))
        pattern = re.compile(r".*".join(parts))
        if line != "…" and not any(pattern.fullmatch(real.strip()) for real in left):
            return line
    return None


def follow(text: str, folder: Path, slow: bool) -> None:
    """Do what a page says, block by block, in `folder`; `slow`: also run the blocks marked slow."""
    said: str | None = None
    for block in blocks(text):
        if block.kind in CHANGES:
            change(folder, block)
        elif block.kind == "run":
            said = run(folder, block) if slow or block.word != "slow" else None
        elif block.kind == "output" and said is not None:
            line = missing(block.text, said)
            assert line is None, f"not said: {line}\n{said}"


@pytest.fixture
def copy(tmp_path) -> Path:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        made(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page, copy):
    follow(read(f"docs/{page}"), copy, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "<!-- run: slow -->" in read(f"docs/{page}")])
def test_a_page_can_be_followed_to_the_end(page, copy):
    shutil.copytree(ROOT / "results" / "evidence", copy / "results" / "evidence", dirs_exist_ok=True)
    follow(read(f"docs/{page}"), copy, slow=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_followed_and_every_output_has_its_command(page):
    found = blocks(read(f"docs/{page}"))
    kinds = [block.kind for block in found]
    assert "" not in kinds
    assert {"run", "output"} <= set(kinds)
    assert all(before == "run" for before, kind in pairwise(kinds) if kind == "output")
    assert all(block.word in ("", "slow", "exit code 1") for block in found if block.kind == "run")


PAGE = """
<!-- file: a/said.py -->
```python
print("one  2\\nthree")
```

<!-- append: a/said.py -->
```python
print("four")
```

<!-- edit: a/said.py -->
```diff
-print("four")
+print("five")
```

<!-- run -->
```bash
python a/said.py
```

<!-- output -->
```text
one …
…
five
```
"""


def test_a_page_in_order_passes(tmp_path):
    follow(PAGE, tmp_path, slow=False)
    assert (tmp_path / "a" / "said.py").read_text() == 'print("one  2\\nthree")\nprint("five")\n'


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("\nfive\n", "\nfour\n", "not said: four"),
        ("one …\n", "five\none …\n", "not said: one …"),
        ("one …", "one", "not said: one"),
        ('-print("four")', '-print("six")', "is there 0 times"),
        ("python a/said.py", "python a/none.py", "python a/none.py: exit code 2"),
        ("<!-- run -->", "<!-- run: exit code 1 -->", "python a/said.py: exit code 0"),
        ("<!-- append: a/said.py -->", "<!-- file: a/said.py -->", "a/said.py is there already"),
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path, before, after, told):
    assert before in PAGE
    with pytest.raises(AssertionError, match=re.escape(told)):
        follow(PAGE.replace(before, after), tmp_path, slow=False)


# Commands, options, places and links


@cache
def options() -> dict[str, set[str]]:
    """The options of every command, subcommands such as `data show` included; a group has none."""
    found: dict[str, set[str]] = {}
    todo = [("", get_command(cli.app))]
    while todo:
        name, command = todo.pop()
        found[name] = {word for param in command.params for word in (*param.opts, *param.secondary_opts)}
        todo += [(f"{name} {sub}".strip(), made) for sub, made in getattr(command, "commands", {}).items()]
    return found


def wrong(command: str, experiments: Collection[str] = EXPERIMENTS) -> str | None:
    """The first command, option or experiment among the words after `cli.py` that does not exist; None if all do."""
    first, *rest = command.replace("[", "").replace("]", "").split()
    names = [first]
    if any(name.startswith(f"{first} ") for name in options()) and rest:
        names = [f"{first} {sub}" for sub in rest.pop(0).split("|")]
    if unknown := [name for name in names if name not in options()]:
        return unknown[0]
    if first == "run" and rest and not rest[0].isupper() and rest[0] not in experiments:
        return rest[0]
    known = {*set.intersection(*(options()[name] for name in names)), "--help"}
    return next((word for word in rest if word.startswith("-") and word not in known), None)


def commands(text: str) -> list[str]:
    """What follows `cli.py`, up to a comment, the end of a column or a backtick; and inline code that is a command."""
    said = [re.split(r"\s{2,}|`|\s#|\s&&", line)[0] for line in re.findall(r"\bcli\.py (\S.*)", text)]
    inline = [code for code in INLINE.findall(FENCE.sub("", text)) if code.split()[0] in options()]
    return said + inline


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_option_exists(name):
    text = read(name)
    made = tuple(Path(b.word).stem for b in blocks(text) if b.kind == "file" and "experiments/" in b.word)
    found = commands(text)
    assert found or Path(name).parent.name == "api" or Path(name).name in LOOKED_UP
    assert [(command, bad) for command in found if (bad := wrong(command, (*EXPERIMENTS, *made)))] == []
    alone = {code.split()[0] for code in INLINE.findall(FENCE.sub("", text)) if code.startswith("--")}
    assert alone <= {"--help"}.union(*options().values())


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        ("run recovery --preset smoke", None),
        ("run EXPERIMENT", None),
        ("plan [--preset P]", None),
        ("data list|check", None),
        ("data", None),
        ("reprodce", "reprodce"),
        ("run recovry", "recovry"),
        ("run recovery --prest smoke", "--prest"),
        ("data list|chek", "data chek"),
        ("data check --user U", "--user"),
    ],
)
def test_a_wrong_command_is_found(command, bad):
    assert wrong(command) == bad


@pytest.mark.parametrize("name", [*TEXTS, *BESIDE])
def test_every_link_and_place_exists(name):
    text = read(name)
    links = [link for link in LINK.findall(FENCE.sub("", text)) if "://" not in link]
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []
    made = {block.word for block in blocks(text) if block.kind == "file"}
    places = {place for place in PLACE.findall(text) if not place.startswith("results/runs")}
    assert [place for place in sorted(places - made) if not (ROOT / place).exists()] == []


def test_pages_to_look_things_up_in_have_nothing_to_follow():
    assert [page for page in LOOKED_UP if blocks(read(f"docs/{page}"))] == []


# README


def test_readme_links_every_page():
    assert {link for link in LINK.findall(read("README.md")) if link.startswith("docs/")} == set(TEXTS[1:])


def test_readme_is_short_and_begins_with_what_a_visitor_needs():
    lines = read("README.md").splitlines()
    assert len(lines) <= 200
    above = "\n".join(lines[:60])
    assert re.search(r"pip install .+ && \.venv/bin/python cli\.py reproduce\n```", above)
    assert "python cli.py reproduce --preset smoke\n```" in above
    assert "<!-- headline: hour -->" in above
    assert re.findall(r"!\[.+?\]\((.+?)\)", above)


def test_both_commands_of_the_readme_install_what_they_then_run():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    found = dict(MARKED.findall(read("README.md")))
    assert set(found) == {"reproduce", "tests"}
    needed = {"reproduce": ("suite", "cli.py reproduce"), "tests": ("dev", "-m pytest -q")}
    for name, (extra, program) in needed.items():
        made, installed, ran = found[name].split(" && ")
        assert made == "python3 -m venv .venv"
        assert installed == f'.venv/bin/pip install -q -c constraints.txt -e ".[{extra}]"'
        assert ran == f".venv/bin/python {program}"
        assert extra in extras


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    where = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=where, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_site_has_every_page_and_all_that_they_link(site):
    pages = {name.removesuffix("README.md") + "index.html" if name.endswith("README.md") else f"{name[:-3]}.html"
             for name in (*TEXTS, *BESIDE)}  # fmt: skip
    assert [page for page in sorted(pages) if not (site / page).is_file()] == []
    assert (site / "results/reference/hour/figures/recommend_gain.svg").is_file()


def test_the_site_shows_every_public_name_of_causalrec(site):
    shown = (site / "docs/api/causalrec.html").read_text(encoding="utf-8")
    assert [name for name in causalrec.__all__ if name[0] != "_" and f">{name}<" not in shown] == []


def test_the_site_loads_nothing_from_elsewhere(site):
    loads = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=["']?(?:https?:)?//""")
    assert [page for page in site.rglob("*.html") if loads.search(page.read_text(encoding="utf-8"))] == []


def test_a_page_that_is_linked_comes_with_the_files_that_it_links(tmp_path):
    texts = {
        "README.md": "[a](docs/a.md) [gone](docs/none.md) [away](https://example.org/x.md)\n",
        "CHANGELOG.md": "", "CONTRIBUTING.md": "",
        "docs/a.md": "[b](../far/b.md#there) [out](../../outside.md)\n\n```text\n[shown](../far/d.csv)\n```\n",
        "far/b.md": "![c](c.svg)\n", "far/c.svg": "<svg/>", "far/d.csv": "", "unseen.md": "",
    }  # fmt: skip
    root = tmp_path / "root"
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "outside.md").write_text("")
    expected = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/a.md", "far/b.md", "far/c.svg"}
    assert {path.relative_to(root).as_posix() for path in reached(root)} == expected
