"""Compare a diverse list with maximal marginal relevance, in NumPy. Called by the proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.index_pusher.composite.diversity import POOL, Diversity

# Of a choice's value, which is at most 1: what float32 cannot tell.
_ROUNDING = 1e-5


def misplaced(found: Sequence[int], scores: np.ndarray, diversity: Diversity, tolerance: float) -> int:
    """Count the titles of a list that were chosen although another one was surely better.

    Each choice is judged by those before it, so that a tie that was broken otherwise is no error of all that
    follow.

    Args:
      found: positions of the list's titles, at most POOL.
      scores: `[n]` of all candidates; minus infinity for what cannot be recommended.
      diversity: the genres, and their weight.
      tolerance: difference of two scores that counts as a tie.
    """
    best = np.sort(scores[np.isfinite(scores)])[::-1][:POOL]
    if not len(found):
        return 0
    lowest, span = best[-1], max(float(best[0] - best[-1]), tolerance)
    members = np.flatnonzero(scores >= lowest - tolerance)
    columns = {position: column for column, position in enumerate(members.tolist())}
    values = (1 - diversity.weight) * (scores[members] - lowest) / span
    # A title that is tied with the last of the pool may be outside of it.
    left = scores[members] > lowest + tolerance
    genres = diversity.genres[members].astype(np.float64)
    sizes, penalty, wrong = genres.sum(axis=1), np.zeros(len(members)), 0
    for position in found:
        column = columns.get(position)
        if column is None:
            wrong += 1
            continue
        chances = values - penalty
        wrong += int(not chances[column] >= chances[left].max(initial=-np.inf) - tolerance / span - _ROUNDING)
        left[column] = False
        common = genres @ genres[column]
        similarity = common / (sizes + sizes[column] - common)
        penalty = np.maximum(penalty, diversity.weight * similarity)
    return wrong
