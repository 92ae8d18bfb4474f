"""Hashes and cut points of splits, and labels of slices; `beam/grouping.py` SplitShard divides the rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction

from modules import features

DAY = 86_400

# Slices by number of train rows: (at least, label), ascending.
_LEAST = (0, 1, 20, 100)
USER_ACTIVITY_LEVELS = tuple(zip(_LEAST, features.SLICE_VALUES[features.USER_ACTIVITY], strict=True))
TITLE_POPULARITY_LEVELS = tuple(zip(_LEAST, features.SLICE_VALUES[features.TITLE_POPULARITY], strict=True))


def level(count: int, levels: tuple[tuple[int, str], ...]) -> str:
    """Name the level that a count of train rows reaches.

    >>> [level(count, USER_ACTIVITY_LEVELS) for count in (0, 1, 19, 20, 99, 100)]
    ['cold', 'light', 'light', 'medium', 'medium', 'heavy']
    """
    return [label for least, label in levels if count >= least][-1]


def row_hash(user: str, movie: str, rating: float, timestamp: int, seed: int) -> tuple[int, int]:
    """Hash a row's whole identity, so that its split and position do not depend on other rows.

    Args:
      user, movie: ids as the file has them, not the merged candidate's.

    Returns:
      Two independent numbers in [0, 2**64): one decides the split, one the order within it.
    """
    identity = f"{user}\0{movie}\0{rating}\0{timestamp}".encode()
    digest = hashlib.blake2b(identity, digest_size=16, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def user_hash(user: str, seed: int) -> int:
    """Hash a user's id to a number in [0, 2**64): it decides which file holds the user's rows."""
    digest = hashlib.blake2b(user.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")


def hash_limit(eval_share: float) -> int:
    """Limit below which a row's hash makes it an eval row.

    >>> hash_limit(0.5) == 2**63
    True
    """
    return int(Fraction(str(eval_share)) * 2**64)


def train_quota(rows: int, eval_share: float) -> int:
    """Least number of rows before a time cut.

    The share is taken as the decimal that was written: 0.7 of 10 rows is 7, not 7.0000000000000004.

    >>> train_quota(10, 0.3)
    7
    """
    return math.ceil((1 - Fraction(str(eval_share))) * rows)


def cut_bin(histogram: Mapping[int, int], quota: int) -> tuple[int, int]:
    """Find the bin in which the quota is reached.

    Args:
      histogram: rows per bin.
      quota: from 1 to the number of rows.

    Returns:
      The bin, and the rest of the quota after the bins before it.

    >>> cut_bin({8: 3, 9: 4}, 5)
    (9, 2)
    """
    for key in sorted(histogram):
        if quota <= histogram[key]:
            return key, quota
        quota -= histogram[key]
    raise ValueError(f"the quota must not exceed the number of rows; {quota} rows are missing")


def time_cut(seconds: Mapping[int, int], quota: int) -> int:
    """First second of the eval split: the smallest with at least `quota` rows before it.

    Rows of one second stay together, so eval may be smaller than its share.

    Args:
      seconds: rows per timestamp, within the day in which the quota is reached.
      quota: the rest of it on that day.

    >>> time_cut({100: 1, 105: 3, 109: 1}, 2)
    106
    """
    return cut_bin(seconds, quota)[0] + 1
