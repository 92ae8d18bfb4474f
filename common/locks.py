"""A lock on a file, which the kernel frees when its holder dies, however it dies. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator
from typing import TextIO


class HeldError(Exception):
    """Another holds the lock; the words are what it wrote into the file."""


@contextlib.contextmanager
def held(path: str | pathlib.Path, wait: bool = True) -> Iterator[TextIO]:
    """Hold the lock on a file, which is made where it is absent, and stays.

    Args:
      path: of the file, in a folder that exists.
      wait: until nobody else holds it.
    Yields:
      The file, for words about the holder.
    Raises:
      HeldError: another holds it, and it is not waited for.
    """
    # For writing, though most write nothing: NFS locks no file that is open for reading alone.
    with open(path, "a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise HeldError(file.read().strip()) from error
        yield file
