"""The network of `sasrec.py`, in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from benchmarks.rivals.sasrec import Sequences

_DIM, _HEADS, _BLOCKS, _HIDDEN = 64, 2, 2, 128
# Buckets of seconds, and of distances, by powers of 2 and of its root; the last of the former: nothing known.
_GAPS, _DISTANCES = 32, 16
_USERS_LEFT_OUT, _MOMENTS_LEFT_OUT = 0.2, 0.4
_INITIAL = 0.05
# Subtracted from the logit of a title that is no candidate.
_KNOWN = 1e9


class Network(tf.Module):
    """Embeds moments; the inner product with a title's embedding is the title's score."""

    def __init__(self, sizes: Mapping[str, int], sides: np.ndarray, seed: int, dropout: float):
        """Draw the initial values.

        Args:
          sizes: numbers of `users`, `buckets` and `ratings`.
          sides: `[titles, sides]` weights of what is known of each title.
          seed: of them.
          dropout: share of values that training leaves out.
        """
        super().__init__()
        random = np.random.RandomState(seed)

        def table(rows: int, columns: int = _DIM, scale: float = _INITIAL) -> tf.Variable:
            return tf.Variable(random.normal(0, scale, (rows, columns)).astype(np.float32))

        def matrix(rows: int, columns: int) -> tf.Variable:
            return table(rows, columns, (2 / (rows + columns)) ** 0.5)

        self._dropout = dropout
        self._sides = tf.constant(sides)
        self._titles, self._of_sides = table(len(sides)), table(sides.shape[1])
        self._title_bias = tf.Variable(tf.zeros([len(sides)]))
        self._ratings, self._gaps = table(sizes["ratings"]), table(_GAPS)
        self._users, self._buckets, self._asked = table(sizes["users"]), table(sizes["buckets"]), table(_GAPS)
        self._by_time = [table(_GAPS, _HEADS, 0.0) for _ in range(_BLOCKS)]
        self._by_distance = [table(_DISTANCES, _HEADS, 0.0) for _ in range(_BLOCKS)]
        self._matrices = [
            {
                **{name: matrix(_DIM, _DIM) for name in ("query", "key", "value", "out")},
                **{"up": matrix(_DIM, _HIDDEN), "down": matrix(_HIDDEN, _DIM)},
                "bias": tf.Variable(tf.zeros([_HIDDEN])),
            }
            for _ in range(_BLOCKS)
        ]
        self._gains = [tf.Variable(tf.ones([_DIM])) for _ in range(3 * _BLOCKS)]

    def embeddings(self) -> tf.Tensor:
        """Embed all titles, `[titles, d]`."""
        return self._titles + self._sides @ self._of_sides

    def __call__(self, given: Sequences, titles: tf.Tensor, training: bool) -> tf.Tensor:
        """Embed the moments that something is asked at, `[n, m, d]`."""
        users, buckets = given.users[:, tf.newaxis], given.buckets
        if training:
            users *= _kept(tf.shape(buckets), _USERS_LEFT_OUT)
            buckets *= _kept(tf.shape(buckets), _MOMENTS_LEFT_OUT)
        content = tf.gather(titles, given.titles) + tf.gather(self._ratings, given.ratings)
        content += tf.gather(self._gaps, _since_latest(given.times, given.known, given.times))
        # The latest title that is known stands for the moment, as in SASRec.
        latest = tf.gather(content, tf.maximum(given.asked_known - 1, 0), batch_dims=1)
        asked = tf.where(given.asked_known[..., tf.newaxis] > 0, latest, 0.0)
        asked += tf.gather(self._users, users) + tf.gather(self._buckets, buckets)
        asked += tf.gather(self._asked, _since_latest(given.asked, given.asked_known, given.times))
        content, asked = self._left_out(content, training), self._left_out(asked, training)
        among = _relation(given.times, given.known, given.times, own=True)
        past = _relation(given.asked, given.asked_known, given.times, own=False)
        for block in range(_BLOCKS):
            after = self._block(block, asked, content, past, training)
            if block + 1 < _BLOCKS:
                content = self._block(block, content, content, among, training)
            asked = after
        return asked

    def _block(self, block: int, x, content, relation, training: bool) -> tf.Tensor:
        visible, gaps, distances = relation
        weights, norm = self._matrices[block], 3 * block
        query = _heads(self._normed(x, norm) @ weights["query"])
        seen = self._normed(content, norm + 1)
        key, value = _heads(seen @ weights["key"]), _heads(seen @ weights["value"])
        # One lookup for both: of few rows, each of them a sum.
        bias = self._by_time[block][:, tf.newaxis] + self._by_distance[block]
        bias = tf.gather(tf.reshape(bias, [-1, _HEADS]), gaps * _DISTANCES + distances)
        logits = tf.matmul(query, key, transpose_b=True) / (_DIM / _HEADS) ** 0.5
        logits = tf.where(visible[:, tf.newaxis], logits + tf.transpose(bias, [0, 3, 1, 2]), -1e9)
        # A logit of 0 stands for nothing, so that a moment without history sees that.
        shares = tf.nn.softmax(tf.pad(logits, [[0, 0], [0, 0], [0, 0], [0, 1]]))[..., :-1]
        mixed = tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3])
        x += self._left_out(tf.reshape(mixed, tf.shape(x)) @ weights["out"], training)
        hidden = tf.nn.relu(self._normed(x, norm + 2) @ weights["up"] + weights["bias"])
        return x + self._left_out(self._left_out(hidden, training) @ weights["down"], training)

    def _normed(self, x: tf.Tensor, number: int) -> tf.Tensor:
        x -= tf.reduce_mean(x, -1, keepdims=True)
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + 1e-6) * self._gains[number]

    def _left_out(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return tf.nn.dropout(x, self._dropout) if training else x

    def loss(self, given: Sequences, wanted: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the mean cross-entropy of the titles that are asked for, over those not known there."""
        titles = self.embeddings()
        asked = self(given, titles, training=True)
        logits = tf.tensordot(asked, titles, [[2], [1]]) + self._title_bias
        logits -= _KNOWN * tf.cast(self._known(given, targets), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(tf.boolean_mask(losses, wanted))

    def _known(self, given: Sequences, targets: tf.Tensor) -> tf.Tensor:
        """Mark the titles that each moment knows, but the one asked for: `[n, m, titles]`."""
        (size, length), number = tf.unstack(tf.shape(given.titles)), len(self._sides)
        rows, columns = tf.meshgrid(tf.range(size), tf.range(length), indexing="ij")
        cells = tf.stack([rows, given.titles], axis=2)
        first = tf.tensor_scatter_nd_min(tf.fill([size, number], length), cells, columns)
        known = first[:, tf.newaxis] < given.asked_known[..., tf.newaxis]
        return known & (tf.range(number) != targets[..., tf.newaxis])

    def scores(self, given: Sequences) -> np.ndarray:
        """Score all titles at the one moment of each sequence, `[n, titles]`."""
        return self._scores(given).numpy()

    @tf.function(reduce_retracing=True, autograph=False)
    def _scores(self, given: Sequences) -> tf.Tensor:
        titles = self.embeddings()
        asked = self(given, titles, training=False)[:, 0]
        return tf.matmul(asked, titles, transpose_b=True) + self._title_bias


def _kept(shape: tf.Tensor, share: float) -> tf.Tensor:
    return tf.cast(tf.random.uniform(shape) >= share, tf.int32)


def _heads(x: tf.Tensor) -> tf.Tensor:
    parts = tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], _HEADS, _DIM // _HEADS])
    return tf.transpose(parts, [0, 2, 1, 3])


def _log_bucket(values: tf.Tensor, per_octave: int, buckets: int) -> tf.Tensor:
    logs = tf.math.log(tf.cast(tf.maximum(values, 0), tf.float32) + 1) * (per_octave / np.log(2.0))
    return tf.minimum(tf.cast(logs, tf.int32), buckets - 1)


def _since_latest(moments: tf.Tensor, known: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    latest = tf.gather(times, tf.maximum(known - 1, 0), batch_dims=1)
    return tf.where(known > 0, _log_bucket(moments - latest, 1, _GAPS - 1), _GAPS - 1)


def _relation(moments: tf.Tensor, known: tf.Tensor, times: tf.Tensor, own: bool):
    """Say what each moment sees: `[n, m, length]` whether, and buckets of how long ago and how far back."""
    length = tf.shape(times)[1]
    back = known[..., tf.newaxis] - tf.range(length)
    visible = back > 0
    if own:
        visible |= tf.eye(length, dtype=tf.bool)
    gaps = _log_bucket(moments[..., tf.newaxis] - times[:, tf.newaxis], 1, _GAPS)
    return visible, gaps, _log_bucket(back, 2, _DISTANCES)


def fit(
    network: Network,
    given: Sequences,
    wanted: np.ndarray,
    targets: np.ndarray,
    epochs: int,
    learning_rate: float,
    batch: int,
    seed: int,
) -> None:
    """Fit by Adam, the learning rate falling to 0 by half a cosine.

    Args:
      wanted, targets: `[n, length]` whether a title is asked for at a moment, and which.
    """
    tf.random.set_seed(seed)
    random = np.random.RandomState(seed)
    steps = -(-len(wanted) // batch)
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    optimizer = tf.keras.optimizers.Adam(rate)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(given: Sequences, wanted: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = network.loss(given, wanted, targets)
        variables = network.trainable_variables
        # Sums over all rows, not of the looked-up ones alone, which Adam would treat one by one.
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    for _ in range(epochs):
        order = random.permutation(len(wanted))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            step(given.take(rows), wanted[rows], targets[rows])
