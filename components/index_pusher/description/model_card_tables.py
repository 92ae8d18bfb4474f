"""The model card's tables of what an Evaluator measured, and what follows from them. Pure.

Called by model_card.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from modules import features
from modules.evaluation.results import LOWER, ROWS, UPPER, Evaluation, number, span

_BASELINE, _GAIN = features.baseline_metric(""), features.gain_metric("")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    >>> print(table(("slice", "rows"), [("a|b", "7")]))
    | slice | rows |
    | --- | --- |
    | a&#124;b | 7 |
    """
    lines = [header, ["---"] * len(header), *rows]
    # A slice's value may hold any text.
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def model(name: str, evaluation: Evaluation) -> str:
    """Write the section of one model: its metrics, the gated ones by slice, its calibration."""
    overall = evaluation.values.get("", {})
    rules: dict[str, list[str]] = {}
    for gated in evaluation.gated:
        if not gated.feature:
            rules.setdefault(gated.metric, []).append(gated.rule)
    metrics = sorted(_metrics(overall))
    rows = [
        (f"`{metric}`", *_figures(overall, metric), "; ".join(rules.get(metric, []))) for metric in metrics
    ]
    parts = [
        f"## Model: {name}\n\n{evaluation.rows:,} rows of eval.",
        table(("metric", "value", "95%", "baseline", "gain", "gain, 95%", "gate"), rows),
        *_slices(evaluation, sorted(rules)),
    ]
    if evaluation.reliability:
        buckets = [(f"{n:,}", f"{p:.2f}", f"{r:.2f}") for n, p, r in evaluation.reliability]
        title = "Calibration: predicted ratings in buckets of half a star."
        parts += [title, table(("rows", "mean prediction", "mean rating"), buckets)]
    return "\n\n".join(parts)


def _metrics(values: Mapping[str, float]) -> set[str]:
    """Names of what is a figure of the model itself, and no end of an interval, baseline or gain."""
    others = (LOWER, UPPER, _BASELINE, _GAIN)
    return {name for name in values if not name.endswith(others)} - {ROWS}


def _interval(values: Mapping[str, float], name: str) -> tuple[float, float] | None:
    ends = [values.get(name + end) for end in (LOWER, UPPER)]
    return None if None in ends else (ends[0], ends[1])  # type: ignore[return-value]


def _figures(values: Mapping[str, float], metric: str) -> tuple[str, str, str, str, str]:
    baseline, gain = features.baseline_metric(metric), features.gain_metric(metric)
    return (
        number(values.get(metric, math.nan)),
        span(_interval(values, metric)),
        number(values.get(baseline)),
        number(values.get(gain)),
        span(_interval(values, gain)),
    )


def _slices(evaluation: Evaluation, metrics: Sequence[str]) -> Iterator[str]:
    places = sorted(place for place in evaluation.values if place)
    for metric in metrics:
        rows = []
        for place in places:
            values = evaluation.values[place]
            count = values.get(ROWS, math.nan)
            of_slice = "missing" if math.isnan(count) else f"{count:,.0f}"
            rows.append((place, of_slice, *_figures(values, metric)))
        if rows:
            yield f"`{metric}` by slice:"
            yield table(("slice", "rows", "value", "95%", "baseline", "gain", "gain, 95%"), rows)


def weakest(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Name the slice on which each gated metric is worst."""
    for name, evaluation in evaluations.items():
        for metric in sorted({gated.metric for gated in evaluation.gated if not gated.feature}):
            found = {
                place: values[metric]
                for place, values in evaluation.values.items()
                if place and not math.isnan(values.get(metric, math.nan))
            }
            if found:
                error = metric in (features.RMSE, features.MAE, features.CALIBRATION_ERROR)
                place = (max if error else min)(found, key=found.__getitem__)
                overall = number(evaluation.values.get("", {}).get(metric, math.nan))
                worst = number(found[place])
                yield f"{name}: `{metric}` is worst on {place}, {worst} ({overall} over all rows)."


def not_better(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Name where the lead of a model over its baseline is not certain."""
    for name, evaluation in evaluations.items():
        for place, values in sorted(evaluation.values.items()):
            for metric in sorted(_metrics(values)):
                ends = _interval(values, features.gain_metric(metric))
                if ends and not ends[0] > 0:
                    on = place or "all rows"
                    yield f"{name}: on {on}, `{metric}` does not surely beat the baseline; gain {span(ends)}."
