"""The titles that a user had rated before a query, which are no candidates of it. Runs in the Trainers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.data.dataset import Interactions
from modules.data.sequences import CONTEXT

# Column of windows, `[batch, queries, n]` bool: the candidates that a query's user had rated before.
KNOWN = "known"
# Of a timestamp in a key of user and time; timestamps from 2038 on are bad rows.
_BITS = 32


class Known:
    """Marks the candidates that users of train had rated before a time."""

    def __init__(self, interactions: Interactions, num_candidates: int):
        """Sort the ratings.

        Args:
          interactions: the train split. Users out of the vocabulary share an index and are left out.
          num_candidates: size of the catalogue.
        """
        users = interactions.users.astype(np.int64)
        keys = users * (1 << _BITS) + interactions.timestamps
        order = np.argsort(keys, kind="stable")
        order = order[users[order] < interactions.num_users]
        self._size = num_candidates
        self._keys = tf.constant(keys[order])
        self._positions = tf.constant(interactions.positions[order])
        # Of each user, and of the index of those out of the vocabulary, who have none.
        begins = np.searchsorted(users[order], np.arange(interactions.num_users + 1))
        self._begins = tf.constant(begins.astype(np.int32))

    def mark(self, users: tf.Tensor, seconds: tf.Tensor) -> tf.Tensor:
        """Mark the candidates of queries, `[batch, n]` bool.

        Args:
          users: `[batch]` int64 indices.
          seconds: `[batch]` int64 timestamps.
        """
        ends = tf.searchsorted(self._keys, users * (1 << _BITS) + seconds)
        ratings = tf.ragged.range(tf.gather(self._begins, users), ends)
        positions = tf.cast(tf.gather(self._positions, ratings.values), tf.int64)
        cells = tf.stack([ratings.value_rowids(), positions], axis=1)
        none = tf.zeros([tf.shape(users)[0], self._size], tf.bool)
        return tf.tensor_scatter_nd_update(none, cells, tf.ones_like(cells[:, 0], tf.bool))

    def add(self, rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Add KNOWN to the columns of windows of `sequences.windows`, USER_ID among them."""
        users, seconds = (
            tf.cast(rows[name][:, CONTEXT:], tf.int64) for name in (features.USER_ID, features.TIMESTAMP)
        )
        known = self.mark(tf.reshape(users, [-1]), tf.reshape(seconds, [-1]))
        return {**rows, KNOWN: tf.reshape(known, [-1, users.shape[1], self._size])}
