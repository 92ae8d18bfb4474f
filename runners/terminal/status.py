"""A run's terminal: a line for each step, and its progress.

On a terminal, the running step has one line that is overwritten: its name, the seconds, in a training a bar
and the time left, and the newest line of progress. On other outputs, such as the log of a build machine,
lines are only added, and few of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from common.progress import SHARE, progress
from runners import paths

_PLAIN_WIDTH = 110  # Columns of a table on an output without a width.
_NAME_WIDTH, _BAR_WIDTH = 30, 10
_STARTS_AFTER = 1.0  # Seconds after which a step that has not ended is announced.
_GIVES_UP_AFTER = 1.0  # Seconds for which the end waits for an announcement.
_NOTE_EVERY = 5.0  # Seconds between two lines of progress.


@dataclasses.dataclass
class Outcome:
    """How a step ended; the caller that runs the step fills it in.

    Attributes:
      state: a word such as `cached` or `run`.
      figure: the most important figure of its output; if empty, the last line of progress is shown instead.
    """

    state: str = "run"
    figure: str = ""


class Terminal(logging.Handler):
    """Lines for a person, on a stream of their own.

    A handler too: records of `common.progress` are shown while `listening`.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`; `clock` returns seconds."""
        super().__init__()
        is_terminal = stream.isatty()
        self.console = Console(
            file=stream,
            highlight=False,
            soft_wrap=not is_terminal,
            width=None if is_terminal else _PLAIN_WIDTH,
        )
        self._clock = clock
        self._display: _Overwritten | _Added = (
            _Overwritten(self.console, clock) if is_terminal else _Added(self.console, clock)
        )

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Show what the project logs as progress."""
        level = progress.level
        progress.setLevel(logging.INFO)
        progress.addHandler(self)
        try:
            yield
        finally:
            self._display.stop()
            progress.removeHandler(self)
            progress.setLevel(level)

    def end(self, *lines: str) -> None:
        """Clear the line of the running step, and print these lines."""
        self._display.stop()
        for line in lines:
            self.console.print(Text(line))

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line of progress."""
        self._display.note(paths.unabridged(record.getMessage()), getattr(record, SHARE, 0.0))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Outcome]:
        """Show that a step runs, and in one line how it ended."""
        outcome = Outcome()
        started = self._clock()
        self._display.start(name)
        try:
            yield outcome
        except BaseException:
            outcome = Outcome("failed")
            raise
        finally:
            self._display.stop()
            line = _ended(name, self._clock() - started, outcome, self._display.newest)
            if self.console.is_terminal:
                line.truncate(self.console.width, overflow="ellipsis")
            self.console.print(line)


class _Overwritten:
    """One line at the bottom of a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._name = self.newest = ""
        self._started = 0.0
        # Of a training: when it began, the share that is done, and since when that is known.
        self._began = self._share = self._known = 0.0

    def start(self, name: str) -> None:
        self._name, self.newest, self._started = name, "", self._clock()
        self._began, self._share, self._known = self._started, 0.0, self._started
        self._live = Live(
            console=self._console, get_renderable=self._line, refresh_per_second=4, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._live.start()

    def stop(self) -> None:
        # Taken first: the handler of SIGINT may come in between and stop it too.
        live, self._live = self._live, None
        if live:
            live.stop()

    def note(self, line: str, share: float) -> None:
        self.newest = line
        if share:
            if share <= self._share:  # A step may train several models, one after the other.
                self._began = self._known
            self._share, self._known = share, self._clock()
        if live := self._live:
            live.refresh()
        else:
            self._console.print(Text(f"  {line}"))

    def _line(self) -> RenderableType:
        now = self._clock()
        head = f"{self._name:{_NAME_WIDTH}} {now - self._started:6.0f} s "
        width = self._console.width - 2  # The spinner takes two columns.
        if not 0 < self._share < 1:
            self._spinner.update(text=_cut(f"{head} {self.newest}", width))
            return self._spinner
        taken = self._known - self._began
        left = max(0.0, taken * (1 - self._share) / self._share - (now - self._known))
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(head, no_wrap=True),
            ProgressBar(1.0, self._share, width=_BAR_WIDTH),
            _cut(f"{left:.0f} s left  {self.newest}", width - len(head) - _BAR_WIDTH - 2),
        )
        self._spinner.update(text=line)
        return self._spinner


class _Added:
    """Lines that stay: a step that takes a while is announced, progress is thinned out."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        # The handler of SIGINT may interrupt whoever holds it, and stops the display.
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._unannounced = ""
        self._noted = 0.0
        self.newest = ""

    def start(self, name: str) -> None:
        self._unannounced, self._noted, self.newest = name, self._clock() - _NOTE_EVERY, ""
        self._timer = threading.Timer(_STARTS_AFTER, self._announce)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        # With a limit: an interrupted main thread may hold the console that the timer's thread waits for.
        held = self._lock.acquire(timeout=_GIVES_UP_AFTER)
        timer, self._timer = self._timer, None
        if timer:
            timer.cancel()
        if held:
            self._lock.release()

    def note(self, line: str, share: float) -> None:
        self.newest = line
        if self._timer and self._clock() - self._noted < _NOTE_EVERY:
            return
        self._announce()
        self._noted = self._clock()
        self._console.print(Text(f"  {line}"))

    def _announce(self) -> None:
        with self._lock:
            if self._timer and self._unannounced:
                self._console.print(Text(f"{self._unannounced} ..."))
                self._unannounced = ""


def _cut(text: str, width: int) -> Text:
    line = Text(text, no_wrap=True)
    line.truncate(max(width, 0), overflow="ellipsis")
    return line


def _ended(name: str, seconds: float, outcome: Outcome, newest: str) -> Text:
    style = {"cached": "dim", "failed": "bold red"}.get(outcome.state, "")
    line = f"{name:{_NAME_WIDTH}} {seconds:8.1f} s  {outcome.state:7}  {outcome.figure or newest}"
    return Text(line.rstrip(), style=style)
