"""Everything that libraries print goes to a log file; what a person reads goes to the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from common import streams
from common.errors import disk_errors

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def terminal_and_log(path: Path) -> Iterator[TextIO]:
    """Send file descriptors 1 and 2 to a log file, and yield what they led to.

    Descriptors, not `sys.stdout`: TensorFlow's C++ code and child processes write to them directly. To be
    entered before anything heavy is imported, so that what the imports say is in the log too.

    Args:
      path: the log file; appended to.
    Yields:
      A text stream on the standard output as it was before.
    Raises:
      DataError: the log cannot be opened, in words.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as opened:
        with disk_errors(path):
            log = opened.enter_context(_opened(path))
        kept_out, kept_err = os.dup(1), os.dup(2)
        terminal = streams.tolerant(kept_out, sys.stdout.encoding, "replace")
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter(_FORMAT))
        root = logging.getLogger()
        level, handlers = root.level, root.handlers[:]
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            yield terminal
        finally:
            logging.captureWarnings(False)
            root.handlers[:] = handlers
            root.setLevel(level)
            for stream in (sys.stdout, sys.stderr):
                _empty(stream)
            os.dup2(kept_out, 1)
            os.dup2(kept_err, 2)
            os.close(kept_out)
            os.close(kept_err)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as stream:
        try:
            yield stream
        finally:
            # A full disk fails this, which must not take the place of the error that is on its way.
            with contextlib.suppress(OSError):
                stream.close()


def _empty(stream: TextIO) -> None:
    """Flush what libraries wrote; where the log has no room, drop it, else it would end on the terminal."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        stream.flush()
