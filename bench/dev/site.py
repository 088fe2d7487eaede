"""The hook by which `mkdocs build` makes a site of the repository's own pages: README, docs/ and all that they link.

Pages keep their places in the repository, so that a link leads to the same file there and on the site. MkDocs itself
reads one folder that may not be the root.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).resolve().parents[2]  # MkDocs runs this file by its path, where nothing of ours can be imported
FIRST = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")


def linked(page: Path) -> Iterator[Path]:
    """The files that a page links, as far as they are there.

    Args:
        page: a Markdown file.
    """
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in link and (found := (page.parent / link).resolve()).is_file():
            yield found


def reached(root: Path = ROOT) -> list[Path]:
    """The pages of the site and every file that they link, pages that are linked included.

    Args:
        root: the repository.
    """
    todo = [*(root / name for name in FIRST), *sorted((root / "docs").rglob("*.md"))]
    found = dict.fromkeys(todo)
    while todo:
        page = todo.pop()
        if page.suffix == ".md":
            new = [path for path in linked(page) if path not in found and path.is_relative_to(root)]
            found |= dict.fromkeys(new)
            todo += new
    return list(found)


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Called by MkDocs: put the repository's pages in place of those that it found in docs/.

    Args:
        files: what MkDocs found.
        config: the site's.

    Returns:
        The pages, with the theme's own files.
    """
    from mkdocs.structure.files import File

    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in reached():
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files
