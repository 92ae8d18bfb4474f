"""What an Evaluator measured and gated, as plain data read from its evaluation. Nothing is computed anew.

Called by the runner's summary, and by the executor for the model card.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TypeAlias

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from modules import features

_Threshold: TypeAlias = "config_pb2.GenericValueThreshold | config_pb2.GenericChangeThreshold"

_BASELINE = "baseline"  # TFMA's name for the second of two models.
# Beside a metric, the ends of its 95% interval (see modules.evaluation.evaluator_metrics).
LOWER, UPPER = "_lower", "_upper"
# Among the figures of a slice, how many rows it has.
ROWS = "example_count"
_GAIN = features.gain_metric("")
_GAIN_RULE = "gain > 0"


@dataclasses.dataclass(frozen=True)
class Gated:
    """One metric on one slice, held against one threshold.

    Attributes:
      metric: its name.
      feature: what the slice is of; empty for all rows.
      place: the slice, such as `user_gender=F`; empty for all rows.
      rule: what must hold, such as `>= 0.3`, `change >= -0.01` or `gain > 0`; the last of the whole interval.
      value: of the challenger, of the change from the champion, or of the gain on the baseline; NaN for none.
      interval: 95% interval of the challenger's metric or gain; None for a change.
      champion: the champion's metric or gain; None where the challenger met no champion.
      baseline: the baseline, measured on the same rows; None where it has none, and for a change.
      passed: TFMA's verdict.
    """

    metric: str
    feature: str
    place: str
    rule: str
    value: float
    interval: tuple[float, float] | None
    champion: float | None
    baseline: float | None
    passed: bool

    @property
    def is_gain(self) -> bool:
        """Whether the model is compared with its baseline."""
        return self.rule == _GAIN_RULE

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(Gated("rmse", "user_gender", "user_gender=F", "<= 1", 1.25, None, None, None, False))
        'rmse on user_gender=F must be <= 1, is 1.250'
        >>> str(Gated("rmse", "", "", "gain > 0", 0.01, (-0.02, 0.04), None, 0.94, False))
        'rmse must beat the baseline, 0.940; the gain is 0.010, its 95% interval -0.020 to 0.040'
        """
        if self.is_gain:
            return (
                f"{self.metric} must beat the baseline, {number(self.baseline)}; the gain is "
                f"{number(self.value)}, its 95% interval {span(self.interval)}"
            )
        place = f" on {self.place}" if self.place else ""
        verb = "must have" if self.rule.startswith("change") else "must be"
        return f"{self.metric}{place} {verb} {self.rule}, is {number(self.value)}"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that one model was held against.

    Attributes:
      gated: every threshold, on every slice that it holds for.
      others: metrics over all rows that have no threshold, by name.
      rows: how many the model was evaluated on.
      reliability: rows, mean prediction and mean rating of each bucket of predicted ratings that has rows.
      values: every figure of the model by its name, with the ends of intervals, by slice; `""` for all rows.
    """

    gated: tuple[Gated, ...]
    others: dict[str, float]
    rows: int
    reliability: tuple[tuple[int, float, float], ...] = ()
    values: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def failures(self) -> list[Gated]:
        """What made TFMA refuse."""
        return [gated for gated in self.gated if not gated.passed]

    def closest_slices(self) -> Iterator[tuple[int, Gated]]:
        """Yield, for each threshold on slices, how many passed it and the one that is closest to it."""
        passed: dict[tuple[str, str, str], list[Gated]] = {}
        for gated in self.gated:
            if gated.passed and gated.feature:
                passed.setdefault((gated.metric, gated.feature, gated.rule), []).append(gated)
        for (_, _, rule), slices in passed.items():
            closest = min if ">=" in rule else max
            yield len(slices), closest(slices, key=lambda gated: gated.value)


def number(value: float | None) -> str:
    """Write a metric; `missing` for NaN, nothing for None.

    >>> number(0.25), number(float("nan")), number(None)
    ('0.250', 'missing', '')
    """
    if value is None:
        return ""
    return "missing" if math.isnan(value) else f"{value:.3f}"


def span(interval: tuple[float, float] | None) -> str:
    """Write an interval.

    >>> span((0.25, 0.5)), span(None)
    ('0.250 to 0.500', '')
    """
    return "" if interval is None else " to ".join(number(end) for end in interval)


class _Metrics:
    """Values of one evaluation, by slice, metric and whether it is the change from the champion."""

    def __init__(self, uri: str) -> None:
        self.challenger: dict[tuple[str, str, bool], float] = {}
        self.champion: dict[tuple[str, str, bool], float] = {}
        # Every slice with the feature it is of; both are empty for all rows.
        self.slices: dict[str, str] = {}
        self.reliability: tuple[tuple[int, float, float], ...] = ()
        for of_slice in tfma.load_metrics(uri):
            place = _place(of_slice.slice_key)
            self.slices[place] = ", ".join(part.column for part in of_slice.slice_key.single_slice_keys)
            for entry in of_slice.metric_keys_and_values:
                of_champion = entry.key.model_name == _BASELINE
                values = self.champion if of_champion else self.challenger
                if entry.value.HasField("double_value"):
                    values[place, entry.key.name, entry.key.is_diff] = entry.value.double_value.value
                elif entry.key.name == features.RELIABILITY and not (
                    place or of_champion or entry.key.is_diff
                ):
                    self.reliability = _buckets(entry.value.array_value)

    def interval(self, place: str, name: str) -> tuple[float, float] | None:
        """Return a metric's interval, where it has one."""
        lower = self.challenger.get((place, name + LOWER, False))
        upper = self.challenger.get((place, name + UPPER, False))
        return None if lower is None or upper is None else (lower, upper)


def _buckets(array: metrics_for_slice_pb2.ArrayValue) -> tuple[tuple[int, float, float], ...]:
    values = list(array.float64_values)
    buckets = zip(values[::3], values[1::3], values[2::3], strict=True)
    return tuple((int(rows), predicted, rated) for rows, predicted, rated in buckets if rows)


def read_evaluation(uri: str) -> Evaluation:
    """Read the evaluation that TFMA wrote; some milliseconds.

    Args:
      uri: folder of a ModelEvaluation artifact.
    """
    metrics = _Metrics(uri)
    failed = {
        (_place(of_slice.slice_key), failure.metric_key.name, failure.metric_key.is_diff)
        for of_slice in tfma.load_validation_result(uri).metric_validations_per_slice
        for failure in of_slice.failures
    }
    gated = tuple(
        _gated(metrics, failed, key, feature, place, threshold)
        for key, feature, named, threshold in _thresholds(tfma.load_eval_result(uri).config)
        for place in [p for p, of in metrics.slices.items() if of == feature and named in ("", p)]
        or [named or f"{feature}=?"]
    )
    gated_names = {item.metric for item in gated}
    overall = {name: v for (place, name, change), v in metrics.challenger.items() if not place and not change}
    values: dict[str, dict[str, float]] = {}
    for (place, name, change), value in metrics.challenger.items():
        if not change:
            values.setdefault(place, {})[name] = value
    rows = int(overall.pop(ROWS, 0))
    # Said beside their metrics.
    gated_names |= {
        part(name) for name in gated_names for part in (features.baseline_metric, features.gain_metric)
    }
    named = {name for name in overall if not name.endswith((LOWER, UPPER))}
    others = {name: overall[name] for name in named - gated_names}
    return Evaluation(gated, others, rows, metrics.reliability, values)


def _thresholds(
    config: config_pb2.EvalConfig,
) -> Iterator[tuple[tfma.metrics.MetricKey, str, str, _Threshold]]:
    """Yield each threshold of the challenger: metric, feature on whose slices it holds, one slice, bound."""
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    # A proto's map has no order of its own. A metric's bound comes first, then the change, then the gain.
    for key, by_slices in sorted(thresholds.items(), key=lambda item: (item[0].name, item[0].is_diff)):
        if key.model_name != _BASELINE:
            for slices, threshold in by_slices:
                named = ", ".join(f"{feature}={value}" for feature, value in slices.feature_values.items())
                yield key, ", ".join([*slices.feature_keys, *slices.feature_values]), named, threshold


def _gated(
    metrics: _Metrics,
    failed: set[tuple[str, str, bool]],
    key: tfma.metrics.MetricKey,
    feature: str,
    place: str,
    threshold: _Threshold,
) -> Gated:
    # The lower end of a gain's interval is what TFMA holds against its bound.
    on_gain = key.name.endswith(_GAIN + LOWER)
    measured = key.name.removesuffix(LOWER) if on_gain else key.name
    metric = measured.removesuffix(_GAIN) if on_gain else key.name
    value = metrics.challenger.get((place, measured, key.is_diff), math.nan)
    baseline = metrics.challenger.get((place, features.baseline_metric(metric), False))
    return Gated(
        metric=metric,
        feature=feature,
        place=place,
        rule=_GAIN_RULE if on_gain else _rule(threshold),
        value=value,
        interval=None if key.is_diff else metrics.interval(place, measured),
        champion=metrics.champion.get((place, measured, False)),
        baseline=None if key.is_diff else baseline,
        # TFMA lists no failure for a slice that is not there, but refuses the model for want of it.
        passed=(place, key.name, key.is_diff) not in failed and not math.isnan(value),
    )


def _rule(threshold: _Threshold) -> str:
    if isinstance(threshold, config_pb2.GenericChangeThreshold):
        higher = threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
        return f"change {'>=' if higher else '<='} {threshold.absolute.value:+g}"
    bounds = []
    if threshold.HasField("lower_bound"):
        bounds.append(f">= {threshold.lower_bound.value:g}")
    if threshold.HasField("upper_bound"):
        bounds.append(f"<= {threshold.upper_bound.value:g}")
    return " and ".join(bounds)


def _place(key: metrics_for_slice_pb2.SliceKey) -> str:
    values = []
    for part in key.single_slice_keys:
        value = getattr(part, part.WhichOneof("kind"))
        values.append(f"{part.column}={value.decode() if isinstance(value, bytes) else value}")
    return ", ".join(values)
