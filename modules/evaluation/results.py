"""What an Evaluator measured and gated, as plain data read from its evaluation. Nothing is computed anew.

Called by the runner's summary, and by the executor for the model card.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

from modules import features
from modules.evaluation import tfma_files

# Among the figures of a slice, how many rows it has.
ROWS = "example_count"
_DISPLAY_NAMES = {
    features.POPULARITY: "popularity",
    features.ITEM_ITEM: "item-item",
    features.RANDOM: "random order",
    features.BIASES: "biases",
    features.MEAN: "mean rating",
    features.CHAMPION: "champion",
}
# A metric's name, what it is compared with, and the end of the gain's interval that a threshold holds.
_GAIN = re.compile(f"(.+){features.gain_metric('', '(.+?)')}({features.LOWER}|{features.UPPER})")


@dataclasses.dataclass(frozen=True)
class Gated:
    """One metric on one slice, held against one bound, or compared with one reference.

    Attributes:
      metric: its name, with the depth where that depends on the catalogue.
      feature: what the slice is of; empty for all rows.
      slice: such as `user_gender=F`; empty for all rows.
      rule: such as `>= 0.3`, `beat popularity` or `not be beaten by champion`.
      value: of the model, or of its gain on the reference; NaN for none.
      interval: 95% interval of that.
      reference: the metric of what the model is compared with; None for a bound.
      passed: TFMA's verdict.
      compared_with: that reference in words; empty for a bound.
    """

    metric: str
    feature: str
    slice: str
    rule: str
    value: float
    interval: tuple[float, float] | None
    reference: float | None
    passed: bool
    compared_with: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is a comparison of too few users to know who is better."""
        return self.reference is not None and self.interval is not None and math.isinf(self.interval[0])

    def __str__(self) -> str:
        """Say it in one line.

        >>> str(Gated("rmse", "user_gender", "user_gender=F", "<= 1", 1.25, None, None, False))
        'rmse on user_gender=F must be <= 1, is 1.250'
        >>> str(Gated("rmse", "", "", "beat mean rating", 0.1, (-0.1, 0.3), 1.1, False))
        'rmse must beat mean rating, 1.100; the gain is 0.100, its 95% interval -0.100 to 0.300'
        """
        metric = f"{self.metric} on {self.slice}" if self.slice else self.metric
        if self.reference is None:
            return f"{metric} must be {self.rule}, is {number(self.value)}"
        return (
            f"{metric} must {self.rule}, {number(self.reference)}; the gain is {number(self.value)}, its "
            f"95% interval {span(self.interval)}"
        )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that one model was held against.

    Attributes:
      gated: every threshold, on every slice that it holds for, but comparisons with what is absent.
      others: metrics over all rows that have no threshold, by name.
      rows: how many the model was evaluated on.
      reliability: rows, mean prediction and mean rating of each bucket of predicted ratings that has rows.
      values: every figure of the model by its name, with the ends of intervals, by slice; `""` for all rows.
      depth: of features.GATED_HITS; None for a model that only rates.
      champion: the champion's figures over all rows, by name; none where the model met no champion.
    """

    gated: tuple[Gated, ...]
    others: dict[str, float]
    rows: int
    reliability: tuple[tuple[int, float, float], ...] = ()
    values: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    depth: int | None = None
    champion: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def failures(self) -> list[Gated]:
        """Thresholds that the model does not meet."""
        return [gated for gated in self.gated if not gated.passed]

    def left_out(self) -> str:
        """Name the slices that a gate looks at and does not judge; empty where it judges all.

        >>> few = Gated("rmse", "visit", "visit=sitting", "", 0.1, (-math.inf, math.inf), 1.1, True)
        >>> Evaluation((few,), {}, 20).left_out()
        'visit=first, visit=return (no rows); visit=sitting (too few users to compare)'
        """
        found = {gated.slice for gated in self.gated}
        features_of_gates = sorted({gated.feature for gated in self.gated} & features.SLICE_VALUES.keys())
        possible = [f"{name}={value}" for name in features_of_gates for value in features.SLICE_VALUES[name]]
        parts = {
            "no rows": [name for name in possible if name not in found],
            "too few users to compare": sorted({g.slice for g in self.gated if g.feature and g.is_open}),
        }
        return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in parts.items() if names)

    def closest_slices(self) -> Iterator[tuple[int, Gated]]:
        """Yield, for each threshold on slices, how many it judged and passed, and the closest of these."""
        passed: dict[tuple[str, str], list[Gated]] = {}
        for gated in self.gated:
            if gated.passed and gated.feature and not (gated.is_open or math.isnan(gated.value)):
                passed.setdefault((gated.metric, gated.rule), []).append(gated)
        for (_, rule), slices in passed.items():
            closest = max if "<=" in rule else min
            yield len(slices), closest(slices, key=lambda gated: gated.value)


def number(value: float | None) -> str:
    """Write a metric; `missing` for NaN, nothing for None.

    >>> number(0.25), number(float("nan")), number(None)
    ('0.250', 'missing', '')
    """
    if value is None:
        return ""
    return "missing" if math.isnan(value) else f"{value:.3f}"


def display_name(metric: str, depth: int | None) -> str:
    """Name a metric with its depth.

    >>> display_name(features.GATED_HITS, 50), display_name(features.RMSE, None)
    ('top_50_categorical_accuracy_unseen', 'rmse')
    """
    return metric.replace(features.GATED_HITS, features.hit_metric(depth, unseen=True)) if depth else metric


def span(interval: tuple[float, float] | None) -> str:
    """Write an interval.

    >>> span((0.25, 0.5)), span(None), span((-math.inf, math.inf))
    ('0.250 to 0.500', '', 'too few users')
    """
    if interval is not None and math.isinf(interval[0]):
        return "too few users"
    return "" if interval is None else " to ".join(number(end) for end in interval)


def interval(values: Mapping[str, float], metric: str) -> tuple[float, float] | None:
    """Return a metric's interval from a slice's figures; None where it has none."""
    lower, upper = values.get(metric + features.LOWER), values.get(metric + features.UPPER)
    return None if lower is None or upper is None else (lower, upper)


def read_evaluation(uri: str) -> Evaluation:
    """Read the evaluation that TFMA wrote; some milliseconds.

    Args:
      uri: folder of a ModelEvaluation artifact.
    """
    metrics, failed = tfma_files.Metrics(uri), tfma_files.failures(uri)
    depth = int(metrics.challenger.get("", {}).get(features.GATED_DEPTH, 0)) or None
    gated = [
        _gated(metrics, depth, failed, metric, feature, slice_name, bound)
        for metric, feature, bound in tfma_files.thresholds(uri)
        for slice_name, feature_of_slice in metrics.slices.items()
        if feature_of_slice == feature
    ]
    # An infinite gain: there is no such baseline for these data.
    gated = [item for item in gated if not (item.passed and math.isinf(item.value))]
    values = {name: _displayed(_present(figures), depth) for name, figures in metrics.challenger.items()}
    overall = values.get("", {})
    gated_names = {item.metric for item in gated}
    others = {name: overall[name] for name in own_metrics(overall) if name not in gated_names}
    rows = int(overall.get(ROWS, 0))
    champion = _displayed(metrics.champion.get("", {}), depth)
    return Evaluation(tuple(gated), others, rows, metrics.reliability, values, depth, champion)


def _displayed(values: Mapping[str, float], depth: int | None) -> dict[str, float]:
    """Return a slice's figures by the names that are shown."""
    return {display_name(name, depth): value for name, value in values.items()}


def _present(figures: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is of an absent baseline, whose figures are infinite, with the ends of its intervals."""
    return {
        name: value
        for name, value in figures.items()
        if not math.isinf(figures.get(name.removesuffix(features.LOWER).removesuffix(features.UPPER), value))
    }


def own_metrics(values: Mapping[str, float]) -> list[str]:
    """List what is a figure of the model itself, and no end of an interval, baseline or gain.

    >>> own_metrics({"rmse": 0.9, "rmse_lower": 0.8, "rmse_of_biases": 0.95, "example_count": 7.0})
    ['rmse']
    """
    beside = (features.reference_metric("", ""), features.gain_metric("", ""))
    return [
        name
        for name in values
        if not name.endswith((features.LOWER, features.UPPER))
        and not any(part in name for part in beside)
        and name not in (ROWS, features.GATED_DEPTH)
    ]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric beside that of a reference, on one slice.

    Attributes:
      metric: its name, with the depth where that depends on the catalogue.
      reference: what it is compared with, in words.
      value: the reference's metric; None where it is not among the model's figures.
      gain: how much better the model is.
      interval: 95% interval of the gain; None where it has none.
    """

    metric: str
    reference: str
    value: float | None
    gain: float
    interval: tuple[float, float] | None


def comparisons(values: Mapping[str, float]) -> list[Comparison]:
    """Find the comparisons among the figures of a slice, by metric and reference.

    >>> comparisons({"rmse_of_biases": 0.95, "rmse_gain_on_biases": 0.05})[0].reference
    'biases'
    """
    found = []
    for name, gain in sorted(values.items()):
        metric, separator, reference = name.partition(features.gain_metric("", ""))
        if separator and reference in _DISPLAY_NAMES:
            value = values.get(features.reference_metric(metric, reference))
            found.append(Comparison(metric, _DISPLAY_NAMES[reference], value, gain, interval(values, name)))
    return found


def _gated(
    metrics: tfma_files.Metrics,
    depth: int | None,
    failed: set[tuple[str, str]],
    name: str,
    feature: str,
    slice_name: str,
    bound: str,
) -> Gated:
    passed, figures = (slice_name, name) not in failed, metrics.challenger[slice_name]
    if not (gain := _GAIN.fullmatch(name)):
        value = figures.get(name, math.nan)
        return Gated(name, feature, slice_name, bound, value, interval(figures, name), None, passed)
    metric, reference, end = gain.groups()
    measured = features.gain_metric(metric, reference)
    if reference == features.CHAMPION:
        of_reference = metrics.champion[slice_name].get(metric, math.nan)
    else:
        of_reference = figures.get(features.reference_metric(metric, reference), math.nan)
    rule = "beat" if end == features.LOWER else "not be beaten by"
    return Gated(
        metric=display_name(metric, depth),
        feature=feature,
        slice=slice_name,
        rule=f"{rule} {_DISPLAY_NAMES[reference]}",
        value=figures.get(measured, math.nan),
        interval=interval(figures, measured),
        reference=of_reference,
        passed=passed,
        compared_with=_DISPLAY_NAMES[reference],
    )
