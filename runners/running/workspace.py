"""A folder that one process at a time uses: its lock and its logs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common import durable, locks
from common.errors import disk_errors

METADATA = "metadata.sqlite"

# Key of a failed run's report; its value is the message of the failure.
FAILED = "failed"

_LOCK = ".lock"


class BusyError(Exception):
    """Another run or scheduler uses the folder."""


@contextlib.contextmanager
def claimed(root: Path) -> Iterator[None]:
    """Lock a folder for this process: runs in it share metadata and destination, schedulers their journal.

    Args:
      root: the folder; created if it does not exist.
    Raises:
      BusyError: another process has locked it.
      DataError: the disk cannot be read or written.
    """
    with contextlib.ExitStack() as stack:
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            try:
                lock = stack.enter_context(locks.held(root / _LOCK, wait=False))
            except locks.HeldError as error:
                raise BusyError(
                    f"One run at a time may use {root}; process {str(error) or 'unknown'} is using it. "
                    "Wait until it has ended, or name another folder with --pipeline-root."
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()} on {socket.gethostname()}")
            lock.flush()
        # A forked process would hold the lock, too, for as long as it takes to end after this one.
        os.register_at_fork(after_in_child=lock.close)
        yield


def write_report(content: Mapping[str, Any], path: Path) -> None:
    """Write the results of a run, or its failure, as JSON: whole or not at all.

    Raises:
      DataError: the disk cannot be written.
    """
    with disk_errors(path):
        text = json.dumps(content, indent=1, allow_nan=False)
        durable.replace(path, text.encode(), path.with_name(path.name + ".new"))


def new_log(root: Path) -> Path:
    """Return the path of this run's log, named after the time.

    Raises:
      DataError: the disk cannot be written.
    """
    logs = root / "logs"
    with disk_errors(logs):
        logs.mkdir(exist_ok=True)
    return logs / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
