"""Hyper-parameters refuse what they do not mean, and survive the way to a Trainer."""

from __future__ import annotations

import json

import pydantic
import pytest

from modules import features, hyperparameters
from modules.hyperparameters import ModelsConfig, MultitaskConfig, RankingConfig, RetrievalConfig

PRESETS = [hyperparameters.default, hyperparameters.tutorial]
SMALL = {
    "query_features": [features.USER_ID],
    "candidate_features": [features.MOVIE_TITLE],
    "embedding_dim": 8,
    "learning_rate": 0.1,
    "batch_size": 32,
    "epochs": 1,
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_round_trips_through_json(preset) -> None:
    written = json.dumps(preset().model_dump(mode="json"))
    assert ModelsConfig.model_validate(json.loads(written)) == preset()


@pytest.mark.parametrize("config", [RetrievalConfig, RankingConfig, MultitaskConfig])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"learning_rte": 0.1}, "learning_rte"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"l2": -1.0}, "l2"),
        ({"query_features": []}, "query_features must name at least one of user_id, .*; received none"),
        (
            {"query_features": [features.MOVIE_TITLE]},
            "query_features must name at least one of user_id, .*; received movie_title",
        ),
        (
            {"candidate_features": [features.MOVIE_TITLE, features.USER_AGE]},
            "candidate_features must name at least one of movie_title, .*; received user_age",
        ),
        (
            # A slicing key is counted over the ratings, so it would tell a model what it is to predict.
            {"candidate_features": [features.TITLE_POPULARITY]},
            "candidate_features must .*; received title_popularity",
        ),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused(config, change: dict, complaint: str) -> None:
    assert config.model_validate(SMALL).embedding_dim == 8
    with pytest.raises(pydantic.ValidationError, match=complaint):
        config.model_validate({**SMALL, **change})


def test_an_unknown_option_of_the_retrieval_task_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="temprature"):
        RetrievalConfig.model_validate({**SMALL, "softmax": {"temprature": 0.1}})


def test_a_posterior_is_of_ratings_alone_and_needs_a_draw_that_is_kept() -> None:
    asked = {**SMALL, "head": "bayesian"}
    assert RankingConfig.model_validate(asked).bayesian.sweeps > 0
    with pytest.raises(pydantic.ValidationError, match="head must be .* or mlp .* received bayesian"):
        MultitaskConfig.model_validate(asked)
    with pytest.raises(pydantic.ValidationError, match="sweeps must be above burn_in, 30; received 30"):
        RankingConfig.model_validate({**asked, "bayesian": {"sweeps": 30}})


def test_a_config_does_not_change_after_it_was_made() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(hyperparameters.default().retrieval, "epochs", 99)  # noqa: B010


def test_the_corrections_of_the_retrieval_task_are_on_by_default_and_off_in_the_tutorials() -> None:
    for preset, on in ((hyperparameters.default(), True), (hyperparameters.tutorial(), False)):
        for model in (preset.retrieval, preset.multitask):
            assert (model.softmax.sampling_correction, model.softmax.remove_accidental_hits) == (on, on)


def test_the_tutorials_know_a_pair_by_its_ids_alone() -> None:
    preset = hyperparameters.tutorial()
    for model in (preset.retrieval, preset.ranking, preset.multitask):
        assert (model.query_features, model.candidate_features) == (("user_id",), ("movie_title",))
        assert (model.embedding_dim, model.optimizer, model.learning_rate) == (32, "adagrad", 0.1)
