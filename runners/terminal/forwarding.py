"""What a step's process has to show, sent to the process of the run, which has the terminal.

A message is a JSON object with one key, the name of a method of StepDisplay, and its arguments without the
step's name.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from runners.terminal.display import Outcome, StepDisplay

_BEGIN, _NOTE, _STAGES, _FINISH = "begin", "note", "stages", "finish"


class Forwarder(StepDisplay):
    """Sends what is to be shown of one step; the other end knows its name."""

    def __init__(self, writer: Connection) -> None:
        """Send it to the other end of `writer`."""
        super().__init__()
        self._writer = writer

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; threads may do so at once."""
        with self.lock or contextlib.nullcontext():
            self._writer.send_bytes(json.dumps(message).encode())

    def begin(self, name: str, expected: float = 0.0) -> None:
        """See StepDisplay."""
        self.send({_BEGIN: [expected]})

    def note(self, line: str, share: float = 0.0, name: str = "") -> None:
        """See StepDisplay."""
        self.send({_NOTE: [line, share]})

    def stages(self, done: int, of: int, name: str = "") -> None:
        """See StepDisplay."""
        self.send({_STAGES: [done, of]})

    def finish(self, name: str, outcome: Outcome) -> None:
        """See StepDisplay."""
        self.send({_FINISH: [outcome.state, outcome.figure]})


def show(message: Mapping[str, Any], name: str, display: StepDisplay) -> None:
    """Show what a Forwarder sent of the step `name`."""
    ((kind, arguments),) = message.items()
    if kind == _BEGIN:
        display.begin(name, *arguments)
    elif kind == _FINISH:
        display.finish(name, Outcome(*arguments))
    elif kind == _NOTE:
        line, share = arguments
        display.note(line, share, name)
    else:
        done, of = arguments
        display.stages(done, of, name)
