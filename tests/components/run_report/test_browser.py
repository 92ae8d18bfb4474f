"""The page of a run in a browser: what it shows, that it complains of nothing, and that it fits a phone."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from components.run_report import page
from tests.helpers import planted_report
from tests.helpers.planted_report import HEBREW, SCRIPT

_DRIVER, _BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    not (_DRIVER and _BROWSER),
    reason="opens a report's page in Chromium, which is missing: apt-get install chromium chromium-driver",
)


class Browser:
    """Chromium, spoken to as the WebDriver standard says."""

    def __init__(self, driver: str) -> None:
        options = {
            "binary": _BROWSER,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._url = driver
        session = self._post("session", capabilities={"alwaysMatch": wanted})["sessionId"]
        self._url = f"{driver}/session/{session}"

    def _post(self, command: str, **arguments: Any) -> Any:
        answer = requests.post(f"{self._url}/{command}", json=arguments, timeout=120)
        assert answer.ok, answer.text
        return answer.json()["value"]

    def open(self, path: pathlib.Path, width: int, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        for command, params in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", {"features": scheme}),
        ):
            self._post("goog/cdp/execute", cmd=command, params=params)
        self._post("url", url=path.as_uri())

    def ask(self, script: str) -> Any:
        return self._post("execute/sync", script=f"return {script}", args=[])

    def complaints(self) -> list[str]:
        """Return what is on the console since the last call."""
        return [entry["message"] for entry in self._post("se/log", type="browser")]

    def close(self) -> None:
        requests.delete(self._url, timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert _DRIVER
    with subprocess.Popen([_DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            started = (re.search(r"successfully on port (\d+)", line) for line in process.stdout or ())
            browser = Browser(f"http://127.0.0.1:{next(filter(None, started))[1]}")
            yield browser
            browser.close()
        finally:
            process.terminate()


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
    letters, paper = (
        browser.ask(f"getComputedStyle(document.body).{colour}") for colour in ("color", "backgroundColor")
    )
    assert (luminance(letters) > luminance(paper)) == dark
    assert browser.complaints() == []


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
