"""The search, on functions whose optimum is known."""

from __future__ import annotations

import gc
import logging
import math
import re
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import pytest
import tensorflow as tf

from common.progress import progress
from modules.search_space import Range, SearchConfig, Space
from modules.training import DivergedError
from modules.tuners.search import Search

pytestmark = pytest.mark.slow("fits a Gaussian process after each trial")

LEAST = keras_tuner.Objective("error", "min")
# As a model's: a rate, whose best is 0.01, and a width, whose best is 32.
SPACE: Space = {"learning_rate": Range(low=1e-4, high=1.0), "embedding_dim": (8, 16, 32, 64)}
OWN = {"learning_rate": 0.5, "embedding_dim": 8}


def error(values: Mapping[str, Any]) -> dict[str, float]:
    distance = math.log10(values["learning_rate"] / 0.01)
    return {"error": distance**2 + math.log2(values["embedding_dim"] / 32) ** 2}


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Search]:
    def make(
        figures: Callable[[Mapping[str, Any]], Mapping[str, float]] = error,
        objective: keras_tuner.Objective = LEAST,
        space: Space = SPACE,
        own: Mapping[str, Any] = OWN,
        **search: Any,
    ) -> Search:
        config = SearchConfig(space=space, **search)
        return Search(
            "planted", objective, space, own, config, figures, str(tmp_path_factory.mktemp("trials"))
        )

    return make


def values(search: Search) -> list[dict[str, Any]]:
    """What was tried, in its order."""
    return [search.oracle.trials[trial].hyperparameters.values for trial in search.oracle.start_order]


def test_the_best_value_is_found(make) -> None:
    search = make(max_trials=16)
    search.search()
    (best,) = search.get_best_hyperparameters()
    assert best.values["embedding_dim"] == 32
    assert 0.005 < best.values["learning_rate"] < 0.02
    assert search.summary() == {
        "trials": 16,
        "objective": "error",
        "score": error(best.values)["error"],
        "own_score": error(OWN)["error"],
        "values": f"learning_rate {best.values['learning_rate']:.3g}, embedding_dim 32",
    }


def test_it_beats_as_many_draws_at_random(make) -> None:
    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        return {"error": sum(math.log10(value / 0.01) ** 2 for value in values.values())}

    names = ("learning_rate", "l2", "softmax.temperature")
    scores = []
    for drawn in (0, 14):
        search = make(
            figures,
            space=dict.fromkeys(names, Range(low=1e-4, high=1.0)),
            own=dict.fromkeys(names, 1.0),
            max_trials=14,
        )
        search.oracle.num_initial_points = drawn or search.oracle.num_initial_points
        search.search()
        scores.append(search.summary()["score"])
    assert scores[0] < 0.5 * scores[1]


@pytest.mark.parametrize(("direction", "best"), [("min", 3), ("max", 0)])
def test_the_direction_decides(direction: str, best: int, make) -> None:
    scores = {8: 3.0, 16: 2.0, 32: 1.0, 64: 0.5}
    search = make(
        lambda values: {"score": scores[values["embedding_dim"]]},
        keras_tuner.Objective("score", direction),
        {"embedding_dim": tuple(scores)},
        {"embedding_dim": 16},
    )
    search.search()
    assert search.get_best_hyperparameters()[0].values == {"embedding_dim": list(scores)[best]}


def test_a_models_own_values_are_tried_first_and_nothing_twice(make) -> None:
    search = make(
        max_trials=10,
        space={"embedding_dim": (8, 16, 32, 64), "epochs": (1, 2)},
        figures=_width,
        own={"embedding_dim": 16, "epochs": 2},
    )
    search.search()
    tried = [tuple(trial.values()) for trial in values(search)]
    assert tried[0] == (16, 2)
    # There are no more than these, so the search ends before its time.
    assert sorted(tried) == [(width, epochs) for width in (8, 16, 32, 64) for epochs in (1, 2)]


def _width(values: Mapping[str, Any]) -> dict[str, float]:
    return {"error": float(values["embedding_dim"])}


def test_the_seed_decides_what_is_tried(make) -> None:
    tried = []
    for seed in (0, 0, 1):
        search = make(max_trials=7, seed=seed)
        search.search()
        tried.append(values(search))
    assert tried[0] == tried[1] != tried[2]


@pytest.mark.parametrize("failure", ["nan", "inf", "diverged", "memory"])
def test_a_trial_that_fails_loses_and_the_search_goes_on(failure: str, make) -> None:
    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        if values["learning_rate"] < 0.1:
            return error(values)
        if failure == "diverged":
            raise DivergedError("the loss of planted must stay finite")
        if failure == "memory":
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return {"error": float(failure)}

    # The first one fails, and more than KerasTuner would stand in a row.
    search = make(figures, max_trials=7, space={**SPACE, "learning_rate": Range(low=1e-4, high=1e9)})
    search.search()
    failed = [trial for trial in values(search) if trial["learning_rate"] >= 0.1]
    assert len(values(search)) == 7
    assert len(failed) > 3
    assert search.get_best_hyperparameters()[0].values["learning_rate"] < 0.1
    assert "own_score" not in search.summary()


def test_where_every_trial_fails_that_is_the_answer(make) -> None:
    search = make(lambda _: {"error": math.nan}, max_trials=5)
    with pytest.raises(ValueError, match="planted must have a finite error; none of 5 did"):
        search.search()


def test_a_fault_in_the_code_is_no_trial_that_lost(make) -> None:
    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        raise KeyError("user_id")

    with pytest.raises(KeyError, match="user_id"):
        make(figures).search()


def test_a_trials_model_is_freed_before_the_next(make) -> None:
    class Model:
        def __init__(self) -> None:
            self.itself = self

    models: list[weakref.ref] = []

    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        assert [model() for model in models] == [None] * len(models)
        models.append(weakref.ref(Model()))
        return error(values)

    # Python would come round to it by itself, at some time.
    gc.disable()
    try:
        make(figures, max_trials=4).search()
    finally:
        gc.enable()
    assert len(models) == 4


def test_each_trial_is_a_line_and_the_outcome_another(make, caplog: pytest.LogCaptureFixture) -> None:
    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        return {"error": values["embedding_dim"] / 3 if values["embedding_dim"] < 64 else math.nan, "by": 2.0}

    with caplog.at_level(logging.INFO, progress.name):
        make(figures, space={"embedding_dim": (8, 64)}, own={"embedding_dim": 64}, max_trials=5).search()
    assert [re.sub(r"\(\d+ s\)", "(0 s)", line) for line in caplog.messages] == [
        "planted: trial 1 of 5, embedding_dim 64: error nan, by 2 (0 s)",
        "planted: trial 2 of 5, embedding_dim 8: error 2.67, by 2 (0 s)",
        "planted: best of 2, error 2.667: embedding_dim 8",
    ]
