"""The summary as tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modules import features
from modules.evaluation.results import Gated, number, span
from runners.reporting.figures import figure
from runners.reporting.summary import Data, Model, Summary, Tuned
from runners.running.record import Step

_LONG = 1.0  # Seconds from which a step is named among those that took time.


def show(console: Console, summary: Summary, seconds: float, log: Path) -> None:
    """Print the data read, the gates, the push, the time and the log's path.

    Args:
      console: the terminal.
      summary: of the run.
      seconds: of the whole command so far.
      log: the log file.
    """
    if summary.data:
        console.print()
        console.print(_data_table(summary.data))
        for line in _quarantine(summary.data):
            console.print(Text(line))
    if summary.tuned:
        console.print()
        console.print(_tuned_table(summary.tuned))
    if passed_over := [step for step in summary.steps if step.passed_over]:
        console.print()
        for step in passed_over:
            console.print(Text(f"{step.node_id}: {figure(step)}"))
    for model in summary.models:
        console.print()
        console.print(_model_table(model))
        if left_out := model.evaluation.left_out():
            console.print(Text(f"slices left out: {left_out}", style="dim"), soft_wrap=False)
        others = sorted(model.evaluation.others.items())
        if others:
            values = ", ".join(f"{name} {number(value)}" for name, value in others)
            console.print(Text(f"not gated: {values}", style="dim"), soft_wrap=False)
        if model.evaluation.reliability:
            console.print(Text(_reliability(model), style="dim"), soft_wrap=False)
        console.print(_verdict(model))
    if summary.pushed is not None:
        console.print()
        console.print(_push_table(summary.pushed))
    console.print()
    console.print(Text(_times(summary.steps, seconds)))
    console.print(Text(f"Log: {log}"))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in _WORDS else "right", overflow="fold")
    return table


_WORDS = ("", "metric", "must", "figure", "values")


def _data_table(data: Data) -> Table:
    counts = data.counts
    table = _table("Data", "", "read", "used", "quarantined", "")
    rows = (
        (
            "ratings",
            *("ratings_read", "ratings_kept", "bad_ratings"),
            f"{counts['train_rows']:,} train, {counts['eval_rows']:,} eval, of {counts['users']:,} users; "
            f"{counts['duplicates']:,} duplicates dropped",
        ),
        (
            "movies",
            *("movies_read", "candidates", "bad_movies"),
            f"{counts['titles_merged']:,} ids merged by title, {counts['titles_renamed']:,} titles renamed",
        ),
        ("users", "users_read", "", "bad_users", ""),
    )
    for name, read, used, bad, note in rows:
        if counts[read]:
            table.add_row(name, *(f"{counts[key]:,}" if key else "" for key in (read, used, bad)), note)
    return table


def _quarantine(data: Data) -> list[str]:
    lines = []
    for part in ("ratings", "movies", "users"):
        prefix = f"bad_{part}_"
        kinds = {k.removeprefix(prefix): n for k, n in data.counts.items() if k.startswith(prefix) and n}
        if kinds:
            reasons = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
            lines.append(f"Quarantined {part}: {reasons}")
    return [*lines, f"Quarantine: {data.quarantine}"] if lines else []


def _tuned_table(tuned: tuple[Tuned, ...]) -> Table:
    table = _table("Tuned on a part of train", "", "trials", "figure", "reference", "best", "values")
    for search in tuned:
        own = "not finite" if search.own_score is None else number(search.own_score)
        # The step Tuner.blend searches only where no weight is configured.
        own += " at weight 0" if search.name == "blend" else " as configured"
        table.add_row(
            *(search.name, str(search.trials), search.objective, own, number(search.score), search.values)
        )
    return table


def _model_table(model: Model) -> Table:
    evaluation = model.evaluation
    title = f"Gate of {model.name}, {evaluation.rows:,} rows"
    table = _table(title, "metric", "must", "is", "95%", "reference", " ")
    closest = list(evaluation.closest_slices())
    for metric in sorted({gated.metric for gated in evaluation.gated}):
        for gated in evaluation.gated:
            if gated.metric == metric and not gated.feature:
                _add_row(table, metric, gated)
        for count, gated in closest:
            if gated.metric == metric:
                _add_row(table, f"  {gated.slice}" + f" (closest of {count})" * (count > 1), gated)
        for gated in evaluation.failures:
            if gated.metric == metric and gated.feature:
                _add_row(table, f"  {gated.slice}", gated)
    return table


def _add_row(table: Table, name: str, gated: Gated) -> None:
    verdict = "ok" if gated.passed else "failed"
    style = "" if gated.passed else "bold red"
    sign = "+" if gated.reference is not None and gated.value >= 0 else ""  # Of a gain.
    value = sign + number(gated.value)
    figures = (value, span(gated.interval), number(gated.reference))
    rule = f"be {gated.rule}" if gated.reference is None else gated.rule
    table.add_row(name, rule, *figures, verdict, style=style)


def _reliability(model: Model) -> str:
    buckets = (
        f"{predicted:.2f} to {rated:.2f} ({rows:,})"
        for rows, predicted, rated in model.evaluation.reliability
    )
    return f"reliability, mean prediction to mean rating (rows): {', '.join(buckets)}"


def _verdict(model: Model) -> Text:
    if model.blessed:
        return Text(f"{model.name}: blessed, {_comparison(model)}", style="bold green")
    reasons = "; ".join(str(failure) for failure in model.evaluation.failures)
    return Text(f"{model.name}: not blessed: {reasons or 'it has no thresholds'}", style="bold red")


def _comparison(model: Model) -> str:
    if not model.champion:
        return "no champion to compare with yet"
    if any(gated.compared_with == features.CHAMPION for gated in model.evaluation.gated):
        return f"compared with model {model.champion}"
    return f"not compared: the figures of its champion, model {model.champion}, are not finite"


def _tiny(value: float) -> str:
    # ML Metadata keeps six decimals.
    return f"{value:.1e}" if value else "below 1e-06"


# The rows of a push, in this order: the property, its label, how its value is written.
_PUSH_ROWS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    ("pushed_destination", "pushed to", str),
    ("reason", "not pushed, because", str),
    ("published_anew", "published", lambda anew: "anew" if anew else "before: the same models"),
    ("index_kind", "index", lambda kind: kind.replace("_", " ")),
    ("index_recall", "index, recall against brute force", number),
    ("index_latency_ms", "index, one query", "{:.2f} ms".format),
    ("brute_force_latency_ms", "brute force, one query", "{:.2f} ms".format),
    ("recommend_recall", "whole recommendation, recall", number),
    ("tflite_max_difference", "TFLite model, greatest difference", _tiny),
    ("served_list_in_words", "list that is served", str),
)


def _push_table(pushed: dict[str, int | float | str]) -> Table:
    title = f"Pushed version {pushed['pushed_version']}" if pushed.get("pushed") else "Not pushed"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )
    for name, words, write in _PUSH_ROWS:
        if name in pushed:
            table.add_row(words, Text(write(pushed[name]), overflow="fold"))
    return table


def _times(steps: tuple[Step, ...], seconds: float) -> str:
    cached = sum(step.state == "cached" for step in steps)
    slow = sorted((step for step in steps if step.seconds >= _LONG), key=lambda step: -step.seconds)
    text = f"Time: {seconds:.1f} s; {cached} of {len(steps)} steps from the cache"
    return text + "".join(f"; {step.node_id} {step.seconds:.1f} s" for step in slow)
