"""The scheduler that is left running, on a planted clock."""

from __future__ import annotations

import datetime
import itertools

import pytest

from common.errors import DataError
from retraining import watch as watching
from retraining.journal import JournalError
from retraining.schedule import Schedule
from runners.running.workspace import BusyError

UTC = datetime.timezone.utc
START = datetime.datetime(2024, 5, 6, 12, 30, tzinfo=UTC)


class Clock:
    """Time that passes only by sleeping, or by `pass_hours`."""

    def __init__(self) -> None:
        self.now = START

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 30
        self.now += datetime.timedelta(seconds=seconds)

    def pass_hours(self, hours: float) -> None:
        self.now += datetime.timedelta(hours=hours)


def times_of_runs(schedule: Schedule, hours_of_work: list[float]) -> list[str]:
    """Times at which it looked for new spans, with runs of some hours."""
    clock, found = Clock(), []
    times = watching.scheduled_times(schedule, lambda: clock.now, clock.sleep)
    for hours, _ in zip(hours_of_work, times, strict=False):
        found.append(f"{clock.now:%d %H:%M}")
        clock.pass_hours(hours)
    return found


def test_it_looks_for_spans_at_every_time_and_at_once_if_it_catches_up() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert times_of_runs(hourly, [0, 0, 0]) == ["06 12:30", "06 13:00", "06 14:00"]
    assert times_of_runs(hourly.model_copy(update={"catch_up": False}), [0, 0]) == ["06 13:00", "06 14:00"]


def test_times_that_passed_during_a_run_cause_one_run_or_none() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert times_of_runs(hourly, [3, 0, 0]) == ["06 12:30", "06 15:30", "06 16:00"]
    waits = hourly.model_copy(update={"catch_up": False})
    assert times_of_runs(waits, [3.5, 0, 0]) == ["06 13:00", "06 17:00", "06 18:00"]


@pytest.mark.parametrize("kind", [DataError, JournalError, OSError])
def test_an_error_is_logged_and_the_run_is_tried_again(kind: type[Exception], monkeypatch, caplog) -> None:
    calls = itertools.count()

    def run() -> None:
        if next(calls) == 0:
            raise kind("span-3 must hold rows.")

    monkeypatch.setattr(watching, "scheduled_times", lambda *_: iter([START, START]))
    watching.watch(Schedule(), run)
    assert next(calls) == 2
    assert "span-3 must hold rows." in caplog.text
    with pytest.raises(ZeroDivisionError):  # A fault of the code is not hidden.
        watching.watch(Schedule(), lambda: 1 / 0)


def test_another_scheduler_is_waited_for_before_the_next_time(monkeypatch, caplog) -> None:
    busy = iter([True, True, False])
    slept: list[float] = []
    ran: list[str] = []

    def run() -> None:
        if next(busy):
            raise BusyError("One run at a time may use it.")
        ran.append("once")

    monkeypatch.setattr(watching, "scheduled_times", lambda *_: iter([START]))
    monkeypatch.setattr(watching.time, "sleep", slept.append)
    watching.watch(Schedule(), run)
    assert (slept, ran) == ([300, 300], ["once"])
    assert "One run at a time may use it." in caplog.text
