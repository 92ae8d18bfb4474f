"""The record of runs outlives a crash, and says what it cannot read."""

from __future__ import annotations

import pathlib

import pytest

from retraining import journal
from retraining.journal import Entry, Model, Report

REPORT = Report(
    rows=(80, 20),
    models=(Model(name="ranking", blessed=True, metrics={"rmse": (0.9, None)}),),
    pushed_version=3,
    drift={"user_age": (0.4, 0.3), "user_gender": (0.1, 0.2)},
)


def entry(span: int, outcome: str = "pushed") -> Entry:
    return Entry(span=span, versions={span: 0}, outcome=outcome, ended=1.5, seconds=2, report=REPORT)


def test_what_is_appended_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "runs.jsonl"
    assert journal.read(path) == []
    for span in (1, 2):
        journal.append(path, entry(span))
    assert journal.read(path) == [entry(1), entry(2)]


def test_a_line_that_a_crash_cut_off_is_as_if_it_was_never_begun(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "runs.jsonl"
    journal.append(path, entry(1))
    path.write_text(path.read_text() + '{"span": 2, "ver')
    assert journal.read(path) == [entry(1)]
    journal.append(path, entry(3))
    assert journal.read(path) == [entry(1), entry(3)]


def test_a_line_that_is_no_entry_is_refused_in_words(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(ValueError, match="must hold the record of a run in each line.*Restore the file"):
        journal.read(path)


def test_a_failed_run_is_no_mark_of_what_is_done() -> None:
    assert journal.done([]) is None
    last = journal.done([entry(1), entry(2, "refused"), entry(3, "failed")])
    assert last and last.span == 2


def test_drift_is_what_is_beyond_its_bound() -> None:
    assert REPORT.drifted == ["user_age"]
