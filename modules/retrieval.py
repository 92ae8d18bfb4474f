"""The two-tower retrieval model. `run_fn` is called by the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from modules import features, metrics, serving, strategies, tflite, training
from modules.hyperparameters import RetrievalConfig
from modules.softmax import CandidateSoftmax
from modules.towers import Tower
from modules.training import TrainingData


class RetrievalModel(training.Model):
    """A query's embedding and a candidate's, whose inner product is the score of the pair.

    References: tensorflow.org/recommenders/examples/basic_retrieval.
    """

    def __init__(self, config: RetrievalConfig, data: TrainingData):
        """Build both towers and the task."""
        super().__init__()
        dim, l2 = config.embedding_dim, config.l2
        self.query_tower = Tower(
            config.query_features,
            data.sizes,
            dim,
            l2,
            history=config.history,
            hidden_units=config.query_hidden_units,
            unknown_share=config.unknown_share,
        )
        self.candidate_tower = Tower(config.candidate_features, data.sizes, dim, l2)
        self.task = CandidateSoftmax(
            config.softmax,
            data.catalogue,
            data.interactions,
            self.candidate_tower,
            data.sizes[features.MOVIE_TITLE],
            exclude_history=config.history is not None,
        )

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss of a batch of transformed ratings, a scalar."""
        return self.task(self.query_tower(inputs, training=training), inputs, training=training)


def fit(
    config: RetrievalConfig,
    data: TrainingData,
    measure: Callable[[RetrievalModel], Mapping[str, float]] | None = None,
) -> RetrievalModel:
    """Build the model and fit it, as `training.fit` does."""
    return training.fit(lambda: RetrievalModel(config, data), config, data, "retrieval", measure)


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its twin for devices.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a RetrievalConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(RetrievalConfig, fn_args, "retrieval")
    data = training.load(fn_args)
    sample = metrics.EvalSample.load(data)
    model = fit(config, data, lambda model: sample.top_100(model.query_tower, model.candidate_tower))
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    training.leave_for_warm_start(model, data, fn_args)
    served = serving.ServedModel(data)
    retrieval = (model.query_tower, model.candidate_tower)
    # Without strangers in training, what a tower says of them is chance.
    served.add_retrieval(*retrieval, describing=config.query_features if config.unknown_share else ())
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, retrieval=retrieval)
