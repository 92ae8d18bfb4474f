"""What the documents show as code, for the tests that run it."""

from __future__ import annotations

import pathlib
import re

DOCS = pathlib.Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a document in one language, in their order."""
    text = (DOCS / document).read_text(encoding="utf-8")
    return [code for name, code in _BLOCK.findall(text) if name == language]
