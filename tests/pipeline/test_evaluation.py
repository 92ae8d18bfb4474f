"""Gates as TFMA's configuration: each threshold on the slices that it is said of, and on no other."""

from __future__ import annotations

import importlib
import math
import pathlib
import re

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.movielens_example_gen.config import DataConfig
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
        slices=(
            SliceGate(feature=features.USER_GENDER, bound=0.4),
            SliceGate(feature=features.TITLE_POPULARITY, bound=0.1),
        ),
    ),
    Gate(
        metric=features.RMSE,
        bound=1.0,
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


def test_a_gate_is_a_bound_over_all_rows_and_on_its_slices() -> None:
    received = thresholds(eval_config(GATES, retrieval=True, rating=True))
    bounds = {
        key: threshold.value_threshold
        for key, threshold in received.items()
        if key[0] in (HITS, features.RMSE)
    }
    assert {
        key: bound.lower_bound.value for key, bound in bounds.items() if bound.HasField("lower_bound")
    } == {
        (HITS, ""): 0.5,
        (HITS, "user_gender"): 0.4,
        (HITS, "title_popularity"): 0.1,
    }
    assert {
        key: bound.upper_bound.value for key, bound in bounds.items() if bound.HasField("upper_bound")
    } == {
        (features.RMSE, ""): 1.0,
        (features.RMSE, "user_activity"): 1.2,
    }


def lower(metric: str, reference: str) -> str:
    return features.gain_metric(metric, reference) + features.LOWER


def upper(metric: str, reference: str) -> str:
    return features.gain_metric(metric, reference) + features.UPPER


@pytest.mark.parametrize(
    ("retrieval", "rating"),
    [(True, False), (False, True), (True, True)],
    ids=["retrieval", "ranking", "multitask"],
)
def test_a_model_is_compared_with_its_baselines_or_with_chance_and_with_its_champion(
    retrieval: bool, rating: bool
) -> None:
    hits, error = features.GATED_HITS, features.RMSE
    users = (features.USER_ACTIVITY, features.USER_GENDER, features.VISIT)
    beats = {(lower(hits, "popularity"), ""), (lower(hits, "item_item"), "")} if retrieval else set()
    beats |= {(lower(error, "biases"), "")} if rating else set()
    on_slices = {
        (upper(hits, baseline), feature)
        for baseline in ("popularity", "item_item")
        for feature in users
        if retrieval
    } | {(upper(error, "biases"), feature) for feature in (*users, features.TITLE_POPULARITY) if rating}
    on_champion = {(upper(metric, "champion"), "") for metric in [hits] * retrieval + [error] * rating}
    received = thresholds(eval_config([], retrieval, rating))
    assert set(received) == beats | on_slices | on_champion
    for key, threshold in received.items():
        # 0 itself, a model that is as good as its baseline, is below the first.
        low, high = (1e-12, 1e-9) if key in beats else (0.0, 0.0)
        if key in on_champion:
            # TFX takes changes out where there is no champion.
            assert not threshold.HasField("value_threshold")
            assert threshold.change_threshold.absolute.value == 0
            assert threshold.change_threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
        else:
            assert low <= threshold.value_threshold.lower_bound.value <= high
            assert not threshold.HasField("change_threshold")
    without = thresholds(eval_config([], retrieval, rating, must_beat_baselines=False))
    chance = [(upper(hits, "random"), "")] * retrieval + [(upper(error, "mean"), "")] * rating
    # Bounds of one's own take the place of chance.
    gates_of_one = [gate for gate in GATES if gate.metric == (HITS if retrieval else error)]
    bounded = thresholds(eval_config(gates_of_one, retrieval, rating, must_beat_baselines=False))
    assert not set(chance) & set(bounded)
    assert set(without) == on_champion | set(chance)
    # The infinite end of too few users is above this.
    assert all(0 < without[key].value_threshold.upper_bound.value < math.inf for key in chance)


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
def test_a_gate_on_a_metric_that_the_model_does_not_have_is_rejected(
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
    config = eval_config(preset.bounds(model, DataConfig()), retrieval, rating, preset.must_beat_baselines)
    (spec,) = config.metrics_specs
    own = [metric for metric in spec.metrics if metric.module]
    assert len(own) == retrieval + rating
    for metric in own:
        assert issubclass(
            getattr(importlib.import_module(metric.module), metric.class_name), tfma.metrics.Metric
        )
    classes = [evaluator_metrics.HitRates] * retrieval + [evaluator_metrics.RatingErrors] * rating
    models = ["candidate", "baseline"]
    reported = {
        key.name for cls in classes for made in cls().computations(model_names=models) for key in made.keys
    }
    assert set(spec.per_slice_thresholds) <= reported
    assert [model.signature_name for model in config.model_specs] == [features.EVAL_SIGNATURE]


def test_no_file_takes_a_proto_from_tfmas_top() -> None:
    """TFMA 0.52 has them in `tensorflow_model_analysis.proto` alone."""
    protos = {*config_pb2.DESCRIPTOR.message_types_by_name, *config_pb2.DESCRIPTOR.enum_types_by_name}
    files = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).parts[0].startswith(".")]
    taken = {(path, name) for path in files for name in re.findall(r"\btfma\.(\w+)", path.read_text())}
    assert taken
    assert not [(str(path), name) for path, name in taken if name in protos]
