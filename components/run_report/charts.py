"""Charts as SVG elements, drawn by Matplotlib; their colours are the page's CSS variables. Pure.

A chart is 360 units wide, so that its text can be read on a phone; the tables beside it hold its numbers.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

_WIDTH = 360.0
_POINTS = 72.0  # An inch, Matplotlib's unit of sizes.
# Of a gate: letters in a line of its label, that line's height, and the height of its dot and interval.
_LETTERS, _LINE, _BAND = 54, 14.0, 20.0
# Stand for colours of the page, which depend on whether it is dark.
_INK, _GRID, _PASS, _FAIL = "#000001", "#000002", "#000003", "#000004"
_SERIES = ("#000005", "#000006", "#000007")
_VARIABLES = {
    _INK: "currentColor",
    _GRID: "var(--line)",
    _PASS: "var(--pass)",
    _FAIL: "var(--fail)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)},
}
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # A title may hold a dollar.
    "svg.hashsalt": "report",  # Ids that do not depend on the run.
    "font.size": 11.0,
    "axes.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "grid.color": _GRID,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "axes.edgecolor": _GRID,
}
_TIP = "tip:"
_TIPPED = re.compile(rf"<g id=([\"']){_TIP}(.*?)\1>")
_NUMBERED_ID = re.compile(r' id="[\w.]+_\d+"')


class Margin(NamedTuple):
    """A gate: by how much it passed.

    Attributes:
      label: the rule, and its figures in words.
      value: distance from the bound in the metric's unit, positive on the side that passes.
      interval: 95% interval of that, or None.
      passed: the verdict.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    passed: bool


def seconds(steps: Sequence[tuple[str, float, str]]) -> Markup:
    """Draw the steps' seconds as bars from top to bottom; of each the name, the seconds and the state."""
    with _chart(18 * len(steps) + 12, "Seconds of each step", left=4, bottom=6) as (axes, drawn):
        longest = max((value for _, value, _ in steps), default=1.0) or 1.0
        for row, (name, value, state) in enumerate(steps):
            colour = _SERIES[0] if state == "run" else _GRID if state == "cached" else _FAIL
            axes.barh(row, value, height=0.7, color=colour)
            axes.text(value + longest / 60, row, f"{value:,.1f}" if state == "run" else state, va="center")
            axes.text(-longest / 60, row, name, va="center", ha="right")
        axes.set_xlim(-0.95 * longest, 1.25 * longest)
        axes.set_ylim(len(steps) - 0.4, -0.6)
        axes.set_axis_off()
    return drawn[0]


def shares(labels: Sequence[str], series: Mapping[str, Sequence[float]], label: str, title: str) -> Markup:
    """Draw shares as columns side by side, for each label one of every series."""
    with _chart(180, title) as (axes, drawn):
        width = 0.8 / max(len(series), 1)
        for number, (name, values) in enumerate(series.items()):
            places = [place - 0.4 + width * (number + 0.5) for place in range(len(labels))]
            bars = axes.bar(places, values, width * 0.92, label=name, color=_SERIES[number])
            for bar, text, value in zip(bars, labels, values, strict=True):
                bar.set_gid(f"{_TIP}{name}, {text}: {value:.1%}")
        axes.set_xticks(range(len(labels)), labels)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.set_xlabel(label)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend(loc="upper left", ncols=len(series))
        axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
    return drawn[0]


def popularity(counts: Sequence[int]) -> Markup:
    """Draw how often each title was rated, the most rated first; both axes logarithmic."""
    with _chart(180, "Ratings of each title in train, the most rated title first") as (axes, drawn):
        axes.loglog(range(1, len(counts) + 1), counts, linewidth=2, color=_SERIES[0])
        axes.set_xlabel("title, by number of ratings")
        axes.set_ylabel("ratings in train")
        whole = FuncFormatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_major_formatter(whole)
        axes.yaxis.set_major_formatter(whole)
        axes.minorticks_off()
        axes.grid()
    return drawn[0]


def line(
    points: Mapping[str, Sequence[tuple[float, float | None]]], x_label: str, y_label: str, title: str
) -> Markup:
    """Draw lines through `(x, y)` by name; a y of None is a gap."""
    with _chart(170, title, left=66) as (axes, drawn):
        for number, (name, values) in enumerate(points.items()):
            colour, dashes = _SERIES[number % len(_SERIES)], ("-", "--", ":")[number % 3]
            known = [(x, math.nan if y is None else y) for x, y in values]
            axes.plot(
                *zip(*known, strict=True),
                label=name,
                marker="o",
                markersize=4,
                color=colour,
                linestyle=dashes,
            )
            for x, y in known:
                (dot,) = axes.plot(x, y, marker="o", markersize=9, alpha=0)
                dot.set_gid(f"{_TIP}{name}, {x_label} {x:g}: {y:.4g}")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid()
        if len(points) > 1:
            axes.legend()
    return drawn[0]


def margins(rows: Sequence[Margin], unit: str, title: str) -> Markup:
    """Draw gates one below the other: dots and intervals right of the bound's line pass, left of it fail."""
    labels = [textwrap.wrap(f"{'✓' if row.passed else '✗'} {row.label}", _LETTERS) for row in rows]
    heights = [_LINE * len(lines) + _BAND for lines in labels]
    with _chart(sum(heights) + 44, title, left=4) as (axes, drawn):
        ends = [end for row in rows for end in (row.value, *(row.interval or ())) if math.isfinite(end)]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        pad = 0.06 * (high - low or 1.0)
        top = 0.0
        for row, lines, height in zip(rows, labels, heights, strict=True):
            colour = _PASS if row.passed else _FAIL
            for number, text in enumerate(lines):
                axes.text(
                    *(0.0, top + _LINE * (number + 0.5), text),
                    color=_INK if row.passed else _FAIL,
                    weight="normal" if row.passed else "bold",
                    transform=axes.get_yaxis_transform(),
                    va="center",
                )
            begin, end, middle = top + height - _BAND, top + height - 4, top + height - _BAND / 2 - 2
            axes.fill_between([low - pad, 0.0], begin, end, color=_FAIL, alpha=0.15, linewidth=0)
            axes.plot([0.0, 0.0], [begin, end], color=_INK, linewidth=1.5)
            if row.interval and all(map(math.isfinite, row.interval)):
                axes.plot(row.interval, [middle] * 2, color=colour, linewidth=3)
            if math.isfinite(row.value):
                marker = "o" if row.passed else "X"
                axes.plot(row.value, middle, marker, color=colour, markersize=7 if row.passed else 10)
            top += height
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(top, 0.0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set_xlabel(f"distance from the bound, {unit}; left of the line fails")
    return drawn[0]


def trade_off(settings: Sequence[tuple[str, float, float]], exact: float) -> Markup:
    """Draw an index's recall against its latency.

    Args:
      settings: name, milliseconds and recall of each setting tried; the last one was chosen.
      exact: milliseconds of exact search.
    """
    with _chart(190, "Recall against latency of the settings tried") as (axes, drawn):
        axes.plot([x for _, x, _ in settings], [y for _, _, y in settings], color=_SERIES[0], linewidth=1)
        for name, x, y in settings:
            (dot,) = axes.plot(x, y, "o", markersize=7, color=_SERIES[0])
            dot.set_gid(f"{_TIP}{name}: recall {y:.4f}, {x:.3g} ms")
        _, x, y = settings[-1]
        axes.plot(x, y, "o", markersize=12, markerfacecolor="none", color=_PASS, label="chosen")
        axes.axvline(exact, color=_INK, linewidth=1, linestyle=":", label="exact search")
        axes.set_xlabel("milliseconds of a query, median")
        axes.set_ylabel("recall")
        axes.set_xlim(left=0.0)
        axes.margins(y=0.25)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.ticklabel_format(useOffset=False)
        axes.grid()
        axes.legend(loc="lower left", ncols=2)
    return drawn[0]


def reliability(buckets: Sequence[tuple[int, float, float]]) -> Markup:
    """Draw the mean rating against the mean prediction of buckets of rows, beside the diagonal."""
    with _chart(240, "Mean rating by mean predicted rating") as (axes, drawn):
        predicted = [bucket[1] for bucket in buckets]
        ends = (min(predicted), max(predicted))
        axes.plot(ends, ends, color=_INK, linewidth=1, linestyle=":")
        axes.plot(predicted, [bucket[2] for bucket in buckets], marker="o", color=_SERIES[0])
        for rows, x, y in buckets:
            (dot,) = axes.plot(x, y, marker="o", markersize=10, alpha=0)
            dot.set_gid(f"{_TIP}{rows:,} rows: predicted {x:.2f}, rated {y:.2f}")
        axes.set_xlabel("mean predicted rating")
        axes.set_ylabel("mean rating")
        axes.grid()
    return drawn[0]


@contextmanager
def _chart(
    height: float, title: str, left: float = 54.0, bottom: float = 38.0
) -> Iterator[tuple[Axes, list[Markup]]]:
    """Yield axes to draw on, so many units from the edges, and the list that then holds the drawing."""
    drawn: list[Markup] = []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / _POINTS, height / _POINTS))
        # Fixed: Matplotlib's own layouts draw every chart twice.
        figure.subplots_adjust(left / _WIDTH, bottom / height, 1 - 18.0 / _WIDTH, 1 - 6.0 / height)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        yield axes, drawn
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    drawn.append(_element(written.getvalue(), height, title))


def _element(svg: str, height: float, title: str) -> Markup:
    """Make a Matplotlib file an element of a page: colours of the page, tips, a text in its place."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    opening = (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH:g} {height:g}" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    body = opening + body[body.index(">") + 1 :]
    body = _TIPPED.sub(r"<g><title>\2</title>", body)
    body = _NUMBERED_ID.sub("", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    return Markup(body)  # noqa: S704 - Matplotlib escapes the texts that it draws.
