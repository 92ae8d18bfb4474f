"""A user's history, from raw lists to columns. In Transform's graph, and so wherever a model is served."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from modules import features


def gap_buckets(ages: tf.Tensor) -> tf.Tensor:
    """Count the boundaries of features.GAP_BOUNDARIES that ages reach, integers of their shape and type.

    >>> gap_buckets(tf.constant([0, 1, 59, 60])).numpy().tolist()
    [0, 1, 6, 7]
    """
    reached = ages[..., tf.newaxis] >= tf.constant(features.GAP_BOUNDARIES, ages.dtype)
    return tf.reduce_sum(tf.cast(reached, ages.dtype), axis=-1)


def latest(
    titles: tf.Tensor, ratings: tf.Tensor, timestamps: tf.Tensor, now: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Keep of every history the latest ratings strictly before the query.

    Args:
      titles: `[batch, any]` string; "" stands for no rating.
      ratings: `[batch, any]` float32, stars.
      timestamps: `[batch, any]` int64, seconds; in any order.
      now: `[batch, 1]` int64, seconds, the timestamp of the query.
    Returns:
      Titles, ratings and gaps (int64, seconds from the rating to now, 1 or more), latest first, padded with
      "", 0 and 0: `[batch, any]`, at most HISTORY_LENGTH. Ratings of one second stay in their order.

    >>> titles, _, gaps = latest(
    ...     tf.constant([["Heat", "Alien", "Big", ""]]), tf.constant([[4.0, 3.0, 5.0, 0.0]]),
    ...     tf.constant([[10, 70, 60, 0]], tf.int64), tf.constant([[70]], tf.int64))
    >>> titles.numpy()[0].tolist(), gaps.numpy()[0].tolist()
    ([b'Big', b'Heat', b'', b''], [10, 60, 0, 0])
    """
    gaps = now - timestamps
    known = tf.logical_and(gaps > 0, titles != "")
    order = tf.argsort(tf.where(known, gaps, gaps.dtype.max), axis=1, stable=True)
    order = order[:, : features.HISTORY_LENGTH]

    def column(values: tf.Tensor, absent: str | float) -> tf.Tensor:
        return tf.gather(tf.where(known, values, tf.constant(absent, values.dtype)), order, batch_dims=1)

    return column(titles, ""), column(ratings, 0.0), column(gaps, 0)


def recent(columns: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what a train row has of a history, in the order of HISTORY_COLUMNS.

    Args:
      columns: those of the history, `[batch, TRAIN_HISTORY_LENGTH or more]`.
    Returns:
      Titles, ratings and ages, `[batch, TRAIN_HISTORY_LENGTH]`.
    """
    titles, ratings, ages = (
        columns[name][:, : features.TRAIN_HISTORY_LENGTH] for name in features.HISTORY_COLUMNS
    )
    return titles, ratings, ages


def dense(transformed: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Put columns in the place of the lists of a history, as Transform's graph returns them.

    Args:
      transformed: transformed features; the history's are sparse, `[batch, any]`.
    Returns:
      The same, the history's `[batch, width]`: of the longest list, but at least TRAIN_HISTORY_LENGTH.
    """
    columns = dict(transformed)
    for name in features.HISTORY_COLUMNS:
        values = tf.sparse.to_dense(columns[name], validate_indices=False)
        missing = tf.maximum(features.TRAIN_HISTORY_LENGTH - tf.shape(values)[1], 0)
        columns[name] = tf.pad(values, [[0, 0], [0, missing]])
    return columns
