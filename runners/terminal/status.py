"""A run's terminal: a line for each step, and its progress.

On a terminal, each running step has a line that is overwritten: its name, the seconds, a bar, and the newest
line of progress. In a training, and where the step ran before, the bar is of the time, and the time left
stands beside it; else it is of the stages of the step's Beam pipeline, which take too different times to tell
the time left. On other outputs, such as the log of a build machine, lines are only added, and few of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from common.progress import progress
from runners import paths
from runners.terminal.display import Outcome, StepDisplay

_PLAIN_WIDTH = 110  # Columns of a table on an output without a width.
_NAME_WIDTH, _BAR_WIDTH = 30, 10
_STARTS_AFTER = 1.0  # Seconds after which a step that has not ended is announced.
_GIVES_UP_AFTER = 1.0  # Seconds for which the end waits for an announcement.
_NOTE_EVERY = 5.0  # Seconds between two lines of progress.


class Terminal(StepDisplay):
    """Lines for a person, on a stream of their own. It listens to `common.progress` while `listening`."""

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
        self._running: dict[str, _Running] = {}
        self._display: _Overwritten | _Added = (
            _Overwritten(self.console, clock, self._running)
            if is_terminal
            else _Added(self.console, clock, self._running)
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
            self._display.end()
            progress.removeHandler(self)
            progress.setLevel(level)

    def end(self, *lines: str) -> None:
        """Clear the lines of running steps, and print these lines."""
        self._display.end()
        for line in lines:
            self.console.print(Text(line))

    def begin(self, name: str, expected: float = 0.0) -> None:
        """See StepDisplay."""
        self._running[name] = _Running(name, expected, self._clock())
        self._display.begin(self._running[name])

    def note(self, line: str, share: float = 0.0, name: str = "") -> None:
        """See StepDisplay."""
        self._display.note(paths.as_given(line), share, self._of(name))

    def stages(self, done: int, of: int, name: str = "") -> None:
        """See StepDisplay; only a terminal shows stages."""
        if running := self._of(name):
            running.stages = (done, of)  # The display asks for its lines four times a second.

    def finish(self, name: str, outcome: Outcome) -> None:
        """Show in one line how a step ended."""
        running = self._running.pop(name)
        self._display.finish(running)
        line = _ended(name, self._clock() - running.started, outcome, running.newest)
        if self.console.is_terminal:
            line.truncate(self.console.width, overflow="ellipsis")
        self.console.print(line)

    def shows(self, name: str) -> bool:
        """Return whether a step of this name runs."""
        return name in self._running

    def _of(self, name: str) -> _Running | None:
        return self._running[name] if name else next(reversed(self._running.values()), None)


class _Running:
    """What is known of a step that runs."""

    def __init__(self, name: str, expected: float, now: float) -> None:
        self.name, self.expected, self.started = name, expected, now
        self.newest = ""
        self.stages = (0, 0)
        self.spinner = Spinner("dots")
        # Of a training: when it began, the share that is done, and since when that is known.
        self._began, self._share, self._known = now, 0.0, now

    def note(self, line: str, share: float, now: float) -> None:
        self.newest = line
        if share:
            if share <= self._share:  # A step may train several models, one after the other.
                self._began = self._known
            self._share, self._known = share, now

    def done(self, now: float) -> tuple[float, str]:
        """Return the share of the step that is done, and what to say of it; 0 where nothing is known."""
        if 0 < self._share < 1:
            taken = self._known - self._began
            left = max(0.0, taken * (1 - self._share) / self._share - (now - self._known))
            return self._share, f"{left:.0f} s left"
        taken = now - self.started
        if _STARTS_AFTER <= taken < self.expected:  # A step from the cache ends before that.
            return taken / self.expected, f"{self.expected - taken:.0f} s left"
        done, of = self.stages
        return (done / of, f"{done} of {of} stages") if done < of else (0.0, "")


class _Overwritten:
    """Lines at the bottom of a terminal, one for each running step."""

    def __init__(self, console: Console, clock: Callable[[], float], running: Mapping[str, _Running]) -> None:
        self._console = console
        self._clock = clock
        self._running = running
        self._live: Live | None = None

    def begin(self, step: _Running) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console, get_renderable=self._lines, refresh_per_second=4, transient=True,
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()

    def finish(self, step: _Running) -> None:
        if not self._running:
            self.end()

    def end(self) -> None:
        # Taken first: the handler of SIGINT may come in between and stop it too.
        live, self._live = self._live, None
        if live:
            live.stop()

    def note(self, line: str, share: float, step: _Running | None) -> None:
        if step:
            step.note(line, share, self._clock())
        if live := self._live:
            live.refresh()
        else:
            self._console.print(Text(f"  {line}"))

    def _lines(self) -> RenderableType:
        # Copied at once: the display draws in a thread of its own.
        return Group(*(self._line(step) for step in tuple(self._running.values())))

    def _line(self, step: _Running) -> RenderableType:
        now = self._clock()
        head = f"{step.name:{_NAME_WIDTH}} {now - step.started:6.0f} s "
        width = self._console.width - 2  # The spinner takes two columns.
        share, words = step.done(now)
        tail = "  ".join(filter(None, (words, step.newest)))
        if not share:
            step.spinner.update(text=_cut(f"{head} {tail}", width))
            return step.spinner
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(head, no_wrap=True),
            ProgressBar(1.0, share, width=_BAR_WIDTH),
            _cut(tail, width - len(head) - _BAR_WIDTH - 2),
        )
        step.spinner.update(text=line)
        return step.spinner


class _Added:
    """Lines that stay: a step that takes a while is announced, progress is thinned out."""

    def __init__(self, console: Console, clock: Callable[[], float], running: Mapping[str, _Running]) -> None:
        self._console = console
        self._clock = clock
        self._running = running
        # The handler of SIGINT may interrupt whoever holds it, and ends the display.
        self._lock = threading.RLock()
        # By step, until it is announced.
        self._timers: dict[str, threading.Timer] = {}
        # By step, when its progress was shown last.
        self._noted: dict[str, float] = {}

    def begin(self, step: _Running) -> None:
        timer = threading.Timer(_STARTS_AFTER, self._announce, [step.name])
        timer.daemon = True
        self._timers[step.name] = timer
        timer.start()

    def finish(self, step: _Running) -> None:
        self._noted.pop(step.name, None)
        self._cancel([step.name])

    def end(self) -> None:
        self._cancel(list(self._timers))

    def _cancel(self, names: Sequence[str]) -> None:
        # With a limit: an interrupted main thread may hold the console that the timer's thread waits for.
        held = self._lock.acquire(timeout=_GIVES_UP_AFTER)
        for timer in [self._timers.pop(name, None) for name in names]:
            if timer:
                timer.cancel()
        if held:
            self._lock.release()

    def note(self, line: str, share: float, step: _Running | None) -> None:
        if step is None:
            self._console.print(Text(f"  {line}"))
            return
        now = self._clock()
        step.note(line, share, now)
        if now - self._noted.get(step.name, -_NOTE_EVERY) < _NOTE_EVERY:
            return
        self._announce(step.name)
        self._noted[step.name] = now
        self._console.print(Text(f"  {step.name}: {line}" if len(self._running) > 1 else f"  {line}"))

    def _announce(self, name: str) -> None:
        with self._lock:
            if self._timers.pop(name, None):
                self._console.print(Text(f"{name} ..."))


def _cut(text: str, width: int) -> Text:
    line = Text(text, no_wrap=True)
    line.truncate(max(width, 0), overflow="ellipsis")
    return line


def _ended(name: str, seconds: float, outcome: Outcome, newest: str) -> Text:
    style = {"cached": "dim", "failed": "bold red"}.get(outcome.state, "")
    line = f"{name:{_NAME_WIDTH}} {seconds:8.1f} s  {outcome.state:7}  {outcome.figure or newest}"
    return Text(line.rstrip(), style=style)
