"""Send all output of libraries to a log file, and keep the terminal for the run's own lines."""

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
    """Send file descriptors 1 and 2 to a log file, and yield a stream on the terminal.

    Descriptors, not `sys.stdout`: TensorFlow's C++ code and child processes write to them directly. Enter it
    before large libraries are imported, so that their messages are in the log too.

    Args:
      path: the log file; appended to.
    Yields:
      A text stream on the standard output as it was before; it is closed at the end.
    Raises:
      DataError: the log cannot be opened.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as opened:
        with disk_errors(path):
            log = opened.enter_context(_opened(path))
        saved_out, saved_err = os.dup(1), os.dup(2)
        terminal = streams.tolerant(saved_out, sys.stdout.encoding, "replace")
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
            os.dup2(saved_out, 1)
            os.dup2(saved_err, 2)
            # Before its descriptor: the next file gets the same number, and a late writer would write there.
            _close(terminal)
            os.close(saved_out)
            os.close(saved_err)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as stream:
        try:
            yield stream
        finally:
            _close(stream)


def _close(stream: TextIO) -> None:
    # On a full disk this raises, which must not hide the error that is being raised.
    with contextlib.suppress(OSError):
        stream.close()


def _empty(stream: TextIO) -> None:
    """Flush the libraries' output; if the log's disk is full, drop it, so that the terminal stays clean."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        stream.flush()
