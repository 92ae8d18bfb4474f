"""Gates refuse what they could not hold, and the presets' are held to what they say."""

from __future__ import annotations

import pydantic
import pytest

from modules import features
from pipeline import gates
from pipeline.gates import Gate, GatesConfig

RMSE_GATE = Gate(metric=features.RMSE, bound=1.0, max_worsening=0.01)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"max_worsening": -0.1}, "max_worsening"),
        ({"bounds": 1.0}, "bounds"),
        ({"bound": float("nan")}, "bound"),
        ({"slices": [{"feature": "user_gnder", "bound": 1.0}]}, "one of user_activity, .*'user_gnder'"),
        # Nothing is reported on its values, and a threshold on what is not there refuses every model.
        ({"slices": [{"feature": features.USER_AGE, "bound": 1.0}]}, "one of user_activity, .*'user_age'"),
    ],
)
def test_a_gate_that_could_not_be_held_is_refused(change: dict, complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=complaint):
        Gate.model_validate({**RMSE_GATE.model_dump(), **change})


@pytest.mark.parametrize(
    ("of_ranking", "received"), [((), "none"), ((RMSE_GATE, RMSE_GATE), "rmse, rmse")], ids=["none", "twice"]
)
def test_a_model_has_gates_and_a_metric_one_of_them(of_ranking: tuple, received: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=f"one for a metric; received {received}"):
        GatesConfig(retrieval=(RMSE_GATE,), ranking=of_ranking, multitask=(RMSE_GATE,))


def test_the_default_gates_refuse_popularity_and_biases() -> None:
    """Their figures on MovieLens 100K: 0.30 of the rated titles are among the 100 most popular; RMSE 0.94."""
    preset = gates.default()
    by_metric = {gate.metric: gate for gate in (*preset.retrieval, *preset.ranking)}
    assert by_metric[features.hit_metric(100)].bound >= 0.30
    assert by_metric[features.RMSE].bound <= 0.94
    # The joint model is asked for both.
    assert {gate.metric for gate in preset.multitask} == set(by_metric)


def test_only_the_tutorials_models_may_lose_to_what_needs_no_model() -> None:
    assert gates.default().must_beat_baselines
    assert not gates.tutorial().must_beat_baselines
    asked = dict.fromkeys(("retrieval", "ranking", "multitask"), (RMSE_GATE,))
    assert GatesConfig(**asked).must_beat_baselines


def test_the_default_gates_look_at_every_slice_that_the_examples_carry_for_it() -> None:
    preset = gates.default()
    expected = {features.USER_GENDER, features.USER_ACTIVITY, features.TITLE_POPULARITY}
    for of_model in (preset.retrieval, preset.ranking, preset.multitask):
        for metric in {gate.metric for gate in of_model} - {features.hit_metric(100)}:
            (gate,) = [gate for gate in of_model if gate.metric == metric]
            assert {part.feature for part in gate.slices} == expected, metric
