"""The evaluation of a trial of the retrieval model. The Tuner calls `tuner_fn`."""

from __future__ import annotations

from typing import Any

import keras_tuner

from modules import retrieval
from modules.hyperparameters import RetrievalConfig
from modules.training import TrainingData
from modules.tuners import held_out, search


def measure(config: RetrievalConfig, data: TrainingData) -> dict[str, float]:
    """Fit, and measure what is gated: held-out titles found, with those that the user rated taken out.

    Without the members of sequences and for cold-start users, which no range of a search is of: held-out rows
    are rows of train, whose histories are shorter than those that these members read.
    """
    model = retrieval.fit(config.model_copy(update={"sequence": None, "cold_start": None}), data)
    return {_found(data): held_out.found(data, model.query_tower, model.candidate_tower)}


def tuner_fn(fn_args: Any) -> search.TunerFnResult:
    """Set up the search, see `search.tuner`."""

    def objective(data: TrainingData) -> keras_tuner.Objective:
        return keras_tuner.Objective(_found(data), "max")

    return search.tuner(fn_args, "retrieval", RetrievalConfig.model_validate, objective, measure)


def _found(data: TrainingData) -> str:
    return f"top-{held_out.depth(data)}"
