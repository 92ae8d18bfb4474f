"""Attention of queries to the ratings before them, by what was rated and by how long before.

References: Kang and McAuley, Self-Attentive Sequential Recommendation (ICDM 2018), for a layer of attention
and dense layers; Li et al., Time Interval Aware Self-Attention for Sequential Recommendation (WSDM 2020), for
attention by time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from modules import features
from modules.hyperparameters import SequenceConfig
from modules.towers.embedding import random_stream

# Buckets of a time between two ratings, each twice as long as the one before; the last is that of none.
GAPS = 33
# Buckets of a number of ratings, two for each doubling.
_DISTANCES = 16
# So that a logit's exponential is finite.
_HIGHEST_LOGIT = 30.0


def gap_bucket(seconds: tf.Tensor) -> tf.Tensor:
    """Assign times to buckets that double, int32: 0, 1, 2 to 3, 4 to 7 and so on.

    >>> gap_bucket(tf.constant([0, 1, 3, 4, 7, 8])).numpy().tolist()
    [0, 1, 2, 3, 3, 4]
    """
    # A half keeps whole numbers (up to 2^23) off the bounds, where two logarithms could differ.
    doublings = tf.math.log(tf.cast(seconds, tf.float32) + 0.5) / np.log(2.0).astype(np.float32)
    return tf.clip_by_value(tf.cast(doublings + 1.0, tf.int32), 0, GAPS - 2)


def _distance_bucket(ratings: tf.Tensor) -> tf.Tensor:
    counts = np.arange(1, 1 + features.HISTORY_LENGTH)
    table = np.minimum(2 * np.log2(counts) + 1e-3, _DISTANCES - 1).astype(np.int32)
    return tf.gather(tf.constant(table), tf.clip_by_value(ratings - 1, 0, len(table) - 1))


class Relation(NamedTuple):
    """What queries know of ratings, `[b, queries, ratings]` each.

    Attributes:
      earlier: bool, whether the rating is one of the user's latest before the query. The oldest rating of a
        full history is none of them: it only tells how long after it the next one is.
      cell: int32, row of a table of biases by the time and the number of ratings between the two.
    """

    earlier: tf.Tensor
    cell: tf.Tensor

    @classmethod
    def of(cls, seconds: tf.Tensor, earlier: tf.Tensor, back: tf.Tensor) -> Relation:
        """Describe a relation.

        Args:
          seconds: `[b, queries, ratings]`, from the rating to the query.
          earlier: the same shape, whether the rating is of the same user and strictly earlier.
          back: the same shape, int32: 1 for the latest such rating, 2 for the one before it, and so on.
        """
        cell = gap_bucket(tf.maximum(seconds, 0)) * _DISTANCES + _distance_bucket(back)
        return cls(earlier & (back < features.HISTORY_LENGTH), cell)


class AttentionBlock(tf.keras.layers.Layer):
    """Attention of queries to ratings, and two dense layers; each is added to what comes in."""

    def __init__(self, dim: int, config: SequenceConfig):
        """Declare the matrices.

        Args:
          dim: length of the embeddings, a multiple of the heads.
          config: heads and dropout.
        """
        super().__init__()
        self._heads, self._dropout = config.heads, config.dropout
        self._random = random_stream()
        inner = 2 * dim
        self._query, self._key, self._value, self._output = (
            self.add_weight(name=name, shape=(dim, dim)) for name in ("query", "key", "value", "output")
        )
        self._inner = self.add_weight(name="inner", shape=(dim, inner))
        self._inner_bias = self.add_weight(name="inner_bias", shape=(inner,), initializer="zeros")
        self._outer = self.add_weight(name="outer", shape=(inner, dim))
        self._outer_bias = self.add_weight(name="outer_bias", shape=(dim,), initializer="zeros")
        self._of_gap, self._of_distance = (
            self.add_weight(name=name, shape=shape, initializer="zeros")
            for name, shape in (("gaps", (GAPS, 1, config.heads)), ("distances", (_DISTANCES, config.heads)))
        )
        self._gains = self.add_weight(name="gains", shape=(3, dim), initializer="ones")

    def call(
        self, queries: tf.Tensor, ratings: tf.Tensor, relation: Relation, training: bool = False
    ) -> tf.Tensor:
        """Return `[b, queries, dim]` for queries of that shape and ratings `[b, ratings, dim]`."""
        queries, ratings = self._dropped(queries, training), self._dropped(ratings, training)
        own, theirs = _normalized(queries, self._gains[0]), _normalized(ratings, self._gains[1])
        query, key = self._split(own @ self._query), self._split(theirs @ self._key)
        logits = tf.matmul(query, key, transpose_b=True) / query.shape[-1] ** 0.5
        biases = tf.reshape(self._of_gap + self._of_distance, [-1, self._heads])
        logits += tf.transpose(tf.gather(biases, relation.cell), [0, 3, 1, 2])
        allowed = tf.cast(relation.earlier, tf.float32)[:, tf.newaxis]
        weights = tf.exp(tf.minimum(logits, _HIGHEST_LOGIT)) * allowed
        # The 1 is the exponential of the logit that stands for nothing.
        weights /= 1.0 + tf.reduce_sum(weights, axis=3, keepdims=True)
        attended = tf.transpose(tf.matmul(weights, self._split(theirs @ self._value)), [0, 2, 1, 3])
        attended = tf.reshape(attended, tf.shape(queries)) @ self._output
        total = queries + self._dropped(attended, training)
        hidden = tf.nn.relu(_normalized(total, self._gains[2]) @ self._inner + self._inner_bias)
        change = self._dropped(hidden, training) @ self._outer + self._outer_bias
        return total + self._dropped(change, training)

    def _split(self, values: tf.Tensor) -> tf.Tensor:
        size = values.shape[-1] // self._heads
        shape = tf.concat([tf.shape(values)[:2], [self._heads, size]], axis=0)
        return tf.transpose(tf.reshape(values, shape), [0, 2, 1, 3])

    def _dropped(self, values: tf.Tensor, training: bool) -> tf.Tensor:
        """Set a share of the values to 0 in training, and scale the others up."""
        if not training or not self._dropout:
            return values
        kept = tf.cast(self._random.uniform(tf.shape(values)) >= self._dropout, tf.float32)
        return values * kept / (1.0 - self._dropout)


def _normalized(values: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + 1e-6) * gain
