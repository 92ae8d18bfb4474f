"""Gates as a TFMA EvalConfig. Runs where the pipeline is compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from modules import features
from modules.evaluation import evaluator_metrics
from pipeline.gates import COMPARED_SLICES, SLICES, Gate
from pipeline.source_digest import source_digest

# TFMA's bounds are inclusive, and to be as good as the baseline is not to beat it.
_LEAST_GAIN = 1e-9
# Above every gain. Of too few users the upper end is infinite, which must not pass over all rows.
_FINITE = 1e9
_ALL_ROWS = config_pb2.SlicingSpec()
# The Evaluators' module_path.
EXTRACTORS = "modules.evaluation.extractors"


def eval_config(
    gates: Sequence[Gate], retrieval: bool, rating: bool, must_beat_baselines: bool = True
) -> config_pb2.EvalConfig:
    """Describe a model's evaluation: every metric on every slice, and the thresholds of its gates.

    Args:
      gates: bounds of the model.
      retrieval: whether the model's eval signature has the ranks.
      rating: whether it has the predicted rating.
      must_beat_baselines: as in pipeline.gates.GatesConfig.
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
    code = json.dumps(
        {"source_digest": "".join(map(source_digest, (evaluator_metrics.__name__, EXTRACTORS)))}
    )
    metrics = [
        config_pb2.MetricConfig(class_name=cls.__name__, module=cls.__module__, config=code)
        for cls in classes
    ]
    thresholds = {gate.metric: _bounds(gate) for gate in gates}
    for metric in [features.GATED_HITS] * retrieval + [features.RMSE] * rating:
        thresholds.update(_comparisons(metric, must_beat_baselines, has_bounds=bool(gates)))
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name=features.EVAL_SIGNATURE, label_key=features.RATING)],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICES),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics, per_slice_thresholds=thresholds)],
    )


def _bounds(gate: Gate) -> config_pb2.PerSliceMetricThresholds:
    # A bound under `thresholds` would hold on every slice that is reported; so each is said of its slices.
    error = gate.metric in evaluator_metrics.RATING_METRICS
    parts = [(_ALL_ROWS, gate.bound)]
    parts += [(config_pb2.SlicingSpec(feature_keys=[part.feature]), part.bound) for part in gate.slices]
    return _per_slice([(spec, _value(error, bound)) for spec, bound in parts])


def _comparisons(
    metric: str, must_beat_baselines: bool, has_bounds: bool
) -> dict[str, config_pb2.PerSliceMetricThresholds]:
    """Describe what a metric must be beside its references, by the name of the end of the gain's interval."""
    not_beaten = _value(error=False, bound=0.0)
    thresholds = {}
    if must_beat_baselines:
        for baseline in features.BASELINES[metric]:
            gain = features.gain_metric(metric, baseline)
            thresholds[gain + features.LOWER] = _per_slice([(_ALL_ROWS, _value(False, _LEAST_GAIN))])
            slices = [config_pb2.SlicingSpec(feature_keys=[key]) for key in COMPARED_SLICES[metric]]
            thresholds[gain + features.UPPER] = _per_slice([(spec, not_beaten) for spec in slices])
    elif not has_bounds:
        gain = features.gain_metric(metric, features.CHANCE[metric])
        known = _value(error=False, bound=0.0)
        known.value_threshold.upper_bound.value = _FINITE
        thresholds[gain + features.UPPER] = _per_slice([(_ALL_ROWS, known)])
    # A change, for TFX leaves out the changes where there is no champion. The champion's own gain is 0.
    of_champion = config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": 0.0}
    )
    gain = features.gain_metric(metric, features.CHAMPION)
    thresholds[gain + features.UPPER] = _per_slice(
        [(_ALL_ROWS, config_pb2.MetricThreshold(change_threshold=of_champion))]
    )
    return thresholds


def _per_slice(
    parts: Sequence[tuple[config_pb2.SlicingSpec, config_pb2.MetricThreshold]],
) -> config_pb2.PerSliceMetricThresholds:
    return config_pb2.PerSliceMetricThresholds(
        thresholds=[
            config_pb2.PerSliceMetricThreshold(slicing_specs=[spec], threshold=limit) for spec, limit in parts
        ]
    )


def _value(error: bool, bound: float) -> config_pb2.MetricThreshold:
    limit = config_pb2.GenericValueThreshold(**{"upper_bound" if error else "lower_bound": {"value": bound}})
    return config_pb2.MetricThreshold(value_threshold=limit)
