"""The retrieval task: telling a query's own candidate from others. Used by retrieval and multitask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from modules import features
from modules.dataset import Catalogue, Interactions
from modules.hyperparameters import SoftmaxConfig


class CandidateSoftmax(tf.keras.layers.Layer):
    """Cross-entropy of the rated title among other candidates, summed over the batch.

    References: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations
    (RecSys 2019), equation 3, for the correction by the log of the sampling probability.
    """

    def __init__(
        self,
        config: SoftmaxConfig,
        catalogue: Catalogue,
        interactions: Interactions,
        candidate_tower: Callable[..., tf.Tensor],
        num_title_indices: int,
    ):
        """Declare the task.

        Args:
          config: which candidates, and the task's options.
          catalogue: all candidates.
          interactions: the train split, whose shares of rows are the sampling probabilities.
          candidate_tower: from transformed candidate features to `[n, dim]`.
          num_title_indices: size of the titles' vocabulary, with its out-of-vocabulary index.
        """
        super().__init__()
        self._config = config
        self._full = len(catalogue) <= config.full_up_to
        self._tower = candidate_tower
        title_indices = catalogue.transformed[features.MOVIE_TITLE][:, 0]
        counts = interactions.popularity(len(catalogue))
        # Every title of the train split has an index of its own; the others are never looked up here.
        probability = np.zeros(num_title_indices, np.float32)
        probability[title_indices] = counts / counts.sum()
        position = np.zeros(num_title_indices, np.int64)
        position[title_indices] = np.arange(len(catalogue))
        self._probability = tf.constant(probability)
        self._position = tf.constant(position)
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
        # A function of its own: TFRS branches on a tensor there, and training.Model goes without autograph.
        self._batch_loss = tf.function(self._task.call)

    def call(self, query: tf.Tensor, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          query: `[batch, dim]` embeddings of the queries.
          inputs: transformed features of the batch's own candidates.
        """
        titles = tf.squeeze(inputs[features.MOVIE_TITLE], 1)
        if self._full:
            logits = tf.matmul(query, self._tower(self._catalogue, training=training), transpose_b=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(self._position, titles), logits / self._config.temperature
            )
            return tf.reduce_sum(losses)
        probability = tf.gather(self._probability, titles) if self._config.sampling_correction else None
        return self._batch_loss(
            query,
            self._tower(inputs, training=training),
            candidate_sampling_probability=probability,
            candidate_ids=titles if self._config.remove_accidental_hits else None,
            compute_metrics=False,
        )
