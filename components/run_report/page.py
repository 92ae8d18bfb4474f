"""The pages of a run and of all runs, as HTML that needs no other file. Pure."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from components.run_report import charts, margins
from components.run_report.charts import Margin
from components.run_report.contents import Data, Model, Report

_FOLDER = pathlib.Path(__file__).parent / "pages"


def run(report: Report) -> str:
    """Return the page of a run."""
    return _page("run.html.jinja", report=report, charts=_Charts)


def runs(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the page that lists runs.

    Args:
      reports: the JSON of each run's report, the oldest first.
    """
    pipelines: dict[str, list[Mapping[str, Any]]] = {}
    for report in reports:
        pipelines.setdefault(report["pipeline"], []).append(report)
    figures = {name: _by_run(found) for name, found in pipelines.items()}
    return _page("runs.html.jinja", pipelines=pipelines, figures=figures)


def _page(template: str, **values: Any) -> str:
    # Titles and ids are foreign text: all that is no Markup is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "size": _size, "markdown": _markdown}
    return environment.get_template(template).render(**values)


def _number(value: Any) -> str:
    """Write a value of a table.

    >>> [_number(value) for value in (1664, 0.12345, 1e-9, -0.0, 192.53, 940.0, True, None, "x")]
    ['1,664', '0.123', '1e-09', '0.000', '192.5', '940', 'yes', '-', 'x']
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.1f}".removesuffix(".0")
    return f"{value or 0.0:.3f}" if abs(value) >= 0.001 or not value else f"{value:.2g}"


def _size(size: int) -> str:
    """Write a number of bytes.

    >>> _size(900), _size(2_500_000)
    ('0.9 kB', '2.5 MB')
    """
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def _markdown(text: str) -> Markup:
    r"""Render Markdown, its headings two levels lower. HTML in it stays text, and nothing becomes a link.

    >>> _markdown("# Card <b>")
    Markup('<h3>Card &lt;b&gt;</h3>\n')
    """
    parser = MarkdownIt("js-default").disable(["link", "image", "autolink"])
    tokens = parser.parse(text)
    for token in tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{int(token.tag[1:]) + 2}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - html is off in js-default.


class _Charts:
    """The charts of a run's page."""

    @staticmethod
    def steps(report: Report) -> Markup:
        return charts.seconds([(step.name, step.seconds, step.state) for step in report.steps])

    @staticmethod
    def ratings(data: Data) -> Markup:
        labels = [f"{row.rating:g}" for row in data.ratings]
        series = {name: [row.by_split[name] for row in data.ratings] for name in data.ratings[0].by_split}
        return charts.shares(labels, series, "rating", "Share of each rating in train and eval")

    @staticmethod
    def popularity(data: Data) -> Markup:
        return charts.popularity(data.popularity)

    @staticmethod
    def training(model: Model) -> list[Markup]:
        unit = "sweep" if "sweeps" in model.hyperparameters else "epoch"
        return [
            charts.line({name: sorted(values.items())}, unit, name, f"{name} of {model.name} by {unit}")
            for name, values in model.training.items()
        ]

    @staticmethod
    def gates(model: Model) -> list[tuple[str, Markup]]:
        return [
            (metric, charts.margins(rows, margins.unit(metric), _in_words(metric, rows)))
            for metric, rows in margins.by_metric(model.evaluation).items()
        ]

    @staticmethod
    def reliability(model: Model) -> Markup:
        return charts.reliability(model.evaluation.reliability)

    @staticmethod
    def index(figures: Mapping[str, Any]) -> Markup:
        settings = [
            (
                f"{row['leaves_to_search']} leaves, {row['reordering']:,} scored again",
                row["latency_ms"],
                row["recall"],
            )
            for row in figures["index_settings"]
        ]
        return charts.trade_off(settings, figures["brute_force_latency_ms"])

    @staticmethod
    def depths(rows: Sequence[Mapping[str, Any]]) -> Markup:
        points = {
            "coverage": [(row["depth"], row["coverage"]) for row in rows],
            "Gini coefficient": [(row["depth"], row["gini"]) for row in rows],
        }
        return charts.line(points, "first titles of the list", "", "Coverage and Gini coefficient by depth")

    @staticmethod
    def lists(comparisons: Sequence[Mapping[str, Any]]) -> Markup:
        rows = [
            Margin(
                f"{row['compared_with']}{' on ' * bool(row['slice'])}{row['slice']} "
                f"({_number(row['reference'])}): {margins.gain(row['gain'])}",
                row["gain"],
                None if row["lower"] is None else (row["lower"], row["upper"]),
                row["passes"],
            )
            for row in comparisons
            if row["gain"] is not None
        ]
        return charts.margins(rows, "graded nDCG", _in_words("graded nDCG against other lists", rows))


def _in_words(subject: str, rows: Sequence[Margin]) -> str:
    failed = [row.label for row in rows if not row.passed]
    verdict = f"failed: {'; '.join(failed)}" if failed else "all pass"
    return f"{subject}, distance from the bounds of {len(rows)} gates; {verdict}"


def _by_run(reports: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """Draw each metric over the runs, a line for each model; of one run there is nothing to draw."""
    lines: dict[str, dict[str, list[tuple[float, float | None]]]] = {}
    for number, report in enumerate(reports, 1):
        for model in report["results"].get("models", ()):
            for metric, (value, _) in model["metrics"].items():
                lines.setdefault(metric, {}).setdefault(model["name"], []).append((number, value))
    return [
        (metric, charts.line(values, "run", "", f"{metric} by run"))
        for metric, values in sorted(lines.items())
        if any(len(points) > 1 for points in values.values())
    ]
