"""Draw real queries from the ratings' eval split, and make requests of them. Runs in the executor."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.index_pusher.gates import Refusal
from modules import features

QUERY_COLUMNS = features.QUERY_FEATURES + tuple(
    row for row in features.CANDIDATE_FEATURES if row.name == features.MOVIE_TITLE
)
# Of the draw: the same models get the same queries.
_SEED = 0


def read_records(split_dir: str, size: int) -> list[bytes]:
    """Draw ratings uniformly, without replacement, in the order of the files.

    Args:
      split_dir: folder of one split: TFRecord files of tf.train.Examples, gzipped where named `.gz`.
      size: how many; fewer where the split holds fewer.
    Returns:
      Serialized tf.train.Examples.
    Raises:
      Refusal: the split holds no rating.
    """
    records = _sample(split_dir, size)
    if not records:
        raise Refusal(f"no rating to take queries from in {split_dir}")
    return records


def parse(records: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Read a query's features, and the rated title.

    Returns:
      Arrays by name: `[q]`, of the history `[q, HISTORY_LENGTH]`; strings as bytes objects.
    """
    spec = {
        row.name: tf.io.RaggedFeature(tf.as_dtype(row.dtype.value))
        if row.repeated
        else tf.io.FixedLenFeature([], tf.as_dtype(row.dtype.value), default_value=row.default)
        for row in QUERY_COLUMNS
    }
    parsed = tf.io.parse_example(tf.constant(list(records)), spec)
    for row in QUERY_COLUMNS:
        if row.repeated:
            # Padded here: if every row is empty, to_tensor returns no column, whatever shape it is given.
            lists = parsed[row.name].to_tensor(row.default)[:, : features.HISTORY_LENGTH]
            missing = features.HISTORY_LENGTH - tf.shape(lists)[1]
            parsed[row.name] = tf.pad(lists, [[0, 0], [0, missing]], constant_values=row.default)
    return {name: column.numpy() for name, column in parsed.items()}


def absent(row: features.RawFeature) -> bytes | int | float:
    """Return the value of an unknown feature in a query.

    >>> absent(features.HISTORY_FEATURES[0]), absent(features.HISTORY_FEATURES[1])
    (b'', 0.0)
    """
    return row.default.encode() if isinstance(row.default, str) else row.default


@dataclasses.dataclass(frozen=True)
class Requests:
    """The requests to the parts of a bundle.

    Attributes:
      records: serialized ratings.
      columns: query features and movie_title by name, `[q]`: of the records in their order, then of
        cold-start users.
    """

    records: Sequence[bytes]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, records: Sequence[bytes]) -> Requests:
        """Make requests of ratings."""
        return cls(records, with_cold_start_users(parse(records)))


def with_cold_start_users(queries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Append queries of cold-start users and of unknown titles.

    An unknown user, an unknown title, both; then a known and an unknown user without features and history.

    >>> columns = with_cold_start_users({"user_id": np.array([b"7"], object), "user_age": np.array([25])})
    >>> columns["user_id"].tolist(), columns["user_age"].tolist()
    ([b'7', b'no such user', b'7', b'no such user', b'7', b'no such user'], [25, 25, 25, 25, -1, -1])
    """
    identity = {features.USER_ID, features.TIMESTAMP}
    defaults = {row.name: absent(row) for row in features.QUERY_FEATURES if row.name not in identity}
    result = {}
    for name, column in queries.items():
        extra = column[[0] * 5]
        if name == features.USER_ID:
            extra[[0, 2, 4]] = b"no such user"
        if name == features.MOVIE_TITLE:
            extra[[1, 2]] = b"no such title"
        if name in defaults:
            extra[[3, 4]] = defaults[name]
        result[name] = np.concatenate([column, extra])
    return result


def _sample(split_dir: str, size: int) -> list[bytes]:
    """Return the records with the smallest random keys: one pass, with memory for `size` records."""
    rng = np.random.default_rng(_SEED)
    sample: list[tuple[float, int, bytes]] = []
    position = 0
    for path in sorted(tf.io.gfile.glob(os.path.join(split_dir, "*"))):
        compression = "GZIP" if path.endswith(".gz") else ""
        for batch in tf.data.TFRecordDataset(path, compression).batch(8_192).as_numpy_iterator():
            keys = rng.random(len(batch))
            bound = sample[-1][0] if len(sample) == size else 1.0
            drawn = np.flatnonzero(keys < bound)
            sample.extend((keys[offset], position + int(offset), batch[offset]) for offset in drawn)
            position += len(batch)
            sample = sorted(sample)[:size]
    return [record for _, _, record in sorted(sample, key=lambda entry: entry[1])]
