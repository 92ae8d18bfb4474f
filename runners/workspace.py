"""The folder of a pipeline: its lock and its logs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.movielens_example_gen.archive import disk_errors

METADATA = "metadata.sqlite"

# For who starts local_runner.py: its exit code where another run uses the folder (sysexits.h, EX_TEMPFAIL),
# and the key of a report that a failed run leaves, with what was wrong.
BUSY, FAILED = 75, "failed"

_LOCK = ".lock"


class BusyError(Exception):
    """Another run uses the folder."""


@contextlib.contextmanager
def claimed(root: Path) -> Iterator[None]:
    """Keep a pipeline's folder to this process: runs share its metadata and what they push.

    Args:
      root: the folder; made where it is absent.
    Raises:
      BusyError: another run has it.
      DataError: the disk refuses, in words.
    """
    with contextlib.ExitStack() as held:
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            _claim(root, held.enter_context(open(root / _LOCK, "a+")))
        yield


def _claim(root: Path, lock: TextIO) -> None:
    # The kernel lets go of the lock when its holder dies, however it dies.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise BusyError(
            f"One run at a time may use {root}; process {lock.read().strip() or 'unknown'} is using it. "
            "Wait until it has ended, or name another folder with --pipeline-root."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def new_log(root: Path) -> Path:
    """Return the path of this run's log, named after the time.

    Raises:
      DataError: the disk refuses, in words.
    """
    logs = root / "logs"
    with disk_errors(logs):
        logs.mkdir(exist_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
