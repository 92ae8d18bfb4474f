"""A scheduler to be left running: sleeps until a moment of the schedule, then runs what is due."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator

from common.errors import DataError
from common.progress import progress
from retraining.journal import JournalError
from retraining.schedule import Schedule
from runners.running.workspace import BusyError

# The clock is looked at this often, since it may be set while this process sleeps.
_NAP_SECONDS = 30.0
_BUSY_SECONDS = 300.0  # Between two tries where another scheduler runs the pipeline.


def moments(
    schedule: Schedule, now: Callable[[], datetime.datetime], sleep: Callable[[float], None]
) -> Iterator[datetime.datetime]:
    """Sleep until each moment of the schedule, and yield it.

    A moment that passes while the last one is being worked off is made up for at once, however many there
    were, if the schedule catches up; so is what was missed before the start.
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
    """Run what is due at every moment of the schedule, until this process is stopped.

    What went wrong is told, and tried again at the next moment; where another scheduler runs the
    pipeline, as soon as that has ended.
    """
    for _ in moments(schedule, lambda: datetime.datetime.now(datetime.timezone.utc), time.sleep):
        while not _try(run):
            time.sleep(_BUSY_SECONDS)


def _try(run: Callable[[], object]) -> bool:
    """Run; False where another scheduler runs the pipeline."""
    try:
        run()
    except BusyError as error:
        progress.error("%s", error)
        return False
    except (DataError, JournalError, OSError) as error:
        progress.error("%s", error)
    return True
