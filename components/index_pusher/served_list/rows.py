"""Read what served lists are judged by: ratings of eval, and what train tells of their users and titles."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.index import queries
from modules import features

# Ratings that are parsed, and asked about, at once.
BATCH = 256
# The features by whose values ratings are sliced.
SLICES = tuple(row.name for row in features.SLICE_FEATURES)
# Those on which a list is compared with baselines. As for the models' hits (pipeline/gates.py), not by title:
# popularity finds nearly all of the titles that it puts first, and none of the others.
COMPARED_SLICES = tuple(name for name in SLICES if name != features.TITLE_POPULARITY)
# After the key of every user.
_LAST = (1 << 32, b"")


def whole_users(split_dir: str, size: int) -> list[bytes]:
    """Read all ratings of a split, or of as many of its users as have about `size` together.

    Args:
      split_dir: folder of a split.
      size: ratings at most, unless a single user has more. The users are those with the least checksums.
    Returns:
      Serialized tf.train.Examples, user by user.
    """
    by_user: dict[bytes, list[bytes]] = {}
    count, bound = 0, _LAST
    for records in _batches(split_dir):
        users = _parsed(records, {features.USER_ID: _single(tf.string)})[features.USER_ID].numpy()
        for user, record in zip(users, records, strict=True):
            if _key(user) < bound:
                by_user.setdefault(user, []).append(record)
                count += 1
        if count > 2 * size:
            count, bound = _drop(by_user, size)
    if count > size:
        _drop(by_user, size)
    return [record for user in sorted(by_user) for record in by_user[user]]


def _key(user: bytes) -> tuple[int, bytes]:
    return zlib.crc32(user), user


def _drop(by_user: dict[bytes, list[bytes]], size: int) -> tuple[int, tuple[int, bytes]]:
    """Drop users beyond `size` ratings; return how many ratings are left, and the least key dropped."""
    ordered = sorted(by_user, key=_key)
    counts = np.cumsum([len(by_user[user]) for user in ordered])
    kept = max(1, int(np.searchsorted(counts, size, side="right")))
    for user in ordered[kept:]:
        del by_user[user]
    return int(counts[kept - 1]), _key(ordered[kept]) if kept < len(ordered) else _LAST


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Some ratings of eval.

    Attributes:
      records: serialized tf.train.Examples.
      queries: features.QUERY_FEATURES and the title by name, as of `queries.parse`.
      ratings: `[rows]` float32.
      excluded: `[rows, any]` bytes, ids of features.EXCLUDE_ID, padded with "".
      slices: `[rows]` bytes by name, of SLICES.
    """

    records: Sequence[bytes]
    queries: Mapping[str, np.ndarray]
    ratings: np.ndarray
    excluded: np.ndarray
    slices: Mapping[str, np.ndarray]


def parse(records: Sequence[bytes]) -> Ratings:
    """Read ratings with all that their queries tell."""
    spec = {
        features.RATING: _single(tf.float32),
        features.EXCLUDE_ID: tf.io.RaggedFeature(tf.string),
        **{name: _single(tf.string, features.UNKNOWN) for name in SLICES},
    }
    parsed = _parsed(records, spec)
    return Ratings(
        records=records,
        queries=queries.parse(records),
        ratings=parsed[features.RATING].numpy(),
        excluded=parsed[features.EXCLUDE_ID].to_tensor("").numpy(),
        slices={name: parsed[name].numpy() for name in SLICES},
    )


@dataclasses.dataclass(frozen=True)
class Train:
    """What train tells of some users, and of the candidates.

    Attributes:
      latest: seconds, of each user's last rating; users without a rating are absent.
      rated: positions of the candidates that each of these users rated.
      genres: `[candidates, genres]` bool; a title that nobody rated in train has none.
    """

    latest: Mapping[bytes, int]
    rated: Mapping[bytes, np.ndarray]
    genres: np.ndarray


def read_train(split_dir: str, users: Collection[bytes], candidates: Candidates) -> Train:
    """Read the train split once.

    Args:
      split_dir: its folder; empty for none.
      users: whose ratings are kept.
      candidates: the catalogue.
    """
    positions = {title: position for position, title in enumerate(candidates.titles)}
    spec = {
        features.USER_ID: _single(tf.string),
        features.TIMESTAMP: _single(tf.int64),
        features.MOVIE_TITLE: _single(tf.string),
        features.MOVIE_GENRES: tf.io.RaggedFeature(tf.string),
    }
    wanted = set(users)
    latest: dict[bytes, int] = {}
    rated: dict[bytes, list[int]] = {}
    genres: dict[int, list[bytes]] = {}
    for records in _batches(split_dir) if split_dir else ():
        parsed = _parsed(records, spec)
        columns = (parsed[name].numpy() for name in (features.USER_ID, features.TIMESTAMP))
        titles = parsed[features.MOVIE_TITLE].numpy()
        listed = parsed[features.MOVIE_GENRES]
        names, starts = listed.values.numpy(), listed.row_splits.numpy()
        for row, (user, seconds) in enumerate(zip(*columns, strict=True)):
            position = positions.get(titles[row], -1)
            if position >= 0 and position not in genres:
                genres[position] = names[starts[row] : starts[row + 1]].tolist()
            if user in wanted:
                latest[user] = max(int(seconds), latest.get(user, int(seconds)))
                rated.setdefault(user, []).append(position)
    return Train(
        latest,
        {
            user: np.unique([position for position in found if position >= 0]).astype(int)
            for user, found in rated.items()
        },
        _one_hot(genres, len(candidates)),
    )


def _one_hot(genres: Mapping[int, Sequence[bytes]], size: int) -> np.ndarray:
    names = sorted({name for found in genres.values() for name in found} - {features.UNKNOWN.encode()})
    columns = {name: column for column, name in enumerate(names)}
    table = np.zeros((size, len(names)), bool)
    for position, found in genres.items():
        table[position, [columns[name] for name in found if name in columns]] = True
    return table


def _batches(split_dir: str) -> Iterator[list[bytes]]:
    for path in sorted(tf.io.gfile.glob(os.path.join(split_dir, "*"))):
        compression = "GZIP" if path.endswith(".gz") else ""
        for batch in tf.data.TFRecordDataset(path, compression).batch(8_192).as_numpy_iterator():
            yield batch.tolist()


def _parsed(records: Sequence[bytes], spec: Mapping) -> dict:
    parsed: dict = tf.io.parse_example(tf.constant(records), dict(spec))
    return parsed


def _single(dtype: tf.DType, default: str | None = None) -> tf.io.FixedLenFeature:
    return tf.io.FixedLenFeature([], dtype, default_value=default)
