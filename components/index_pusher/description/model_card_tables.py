"""The model card's tables of what an Evaluator measured, and what follows from them. Pure.

Called by model_card.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from modules import features
from modules.evaluation.results import ROWS, Evaluation, comparisons, interval, number, own_metrics, span


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
    """Write the section of one model: metrics, comparisons, the gated metrics by slice, calibration."""
    overall = evaluation.values.get("", {})
    bounds: dict[str, list[str]] = {}
    rules: dict[tuple[str, str], list[str]] = {}
    for gated in evaluation.gated:
        if gated.feature:
            continue
        if gated.reference is None:
            bounds.setdefault(gated.metric, []).append(gated.rule)
        else:
            rules.setdefault((gated.metric, gated.compared_with), []).append(gated.rule)
    rows = [
        (f"`{metric}`", *_figures(overall, metric), "; ".join(bounds.get(metric, [])))
        for metric in sorted(own_metrics(overall))
    ]
    compared = [
        (
            *(f"`{found.metric}`", found.reference, number(found.value), number(found.gain)),
            *(span(found.interval), "; ".join(rules.get((found.metric, found.reference), []))),
        )
        for found in comparisons(overall)
    ]
    parts = [
        f"## Model: {name}\n\n{evaluation.rows:,} rows of eval.",
        table(("metric", "value", "95%", "must be"), rows),
    ]
    if compared:
        header = ("metric", "compared with", "its value", "gain", "gain, 95%", "must")
        parts.append(table(header, compared))
    parts += _slices(evaluation, sorted({gated.metric for gated in evaluation.gated if not gated.feature}))
    if left_out := evaluation.left_out():
        parts.append(f"Slices left out of the gates: {left_out}.")
    if evaluation.reliability:
        buckets = [(f"{n:,}", f"{p:.2f}", f"{r:.2f}") for n, p, r in evaluation.reliability]
        title = "Calibration: predicted ratings in buckets of half a star."
        parts += [title, table(("rows", "mean prediction", "mean rating"), buckets)]
    return "\n\n".join(parts)


def _figures(values: Mapping[str, float], metric: str) -> tuple[str, str]:
    return number(values.get(metric, math.nan)), span(interval(values, metric))


def _slices(evaluation: Evaluation, metrics: Sequence[str]) -> Iterator[str]:
    names = sorted(name for name in evaluation.values if name)
    for metric in metrics:
        found = {
            name: {c.reference: c for c in comparisons(evaluation.values[name]) if c.metric == metric}
            for name in names
        }
        references = sorted({reference for by_reference in found.values() for reference in by_reference})
        rows = []
        for name in names:
            count = evaluation.values[name].get(ROWS, math.nan)
            of_slice = "missing" if math.isnan(count) else f"{count:,.0f}"
            gains = (found[name].get(reference) for reference in references)
            cells = (f"{number(c.gain)} ({span(c.interval)})" if c else "" for c in gains)
            rows.append((name, of_slice, *_figures(evaluation.values[name], metric), *cells))
        if rows:
            yield f"`{metric}` by slice:"
            header = ("slice", "rows", "value", "95%", *(f"gain on {reference}" for reference in references))
            yield table(header, rows)


def weakest(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Name the slice on which each gated metric is worst."""
    for name, evaluation in evaluations.items():
        for metric in sorted({gated.metric for gated in evaluation.gated if not gated.feature}):
            found = {
                slice_name: values[metric]
                for slice_name, values in evaluation.values.items()
                if slice_name and not math.isnan(values.get(metric, math.nan))
            }
            if found:
                error = metric in (features.RMSE, features.MAE, features.CALIBRATION_ERROR)
                slice_name = (max if error else min)(found, key=found.__getitem__)
                overall = number(evaluation.values.get("", {}).get(metric, math.nan))
                worst = number(found[slice_name])
                yield f"{name}: `{metric}` is worst on {slice_name}, {worst} ({overall} over all rows)."


def not_better(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Name where the lead of a model over a baseline is not certain."""
    for name, evaluation in evaluations.items():
        for slice_name, values in sorted(evaluation.values.items()):
            for found in comparisons(values):
                if found.interval and not found.interval[0] > 0:
                    yield (
                        f"{name}: on {slice_name or 'all rows'}, `{found.metric}` does not beat that of "
                        f"{found.reference}; gain {span(found.interval)}."
                    )
