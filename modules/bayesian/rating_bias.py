"""The bias of a user's recent ratings, and a tower that adds it: for the ranking model of head `bayesian`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from modules import features
from modules.data.history import gap_buckets, recent
from modules.towers.tower import Tower

# Name of its table, beside the tables of features.
NAME = "recent_bias"
# Numbers of a recent bias: the mean over the whole history, and the mean with weights that fall with time.
SIZE = 2
# Average ratings that are added to the real ones in each mean.
_TITLE_PRIOR = 10.0
_LONG_PRIOR = 2.0
_LATE_PRIOR = 1.0
_TASTE_PRIOR = 5.0
# Decrease of the logarithm of a rating's weight, per bucket of features.GAP_BOUNDARIES.
_FADING = 0.1


def title_means(titles: np.ndarray, ratings: np.ndarray, num_titles: int) -> np.ndarray:
    """Average the ratings of every title, shrunk to the mean of all if they are few.

    Args:
      titles: `[rows]` indices in the vocabulary.
      ratings: `[rows]` stars.
      num_titles: size of the vocabulary, with its out-of-vocabulary index.
    Returns:
      `[num_titles + 1]` float32, indexed as features.HISTORY_TITLE.

    >>> title_means(np.array([0] * 10 + [1]), np.array([5.0] * 10 + [5.0]), 3).tolist()
    [5.0, 5.0, 5.0, 5.0]
    """
    mean = np.mean(ratings, dtype=np.float64)
    counts = np.bincount(titles, minlength=num_titles)
    above = np.bincount(titles, weights=ratings - mean, minlength=num_titles) / (counts + _TITLE_PRIOR)
    return np.concatenate([[mean], mean + above]).astype(np.float32)


def recent_bias(inputs: Mapping[str, tf.Tensor], means: tf.Tensor) -> tf.Tensor:
    """Compute by how many stars the user's last ratings are above their titles' means.

    Args:
      inputs: the columns of the history, `[batch, TRAIN_HISTORY_LENGTH or more]` each.
      means: of `title_means`.
    Returns:
      `[batch, SIZE]` float32: the mean over the whole history, and the mean with weights that fall with time;
      both shrunk to 0 if the history is short.
    """
    titles, ratings, ages = recent(inputs)
    present = tf.cast(titles > 0, tf.float32)
    above = (ratings - tf.gather(means, titles)) * present
    weights = tf.exp(-_FADING * tf.cast(gap_buckets(ages), tf.float32)) * present
    long = tf.reduce_sum(above, 1) / (tf.reduce_sum(present, 1) + _LONG_PRIOR)
    late = tf.reduce_sum(weights * above, 1) / (tf.reduce_sum(weights, 1) + _LATE_PRIOR)
    return tf.stack([long, late], axis=1)


class RatingBiasTower(Tower):
    """A tower that adds a term computed from the history.

    For users of train the term is the numbers of the recent bias, each times a vector; the rest is in the
    users' own embeddings. For cold-start users it is `history_summary` times a matrix, instead of such an
    embedding.
    """

    def __init__(self, names: Sequence[str], sizes: Mapping[str, int], dim: int, means: np.ndarray):
        """Declare the tables.

        Args:
          names: of the transformed features that are read.
          sizes: number of values that each feature can take.
          dim: length of an embedding, with the linear term.
          means: of `title_means`; they are not trained.
        """
        super().__init__(names, sizes, dim)
        self._cold_start_index = sizes[features.USER_ID] - 1
        fixed = tf.keras.initializers.Constant(means)
        self._means = self.add_weight(name="means", shape=means.shape, initializer=fixed, trainable=False)
        self._table = self.add_weight(name=NAME, shape=(SIZE, dim), initializer="zeros")
        self._vectors = self.add_weight(
            name="vectors", shape=(len(means), dim - 1), initializer="zeros", trainable=False
        )
        self._matrix = self.add_weight(name="matrix", shape=(SIZE + dim, dim), initializer="zeros")

    @property
    def num_titles(self) -> int:
        """Titles of train."""
        return self._vectors.shape[0] - 2

    @property
    def summary_size(self) -> int:
        """Length of `history_summary`."""
        return self._matrix.shape[0]

    def assign(self, tables: Mapping[str, np.ndarray]) -> None:
        """Replace its tables, see `Tower.assign`; the one of the recent bias is called NAME."""
        super().assign(tables)
        self._table.assign(tables[NAME])

    def assign_cold_start(self, vectors: np.ndarray, matrix: np.ndarray) -> None:
        """Assign the tables that cold-start users' embeddings are made from.

        Args:
          vectors: `[titles + 1, dim - 1]` of the candidates, indexed as features.HISTORY_TITLE.
          matrix: `[SIZE + dim, dim]`, by which `history_summary` is multiplied.
        """
        self._vectors.assign(vectors)
        self._matrix.assign(matrix)

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed a batch, see `Tower.call`; the user and the columns of the history are read too."""
        known = tf.matmul(recent_bias(inputs, self._means), self._table)
        unknown = tf.matmul(self.history_summary(inputs), self._matrix)
        users = inputs[features.USER_ID]
        cold_start = tf.equal(users, tf.constant(self._cold_start_index, users.dtype))
        return super().call(inputs, training) + tf.where(cold_start, unknown, known)

    def history_summary(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Summarise a history, `[batch, SIZE + dim]`.

        1; the recent bias; and the mean of the titles' vectors, each multiplied by how many stars its rating
        is above the title's mean and the user's recent bias.
        """
        titles, ratings, _ = recent(inputs)
        present = tf.cast(titles > 0, tf.float32)
        biases = recent_bias(inputs, self._means)
        above = (ratings - tf.gather(self._means, titles) - biases[:, :1]) * present
        liked = tf.reduce_sum(above[:, :, tf.newaxis] * tf.gather(self._vectors, titles), axis=1)
        liked /= tf.reduce_sum(present, axis=1, keepdims=True) + _TASTE_PRIOR
        return tf.concat([tf.ones_like(liked[:, :1]), biases, liked], axis=1)
