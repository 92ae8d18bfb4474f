"""A command's seconds and memory, measured from outside. Linux alone: memory is read from /proc."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_INTERVAL = 0.1  # Least number of seconds between two readings of a process.
_REST = 20  # The same in durations of a reading, which takes 0.1 seconds for many gigabytes.
_QUOTED = 2000  # Characters that are quoted of a command that failed.


class Cost(NamedTuple):
    """Time and memory of a command.

    Attributes:
      seconds: from its start to its end.
      largest: bytes, the peak of its largest process.
      together: bytes, the peak of all its processes, memory that they share counted once; looked at up to
        ten times a second.
    """

    seconds: float
    largest: int
    together: int


def measured(command: Sequence[str], folder: pathlib.Path, environ: Mapping[str, str]) -> tuple[Cost, str]:
    """Run a command to its end.

    The peaks are not getrusage's: that counts among a process's memory what its parent held when it was made.

    Args:
      command: its arguments.
      folder: for its output, which is kept there.
      environ: its environment.
    Returns:
      The cost and what it wrote to its standard output.
    Raises:
      RuntimeError: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "out", folder / "err"
    largest, together = 0, 0
    started = time.monotonic()
    with open(out, "w") as out_sink, open(err, "w") as err_sink:
        process = subprocess.Popen(command, stdout=out_sink, stderr=err_sink, env=dict(environ))
    while process.poll() is None:
        began = time.monotonic()
        family = list(_family(process.pid))
        largest = max(largest, *(_kilobytes(pid, "status", "VmHWM") for pid in family))
        together = max(together, sum(_kilobytes(pid, "smaps_rollup", "Pss") for pid in family))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(_INTERVAL, _REST * (time.monotonic() - began)))
    seconds = time.monotonic() - started
    if process.returncode:
        said = (out.read_text() + err.read_text())[-_QUOTED:]
        raise RuntimeError(f"{' '.join(command)} must succeed; exit code {process.returncode}:\n{said}")
    return Cost(seconds, largest * 1024, together * 1024), out.read_text()


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    # A process may end between two readings.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _kilobytes(pid: int, file: str, field: str) -> int:
    """Read a field of /proc/PID/FILE; 0 where the process has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
    return 0
