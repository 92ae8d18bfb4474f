"""docs/tutorials.md: what it says is here is here."""

from __future__ import annotations

import re

from tests.docs.blocks import DOCS

ROOT = DOCS.parent
PACKAGES = ("modules", "components", "pipeline")
# A class, a field or a name with an underscore; not a path, a flag or a piece of JSON.
_NAME = re.compile(r"`(?:[a-z]+\.)*([A-Z]\w+|[a-z]+_\w+)`")


def names(text: str) -> set[str]:
    """Return the names of code in the right column of the page's tables."""
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {name for row in rows for name in _NAME.findall(row[-1])}


def test_every_name_on_the_right_is_in_the_code() -> None:
    code = "".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    found = names((DOCS / "tutorials.md").read_text(encoding="utf-8"))
    assert {"MultitaskModel", "query_hidden_units", "graded_ndcg_10"} <= found
    assert {name for name in found if not re.search(rf"\b{name}\b", code)} == set()


def test_a_name_is_read_from_the_right_column_alone() -> None:
    assert names("| `QueryModel` | `Tower`, `a/b.py`, `index.min_recall` |") == {
        "Tower",
        "min_recall",
    }
