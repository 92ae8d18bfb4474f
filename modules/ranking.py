"""The ranking model, whose head decides how it is fitted. The Trainer calls `run_fn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modules import gradient_ranking, strategies, training
from modules.bayesian import model as bayesian_ranking
from modules.bayesian.model import BayesianRankingModel
from modules.evaluation import ranking_metrics
from modules.export import saved_model, tflite
from modules.gradient_ranking import GradientRankingModel
from modules.hyperparameters import BayesianRankingConfig, RankingConfig, read_ranking
from modules.training import TrainingData

RankingModel = BayesianRankingModel | GradientRankingModel


def fit(
    config: RankingConfig,
    data: TrainingData,
    measure: Callable[[RankingModel], Mapping[str, float]] | None = None,
) -> RankingModel:
    """Build the model of a head and fit it; the figures of `measure` decide nothing."""
    if isinstance(config, BayesianRankingConfig):
        return bayesian_ranking.fit(config, data, measure)
    return gradient_ranking.fit(config, data, measure)


def run_fn(fn_args: Any) -> None:
    """Train and export the model, with its TFLite export.

    Args:
      fn_args: `tfx.components.FnArgs`; `custom_config["hyperparameters"]` is a RankingConfig as a dict, and
        `hyperparameters` holds tuned values, or None.
    """
    config = training.read_config(read_ranking, fn_args, "ranking")
    data = training.load(fn_args)
    sample = ranking_metrics.EvalSample.load(data)
    model = fit(config, data, lambda model: sample.rmse(model.rate))
    if strategies.left_to_chief(data.strategy, fn_args.serving_model_dir):
        return
    # A posterior is sampled anew, because the mean of draws is no draw.
    if isinstance(model, GradientRankingModel):
        training.save_for_warm_start(model, data, fn_args)
    served = saved_model.ServedModel(data)
    rating = (model.query_tower, model.candidate_tower, model.head)
    served.add_rating(*rating)
    served.save(fn_args.serving_model_dir)
    tflite.export(data, fn_args.serving_model_dir, rating=rating)
