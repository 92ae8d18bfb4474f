"""Diversity of a list: its best candidates, put in an order in which genres recur less.

Called in the composite's graph, by recommender.py.

References: Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering Documents and
Producing Summaries (SIGIR 1998).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

# Less than any candidate is worth; not float32's least value, with which argmax begins and so never finds it.
_LAST = -2.0
# Candidates of a request that are put in another order, however many titles it asks for: so a shorter list is
# the beginning of a longer one.
POOL = 50


@dataclasses.dataclass(frozen=True)
class Diversity:
    """What candidates are put in another order by.

    Attributes:
      weight: of similarity against relevance, in (0, 1).
      genres: `[n, genres]` bool. Titles without genres have one of their own, or they would be chosen for
        being like nothing.
    """

    weight: float
    genres: np.ndarray

    @classmethod
    def of(cls, weight: float, genres: np.ndarray) -> Diversity:
        """Take `[n, genres]` bool of which a row may be empty."""
        return cls(weight, np.concatenate([genres, ~genres.any(axis=1, keepdims=True)], axis=1))


def maximal_marginal_relevance(
    scores: tf.Tensor, real: tf.Tensor, genres: tf.Tensor, weight: tf.Tensor, k: tf.Tensor
) -> tf.Tensor:
    """Choose candidates one by one, each the best by (1 - weight) * relevance - weight * similarity.

    Relevance is the score, from 0 for the least of the row to 1 for the greatest. Similarity is the greatest
    Jaccard similarity of genres to a candidate that was chosen before. Of equals the first is chosen.

    Args:
      scores: `[b, p]` float32.
      real: `[b, p]` bool; what is not is chosen last.
      genres: `[b, p, genres]` float32, 1 for a genre that the candidate has, 0 for others.
      weight: `[b]` float32 in [0, 1); 0 for the order by score.
      k: scalar int32, at most p.
    Returns:
      `[b, k]` int32, columns in the order of choice.
    """
    lowest = tf.reduce_min(tf.where(real, scores, np.inf), axis=1, keepdims=True)
    highest = tf.reduce_max(tf.where(real, scores, -np.inf), axis=1, keepdims=True)
    relevance = tf.math.divide_no_nan(scores - lowest, highest - lowest)
    relevance = tf.where(real, (1.0 - weight[:, tf.newaxis]) * relevance, _LAST)
    common = tf.matmul(genres, genres, transpose_b=True)
    sizes = tf.reduce_sum(genres, axis=2)
    union = sizes[:, :, tf.newaxis] + sizes[:, tf.newaxis, :] - common
    penalty = weight[:, tf.newaxis, tf.newaxis] * tf.math.divide_no_nan(common, union)

    def choose(
        step: tf.Tensor, chosen: tf.TensorArray, greatest: tf.Tensor, left: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        best = tf.argmax(tf.where(left, relevance - greatest, -np.inf), axis=1, output_type=tf.int32)
        greatest = tf.maximum(greatest, tf.gather(penalty, best, batch_dims=1))
        left &= tf.range(tf.shape(scores)[1]) != best[:, tf.newaxis]
        return step + 1, chosen.write(step, best), greatest, left

    start = (tf.constant(0), tf.TensorArray(tf.int32, k), tf.zeros_like(scores), tf.ones_like(real))
    _, chosen, _, _ = tf.while_loop(lambda step, *_: step < k, choose, start)
    return tf.transpose(tf.ensure_shape(chosen.stack(), [None, None]))
