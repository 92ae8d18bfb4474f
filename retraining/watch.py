"""A scheduler that keeps running: it sleeps until a time of the schedule, then makes the due runs."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator

from common.errors import DataError
from common.progress import progress
from retraining.journal import JournalError
from retraining.schedule import Schedule
from runners.running.workspace import BusyError

# Interval in which the clock is read, since it may be set while this process sleeps.
_NAP_SECONDS = 30.0
_BUSY_SECONDS = 300.0  # Between two attempts while another scheduler runs the pipeline.


def scheduled_times(
    schedule: Schedule, now: Callable[[], datetime.datetime], sleep: Callable[[float], None]
) -> Iterator[datetime.datetime]:
    """Sleep until each time of the schedule, and yield it.

    If the schedule catches up, and times passed while the caller was busy or before the start, the next time
    is now, once for all of them.
    """
    due = now() if schedule.catch_up else schedule.next_time(now())
    while True:
        progress.info("Next look: %s", f"{due:%Y-%m-%d %H:%M %Z}")
        while (left := (due - now()).total_seconds()) > 0:
            sleep(min(left, _NAP_SECONDS))
        yield due
        due = schedule.next_time(due if schedule.catch_up else now())
        if due < now():
            due = now()


def watch(schedule: Schedule, run: Callable[[], object]) -> None:
    """Make the runs that are due at every time of the schedule, until this process is stopped.

    An error is logged, and the run is tried again at the next time; if another scheduler runs the pipeline,
    it is tried again every few minutes.
    """
    for _ in scheduled_times(schedule, lambda: datetime.datetime.now(datetime.timezone.utc), time.sleep):
        while not _try(run):
            time.sleep(_BUSY_SECONDS)


def _try(run: Callable[[], object]) -> bool:
    """Run; return False if another scheduler runs the pipeline."""
    try:
        run()
    except BusyError as error:
        progress.error("%s", error)
        return False
    except (DataError, JournalError, OSError) as error:
        progress.error("%s", error)
    return True
