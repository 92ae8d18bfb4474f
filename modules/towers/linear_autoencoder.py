"""A linear autoencoder of what users rated: towers in closed form, for users who have no embedding.

References: Cremonesi et al., Performance of Recommender Algorithms on Top-N Recommendation Tasks (RecSys
2010), for PureSVD; Jin et al., Towards a Better Understanding of Linear Models for Recommendation (KDD 2021),
for its singular values with a penalty.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse.linalg
import tensorflow as tf

from modules import features
from modules.data.dataset import Catalogue, Interactions
from modules.hyperparameters import ColdStartConfig


def factors(
    config: ColdStartConfig, interactions: Interactions, catalogue: Catalogue, size: int
) -> np.ndarray:
    """Factorise the matrix of who rated what, `[size, config.embedding_dim]` float32.

    With its largest singular values s and their right singular vectors V, the factors are
    `V s / sqrt(s^2 + l2)` times the root of the weight. An inner product of two is what having rated one
    title says of the other. Titles out of the vocabulary share its last index, and have factors of 0.

    Args:
      config: length of the factors, penalty and weight.
      interactions: the train split.
      catalogue: all candidates.
      size: number of indices of titles, with that of those out of the vocabulary.
    """
    titles = catalogue.transformed[features.MOVIE_TITLE][:, 0]
    rated = interactions.rated(np.where(titles < size - 1, titles, -1), size)
    found = np.zeros((size, config.embedding_dim), np.float32)
    # The solver finds fewer than all of them.
    columns = min(config.embedding_dim, *(side - 1 for side in rated.shape))
    if columns > 0:
        _, values, vectors = scipy.sparse.linalg.svds(rated, columns, random_state=0)
        shrunk = values / np.sqrt(values**2 + config.l2)
        found[:, :columns] = vectors.T * shrunk * config.weight**0.5
    return found


class HistoryFactors(tf.keras.Model):
    """The query tower: the sum of the factors of a history, and 0 for users who have an embedding."""

    def __init__(self, found: np.ndarray, num_users: int):
        """Store the factors, `[indices, dim]`, and the number of users who have an embedding."""
        super().__init__()
        self._num_users = num_users
        # In a history 0 is padding, and every index is one higher.
        padded = np.pad(found, [[1, 0], [0, 0]])
        self._factors = tf.Variable(padded, trainable=False, name="history_factors")

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed queries, `[batch, dim]`, by USER_ID `[batch, 1]` and HISTORY_TITLE `[batch, any]`."""
        del training
        total = tf.reduce_sum(tf.gather(self._factors, inputs[features.HISTORY_TITLE]), axis=1)
        return total * tf.cast(inputs[features.USER_ID] >= self._num_users, tf.float32)


class CandidateFactors(tf.keras.Model):
    """The candidate tower: the factors of a title."""

    def __init__(self, found: np.ndarray):
        """Store the factors, `[indices, dim]`."""
        super().__init__()
        self._factors = tf.Variable(found, trainable=False, name="candidate_factors")

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Embed candidates, `[n, dim]`, by MOVIE_TITLE `[n, 1]`."""
        del training
        return tf.gather(self._factors, inputs[features.MOVIE_TITLE][:, 0])
