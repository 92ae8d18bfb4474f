"""Runs that are due: made one at a time, recorded, skipped. The pipeline itself is planted."""

from __future__ import annotations

import pytest

from pipeline import config as configuration
from pipeline.config import Config
from retraining import journal, runs
from retraining.runs import Launched, Workspace
from retraining.schedule import Schedule
from runners.exit_codes import BUSY
from runners.running.workspace import BusyError, claimed
from tests.retraining.planted_runs import CONFIG, WEEKLY, Planted, deliver, replace_runner


def test_without_a_new_span_no_run_is_made_and_the_log_says_so(planted: Planted, log) -> None:
    assert planted.run() == [(3, "pushed")]
    assert planted.run() == []
    assert "Nothing to run: no span came since span 3" in log.text
    assert planted.seen == [(3, 3)]


def test_what_was_missed_is_caught_up_with_one_at_a_time(planted: Planted) -> None:
    planted.run()
    deliver(planted, 4, 5, 6)
    planted.refuses = {5}
    assert planted.run() == [(4, "pushed"), (5, "refused"), (6, "pushed")]
    deliver(planted, 7, 8)
    assert planted.run(Schedule(catch_up=False, window=None)) == [(8, "pushed")]
    assert planted.seen[-1] == (8, None)


def test_the_window_is_the_schedules_or_else_the_configurations(planted: Planted) -> None:
    planted.run(Schedule())
    deliver(planted, 4)
    planted.run(Schedule(window=2))
    assert planted.seen == [(3, runs.require_spans(CONFIG).window), (4, 2)] == [(3, 12), (4, 2)]


def test_spans_without_rows_are_passed_over(planted: Planted, log) -> None:
    planted.run()
    deliver(planted, 4, 6)
    for span in (5, 7):
        (planted.workspace.data / f"span-{span}").mkdir()
        (planted.workspace.data / f"span-{span}" / "u.data").touch()
    assert planted.run() == [(4, "pushed"), (6, "pushed")]
    assert planted.run() == []
    assert "Nothing to run: no span came since span 6, except without rows: 7" in log.text
    assert 5 in journal.read(planted.workspace.journal)[-1].versions


def test_a_run_reads_the_versions_that_are_recorded_of_it(planted: Planted) -> None:
    deliver(planted, 2, version=1)

    def launch(config: Config, workspace: Workspace) -> Launched:
        deliver(planted, 2, version=9)  # Comes while the run is under way.
        read.append(runs.require_spans(config).versions)
        return planted.launch(config, workspace)

    read: list[dict[int, int] | None] = []
    (entry,) = runs.run_due(planted.workspace, CONFIG, WEEKLY, launch)
    assert read == [{1: 0, 2: 1, 3: 0}] and entry.versions == read[0]
    assert planted.run() == [(3, "pushed")]


def test_a_root_that_another_uses_is_waited_for(planted: Planted, monkeypatch, log) -> None:
    replace_runner(
        planted,
        monkeypatch,
        "import pathlib, sys\n"
        "tries = pathlib.Path('tries')\n"
        "with tries.open('a') as file:\n"
        "    file.write('x')\n"
        f"sys.exit('It ran.' if tries.stat().st_size > 2 else {BUSY})\n",
    )
    monkeypatch.setattr(runs, "_BUSY_SECONDS", 0.01)
    made = runs.run_due(planted.workspace, CONFIG, WEEKLY, runs.launch)
    assert [entry.words for entry in made] == ["It ran."]
    assert (planted.workspace.root / "tries").read_text() == "xxx"
    assert log.text.count("Waiting: another run uses") == 1


def test_a_failed_retention_undoes_no_run(planted: Planted, monkeypatch, log) -> None:
    def deny(*_: object) -> None:
        raise BusyError("One run at a time may use it.")

    monkeypatch.setattr(runs.retention, "tidy", deny)
    assert planted.run(since=2) == [(2, "pushed"), (3, "pushed")]
    assert "Artifacts of old runs stay until the next run has ended: One run at a time" in log.text


def test_a_failed_run_holds_up_the_later_ones_and_is_tried_again(planted: Planted, log) -> None:
    planted.run()
    deliver(planted, 4, 5)
    planted.fails = {4}
    assert planted.run() == [(4, "failed")]
    assert "Span 4: failed: Transform failed: the disk is full" in log.text
    assert "Later spans wait for it; `run --since 5` goes on without it" in log.text
    planted.fails = set()
    assert planted.run() == [(4, "pushed"), (5, "pushed")]


def test_late_data_makes_the_newest_span_run_again_once(planted: Planted) -> None:
    planted.run()
    deliver(planted, 2, version=1)
    assert planted.run() == [(3, "pushed")]
    assert planted.run() == []


def test_a_damaged_record_runs_nothing_and_holds_up_nobody(planted: Planted) -> None:
    planted.run()
    content = planted.workspace.journal.read_bytes()[:-20]
    planted.workspace.journal.write_bytes(content)
    deliver(planted, 4)
    with pytest.raises(journal.JournalError, match=r"Line 1 of .*runs.jsonl must be .* Restore the file"):
        planted.run()
    assert planted.seen == [(3, 3)]
    assert planted.workspace.journal.read_bytes() == content
    with claimed(planted.workspace.folder):
        pass


def test_a_backfill_goes_through_the_past(planted: Planted) -> None:
    assert planted.run(since=2) == [(2, "pushed"), (3, "pushed")]
    with pytest.raises(ValueError, match="must begin after span 3"):
        planted.run(since=2)


def test_what_was_run_is_on_record(planted: Planted) -> None:
    planted.refuses = {3}
    planted.run()
    (entry,) = journal.read(planted.workspace.journal)
    assert (entry.span, entry.versions, entry.outcome) == (3, {1: 0, 2: 0, 3: 0}, "refused")
    assert entry.report and entry.report.rows == (8, 2)
    assert runs.describe(entry) == "refused, the served version stays: worse"


def test_a_configuration_that_reads_no_spans_is_rejected() -> None:
    with pytest.raises(ValueError, match="must read spans, as the preset retraining does"):
        runs.require_spans(configuration.default())
