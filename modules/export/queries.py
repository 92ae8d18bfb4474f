"""The query side of a served model: from a request, and the train split, to the columns of a tower.

A part of the exported models, see saved_model.py.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.data import history
from modules.training import TrainingData


class Queries(tf.Module):
    """Transformed features of the query side, from raw ones.

    For users of the train split, features that a request leaves at their default, and an empty history, are
    filled in from the train split. Transform's graph then drops the ratings that are not before the request's
    timestamp.
    """

    def __init__(self, data: TrainingData, history_length: int):
        """Store Transform's graph, and the users' features and histories, of so many ratings at most."""
        super().__init__()
        self._transform = data.transform_layer
        self._num_users = data.interactions.num_users
        self._user_features = {name: tf.constant(v) for name, v in data.interactions.user_features.items()}
        table = data.interactions.latest(history_length)
        titles = np.append(data.catalogue.titles, b"").astype(object)
        self._titles = tf.constant(titles, tf.string)
        # Variables, since constants of many users would swell the graph's own file.
        self._history = {
            features.HISTORY_TITLE: tf.Variable(table.positions, trainable=False),
            features.HISTORY_RATING: tf.Variable(table.ratings, trainable=False),
            features.HISTORY_TIMESTAMP: tf.Variable(table.timestamps, trainable=False),
        }

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transform raw features of features.QUERY_FEATURES, `[batch, 1]`, of the history `[batch, any]`."""
        return dict(self._function({f.name: raw[f.name] for f in features.QUERY_FEATURES}))

    @functools.cached_property
    def _function(self) -> tf.types.experimental.ConcreteFunction:
        """One function that all signatures call, so that it is traced, saved and loaded once."""
        spec = {
            f.name: tf.TensorSpec([None, None if f.repeated else 1], tf.as_dtype(f.dtype.value), f.name)
            for f in features.QUERY_FEATURES
        }
        with tf.init_scope():
            function = tf.function(self._transformed, autograph=False, input_signature=[spec])
            return function.get_concrete_function()

    def _transformed(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        users = self._transform({features.USER_ID: raw[features.USER_ID]})[features.USER_ID]
        transformed = history.dense(self._transform({**raw, **_sparse(self.history(raw, users))}))
        for feature in features.TRANSFORMED_FEATURES:
            if feature.name in self._user_features:
                default = next(f.default for f in features.QUERY_FEATURES if f.name == feature.raw)
                fill = tf.logical_and(users < self._num_users, raw[feature.raw] == default)
                known = tf.gather(self._user_features[feature.name], users)
                transformed[feature.name] = tf.where(fill, known, transformed[feature.name])
        return transformed

    def history(self, raw: Mapping[str, tf.Tensor], users: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the request's history, or the train split's if the request has none.

        Args:
          raw: as of a call.
          users: `[batch, 1]` the users' indices.
        Returns:
          features.HISTORY_FEATURES, `[batch, any]`; ratings at or after the request's timestamp are still in.
        """
        users = tf.squeeze(users, 1)
        given = {row.name: raw[row.name] for row in features.HISTORY_FEATURES}
        stored = self._history[features.HISTORY_TITLE].shape[1]
        width = tf.maximum(stored, tf.shape(given[features.HISTORY_TITLE])[1])
        empty = tf.reduce_all(given[features.HISTORY_TITLE] == "", axis=1, keepdims=True)
        filled = {}
        for row in features.HISTORY_FEATURES:
            known = tf.gather(self._history[row.name], users)
            if row.name == features.HISTORY_TITLE:
                known = tf.gather(self._titles, tf.where(known < 0, len(self._titles) - 1, known))
            filled[row.name] = tf.where(
                empty, _widened(known, width, row.default), _widened(given[row.name], width, row.default)
            )
        return filled


def _widened(values: tf.Tensor, width: tf.Tensor, padding: str | float) -> tf.Tensor:
    return tf.pad(values, [[0, 0], [0, width - tf.shape(values)[1]]], constant_values=padding)


def _sparse(history: Mapping[str, tf.Tensor]) -> dict[str, tf.SparseTensor]:
    """Return the history as sparse tensors, as Transform's graph takes repeated features."""
    # By the titles, and not by each column's own values: a rating or a timestamp of 0 may have a title.
    present = tf.where(history[features.HISTORY_TITLE] != "")
    # Present values move to the front of their row, so that the lists stay aligned.
    size = tf.shape(history[features.HISTORY_TITLE], tf.int64)[0]
    return {
        # tf.where returns the indices in order; to check that would add functions to every SavedModel.
        name: tf.RaggedTensor.from_value_rowids(
            tf.gather_nd(values, present), present[:, 0], size, validate=False
        ).to_sparse()
        for name, values in history.items()
    }
