"""Files that were written as a folder of parts, as Spark does: `ratings.parquet/part-00000.parquet`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SUFFIX = re.compile(r"\.(?:csv|parquet)$")


def patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Name where files may lie: themselves, or their parts, as globs.

    Spark's own notes begin with an underscore or a dot.

    >>> patterns(["u.data", "ratings.csv"])
    ('u.data', 'ratings.csv', 'ratings.csv/[!._]*.csv')
    """
    globs: list[str] = []
    for name in names:
        suffix = _SUFFIX.search(name)
        globs += [name, f"{name}/[!._]*{suffix[0]}"] if suffix else [name]
    return tuple(globs)


def whole(name: str) -> str:
    """Name the file that a part is of; any other file is its own.

    >>> whole("span-1/ratings.csv/part-0.csv"), whole("span-1/ratings.csv")
    ('span-1/ratings.csv', 'span-1/ratings.csv')
    """
    folder = name.rpartition("/")[0]
    return folder if _SUFFIX.search(folder) else name
