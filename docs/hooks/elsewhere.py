"""Pages of the site whose files lie outside docs/, and the links to and from them. Called by MkDocs."""

from __future__ import annotations

import pathlib
import posixpath
import re
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = pathlib.Path(__file__).parents[2]
# Files, and the names of their pages.
PAGES = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
_SOURCES = {page: source for source, page in PAGES.items()}
# The target of a link, unless it is a URL or an anchor of the page itself.
_TARGET = re.compile(r"(?<=\]\()(?![a-z]+:|#)[^)#\s]+")


def relinked(markdown: str, source: str) -> str:
    """Lead the links of a file to the pages that the files become.

    Args:
      markdown: text of the file.
      source: its path below the root of the repository.

    >>> relinked("[How](../CONTRIBUTING.md#rules), [data](data.md)", "docs/results.md")
    '[How](contributing.md#rules), [data](data.md)'
    """

    def page(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[0]))
        return PAGES.get(path) or posixpath.relpath(path, "docs")

    return _TARGET.sub(page, markdown)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(_ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Change the links of every page."""
    return relinked(markdown, _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
