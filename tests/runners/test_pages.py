"""The files of a run's report: what is written of a run that did little, and where nothing can be written."""

from __future__ import annotations

import json
import pathlib

from pipeline import config
from runners.reporting import pages
from runners.running.record import Step

RUN = pages.Run("20260102-030405", 61.5, "First failed: a cause")
STEPS = [Step("First", "First", "failed", 1.0, ())]


def written(root: pathlib.Path) -> str:
    return pages.written(root, root / "pushed", RUN, config.default(), STEPS)


def test_a_run_that_failed_at_its_first_step_has_a_report(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "reports" / RUN.name / "index.html"
    assert written(tmp_path) == f"Report: {page}"
    assert RUN.failed in page.read_text()
    assert json.loads(page.with_name("report.json").read_text())["failed"] == RUN.failed


def test_a_report_that_cannot_be_written_is_said_and_no_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "reports").touch()
    line = written(tmp_path)
    assert line.startswith("No report could be written: ") and str(tmp_path / "reports") in line
