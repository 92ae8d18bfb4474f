"""Standard streams that raise no error for bad letters or a closed pipe. Standard library only."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import TextIO

_MISTAKE = 2


def run(name: str, main: Callable[[], int]) -> int:
    """Run a program, and return its exit code.

    Letters that the output's encoding lacks are replaced. If the reader has left, as `head` does, the program
    goes on in silence. If a standard stream is closed, the program ends with one line.

    Args:
      name: of the program, for that line.
      main: the program.
    """
    for stream, words in ((sys.stdout, "output"), (sys.stderr, "error")):
        # None: the descriptor is closed, and the next file that is opened would get its number.
        if stream is None:
            error = f"the standard {words} must be open; it is closed. Send it to a file, or to /dev/null."
            print(f"{name}: {error}", file=sys.stderr or sys.stdout)
            return _MISTAKE
    before = sys.stdout, sys.stderr
    sys.stdout = tolerant(1, sys.stdout.encoding, "replace")
    sys.stderr = tolerant(2, sys.stderr.encoding, "backslashreplace")
    try:
        return main()
    finally:
        # TFX's command line runs a runner in its own process, and then goes on.
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def tolerant(descriptor: int, encoding: str, errors: str) -> TextIO:
    """Open a descriptor for lines of text; drop them if the reader has left.

    Args:
      descriptor: stays open when the stream is closed.
      errors: how to treat characters that the encoding lacks, as of `open`.
    """
    raw = _Descriptor(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


class _Descriptor(io.FileIO):
    def write(self, data, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
