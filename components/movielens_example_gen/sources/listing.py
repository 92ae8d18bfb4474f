"""List the files below a folder, on any of Beam's file systems, for every possible path."""

from __future__ import annotations

import fnmatch
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from apache_beam.io.filesystems import FileSystems

from common.errors import disk_errors


def literal(path: str) -> str:
    r"""Write a path as a glob that matches this path alone, for TensorFlow, Beam and Python alike.

    >>> literal("/srv/films [2024]"), literal(r"a\b")
    ('/srv/films [[]2024]', 'a[\\\\]b')
    """
    return re.sub(r"[*?[\\]", lambda found: "[\\\\]" if found[0] == "\\" else f"[{found[0]}]", path)


def sizes(folder: str, patterns: Sequence[str]) -> dict[str, int]:
    """Find the files below a folder that match globs.

    A folder that cannot be listed is an error: if a span's newest version were not seen, an older version
    would be read.

    Returns:
      Bytes of each file, by its name below the folder.
    Raises:
      DataError: this machine has no such folder, or the folder cannot be read.
      BeamIOError: another file system does not answer.
    """
    found: dict[str, int] = {}
    if FileSystems.get_scheme(folder) is None:
        with disk_errors(pathlib.Path(folder)):
            for pattern in patterns:
                names = _below(folder, pattern.split("/"))
                found |= {name: os.path.getsize(os.path.join(folder, name)) for name in names}
        return found
    for pattern in patterns:
        for file in FileSystems.match([FileSystems.join(literal(folder), pattern)])[0].metadata_list:
            found["/".join(file.path.split("/")[-len(pattern.split("/")) :])] = file.size_in_bytes
    return found


def _below(folder: str, pattern: Sequence[str]) -> Iterator[str]:
    # Python's glob skips folders that it may not list; Beam's lists everything below the first wildcard.
    for name in sorted(fnmatch.filter(os.listdir(folder), pattern[0])):
        path = os.path.join(folder, name)
        if len(pattern) > 1 and os.path.isdir(path):
            yield from (f"{name}/{below}" for below in _below(path, pattern[1:]))
        elif len(pattern) == 1 and os.path.isfile(path):
            yield name
