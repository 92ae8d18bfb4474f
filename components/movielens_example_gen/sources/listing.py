"""List the files below a folder, on any of Beam's file systems, for every possible path."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems

from components.movielens_example_gen.sources import local_listing


def literal(path: str) -> str:
    r"""Write a path as a glob that matches this path alone, for TensorFlow, Beam and Python alike.

    >>> literal("/srv/films [2024]"), literal(r"a\b")
    ('/srv/films [[]2024]', 'a[\\\\]b')
    """
    return re.sub(r"[*?[\\]", lambda found: "[\\\\]" if found[0] == "\\" else f"[{found[0]}]", path)


def sizes(folder: str, patterns: Sequence[str]) -> dict[str, int]:
    """Find the files below a folder that match globs.

    Returns:
      Bytes of each file, by its name below the folder.
    Raises:
      DataError: a folder of this machine does not exist or cannot be listed.
      BeamIOError: another file system does not answer.
    """
    if FileSystems.get_scheme(folder) is None:
        # Beam would list everything below the first wildcard.
        return local_listing.sizes(folder, patterns)
    found: dict[str, int] = {}
    for pattern in patterns:
        for file in FileSystems.match([FileSystems.join(literal(folder), pattern)])[0].metadata_list:
            found["/".join(file.path.split("/")[-len(pattern.split("/")) :])] = file.size_in_bytes
    return found
