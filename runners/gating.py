"""What an Evaluator gated, as plain data read from its evaluation. Nothing is computed anew."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TypeAlias

import tensorflow_model_analysis as tfma

_Threshold: TypeAlias = "tfma.GenericValueThreshold | tfma.GenericChangeThreshold"

_BASELINE = "baseline"  # TFMA's name for the second of two models.
# Beside a metric, the ends of its 95% interval (see modules.evaluation).
_LOWER, _UPPER = "_lower", "_upper"


@dataclasses.dataclass(frozen=True)
class Gated:
    """One metric on one slice, held against one threshold.

    Attributes:
      metric: its name.
      feature: what the slice is of; empty for all rows.
      place: the slice, such as `user_gender=F`; empty for all rows.
      rule: what must hold, such as `>= 0.3`, or `change >= -0.01`.
      value: of the challenger, or of the change; NaN where there is none.
      interval: 95% interval of the challenger's metric; None for a change.
      baseline: the champion's metric; None where the challenger met no champion.
      passed: TFMA's verdict.
    """

    metric: str
    feature: str
    place: str
    rule: str
    value: float
    interval: tuple[float, float] | None
    baseline: float | None
    passed: bool

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(Gated("rmse", "user_gender", "user_gender=F", "<= 1", 1.25, None, None, False))
        'rmse on user_gender=F must be <= 1, is 1.250'
        """
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
    """

    gated: tuple[Gated, ...]
    others: dict[str, float]
    rows: int

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


def number(value: float) -> str:
    """Write a metric; `missing` for NaN.

    >>> number(0.25), number(float("nan"))
    ('0.250', 'missing')
    """
    return "missing" if math.isnan(value) else f"{value:.3f}"


class _Metrics:
    """Values of one evaluation, by slice, metric and whether it is the change from the champion."""

    def __init__(self, uri: str) -> None:
        self.challenger: dict[tuple[str, str, bool], float] = {}
        self.champion: dict[tuple[str, str, bool], float] = {}
        # Every slice with the feature it is of; both are empty for all rows.
        self.slices: dict[str, str] = {}
        for of_slice in tfma.load_metrics(uri):
            place = _place(of_slice.slice_key)
            self.slices[place] = ", ".join(part.column for part in of_slice.slice_key.single_slice_keys)
            for entry in of_slice.metric_keys_and_values:
                values = self.champion if entry.key.model_name == _BASELINE else self.challenger
                values[place, entry.key.name, entry.key.is_diff] = entry.value.double_value.value

    def interval(self, place: str, key: tfma.metrics.MetricKey) -> tuple[float, float] | None:
        """Return a metric's interval, where it has one."""
        lower = self.challenger.get((place, key.name + _LOWER, False))
        upper = self.challenger.get((place, key.name + _UPPER, False))
        return None if key.is_diff or lower is None or upper is None else (lower, upper)


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
    rows = int(overall.pop("example_count", 0))
    named = {name for name in overall if not name.endswith((_LOWER, _UPPER))}
    return Evaluation(gated, {name: overall[name] for name in named - gated_names}, rows)


def _thresholds(config: tfma.EvalConfig) -> Iterator[tuple[tfma.metrics.MetricKey, str, str, _Threshold]]:
    """Yield each threshold of the challenger: metric, feature on whose slices it holds, one slice, bound."""
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    for key, by_slices in thresholds.items():
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
    value = metrics.challenger.get((place, key.name, key.is_diff), math.nan)
    return Gated(
        metric=key.name,
        feature=feature,
        place=place,
        rule=_rule(threshold),
        value=value,
        interval=metrics.interval(place, key),
        baseline=metrics.champion.get((place, key.name, False)),
        # TFMA lists no failure for a slice that is not there, but refuses the model for want of it.
        passed=(place, key.name, key.is_diff) not in failed and not math.isnan(value),
    )


def _rule(threshold: _Threshold) -> str:
    if isinstance(threshold, tfma.GenericChangeThreshold):
        higher = threshold.direction == tfma.MetricDirection.HIGHER_IS_BETTER
        return f"change {'>=' if higher else '<='} {threshold.absolute.value:+g}"
    bounds = []
    if threshold.HasField("lower_bound"):
        bounds.append(f">= {threshold.lower_bound.value:g}")
    if threshold.HasField("upper_bound"):
        bounds.append(f"<= {threshold.upper_bound.value:g}")
    return " and ".join(bounds)


def _place(key: tfma.proto.metrics_for_slice_pb2.SliceKey) -> str:
    values = []
    for part in key.single_slice_keys:
        value = getattr(part, part.WhichOneof("kind"))
        values.append(f"{part.column}={value.decode() if isinstance(value, bytes) else value}")
    return ", ".join(values)
