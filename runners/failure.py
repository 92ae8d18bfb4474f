"""What a person is told of a failure: one cause, in words.

Pure. Called by the local runner when a step has raised.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_OWN = re.compile(r"(components|modules|pipeline|runners)\.")
# Of Python (ENOSPC and EDQUOT), TensorFlow and SQLite; Python adds the path.
_DISK_FULL = re.compile(
    r"(?:No space left on device|Disk quota exceeded|database or disk is full)(?:: '(?P<path>[^'\n]+)')?"
)
_LONGEST = 600  # Characters of a foreign message; the log has all of it.

# Beam appends the name of the stage to the message of what a stage raised.
_STAGE = re.compile(r"\s*\[while running '[^']*'\]")
_HEADER = "Traceback (most recent call last):"
_LINK = re.compile(
    r"^(The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$",
    re.MULTILINE,
)
# The line that ends a traceback; what follows it belongs to the message.
_RAISED = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?\Z", re.MULTILINE | re.DOTALL)


class RunError(Exception):
    """A run that failed; the message says at which step, and why."""


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
            place = f" ({full['path']})" if full["path"] else ""
            return f"The disk is full{place}. Free some space."
        short = self.message if len(self.message) <= _LONGEST else self.message[:_LONGEST] + " ..."
        return ": ".join(part for part in (self.name.rsplit(".", 1)[-1], short) if part)


def cause_of(error: BaseException) -> Cause:
    """Find the exception that tells a person most.

    That is the outermost one of the project's own; it was raised to be read. Where there is none, it is what
    the outermost exception was explicitly raised from, all the way down: frameworks wrap. Workers of Beam in
    other processes send their exceptions as the text of a traceback, which is read in the same way.

    >>> str(cause_of(KeyError("user_id")))
    "KeyError: 'user_id'"
    """
    chain = list(_chain(error))
    for candidates in chain:
        for cause in reversed(candidates):
            if cause.own:
                return cause
    return chain[_explicit_depth(error)][0]


def cause_in_text(text: str) -> Cause | None:
    """Find the same in a text that holds a traceback; None where it holds none."""
    causes = _read_traceback(text)
    own = [cause for cause in causes if cause.own]
    return own[-1] if own else causes[0] if causes else None


def _chain(error: BaseException) -> Iterator[list[Cause]]:
    """Yield, from the outermost exception inwards, what each one holds: itself, or a traceback as text."""
    current: BaseException | None = error
    while current is not None:
        kind = type(current)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        message = _tidy(str(current))
        yield _read_traceback(str(current)) or [Cause(name, message)]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _explicit_depth(error: BaseException) -> int:
    depth = 0
    while error.__cause__ is not None:
        depth, error = depth + 1, error.__cause__
    return depth


def _read_traceback(text: str) -> list[Cause]:
    """Read the last traceback in a text: its exceptions, from the innermost explicit cause outwards."""
    if _HEADER not in text:
        return []
    parts = _LINK.split(text)
    causes: list[Cause] = []
    for section, link in zip(parts[::2], ["", *parts[1::2]], strict=True):
        raised = _RAISED.search(_after_frames(section))
        if not raised:
            continue
        if not link.startswith("The above"):
            causes = [cause for cause in causes if cause.own]
        causes.append(Cause(raised["name"], _tidy(raised["message"] or "")))
    return causes


def _after_frames(section: str) -> str:
    """Drop everything up to the last frame of a traceback: frames are indented, the exception is not."""
    lines = section.rpartition(_HEADER)[2].split("\n")
    start = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return "\n".join(lines[start:])


def _tidy(message: str) -> str:
    return _STAGE.sub("", message).strip()
