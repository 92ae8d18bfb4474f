"""Data of a Trainer: ratings as batches, the catalogue, and interactions of users and titles."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse
import tensorflow as tf
import tensorflow_transform as tft

from modules import features

# Rows parsed at once if no training batch size is given, and the size of the shuffle's buffer.
_READ_BATCH = 8192
_SHUFFLE_ROWS = 200_000
# Gzipped bytes of a split up to which its records stay in memory between passes. A larger one is read anew in
# each pass, its files (Transform writes one on Beam's in-memory runner) in another order, so many at a time.
_CACHED_BYTES = 128 << 20
_FILES_AT_ONCE = 8


def raw_feature_spec(rows: Sequence[features.RawFeature]) -> dict:
    """Return the parsing spec of raw features: `[batch, 1]`, repeated ones sparse, as Transform expects."""
    return {
        row.name: tf.io.VarLenFeature(tf.as_dtype(row.dtype.value))
        if row.repeated
        else tf.io.FixedLenFeature([1], tf.as_dtype(row.dtype.value))
        for row in rows
    }


def records(files: Sequence[str]) -> tf.data.Dataset:
    """Read serialised Examples from gzipped TFRecords, in the order of the files' names."""
    paths = tf.data.Dataset.list_files(list(files), shuffle=False)
    return tf.data.TFRecordDataset(paths, compression_type="GZIP")


def _shuffled(files: Sequence[str], seed: int) -> tf.data.Dataset:
    paths = sorted(path for pattern in files for path in tf.io.gfile.glob(pattern))
    cached = sum(tf.io.gfile.stat(path).length for path in paths) <= _CACHED_BYTES
    of_files = tf.data.Dataset.from_tensor_slices(paths)
    if not cached:
        of_files = of_files.shuffle(len(paths), seed=seed)
    # Several files at a time, because neighbouring rows of one file are of the users of one shard.
    rows = of_files.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type="GZIP"), cycle_length=_FILES_AT_ONCE
    )
    if cached:
        rows = rows.cache()
    return rows.shuffle(_SHUFFLE_ROWS, seed=seed)


def ratings(
    files: Sequence[str],
    transform: tft.TFTransformOutput,
    batch_size: int = _READ_BATCH,
    shuffle_seed: int | None = None,
    whole: bool = False,
    columns: Sequence[str] | None = None,
    history_length: int = features.TRAIN_HISTORY_LENGTH,
) -> tf.data.Dataset:
    """Read transformed ratings as dictionaries of `[batch, width]` tensors.

    Args:
      files: glob patterns of gzipped TFRecords.
      batch_size: rows in a batch; the last batch may be smaller.
      shuffle_seed: order of the rows, another one in each pass; None for the order of the files.
      whole: leave a smaller last batch out.
      columns: transformed features to parse; None for all.
      history_length: width of the history's columns; what is longer is cut.
    """
    rows = records(files) if shuffle_seed is None else _shuffled(files, shuffle_seed)
    spec = transform.transformed_feature_spec()
    if columns is not None:
        spec = {name: spec[name] for name in columns}
    lists = [name for name in features.HISTORY_COLUMNS if name in spec]
    spec |= {name: tf.io.RaggedFeature(spec[name].dtype) for name in lists}

    def parse(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(batch, spec)
        shape = [None, history_length]
        return parsed | {name: parsed[name].to_tensor(shape=shape) for name in lists}

    return rows.batch(batch_size, drop_remainder=whole).map(parse, tf.data.AUTOTUNE).prefetch(1)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Every candidate once, in a fixed order: a candidate's row here is its position.

    Attributes:
      movie_ids: `[n]` bytes.
      titles: `[n]` bytes, unique.
      transformed: the transformed features of the candidates' side, `[n, width]`.
    """

    movie_ids: np.ndarray
    titles: np.ndarray
    transformed: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.titles)

    def positions(self, titles: np.ndarray) -> np.ndarray:
        """Find titles' positions, `[n]` int64; -1 for a title that is no candidate."""
        return np.fromiter((self._positions.get(title, -1) for title in titles), np.int64, len(titles))

    def positions_of_indices(self, num_indices: int) -> np.ndarray:
        """List the position of each index in the titles' vocabulary, `[num_indices]` int64; -1 for none.

        Several titles may share the last index, that of titles out of the vocabulary; then it has none.
        """
        indices = self.transformed[features.MOVIE_TITLE][:, 0]
        positions = np.full(num_indices, -1, np.int64)
        positions[indices] = np.arange(len(self))
        if np.count_nonzero(indices == num_indices - 1) > 1:
            positions[-1] = -1
        return positions

    def features_of_indices(self, num_indices: int) -> dict[str, np.ndarray]:
        """List the transformed features of each index in the titles' vocabulary, `[num_indices, width]`.

        An index without a position, see positions_of_indices, has 0 in all but the title's own feature.
        """
        positions = self.positions_of_indices(num_indices)
        known = (positions >= 0)[:, np.newaxis]
        found = {name: np.where(known, values[positions], 0) for name, values in self.transformed.items()}
        return {**found, features.MOVIE_TITLE: np.arange(num_indices)[:, np.newaxis]}

    @functools.cached_property
    def _positions(self) -> dict[bytes, int]:
        # A dict, because a binary search would compare Python objects some sixteen times for each title.
        return {title: position for position, title in enumerate(self.titles)}


def load_catalogue(files: Sequence[str], transform_layer: tf.keras.layers.Layer) -> Catalogue:
    """Read the catalogue and transform it with the layer that is exported for serving.

    Args:
      files: glob patterns of the catalogue's gzipped TFRecords.
      transform_layer: from `tft.TFTransformOutput.transform_features_layer`.
    Raises:
      ValueError: a title occurs twice.
    """
    spec = raw_feature_spec(features.CATALOGUE_ROW)
    serialized = np.concatenate([*records(files).batch(_READ_BATCH).as_numpy_iterator()])
    raw = tf.io.parse_example(tf.constant(serialized), spec)
    titles = raw[features.MOVIE_TITLE].numpy()[:, 0]
    order = np.argsort(titles, kind="stable")
    if len(np.unique(titles)) != len(titles):
        raise ValueError("titles must be unique in the catalogue, because a title is a candidate's key")
    transformed = transform_layer(raw)
    names = [f.name for f in features.TRANSFORMED_FEATURES if f.side is features.Side.CANDIDATE]
    return Catalogue(
        movie_ids=raw[features.MOVIE_ID].numpy()[:, 0][order],
        titles=titles[order],
        transformed={name: transformed[name].numpy()[order] for name in names},
    )


@dataclasses.dataclass(frozen=True)
class Interactions:
    """The ratings of the train split.

    Attributes:
      users: `[rows]` int32, index of the user; `num_users` for users out of the vocabulary.
      positions: `[rows]` int32, position of the title in the catalogue.
      ratings: `[rows]` float32.
      timestamps: `[rows]` int64, seconds.
      mean_rating: of all rows.
      rating_range: lowest and highest rating of all rows.
      user_features: transformed features of the query side that belong to the user, `[users + 1]`, indexed by
        user; 0 in the last row, that of unknown users.
      num_users: users in the vocabulary.
    """

    users: np.ndarray
    positions: np.ndarray
    ratings: np.ndarray
    timestamps: np.ndarray
    mean_rating: float
    rating_range: tuple[float, float]
    user_features: Mapping[str, np.ndarray]
    num_users: int

    def popularity(self, num_candidates: int) -> np.ndarray:
        """Count the rows of every candidate, `[num_candidates]` int64."""
        return np.bincount(self.positions, minlength=num_candidates)

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """List the distinct titles of every user.

        Returns:
          Positions `[pairs]` int32, user by user, and row splits `[num_users + 2]` int64: user u's titles are
          `positions[splits[u]:splits[u + 1]]`. The last index is that of unknown users, who have none.
        """
        known = self.users < self.num_users
        size = 1 + self.positions.max(initial=0)
        # One number for a pair, which is faster to sort.
        pairs = np.unique(self.users[known].astype(np.int64) * size + self.positions[known])
        users, positions = np.divmod(pairs, size)
        counts = np.bincount(users, minlength=self.num_users + 1)
        return positions.astype(np.int32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def rated(self, columns: np.ndarray, size: int) -> scipy.sparse.csr_matrix:
        """Mark who rated what, `[num_users, size]` of 1; not users out of the vocabulary, who share an index.

        Args:
          columns: `[num_candidates]` column of each candidate; negative leaves it out.
          size: number of columns.
        """
        of_rows = columns[self.positions]
        kept = (self.users < self.num_users) & (of_rows >= 0)
        cells = self.users[kept], of_rows[kept]
        matrix = scipy.sparse.csr_matrix((np.ones(kept.sum()), cells), shape=(self.num_users, size))
        matrix.data[:] = 1.0
        return matrix

    def latest(self, length: int) -> History:
        """List every user's latest ratings, so many at most: the history of a query after all of them.

        Ratings of one second are in descending order of titles, as MovieLensExampleGen writes them.
        """
        order = np.lexsort((-self.ratings, -self.positions, -self.timestamps, self.users))
        users = self.users[order]
        # Number of the user's ratings that come before in this order.
        ranks = np.arange(len(users)) - np.searchsorted(users, users)
        kept = (ranks < length) & (users < self.num_users)
        cells = users[kept], ranks[kept]
        shape = (self.num_users + 1, length)
        positions, ratings = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        timestamps = np.zeros(shape, np.int64)
        positions[cells] = self.positions[order][kept]
        ratings[cells] = self.ratings[order][kept]
        timestamps[cells] = self.timestamps[order][kept]
        return History(positions, ratings, timestamps)


@dataclasses.dataclass(frozen=True)
class History:
    """Every user's latest ratings in the train split, latest first; the last row, of unknown users, is empty.

    Attributes:
      positions: `[users + 1, length]` int32, of titles in the catalogue; -1 as padding.
      ratings: the same shape, float32; 0 as padding.
      timestamps: the same shape, int64, seconds; 0 as padding.
    """

    positions: np.ndarray
    ratings: np.ndarray
    timestamps: np.ndarray


_USER_FEATURES = tuple(
    feature.name
    for feature in features.TRANSFORMED_FEATURES
    if feature.side is features.Side.QUERY and feature.raw not in (features.TIMESTAMP, features.USER_ID)
)

# Columns that load_interactions reads.
INTERACTION_COLUMNS = (
    *(features.USER_ID, features.RATING, features.CANDIDATE_KEY, features.TIMESTAMP),
    *_USER_FEATURES,
)


def load_interactions(batches: tf.data.Dataset, catalogue: Catalogue, num_users: int) -> Interactions:
    """Read the train split once.

    Args:
      batches: of `ratings`, the train split, with INTERACTION_COLUMNS at least.
      catalogue: all candidates, for the positions of titles.
      num_users: size of the users' vocabulary.
    Raises:
      ValueError: a rated title is no candidate.
    """
    names = ("users", "positions", "ratings", "timestamps")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    user_features = {name: np.zeros(num_users + 1, np.int64) for name in _USER_FEATURES}
    for batch in batches:
        read = {name: batch[name].numpy()[:, 0] for name in INTERACTION_COLUMNS}
        users, titles = read[features.USER_ID], read[features.CANDIDATE_KEY]
        # Here, for all rows' titles as text would take several times the memory of all else.
        positions = catalogue.positions(titles)
        if (positions < 0).any():
            title = titles[positions < 0][0].decode()
            raise ValueError(f"every rated title must be in the catalogue; it lacks {title!r}")
        columns["users"].append(users.astype(np.int32))
        columns["positions"].append(positions.astype(np.int32))
        columns["ratings"].append(read[features.RATING])
        columns["timestamps"].append(read[features.TIMESTAMP])
        for name, values in user_features.items():
            values[users] = read[name]
    for values in user_features.values():
        values[num_users] = 0
    merged = {name: np.concatenate(columns.pop(name)) for name in names}
    rated = merged["ratings"]
    return Interactions(
        **merged,
        mean_rating=float(np.mean(rated, dtype=np.float64)),
        rating_range=(float(rated.min()), float(rated.max())),
        user_features=user_features,
        num_users=num_users,
    )
