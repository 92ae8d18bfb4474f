"""Ranks of the rated title among all candidates. Used in training progress and in the eval signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from modules import features
from modules.data import dataset
from modules.training import TrainingData

# Rows of the eval split that are measured after each epoch, and scores that they may have: 80 MB, a few times
# over, where a catalogue is large.
_SAMPLE_ROWS = 2048
_SAMPLE_SCORES = 20_000_000
# Rows that are embedded at a time: their histories take more memory than their embeddings.
_EMBEDDED_ROWS = 512

Tower = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


def ranks(scores: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Count the candidates that score at least as high as the rated title.

    A tie counts against the rated title: a model that gives everything the same score finds nothing.

    Args:
      scores: `[batch, n]` float32.
      positions: `[batch]` int, column of the rated title; -1 where it is no candidate.
    Returns:
      `[batch]` float32 from 0, best; infinity where the title is no candidate or scores minus infinity; NaN
      where a score of the row is NaN or plus infinity, so that no comparison with a threshold can succeed.

    >>> scores = tf.constant([[0.3, 0.9, 0.3], [0.3, 0.9, 0.3], [1.0, float("nan"), 0.0]])
    >>> ranks(scores, tf.constant([1, 2, 0])).numpy().tolist()
    [0.0, 2.0, nan]
    """
    own = tf.gather(scores, tf.maximum(positions, 0), batch_dims=1)[:, tf.newaxis]
    better = tf.reduce_sum(tf.cast(scores >= own, tf.float32), axis=1) - 1.0
    absent = tf.logical_or(positions < 0, own[:, 0] == -float("inf"))
    result = tf.where(absent, float("inf"), better)
    broken = tf.reduce_any(tf.math.is_nan(scores) | (scores == float("inf")), axis=1)
    return tf.where(broken, float("nan"), result)


def marks(columns: tf.Tensor, num_columns: int | tf.Tensor) -> tf.Tensor:
    """Mark some columns of every row, `[batch, num_columns]` bool.

    Args:
      columns: `[batch, width]` int32, padded with -1.

    >>> marks(tf.constant([[1, -1], [2, 2]]), 3).numpy().tolist()
    [[False, True, False], [False, False, True]]
    """
    batch, width = tf.unstack(tf.shape(columns))
    # Padding goes to a column of its own, past the last one.
    columns = tf.where(columns < 0, num_columns, columns)
    cells = tf.stack([tf.repeat(tf.range(batch), width), tf.reshape(columns, [-1])], axis=1)
    counts = tf.scatter_nd(cells, tf.ones_like(cells[:, 0]), tf.stack([batch, num_columns + 1]))
    return counts[:, :-1] > 0


def exclude(scores: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """Give the seen candidates a score of minus infinity.

    Args:
      scores: `[batch, n]` float32.
      seen: `[batch, width]` int32 columns, padded with -1.

    >>> exclude(tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[2, -1]])).numpy().tolist()
    [[1.0, 2.0, -inf]]
    """
    return tf.where(marks(seen, tf.shape(scores)[1]), -float("inf"), scores)


def best(scores: tf.Tensor, depth: int) -> tf.Tensor:
    """List the columns with the highest scores, `[batch, depth]` int32, padded with -1.

    Args:
      scores: `[batch, n]` float32; minus infinity is no candidate.

    >>> best(tf.constant([[1.0, 3.0, 2.0], [1.0, -float("inf"), -float("inf")]]), 2).numpy().tolist()
    [[1, 2], [0, -1]]
    """
    width = tf.minimum(depth, tf.shape(scores)[1])
    values, columns = tf.math.top_k(scores, width)
    padding = [[0, 0], [0, depth - width]]
    return tf.pad(tf.where(values > -float("inf"), columns, -1), padding, constant_values=-1)


@dataclasses.dataclass(frozen=True)
class EvalSample:
    """Some rows of the eval split, to show while training how a model fares. They decide nothing.

    Attributes:
      inputs: transformed features, `[rows, width]`.
      catalogue: transformed features of all candidates, `[n, width]`.
      positions: `[rows]` the rated titles' positions.
    """

    inputs: Mapping[str, tf.Tensor]
    catalogue: Mapping[str, tf.Tensor]
    positions: tf.Tensor

    @classmethod
    def load(cls, data: TrainingData) -> EvalSample:
        """Read the first rows of the eval split."""
        rows = max(1, min(_SAMPLE_ROWS, _SAMPLE_SCORES // len(data.catalogue)))
        batches = dataset.ratings(
            data.eval_files, data.transform, rows, history_length=features.HISTORY_LENGTH
        )
        inputs = next(iter(batches))
        positions = data.catalogue.positions(inputs[features.CANDIDATE_KEY].numpy()[:, 0])
        catalogue = {name: tf.constant(values) for name, values in data.catalogue.transformed.items()}
        return cls(inputs, catalogue, tf.constant(positions, tf.int32))

    def top_k(self, query_tower: Tower, candidate_tower: Tower) -> dict[str, float]:
        """Measure the share of rated titles among the best of all titles, at the depth of the gates."""
        queries = [
            query_tower(
                {name: values[start : start + _EMBEDDED_ROWS] for name, values in self.inputs.items()}
            )
            for start in range(0, len(self.positions), _EMBEDDED_ROWS)
        ]
        scores = tf.matmul(tf.concat(queries, 0), candidate_tower(self.catalogue), transpose_b=True)
        depth = features.gated_depth(scores.shape[1])
        found = tf.cast(ranks(scores, self.positions) < depth, tf.float32)
        return {f"top-{depth}": float(tf.reduce_mean(found))}

    def rmse(self, rate: Callable[[Mapping[str, tf.Tensor]], tf.Tensor]) -> dict[str, float]:
        """Measure the root mean squared error of predicted ratings."""
        error = rate(self.inputs) - self.inputs[features.RATING]
        return {"RMSE": float(tf.sqrt(tf.reduce_mean(tf.square(error))))}
