"""The message for a failure: one cause, in one line.

Pure. The local runner calls it after a step has raised.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.running.record import Step

_OWN = re.compile(r"(components|modules|pipeline|runners|serving|common)\.")
# Of Python (ENOSPC and EDQUOT), TensorFlow and SQLite; Python adds the path.
_DISK_FULL = re.compile(
    r"(?:No space left on device|Disk quota exceeded|database or disk is full)(?:: '(?P<path>[^'\n]+)')?"
)
_LONGEST = 600  # Characters of a foreign message; the log has all of it.

# Beam appends the name of the stage to the message of what a stage raised.
_STAGE = re.compile(r"\s*\[while running '[^']*'\]")
_HEADER = "Traceback (most recent call last):"
# The exception that ends the last traceback: frames are indented or blank lines, and all that follows the
# exception's name is its message.
_LAST = re.compile(
    rf".*{re.escape(_HEADER)}\n(?:(?: [^\n]*)?\n)*(?P<name>[A-Za-z_][\w.]*): (?P<message>.*)", re.DOTALL
)


class RunError(Exception):
    """A run that failed; the message says at which step, and why.

    Attributes:
      steps: what ML Metadata records of it.
    """

    def __init__(self, message: str, steps: Sequence[Step] = ()) -> None:
        super().__init__(message)
        self.steps = steps


@dataclasses.dataclass(frozen=True)
class Cause:
    """An exception reduced to what is shown.

    Attributes:
      name: its class, with the module where that is not a builtin.
      message: its text.
    """

    name: str
    message: str

    @property
    def own(self) -> bool:
        """Whether the project raised it, so that its message says what to do."""
        return bool(_OWN.match(self.name))

    @property
    def disk_full(self) -> bool:
        """Whether there was no room to write."""
        return not self.own and bool(_DISK_FULL.search(self.message))

    def __str__(self) -> str:
        if self.own and self.message:
            return self.message
        if full := _DISK_FULL.search(self.message):
            path = f" ({full['path']})" if full["path"] else ""
            return f"The disk is full{path}. Free some space."
        short = self.message if len(self.message) <= _LONGEST else self.message[:_LONGEST] + " ..."
        return ": ".join(part for part in (self.name.rsplit(".", 1)[-1], short) if part)


def cause_of(error: BaseException) -> Cause:
    """Find the exception whose message helps most.

    That is the outermost exception of the project itself, whose messages are written for users. If there is
    none, it is the innermost exception of the chain of explicit causes, because frameworks wrap exceptions.

    >>> str(cause_of(KeyError("user_id")))
    "KeyError: 'user_id'"
    """
    current: BaseException | None = error
    while current is not None:
        if (cause := _cause(current)).own:
            return cause
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    while error.__cause__ is not None:
        error = error.__cause__
    return _cause(error)


def cause_in_text(text: str) -> Cause | None:
    """Read the exception that ends a traceback in a text; None if the text holds no traceback."""
    last = _LAST.match(text) if _HEADER in text else None
    return Cause(last["name"], _tidy(last["message"])) if last else None


def _cause(error: BaseException) -> Cause:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # Beam re-raises a worker's exception as a RuntimeError whose text is the worker's traceback.
    return cause_in_text(str(error)) or Cause(name, _tidy(str(error)))


def _tidy(message: str) -> str:
    return _STAGE.sub("", message).strip()
