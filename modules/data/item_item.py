"""The item-item baseline: it scores a title by the titles that a user rated. Fitted in the Trainers.

An Evaluator compares a retrieval model with it, by the signature `eval`. No other signature reads it, though
its tables are saved with the model: at most 4,000 times 100 weights and positions, 3.2 MB.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from modules.data.dataset import Interactions

# Greatest number of candidates for which it is fitted: it inverts a matrix of as many rows and columns.
MAX_CANDIDATES = 4_000
# Weight of the squared norm of a title's weights, and number of the largest weights that stay. Chosen on an
# eighth of the train split of MovieLens 100K: of 50 to 1,000 this weight is the best with so few neighbours;
# with all of them top-100 would be 0.583 instead of 0.571.
L2 = 500.0
NUM_NEIGHBOURS = 100


class ItemItem(tf.Module):
    """EASE with the largest weights of each title.

    References: Steck, Embarrassingly Shallow Autoencoders for Sparse Data (WWW 2019), equation 8.
    """

    def __init__(self, weights: np.ndarray):
        """Store the largest weights.

        Args:
          weights: `[n, n]`; a column holds the weights of rated titles in one title's score.
        """
        super().__init__()
        kept = min(NUM_NEIGHBOURS, len(weights))
        titles = np.argpartition(-np.abs(weights), kept - 1, axis=0)[:kept]
        values = np.take_along_axis(weights, titles, axis=0)
        # `[n, kept]`, title by title.
        self._neighbours = tf.Variable(titles.T.astype(np.int32), trainable=False)
        self._weights = tf.Variable(values.T.astype(np.float32), trainable=False)

    def scores(self, rated: tf.Tensor) -> tf.Tensor:
        """Score all titles by those that a user rated: `[batch, n]` float32 for `[batch, n]` bool."""
        size, kept = self._neighbours.shape
        cells = tf.stack([tf.repeat(tf.range(size), kept), tf.reshape(self._neighbours, [-1])], axis=1)
        weights = tf.SparseTensor(tf.cast(cells, tf.int64), tf.reshape(self._weights, [-1]), [size, size])
        return tf.transpose(
            tf.sparse.sparse_dense_matmul(weights, tf.cast(rated, tf.float32), adjoint_b=True)
        )


def fit(interactions: Interactions, num_candidates: int) -> ItemItem | None:
    """Fit the model to the train split; None for more than MAX_CANDIDATES."""
    if num_candidates > MAX_CANDIDATES:
        return None
    rated = interactions.rated(np.arange(num_candidates), num_candidates)
    inverse = np.linalg.inv((rated.T @ rated).toarray() + L2 * np.eye(num_candidates))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return ItemItem(weights)
