"""The evaluation of a trial of the ranking model. The Tuner calls `tuner_fn`."""

from __future__ import annotations

from typing import Any

import keras_tuner

from modules import ranking
from modules.hyperparameters import RankingConfig, read_ranking
from modules.training import TrainingData
from modules.tuners import held_out, search

_RMSE = "RMSE"


def measure(config: RankingConfig, data: TrainingData) -> dict[str, float]:
    """Fit, and measure what is gated."""
    error, _ = held_out.rating_error(data, ranking.fit(config, data).rate)
    return {_RMSE: error}


def tuner_fn(fn_args: Any) -> search.TunerFnResult:
    """Set up the search, see `search.tuner`."""
    objective = keras_tuner.Objective(_RMSE, "min")
    return search.tuner(fn_args, "ranking", read_ranking, lambda _: objective, measure)
