"""The retrieval task: telling a query's own candidate from others. Used by retrieval and multitask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from modules import features
from modules.data.dataset import Catalogue, Interactions
from modules.data.known import KNOWN
from modules.hyperparameters import SoftmaxConfig
from modules.towers.embedding import random_stream

# Subtracted from the logit of a title that is no candidate.
_EXCLUDED = 1e9


class CandidateSoftmax(tf.keras.layers.Layer):
    """Cross-entropy of the rated title among other candidates, summed over the batch.

    References: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations
    (RecSys 2019), equation 3, for the correction by the log of the sampling probability. Jean et al., On
    Using Very Large Target Vocabulary for Neural Machine Translation (ACL 2015), for drawn negatives.
    """

    def __init__(
        self,
        config: SoftmaxConfig,
        catalogue: Catalogue,
        interactions: Interactions,
        candidate_tower: Callable[..., tf.Tensor],
        num_title_indices: int,
        exclude_history: bool = False,
    ):
        """Declare the task.

        Args:
          config: which candidates, and the task's options.
          catalogue: all candidates.
          interactions: the train split, whose shares of rows are the sampling probabilities.
          candidate_tower: from transformed candidate features to `[n, dim]`.
          num_title_indices: size of the titles' vocabulary, with its out-of-vocabulary index.
          exclude_history: leave titles that the query's user had rated before out of the negatives, because
            they are no candidates in serving either: those of KNOWN or, without this column, of the row's
            history. In the full softmax only.
        """
        super().__init__()
        self._config = config
        self._size = len(catalogue)
        self._full = self._size <= config.full_up_to
        self._random = random_stream() if config.max_negatives < self._size <= config.full_up_to else None
        self._exclude_history = exclude_history
        self._tower = candidate_tower
        title_indices = catalogue.transformed[features.MOVIE_TITLE][:, 0]
        counts = interactions.popularity(len(catalogue))
        probability = np.bincount(title_indices, counts / counts.sum(), num_title_indices).astype(np.float32)
        self._probability = tf.constant(probability)
        # If the vocabulary is capped, titles of train may be out of it, and then have no position.
        self._position = tf.constant(catalogue.positions_of_indices(num_title_indices))
        self._catalogue = {name: tf.constant(values) for name, values in catalogue.transformed.items()}
        loss = tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM
        )
        self._task = tfrs.tasks.Retrieval(
            loss=tf.autograph.experimental.do_not_convert(loss),
            temperature=config.temperature,
            num_hard_negatives=config.num_hard_negatives,
            remove_accidental_hits=config.remove_accidental_hits,
        )
        # A tf.function of its own: TFRS branches on a tensor there, and training.Model has autograph off.
        self._batch_loss = tf.function(self._task.call)

    def call(self, query: tf.Tensor, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          query: `[batch, dim]` embeddings of the queries.
          inputs: transformed features of the batch's own candidates.
        """
        titles = tf.squeeze(inputs[features.MOVIE_TITLE], 1)
        if self._full:
            own = tf.gather(self._position, titles)
            query /= self._config.temperature
            rated = self._rated(inputs)
            if self._random is None:
                losses = self._over_all(query, own, rated, training)
            else:
                scores = self._random.uniform([self._size])
                drawn = tf.math.top_k(scores, self._config.max_negatives, sorted=False).indices
                losses = self._over_drawn(query, own, rated, tf.cast(drawn, own.dtype), training)
            return tf.reduce_sum(tf.where(own < 0, 0.0, losses))
        probability = tf.gather(self._probability, titles) if self._config.sampling_correction else None
        return self._batch_loss(
            query,
            self._tower(inputs, training=training),
            candidate_sampling_probability=probability,
            candidate_ids=titles if self._config.remove_accidental_hits else None,
            compute_metrics=False,
        )

    def _over_all(
        self, query: tf.Tensor, own: tf.Tensor, rated: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """Return each row's cross-entropy among all candidates, `[batch]`."""
        logits = tf.matmul(query, self._tower(self._catalogue, training=training), transpose_b=True)
        if rated is not None:
            # But for the row's own candidate, which may be rated again.
            rated &= tf.range(self._size, dtype=own.dtype) != own[:, tf.newaxis]
            logits -= _EXCLUDED * tf.cast(rated, tf.float32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(own, 0), logits)

    def _over_drawn(
        self, query: tf.Tensor, own: tf.Tensor, rated: tf.Tensor | None, drawn: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Estimate each row's cross-entropy among all candidates by those drawn for the batch, `[batch]`."""
        excluded = drawn == own[:, tf.newaxis]
        if rated is not None:
            excluded |= tf.gather(rated, drawn, axis=1)
        # The penalty is of the drawn ones alone: the rows' own are more often popular.
        of_own = self._tower(self._features_at(tf.maximum(own, 0)), training=False)
        of_drawn = self._tower(self._features_at(drawn), training=training)
        logits = tf.matmul(query, of_drawn, transpose_b=True) - _EXCLUDED * tf.cast(excluded, tf.float32)
        # Each stands for so many candidates.
        logits += np.log(self._size / self._config.max_negatives).astype(np.float32)
        own_logits = tf.reduce_sum(query * of_own, axis=1, keepdims=True)
        return tf.reduce_logsumexp(tf.concat([own_logits, logits], axis=1), axis=1) - own_logits[:, 0]

    def _features_at(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(values, positions) for name, values in self._catalogue.items()}

    def _rated(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """Mark the candidates that are no negatives, `[batch, n]` bool; None where all are."""
        if not self._exclude_history:
            return None
        return inputs[KNOWN] if KNOWN in inputs else self._in_history(inputs[features.HISTORY_TITLE])

    def _in_history(self, history: tf.Tensor) -> tf.Tensor:
        """Mark the candidates of a history, `[batch, n]` bool."""
        rows, size = tf.shape(history, tf.int64)[0], tf.constant(self._size, tf.int64)
        # 0 is padding; it goes to a column past the last candidate.
        columns = tf.gather(self._position, tf.maximum(history - 1, 0))
        columns = tf.where((history > 0) & (columns >= 0), columns, size)
        cells = tf.stack([tf.repeat(tf.range(rows), tf.shape(history)[1]), tf.reshape(columns, [-1])], axis=1)
        counts = tf.scatter_nd(cells, tf.ones_like(cells[:, 0], tf.float32), tf.stack([rows, size + 1]))
        return counts[:, :-1] > 0
