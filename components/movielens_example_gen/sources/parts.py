"""Files that were written as a folder of parts, as Spark does: `ratings.parquet/part-00000.parquet`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SUFFIX = re.compile(r"\.(?:csv|parquet)$")


def patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the globs of files, or of their parts.

    The names of Spark's own marker files begin with an underscore or a dot. Hive's parts have names such as
    `000000_0`.

    >>> patterns(["u.data", "ratings.csv", "ratings.parquet"])
    ('u.data', 'ratings.csv', 'ratings.csv/[!._]*.csv', 'ratings.parquet', 'ratings.parquet/[!._]*')
    """
    globs: list[str] = []
    for name in names:
        globs.append(name)
        if suffix := _SUFFIX.search(name):
            globs.append(f"{name}/[!._]*{'' if is_parquet(name) else suffix[0]}")
    return tuple(globs)


def whole(name: str) -> str:
    """Return the name of the file that a part belongs to; for any other file, its own name.

    >>> whole("span-1/ratings.csv/part-0.csv"), whole("span-1/ratings.csv")
    ('span-1/ratings.csv', 'span-1/ratings.csv')
    """
    folder = name.rpartition("/")[0]
    return folder if _SUFFIX.search(folder) else name


def is_parquet(name: str) -> bool:
    """Return whether a file, or the file that a part belongs to, is named as Parquet.

    >>> is_parquet("ratings.parquet/000000_0"), is_parquet("ratings.csv")
    (True, False)
    """
    return whole(name).endswith(".parquet")
