"""List the files below a folder of this machine. Needs no Beam: the scheduler of retraining calls it too."""

from __future__ import annotations

import fnmatch
import os
import pathlib
from collections.abc import Iterator, Sequence

from common.errors import disk_errors


def sizes(folder: str, patterns: Sequence[str]) -> dict[str, int]:
    """Find the files below a folder that match globs.

    A folder that cannot be listed is an error: if a span's newest version were not seen, an older version
    would be read. Python's glob skips such a folder.

    Returns:
      Bytes of each file, by its name below the folder.
    Raises:
      DataError: there is no such folder, or it or a folder below it cannot be listed.
    """
    with disk_errors(pathlib.Path(folder)):
        names = [name for pattern in patterns for name in _below(folder, pattern.split("/"))]
        return {name: os.path.getsize(os.path.join(folder, name)) for name in names}


def _below(folder: str, pattern: Sequence[str]) -> Iterator[str]:
    for name in sorted(fnmatch.filter(os.listdir(folder), pattern[0])):
        path = os.path.join(folder, name)
        if len(pattern) > 1 and os.path.isdir(path):
            yield from (f"{name}/{below}" for below in _below(path, pattern[1:]))
        elif len(pattern) == 1 and os.path.isfile(path):
            yield name
