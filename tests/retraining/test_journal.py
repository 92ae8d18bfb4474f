"""The record of runs outlives a crash, and says what it cannot read."""

from __future__ import annotations

import os
import pathlib

import pytest

from retraining import journal
from retraining.journal import Entry, JournalError, Model, Report

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


@pytest.mark.parametrize(
    "damaged", [b'{"span": 2, "ver', b"\0" * 80 + b"\n", b"\n", b'{"span": 2}\n', b"\xff\n"]
)
def test_a_damaged_line_is_named_and_left_as_it_is(damaged: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "runs.jsonl"
    journal.append(path, entry(1))
    content = path.read_bytes() + damaged
    path.write_bytes(content)
    with pytest.raises(JournalError) as error:
        journal.read(path)
    start = repr(damaged.removesuffix(b"\n")[:40])
    assert str(error.value) == (
        f"Line 2 of {path} must be the record of a run; it begins with {start} and cannot be read. Restore "
        "the file, or remove that line: its run then counts as never made."
    )
    assert path.read_bytes() == content


def test_a_last_line_without_its_line_break_is_one(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "runs.jsonl"
    journal.append(path, entry(1))
    path.write_text(path.read_text().rstrip("\n"))
    assert journal.read(path) == [entry(1)]
    journal.append(path, entry(2))
    assert journal.read(path) == [entry(1), entry(2)]


def test_what_cannot_be_written_leaves_the_record_as_it_was(tmp_path: pathlib.Path, monkeypatch) -> None:
    path = tmp_path / "runs.jsonl"
    journal.append(path, entry(1))

    def deny(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", deny)
    with pytest.raises(OSError, match="No space left"):
        journal.append(path, entry(2))
    assert journal.read(path) == [entry(1)]


def test_a_failed_run_is_no_mark_of_what_is_done() -> None:
    assert journal.done([]) is None
    last = journal.done([entry(1), entry(2, "refused"), entry(3, "failed")])
    assert last and last.span == 2


def test_drift_is_what_is_beyond_its_bound() -> None:
    assert REPORT.drifted == ["user_age"]
