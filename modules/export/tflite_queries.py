"""The query side on a device, in TensorFlow Lite's builtin operations only. Runs in the Trainers.

A TFLite file cannot hold Transform's graph, whose vocabularies are files and whose time buckets divide 64-bit
integers. So ids and titles are looked up as strings in tables in memory, and 32-bit timestamps are compared
with boundaries that were found by means of Transform's own graph. See tflite.py for the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from modules import features
from modules.features import Encoding, TransformedFeature
from modules.training import TrainingData

_TITLES = next(row for row in features.TRANSFORMED_FEATURES if row.name == features.MOVIE_TITLE)
# Last timestamp of the TFLite export: 32-bit seconds end in January 2038.
_LAST_SECOND = 2**31 - 1
# Seconds between the two points that determine the normalised time, some two years.
_SPAN = 2**26


def step_boundaries(
    function: Callable[[np.ndarray], np.ndarray], steps: int, last: int = _LAST_SECOND
) -> np.ndarray:
    """Find where a non-decreasing step function of an integer rises, by bisection.

    Args:
      function: from `[m]` int64 to `[m]` values from 0 to steps - 1.
      steps: number of values.
      last: greatest argument; the least is 0.
    Returns:
      `[steps - 1]` int64: entry i is the least x with function(x) > i, or last + 1 if there is none.

    >>> step_boundaries(lambda x: np.minimum(x // 10, 3), 4).tolist()
    [10, 20, 30]
    """
    low = np.zeros(steps - 1, np.int64)
    high = np.full(steps - 1, last + 1, np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        above = function(middle) > np.arange(steps - 1)
        low, high = np.where(above | (low >= high), low, middle + 1), np.where(above, middle, high)
    return low


class OnDeviceQueries(tf.Module):
    """Transformed features of the query side from raw ones, in builtin operations."""

    def __init__(self, data: TrainingData, history_length: int):
        """Copy vocabularies, boundaries, and users' features and histories of some length into memory."""
        super().__init__()
        self._encode: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {}
        self._raw = {f.name: f.raw for f in features.TRANSFORMED_FEATURES if f.side is features.Side.QUERY}
        self._user_features = {
            name: tf.constant(values, tf.int32) for name, values in data.interactions.user_features.items()
        }
        self._num_users = data.interactions.num_users
        encoders = {
            Encoding.VOCABULARY: _vocabulary,
            Encoding.BOUNDARIES: _boundaries,
            Encoding.TIME_BUCKETS: _time_buckets,
            Encoding.NORMALIZED: _normalized,
        }
        for feature in features.TRANSFORMED_FEATURES:
            if feature.side is features.Side.QUERY:
                self._encode[feature.name] = encoders[feature.encoding](feature, data)

        self._title_index = _vocabulary(_TITLES, data)
        table = data.interactions.latest(history_length)
        indices = np.append(data.catalogue.transformed[features.MOVIE_TITLE][:, 0] + 1, 0)
        self._history = {
            features.HISTORY_TITLE: tf.constant(indices[table.positions], tf.int32),
            features.HISTORY_RATING: tf.constant(table.ratings),
            features.HISTORY_TIMESTAMP: tf.constant(table.timestamps, tf.int32),
        }

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transform `[batch]` raw features into `[batch, 1]` int32 or float32 ones, and the history."""
        transformed = {name: encode(raw[self._raw[name]]) for name, encode in self._encode.items()}
        users = transformed[features.USER_ID]
        for name, values in self._user_features.items():
            source = self._raw[name]
            default = next(f.default for f in features.QUERY_FEATURES if f.name == source)
            fill = tf.logical_and(users < self._num_users, tf.equal(raw[source], default))
            # Not tf.where: LiteRT's makes a scalar of a vector of one element, which one request has.
            change = tf.gather(values, users) - transformed[name]
            transformed[name] += tf.cast(fill, tf.int32) * change
        columns = {name: values[:, tf.newaxis] for name, values in transformed.items()}
        return {**columns, **self._history_columns(raw, users)}

    def _history_columns(self, raw: Mapping[str, tf.Tensor], users: tf.Tensor) -> dict[str, tf.Tensor]:
        # The same as modules.data.history.latest.
        present = tf.not_equal(raw[features.HISTORY_TITLE], "")
        own = {
            features.HISTORY_TITLE: tf.where(present, self._title_index(raw[features.HISTORY_TITLE]) + 1, 0),
            features.HISTORY_RATING: raw[features.HISTORY_RATING],
            features.HISTORY_TIMESTAMP: raw[features.HISTORY_TIMESTAMP],
        }
        some = tf.reduce_any(present, axis=1, keepdims=True)
        stored = {name: _widened(tf.gather(table, users)) for name, table in self._history.items()}
        titles, ratings, timestamps = (tf.where(some, own[name], stored[name]) for name in stored)
        gaps = raw[features.TIMESTAMP][:, tf.newaxis] - timestamps
        known = tf.logical_and(gaps > 0, titles > 0)
        columns = {
            features.HISTORY_TITLE: tf.where(known, titles, 0),
            features.HISTORY_RATING: tf.where(known, ratings, 0.0),
            features.HISTORY_AGE: tf.where(known, gaps, 0),
        }
        # Of equal elements top_k takes the earlier first, as the stable sort does.
        order = tf.math.top_k(tf.where(known, -gaps, tf.int32.min), features.HISTORY_LENGTH).indices
        return {name: tf.gather(values, order, batch_dims=1) for name, values in columns.items()}


def _widened(values: tf.Tensor) -> tf.Tensor:
    return tf.pad(values, [[0, 0], [0, features.HISTORY_LENGTH - values.shape[1]]])


class _Lookup(tf.Module):
    """A table as a function; a module, so that an exported model includes the table."""

    def __init__(self, table: tf.lookup.StaticHashTable):
        super().__init__()
        self._table = table

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._table.lookup(values), tf.int32)


def _vocabulary(feature: TransformedFeature, data: TrainingData) -> Callable[[tf.Tensor], tf.Tensor]:
    terms = data.transform.vocabulary_by_name(feature.name)
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(terms), tf.range(len(terms), dtype=tf.int64)),
        len(terms),
    )
    return _Lookup(table)


def _count_above(boundaries: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    inner = tf.constant(np.minimum(boundaries, _LAST_SECOND), tf.int32)
    return lambda values: tf.reduce_sum(tf.cast(values[:, tf.newaxis] >= inner, tf.int32), axis=1)


def _boundaries(feature: TransformedFeature, data: TrainingData) -> Callable[[tf.Tensor], tf.Tensor]:
    del data
    return _count_above(np.asarray(feature.boundaries))


def _transformed(feature: TransformedFeature, data: TrainingData) -> Callable[[np.ndarray], np.ndarray]:
    """Return Transform's graph of one feature, from `[m]` int64 to `[m]`."""

    # Traced once, because each call of the layer imports its graph, and a bisection takes some thirty calls.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.int64)])
    def transform(values: tf.Tensor) -> tf.Tensor:
        return data.transform_layer({feature.raw: values[:, tf.newaxis]})[feature.name][:, 0]

    return lambda values: transform(values).numpy()


def _time_buckets(feature: TransformedFeature, data: TrainingData) -> Callable[[tf.Tensor], tf.Tensor]:
    return _count_above(step_boundaries(_transformed(feature, data), feature.width + 1))


def _normalized(feature: TransformedFeature, data: TrainingData) -> Callable[[tf.Tensor], tf.Tensor]:
    # Two points determine a line. The first one is its zero, since float32 is exact only there.
    transform = _transformed(feature, data)
    origin = step_boundaries(lambda timestamps: transform(timestamps) >= 0, steps=2)
    start, end = transform(np.concatenate([origin, origin + _SPAN]))
    slope = tf.constant((end - start) / np.float32(_SPAN), tf.float32)
    base = tf.constant(np.minimum(origin, _LAST_SECOND)[0], tf.int32)
    return lambda values: tf.cast(values - base, tf.float32) * slope + start
