"""Files that are whole or as they were, also after a power cut. Standard library only."""

from __future__ import annotations

import os
import pathlib

_Path = str | pathlib.Path


def replace(path: _Path, content: bytes, temporary: _Path) -> None:
    """Put new content in a file's place, so that it is on the disk when this returns.

    Args:
      path: of the file, which need not be there yet.
      content: all of it.
      temporary: a name in the same folder that nobody else uses.
    """
    with open(temporary, "wb") as file:
        file.write(content)
    sync(temporary)  # Else the rename may reach the disk before the content.
    os.replace(temporary, path)
    sync(pathlib.Path(path).parent)


def sync(path: _Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
