"""Files that are whole or as they were, also after a power cut."""

from __future__ import annotations

import os
import pathlib


def replace(path: pathlib.Path, content: bytes) -> None:
    """Put new content in a file's place, so that it is on the disk when this returns."""
    fresh = path.with_suffix(".new")
    with open(fresh, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # Else the rename may reach the disk before the content.
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
