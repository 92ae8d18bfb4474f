"""The rating of a pair, from the embeddings of its two sides."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# Small, so that a rating begins near the sum of the linear terms while a shared tower's embeddings are large.
_INITIAL_SCALE = 0.2


class RatingHead(tf.keras.Model):
    """The rating of a pair, from the two sides' embeddings.

    Without hidden units a factorisation machine of which only the products across the sides are kept: those
    among a side's own features did harm on a part of train. An embedding's last column is its linear term.

    References: Rendle, Factorization Machines (ICDM 2010), equation 1.
    """

    def __init__(self, hidden_units: Sequence[int] | None, mean_rating: float, scaled_dims: int = 0):
        """Declare the head.

        Args:
          hidden_units: of the dense layers over both embeddings; None for a factorisation machine.
          mean_rating: of the train split, where a factorisation machine starts.
          scaled_dims: first columns of the machine's embeddings, where each product gets a learned scale: for
            those that another task shares, whose scores are larger than ratings. 0 for none.
        """
        super().__init__()
        self._dense = None
        if hidden_units is None:
            self._mean = self.add_weight(name="mean", initializer=tf.keras.initializers.Constant(mean_rating))
            self._scaled_dims = scaled_dims
            if scaled_dims:
                initializer = tf.keras.initializers.Constant(_INITIAL_SCALE)
                self._scale = self.add_weight(name="scale", shape=(scaled_dims,), initializer=initializer)
        else:
            layers = [tf.keras.layers.Dense(units, activation="relu") for units in hidden_units]
            self._dense = tf.keras.Sequential([*layers, tf.keras.layers.Dense(1)])

    @property
    def is_inner_product(self) -> bool:
        """Whether the rating is the inner product of `query_vectors` and `candidate_vectors`."""
        return self._dense is None

    def query_vectors(self, query: tf.Tensor) -> tf.Tensor:
        """Turn `[batch, dim]` embeddings of queries into `[batch, dim + 1]` factors of an inner product."""
        factors = query[:, :-1]
        if self._scaled_dims:
            own = factors[:, self._scaled_dims :]
            factors = tf.concat([self._scale * factors[:, : self._scaled_dims], own], axis=1)
        return tf.concat([factors, tf.ones_like(query[:, :1]), self._mean + query[:, -1:]], axis=1)

    @staticmethod
    def candidate_vectors(candidate: tf.Tensor) -> tf.Tensor:
        """Turn `[n, dim]` embeddings of candidates into the other factors, `[n, dim + 1]`."""
        return tf.concat([candidate, tf.ones_like(candidate[:, :1])], axis=1)

    def call(self, query: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        """Return `[batch, 1]` ratings for two `[batch, dim]` embeddings."""
        if self._dense is not None:
            return self._dense(tf.concat([query, candidate], axis=1))
        products = query[:, :-1] * candidate[:, :-1]
        if self._scaled_dims:
            shared, own = products[:, : self._scaled_dims], products[:, self._scaled_dims :]
            products = tf.concat([self._scale * shared, own], axis=1)
        return self._mean + query[:, -1:] + candidate[:, -1:] + tf.reduce_sum(products, axis=1, keepdims=True)
