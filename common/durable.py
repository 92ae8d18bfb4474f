"""Replace files whole or not at all, also at a power cut. Standard library only."""

from __future__ import annotations

import os
import pathlib

_Path = str | pathlib.Path


def replace(path: _Path, content: bytes, temporary: _Path) -> None:
    """Replace a file's content, and return when it is on the disk.

    Args:
      path: of the file, which need not exist yet.
      content: the whole content.
      temporary: a name in the same folder that no other process uses.
    """
    with open(temporary, "wb") as file:
        file.write(content)
    sync(temporary)  # Otherwise the rename may reach the disk before the content.
    os.replace(temporary, path)
    sync(pathlib.Path(path).parent)


def sync(path: _Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
