"""Gates as a TFMA EvalConfig. Runs where the pipeline is compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from modules import features
from modules.evaluation import evaluator_metrics
from pipeline.gates import MUST_GAIN, SLICES, Gate
from pipeline.source_digest import source_digest

# TFMA's bounds are inclusive, and to be as good as the baseline is not to beat it.
_LEAST_GAIN = 1e-9


def eval_config(
    gates: Sequence[Gate], retrieval: bool, rating: bool, must_beat_baselines: bool = True
) -> config_pb2.EvalConfig:
    """Describe a model's evaluation: every metric on every slice, and the thresholds of its gates.

    Args:
      gates: of the model.
      retrieval: whether the model's eval signature has the ranks.
      rating: whether it has the predicted rating.
      must_beat_baselines: whether to refuse it unless it is better than its baseline.
    Raises:
      ValueError: a gate names a metric that the model does not have.
    """
    reported = evaluator_metrics.RETRIEVAL_METRICS * retrieval + evaluator_metrics.RATING_METRICS * rating
    unknown = sorted({gate.metric for gate in gates} - set(reported))
    if unknown:
        raise ValueError(
            f"a gate's metric must be one of {', '.join(reported)}; received {', '.join(unknown)}"
        )
    classes = [evaluator_metrics.HitRates] * retrieval + [evaluator_metrics.RatingErrors] * rating
    # TFMA hands the digest to the metric, which ignores it: so the code gets into the Evaluator's cache key.
    code = json.dumps({"source_digest": source_digest(evaluator_metrics.__name__)})
    metrics = [
        config_pb2.MetricConfig(class_name=cls.__name__, module=cls.__module__, config=code)
        for cls in classes
    ]
    metrics.append(config_pb2.MetricConfig(class_name="ExampleCount"))
    thresholds = {gate.metric: _thresholds(gate) for gate in gates}
    gained = [metric for metric in MUST_GAIN if must_beat_baselines and metric in reported]
    thresholds.update({features.gain_metric(metric) + evaluator_metrics.LOWER: _gain() for metric in gained})
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name=features.EVAL_SIGNATURE, label_key=features.RATING)],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICES),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics, per_slice_thresholds=thresholds)],
    )


def _thresholds(gate: Gate) -> config_pb2.PerSliceMetricThresholds:
    # A bound under `thresholds` would hold on every slice that is reported; so each is said of its slices.
    error = gate.metric in evaluator_metrics.RATING_METRICS
    overall = config_pb2.MetricThreshold(
        value_threshold=_bound(error, gate.bound),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.LOWER_IS_BETTER
            if error
            else config_pb2.MetricDirection.HIGHER_IS_BETTER,
            absolute={"value": gate.max_worsening if error else -gate.max_worsening},
        ),
    )
    parts = [(config_pb2.SlicingSpec(), overall)]
    for part in gate.slices:
        threshold = config_pb2.MetricThreshold(value_threshold=_bound(error, part.bound))
        named = {} if part.value is None else {part.feature: part.value}
        keys = [part.feature] if part.value is None else []
        parts.append((config_pb2.SlicingSpec(feature_keys=keys, feature_values=named), threshold))
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[
            config_pb2.PerSliceMetricThreshold(slicing_specs=[spec], threshold=limit) for spec, limit in parts
        ]
    )


def _gain() -> config_pb2.PerSliceMetricThresholds:
    limit = config_pb2.MetricThreshold(value_threshold=_bound(error=False, bound=_LEAST_GAIN))
    threshold = config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=limit)
    return config_pb2.PerSliceMetricThresholds(thresholds=[threshold])


def _bound(error: bool, bound: float) -> config_pb2.GenericValueThreshold:
    return config_pb2.GenericValueThreshold(**{"upper_bound" if error else "lower_bound": {"value": bound}})
