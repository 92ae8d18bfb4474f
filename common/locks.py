"""A lock on a file, which the kernel frees when its holder ends or is killed. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator
from typing import TextIO


class HeldError(Exception):
    """Another process holds the lock; the message is the text that it wrote into the file."""


@contextlib.contextmanager
def held(path: str | pathlib.Path, wait: bool = True) -> Iterator[TextIO]:
    """Hold the lock on a file, which is created if it does not exist, and stays.

    Args:
      path: of the file, in a folder that exists.
      wait: whether to wait until no other process holds it.
    Yields:
      The file, into which the holder may write its name.
    Raises:
      HeldError: another process holds it, and `wait` is False.
    """
    # Opened for writing, also if nothing is written: NFS locks no file that is open for reading alone.
    with open(path, "a+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise HeldError(file.read().strip()) from error
        yield file
