"""Files that were written as a folder of parts, as Spark does: `ratings.parquet/part-00000.parquet`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SUFFIX = re.compile(r"\.(?:csv|parquet)$")


def patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the globs of files, or of their parts.

    The names of Spark's own marker files begin with an underscore or a dot.

    >>> patterns(["u.data", "ratings.csv"])
    ('u.data', 'ratings.csv', 'ratings.csv/[!._]*.csv')
    """
    globs: list[str] = []
    for name in names:
        suffix = _SUFFIX.search(name)
        globs += [name, f"{name}/[!._]*{suffix[0]}"] if suffix else [name]
    return tuple(globs)


def whole(name: str) -> str:
    """Return the name of the file that a part belongs to; for any other file, its own name.

    >>> whole("span-1/ratings.csv/part-0.csv"), whole("span-1/ratings.csv")
    ('span-1/ratings.csv', 'span-1/ratings.csv')
    """
    folder = name.rpartition("/")[0]
    return folder if _SUFFIX.search(folder) else name
