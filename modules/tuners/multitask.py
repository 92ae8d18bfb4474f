"""The evaluation of a trial of the multitask model. The Tuner calls `tuner_fn`."""

from __future__ import annotations

from typing import Any

import keras_tuner

from modules import multitask
from modules.hyperparameters import MultitaskConfig
from modules.training import TrainingData
from modules.tuners import held_out, search

_BOTH = "found and explained"


def measure(config: MultitaskConfig, data: TrainingData) -> dict[str, float]:
    """Fit, and measure both tasks.

    What decides is the mean of two shares: of held-out titles that are found, and of the ratings' variance
    that is explained. Both run from nothing known to nothing missed, while a star of error has no weight of
    its own that could be set against a title found.
    """
    model = multitask.fit(config, data)
    found = held_out.found(data, model.retrieval_query, model.candidate_tower)
    error, explained = held_out.rating_error(data, model.rate)
    return {_BOTH: (found + explained) / 2, f"top-{held_out.depth(data)}": found, "RMSE": error}


def tuner_fn(fn_args: Any) -> search.TunerFnResult:
    """Set up the search, see `search.tuner`."""
    objective = keras_tuner.Objective(_BOTH, "max")
    return search.tuner(fn_args, "multitask", MultitaskConfig.model_validate, lambda _: objective, measure)
