"""Charts as elements of a page."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from components.run_report import charts
from components.run_report.charts import Margin

SVG = "{http://www.w3.org/2000/svg}"


def parsed(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def texts(chart: str) -> list[str]:
    return ["".join(element.itertext()) for element in parsed(chart).iter(f"{SVG}text")]


@pytest.mark.parametrize("passed", [True, False])
def test_what_fails_has_a_mark_and_a_colour_of_its_own(passed: bool) -> None:
    value = 0.1 if passed else -0.1
    chart = charts.margins(
        [Margin("<= 1: 0.9", value, (value - 0.05, value + 0.05), passed)], "stars", "rmse"
    )
    assert f"{'✓' if passed else '✗'} <= 1: 0.9" in texts(chart)
    assert ("stroke: var(--pass)" in chart) == passed
    assert ("stroke: var(--fail)" in chart) == (not passed)


def test_names_are_drawn_as_they_are_and_colours_are_the_pages() -> None:
    name = "$a_1$ <b>\"&'"
    chart = charts.shares(["1", "2"], {name: [0.25, 0.75]}, name, name)
    assert name in texts(chart)
    assert parsed(chart).get("aria-label") == name
    tips = [element.text for element in parsed(chart).iter(f"{SVG}title")]
    assert tips == [f"{name}, 1: 25.0%", f"{name}, 2: 75.0%"]
    assert "#0000" not in chart


def test_a_gain_without_an_interval_and_one_that_is_missing_are_drawn() -> None:
    rows = [
        Margin("too few", 0.1, (float("-inf"), float("inf")), True),
        Margin("none", float("nan"), None, False),
    ]
    assert len(texts(charts.margins(rows, "stars", "rmse"))) > 2


def test_each_setting_of_an_index_is_a_point_with_its_figures() -> None:
    chart = charts.trade_off([("narrow", 0.25, 0.875), ("wide", 0.5, 0.9975)], exact=2.0)
    tips = [element.text for element in parsed(chart).iter(f"{SVG}title")]
    assert tips == ["narrow: recall 0.8750, 0.25 ms", "wide: recall 0.9975, 0.5 ms"]
    assert {"chosen", "exact search"} <= set(texts(chart))


def test_equal_figures_are_drawn_equally() -> None:
    points = {"value": [(1.0, 0.5), (2.0, None), (3.0, 0.75)]}
    assert charts.line(points, "run", "", "t") == charts.line(points, "run", "", "t")
