"""Gates as distances from their bounds, for the picture of a model's gates. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.run_report.charts import Margin
from modules import features
from modules.evaluation.results import Evaluation, Gated, number


def by_metric(evaluation: Evaluation) -> dict[str, list[Margin]]:
    """Return, by metric, every gate over all rows, and of those on slices what failed and the closest."""
    found: dict[str, list[Margin]] = {}
    for label, gated in _shown(evaluation):
        found.setdefault(gated.metric, []).append(margin(gated, label))
    return found


def _shown(evaluation: Evaluation) -> Iterator[tuple[str, Gated]]:
    yield from (("", gated) for gated in evaluation.gated if not gated.feature)
    yield from ((gated.slice, gated) for gated in evaluation.failures if gated.feature)
    for count, gated in evaluation.closest_slices():
        yield f"{gated.slice} (closest of {count})" if count > 1 else gated.slice, gated


def margin(gated: Gated, label: str = "") -> Margin:
    """Return how far a gate is on the side of its bound that passes.

    >>> margin(Gated("rmse", "", "", "<= 1", 0.75, (0.5, 1.25), None, True))
    Margin(label='<= 1: 0.750', value=0.25, interval=(-0.25, 0.5), passed=True)
    >>> margin(Gated("rmse", "", "", "beat biases", 0.1, (0.0, 0.2), 0.9, True), "visit=first")
    Margin(label='visit=first: beat biases (0.900): +0.100', value=0.1, interval=(0.0, 0.2), passed=True)
    """
    begins = f"{label}: " if label else ""
    if gated.reference is not None:  # The value is a gain, whose bound is 0.
        text = f"{begins}{gated.rule} ({number(gated.reference)}): {gain(gated.value)}"
        return Margin(text, gated.value, gated.interval, gated.passed)
    text = f"{begins}{gated.rule}: {number(gated.value)}"
    comparison, bound = gated.rule.split()
    sign = -1.0 if comparison.startswith("<") else 1.0
    ends = [sign * (end - float(bound)) for end in gated.interval or ()]
    interval = (min(ends), max(ends)) if ends else None
    return Margin(text, sign * (gated.value - float(bound)), interval, gated.passed)


def gain(value: float) -> str:
    """Write a gain.

    >>> gain(0.125), gain(-0.0001)
    ('+0.125', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def unit(metric: str) -> str:
    """Name a metric's unit."""
    return "stars" if metric == features.RMSE else "share of ratings"
