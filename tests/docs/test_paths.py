"""Every file and folder of the repository that a page names is there."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.docs.blocks import DOCS

ROOT = DOCS.parent
PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "runs"]
FILES = [path for paths in (ROOT.glob("*.py"), *(f.rglob("*.py") for f in FOLDERS)) for path in paths]
TREE = "\n".join(f"/{path.relative_to(ROOT)}" for path in FILES) + "\n"
_PATH = re.compile(rf"`((?:{'|'.join(folder.name for folder in FOLDERS)})/[\w./*-]*|(?:\w+/)*\w+\.py)`")
# In a destination, not in the repository.
PUSHED = {"serving/models.config", "serving/models-scann.config"}


def missing(page: pathlib.Path) -> list[str]:
    """List what a page names and the tree has not; the end of a file's path is enough."""
    found = set(_PATH.findall(page.read_text(encoding="utf-8"))) - PUSHED
    return sorted(path for path in found if f"/{path}\n" not in TREE and not any(ROOT.glob(path)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: pathlib.Path) -> None:
    assert missing(page) == []


def test_a_name_that_is_not_there_is_found(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`modules/training.py`, `modules/moved.py`, `cold_start.py`, `gone.py`, `tests/docs/`, `a/b`"
    )
    assert missing(page) == ["gone.py", "modules/moved.py"]
