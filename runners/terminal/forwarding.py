"""What a step's process has to show, told to the process of the run, which has the terminal.

Messages are JSON objects with one key for their kind, see `show`.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from common.progress import SHARE
from runners.terminal.status import Outcome, Terminal

_BEGIN, _NOTE, _STAGES, _FINISH = "begin", "note", "stages", "finish"


class Teller(logging.Handler):
    """Tells what a Terminal would show. A handler for records of `common.progress`, too."""

    def __init__(self, writer: Connection) -> None:
        """Tell it to the other end of `writer`."""
        super().__init__()
        self._writer = writer

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; threads may do so at once."""
        with self.lock or contextlib.nullcontext():
            self._writer.send_bytes(json.dumps(message).encode())

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a line of progress."""
        self.send({_NOTE: [record.getMessage(), getattr(record, SHARE, 0.0)]})

    @contextlib.contextmanager
    def step(self, name: str, expected: float = 0.0) -> Iterator[Outcome]:
        """Tell that a step runs, and how it ended; see Terminal.step. The other end knows its name."""
        del name
        outcome = Outcome()
        self.send({_BEGIN: expected})
        try:
            yield outcome
        except BaseException:
            outcome = Outcome("failed")
            raise
        finally:
            self.send({_FINISH: [outcome.state, outcome.figure]})

    def stages(self, done: int, of: int) -> None:
        """Tell how many stages of the step's Beam pipeline are done."""
        self.send({_STAGES: [done, of]})


def show(message: Mapping[str, Any], name: str, terminal: Terminal) -> bool:
    """Show what a Teller sent.

    Args:
      message: with one of these keys. begin: the seconds that the step may take. note: a line, and the share
        that is done. stages: how many are done, and of how many. finish: the state, and the figure.
      name: of the step.
      terminal: where it is shown.
    Returns:
      Whether the terminal shows a running step of this name from now on.
    """
    ((kind, content),) = message.items()
    if kind == _BEGIN:
        terminal.begin(name, content)
    elif kind == _NOTE:
        line, share = content
        terminal.note(line, share, name)
    elif kind == _STAGES:
        done, of = content
        terminal.stages(done, of, name)
    else:
        terminal.finish(name, Outcome(*content))
    return kind != _FINISH
