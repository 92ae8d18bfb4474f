"""Which runs are due: pure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from retraining import journal


class Plan(NamedTuple):
    """Newest spans of the runs to be made, one after the other; and why these, or why none."""

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
      versions: the latest version of each span that is there, by number.
      entries: what was run.
      catch_up: whether every new span gets a run, or the newest alone.
      window: spans that a run reads; None for all.
      since: of a backfill, the first span to run; None for what is new.
      empty: spans without rows. They are no gap in a window, and nothing to measure a model on.
    Raises:
      ValueError: a backfill over spans that were run: a model of the past would meet a champion that was
        trained on the rows that it is measured on, and might take its place.

    >>> due({1: 0, 2: 0, 3: 0}, [], catch_up=True, window=None, since=2).spans
    (2, 3)
    """
    filled = sorted(set(versions) - set(empty))
    # Those with rows before them, in their window, to be trained on.
    runnable = [
        number for before, number in itertools.pairwise(filled) if not window or number - before < window
    ]
    last = journal.done(entries)
    if since is not None:
        if last and since <= last.span:
            raise ValueError(
                f"a backfill must begin after span {last.span}, the last that was run: a model of an earlier "
                "one would be measured against a champion that knows what came later. Begin later, or name "
                "another folder with --pipeline-root"
            )
        runnable = [number for number in runnable if number >= since]
        return Plan(tuple(runnable), f"backfill from span {since}" if runnable else "there are no such spans")
    if not runnable:
        return Plan(
            (), f"two spans with rows in a window make a run, one to train on; there are {len(filled)} spans"
        )
    if not last:
        return Plan((runnable[-1],), "nothing was run yet")
    new = [number for number in runnable if number > last.span]
    if new:
        chosen = new if catch_up else new[-1:]
        return Plan(tuple(chosen), f"{len(new)} new since span {last.span}")
    late = journal.changed(last, versions, window)
    if late and last.span in runnable:
        spans = ", ".join(map(str, late))
        return Plan((last.span,), f"spans that came late or anew: {spans}")
    without = sorted(number for number in empty if number > last.span)
    but = f" but, without rows, {', '.join(map(str, without))}" if without else ""
    return Plan((), f"no span came since span {last.span}{but}")
