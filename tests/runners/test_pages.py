"""The files of a run's report: what is written of a run that did little, and where nothing can be written."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

from common.errors import DataError
from components.movielens_example_gen import outcome
from components.movielens_example_gen.parsing import quarantine
from components.movielens_example_gen.parsing.parse import Fault
from components.run_report import collect
from components.run_report.contents import Bundle, Report
from pipeline import config
from runners.reporting import pages
from runners.reporting.report import as_dict
from runners.reporting.summary import read_summary
from runners.running.record import Artifact, Step

RUN = pages.Run("20260102-030405", 61.5, "First failed: a cause")
STEPS = [Step("First", "First", "failed", 1.0, ())]


def written(root: pathlib.Path) -> str:
    return pages.written(root, root / "pushed", RUN, config.default(), STEPS)


def test_a_run_that_failed_at_its_first_step_has_a_report(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", pages.__name__)
    page = tmp_path / "reports" / RUN.name / "index.html"
    assert written(tmp_path) == f"Report: {page}"
    assert re.search(rf"The report took \d+\.\d s: {page}$", caplog.text, re.MULTILINE)
    assert RUN.failed in page.read_text()
    assert json.loads(page.with_name("report.json").read_text())["failed"] == RUN.failed


def test_of_each_step_it_tells_whose_outputs_the_step_reads(tmp_path: pathlib.Path) -> None:
    artifacts = [Artifact(number, "examples", "", {}) for number in range(3)]
    steps = [
        Step("First", "First", "cached", 1.0, (artifacts[0], artifacts[1])),
        Step("Second", "Second", "run", 1.0, (artifacts[2],), inputs=(0, 1)),
        # A lookup passes on what it finds.
        Step("Lookup", "Resolver", "run", 1.0, (artifacts[2],)),
        # The last is of an earlier run.
        Step("Third", "Third", "run", 1.0, (), inputs=(2, 1, 7)),
    ]
    report = pages.gather(str(tmp_path), RUN, "planted", False, read_summary(steps))
    assert {step.name: step.reads for step in report.steps} == {
        **{"First": [], "Second": ["First"], "Lookup": [], "Third": ["First", "Second"]},
    }


@pytest.mark.parametrize(("users", "quoted"), [("ids", True), ("hashes", False)])
def test_bad_rows_are_quoted_only_where_users_are_named_by_their_ids(
    tmp_path: pathlib.Path, users: str, quoted: bool
) -> None:
    bad = quarantine.BadRow("u.data", 3, Fault("columns", "expected 4 columns, found 1"), b"user-7")
    (tmp_path / f"ratings{quarantine.ROWS_SUFFIX}").write_text(quarantine.to_json(bad) + "\n")
    made = config.with_changes(config.default(), {"report": {"users": users}})
    properties = {**dict.fromkeys(outcome.COUNTS, 0), outcome.DATA_CONFIG: made.data.model_dump_json()}
    read = collect.data(properties, str(tmp_path), None, None, made.report.shows_ids(made.data.release))
    assert ("user-7" in str(read.bad_rows)) is quoted
    counts = {**dict.fromkeys(outcome.COUNTS, 0), "ratings_read": 1, "bad_ratings": 1}
    with pytest.raises(DataError, match="user-7") as raised:
        outcome.require_usable(counts, made.data, str(tmp_path))
    run = pages.Run(RUN.name, 1.0, f"First failed: {raised.value}")
    show_ids = made.report.shows_ids(made.data.release)
    failed = pages.gather(str(tmp_path), run, made.pipeline_name, show_ids, read_summary(STEPS)).failed
    assert "may be bad" in failed and ("user-7" in failed) is quoted


PUSHED: dict[str, int | str] = {
    "pushed": 1,
    "pushed_version": 1,
    "published_anew": 0,
    "pushed_destination": "here",
}


@pytest.mark.parametrize(
    ("state", "pushed", "users", "failed", "is_same"),
    [
        ("cached", {}, "ids", "", True),
        ("run", {}, "ids", "", False),
        ("cached", {"published_anew": 1}, "ids", "", False),
        ("cached", {"pushed_version": 2}, "ids", "", False),
        ("cached", {"pushed_destination": "there"}, "ids", "", False),
        ("cached", {}, "hashes", "", False),
        ("cached", {}, "ids", "IndexPusher failed: killed", False),
    ],
)
def test_a_run_in_which_nothing_was_made_anew_names_the_earlier_page_with_its_results(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    pushed: dict,
    users: str,
    failed: str,
    is_same: bool,
) -> None:
    def steps(state: str, **changes: int | str) -> list[Step]:
        artifact = Artifact(1, "pushed_model", "", {**PUSHED, **changes})
        return [
            Step("Trainer", "Trainer", state, 1.0, ()),
            Step("Champion", "Resolver", "run", 0.1, ()),
            Step("Pusher", "IndexPusher", "run", 1.0, (artifact,)),
        ]

    def line() -> str:
        run, made = pages.Run(RUN.name, 1.0, failed), {"report": {"users": users}}
        changed = config.with_changes(config.default(), made)
        return pages.written(tmp_path, tmp_path, run, changed, steps(state, **pushed))

    before = tmp_path / "reports" / "20260101-030405" / "index.html"
    before.parent.mkdir(parents=True)
    report = Report(
        run=before.parent.name,
        pipeline=config.default().pipeline_name,
        ended="",
        seconds=1.0,
        show_ids=True,
        results=as_dict(read_summary(steps("run"))),
        bundle=Bundle(version=1, reason="", destination="here", figures={}, sizes={}, card=""),
    )
    before.with_name("report.json").write_text(report.model_dump_json())
    monkeypatch.setattr(pages, "gather", lambda *_: None)
    monkeypatch.setattr(pages, "_write", lambda *_: "a page of its own")
    assert line() == "Report: a page of its own", "the earlier page is gone"
    before.touch()
    same = f"{before} (of an earlier run with the same results)"
    assert line() == f"Report: {same if is_same else 'a page of its own'}"


def test_a_damaged_report_is_left_out_of_the_list_of_runs(tmp_path: pathlib.Path) -> None:
    old = tmp_path / "reports" / "20250102-030405" / "report.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"run": "2025')
    assert written(tmp_path).startswith("Report: ")
    assert RUN.name in (tmp_path / "reports" / "index.html").read_text()


def test_a_report_that_cannot_be_written_is_said_and_no_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "reports").touch()
    line = written(tmp_path)
    assert line.startswith("No report could be written: ") and str(tmp_path / "reports") in line
