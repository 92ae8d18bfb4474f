"""The two-tower retrieval model. `run_fn` is called by the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from modules import features, strategies, training
from modules.evaluation import ranking_metrics
from modules.export import saved_model, tflite
from modules.hyperparameters import RetrievalConfig
from modules.softmax import CandidateSoftmax
from modules.towers import Ensemble, two_towers
from modules.training import TrainingData


class RetrievalModel(training.Model):
    """A query's embedding and a candidate's, whose inner product is the score of the pair.

    The model has several members: pairs of towers with initial values of their own, which are trained at the
    same time. Their scores are added, so that the noise that one of them learned has less weight.

    References: tensorflow.org/recommenders/examples/basic_retrieval; Lakshminarayanan et al., Simple and
    Scalable Predictive Uncertainty Estimation using Deep Ensembles (NIPS 2017), for members.
    """

    def __init__(self, config: RetrievalConfig, data: TrainingData):
        """Build the towers and their tasks."""
        super().__init__()
        dim = config.embedding_dim
        members = [
            two_towers(config, data.sizes, data.titles, dim, True, config.query_hidden_units)
            for _ in range(config.members)
        ]
        queries, candidates = zip(*members, strict=True)
        self.query_tower, self.candidate_tower = Ensemble(queries), Ensemble(candidates)
        self.tasks = [
            CandidateSoftmax(
                config.softmax,
                data.catalogue,
                data.interactions,
                tower,
                data.sizes[features.MOVIE_TITLE],
                exclude_history=config.history is not None,
            )
            for tower in candidates
        ]

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the loss of a batch of transformed ratings, the sum of the members', a scalar."""
        members = zip(self.query_tower.towers, self.tasks, strict=True)
        return tf.add_n(
            [task(tower(inputs, training=training), inputs, training=training) for tower, task in members]
        )


def fit(
    config: RetrievalConfig,
    data: TrainingData,
    measure: Callable[[RetrievalModel], Mapping[str, float]] | None = None,
) -> RetrievalModel:
    """Build the model and fit it, as `training.fit` does."""
    return training.fit(lambda: RetrievalModel(config, data), config, data, "retrieval", measure)


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its TFLite export.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a RetrievalConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(RetrievalConfig.model_validate, fn_args, "retrieval")
    data = training.load(fn_args)
    sample = ranking_metrics.EvalSample.load(data)
    model = fit(config, data, lambda model: sample.top_k(model.query_tower, model.candidate_tower))
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    training.save_for_warm_start(model, data, fn_args)
    served = saved_model.ServedModel(data)
    retrieval = (model.query_tower, model.candidate_tower)
    # Without cold-start users in training, a tower's embedding of them is random.
    served.add_retrieval(*retrieval, describing=config.query_features if config.unknown_share else ())
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, retrieval=retrieval)
