"""Everything that libraries print goes to a log file; what a person reads goes to the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

PROGRESS = "marquee.progress"

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
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept_out, kept_err = os.dup(1), os.dup(2)
    with (
        open(path, "a", encoding="utf-8", errors="backslashreplace") as log,
        open(kept_out, "w", encoding=sys.stdout.encoding, errors="replace", buffering=1) as terminal,
    ):
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
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept_out, 1)
            os.dup2(kept_err, 2)
            os.close(kept_err)
