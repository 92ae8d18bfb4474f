"""The page of a run in a browser: what it shows, that it complains of nothing, and that it fits a phone."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest

from components.run_report import page
from tests.components.run_report import chromium
from tests.components.run_report.chromium import Browser
from tests.helpers import planted_report
from tests.helpers.planted_report import HEBREW, SCRIPT

pytestmark = chromium.needed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    written = tmp_path_factory.mktemp("report") / "index.html"
    written.write_text(page.run(planted_report.report(passes=False)), encoding="utf-8")
    return written


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_run_is_shown(browser: Browser, path: pathlib.Path, width: int, dark: bool) -> None:
    browser.open(path, width, dark)
    shown = browser.ask("document.body.innerText")
    assert SCRIPT in shown and HEBREW in shown
    assert "✗ Nothing is pushed" in shown and "2,000 rows, compared with its champion, model 7." in shown
    assert browser.ask("document.querySelectorAll('tr.failed').length") == 2  # A gate, and a feature's drift.
    # A table may be scrolled, the page itself is as wide as the screen.
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert bright_letters(browser) == dark
    assert browser.complaints() == []


def test_a_dark_page_is_printed_in_dark_letters(browser: Browser, path: pathlib.Path) -> None:
    browser.open(path, 1280, dark=True, media="print")
    assert not bright_letters(browser)


def bright_letters(browser: Browser) -> bool:
    letters, paper = (
        browser.ask(f"getComputedStyle(document.body).{colour}") for colour in ("color", "backgroundColor")
    )
    return luminance(letters) > luminance(paper)


def luminance(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_all_charts_have_a_size_and_all_sections_can_be_reached(browser: Browser, path: pathlib.Path) -> None:
    browser.open(path, 390)
    sizes = browser.ask("[...document.querySelectorAll('svg')].map(chart => chart.clientHeight)")
    assert len(sizes) == 10 and min(sizes) > 40
    assert browser.ask(
        "[...document.querySelectorAll('nav a')].every(link => document.querySelector(link.hash))"
    )


def test_a_script_in_the_page_would_not_run_and_be_noticed(
    browser: Browser, path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    planted = tmp_path / "planted.html"
    planted.write_text(path.read_text().replace("</body>", "<script>document.title = 'ran'</script></body>"))
    browser.open(planted, 1280)
    assert browser.ask("document.title") != "ran"
    (complaint,) = browser.complaints()
    assert "Content Security Policy" in complaint
