"""The model of the rating. `run_fn` is called by the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from modules import strategies, training
from modules.bayesian import posterior
from modules.bayesian.posterior import SampledModel
from modules.evaluation import ranking_metrics
from modules.export import saved_model, tflite
from modules.features import RATING
from modules.hyperparameters import RankingConfig
from modules.towers import RatingHead, Tower
from modules.training import TrainingData


class RankingModel(training.Model):
    """A rating from a query's embedding and a candidate's.

    References: tensorflow.org/recommenders/examples/basic_ranking for the dense head; Rendle, Factorization
    Machines (ICDM 2010), for the other.
    """

    def __init__(self, config: RankingConfig, data: TrainingData, more_dims: int = 0):
        """Build both towers, the head and the task; embeddings may be longer than the configuration says."""
        super().__init__()
        machine = config.head == "factorization"
        # A machine's last column holds the linear terms.
        dim, l2 = config.embedding_dim + more_dims + machine, config.l2
        self.query_tower = Tower(
            config.query_features,
            data.sizes,
            dim,
            l2,
            history=config.history,
            unknown_share=config.unknown_share,
        )
        self.candidate_tower = Tower(config.candidate_features, data.sizes, dim, l2)
        self.head = RatingHead(None if machine else config.hidden_units, data.interactions.mean_rating)
        # Added up and not averaged, for a replica has a part of the batch.
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
    config: RankingConfig,
    data: TrainingData,
    measure: Callable[[RankingModel | SampledModel], Mapping[str, float]] | None = None,
) -> RankingModel | SampledModel:
    """Build the model and fit it, as `training.fit` or, head bayesian, `posterior.fit` does."""
    if config.sampled:
        return posterior.fit(config, data, measure)
    return training.fit(lambda: RankingModel(config, data), config, data, "ranking", measure)


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its TFLite export.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a RankingConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(RankingConfig, fn_args, "ranking")
    data = training.load(fn_args)
    sample = ranking_metrics.EvalSample.load(data)
    model = fit(config, data, lambda model: sample.rmse(model.rate))
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    if isinstance(model, RankingModel):  # A posterior is sampled anew: the mean of its draws is no draw.
        training.leave_for_warm_start(model, data, fn_args)
    served = saved_model.ServedModel(data)
    rating = (model.query_tower, model.candidate_tower, model.head)
    served.add_rating(*rating)
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, rating=rating)
