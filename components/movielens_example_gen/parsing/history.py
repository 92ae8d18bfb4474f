"""Each rating's causal history, the user's ratings strictly before it: pure, called in workers.

writing.write_shard chooses the rows that count in histories. Those before a timestamp are a run of the user's
rows in order of time. So a row's history is stored as two numbers, the ends of its run, until it is written.
"""

from __future__ import annotations

import numpy as np

from modules import features


def spans(known: np.ndarray, seconds: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the run of rows that is the history at each timestamp.

    Args:
      known: `[k]` timestamps of the rows that count in histories, ascending.
      seconds: `[n]` timestamps of the rows that get histories, in any order; a history has earlier seconds.
      length: rows in a history, at most: the latest ones.

    Returns:
      Starts and ends of the runs in `known`, `[n]` each.

    >>> starts, stops = spans(np.array([10, 20, 20, 30]), np.array([10, 20, 21, 99]), length=2)
    >>> list(zip(starts.tolist(), stops.tolist()))
    [(0, 0), (0, 1), (1, 3), (2, 4)]
    """
    stops = np.searchsorted(known, seconds, side="left")
    return np.maximum(stops - length, 0), stops


def visits(known: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Name the visit of each row, one of features.VISITS, by the time since the latest known row, `[n]`.

    Args:
      known: `[k]` timestamps of the rows that count in histories, ascending.
      seconds: `[n]` timestamps of the rows, in any order; a known row of the same second does not count.

    >>> visits(np.array([100, 200]), np.array([50, 100, 101, 3_800, 3_801])).tolist()
    ['first', 'first', 'sitting', 'sitting', 'return']
    """
    numbers = np.searchsorted(known, seconds, side="left")
    # One more in front, for rows without a known row before them.
    latest = np.concatenate(([0], known))[numbers]
    is_return = seconds - latest > features.VISIT_GAP
    return np.array(features.VISITS, object)[np.where(numbers > 0, 1 + is_return, 0)]


def earliest_first(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay runs end to end, each from its first row to its last.

    Returns:
      Positions of the rows, and `[n + 1]` the start of each run among them, then the end of the last one.

    >>> positions, bounds = earliest_first(np.array([0, 4, 1]), np.array([2, 4, 4]))
    >>> positions.tolist(), bounds.tolist()
    ([0, 1, 1, 2, 3], [0, 2, 2, 5])
    """
    sizes = stops - starts
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    return np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], sizes), bounds


def latest_first(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay runs end to end as `earliest_first` does, but each from its last row to its first.

    >>> latest_first(np.array([0, 4, 1]), np.array([2, 4, 4]))[0].tolist()
    [1, 0, 3, 2, 1]
    """
    positions, bounds = earliest_first(starts, stops)
    return np.repeat(starts + stops - 1, stops - starts) - positions, bounds
