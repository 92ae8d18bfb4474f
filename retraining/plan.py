"""Which runs are due: pure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from retraining import journal


class Plan(NamedTuple):
    """The newest span of each run to be made, in order; and the reason for these runs, or for none."""

    spans: tuple[int, ...]
    reason: str


def due(
    versions: Mapping[int, int],
    entries: Sequence[journal.Entry],
    catch_up: bool,
    window: int | None,
    since: int | None = None,
    empty: Collection[int] = (),
) -> Plan:
    """Find the runs that are due.

    Args:
      versions: the latest version of each span, by number.
      entries: the runs that were made.
      catch_up: whether every new span gets a run, or the newest alone.
      window: spans that a run reads; None for all.
      since: of a backfill, the first span to run; None for new spans.
      empty: spans without rows. They are no gap in a window, and no model can be evaluated on them.
    Raises:
      ValueError: a backfill over spans that were run: a model of the past would be compared with a champion
        that was trained on the eval rows of this comparison.

    >>> due({1: 0, 2: 0, 3: 0}, [], catch_up=True, window=None, since=2).spans
    (2, 3)
    """
    filled = sorted(set(versions) - set(empty))
    # Spans with rows to train on before them in their window.
    runnable = [
        number for before, number in itertools.pairwise(filled) if not window or number - before < window
    ]
    last = journal.done(entries)
    if since is not None:
        if last and since <= last.span:
            raise ValueError(
                f"a backfill must begin after span {last.span}, the last that was run: a model of an earlier "
                "span would be compared with a champion that was trained on later ratings. Begin later, or "
                "name another folder with --pipeline-root"
            )
        runnable = [number for number in runnable if number >= since]
        return Plan(tuple(runnable), f"backfill from span {since}" if runnable else "there are no such spans")
    if not runnable:
        return Plan(
            (), f"a run needs two spans with rows in its window, one to train on; there are {len(filled)}"
        )
    if not last:
        return Plan((runnable[-1],), "no run was made yet")
    new = [number for number in runnable if number > last.span]
    if new:
        chosen = new if catch_up else new[-1:]
        return Plan(tuple(chosen), f"{len(new)} new since span {last.span}")
    late = journal.changed(last, versions, window)
    if late and last.span in runnable:
        spans = ", ".join(map(str, late))
        return Plan((last.span,), f"spans that came late or anew: {spans}")
    without = sorted(number for number in empty if number > last.span)
    skipped = f", except without rows: {', '.join(map(str, without))}" if without else ""
    return Plan((), f"no span came since span {last.span}{skipped}")
