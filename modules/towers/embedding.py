"""The embedding of one transformed feature."""

from __future__ import annotations

import tensorflow as tf

from modules.features import Encoding, TransformedFeature

# Rows of a table up to which a set's mean is a product of matrices, which costs less than the lookups.
_FEW_ROWS = 64


def random_stream() -> tf.random.Generator:
    """Return a stream of random numbers that a training's seed decides, also where XLA compiles its steps."""
    return tf.random.Generator.from_seed(int(tf.random.uniform([], maxval=tf.int32.max, dtype=tf.int32)))


class FeatureEmbedding(tf.keras.layers.Layer):
    """Embed one transformed feature.

    A set is the mean of its members' embeddings; a normalised number scales one learned vector.
    """

    def __init__(self, feature: TransformedFeature, num_indices: int, dim: int, limit: float):
        """Declare the table.

        Args:
          feature: what is embedded.
          num_indices: number of values that the feature can take; not used where it is normalised.
          dim: length of the embedding.
          limit: greatest size of the initial values, which are uniform.
        """
        super().__init__(name=feature.name)
        self._feature = feature
        rows = 1 if feature.encoding is Encoding.NORMALIZED else num_indices
        initializer = tf.keras.initializers.RandomUniform(-limit, limit)
        self._table = self.add_weight(name="table", shape=(rows, dim), initializer=initializer)

    @property
    def indexed_tables(self) -> list[tuple[tf.Variable, str]]:
        """The table, and the feature whose indices are its rows; for warm_start."""
        return [(self._table, self._feature.name)]

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Return `[batch, dim]` float32 for `[batch, width]` values."""
        if self._feature.encoding is Encoding.NORMALIZED:
            return values * self._table
        if not self._feature.is_set:
            return tf.gather(self._table, tf.squeeze(values, 1))
        present = tf.cast(values > 0, tf.float32)[:, :, tf.newaxis]
        shares = tf.math.divide_no_nan(present, tf.reduce_sum(present, 1, keepdims=True))
        rows = self._table.shape[0]
        if rows <= _FEW_ROWS:
            return tf.matmul(tf.reduce_sum(tf.one_hot(values, rows) * shares, 1), self._table)
        return tf.reduce_sum(tf.gather(self._table, values) * shares, 1)
