"""One pair of towers for retrieval and rating. `run_fn` is called by the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from modules import strategies, training
from modules.evaluation import ranking_metrics
from modules.export import saved_model, tflite
from modules.features import MOVIE_TITLE
from modules.gradient_ranking import GradientRankingModel
from modules.hyperparameters import MultitaskConfig
from modules.softmax import CandidateSoftmax
from modules.towers.rating_head import RatingHead
from modules.training import TrainingData


class MultitaskModel(GradientRankingModel):
    """The ranking model, whose towers also serve retrieval.

    With a factorisation machine as head the score of a pair is the product of the first `embedding_dim`
    columns alone. The next `rating_dim` columns, and the linear terms in the last one, belong to the rating
    alone: the titles that are watched most are not those that are rated best.

    References: tensorflow.org/recommenders/examples/multitask.
    """

    def __init__(self, config: MultitaskConfig, data: TrainingData):
        """Build the ranking model and the retrieval task over the same towers."""
        super().__init__(config, data, config.rating_dim)
        self._shared = config.embedding_dim
        if config.head == "factorization":
            self.head = RatingHead(None, data.interactions.mean_rating, scaled_dims=config.embedding_dim)
        self._weights_of_losses = (config.retrieval_weight, config.rating_weight)
        self.retrieval_task = CandidateSoftmax(
            config.softmax,
            data.catalogue,
            data.interactions,
            self.candidate_tower,
            data.sizes[MOVIE_TITLE],
            exclude_history=config.history is not None,
        )

    def retrieval_query(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return `[batch, dim]` embeddings whose inner products with the candidates' are the scores."""
        query = self.query_tower(inputs, training=training)
        return tf.concat([query[:, : self._shared], tf.zeros_like(query[:, self._shared :])], axis=1)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the weighted sum of both losses of a batch of transformed ratings, a scalar."""
        retrieval_weight, rating_weight = self._weights_of_losses
        retrieval = self.retrieval_task(self.retrieval_query(inputs, training), inputs, training=training)
        return retrieval_weight * retrieval + rating_weight * super().compute_loss(inputs, training)


def fit(
    config: MultitaskConfig,
    data: TrainingData,
    measure: Callable[[MultitaskModel], Mapping[str, float]] | None = None,
) -> MultitaskModel:
    """Build the model and fit it, as `training.fit` does."""
    return training.fit(lambda: MultitaskModel(config, data), config, data, "multitask", measure)


class _RetrievalQuery(tf.Module):
    """`MultitaskModel.retrieval_query` as a module, because an exported method would lack its tables."""

    def __init__(self, model: MultitaskModel):
        super().__init__()
        self._tower, self._query = model.query_tower, model.retrieval_query

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return self._query(inputs)


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its TFLite exports.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a MultitaskConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(MultitaskConfig.model_validate, fn_args, "multitask")
    data = training.load(fn_args)
    sample = ranking_metrics.EvalSample.load(data)
    model = fit(
        config,
        data,
        lambda model: {
            **sample.top_k(model.retrieval_query, model.candidate_tower),
            **sample.rmse(model.rate),
        },
    )
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    training.save_for_warm_start(model, data, fn_args)
    served = saved_model.ServedModel(data)
    retrieval = (_RetrievalQuery(model), model.candidate_tower)
    rating = (model.query_tower, model.candidate_tower, model.head)
    # Without cold-start users in training, a tower's embedding of them is random.
    served.add_retrieval(*retrieval, describing=config.query_features if config.unknown_share else ())
    served.add_rating(*rating)
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, retrieval=retrieval, rating=rating)
