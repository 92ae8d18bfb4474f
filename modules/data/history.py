"""A user's history, from raw lists to columns. In Transform's graph, and so wherever a model is served."""

from __future__ import annotations

import tensorflow as tf

from modules import features


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
      Titles, ratings and gaps (int64, seconds from the rating to now, 1 or more), `[batch, HISTORY_LENGTH]`,
      latest first, padded with "", 0 and 0. Ratings of one second stay in their order.

    >>> titles, _, gaps = latest(
    ...     tf.constant([["Heat", "Alien", "Big", ""]]), tf.constant([[4.0, 3.0, 5.0, 0.0]]),
    ...     tf.constant([[10, 70, 60, 0]], tf.int64), tf.constant([[70]], tf.int64))
    >>> titles.numpy()[0, :3].tolist(), gaps.numpy()[0, :3].tolist()
    ([b'Big', b'Heat', b''], [10, 60, 0])
    """
    width = features.HISTORY_LENGTH
    gaps = now - timestamps
    known = tf.logical_and(gaps > 0, titles != "")
    order = tf.argsort(tf.where(known, gaps, gaps.dtype.max), axis=1, stable=True)[:, :width]

    def column(values: tf.Tensor, absent: str | float) -> tf.Tensor:
        kept = tf.gather(tf.where(known, values, tf.constant(absent, values.dtype)), order, batch_dims=1)
        padding = [[0, 0], [0, width - tf.shape(kept)[1]]]
        return tf.ensure_shape(tf.pad(kept, padding, constant_values=absent), [None, width])

    return column(titles, ""), column(ratings, 0.0), column(gaps, 0)
