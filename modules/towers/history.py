"""A vector of the ratings before a query: a weighted sum of their titles' embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from modules import features
from modules.data.history import gap_buckets, recent
from modules.towers.embedding import random_stream

if TYPE_CHECKING:
    from modules.towers.tower import Tower

# Titles up to which a training step embeds all of them, rather than each of the histories' own.
_FEW_TITLES = 5_000

# A weighted mean of many embeddings is small beside a single one.
_INITIAL_SCALE = 4.0
# Length of the vectors by which the titles of a history meet the latest of them.
_ATTENTION_DIM = 32


class HistoryEncoder(tf.keras.layers.Layer):
    """The titles that a user rated before a query, and the time since the latest of them.

    `r(gap_1) + sum_j w_j s(gap_j) * e(title_j)`: the weights w are a softmax over the ratings of the history
    and over a logit of 0, so that what is long ago may count little although nothing else is there. A
    rating's logit is the sum of a learned one for the bucket of its gap, one for its rank in the order, and
    the product of projections of its title and of the latest title. s and r are learned vectors for each
    bucket. e are the candidate tower's embeddings, the title's, those of its genres and so on, or a table of
    the history's own: the former serve retrieval better, the latter a model that also rates. r tells a query
    in the same sitting from one by a user who returns; a query without history has a vector of its own.

    References: Liu et al., STAMP: Short-Term Attention/Memory Priority Model for Session-based Recommendation
    (KDD 2018), for attention from the latest title; Kang and McAuley, Self-Attentive Sequential
    Recommendation (ICDM 2018), section III-D, for one set of embeddings for history and candidates.
    """

    def __init__(
        self,
        candidates: Tower,
        titles: Mapping[str, np.ndarray],
        tied: bool,
        dropout: float = 0.0,
        limit: float = 0.05,
    ):
        """Declare the tables.

        Args:
          candidates: the candidate tower.
          titles: the features that it reads, `[indices, width]`, by index in the titles' vocabulary.
          tied: whether a title of the history has the candidate tower's embedding.
          dropout: share of ratings that a training step leaves out.
          limit: greatest size of the initial values of tables and r, which are uniform.
        """
        super().__init__(name="history")
        self._candidates = candidates
        self._titles = {name: tf.constant(values, tf.int32) for name, values in titles.items()}
        self._dropout = dropout
        self._random = random_stream()
        dim = candidates.embedding_dim
        self._no_history = buckets = len(features.GAP_BOUNDARIES) + 1
        uniform = tf.keras.initializers.RandomUniform(-limit, limit)
        constant = tf.keras.initializers.Constant(_INITIAL_SCALE)
        shape = (len(titles[features.MOVIE_TITLE]), dim)
        self._own = None if tied else self.add_weight(name="titles", shape=shape, initializer=uniform)
        self._logits = self.add_weight(name="logits", shape=(buckets,), initializer="zeros")
        length = features.TRAIN_HISTORY_LENGTH
        self._ranks = self.add_weight(name="ranks", shape=(length,), initializer="zeros")
        self._keys = self.add_weight(name="keys", shape=(dim, _ATTENTION_DIM))
        self._queries = self.add_weight(name="queries", shape=(dim, _ATTENTION_DIM))
        self._scales = self.add_weight(name="scales", shape=(buckets, dim), initializer=constant)
        # The last row is that of queries without history.
        self._returns = self.add_weight(name="returns", shape=(buckets + 1, dim), initializer=uniform)

    @property
    def indexed_tables(self) -> list[tuple[tf.Variable, str]]:
        """The history's own table, and the feature whose indices are its rows; for warm_start."""
        return [] if self._own is None else [(self._own, features.MOVIE_TITLE)]

    def _embedded(self, titles: tf.Tensor, training: bool) -> tf.Tensor:
        # Titles are shifted by one; what is looked up for the padding has no weight.
        indices = tf.maximum(titles - 1, 0)
        if self._own is not None:
            return tf.gather(self._own, indices)
        # A batch of training has more titles than a small catalogue; a query that is served has fewer.
        if training and len(self._titles[features.MOVIE_TITLE]) <= _FEW_TITLES:
            return tf.gather(self._candidates.embed(self._titles), indices)
        flat = tf.reshape(indices, [-1])
        embedded = self._candidates.embed({name: tf.gather(of, flat) for name, of in self._titles.items()})
        return tf.reshape(embedded, tf.concat([tf.shape(titles), embedded.shape[1:]], axis=0))

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Embed a batch of histories.

        Args:
          inputs: the columns of the history, `[batch, TRAIN_HISTORY_LENGTH or more]` each.
        Returns:
          `[batch, dim]`, and the mean squared norm of the looked-up titles, a scalar.
        """
        titles, _, ages = recent(inputs)
        gaps = gap_buckets(ages)
        present = tf.cast(titles > 0, tf.float32)
        if training and self._dropout:
            present *= tf.cast(self._random.uniform(tf.shape(present)) >= self._dropout, tf.float32)
        embedded = self._embedded(titles, training)
        logits = tf.gather(self._logits, gaps) + self._ranks[: titles.shape[1]]
        # x Q (y K)' = x Q K' y': the one latest title x is projected, in place of every title y.
        latest = tf.matmul(tf.matmul(embedded[:, 0], self._queries), self._keys, transpose_b=True)
        logits += tf.reduce_sum(latest[:, tf.newaxis] * embedded, axis=2) / _ATTENTION_DIM**0.5
        # In the exponential, not masked logits: the zero logit of the sum below is always there.
        weights = tf.exp(logits) * present
        weights /= 1.0 + tf.reduce_sum(weights, axis=1, keepdims=True)
        norms = tf.reduce_sum(tf.square(embedded), axis=2) * present
        norm = tf.reduce_mean(tf.reduce_sum(norms, 1) / (1.0 + tf.reduce_sum(present, 1)))
        scaled = embedded * tf.gather(self._scales, gaps)
        # The whole history's latest rating, also where a training step leaves it out of the sum.
        latest_gap = tf.where(titles[:, 0] > 0, gaps[:, 0], tf.constant(self._no_history, gaps.dtype))
        returned = tf.gather(self._returns, latest_gap)
        return returned + tf.reduce_sum(weights[:, :, tf.newaxis] * scaled, axis=1), norm
