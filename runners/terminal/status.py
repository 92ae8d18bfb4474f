"""A run's terminal: a line for each step, and its progress.

On a terminal, the running step has one line that is overwritten: its name, the seconds, a bar, and the newest
line of progress. In a training, and where the step ran before, the bar is of the time, and the time left
stands beside it; else it is of the stages of the step's Beam pipeline, which take too different times to tell
the time left. On other outputs, such as the log of a build machine, lines are only added, and few of them.
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
        self._display.note(paths.as_given(record.getMessage()), getattr(record, SHARE, 0.0))

    def stages(self, done: int, of: int) -> None:
        """Show on a terminal how many stages of the running step's Beam pipeline are done."""
        self._display.stages(done, of)

    @contextlib.contextmanager
    def step(self, name: str, expected: float = 0.0) -> Iterator[Outcome]:
        """Show that a step runs, and in one line how it ended.

        Args:
          name: of the step.
          expected: seconds that it may take; 0 where that is not known.
        """
        outcome = Outcome()
        started = self._clock()
        self._display.start(name, expected)
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
        self._expected = 0.0
        self._stages = (0, 0)

    def start(self, name: str, expected: float) -> None:
        self._name, self.newest, self._started = name, "", self._clock()
        self._began, self._share, self._known = self._started, 0.0, self._started
        self._expected, self._stages = expected, (0, 0)
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

    def stages(self, done: int, of: int) -> None:
        self._stages = (done, of)  # The display asks for its line four times a second.

    def _line(self) -> RenderableType:
        now = self._clock()
        head = f"{self._name:{_NAME_WIDTH}} {now - self._started:6.0f} s "
        width = self._console.width - 2  # The spinner takes two columns.
        share, words = self._done(now)
        tail = "  ".join(filter(None, (words, self.newest)))
        if not share:
            self._spinner.update(text=_cut(f"{head} {tail}", width))
            return self._spinner
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(head, no_wrap=True),
            ProgressBar(1.0, share, width=_BAR_WIDTH),
            _cut(tail, width - len(head) - _BAR_WIDTH - 2),
        )
        self._spinner.update(text=line)
        return self._spinner

    def _done(self, now: float) -> tuple[float, str]:
        """Return the share of the step that is done, and what to say of it; 0 where nothing is known."""
        if 0 < self._share < 1:
            taken = self._known - self._began
            left = max(0.0, taken * (1 - self._share) / self._share - (now - self._known))
            return self._share, f"{left:.0f} s left"
        taken = now - self._started
        if _STARTS_AFTER <= taken < self._expected:  # A step from the cache ends before that.
            return taken / self._expected, f"{self._expected - taken:.0f} s left"
        done, of = self._stages
        return (done / of, f"{done} of {of} stages") if done < of else (0.0, "")


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

    def start(self, name: str, expected: float) -> None:
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

    def stages(self, done: int, of: int) -> None:
        """Say nothing: there would be a hundred lines."""

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
