"""The network of `sasrec.py`, in TensorFlow.

A query has a position of its own beside the titles, as in the two streams of XLNet (Yang et al., NeurIPS
2019), because it may not attend to titles of its own second.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from benchmarks.rivals.sasrec import BUCKET, RATING, SECOND, TITLE, USER
from modules.data import sequences
from modules.data.sequences import CONTEXT, EARLIER, ORDER, QUERIES, SINCE

_DIM, _HEADS, _BLOCKS, _HIDDEN = 64, 2, 2, 128
# Buckets of seconds by powers of 2, the last for none; of distances by powers of its root.
_GAPS, _DISTANCES = 33, 16
# Shares of the queries whose user, and whose bucket of time, training takes as unknown.
_UNKNOWN_USERS, _UNKNOWN_BUCKETS = 0.2, 0.4
# Windows of QUERIES in a training step.
_BATCH = 6
_MASKED = -1e9

Columns = Mapping[str, tf.Tensor]


def _table(rows: int) -> tf.keras.layers.Embedding:
    return tf.keras.layers.Embedding(rows, _DIM, tf.keras.initializers.RandomNormal(stddev=0.05))


class Block(tf.keras.layers.Layer):
    """Attention to the titles, biased by time and distance, and two dense layers."""

    def __init__(self, dropout: float):
        super().__init__()
        layers = tf.keras.layers
        self._norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(3)]
        self._query, self._key, self._value, self._out = (
            layers.Dense(_DIM, use_bias=False) for _ in range(4)
        )
        self._inner, self._outer = layers.Dense(_HIDDEN, "relu"), layers.Dense(_DIM)
        self._dropout = layers.Dropout(dropout)
        self._by_gap = self.add_weight("by_gap", (_GAPS, 1, _HEADS), initializer="zeros")
        self._by_distance = self.add_weight("by_distance", (_DISTANCES, _HEADS), initializer="zeros")

    def call(
        self, x: tf.Tensor, titles: tf.Tensor, visible: tf.Tensor, cells: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Return `[b, m, d]`.

        Args:
          x: of that shape.
          titles: `[b, n, d]`.
          visible, cells: `[b, m, n]` whether to attend, and the row of the biases.
        """
        attended = self._norms[1](titles)
        query, key, value = (
            _heads(values)
            for values in (self._query(self._norms[0](x)), self._key(attended), self._value(attended))
        )
        biases = tf.reshape(self._by_gap + self._by_distance, [-1, _HEADS])
        logits = tf.matmul(query, key, transpose_b=True) / (_DIM / _HEADS) ** 0.5
        logits += tf.transpose(tf.gather(biases, cells), [0, 3, 1, 2])
        logits = tf.where(visible[:, tf.newaxis], logits, _MASKED)
        # One more logit of 0, so that a query without history has something to attend to.
        weights = tf.nn.softmax(tf.pad(logits, [[0, 0], [0, 0], [0, 0], [0, 1]]))[..., :-1]
        mixed = tf.reshape(tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), tf.shape(x))
        x += self._dropout(self._out(mixed), training=training)
        hidden = self._dropout(self._inner(self._norms[2](x)), training=training)
        return x + self._dropout(self._outer(hidden), training=training)


class Network(tf.keras.Model):
    """Embeds queries; the inner product with a title's embedding, and its bias, are the title's score."""

    def __init__(self, title_features: np.ndarray, sizes: Mapping[str, int], dropout: float):
        """Declare the tables.

        Args:
          title_features: `[titles, features]` weights.
          sizes: numbers of USER, BUCKET and RATING.
          dropout: share of the values that training sets to 0.
        """
        super().__init__()
        self._title_features = tf.constant(title_features)
        self._titles, self._of_features = _table(len(title_features)), _table(title_features.shape[1])
        self._biases = self.add_weight("biases", (len(title_features),), initializer="zeros")
        self._users, self._buckets, self._ratings = (_table(sizes[name]) for name in (USER, BUCKET, RATING))
        self._gaps, self._returns = _table(_GAPS), _table(_GAPS)
        self._dropout = tf.keras.layers.Dropout(dropout)
        self._blocks = [Block(dropout) for _ in range(_BLOCKS)]

    def titles(self) -> tf.Tensor:
        """Embed all titles, `[titles, d]`."""
        titles, of_features = (
            table(tf.range(table.input_dim)) for table in (self._titles, self._of_features)
        )
        return titles + self._title_features @ of_features

    def call(self, rows: Columns, titles: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Embed the queries of windows.

        Args:
          rows: `[b, CONTEXT + m]` each; only what is strictly earlier than a query has a part in it.
          titles: of `titles`.
        Returns:
          `[b, m, d]`.
        """
        order, earlier, seconds = rows[ORDER], rows[EARLIER], rows[SECOND]
        column = tf.range(tf.shape(order)[1])
        begins = column - order
        back = earlier[:, :, tf.newaxis] - order[:, tf.newaxis]
        visible = (begins[:, :, tf.newaxis] == begins[:, tf.newaxis]) & (back > 0) & (back <= CONTEXT)
        cells = _log_bucket(seconds[:, :, tf.newaxis] - seconds[:, tf.newaxis], 1, _GAPS) * _DISTANCES
        cells += _log_bucket(back, 2, _DISTANCES)
        since = tf.where(earlier > 0, _log_bucket(rows[SINCE], 1, _GAPS - 1), _GAPS - 1)
        known = tf.gather(titles, rows[TITLE]) + self._ratings(rows[RATING]) + self._gaps(since)
        # As in SASRec, a query begins with the latest title.
        latest = (begins + earlier - 1)[:, CONTEXT:]
        has_latest = (earlier[:, CONTEXT:] > 0) & (latest >= 0)
        queries = tf.gather(known, tf.maximum(latest, 0), batch_dims=1)
        queries = tf.where(has_latest[:, :, tf.newaxis], queries, 0.0) + self._returns(since[:, CONTEXT:])
        users, buckets = rows[USER][:, CONTEXT:], rows[BUCKET][:, CONTEXT:]
        if training:
            users *= _drawn(tf.shape(users), 1 - _UNKNOWN_USERS)
            buckets *= _drawn(tf.shape(users), 1 - _UNKNOWN_BUCKETS)
        queries = self._dropout(queries + self._users(users) + self._buckets(buckets), training=training)
        known = self._dropout(known, training=training)
        own = tf.eye(tf.shape(order)[1], dtype=tf.bool)
        for block in self._blocks:
            after = block(queries, known, visible[:, CONTEXT:], cells[:, CONTEXT:], training=training)
            if block is not self._blocks[-1]:
                known = block(known, known, visible | own, cells, training=training)
            queries = after
        return queries

    def logits(self, rows: Columns, training: bool) -> tf.Tensor:
        """Score all titles for each query, `[b, m, titles]`."""
        titles = self.titles()
        return tf.tensordot(self(rows, titles, training=training), titles, [[2], [1]]) + self._biases

    def loss(self, rows: Columns, first: tf.Tensor) -> tf.Tensor:
        """Return the mean cross-entropy of the queries' titles, over all but those rated earlier.

        Args:
          rows: `[b, CONTEXT + m]` each.
          first: of `first_ratings`.
        """
        users, targets, earlier = (rows[name][:, CONTEXT:] for name in (USER, TITLE, EARLIER))
        rated = tf.gather(first, users) < earlier[:, :, tf.newaxis]
        rated &= tf.range(first.shape[1]) != targets[:, :, tf.newaxis]
        logits = tf.where(rated, _MASKED, self.logits(rows, training=True))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))

    @tf.function(reduce_retracing=True, autograph=False)
    def _scores(self, rows: Columns) -> tf.Tensor:
        return self.logits(rows, training=False)[:, 0]

    def scores(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Score all titles for the one query of each window, `[b, titles]`."""
        return self._scores({name: tf.constant(values) for name, values in rows.items()}).numpy()


def _heads(x: tf.Tensor) -> tf.Tensor:
    shape = [tf.shape(x)[0], tf.shape(x)[1], _HEADS, _DIM // _HEADS]
    return tf.transpose(tf.reshape(x, shape), [0, 2, 1, 3])


def _drawn(shape: tf.Tensor, share: float) -> tf.Tensor:
    return tf.cast(tf.random.uniform(shape) < share, tf.int32)


def _log_bucket(values: tf.Tensor, per_octave: int, buckets: int) -> tf.Tensor:
    logs = tf.math.log(tf.cast(tf.maximum(values, 0), tf.float32) + 1) * (per_octave / np.log(2.0))
    return tf.minimum(tf.cast(logs, tf.int32), buckets - 1)


def first_ratings(columns: Mapping[str, np.ndarray], users: int, titles: int) -> np.ndarray:
    """Return how many ratings each user made before the first of each title, `[users, titles]` int32.

    >>> columns = {USER: [1, 1, 1], TITLE: [2, 0, 2], ORDER: [0, 1, 2]}
    >>> (first_ratings(columns, users=2, titles=3) < 2).astype(int).tolist()
    [[0, 0, 0], [1, 0, 1]]
    """
    first = np.full((users, titles), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(first, (columns[USER], columns[TITLE]), columns[ORDER])
    return first


def fit(
    columns: Mapping[str, np.ndarray],
    title_features: np.ndarray,
    sizes: Mapping[str, int],
    seed: int,
    epochs: int,
    learning_rate: float,
    dropout: float,
) -> Network:
    """Fit a network by Adam, the learning rate falling to 0 by half a cosine.

    Args:
      columns: of SasRec.columns, `[rows]` each, the rows of train.
      title_features, sizes, dropout: of Network.
    """
    tf.keras.utils.set_random_seed(seed)
    network = Network(title_features, sizes, dropout)
    first = tf.constant(first_ratings(columns, sizes[USER], len(title_features)))
    rows = len(columns[ORDER])
    size = sequences.batch_size(rows, _BATCH * QUERIES)
    windows = sequences.windows(columns, size, seed)
    steps = epochs * sequences.steps(rows, size)
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps))

    @tf.function(autograph=False)
    def step(batch: Columns) -> None:
        with tf.GradientTape() as tape:
            loss = network.loss(batch, first)
        variables = network.trainable_variables
        # Sums over all rows, not of the looked-up ones alone, which Adam would treat one by one.
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for _ in range(epochs):
        for batch in windows:
            step(batch)
    return network
