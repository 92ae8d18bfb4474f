"""Which runs are due: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from retraining import journal
from retraining.schedule import Schedule


class Plan(NamedTuple):
    """Newest spans of the runs to be made, one after the other; and why these, or why none."""

    spans: tuple[int, ...]
    reason: str


def due(
    versions: Mapping[int, int],
    entries: Sequence[journal.Entry],
    schedule: Schedule,
    since: int | None = None,
) -> Plan:
    """Find the runs that are due.

    Args:
      versions: the latest version of each span that is there, by number.
      entries: what was run.
      schedule: whether to catch up, and how far a run looks back.
      since: of a backfill, the first span to run; None for what is new.
    Raises:
      ValueError: a backfill over spans that were run: a model of the past would meet a champion that was
        trained on the rows that it is measured on, and might take its place.

    >>> due({1: 0, 2: 0, 3: 0}, [], Schedule(), since=2).spans
    (2, 3)
    """
    # The first span has nothing before it to be trained on.
    runnable = sorted(versions)[1:]
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
        return Plan((), f"two spans make a first run, one to train on; there are {len(versions)}")
    if not last:
        return Plan((runnable[-1],), "nothing was run yet")
    new = [number for number in runnable if number > last.span]
    if new:
        chosen = new if schedule.catch_up else new[-1:]
        return Plan(tuple(chosen), f"{len(new)} new since span {last.span}")
    if late := journal.changed(last, versions, schedule.window):
        spans = ", ".join(map(str, late))
        return Plan((last.span,), f"spans that came late or anew: {spans}")
    return Plan((), f"no span came since span {last.span}")
