"""Standard streams that a program can rely on. Standard library only."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import TextIO

_MISTAKE = 2


def run(name: str, main: Callable[[], int]) -> int:
    """Run a program, and return its exit code.

    What its output's encoding lacks is replaced. Where the reader has left, as `head` does, the program goes
    on in silence. A stream that is closed is told in one line.

    Args:
      name: of the program, for that line.
      main: the program.
    """
    for stream, words in ((sys.stdout, "output"), (sys.stderr, "error")):
        # None: the descriptor is closed, and the next file that is opened would get its number.
        if stream is None:
            said = f"the standard {words} must be open; it is closed. Send it to a file, or to /dev/null."
            print(f"{name}: {said}", file=sys.stderr or sys.stdout)
            return _MISTAKE
    sys.stdout = tolerant(1, sys.stdout.encoding, "replace")
    sys.stderr = tolerant(2, sys.stderr.encoding, "backslashreplace")
    return main()


def tolerant(descriptor: int, encoding: str, errors: str) -> TextIO:
    """Open a descriptor for lines of text; what nobody reads is dropped.

    Args:
      descriptor: stays open when the stream is closed.
      errors: what becomes of characters that the encoding lacks, as of `open`.
    """
    raw = _Descriptor(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


class _Descriptor(io.FileIO):
    def write(self, data, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
