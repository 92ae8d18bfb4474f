"""Search spaces: what they say, what they are held to, and a model's own values in them."""

from __future__ import annotations

import json

import pydantic
import pytest

from modules import hyperparameters, search_space
from modules.hyperparameters import BayesianRankingConfig, ModelsConfig
from modules.search_space import Range, SearchConfig, TuningConfig

MODEL = hyperparameters.ranking_preset("factorization")


@pytest.mark.parametrize("preset", [hyperparameters.default, hyperparameters.tutorial])
@pytest.mark.parametrize("name", ModelsConfig.model_fields)
def test_the_default_spaces_fit_the_presets_and_hold_their_values(preset, name: str) -> None:
    model = getattr(preset(), name)
    space = search_space.completed(TuningConfig().search(preset(), name).space, model)
    own = search_space.own_values(space, model)
    # What is drawn from a posterior goes down no gradient.
    drawn = isinstance(model, BayesianRankingConfig)
    assert {"embedding_dim", *({"sweeps"} if drawn else {"learning_rate", "l2", "epochs"})} <= set(own)
    for path, values in space.items():
        inside = values.low <= own[path] <= values.high if isinstance(values, Range) else own[path] in values
        assert inside, path


def test_a_search_survives_the_way_to_a_tuner() -> None:
    for name in ModelsConfig.model_fields:
        search = TuningConfig(max_trials=3, held_out=0.2, seed=5).search(hyperparameters.default(), name)
        written = json.dumps(search.model_dump(mode="json"))
        assert SearchConfig.model_validate(json.loads(written)) == search
        assert (search.max_trials, search.held_out, search.seed) == (3, 0.2, 5)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"epochs": (4, 12)}, {"epochs": (4, 8, 12)}),
        ({"epochs": (8, 4)}, {"epochs": (4, 8)}),
        # Whole numbers in the list of a fraction: one kind for all.
        ({"l2": (0, 1)}, {"l2": (0.0, 0.1, 1.0)}),
        ({"optimizer": ("adagrad",)}, {"optimizer": ("adagrad", "adam")}),
        (
            {"learning_rate": Range(low=0.001, high=0.01)},
            {"learning_rate": Range(low=0.001, high=0.01)},
        ),
        ({"learning_rate": Range(low=0.01, high=0.1)}, {"learning_rate": Range(low=0.005, high=0.1)}),
        ({"learning_rate": Range(low=0.0001, high=0.001)}, {"learning_rate": Range(low=0.0001, high=0.005)}),
    ],
)
def test_a_models_own_values_are_added(space: search_space.Space, expected: search_space.Space) -> None:
    received = search_space.completed(space, MODEL)
    assert received == expected
    kinds = {type(value) for values in received.values() if isinstance(values, tuple) for value in values}
    assert len(kinds) <= 1


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ({"dropout": (0.1,)}, "^dropout: what is tuned must be one of query_features, .*learning_rate"),
        ({"epochs.x": (1,)}, "^epochs.x: what is tuned must be one of"),
        ({"epochs": (0, 1)}, "^epochs: Input should be greater than or equal to 1; received 0"),
        ({"sweeps": (100,)}, "^sweeps: what is tuned must be one of query_features, .*learning_rate"),
        ({"epochs": (1.5,)}, "^epochs: Input should be a valid integer.*; received 1.5"),
        ({"optimizer": ("sgd",)}, "^optimizer: Input should be 'adagrad' or 'adam'; received 'sgd'"),
        ({"epochs": Range(low=1, high=9)}, "^epochs: a range must be .*; it is 8. List the values"),
        ({"head": Range(low=1, high=9)}, "^head: a range must be .*; it is 'factorization'. List the values"),
    ],
)
def test_what_a_model_could_not_be_built_of_is_rejected(space: search_space.Space, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        search_space.completed(space, MODEL)


def test_of_a_posterior_only_what_it_is_drawn_with_is_tuned() -> None:
    model = hyperparameters.default().ranking
    for space, complaint in (
        ({"sweeps": (30,)}, "^sweeps: sweeps must be above burn_in, 30; received 30$"),
        ({"learning_rate": (0.1,)}, "^learning_rate: what is tuned must be one of .*sample_dim, .*sweeps"),
        ({"head": ("factorization",)}, "^head: Input should be 'bayesian'; received 'factorization'$"),
    ):
        with pytest.raises(ValueError, match=complaint):
            search_space.completed(space, model)


@pytest.mark.parametrize(
    "wrong", [{"low": 0, "high": 1}, {"low": 2, "high": 1}, {"low": 1, "high": 1}, {"low": 1, "high": "inf"}]
)
def test_a_range_goes_upwards_from_above_0(wrong: dict) -> None:
    with pytest.raises(pydantic.ValidationError):
        Range.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong", [{"max_trials": 0}, {"held_out": 0}, {"held_out": 1}, {"seed": -1}, {"rankng": {}}]
)
def test_a_search_that_could_not_be_made_is_rejected(wrong: dict) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(wrong))):
        TuningConfig.model_validate(wrong)
