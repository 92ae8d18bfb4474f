"""Chromium, for tests that look at pages: skipped in one line where there is none."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

_DRIVER, _BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
needed = pytest.mark.skipif(
    not (_DRIVER and _BROWSER),
    reason="opens pages in Chromium, which is missing: apt-get install chromium chromium-driver",
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

    def open(self, path: pathlib.Path, width: int, dark: bool = False, media: str = "screen") -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        for command, params in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", {"media": media, "features": scheme}),
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


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Run a browser without a window."""
    assert _DRIVER
    with subprocess.Popen([_DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = (re.search(r"successfully on port (\d+)", line) for line in process.stdout or ())
            browser = Browser(f"http://127.0.0.1:{next(filter(None, ready))[1]}")
            yield browser
            browser.close()
        finally:
            process.terminate()
