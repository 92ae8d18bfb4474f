"""Gates as TFMA's configuration: each threshold on the slices that it is said of, and on no other."""

from __future__ import annotations

import importlib
import pathlib
import re

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from modules import features
from modules.evaluation import evaluator_metrics
from pipeline import gates
from pipeline.evaluation import eval_config
from pipeline.gates import Gate, SliceGate

ROOT = pathlib.Path(__file__).parents[2]
HITS = features.hit_metric(100, unseen=True)
GATES = (
    Gate(
        metric=HITS,
        bound=0.5,
        max_worsening=0.02,
        slices=(
            SliceGate(feature=features.USER_GENDER, bound=0.4),
            SliceGate(feature=features.TITLE_POPULARITY, value="head", bound=0.7),
            SliceGate(feature=features.TITLE_POPULARITY, value="tail", bound=0.1),
        ),
    ),
    Gate(
        metric=features.RMSE,
        bound=1.0,
        max_worsening=0.03,
        slices=(SliceGate(feature=features.USER_ACTIVITY, bound=1.2),),
    ),
)


def thresholds(config: config_pb2.EvalConfig) -> dict[tuple[str, str], config_pb2.MetricThreshold]:
    """Thresholds by metric and slice: a feature, a feature and its value, or empty for all rows."""
    (spec,) = config.metrics_specs
    assert not spec.thresholds
    received = {}
    for metric, parts in spec.per_slice_thresholds.items():
        for part in parts.thresholds:
            for slicing in part.slicing_specs:
                values = [f"{key}={value}" for key, value in slicing.feature_values.items()]
                received[metric, " ".join([*slicing.feature_keys, *values])] = part.threshold
    return received


def test_over_all_rows_a_gate_is_a_bound_and_a_change() -> None:
    received = thresholds(eval_config(GATES, retrieval=True, rating=True))
    higher, lower = received[HITS, ""], received[features.RMSE, ""]
    assert higher.value_threshold.lower_bound.value == 0.5
    assert not higher.value_threshold.HasField("upper_bound")
    assert higher.change_threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
    assert higher.change_threshold.absolute.value == -0.02
    assert lower.value_threshold.upper_bound.value == 1.0
    assert not lower.value_threshold.HasField("lower_bound")
    assert lower.change_threshold.direction == config_pb2.MetricDirection.LOWER_IS_BETTER
    assert lower.change_threshold.absolute.value == 0.03


@pytest.mark.parametrize(
    ("retrieval", "rating", "expected"),
    [(True, False, {HITS}), (False, True, {features.RMSE}), (True, True, {HITS, features.RMSE})],
    ids=["retrieval", "ranking", "multitask"],
)
def test_every_gain_must_be_above_0_with_the_lower_end_of_its_interval(
    retrieval: bool, rating: bool, expected: set[str]
) -> None:
    of_model = [gate for gate in GATES if gate.metric in expected]
    received = thresholds(eval_config(of_model, retrieval, rating))
    gains = {key: threshold for key, threshold in received.items() if features.gain_metric("") in key[0]}
    assert set(gains) == {(features.gain_metric(metric) + evaluator_metrics.LOWER, "") for metric in expected}
    for threshold in gains.values():
        # 0 itself, a model that is as good as its baseline, is below it.
        assert 0 < threshold.value_threshold.lower_bound.value <= 1e-9
        assert not threshold.HasField("change_threshold")
    without = thresholds(eval_config(of_model, retrieval, rating, must_beat_baselines=False))
    assert set(without) == set(received) - set(gains)


def test_a_slice_has_its_own_bound_and_is_not_held_against_the_champion() -> None:
    received = thresholds(eval_config(GATES, retrieval=True, rating=True))
    slices = {key: threshold for key, threshold in received.items() if key[1]}
    assert not any(threshold.HasField("change_threshold") for threshold in slices.values())
    assert {
        key: (threshold.value_threshold.lower_bound.value, threshold.value_threshold.upper_bound.value)
        for key, threshold in slices.items()
    } == {
        (HITS, "user_gender"): (0.4, 0.0),
        (HITS, "title_popularity=head"): (0.7, 0.0),
        (HITS, "title_popularity=tail"): (0.1, 0.0),
        (features.RMSE, "user_activity"): (0.0, 1.2),
    }


def test_every_metric_is_reported_on_all_rows_and_every_slice() -> None:
    config = eval_config(GATES, retrieval=True, rating=True)
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [
        [],
        *([key] for key in gates.SLICES),
    ]


@pytest.mark.parametrize(
    ("retrieval", "rating", "received"),
    [(True, False, "rmse"), (False, True, HITS)],
    ids=["retrieval", "ranking"],
)
def test_a_gate_on_a_metric_that_the_model_does_not_have_is_refused(
    retrieval: bool, rating: bool, received: str
) -> None:
    with pytest.raises(ValueError, match=f"a gate's metric must be one of .*; received {received}$"):
        eval_config(GATES, retrieval, rating)


@pytest.mark.parametrize("preset", [gates.default(), gates.tutorial()], ids=["default", "tutorial"])
@pytest.mark.parametrize(
    ("model", "retrieval", "rating"),
    [("retrieval", True, False), ("ranking", False, True), ("multitask", True, True)],
)
def test_the_presets_gates_are_on_metrics_of_classes_that_workers_find(
    preset: gates.GatesConfig, model: str, retrieval: bool, rating: bool
) -> None:
    config = eval_config(getattr(preset, model), retrieval, rating, preset.must_beat_baselines)
    (spec,) = config.metrics_specs
    own = [metric for metric in spec.metrics if metric.module]
    assert len(own) == retrieval + rating
    for metric in own:
        assert issubclass(
            getattr(importlib.import_module(metric.module), metric.class_name), tfma.metrics.Metric
        )
    classes = [evaluator_metrics.HitRates] * retrieval + [evaluator_metrics.RatingErrors] * rating
    reported = {key.name for cls in classes for made in cls().computations() for key in made.keys}
    assert set(spec.per_slice_thresholds) <= reported
    assert [model.signature_name for model in config.model_specs] == [features.EVAL_SIGNATURE]


def test_no_file_takes_a_proto_from_tfmas_top() -> None:
    """TFMA 0.52 has them in `tensorflow_model_analysis.proto` alone."""
    protos = {*config_pb2.DESCRIPTOR.message_types_by_name, *config_pb2.DESCRIPTOR.enum_types_by_name}
    files = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).parts[0].startswith(".")]
    taken = {(path, name) for path in files for name in re.findall(r"\btfma\.(\w+)", path.read_text())}
    assert taken
    assert not [(str(path), name) for path, name in taken if name in protos]
