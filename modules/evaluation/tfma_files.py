"""What an Evaluator wrote, read by TFMA into plain values: metrics, thresholds and failures, by slice.

A slice is named as `user_gender=F`; the slice of all rows is "".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from modules import features

_Threshold: TypeAlias = "config_pb2.GenericValueThreshold | config_pb2.GenericChangeThreshold"

_CHAMPION_MODEL = "baseline"  # TFMA's name for the second of two models.


class Metrics:
    """Values of one evaluation, by slice, then by metric.

    Attributes:
      challenger, champion: figures; none of a champion that there was not.
      slices: the feature that each slice is of.
      reliability: of the challenger over all rows, see modules.evaluation.results.Evaluation.
    """

    def __init__(self, uri: str) -> None:
        self.challenger: dict[str, dict[str, float]] = {}
        self.champion: dict[str, dict[str, float]] = {}
        self.slices: dict[str, str] = {}
        self.reliability: tuple[tuple[int, float, float], ...] = ()
        for of_slice in tfma.load_metrics(uri):
            name = _slice_name(of_slice.slice_key)
            self.slices[name] = ", ".join(part.column for part in of_slice.slice_key.single_slice_keys)
            challenger, champion = self.challenger.setdefault(name, {}), self.champion.setdefault(name, {})
            for entry in of_slice.metric_keys_and_values:
                if entry.key.is_diff:
                    continue
                of_champion = entry.key.model_name == _CHAMPION_MODEL
                if entry.value.HasField("double_value"):
                    values = champion if of_champion else challenger
                    values[entry.key.name] = entry.value.double_value.value
                elif entry.key.name == features.RELIABILITY and not (name or of_champion):
                    self.reliability = _buckets(entry.value.array_value)


def failures(uri: str) -> set[tuple[str, str]]:
    """Return the slice and the metric's name of each threshold that the challenger does not meet."""
    return {
        (_slice_name(of_slice.slice_key), failure.metric_key.name)
        for of_slice in tfma.load_validation_result(uri).metric_validations_per_slice
        for failure in of_slice.failures
    }


def thresholds(uri: str) -> Iterator[tuple[str, str, str]]:
    """Yield the thresholds that the challenger was held against, see `thresholds_of`."""
    return thresholds_of(tfma.load_eval_result(uri).config)


def thresholds_of(config: config_pb2.EvalConfig) -> Iterator[tuple[str, str, str]]:
    """Yield each threshold of the challenger: metric, feature on whose slices it holds, bound as text.

    The bound is empty for a change, which compares with the champion.
    """
    by_metric = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    # A proto's map has no order of its own.
    for key, by_slices in sorted(by_metric.items(), key=lambda item: (item[0].name, item[0].is_diff)):
        if key.model_name != _CHAMPION_MODEL:
            for slices, threshold in by_slices:
                yield key.name, ", ".join(slices.feature_keys), _bound(threshold)


def _buckets(array: metrics_for_slice_pb2.ArrayValue) -> tuple[tuple[int, float, float], ...]:
    values = list(array.float64_values)
    buckets = zip(values[::3], values[1::3], values[2::3], strict=True)
    return tuple((int(rows), predicted, rated) for rows, predicted, rated in buckets if rows)


def _bound(threshold: _Threshold) -> str:
    if isinstance(threshold, config_pb2.GenericChangeThreshold):
        return ""
    bounds = []
    if threshold.HasField("lower_bound"):
        bounds.append(f">= {threshold.lower_bound.value:g}")
    if threshold.HasField("upper_bound"):
        bounds.append(f"<= {threshold.upper_bound.value:g}")
    return " and ".join(bounds)


def _slice_name(key: metrics_for_slice_pb2.SliceKey) -> str:
    values = []
    for part in key.single_slice_keys:
        value = getattr(part, part.WhichOneof("kind"))
        values.append(f"{part.column}={value.decode() if isinstance(value, bytes) else value}")
    return ", ".join(values)
