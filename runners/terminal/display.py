"""What shows a run's steps: the terminal, or in a step's own process what sends it to the terminal."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import logging
from collections.abc import Iterator

from common.progress import SHARE


@dataclasses.dataclass
class Outcome:
    """How a step ended; the caller that runs the step fills it in.

    Attributes:
      state: a word such as `cached` or `run`.
      figure: the most important figure of its output; if empty, the last line of progress is shown instead.
    """

    state: str = "run"
    figure: str = ""


class StepDisplay(logging.Handler, abc.ABC):
    """Where a run's steps are shown.

    A handler too: records of `common.progress` are progress of the step that began last.
    """

    @contextlib.contextmanager
    def step(self, name: str, expected: float = 0.0) -> Iterator[Outcome]:
        """Show that a step runs, and how it ended.

        Args:
          name: of the step.
          expected: seconds that it may take; 0 where that is not known.
        """
        outcome = Outcome()
        self.begin(name, expected)
        try:
            yield outcome
        except BaseException:
            outcome = Outcome("failed")
            raise
        finally:
            self.finish(name, outcome)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line of progress."""
        self.note(record.getMessage(), getattr(record, SHARE, 0.0))

    @abc.abstractmethod
    def begin(self, name: str, expected: float = 0.0) -> None:
        """Show that a step runs; arguments as of `step`."""

    @abc.abstractmethod
    def note(self, line: str, share: float = 0.0, name: str = "") -> None:
        """Show a line of a step's progress.

        Args:
          line: what is shown.
          share: of the step's work that is done; 0 where that is not known.
          name: of the step; by default the one that began last.
        """

    @abc.abstractmethod
    def stages(self, done: int, of: int, name: str = "") -> None:
        """Show how many stages of a step's Beam pipeline are done; `name` as of `note`."""

    @abc.abstractmethod
    def finish(self, name: str, outcome: Outcome) -> None:
        """Show how a step ended."""
