"""The pages, read as a browser reads them."""

from __future__ import annotations

import html.parser
import json
import re

import pytest

from components.run_report import collect, page
from components.run_report.contents import Bundle, Report, Step
from tests.helpers import planted_report
from tests.helpers.planted_report import FORMULA, HEBREW, SCRIPT

_VOID = {"meta", "link", "br", "img"}


class Page(html.parser.HTMLParser):
    """A page: its elements with their attributes, and its text outside of style sheets."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append((dict(attributes).get("class") or "", ""))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "tr" in self._open:
            kind, text = self.rows[-1]
            self.rows[-1] = kind, f"{text} {data}"

    def attributes(self, name: str) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get(name))]


@pytest.fixture(scope="module")
def good() -> Page:
    return Page(page.run(planted_report.report()))


@pytest.fixture(scope="module")
def refused() -> Page:
    return Page(page.run(planted_report.report(passes=False)))


def listed() -> Page:
    reports = [json.loads(planted_report.report(passes).model_dump_json()) for passes in (True, False)]
    return Page(page.runs(reports))


@pytest.mark.parametrize("which", ["good", "refused", "listed"])
def test_foreign_text_stays_text(which: str, good: Page, refused: Page) -> None:
    found = {"good": good, "refused": refused}.get(which) or listed()
    assert not {tag for tag, _ in found.elements} & {"script", "iframe", "object", "img"}
    assert SCRIPT in found.text
    if which == "good":
        assert HEBREW in found.text and FORMULA in found.text


@pytest.mark.parametrize("which", ["good", "refused", "listed"])
def test_it_needs_no_other_file(which: str, good: Page, refused: Page) -> None:
    found = {"good": good, "refused": refused}.get(which) or listed()
    assert found.attributes("src") == [] and found.attributes("style") == [
        style for style in found.attributes("style") if "url(" not in style
    ]
    outside = [link for link in found.attributes("href") if not link.startswith(("#", "data:,"))]
    assert set(outside) <= {"../index.html", "20260102-030405/index.html"}
    ids = found.attributes("id")
    sections = [name for name in ids if not re.fullmatch(r"[mp][0-9a-f]+", name)]
    assert len(set(sections)) == len(sections)
    for link in (*found.attributes("href"), *found.attributes("xlink:href")):
        assert not link.startswith("#") or link[1:] in ids


def test_every_chart_has_a_text_in_its_place(good: Page) -> None:
    charts = [attributes for tag, attributes in good.elements if tag == "svg"]
    assert len(charts) == 10
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_a_gate_that_fails_leaps_to_the_eye(good: Page, refused: Page) -> None:
    failed = [text for kind, text in refused.rows if kind == "failed"]
    (gate,) = [text for text in failed if "tier=" in text]
    assert "✗ failed" in gate
    assert not [text for kind, text in good.rows if kind == "failed" and "tier=" in text]
    charts = [attributes["aria-label"] for tag, attributes in refused.elements if tag == "svg"]
    assert any(f"failed: tier={SCRIPT}: >= 0.5: 0.250" in str(label) for label in charts)
    assert "✗ not blessed" in refused.text and "✗ Nothing is pushed" in refused.text
    assert "✓ blessed" in good.text and "✓ Version 2 is pushed." in good.text


def test_known_figures_stand_in_it(good: Page) -> None:
    text = " ".join(good.text.split())
    rows = [" ".join(row.split()) for _, row in good.rows]
    assert "top_100 all beat popularity 0.250 0.200 0.300 0.375 ✓ ok" in rows
    assert "coverage a day 0.250 - -" in rows
    assert "recommend score brute force 400 1.5e-06 1e-05" in rows
    assert "1 1,000 0.998 0.375" in rows and "Chosen: the first of 2 settings" in text
    assert "10 0.250 0.750 80.000" in rows
    assert f"Trainer.retrieval 1,250.0 MB run: {SCRIPT} Transform" in rows
    assert "recommend 2.5 MB" in rows and "Parts, 2.5 MB" in text
    assert "user_age 0.250 0.125 ✗ drifted" in rows
    assert f"{SCRIPT} 2.50 4.25 5" in rows and f"{HEBREW} 1.50 3.50" in rows
    assert text.index("Version 2, served now") < text.index("Version 1, published before")


def test_the_model_card_is_shown_as_its_markdown_says_but_for_links_and_html(good: Page) -> None:
    assert {"h3", "h4", "li"} <= {tag for tag, _ in good.elements}
    assert f"tier={SCRIPT} 1,250" in [" ".join(row.split()) for _, row in good.rows]
    assert 'Limits <img src="x">' in good.text and f"{SCRIPT} [link](https://example.org)" in good.text


def test_a_run_that_failed_tells_why_and_how_far_it_came() -> None:
    steps = [Step(name="Transform", state="failed", seconds=2.0, figure="", reads=[])]
    report = Report(
        run="1", pipeline="p", ended="now", seconds=3.0, failed=f"Transform failed: {SCRIPT}", steps=steps
    )
    found = Page(page.run(report))
    assert "✗ Failed." in found.text and f"Transform failed: {SCRIPT}" in found.text
    assert [text.split() for kind, text in found.rows if kind == "failed"] == [["Transform", "failed"]]
    assert "✗ failed" in Page(page.runs([json.loads(report.model_dump_json())])).text


def test_a_bundle_that_is_refused_before_anything_is_measured_has_a_page() -> None:
    bundle = Bundle(version=None, reason="not blessed", destination="", figures={}, sizes={}, card="")
    report = planted_report.report(passes=False).model_copy(update={"bundle": bundle})
    text = Page(page.run(report)).text
    assert "✗ Nothing is pushed: not blessed." in text
    assert "It was not measured in this run." in text and "Parity" not in text


def test_a_run_of_which_no_user_of_eval_is_in_train_has_a_page() -> None:
    figures = {**planted_report.figures(), "served_list_depths": []}
    properties = {
        name: json.dumps(value) if isinstance(value, list) else value for name, value in figures.items()
    }
    bundle = collect.bundle({"pushed": 0, "reason": "not blessed", **properties}, "")
    report = planted_report.report(passes=False).model_copy(update={"bundle": bundle})
    text = Page(page.run(report)).text
    assert "Gain in graded nDCG" in text and "What is shown, by depth" not in text


def test_runs_are_listed_the_newest_first_with_what_each_reached() -> None:
    _, newest, oldest = (" ".join(text.split()) for _, text in listed().rows)
    assert "✗ not pushed" in newest and "✗ retrieval" in newest
    assert "✓ pushed version 2" in oldest and "top_100 0.625 (0.500)" in oldest and "user_age 0.250" in oldest
    assert [attributes["aria-label"] for tag, attributes in listed().elements if tag == "svg"] == [
        "top_100 by run"
    ]
