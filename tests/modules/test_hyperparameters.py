"""Hyper-parameters refuse what they do not mean, and survive the way to a Trainer."""

from __future__ import annotations

import json

import pydantic
import pytest

from modules import features, hyperparameters
from modules.hyperparameters import (
    BayesianRankingConfig,
    GradientRankingConfig,
    ModelsConfig,
    MultitaskConfig,
    RetrievalConfig,
    read_ranking,
)

PRESETS = [hyperparameters.default, hyperparameters.tutorial]
SIDES = {
    "query_features": [features.USER_ID],
    "candidate_features": [features.MOVIE_TITLE],
    "embedding_dim": 8,
}
SMALL = {**SIDES, "learning_rate": 0.1, "batch_size": 32, "epochs": 1}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_round_trips_through_json(preset) -> None:
    written = json.dumps(preset().model_dump(mode="json"))
    assert ModelsConfig.model_validate(json.loads(written)) == preset()


@pytest.mark.parametrize("config", [RetrievalConfig, GradientRankingConfig, MultitaskConfig])
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


def test_the_head_says_which_hyper_parameters_the_ranking_model_has() -> None:
    bayesian, gradient = {**SIDES, "head": "bayesian"}, {**SMALL, "head": "mlp"}
    assert read_ranking(bayesian) == BayesianRankingConfig.model_validate(SIDES)
    assert read_ranking(gradient) == GradientRankingConfig.model_validate(gradient)
    # A posterior is of ratings alone.
    with pytest.raises(pydantic.ValidationError, match="Input should be 'factorization' or 'mlp'"):
        MultitaskConfig.model_validate({**SMALL, "head": "bayesian"})


@pytest.mark.parametrize(
    ("head", "change", "complaint"),
    [
        ("bayesian", {"sweeps": 30}, "sweeps must be above burn_in, 30; received 30"),
        (
            "bayesian",
            {"bayesian": {"sweeps": 40, "burn_in": 9}},
            "received bayesian.sweeps, bayesian.burn_in",
        ),
        ("bayesian", {"bayesian": {}}, "one of .*, sample_dim, .*, sweeps, burn_in; received bayesian$"),
        *[
            ("bayesian", {field: GradientRankingConfig(**SMALL).model_dump()[field]}, f"received {field}$")
            for field in sorted({*GradientRankingConfig.model_fields} - {*BayesianRankingConfig.model_fields})
        ],
        (
            "bayesian",
            {"candidate_features": [features.MOVIE_YEAR]},
            "rater_embedding_dim must be 0 without movie_title in candidate_features; received 16",
        ),
        ("factorization", {"sweeps": 40}, "one of .*learning_rate.*; received sweeps$"),
        (
            "factorization",
            {"hidden_units": [3]},
            r"hidden_units must be \[\] with head factorization; .* \[3\]",
        ),
        ("mpl", {}, "head is one of bayesian, factorization, mlp; received 'mpl'"),
    ],
)
def test_no_field_of_a_ranking_model_is_without_effect(head: str, change: dict, complaint: str) -> None:
    small = SIDES if head == "bayesian" else SMALL
    with pytest.raises(ValueError, match=complaint):
        read_ranking({**small, "head": head, **change})


def test_columns_for_the_rating_alone_are_a_machines() -> None:
    assert MultitaskConfig.model_validate({**SMALL, "rating_dim": 4}).rating_dim == 4
    with pytest.raises(pydantic.ValidationError, match="rating_dim must be 0 with head mlp; received 4"):
        MultitaskConfig.model_validate({**SMALL, "rating_dim": 4, "head": "mlp"})


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
        fit = model.model_dump()
        assert (fit["embedding_dim"], fit["optimizer"], fit["learning_rate"]) == (32, "adagrad", 0.1)
