"""Gates reject bounds that cannot be checked, and the presets' bounds are what they say."""

from __future__ import annotations

import pydantic
import pytest

from components.movielens_example_gen.config import DataConfig, SpansConfig, SplitConfig
from components.movielens_example_gen.sources.releases import RELEASES
from modules import features
from pipeline import gates
from pipeline.gates import Gate, GatesConfig

MODELS = ("retrieval", "ranking", "multitask")
RMSE_GATE = Gate(metric=features.RMSE, bound=1.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"bounds": 1.0}, "bounds"),
        ({"bound": float("nan")}, "bound"),
        ({"slices": [{"feature": "user_gnder", "bound": 1.0}]}, "one of user_activity, .*'user_gnder'"),
        # Nothing is reported on its values, and no model meets a threshold on what is not there.
        ({"slices": [{"feature": features.USER_AGE, "bound": 1.0}]}, "one of user_activity, .*'user_age'"),
    ],
)
def test_a_gate_that_cannot_be_checked_is_rejected(change: dict, complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=complaint):
        Gate.model_validate({**RMSE_GATE.model_dump(), **change})


def test_a_metric_has_one_gate() -> None:
    with pytest.raises(pydantic.ValidationError, match="one gate for a metric; received rmse, rmse"):
        GatesConfig(ranking=(RMSE_GATE, RMSE_GATE))


def test_popularity_and_biases_fail_the_default_bounds_on_movielens_100k() -> None:
    """Their figures there: 0.30 of the rated titles are among the 100 most popular; RMSE 0.94."""
    preset = gates.default()
    bounds = {model: preset.bounds(model, DataConfig()) for model in MODELS}
    by_metric = {gate.metric: gate for gate in (*bounds["retrieval"], *bounds["ranking"])}
    assert by_metric[features.hit_metric(100)].bound >= 0.30
    assert by_metric[features.RMSE].bound <= 0.94
    # The multitask model needs both.
    assert {gate.metric for gate in bounds["multitask"]} == set(by_metric)


@pytest.mark.parametrize(
    "data",
    [
        *(DataConfig(release=release) for release in RELEASES if release != "ml-100k"),
        DataConfig(split=SplitConfig(method="time")),
        DataConfig(split=SplitConfig(eval_share=0.1)),
        DataConfig(spans=SpansConfig()),
        DataConfig(history_length=0),
    ],
    ids=lambda data: f"{data.release} {data.split.method} {data.split.eval_share} {data.history_length}",
)
def test_bounds_that_belong_to_one_release_and_split_hold_there_alone(data: DataConfig) -> None:
    for model in MODELS:
        assert not gates.default().bounds(model, data)
        assert gates.default().bounds(model, DataConfig(split=SplitConfig(seed=7)))
        own = gates.default().model_copy(update={model: (RMSE_GATE,)})
        assert own.bounds(model, data) == (RMSE_GATE,)
        of_release = own.bounds(model, DataConfig())
        others = [
            gate for gate in gates.default().bounds(model, DataConfig()) if gate.metric != features.RMSE
        ]
        assert of_release == (RMSE_GATE, *others)


def test_only_the_default_models_must_beat_their_baselines() -> None:
    assert gates.default().must_beat_baselines
    assert GatesConfig().must_beat_baselines
    for preset in (gates.tutorial(), gates.retraining()):
        assert not preset.must_beat_baselines
        assert not any(preset.bounds(model, DataConfig()) for model in MODELS)
