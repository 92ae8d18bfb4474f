"""Rows as serialised tf.train.Examples.

A serialised protobuf map is a run of entries, and runs may be joined: the part of an Example that depends
on the film and the part that depends on the user are serialised once each and joined for every row. That is
an order of magnitude faster than one message a row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.movielens_example_gen.parsing.catalogue import Movie
from components.movielens_example_gen.parsing.users import User
from modules import features

_DTYPES = {feature.name: feature.dtype for feature in features.RATING_ROW}


def entries(values: Mapping[str, str | int | float | Sequence[str]]) -> bytes:
    """Serialise some features of a row.

    Args:
      values: by feature name; a sequence is a repeated feature.
    """
    message = tf.train.Features()
    for name, value in values.items():
        column = [value] if isinstance(value, (str, int, float)) else value
        if _DTYPES[name] is features.Dtype.BYTES:
            message.feature[name].bytes_list.value.extend([str(item).encode() for item in column])
        elif _DTYPES[name] is features.Dtype.INT:
            message.feature[name].int64_list.value.extend(column)
        else:
            message.feature[name].float_list.value.extend(column)
    return message.SerializeToString(deterministic=True)


def example(*parts: bytes) -> bytes:
    """Join results of `entries` to one serialised tf.train.Example.

    >>> row = example(entries({"movie_id": "7"}), entries({"user_rating": 3.5}))
    >>> tf.train.Example.FromString(row).features.feature["user_rating"].float_list.value
    [3.5]
    """
    # Field 1 of Example, length-delimited: its Features.
    return b"".join((b"\x0a", varint(sum(map(len, parts))), *parts))


def varint(number: int) -> bytes:
    """Write a number of 0 or more as protobuf does: seven bits a byte, the lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def varints(numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Write many numbers as `varint` does.

    Args:
      numbers: `[n]` integers from 0 to 2**35 - 1, five digits; a timestamp is below 2**32.

    Returns:
      All of them, one after the other, and `[n + 1]` where each starts, then where the last one stops.

    >>> digits, bounds = varints(np.array([300, 7]))
    >>> digits.hex(), bounds.tolist()
    ('ac0207', [0, 2, 3])
    """
    digits = numbers[:, np.newaxis] >> np.arange(0, 35, 7)
    used = digits > 0
    used[:, 0] = True
    more = np.zeros_like(used)
    more[:, :-1] = used[:, 1:]
    written = ((digits & 127) | np.where(more, 128, 0)).astype(np.uint8)[used]
    return written.tobytes(), np.concatenate(([0], np.cumsum(used.sum(axis=1))))


def movie_entries(movie: Movie) -> bytes:
    """Serialise what a row says of its film: features.CATALOGUE_ROW."""
    return entries(
        {
            features.MOVIE_ID: movie.movie_id,
            features.MOVIE_TITLE: movie.title,
            features.MOVIE_GENRES: movie.genres,
            features.MOVIE_YEAR: movie.year,
        }
    )


def user_entries(user: User, activity: str) -> bytes:
    """Serialise what a row says of its user, with the slice of the user's activity."""
    return entries(
        {
            features.USER_ID: user.user_id,
            features.USER_GENDER: user.gender,
            features.USER_AGE: user.age,
            features.USER_OCCUPATION: user.occupation,
            features.USER_ACTIVITY: activity,
        }
    )


def rating_entries(rating: float, timestamp: int) -> bytes:
    """Serialise the rating and its time.

    >>> rating_entries(3.5, 881250949) == entries({"user_rating": 3.5}) + entries({"timestamp": 881250949})
    True
    """
    number = varint(timestamp)
    return _rating_only(rating) + _timestamp_prefix(len(number)) + number


@functools.lru_cache(maxsize=64)
def _rating_only(rating: float) -> bytes:
    return entries({features.RATING: rating})


@functools.cache
def _timestamp_prefix(digits: int) -> bytes:
    # The number stands last; what stands before it depends on its length alone.
    whole = entries({features.TIMESTAMP: (1 << 7 * (digits - 1)) if digits > 1 else 0})
    return whole[:-digits]


def text_value(text: str) -> bytes:
    """Serialise one value of a bytes list.

    >>> text_value("Emma").hex(" ")
    '0a 04 45 6d 6d 61'
    """
    encoded = text.encode()
    return b"\x0a" + varint(len(encoded)) + encoded


def history_entries(titles: bytes, ratings: bytes, timestamps: bytes) -> bytes:
    r"""Serialise a history from its values on the wire.

    An empty list is written as one, not left out: a history of no ratings is known, not missing.

    Args:
      titles: results of `text_value`.
      ratings: little-endian float32.
      timestamps: results of `varint`.

    >>> row = history_entries(text_value("Emma"), b"\0\0\x60\x40", varint(9))
    >>> tf.train.Features.FromString(row).feature["history_rating"].float_list.value
    [3.5]
    """
    # Field 1, length-delimited, of FloatList and Int64List: all values, packed.
    packed = [b"\x0a" + varint(len(values)) + values if values else b"" for values in (ratings, timestamps)]
    return b"".join(
        _entry(feature.name, _KINDS[feature.dtype], values)
        for feature, values in zip(features.HISTORY_FEATURES, (titles, *packed), strict=True)
    )


def exclude_entries(movie_ids: bytes) -> bytes:
    """Serialise ids of titles that are no candidates, results of `text_value`; none are written as none.

    >>> row = exclude_entries(text_value("7"))
    >>> tf.train.Features.FromString(row).feature["exclude_movie_id"].bytes_list.value
    [b'7']
    """
    return _entry(features.EXCLUDE_ID, _KINDS[features.Dtype.BYTES], movie_ids)


# Tags of the fields of Feature: bytes_list, float_list, int64_list.
_KINDS = {features.Dtype.BYTES: b"\x0a", features.Dtype.FLOAT: b"\x12", features.Dtype.INT: b"\x1a"}


def _entry(name: str, kind: bytes, values: bytes) -> bytes:
    # An entry of the map Features.feature: field 1 is the key, field 2 the Feature.
    feature = kind + varint(len(values)) + values
    entry = text_value(name) + b"\x12" + varint(len(feature)) + feature
    return b"\x0a" + varint(len(entry)) + entry
