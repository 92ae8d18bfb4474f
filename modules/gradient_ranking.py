"""The ranking model of heads `factorization` and `mlp`: towers and a head, fitted together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_recommenders as tfrs

from modules import strategies, training
from modules.features import RATING
from modules.hyperparameters import GradientRankingConfig
from modules.towers.rating_head import RatingHead
from modules.towers.tower import two_towers
from modules.training import TrainingData


class GradientRankingModel(training.Model):
    """A rating from a query's embedding and a candidate's.

    References: tensorflow.org/recommenders/examples/basic_ranking for the dense head; Rendle, Factorization
    Machines (ICDM 2010), for the other.
    """

    def __init__(self, config: GradientRankingConfig, data: TrainingData, more_dims: int = 0):
        """Build both towers, the head and the task; embeddings may be longer than the configuration says."""
        super().__init__()
        machine = config.head == "factorization"
        # A machine's last column holds the linear terms.
        dim = config.embedding_dim + more_dims + machine
        self.query_tower, self.candidate_tower = two_towers(config, data.sizes, data.titles, dim, False)
        self.head = RatingHead(None if machine else config.hidden_units, data.interactions.mean_rating)
        # The sum and not the mean, because a replica has a part of the batch.
        loss = tf.keras.losses.MeanSquaredError(reduction=tf.keras.losses.Reduction.SUM)
        self.task = tfrs.tasks.Ranking(loss=loss)

    def rate(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return `[batch, 1]` ratings of transformed ratings' pairs."""
        query = self.query_tower(inputs, training=training)
        return self.head(query, self.candidate_tower(inputs, training=training))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss of a batch of transformed ratings, a scalar."""
        predictions = self.rate(inputs, training)
        total = self.task(labels=inputs[RATING], predictions=predictions, compute_metrics=False)
        return strategies.mean(total, tf.shape(predictions)[0])


def fit(
    config: GradientRankingConfig,
    data: TrainingData,
    measure: Callable[[GradientRankingModel], Mapping[str, float]] | None,
) -> GradientRankingModel:
    """Build the model and fit it, as `training.fit` does."""
    return training.fit(lambda: GradientRankingModel(config, data), config, data, "ranking", measure)
